//! An uncompressed array of samples in a file, read by index.

use std::path::PathBuf;

use pulp::bytemuck;

use super::byte_source::ByteSource;
use super::dtype::{self, Element, count};
use super::samples::check_read;
use crate::error::{Error, io_error, malformed};
use crate::{Real, linalg};

/// The number of bytes read at a time, into the stack of the reading thread.
const CHUNK: usize = 1 << 14;

/// The same for reads of a few bytes, such as one sample of a shard. The place is cleared for every read.
const SHORT: usize = 1 << 12;

/// An array whose first axis counts the samples, and its file.
#[derive(Debug)]
pub(crate) struct StoredArray {
    pub(crate) path: PathBuf,
    pub(crate) source: ByteSource,
    pub(crate) element: Element,
    /// Whether the first byte of a number is the most significant.
    pub(crate) big_endian: bool,
    /// The bytes before the first number.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<usize>,
    /// Whether the first index is the fastest.
    pub(crate) column_major: bool,
    /// The divisor of all numbers, if they are scaled.
    pub(crate) divisor: Option<f64>,
}

impl StoredArray {
    /// Refuses a shape without entries, and one that does not match the length of the file.
    pub(crate) fn checked(self) -> Result<Self, Error> {
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

    pub(crate) fn count(&self) -> usize {
        self.shape[0]
    }

    pub(crate) fn entries(&self) -> usize {
        self.shape[1..].iter().product()
    }

    pub(crate) fn read<T: Real>(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let entries = self.entries();
        check_read((entries, self.count()), indices, batch)?;
        if self.is_stored_as::<T>() {
            self.read_runs(indices, batch, &mut [])?;
        } else if batch.len() * self.element.size() <= SHORT {
            self.read_runs(indices, batch, &mut [0; SHORT])?;
        } else {
            self.read_runs(indices, batch, &mut [0; CHUNK])?;
        }
        if let Some(divisor) = self.divisor {
            linalg::divide_by(batch, T::of(divisor));
        }
        Ok(())
    }

    /// Whether the bytes of the file are those of `T` in memory.
    fn is_stored_as<T: Real>(&self) -> bool {
        self.element.is::<T>() && self.big_endian == cfg!(target_endian = "big")
    }

    /// Reads samples by way of `bytes`, which may be empty if they are [stored as `T`](Self::is_stored_as).
    fn read_runs<T: Real>(
        &self,
        indices: &[usize],
        batch: &mut [T],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let entries = self.entries();
        let mut rest = batch;
        // Consecutive samples are read together.
        for run in indices.chunk_by(|&index, &next| index + 1 == next) {
            let samples;
            (samples, rest) = rest.split_at_mut(run.len() * entries);
            if self.column_major {
                self.read_transposed(run[0], samples, bytes)?;
            } else {
                self.read_numbers(run[0] * entries, samples, bytes)?;
            }
        }
        Ok(())
    }

    /// Reads consecutive numbers of the file, from number `first`.
    fn read_numbers<T: Real>(
        &self,
        mut first: usize,
        values: &mut [T],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let size = self.element.size();
        let read = |bytes: &mut [u8], first: usize| {
            let offset = self.offset + (first * size) as u64; // no overflow: within the file
            let read = self.source.read(bytes, offset);
            read.map_err(|error| io_error(&self.path, &error))
        };
        if self.is_stored_as::<T>() {
            return read(bytemuck::cast_slice_mut(values), first);
        }
        for values in values.chunks_mut(bytes.len() / size) {
            let bytes = &mut bytes[..values.len() * size];
            read(bytes, first)?;
            if self.big_endian {
                self.element.swap(bytes);
            }
            self.element.decode(bytes, values);
            first += values.len();
        }
        Ok(())
    }

    /// Reads consecutive samples of a column-major array, which stores them entry by entry.
    fn read_transposed<T: Real>(
        &self,
        first: usize,
        samples: &mut [T],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        const AT_A_TIME: usize = CHUNK / size_of::<f64>();
        let entries = self.entries();
        let mut values = [T::zero(); AT_A_TIME];
        for (piece, samples) in samples.chunks_mut(AT_A_TIME * entries).enumerate() {
            let first = first + piece * AT_A_TIME;
            let values = &mut values[..samples.len() / entries];
            for entry in 0..entries {
                self.read_numbers(entry * self.count() + first, values, bytes)?;
                let row = samples[entry..].iter_mut().step_by(entries);
                row.zip(&*values).for_each(|(to, &from)| *to = from);
            }
        }
        Ok(())
    }

    /// Returns all bytes after the header, unscaled.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Error> {
        // No overflow: checked against the length of the file.
        let len = self.count() * self.entries() * self.element.size();
        let read = || {
            let mut bytes = dtype::filled(0, Some(len))?;
            self.source.read(&mut bytes, self.offset)?;
            Ok(bytes)
        };
        read().map_err(|error| io_error(&self.path, &error))
    }
}
