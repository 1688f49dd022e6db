//! Passes over a matrix by panels of columns, on any number of threads.

use super::Scratch;
use super::aligned::{Aligned, line};
use super::parallel::{Divide, divide};
use crate::Real;

/// Columns of a panel. The number is constant, so that sums over panels add the same terms in the same
/// order for any number of threads.
const PANEL: usize = 32;

/// The sums of each panel, before they are added up. Reused by every pass.
#[derive(Debug, Clone)]
pub(super) struct Partials<T> {
    sums: Aligned<T>,
}

impl<T> Default for Partials<T> {
    fn default() -> Self {
        Self {
            sums: Aligned::new(),
        }
    }
}

/// A function of the index of the first column, a panel, and the panel's sums.
type Body<'a, T> = dyn Fn(usize, &mut [T], &mut [T]) + Sync + 'a;

impl<T: Real> Scratch<T> {
    /// Runs `body(first, panel, sums)` on panels of the columns of `matrix`, which has `rows` rows.
    ///
    /// `first` is the index of the panel's first column. `sums` starts at 0 for each panel, and the
    /// panels' sums are added up in `totals`. Their bits do not depend on the number of threads.
    pub(crate) fn run(
        &mut self,
        matrix: &mut [T],
        rows: usize,
        totals: &mut [T],
        body: impl Fn(usize, &mut [T], &mut [T]) + Sync,
    ) {
        self.run_panels(matrix, rows, totals, &body);
    }

    /// Implements [`run`](Self::run) behind `dyn`, so that it is compiled once for all bodies.
    fn run_panels(&mut self, matrix: &mut [T], rows: usize, totals: &mut [T], body: &Body<'_, T>) {
        let width = rows * PANEL;
        if matrix.len() <= width {
            totals.fill(T::zero());
            body(0, matrix, totals);
            return;
        }
        let panels = matrix.len().div_ceil(width);
        let depth = self.threads.depth_for(matrix.len());
        let count = totals.len();
        let stride = count.max(1).next_multiple_of(line::<T>());
        let sums = &mut self.partials.sums;
        sums.grow(panels * stride);
        let sums = &mut sums[..panels * stride];
        let whole = Panels {
            first: 0,
            rows,
            matrix,
            sums,
            stride,
        };
        divide(whole, depth, &|part: Panels<'_, T>| {
            part.for_each(count, body)
        });
        totals.copy_from_slice(&sums[..count]);
        for panel in sums.chunks_exact(stride).skip(1) {
            for (total, &sum) in totals.iter_mut().zip(panel) {
                *total += sum;
            }
        }
    }
}

/// Consecutive panels of a matrix, and the sums of each.
struct Panels<'a, T> {
    /// The index of the first column in the matrix.
    first: usize,
    rows: usize,
    matrix: &'a mut [T],
    sums: &'a mut [T],
    stride: usize,
}

impl<T: Real> Panels<'_, T> {
    fn for_each(self, count: usize, body: &Body<'_, T>) {
        let panels = self.matrix.chunks_mut(self.rows * PANEL);
        let sums = self.sums.chunks_exact_mut(self.stride);
        for (panel, (columns, sums)) in panels.zip(sums).enumerate() {
            sums.fill(T::zero());
            body(self.first + panel * PANEL, columns, &mut sums[..count]);
        }
    }
}

impl<T: Send> Divide for Panels<'_, T> {
    fn halves(self) -> Result<(Self, Self), Self> {
        let panels = self.sums.len() / self.stride;
        if panels < 2 {
            return Err(self);
        }
        let half = panels / 2;
        let (matrix, rest) = self.matrix.split_at_mut(half * PANEL * self.rows);
        let (sums, other_sums) = self.sums.split_at_mut(half * self.stride);
        let second = Panels {
            first: self.first + half * PANEL,
            matrix: rest,
            sums: other_sums,
            ..self
        };
        Ok((
            Panels {
                matrix,
                sums,
                ..self
            },
            second,
        ))
    }
}
