//! NumPy's `npy`: a header in the syntax of Python, and the numbers of one array.
//!
//! ```text
//! \x93NUMPY, major and minor version, length of the header as u16 or, from version 2 on, u32
//! {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! ```

use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::Samples;
use super::stored::{Source, Stored};
use crate::Real;
use crate::element::{Element, count};
use crate::error::{Error, io_error, malformed, unsupported};

/// The longest header that is read.
const MOST_HEADER: u32 = 1 << 16;

/// The samples of a NumPy file, which are read as they are needed: more than fit into memory, if
/// need be.
///
/// The first axis of the array counts the samples, and all others are unrolled into their entries,
/// so that `numpy.save` of a samples × entries array makes such a file. The numbers are `f2`, `f4`,
/// `f8`, `i1`, `i4`, `i8`, `u1`, or `b1`, little-endian, and become `T` as they are. Versions 1 to 3
/// of the format are read. An array of two dimensions in Fortran's order is read, too, but well only
/// in its order, by [`batches`](Samples::batches): each entry of a sample is in a place of its own.
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
    /// [`Error::Io`] if it cannot be read; [`Error::Malformed`] if it is not what it says it is, or
    /// its samples have no entries; [`Error::Unsupported`] for other numbers, and for more than two
    /// dimensions in Fortran's order.
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
            .start(MOST_HEADER as usize + 12)
            .map_err(|error| io_error(&path, &error))?;
        let header = Header::read(&path, "in it", &mut &start[..], source.length())?;
        let Some(element) = header.element else {
            let reason = format!("an array of the type {}", header.dtype);
            return Err(unsupported(&path, reason));
        };
        let stored = Stored {
            path,
            source,
            element,
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

/// What comes before the numbers.
#[derive(Debug)]
pub(crate) struct Header {
    /// The type of the numbers, by its name in NumPy.
    pub(crate) dtype: String,
    /// The same, where it is one that is read.
    pub(crate) element: Option<Element>,
    pub(crate) shape: Vec<usize>,
    /// Whether the first index is the fastest, as Fortran has it.
    pub(crate) column_major: bool,
    /// Up to the first number.
    pub(crate) bytes: usize,
}

impl Header {
    /// Reads the header of the array `name`, which has so many bytes with it.
    pub(crate) fn read(
        path: &Path,
        name: &str,
        reader: &mut impl Read,
        bytes: u64,
    ) -> Result<Self, Error> {
        let (text, skip) = text(reader).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData => {
                malformed(path, format!("the array {name} has no header: {error}"))
            }
            _ => io_error(path, &error),
        })?;
        let (dtype, column_major, shape) = parse(&text).ok_or_else(|| {
            malformed(path, format!("the header of the array {name} is {text:?}"))
        })?;
        let element = match dtype.as_str() {
            "|u1" | "|b1" => Some(Element::U8),
            "|i1" => Some(Element::I8),
            "<f2" => Some(Element::F16),
            "<f4" => Some(Element::F32),
            "<f8" => Some(Element::F64),
            "<i4" => Some(Element::I32),
            "<i8" => Some(Element::I64),
            _ => None,
        };
        let claimed = count(&shape).and_then(|count| {
            let bytes = count.checked_mul(element.map_or(0, Element::size))?;
            u64::try_from(skip.checked_add(bytes)?).ok()
        });
        if element.is_some() && claimed != Some(bytes) {
            let reason = format!("the array {name} claims the shape {shape:?} in {bytes} bytes");
            return Err(malformed(path, reason));
        }
        Ok(Self {
            dtype,
            element,
            shape,
            column_major,
            bytes: skip,
        })
    }
}

/// The text of an `npy` header, and the bytes up to its end.
fn text(reader: &mut impl Read) -> io::Result<(String, usize)> {
    let mut start = [0; 12];
    reader.read_exact(&mut start[..10])?;
    let (length, before) = match (&start[..6], start[6]) {
        (b"\x93NUMPY", 1) => (u32::from(u16::from_le_bytes([start[8], start[9]])), 10),
        (b"\x93NUMPY", 2 | 3) => {
            reader.read_exact(&mut start[10..])?;
            let length = [start[8], start[9], start[10], start[11]];
            (u32::from_le_bytes(length), 12)
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    if length > MOST_HEADER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = String::new();
    let read = reader.take(length.into()).read_to_string(&mut text)?;
    if usize::try_from(length) != Ok(read) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((text, before + read))
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`
fn parse(text: &str) -> Option<(String, bool, Vec<usize>)> {
    let field = |key: &str| Some(text.split_once(key)?.1.trim_start());
    let descr = field("'descr':")?;
    let dtype = match descr.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?.0,
        None => "a record",
    };
    let order = field("'fortran_order':")?;
    let column_major = match order {
        _ if order.starts_with("False") => false,
        _ if order.starts_with("True") => true,
        _ => return None,
    };
    let shape = field("'shape':")?.strip_prefix('(')?.split_once(')')?.0;
    let shape = shape
        .split(',')
        .map(str::trim)
        .filter(|dimension| !dimension.is_empty())
        .map(|dimension| dimension.parse().ok())
        .collect::<Option<_>>()?;
    Some((dtype.to_owned(), column_major, shape))
}
