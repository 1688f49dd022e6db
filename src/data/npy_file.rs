//! Files in `npy`, NumPy's format of one array.
//!
//! ```text
//! \x93NUMPY  major  minor  length of the header: u16, from version 2 on u32
//! {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! numbers
//! ```

mod header;

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use nalgebra::DMatrix;

use super::byte_source::ByteSource;
use super::dtype::unsupported_type;
use super::file_kind::FileKind;
use super::stored_array::StoredArray;
use super::{Samples, gzip};
use crate::Real;
use crate::error::{Error, io_error};

pub(crate) use header::{Header, MAGIC};

/// The samples of a NumPy file, read when needed. The file may be larger than the memory.
///
/// The first axis counts the samples; the others are flattened into their entries. Write such a file by
/// `numpy.save` of a samples × entries array. An array of one axis has n samples of one entry each.
/// `TensorFile` of the feature `files` and [`IdxFile`](crate::IdxFile) follow the same rule. For a table in CSV
/// see [`view_rows`](crate::view_rows#a-table-in-csv).
///
/// | property | supported |
/// |---|---|
/// | version of the format | 1 to 3 |
/// | types, in either byte order | `b1`, `u1`, `i1`, `u2`, `i2`, `u4`, `i4`, `u8`, `i8`, `f2`, `f4`, `f8` |
/// | order of the axes | C; Fortran for two axes, slower, above all in a fit to samples of more than 1 KiB |
///
/// Numbers are converted to `T` as by NumPy's `astype`. A file compressed by gzip is inflated into memory, which
/// needs the feature `files`.
///
/// A fit shuffles the samples. It reads those of up to 1 KiB in memory [ahead](Samples::reads_ahead), and larger ones
/// for each batch, by one system call each.
///
/// | file | how to read it |
/// |---|---|
/// | fits into memory | [`load`](Self::load) it |
/// | fits into the system's cache | [`open`](Self::open) it: about 0.5 µs for a sample of some KiB, less for smaller ones; or [map it into memory](Self::from_bytes) |
/// | much larger | [`batches`](Samples::batches) with a [`ShuffleBuffer`](crate::ShuffleBuffer): no sample waits for the disk alone |
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
/// let file = NpyFile::open(&path)?; // shape (600, 8)
/// let mut sae = SparseAutoencoder::<f32>::builder().layers([file.entries(), 12]).build()?;
/// Trainer::new(Adam::new(1e-3)?).epochs(3).fit(&mut sae, &file)?;
/// for batch in file.batches(100) {
///     let hidden = sae.encode(&batch?)?; // 12 × 100
/// #   assert_eq!(hidden.shape(), (12, 100));
/// }
/// let matrix = NpyFile::<f32>::load(&path)?; // 8 × 600, in memory
/// # assert_eq!(matrix, file.to_matrix()?);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
pub struct NpyFile<T> {
    stored: StoredArray,
    scalar: PhantomData<fn() -> T>,
}

impl<T: Real> NpyFile<T> {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::Io`] | the file cannot be read, or is a folder, a pipe, or a device |
    /// | [`Error::Malformed`] | the file is damaged, or its samples have no entries |
    /// | [`Error::Unsupported`] | another kind of file, another type of numbers, or more than two axes in Fortran's order |
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::new(path.to_owned(), ByteSource::open(path)?)
    }

    /// Takes the contents of a file: a `Vec<u8>`, a `&'static [u8]`, an `Arc<[u8]>`, or a file mapped into memory,
    /// such as `memmap2::Mmap`. Errors name it `path`.
    ///
    /// Samples are read without system calls.
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
        const MOST_HEADER: usize = header::MOST as usize + 12;
        let check_start = |start: &[u8]| match start.starts_with(MAGIC) {
            true => Ok(()),
            false => Err(FileKind::of(start).instead_of(&path, "a NumPy npy file")),
        };
        let source = gzip::inflated(&path, source, MOST_HEADER, |start| {
            check_start(start)?;
            let header = Header::parse(&path, "the array", &mut &*start)?;
            Ok((header.claimed(), header.shape))
        })?;
        let start = source
            .start(MOST_HEADER)
            .map_err(|error| io_error(&path, &error))?;
        check_start(&start)?;
        let header = Header::read(&path, "the array", &mut &start[..], source.length())?;
        let Some(element) = header.element else {
            return Err(unsupported_type(&path, "the array", &header.dtype));
        };
        let stored = StoredArray {
            path,
            source,
            element,
            big_endian: header.big_endian,
            offset: header.bytes as u64,
            column_major: header.column_major,
            shape: header.shape,
            divisor: None,
        };
        Ok(Self {
            stored: stored.checked()?,
            scalar: PhantomData,
        })
    }

    /// Returns the shape of the array, the number of samples first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.stored.shape
    }
}

impl<T: Real> Samples<T> for NpyFile<T> {
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
