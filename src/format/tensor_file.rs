use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use nalgebra::DMatrix;

use super::malformed;
use super::tensors::{Rows, Tensors};
use crate::{Error, Real};

/// The named tensors of a `safetensors` or `npz` file, for samples that are to be encoded. An `npy`
/// file is an [`NpyFile`](crate::NpyFile).
///
/// ```no_run
/// use sparse_autoencoder::format::TensorFile;
///
/// let mut file = TensorFile::open("activations.safetensors")?;
/// let samples = file.samples::<f32>("activations")?; // d × n, of a tensor that is n × d
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
    /// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if it is not what it says it
    /// is, [`Error::Unsupported`] for pickles and for compression other than deflate.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self {
            tensors: Tensors::open(path.as_ref())?,
        })
    }

    /// The names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.entries.keys().map(String::as_str)
    }

    /// The shape of a tensor, `None` if there is none of this name.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.entries.get(name)?.shape)
    }

    /// A tensor of the shape samples × entries as a matrix whose columns are the samples. A tensor
    /// of one dimension is one sample.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is no tensor of this name, if it has another number of
    /// dimensions, and for NaN and infinities; [`Error::Unsupported`] for a type of number that is
    /// not among `u8`, `i8`, `f16`, `bf16`, `f32`, `f64`, `i32`, and `i64`; [`Error::Io`].
    pub fn samples<T: Real>(&mut self, name: &str) -> Result<DMatrix<T>, Error> {
        let (samples, entries) = match *self.tensors.shape(name)? {
            [entries] => (1, entries),
            [samples, entries] => (samples, entries),
            ref shape => {
                let reason = format!("{name} must have one or two dimensions, has {shape:?}");
                return Err(malformed(&self.tensors.path, reason));
            }
        };
        let mut matrix = DMatrix::zeros(entries, samples);
        self.tensors
            .read_into(name, Rows::Contiguous, matrix.as_mut_slice())?;
        Ok(matrix)
    }
}
