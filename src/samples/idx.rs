//! The IDX format of MNIST.
//!
//! A file is a magic number `00 00 08 d` (unsigned bytes, `d` dimensions), `d` sizes of four bytes,
//! the most significant first, and the bytes themselves, the last dimension running fastest.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::Samples;
use super::stored::{Source, Stored};
use crate::Real;
use crate::element::Element;
use crate::error::{Error, io_error, malformed, unsupported};

/// The samples of a file of bytes in the IDX format, in which MNIST and its relatives are published,
/// scaled to [0, 1]; they are read as they are needed.
///
/// The first dimension counts the samples, and all others are unrolled into their entries. What is
/// compressed has to be decompressed before.
///
/// ```no_run
/// use sparse_autoencoder::{Adam, IdxFile, Samples, SparseAutoencoder, Trainer};
///
/// let digits = IdxFile::open("train-images-idx3-ubyte")?;
/// let mut sae = SparseAutoencoder::<f32>::builder().layers([digits.visible(), 100]).build()?;
/// Trainer::new(Adam::new(1e-3)?).epochs(10).fit(&mut sae, &digits)?;
/// let labels = IdxFile::<f32>::open("train-labels-idx1-ubyte")?.to_bytes()?;
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
pub struct IdxFile<T> {
    stored: Stored,
    scalar: PhantomData<fn() -> T>,
}

impl<T: Real> IdxFile<T> {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read; [`Error::Malformed`] if it is not what it says it is, or
    /// its samples have no entries; [`Error::Unsupported`] for other numbers than unsigned bytes.
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
        const MOST_HEADER: usize = 4 + 4 * u8::MAX as usize;
        let start = source
            .start(MOST_HEADER)
            .map_err(|error| io_error(&path, &error))?;
        let dimensions = match start[..] {
            [0, 0, 8, dimensions, ..] => usize::from(dimensions),
            [0, 0, 9..=14, _, ..] => {
                let reason = format!("numbers of the type {:#x}, and not bytes", start[2]);
                return Err(unsupported(&path, reason));
            }
            _ => return Err(malformed(&path, "it does not begin as an IDX file does")),
        };
        let sizes = start
            .get(4..4 + 4 * dimensions)
            .ok_or_else(|| malformed(&path, "it is cut off within its header"))?;
        let shape = sizes.as_chunks().0.iter();
        let shape = shape.map(|&size| u32::from_be_bytes(size) as usize);
        let stored = Stored {
            path,
            source,
            element: Element::U8,
            offset: 4 + sizes.len() as u64,
            column_major: false,
            shape: shape.collect(),
            unit: Some(u8::MAX.into()),
        };
        Ok(Self {
            stored: stored.checked()?,
            scalar: PhantomData,
        })
    }

    /// The sizes of the dimensions, of which the first counts the samples.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.stored.shape
    }

    /// All bytes as they are, the last dimension running fastest: for labels.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.stored.bytes()
    }
}

impl<T: Real> Samples<T> for IdxFile<T> {
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
