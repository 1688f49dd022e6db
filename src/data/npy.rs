//! NumPy's `npy`: a header in the syntax of Python, and the numbers of one array.
//!
//! ```text
//! \x93NUMPY, major and minor version, length of the header as u16 or, from version 2 on, u32
//! {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! ```

mod header;

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::Samples;
use super::stored::{Source, Stored};
use crate::Real;
use crate::data::dtype::unsupported_type;
use crate::data::open::Kind;
use crate::error::{Error, io_error};

pub(crate) use header::{Header, MAGIC};

/// The samples of a NumPy file, which are read as they are needed: more than fit into memory, if
/// need be.
///
/// The first axis of the array counts the samples, and all others are unrolled into their entries,
/// so that `numpy.save` of a samples × entries array makes such a file. An array of one axis is n samples of
/// one entry each. [`TensorFile`](crate::files::TensorFile) and [`IdxFile`](crate::IdxFile) have the same rule.
///
/// The numbers may be of any plain type of NumPy's, in either byte order: `b1`, `u1`, `i1`, `u2`, `i2`, `u4`, `i4`,
/// `u8`, `i8`, `f2`, `f4`, or `f8`. They become `T` as by NumPy's `astype`. Versions 1 to 3 of the format are read.
/// An array of two axes in Fortran's order is read, too, but well only in its order, by
/// [`batches`](Samples::batches): each entry of a sample is in a place of its own.
///
/// A fit reads every batch from the file, in a random order, by a call of the system for each sample.
/// Where the file is in the system's cache this takes a microsecond or so per sample, little beside a
/// step on hundreds of entries. Where it is much larger than the memory, every one waits for the disk:
/// its batches in their order and a [`ShuffleBuffer`](crate::ShuffleBuffer) are better then.
///
/// ```
/// use sparse_autoencoder::{Adam, NpyFile, Samples, SparseAutoencoder, Trainer};
/// # let path = std::env::temp_dir().join(format!("sparse-autoencoder-{}.npy", std::process::id()));
/// # let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (600, 8), }\n";
/// # let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
/// # bytes.extend((header.len() as u16).to_le_bytes());
/// # bytes.extend(header.as_bytes());
/// # bytes.extend((0..4800).flat_map(|k| ((k * 7 % 16) as f32 / 16.0).to_le_bytes()));
/// # std::fs::write(&path, bytes).unwrap();
///
/// let file = NpyFile::open(&path)?; // here of the shape (600, 8)
/// let mut sae = SparseAutoencoder::<f32>::builder().layers([file.visible(), 12]).build()?;
/// Trainer::new(Adam::new(1e-3)?).epochs(3).fit(&mut sae, &file)?;
/// for batch in file.batches(100) {
///     let hidden = sae.encode(&batch?)?; // 12 × 100
/// #   assert_eq!(hidden.shape(), (12, 100));
/// }
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
pub struct NpyFile<T> {
    stored: Stored,
    scalar: PhantomData<fn() -> T>,
}

impl<T: Real> NpyFile<T> {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, or is a folder, a pipe, or a device; [`Error::Malformed`] if it is not
    /// what it says it is, or its samples have no entries; [`Error::Unsupported`] for a file of a kind that no reader reads, for
    /// other types of numbers, and for more than two axes in Fortran's order.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::new(path.to_owned(), Source::open(path)?)
    }

    /// The contents of a file that are in memory already, such as were compressed. Errors name it as
    /// `path`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(path.into(), Source::Bytes(bytes))
    }

    fn new(path: PathBuf, source: Source) -> Result<Self, Error> {
        let start = source
            .start(header::MOST as usize + 12)
            .map_err(|error| io_error(&path, &error))?;
        if !start.starts_with(MAGIC) {
            return Err(Kind::of(&start).instead_of(&path, "a NumPy npy file"));
        }
        let header = Header::read(&path, "the array", &mut &start[..], source.length())?;
        let Some(element) = header.element else {
            return Err(unsupported_type(&path, "the array", &header.dtype));
        };
        let stored = Stored {
            path,
            source,
            element,
            big_endian: header.big_endian,
            offset: header.bytes as u64,
            column_major: header.column_major,
            shape: header.shape,
            unit: None,
        };
        Ok(Self {
            stored: stored.checked()?,
            scalar: PhantomData,
        })
    }

    /// The shape of the array, whose first axis counts the samples.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.stored.shape
    }
}

impl<T: Real> Samples<T> for NpyFile<T> {
    fn count(&self) -> usize {
        self.stored.count()
    }

    fn visible(&self) -> usize {
        self.stored.visible()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        self.stored.read(indices, batch)
    }
}
