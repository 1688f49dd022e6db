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

/// The same for reads of a few samples, such as one of a shard. The bytes are cleared in every call.
const SHORT: usize = 1 << 13;

/// The most bytes between two samples that are read with them: a second system call takes longer.
const GAP: usize = 1 << 12;

const _: () = assert!(2 * GAP <= SHORT); // a sample and the gap after it fit into the bytes

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

    /// Whether reading needs system calls.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.source, ByteSource::File(..))
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
        if self.is_stored_as::<T>() && indices.len() == 1 {
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

    /// Reads samples by way of `bytes`.
    fn read_runs<T: Real>(
        &self,
        indices: &[usize],
        batch: &mut [T],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let entries = self.entries();
        let stride = if self.column_major { 1 } else { entries };
        let gap = if self.is_open() { GAP } else { 0 };
        let most = gap / (stride * self.element.size()) + 1;
        let mut rest = batch;
        for near in indices.chunk_by(|&i, &j| i < j && j - i <= most) {
            let samples;
            (samples, rest) = rest.split_at_mut(near.len() * entries);
            if self.column_major {
                self.read_transposed(near, samples, bytes)?;
            } else if span(near) == near.len() {
                self.read_numbers(near[0] * entries, samples, bytes)?;
            } else {
                self.read_near(near, samples, bytes)?;
            }
        }
        Ok(())
    }

    /// Reads samples at rising indices with short gaps, and the gaps.
    fn read_near<T: Real>(
        &self,
        near: &[usize],
        samples: &mut [T],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let entries = self.entries();
        let size = entries * self.element.size();
        for (near, samples) in within(bytes.len() / size, near, samples, entries) {
            let first = near[0];
            let bytes = &mut bytes[..span(near) * size];
            self.read_bytes(first * entries, bytes)?;
            for (index, sample) in near.iter().zip(samples.chunks_exact_mut(entries)) {
                self.element
                    .decode(&bytes[(index - first) * size..], sample);
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
        if self.is_stored_as::<T>() {
            return self.read_stored(first, bytemuck::cast_slice_mut(values));
        }
        let size = self.element.size();
        for values in values.chunks_mut(bytes.len() / size) {
            let bytes = &mut bytes[..values.len() * size];
            self.read_bytes(first, bytes)?;
            self.element.decode(bytes, values);
            first += values.len();
        }
        Ok(())
    }

    /// Reads consecutive numbers of the file, from number `first`, as little-endian bytes.
    fn read_bytes(&self, first: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.read_stored(first, bytes)?;
        if self.big_endian {
            self.element.swap(bytes);
        }
        Ok(())
    }

    /// Reads consecutive numbers of the file, from number `first`, as the bytes that it has.
    fn read_stored(&self, first: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let place = self.offset + (first * self.element.size()) as u64; // no overflow: within the file
        let read = self.source.read(bytes, place);
        read.map_err(|error| io_error(&self.path, &error))
    }

    /// Reads samples near each other of a column-major array, which stores them entry by entry.
    fn read_transposed<T: Real>(
        &self,
        near: &[usize],
        samples: &mut [T],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        const AT_A_TIME: usize = CHUNK / size_of::<f64>();
        let entries = self.entries();
        let mut values = [T::zero(); AT_A_TIME];
        for (near, samples) in within(AT_A_TIME, near, samples, entries) {
            let first = near[0];
            let values = &mut values[..span(near)];
            for entry in 0..entries {
                self.read_numbers(entry * self.count() + first, values, bytes)?;
                let row = samples[entry..].iter_mut().step_by(entries);
                row.zip(near).for_each(|(to, i)| *to = values[i - first]);
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

/// Returns the number of samples from the first to the last of these rising indices.
fn span(near: &[usize]) -> usize {
    near[near.len() - 1] - near[0] + 1
}

/// Divides rising indices and their samples into pieces whose indices differ by less than `most`.
fn within<'a, T>(
    most: usize,
    mut near: &'a [usize],
    mut samples: &'a mut [T],
    entries: usize,
) -> impl Iterator<Item = (&'a [usize], &'a mut [T])> {
    std::iter::from_fn(move || {
        let first = *near.first()?;
        let piece = near.split_off(..near.partition_point(|index| index - first < most))?;
        Some((piece, samples.split_off_mut(..piece.len() * entries)?))
    })
}
