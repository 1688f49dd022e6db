//! Samples as they are stored: numbers of one width, at places that follow from their indices.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::check_read;
use super::positioned::read_exact_at;
use crate::data::dtype::{self, Element, count};
use crate::error::{Error, io_error, malformed};
use crate::{Real, linalg};

/// Bytes that are read at a time. They lie on the stack, so that samples can be read by several
/// threads, and without an allocation.
const CHUNK: usize = 1 << 14;

/// Where the bytes are.
pub(super) enum Source {
    File(File, u64),
    Bytes(Vec<u8>),
}

impl Source {
    pub(super) fn open(path: &std::path::Path) -> Result<Self, Error> {
        let (file, length) = crate::data::open::open(path)?;
        Ok(Self::File(file, length))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// The first bytes, at most so many.
    pub(super) fn start(&self, most: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length()).map_or(most, |length| length.min(most));
        let mut start = vec![0; length];
        self.read(&mut start, 0)?;
        Ok(start)
    }

    /// All bytes in their order, for one reader at a time.
    #[cfg(feature = "safetensors")]
    pub(super) fn reader(&self) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(match self {
            Self::File(file, _) => {
                io::Seek::rewind(&mut &*file)?;
                Box::new(file)
            }
            Self::Bytes(bytes) => Box::new(&bytes[..]),
        })
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file, _) => read_exact_at(file, bytes, offset),
            Self::Bytes(all) => {
                let stored = usize::try_from(offset)
                    .ok()
                    .and_then(|offset| all.get(offset..)?.get(..bytes.len()))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                bytes.copy_from_slice(stored);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, _) => file.fmt(f),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// An array whose first axis counts the samples, and the file that it is in.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) path: PathBuf,
    pub(super) source: Source,
    pub(super) element: Element,
    /// Whether the first byte of a number is the most significant.
    pub(super) big_endian: bool,
    /// The bytes before the first number.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// Whether the first index is the fastest.
    pub(super) column_major: bool,
    /// What stands for 1, where numbers are scaled.
    pub(super) unit: Option<f64>,
}

impl Stored {
    /// Refuses a shape without samples that have entries, and one that is not as large as the file.
    pub(super) fn checked(self) -> Result<Self, Error> {
        let shape = &self.shape;
        dtype::samples(&self.path, "the array", shape, self.column_major)?;
        let claimed = count(shape)
            .and_then(|count| count.checked_mul(self.element.size()))
            .and_then(|bytes| self.offset.checked_add(u64::try_from(bytes).ok()?));
        if claimed != Some(self.source.length()) {
            let bytes = self.source.length();
            let reason = format!("the array claims the shape {shape:?} in {bytes} bytes");
            return Err(malformed(&self.path, reason));
        }
        Ok(self)
    }

    pub(super) fn count(&self) -> usize {
        self.shape[0]
    }

    pub(super) fn visible(&self) -> usize {
        self.shape[1..].iter().product()
    }

    pub(super) fn read<T: Real>(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let visible = self.visible();
        check_read((visible, self.count()), indices, batch)?;
        let mut bytes = [0; CHUNK];
        let mut rest = &mut *batch;
        // Neighbours are read together.
        for run in indices.chunk_by(|&index, &next| index + 1 == next) {
            let samples;
            (samples, rest) = rest.split_at_mut(run.len() * visible);
            if self.column_major {
                self.read_transposed(run[0], samples, &mut bytes)?;
            } else {
                self.read_numbers(run[0] * visible, samples, &mut bytes)?;
            }
        }
        if let Some(unit) = self.unit {
            linalg::divide_by(batch, T::of(unit));
        }
        Ok(())
    }

    /// The numbers from this one on, in the order of the file.
    fn read_numbers<T: Real>(
        &self,
        mut first: usize,
        values: &mut [T],
        bytes: &mut [u8; CHUNK],
    ) -> Result<(), Error> {
        let size = self.element.size();
        for values in values.chunks_mut(CHUNK / size) {
            let bytes = &mut bytes[..values.len() * size];
            let offset = self.offset + (first * size) as u64; // within the file, so checked
            self.source
                .read(bytes, offset)
                .map_err(|error| io_error(&self.path, &error))?;
            if self.big_endian {
                self.element.swap(bytes);
            }
            self.element.decode(bytes, values);
            first += values.len();
        }
        Ok(())
    }

    /// Samples that follow each other where each entry of all of them is in one place.
    fn read_transposed<T: Real>(
        &self,
        first: usize,
        samples: &mut [T],
        bytes: &mut [u8; CHUNK],
    ) -> Result<(), Error> {
        const AT_A_TIME: usize = CHUNK / size_of::<f64>();
        let visible = self.visible();
        let mut entries = [T::zero(); AT_A_TIME];
        for (piece, samples) in samples.chunks_mut(AT_A_TIME * visible).enumerate() {
            let first = first + piece * AT_A_TIME;
            let entries = &mut entries[..samples.len() / visible];
            for entry in 0..visible {
                self.read_numbers(entry * self.count() + first, entries, bytes)?;
                let row = samples[entry..].iter_mut().step_by(visible);
                row.zip(&*entries).for_each(|(to, &from)| *to = from);
            }
        }
        Ok(())
    }

    /// All bytes behind the header, as they are.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Error> {
        // As many as are in the file, which was checked.
        let len = self.count() * self.visible() * self.element.size();
        let read = || {
            let mut bytes = dtype::filled(0, Some(len))?;
            self.source.read(&mut bytes, self.offset)?;
            Ok(bytes)
        };
        read().map_err(|error| io_error(&self.path, &error))
    }
}
