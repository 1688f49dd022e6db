//! Files in IDX, the format of MNIST.
//!
//! ```text
//! 00 00 08 d     unsigned bytes, d dimensions
//! d × u32        the sizes, big-endian
//! bytes          the last dimension fastest
//! ```

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use nalgebra::DMatrix;

use super::byte_source::ByteSource;
use super::dtype::{Element, count};
use super::file_kind::FileKind;
use super::stored_array::StoredArray;
use super::{Samples, gzip};
use crate::Real;
use crate::error::{Error, io_error, malformed, unsupported};

/// The samples of an IDX file of bytes, the format of MNIST, scaled to [0, 1] and read when needed.
///
/// The first dimension counts the samples; the others are flattened into their entries. A file of
/// labels, with one dimension, has n samples of one entry each. A file compressed by gzip is
/// inflated into memory, which needs the feature `files`.
///
/// ```no_run
/// use sparse_autoencoder::{Adam, IdxFile, Samples, SparseAutoencoder, Trainer};
///
/// let test = IdxFile::<f32>::load("t10k-images-idx3-ubyte.gz")?; // a matrix
/// let digits = IdxFile::open("train-images-idx3-ubyte")?;
/// let mut sae = SparseAutoencoder::<f32>::builder().layers([digits.entries(), 100]).build()?;
/// Trainer::new(Adam::new(1e-3)?).epochs(10).fit(&mut sae, &digits)?;
/// let labels = IdxFile::<f32>::open("train-labels-idx1-ubyte")?.to_bytes()?;
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
pub struct IdxFile<T> {
    stored: StoredArray,
    scalar: PhantomData<fn() -> T>,
}

impl<T: Real> IdxFile<T> {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::Io`] | the file cannot be read, or is a folder, a pipe, or a device |
    /// | [`Error::Malformed`] | the file is damaged, or its samples have no entries |
    /// | [`Error::Unsupported`] | another kind of file, or numbers other than unsigned bytes |
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::new(path.to_owned(), ByteSource::open(path)?)
    }

    /// Takes the contents of a file, in memory or [mapped into it](crate::NpyFile::from_bytes). Errors name it `path`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_bytes(
        path: impl Into<PathBuf>,
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::new(path.into(), ByteSource::Bytes(Box::new(bytes)))
    }

    /// Reads all samples of a file into memory, entries × samples.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`Error::Unreadable`] if memory runs out.
    pub fn load(path: impl AsRef<Path>) -> Result<DMatrix<T>, Error> {
        Self::open(path)?.to_matrix()
    }

    fn new(path: PathBuf, source: ByteSource) -> Result<Self, Error> {
        let source = gzip::inflated(&path, source, MOST_HEADER, |start| {
            let shape = shape(&path, start)?;
            let bytes = count(&shape);
            let bytes = bytes.and_then(|bytes| header_bytes(&shape).checked_add(bytes as u64));
            Ok((bytes, shape))
        })?;
        let start = source
            .start(MOST_HEADER)
            .map_err(|error| io_error(&path, &error))?;
        let shape = shape(&path, &start)?;
        let stored = StoredArray {
            path,
            source,
            element: Element::U8,
            big_endian: false,
            offset: header_bytes(&shape),
            column_major: false,
            shape,
            divisor: Some(u8::MAX.into()),
        };
        Ok(Self {
            stored: stored.checked()?,
            scalar: PhantomData,
        })
    }

    /// Returns the sizes of the dimensions, the number of samples first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.stored.shape
    }

    /// Returns all bytes unscaled, the last dimension fastest. Use it for labels.
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

const MOST_HEADER: usize = 4 + 4 * u8::MAX as usize;

fn header_bytes(shape: &[usize]) -> u64 {
    4 + 4 * shape.len() as u64
}

/// Returns the shape in the header at the start of a file.
fn shape(path: &Path, start: &[u8]) -> Result<Vec<usize>, Error> {
    let dimensions = match start[..] {
        [0, 0, 8, dimensions, ..] => usize::from(dimensions),
        [0, 0, 9..=14, _, ..] => {
            let reason = format!(
                "IDX numbers of the type {:#04x} are unsupported; supported are unsigned bytes, 0x08",
                start[2]
            );
            return Err(unsupported(path, reason));
        }
        _ => return Err(FileKind::of(start).instead_of(path, "an IDX file")),
    };
    let sizes = start
        .get(4..4 + 4 * dimensions)
        .ok_or_else(|| malformed(path, "it is cut off within its header"))?;
    let sizes = sizes.as_chunks().0.iter();
    Ok(sizes
        .map(|&size| u32::from_be_bytes(size) as usize)
        .collect())
}
