//! Reads named tensors from a file, in any container, straight to their place in a model.
//!
//! The directory of the file is checked against its length first, so that no allocation exceeds the
//! numbers of the file. The numbers then stream in chunks: from bytes to scalars to their place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{io_error, malformed, npz, safetensors};
use crate::data::dtype::{self, Element, count, no_room, unsupported_type};
use crate::data::file_kind::{FileKind, START};
use crate::data::regular_file;
use crate::linalg::Aligned;
use crate::{Error, Real};
use flate2::Crc;
use flate2::read::DeflateDecoder;

/// How the names of the tensors end that may be infinite: errors that overflow.
pub(super) const SCORES: &str = "calibration_scores";

/// Scalars per chunk.
pub(super) const CHUNK: usize = 1 << 14;

/// The number of rows of a tensor transposed together, if they have at most [`PANEL`] scalars. They are
/// enough to write whole cache lines, and few enough to read as streams.
const PANEL_ROWS: usize = 32;
const PANEL: usize = 1 << 20;

/// How the rows of a tensor lie in the slice of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// One after the other, as in the file.
    Contiguous,
    /// Column-major: transposed.
    Strided,
}

/// A file and its checked directory.
#[derive(Debug)]
pub(super) struct Tensors<R> {
    pub(super) path: PathBuf,
    pub(super) source: R,
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) metadata: BTreeMap<String, String>,
    /// The other members of an archive, such as a text beside the arrays.
    pub(super) others: Vec<String>,
}

/// An entry of the directory.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The name of the number type in the file.
    pub(super) dtype: String,
    pub(super) element: Option<Element>,
    /// Whether the first byte of a number is the most significant.
    pub(super) big_endian: bool,
    pub(super) shape: Vec<usize>,
    /// Whether the first index is the fastest, as in Fortran.
    pub(super) column_major: bool,
    pub(super) place: Place,
}

/// The place of the bytes of a tensor.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// The number of bytes in the file.
    pub(super) length: u64,
    pub(super) deflated: bool,
    /// The number of inflated bytes before the first number.
    pub(super) skip: usize,
    /// The checksum of all inflated bytes.
    pub(super) checksum: Option<u32>,
}

impl Tensors<BufReader<File>> {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let (file, length) = regular_file::open(path)?;
        Self::new(path, BufReader::with_capacity(1 << 16, file), length)
    }
}

impl<R: Read + Seek> Tensors<R> {
    /// Reads and checks the directory of a file of `length` bytes. The first bytes tell its kind.
    pub(super) fn new(path: &Path, mut source: R, length: u64) -> Result<Self, Error> {
        let mut start = Vec::new();
        (&mut source)
            .take(START as u64)
            .read_to_end(&mut start)
            .map_err(|error| io_error(path, &error))?;
        match FileKind::of(&start) {
            FileKind::Zip => npz::archive(path, source, length),
            FileKind::Safetensors | FileKind::Unknown => {
                safetensors::directory(path, source, length)
            }
            other => Err(other.instead_of(path, "a safetensors or npz file")),
        }
    }

    /// Returns the entry of this name.
    pub(super) fn entry(&self, name: &str) -> Result<&Entry, Error> {
        self.entries
            .get(name)
            .ok_or_else(|| malformed(&self.path, format!("there is no tensor {name}")))
    }

    /// Returns the shape of a tensor whose type can be read. The shape agrees with the number of bytes.
    pub(super) fn shape(&self, name: &str) -> Result<&[usize], Error> {
        let entry = self.entry(name)?;
        match entry.element {
            Some(_) => Ok(&entry.shape),
            None => Err(unsupported_type(&self.path, name, &entry.dtype)),
        }
    }

    /// Allocates room for `len` numbers of all tensors but the `unused`, in order, whose shapes have been checked.
    pub(super) fn room<T: Real>(
        &mut self,
        len: usize,
        unused: &[String],
    ) -> Result<Aligned<T>, Error> {
        let mut names: Vec<_> = self.entries.keys().cloned().collect();
        names.retain(|name| unused.binary_search(name).is_err());
        names.iter().try_for_each(|name| self.confirm(name))?;
        self.allocate(len)
    }

    /// Allocates room for `len` numbers of tensors that are not deflated, as in `safetensors` files.
    pub(super) fn allocate<T: Real>(&self, len: usize) -> Result<Aligned<T>, Error> {
        Aligned::try_zeros(len)
            .ok_or_else(|| io_error(&self.path, &no_room(Some(len), size_of::<T>())))
    }

    /// Inflates a deflated tensor, to check its size before its room is allocated.
    pub(super) fn confirm(&mut self, name: &str) -> Result<(), Error> {
        let entry = self.entry(name)?;
        if entry.place.deflated && entry.element.is_some() {
            self.for_each_bytes(name, CHUNK, |_, _, _| Ok(()))?;
        }
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Refuses a tensor with another shape.
    pub(super) fn check_shape(&self, name: &str, expected: &[usize]) -> Result<(), Error> {
        let shape = self.shape(name)?;
        if shape == expected {
            return Ok(());
        }
        let reason = format!("{name} must have the shape {expected:?}, has {shape:?}");
        Err(malformed(&self.path, reason))
    }

    /// Returns the rows and columns of a tensor of two dimensions above 0.
    pub(super) fn matrix_shape(&self, name: &str) -> Result<(usize, usize), Error> {
        match *self.shape(name)? {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            ref shape => {
                let reason = format!("{name} must be a matrix, has the shape {shape:?}");
                Err(malformed(&self.path, reason))
            }
        }
    }

    /// Reads the only number of a tensor.
    pub(super) fn scalar<T: Real>(&mut self, name: &str) -> Result<T, Error> {
        if count(self.shape(name)?) != Some(1) {
            let reason = format!("{name} must be one number, has {:?}", self.shape(name)?);
            return Err(malformed(&self.path, reason));
        }
        let mut value = [T::zero()];
        self.read_into(name, Rows::Contiguous, &mut value)?;
        Ok(value[0])
    }

    /// Reads a tensor of one dimension.
    pub(super) fn vector<T: Real>(&mut self, name: &str, len: usize) -> Result<Vec<T>, Error> {
        self.check_shape(name, &[len])?;
        self.confirm(name)?;
        let zeros = dtype::filled(T::zero(), Some(len));
        let mut values = zeros.map_err(|error| io_error(&self.path, &error))?;
        self.read_into(name, Rows::Contiguous, &mut values)?;
        Ok(values)
    }

    /// Streams a tensor into `place`, which has the same number of entries. Refuses numbers that are not finite, unless
    /// the tensor may have infinities.
    pub(super) fn read_into<T: Real>(
        &mut self,
        name: &str,
        rows: Rows,
        place: &mut [T],
    ) -> Result<(), Error> {
        self.read_checked_into(name, rows, place, position_of_invalid)
    }

    /// Runs [`read_into`](Self::read_into) for samples, in which NaN is a missing value.
    pub(super) fn read_samples_into<T: Real>(
        &mut self,
        name: &str,
        place: &mut [T],
    ) -> Result<(), Error> {
        let infinite = |_: &str, values: &[T]| values.iter().position(|x| x.to_f64().is_infinite());
        self.read_checked_into(name, Rows::Contiguous, place, infinite)
    }

    /// Streams a tensor into `place`. `refused` finds a number that the tensor may not have.
    fn read_checked_into<T: Real>(
        &mut self,
        name: &str,
        rows: Rows,
        place: &mut [T],
        refused: fn(&str, &[T]) -> Option<usize>,
    ) -> Result<(), Error> {
        let entry = self.entry(name)?;
        let rows_in_file = entry.shape.first().copied().unwrap_or(1);
        let columns = entry.shape.iter().skip(1).product();
        let (height, width) = if entry.column_major {
            // The file then holds a matrix of shape (c, r), row after row.
            (columns, rows_in_file)
        } else {
            (rows_in_file, columns)
        };
        let strided = (rows == Rows::Strided) != entry.column_major;
        debug_assert_eq!(height * width, place.len());
        if !strided || height <= 1 || width <= 1 {
            return self.for_each_chunk(name, CHUNK, refused, |first, values| {
                place[first..first + values.len()].copy_from_slice(values);
            });
        }
        let panel = (PANEL / width).min(PANEL_ROWS) * width;
        self.for_each_chunk(
            name,
            if panel == 0 { PANEL } else { panel },
            refused,
            |first, values| {
                scatter(
                    values,
                    (first / width, first % width),
                    (height, width),
                    place,
                );
            },
        )
    }

    /// Calls `each` with chunks of the numbers of a tensor, and the index of the first of a chunk. Refuses the number
    /// that `refused` finds.
    fn for_each_chunk<T: Real>(
        &mut self,
        name: &str,
        chunk: usize,
        refused: fn(&str, &[T]) -> Option<usize>,
        mut each: impl FnMut(usize, &[T]),
    ) -> Result<(), Error> {
        let path = self.path.clone();
        let mut values = Vec::new();
        self.for_each_bytes(name, chunk, |first, element, bytes| {
            values.resize(bytes.len() / element.size(), T::zero());
            element.decode(bytes, &mut values);
            if let Some(index) = refused(name, &values) {
                let mut number = [0.0_f64];
                element.decode(&bytes[index * element.size()..], &mut number);
                let reason = format!(
                    "{name} must be finite numbers of the model's scalar, has {} at {}",
                    number[0],
                    first + index
                );
                return Err(malformed(&path, reason));
            }
            each(first, &values);
            Ok(())
        })
    }

    /// Calls `each` with the bytes of a tensor, at most `chunk` numbers each time, and the index of the
    /// first of them.
    pub(super) fn for_each_bytes(
        &mut self,
        name: &str,
        chunk: usize,
        mut each: impl FnMut(usize, Element, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let entry = self.entry(name)?.clone();
        let Some(element) = entry.element else {
            return Err(unsupported_type(&self.path, name, &entry.dtype));
        };
        let size = element.size();
        let total = count(&entry.shape).unwrap_or(0); // it was checked
        let path = self.path.clone();
        let mut reader = self.bytes(&entry.place)?;
        let mut crc = entry.place.checksum.map(|_| Crc::new());
        let mut read = |bytes: &mut [u8]| -> Result<(), Error> {
            reader
                .read_exact(bytes)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => malformed(&path, format!("{name} is cut off")),
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                        malformed(&path, format!("{name} cannot be inflated: {error}"))
                    }
                    _ => io_error(&path, &error),
                })?;
            if let Some(crc) = &mut crc {
                crc.update(bytes);
            }
            Ok(())
        };
        read(&mut vec![0; entry.place.skip])?;
        let mut bytes = vec![0; total.min(chunk) * size];
        let mut first = 0;
        while first < total {
            let len = chunk.min(total - first);
            let bytes = &mut bytes[..len * size];
            read(bytes)?;
            if entry.big_endian {
                element.swap(bytes);
            }
            each(first, element, bytes)?;
            first += len;
        }
        if entry.place.checksum != crc.map(|crc| crc.sum()) {
            let reason = format!("{name} is not what its checksum says");
            return Err(malformed(&path, reason));
        }
        Ok(())
    }

    fn bytes(&mut self, place: &Place) -> Result<Box<dyn Read + '_>, Error> {
        self.source
            .seek(SeekFrom::Start(place.offset))
            .map_err(|error| io_error(&self.path, &error))?;
        let bytes = (&mut self.source).take(place.length);
        Ok(if place.deflated {
            Box::new(DeflateDecoder::new(bytes))
        } else {
            Box::new(bytes)
        })
    }
}

/// Returns the place of a number that a file may not have: of NaN, and of an infinity except for an infinite score.
pub(super) fn position_of_invalid<T: Real>(name: &str, values: &[T]) -> Option<usize> {
    let is_score = name.ends_with(SCORES);
    let is_valid = |value: T| value.is_finite() || (is_score && value > T::zero());
    values.iter().position(|&value| !is_valid(value))
}

/// Copies consecutive numbers of a row-major `height × width` matrix, from (row, column) on, to their
/// places in the column-major matrix.
fn scatter<T: Real>(
    values: &[T],
    (row, column): (usize, usize),
    (height, width): (usize, usize),
    place: &mut [T],
) {
    if column == 0 && values.len().is_multiple_of(width) {
        let rows = values.len() / width;
        for (column, place) in place.chunks_exact_mut(height).enumerate() {
            for (row, value) in place[row..row + rows].iter_mut().enumerate() {
                *value = values[row * width + column];
            }
        }
    } else {
        // A part of one row, or of two.
        for (index, &value) in (row * width + column..).zip(values) {
            place[index % width * height + index / width] = value;
        }
    }
}

/// Copies rows `first..` of a column-major `height × width` matrix to the row-major `panel`, as many as it
/// has room for.
pub(super) fn gather<T: Real>(
    values: &[T],
    first: usize,
    (height, width): (usize, usize),
    panel: &mut [T],
) {
    for (column, values) in values.chunks_exact(height).enumerate() {
        for (row, &value) in values[first..first + panel.len() / width]
            .iter()
            .enumerate()
        {
            panel[row * width + column] = value;
        }
    }
}

/// Returns how many rows of a matrix of this width are gathered together.
pub(super) fn panel_rows(height: usize, width: usize) -> usize {
    (PANEL / width).clamp(1, PANEL_ROWS).min(height)
}

#[cfg(test)]
mod tests {
    use super::{gather, scatter};

    #[test]
    fn a_matrix_is_transposed_by_chunks_of_any_size() {
        for (height, width) in [(1, 1), (3, 5), (5, 3), (7, 1), (1, 7), (33, 4)] {
            let len = height * width;
            let rows: Vec<f64> = (0..len).map(|k| k as f64).collect();
            let entry = |k: usize| (k % height * width + k / height) as f64;
            let columns: Vec<f64> = (0..len).map(entry).collect();
            for chunk in 1..=len {
                let mut place = vec![-1.0; len];
                for (index, values) in rows.chunks(chunk).enumerate() {
                    let first = index * chunk;
                    let at = (first / width, first % width);
                    scatter(values, at, (height, width), &mut place);
                }
                assert_eq!(place, columns, "{height} × {width} by {chunk}");
            }
            for panel in 1..=height {
                let mut back = Vec::new();
                for first in (0..height).step_by(panel) {
                    let mut rows = vec![-1.0; panel.min(height - first) * width];
                    gather(&columns, first, (height, width), &mut rows);
                    back.extend(rows);
                }
                assert_eq!(back, rows, "{height} × {width} by {panel} rows");
            }
        }
    }
}
