//! Compressed sparse columns (CSC): the nonzero entries, column after column, without gaps.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::active::ActiveUnits;
use super::compact::compact_pairs;
use crate::Real;
use crate::linalg::{Divide, Scratch, Write, divide, vectorize};

/// A matrix in compressed sparse columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Csc<T> {
    /// Where each column starts in the vectors below; one more at the end.
    pub(crate) offsets: Vec<usize>,
    /// The row of each value, ascending within a column.
    pub(crate) rows: Vec<u32>,
    pub(crate) values: Vec<T>,
}

impl<T: Real> Csc<T> {
    /// Returns a matrix without columns.
    pub(crate) fn new() -> Self {
        Self {
            offsets: vec![0],
            rows: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Removes all columns, and keeps the capacity.
    pub(crate) fn clear(&mut self) {
        self.offsets.truncate(1);
        self.rows.clear();
        self.values.clear();
    }

    /// Returns the number of columns.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Returns the rows and values of a column, or `None` beyond the last.
    pub(crate) fn column(&self, column: usize) -> Option<(&[u32], &[T])> {
        let range = *self.offsets.get(column)?..*self.offsets.get(column + 1)?;
        Some((&self.rows[range.clone()], &self.values[range]))
    }

    /// Appends the columns of `matrix`, which has `rows` rows.
    pub(crate) fn append(&mut self, matrix: &[T], rows: usize, scratch: &Scratch<T>) {
        let (first, depth) = (self.len(), scratch.threads.depth_for(matrix.len()));
        self.offsets.resize(first + 1 + matrix.len() / rows, 0);
        let counts = Counts {
            rows,
            matrix,
            counts: &mut self.offsets[first + 1..],
        };
        divide(counts, depth, &Counts::count);

        let start = self.offsets[first];
        let mut total = start;
        for offset in &mut self.offsets[first + 1..] {
            total += *offset;
            *offset = total;
        }
        self.rows.resize(total, 0);
        self.values.resize(total, T::zero());
        let columns = Columns {
            height: rows,
            matrix,
            offsets: &self.offsets[first..],
            rows: &mut self.rows[start..],
            values: &mut self.values[start..],
        };
        divide(columns, depth, &Columns::fill);
    }

    /// Appends the first `count` samples of `active`.
    pub(crate) fn append_active(&mut self, active: &ActiveUnits<T>, count: usize) {
        for sample in 0..count {
            let (units, values) = active.of_sample(sample);
            self.rows.extend_from_slice(units);
            self.values.extend_from_slice(values);
            self.offsets.push(self.rows.len());
        }
    }

    /// `out ← D C` for a range of columns C.
    pub(crate) fn product(
        &self,
        out: &mut [T],
        d: DMatrixView<'_, T>,
        columns: Range<usize>,
        scratch: &mut Scratch<T>,
    ) {
        let ends = &self.offsets[columns.start..=columns.end];
        scratch.run(out, d.nrows(), &mut [], |first, panel, _| {
            let panel = panel.chunks_exact_mut(d.nrows());
            for (out, ends) in panel.zip(ends[first..].windows(2)) {
                let rows = &self.rows[ends[0]..ends[1]];
                let values = &self.values[ends[0]..ends[1]];
                let of = |row: u32| d.column(row as usize).data.into_slice();
                T::weighted_sum(out, Write::Over, rows.len(), |slot| {
                    (of(rows[slot]), values[slot])
                });
            }
        });
    }
}

/// Columns of a matrix, and the number of nonzero entries of each.
struct Counts<'a, T> {
    rows: usize,
    matrix: &'a [T],
    counts: &'a mut [usize],
}

impl<T: Real> Divide for Counts<'_, T> {
    fn halves(self) -> Result<(Self, Self), Self> {
        let half = self.counts.len() / 2;
        if half == 0 {
            return Err(self);
        }
        let rows = self.rows;
        let matrix = self.matrix.split_at(half * rows);
        let counts = self.counts.split_at_mut(half);
        let part = |matrix, counts| Self {
            rows,
            matrix,
            counts,
        };
        Ok((part(matrix.0, counts.0), part(matrix.1, counts.1)))
    }
}

impl<T: Real> Counts<'_, T> {
    fn count(self) {
        let columns = self.matrix.chunks_exact(self.rows);
        for (column, count) in columns.zip(self.counts) {
            *count = vectorize(
                #[inline(always)]
                || column.iter().filter(|value| **value != T::zero()).count(),
            );
        }
    }
}

/// Columns of a matrix, and the room for their nonzero entries.
struct Columns<'a, T> {
    height: usize,
    matrix: &'a [T],
    /// The first belongs to the first entry of `rows` and `values`.
    offsets: &'a [usize],
    rows: &'a mut [u32],
    values: &'a mut [T],
}

impl<T: Real> Divide for Columns<'_, T> {
    fn halves(self) -> Result<(Self, Self), Self> {
        let half = (self.offsets.len() - 1) / 2;
        if half == 0 {
            return Err(self);
        }
        let height = self.height;
        let entries = self.offsets[half] - self.offsets[0];
        let matrix = self.matrix.split_at(half * height);
        let offsets = (&self.offsets[..=half], &self.offsets[half..]);
        let rows = self.rows.split_at_mut(entries);
        let values = self.values.split_at_mut(entries);
        let part = |matrix, offsets, rows, values| Self {
            height,
            matrix,
            offsets,
            rows,
            values,
        };
        Ok((
            part(matrix.0, offsets.0, rows.0, values.0),
            part(matrix.1, offsets.1, rows.1, values.1),
        ))
    }
}

impl<T: Real> Columns<'_, T> {
    fn fill(self) {
        let start = self.offsets[0];
        let columns = self.matrix.chunks_exact(self.height);
        for (column, ends) in columns.zip(self.offsets.windows(2)) {
            let room = ends[0] - start..ends[1] - start;
            let (rows, values) = (&mut self.rows[room.clone()], &mut self.values[room]);
            compact_pairs(column, |value| value != T::zero(), rows, values);
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // values are copied, not computed
mod tests {
    use super::*;

    #[test]
    fn columns_are_appended_without_their_zeros() {
        let mut columns = Csc::new();
        let scratch = &Scratch::default();
        columns.append(&[0.0, 2.0, -1.0, 0.0, 0.0, -0.0_f64], 3, scratch);
        columns.append(&[f64::NAN, 0.0, 5.0], 3, scratch);
        assert_eq!(columns.offsets, [0, 2, 2, 4]);
        assert_eq!(columns.rows, [1, 2, 0, 2]);
        assert_eq!(columns.values[..2], [2.0, -1.0]);
        assert!(columns.values[2].is_nan());
        assert_eq!(columns.column(0), Some((&[1, 2][..], &[2.0, -1.0][..])));
        assert_eq!(columns.column(1), Some((&[][..], &[][..])));
        assert_eq!(columns.column(3), None);
    }

    #[test]
    fn a_product_is_a_sum_over_the_entries_alone() {
        let mut columns = Csc::new();
        let scratch = &mut Scratch::default();
        columns.append(
            &[0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0_f64],
            3,
            scratch,
        );
        let d = [1.0, 10.0, 2.0, 20.0, 4.0, 40.0];
        let mut out = [7.0; 4];
        columns.product(&mut out, DMatrixView::from_slice(&d, 2, 3), 1..3, scratch);
        assert_eq!(out, [0.0, 0.0, 3.0, 30.0]);
    }
}
