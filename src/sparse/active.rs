//! The active units of a batch, by sample and by unit.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::compact::compact_pairs;
use crate::Real;
use crate::linalg::{Divide, Scratch, Write, divide};

/// The active units of each sample, and the samples in which each unit is active.
///
/// Indices have 32 bits, which halves the memory to read.
#[derive(Debug, Clone)]
pub(crate) struct ActiveUnits<T> {
    /// The capacity of each sample.
    stride: usize,
    /// The number of active units of each sample.
    lens: Vec<u32>,
    /// The active units of sample `i`, ascending, and their activations, from `i · stride` on.
    units: Vec<u32>,
    values: Vec<T>,
    /// Where unit `j` starts in the vectors below; one more at the end.
    starts: Vec<usize>,
    /// The samples in which each unit is active, ascending, and its activations.
    samples: Vec<u32>,
    activations: Vec<T>,
    /// A slope of each of these activations.
    slopes: Vec<T>,
    /// A second slope of each, for passes that need two.
    second_slopes: Vec<T>,
}

/// [`ActiveUnits`] sorted by unit.
pub(super) struct ByUnit<'a, T> {
    /// Where each unit starts in the slices below; one more at the end.
    pub(super) starts: &'a [usize],
    pub(super) samples: &'a [u32],
    pub(super) activations: &'a [T],
    /// One slope of each activation.
    pub(super) slopes: &'a mut [T],
    /// A second slope of each activation. Empty if unused.
    pub(super) second_slopes: &'a mut [T],
}

impl<T> Default for ActiveUnits<T> {
    fn default() -> Self {
        Self {
            stride: 0,
            lens: Vec::new(),
            units: Vec::new(),
            values: Vec::new(),
            starts: Vec::new(),
            samples: Vec::new(),
            activations: Vec::new(),
            slopes: Vec::new(),
            second_slopes: Vec::new(),
        }
    }
}

/// Columns of a matrix, with the room for the active units of each.
struct Columns<'a, T> {
    rows: usize,
    stride: usize,
    matrix: &'a mut [T],
    lens: &'a mut [u32],
    units: &'a mut [u32],
    values: &'a mut [T],
}

impl<T: Real> Divide for Columns<'_, T> {
    fn halves(self) -> Result<(Self, Self), Self> {
        let half = self.lens.len() / 2;
        if half == 0 {
            return Err(self);
        }
        let (rows, stride) = (self.rows, self.stride);
        let matrix = self.matrix.split_at_mut(half * rows);
        let lens = self.lens.split_at_mut(half);
        let units = self.units.split_at_mut(half * stride);
        let values = self.values.split_at_mut(half * stride);
        let part = |matrix, lens, units, values| Self {
            rows,
            stride,
            matrix,
            lens,
            units,
            values,
        };
        Ok((
            part(matrix.0, lens.0, units.0, values.0),
            part(matrix.1, lens.1, units.1, values.1),
        ))
    }
}

impl<T: Real> ActiveUnits<T> {
    /// Reserves room for `stride` active units in each of `samples` samples.
    pub(crate) fn prepare(&mut self, samples: usize, stride: usize) {
        self.stride = stride;
        if self.lens.len() < samples {
            self.lens.resize(samples, 0);
        }
        if self.values.len() < samples * stride {
            self.units.resize(samples * stride, 0);
            self.values.resize(samples * stride, T::zero());
        }
    }

    /// Fills samples from `first` on, one for each column of `matrix`. `pick(column, units, values)` writes
    /// the active units, ascending, and returns their number.
    pub(crate) fn fill(
        &mut self,
        matrix: &mut [T],
        rows: usize,
        first: usize,
        scratch: &Scratch<T>,
        pick: impl Fn(&mut [T], &mut [u32], &mut [T]) -> usize + Sync,
    ) {
        let (count, stride) = (matrix.len() / rows, self.stride);
        let columns = Columns {
            rows,
            stride,
            lens: &mut self.lens[first..first + count],
            units: &mut self.units[first * stride..(first + count) * stride],
            values: &mut self.values[first * stride..(first + count) * stride],
            matrix,
        };
        let depth = scratch.threads.depth_for(columns.matrix.len());
        divide(columns, depth, &|columns: Columns<'_, T>| {
            let stride = columns.stride;
            let entries = columns
                .units
                .chunks_exact_mut(stride)
                .zip(columns.values.chunks_exact_mut(stride));
            let matrix = columns.matrix.chunks_exact_mut(columns.rows);
            for ((column, len), (units, values)) in matrix.zip(columns.lens).zip(entries) {
                *len = index(pick(column, units, values));
            }
        });
    }

    /// Collects the entries of `h` for which `counts` is true. Returns `false` if they are more than an
    /// eighth of a column.
    ///
    /// `counts` must be false for a positive 0.
    pub(crate) fn compress(
        &mut self,
        h: &mut [T],
        rows: usize,
        counts: impl Fn(T) -> bool + Sync,
        scratch: &Scratch<T>,
    ) -> bool {
        let samples = h.len() / rows;
        self.prepare(samples, rows.div_ceil(8));
        self.fill(h, rows, 0, scratch, |column, units, values| {
            compact_pairs(column, &counts, units, values)
        });
        self.lens[..samples]
            .iter()
            .all(|&len| len as usize <= self.stride)
    }

    /// Replaces the activations by those of the same units in `h`, one sample per column of `rows` entries.
    pub(crate) fn revalue(&mut self, h: &[T], rows: usize) {
        for (i, h) in h.chunks_exact(rows).enumerate() {
            let active = self.active(i);
            let units = &self.units[active.clone()];
            for (value, &unit) in self.values[active].iter_mut().zip(units) {
                *value = h[unit as usize];
            }
        }
    }

    /// Returns the number of active units of the first `count` samples together.
    pub(crate) fn total(&self, count: usize) -> usize {
        self.lens[..count].iter().map(|&len| len as usize).sum()
    }

    /// Returns the place of a sample's active units.
    fn active(&self, i: usize) -> Range<usize> {
        let start = i * self.stride;
        start..start + self.lens[i] as usize
    }

    /// Returns the active units of a sample and their activations.
    pub(super) fn of_sample(&self, i: usize) -> (&[u32], &[T]) {
        let active = self.active(i);
        (&self.units[active.clone()], &self.values[active])
    }

    /// Sorts the first `count` samples by unit.
    pub(crate) fn sort_by_unit(&mut self, units: usize, count: usize) {
        self.starts.clear();
        self.starts.resize(units + 1, 0);
        for i in 0..count {
            for &unit in &self.units[self.active(i)] {
                self.starts[unit as usize + 1] += 1;
            }
        }
        let mut total = 0;
        for start in &mut self.starts {
            total += *start;
            *start = total;
        }
        if self.samples.len() < total {
            self.samples.resize(total, 0);
            self.activations.resize(total, T::zero());
            self.slopes.resize(total, T::zero());
        }
        // Filling a unit moves its start to its end, which is the start of the next.
        for i in 0..count {
            for slot in self.active(i) {
                let place = &mut self.starts[self.units[slot] as usize];
                self.samples[*place] = index(i);
                self.activations[*place] = self.values[slot];
                *place += 1;
            }
        }
        self.starts.copy_within(..units, 1);
        self.starts[0] = 0;
    }

    /// Returns whether unit `j` is active in a sample that was last sorted by unit.
    pub(crate) fn is_active(&self, j: usize) -> bool {
        self.starts[j] < self.starts[j + 1]
    }

    /// Returns the samples last sorted by unit, with a second slope of each activation if `two`.
    pub(super) fn by_unit(&mut self, two: bool) -> ByUnit<'_, T> {
        let total = self.starts[self.starts.len() - 1];
        let second = if two { total } else { 0 };
        if self.second_slopes.len() < second {
            self.second_slopes.resize(second, T::zero());
        }
        ByUnit {
            starts: &self.starts,
            samples: &self.samples[..total],
            activations: &self.activations[..total],
            slopes: &mut self.slopes[..total],
            second_slopes: &mut self.second_slopes[..second],
        }
    }

    /// `out ← D h` over the units in `range` alone; `out ← out + D h` with [`Write::Add`].
    pub(crate) fn decode(
        &self,
        out: &mut [T],
        write: Write,
        d: DMatrixView<'_, T>,
        range: &Range<usize>,
        scratch: &mut Scratch<T>,
    ) {
        let rows = d.nrows();
        scratch.run(out, rows, &mut [], |first, panel, _| {
            for (offset, column) in panel.chunks_exact_mut(rows).enumerate() {
                let (units, values) = self.of_sample(first + offset);
                let start = units.partition_point(|&unit| (unit as usize) < range.start);
                let end = units.partition_point(|&unit| (unit as usize) < range.end);
                let of = |unit: u32| d.column(unit as usize).data.into_slice();
                T::weighted_sum(column, write, end - start, |slot| {
                    (of(units[start + slot]), values[start + slot])
                });
            }
        });
    }
}

/// Returns the index of a unit or sample in 32 bits.
#[allow(clippy::cast_possible_truncation)] // more of them would not fit into memory
pub(super) fn index(value: usize) -> u32 {
    debug_assert!(u32::try_from(value).is_ok());
    value as u32
}
