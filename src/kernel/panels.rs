//! Passes over a matrix by panels of columns, each panel on whichever thread is free.

use super::{Scratch, Threads};
use crate::Real;

/// Columns of one panel. Fixed, so that sums over panels have the same terms in the same order for
/// any number of threads.
const PANEL: usize = 32;

/// The sums of each panel, before they are added up: reused from pass to pass.
#[derive(Debug, Clone)]
pub(super) struct Partials<T> {
    sums: Vec<T>,
}

impl<T> Default for Partials<T> {
    fn default() -> Self {
        Self { sums: Vec::new() }
    }
}

impl<T: Real> Scratch<T> {
    /// Runs `body(first column, panel, sums)` over panels of the columns of `matrix`, `rows` long,
    /// and writes to `totals` what the bodies have added to `sums`, which starts at 0 for each.
    ///
    /// The bits of `totals` do not depend on the number of threads.
    pub(crate) fn run(
        &mut self,
        matrix: &mut [T],
        rows: usize,
        totals: &mut [T],
        body: impl Fn(usize, &mut [T], &mut [T]) + Sync + Send,
    ) {
        let width = rows * PANEL;
        if matrix.len() <= width {
            totals.fill(T::zero());
            body(0, matrix, totals);
            return;
        }
        let panels = matrix.len().div_ceil(width);
        let (count, stride) = (totals.len(), totals.len().max(1));
        let sums = &mut self.partials.sums;
        if sums.len() < panels * stride {
            sums.resize(panels * stride, T::zero());
        }
        let sums = &mut sums[..panels * stride];
        let task = |(panel, (columns, sums)): (usize, (&mut [T], &mut [T]))| {
            sums.fill(T::zero());
            body(panel * PANEL, columns, &mut sums[..count]);
        };
        for_each_panel(matrix, width, sums, stride, self.threads, task);
        totals.copy_from_slice(&sums[..count]);
        for panel in sums.chunks_exact(stride).skip(1) {
            for (total, &sum) in totals.iter_mut().zip(panel) {
                *total += sum;
            }
        }
    }
}

fn for_each_panel<T: Real>(
    matrix: &mut [T],
    width: usize,
    sums: &mut [T],
    stride: usize,
    threads: Threads,
    task: impl Fn((usize, (&mut [T], &mut [T]))) + Sync + Send,
) {
    #[cfg(feature = "rayon")]
    if threads.for_pass(matrix.len()) {
        use rayon::prelude::*;
        matrix
            .par_chunks_mut(width)
            .zip(sums.par_chunks_mut(stride))
            .enumerate()
            .for_each(task);
        return;
    }
    let _ = threads;
    matrix
        .chunks_mut(width)
        .zip(sums.chunks_mut(stride))
        .enumerate()
        .for_each(task);
}
