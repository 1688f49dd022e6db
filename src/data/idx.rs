//! The IDX format of MNIST.
//!
//! A file is a magic number `00 00 08 d` (unsigned bytes, `d` dimensions), `d` sizes of four bytes,
//! the most significant first, and the bytes themselves, the last dimension running fastest.

#[cfg(feature = "safetensors")]
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

#[cfg(feature = "safetensors")]
use flate2::read::MultiGzDecoder;

use super::Samples;
use super::stored::{Source, Stored};
use crate::Real;
use crate::data::dtype::Element;
#[cfg(feature = "safetensors")]
use crate::data::dtype::{MOST_INFLATION, count};
use crate::data::open::{Kind, START};
use crate::error::{Error, io_error, malformed, unsupported};

/// The samples of a file of bytes in the IDX format, in which MNIST and its relatives are published,
/// scaled to [0, 1]; they are read as they are needed.
///
/// The first dimension counts the samples, and all others are unrolled into their entries: labels, of one
/// dimension, are n samples of one entry each. A file that is compressed by gzip, as MNIST is published, is
/// decompressed into memory if the feature `safetensors` is on.
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
    /// [`Error::Io`] if it cannot be read, or is a folder, a pipe, or a device; [`Error::Malformed`] if it is not
    /// what it says it is, or its samples have no entries; [`Error::Unsupported`] for a file of a kind that no reader reads, and
    /// for other numbers than unsigned bytes.
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
        let source = decompressed(&path, source)?;
        let start = source
            .start(MOST_HEADER)
            .map_err(|error| io_error(&path, &error))?;
        let shape = shape(&path, &start)?;
        let stored = Stored {
            path,
            source,
            element: Element::U8,
            big_endian: false,
            offset: header_bytes(&shape),
            column_major: false,
            shape,
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

const MOST_HEADER: usize = 4 + 4 * u8::MAX as usize;

fn header_bytes(shape: &[usize]) -> u64 {
    4 + 4 * shape.len() as u64
}

/// The shape that a file which begins so claims.
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
        _ => return Err(Kind::of(start).instead_of(path, "an IDX file")),
    };
    let sizes = start
        .get(4..4 + 4 * dimensions)
        .ok_or_else(|| malformed(path, "it is cut off within its header"))?;
    let sizes = sizes.as_chunks().0.iter();
    Ok(sizes
        .map(|&size| u32::from_be_bytes(size) as usize)
        .collect())
}

/// The source itself, or what is in it if it is compressed by gzip.
///
/// No more is inflated than the header claims, and a byte: the room grows with what is there.
#[cfg(feature = "safetensors")]
fn decompressed(path: &Path, source: Source) -> Result<Source, Error> {
    let start = source
        .start(START)
        .map_err(|error| io_error(path, &error))?;
    if Kind::of(&start) != Kind::Gzip {
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
    // A byte more, to find out whether it ends there and what its checksum is.
    inflate(&mut bytes, (claimed + 1).saturating_sub(MOST_HEADER as u64))?;
    bytes.shrink_to_fit();
    Ok(Source::Bytes(bytes))
}

#[cfg(not(feature = "safetensors"))]
fn decompressed(path: &Path, source: Source) -> Result<Source, Error> {
    let start = source
        .start(START)
        .map_err(|error| io_error(path, &error))?;
    if Kind::of(&start) == Kind::Gzip {
        let reason = "compressed by gzip: decompress it with `gunzip`, or turn on the feature `safetensors`, \
                      with which IdxFile reads it";
        return Err(unsupported(path, reason));
    }
    Ok(source)
}
