//! Files in IDX, the format of MNIST.
//!
//! ```text
//! 00 00 08 d     unsigned bytes, d dimensions
//! d × u32        the sizes, big-endian
//! bytes          the last dimension fastest
//! ```

#[cfg(feature = "files")]
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

#[cfg(feature = "files")]
use flate2::read::MultiGzDecoder;

use super::Samples;
use super::byte_source::ByteSource;
use super::dtype::Element;
#[cfg(feature = "files")]
use super::dtype::{MOST_INFLATION, count};
use super::file_kind::{FileKind, START};
use super::stored_array::StoredArray;
use crate::Real;
use crate::error::{Error, io_error, malformed, unsupported};

/// The samples of an IDX file of bytes, the format of MNIST, scaled to [0, 1] and read when needed.
///
/// The first dimension counts the samples; the others are flattened into their entries. A file of
/// labels, with one dimension, has n samples of one entry each. A file compressed by gzip is
/// decompressed into memory, which needs the feature `files`.
///
/// ```no_run
/// use sparse_autoencoder::{Adam, IdxFile, Samples, SparseAutoencoder, Trainer};
///
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

    /// Takes the contents of a file that is already in memory. Errors name it `path`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(path.into(), ByteSource::Bytes(bytes))
    }

    fn new(path: PathBuf, source: ByteSource) -> Result<Self, Error> {
        let source = decompressed(&path, source)?;
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

/// Returns the source, decompressed into memory if it is compressed by gzip.
///
/// Inflates at most one byte more than the header claims.
#[cfg(feature = "files")]
fn decompressed(path: &Path, source: ByteSource) -> Result<ByteSource, Error> {
    let start = source
        .start(START)
        .map_err(|error| io_error(path, &error))?;
    if FileKind::of(&start) != FileKind::Gzip {
        return Ok(source);
    }
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            malformed(path, format!("it cannot be inflated: {error}"))
        }
        _ => io_error(path, &error),
    };
    let mut decoder = MultiGzDecoder::new(source.reader().map_err(cannot)?);
    let mut bytes = Vec::new();
    let mut inflate = |bytes: &mut Vec<u8>, most| {
        let mut part = (&mut decoder).take(most);
        part.read_to_end(bytes).map_err(cannot)
    };
    inflate(&mut bytes, MOST_HEADER as u64)?;
    let shape = shape(path, &bytes)?;
    let claimed = count(&shape).and_then(|count| header_bytes(&shape).checked_add(count as u64));
    let most = source.length().saturating_mul(MOST_INFLATION);
    let Some(claimed) = claimed.filter(|&claimed| claimed <= most) else {
        let reason = format!(
            "the array claims the shape {shape:?}, and {} bytes inflate to at most {most}",
            source.length()
        );
        return Err(malformed(path, reason));
    };
    // One byte more, to reach the end and its checksum.
    inflate(&mut bytes, (claimed + 1).saturating_sub(MOST_HEADER as u64))?;
    bytes.shrink_to_fit();
    Ok(ByteSource::Bytes(bytes))
}

/// Returns the source, or an error if it is compressed by gzip.
#[cfg(not(feature = "files"))]
fn decompressed(path: &Path, source: ByteSource) -> Result<ByteSource, Error> {
    let start = source
        .start(START)
        .map_err(|error| io_error(path, &error))?;
    if FileKind::of(&start) == FileKind::Gzip {
        let reason =
            "compressed by gzip: decompress it with `gunzip`, or enable the feature `files`";
        return Err(unsupported(path, reason));
    }
    Ok(source)
}
