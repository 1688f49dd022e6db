//! The named tensors of a file, as samples.

use std::fs::File;
use std::io::BufReader;
use std::marker::PhantomData;
use std::path::Path;

use nalgebra::DMatrix;

use super::tensors::{Place, Tensors};
use super::{io_error, unsupported};
use crate::data::byte_source::ByteSource;
use crate::data::dtype::{self, unsupported_type};
use crate::data::stored_array::StoredArray;
use crate::error::unknown_name;
use crate::{Error, Real, Samples};

/// The named tensors of a `safetensors` or `npz` file, as samples to encode.
///
/// Open an `npy` file as an [`NpyFile`](crate::NpyFile).
///
/// ```no_run
/// use sparse_autoencoder::files::TensorFile;
///
/// let mut file = TensorFile::open("activations.safetensors")?;
/// let samples = file.samples::<f32>("activations")?; // d × n, from an n × d tensor
/// let on_read = file.samples_on_read::<f32>("activations")?; // the same, read when needed
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
pub struct TensorFile {
    tensors: Tensors<BufReader<File>>,
}

impl TensorFile {
    /// Opens a file and checks its directory.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, or is a folder, a pipe, or a device; [`Error::Malformed`] if
    /// it is damaged, or has no arrays; [`Error::Unsupported`] for other kinds of files, such as pickles,
    /// and for compression other than deflate.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self {
            tensors: Tensors::open(path.as_ref())?,
        })
    }

    /// Returns the names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.entries.keys().map(String::as_str)
    }

    /// Returns the shape of a tensor, or `None` for an unknown name.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.entries.get(name)?.shape)
    }

    /// Returns the names of the members of an `npz` archive that are not arrays, in their order: texts,
    /// folders, and files that macOS adds. They are not read.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.tensors.others.iter().map(String::as_str)
    }

    /// Reads a tensor of the shape samples × entries as a matrix whose columns are the samples.
    ///
    /// The first axis counts the samples. The other axes are flattened into their entries, as in
    /// [`NpyFile`](crate::NpyFile) and [`IdxFile`](crate::IdxFile). A tensor of one axis has n samples of one
    /// entry each: `1 × n`. Numbers may be booleans, integers of 8 to 64 bits, `f16`, `bf16`, `f32`, and `f64`. NaN is
    /// a [missing value](crate::MissingValues).
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`]; [`Error::Malformed`] for samples without entries and for infinities, also of `T`;
    /// [`Error::Unsupported`] for other types of numbers, and for more than two axes in Fortran's order;
    /// [`Error::Io`] if the file cannot be read or memory runs out.
    pub fn samples<T: Real>(&mut self, name: &str) -> Result<DMatrix<T>, Error> {
        self.check_name(name)?;
        let tensors = &mut self.tensors;
        let column_major = tensors.entry(name)?.column_major;
        let shape = tensors.shape(name)?;
        let (samples, entries) = dtype::samples(&tensors.path, name, shape, column_major)?;
        tensors.confirm(name)?;
        let zeros = dtype::filled(T::zero(), samples.checked_mul(entries));
        let zeros = zeros.map_err(|error| io_error(&tensors.path, &error))?;
        let mut matrix = DMatrix::from_vec(entries, samples, zeros);
        tensors.read_samples_into(name, matrix.as_mut_slice())?;
        Ok(matrix)
    }

    /// Refuses a name that the caller made up, which is no fault of the file.
    fn check_name(&self, name: &str) -> Result<(), Error> {
        if self.tensors.has(name) {
            return Ok(());
        }
        Err(unknown_name("tensor", name, self.names()))
    }

    /// Returns the samples of a tensor, which are read when needed. The tensor may be larger than the memory.
    ///
    /// Shapes and types of numbers are those of [`samples`](Self::samples). Infinities are found when a fit reads them.
    /// The checksum of an array in an `npz` archive is not compared.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`]; [`Error::Malformed`] for samples without entries; [`Error::Unsupported`] for a
    /// compressed array, other types of numbers, and more than two axes in Fortran's order; [`Error::Io`] if the system
    /// has no further handle of the file.
    pub fn samples_on_read<T: Real>(&self, name: &str) -> Result<TensorSamples<T>, Error> {
        self.check_name(name)?;
        let Tensors { path, source, .. } = &self.tensors;
        let entry = self.tensors.entry(name)?;
        let Some(element) = entry.element else {
            return Err(unsupported_type(path, name, &entry.dtype));
        };
        dtype::samples(path, name, &entry.shape, entry.column_major)?;
        let Place {
            offset,
            skip,
            deflated,
            ..
        } = entry.place;
        if deflated {
            let reason = format!(
                "{name} is compressed, and cannot be read sample by sample: read all of it with `samples`, or \
                 save it with numpy.savez"
            );
            return Err(unsupported(path, reason));
        }
        let handle = source.get_ref().try_clone();
        let handle = handle.and_then(|file| {
            let length = file.metadata()?.len();
            Ok(ByteSource::File(file, length))
        });
        Ok(TensorSamples {
            stored: StoredArray {
                path: path.clone(),
                source: handle.map_err(|error| io_error(path, &error))?,
                element,
                big_endian: entry.big_endian,
                offset: offset + skip as u64, // within the file
                column_major: entry.column_major,
                shape: entry.shape.clone(),
                divisor: None,
            },
            scalar: PhantomData,
        })
    }
}

/// The samples of a tensor, read when needed: see [`TensorFile::samples_on_read`].
#[derive(Debug)]
pub struct TensorSamples<T> {
    stored: StoredArray,
    scalar: PhantomData<fn() -> T>,
}

impl<T: Real> Samples<T> for TensorSamples<T> {
    fn count(&self) -> usize {
        self.stored.count()
    }

    fn entries(&self) -> usize {
        self.stored.entries()
    }

    fn reads_ahead(&self) -> bool {
        self.stored.is_open()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        self.stored.read(indices, batch)
    }
}
