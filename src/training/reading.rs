//! Reads samples into a batch.

use nalgebra::DMatrixView;

use crate::data::samples;
use crate::error::Error;
use crate::linalg::{Threads, join};
use crate::{Real, Samples, SparseAutoencoder};

/// Entries below which waking a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 15;

/// Reads the chosen samples into `batch`, and checks those outside memory as [samples of
/// training](SparseAutoencoder::check_training_samples).
pub(super) fn read<T: Real>(
    model: &SparseAutoencoder<T>,
    samples: &dyn Samples<T>,
    chosen: &[usize],
    batch: &mut [T],
    threads: Threads,
) -> Result<(), Error> {
    let check = |samples: DMatrixView<'_, T>| model.check_training_samples(samples);
    read_checked(samples, chosen, batch, threads, &check)
}

/// Reads the chosen samples into `batch`.
///
/// Samples outside memory are checked by `check`, and read by several threads, because the operating system
/// takes most of the time.
pub(crate) fn read_checked<T: Real>(
    samples: &dyn Samples<T>,
    chosen: &[usize],
    batch: &mut [T],
    threads: Threads,
    check: &Check<'_, T>,
) -> Result<(), Error> {
    if samples.in_memory().is_some() {
        return samples::read(samples, chosen, batch); // checked before
    }
    if threads.count() < 2 || batch.len() < PARALLEL_FROM {
        return read_part(samples, chosen, batch, check, 0);
    }
    let depth = threads.count().next_power_of_two().ilog2();
    threads.enter(|| read_part(samples, chosen, batch, check, depth))
}

type Check<'a, T> = dyn Fn(DMatrixView<'_, T>) -> Result<(), Error> + Sync + 'a;

fn read_part<T: Real>(
    samples: &dyn Samples<T>,
    chosen: &[usize],
    batch: &mut [T],
    check: &Check<'_, T>,
    depth: u32,
) -> Result<(), Error> {
    let entries = samples.entries();
    if depth > 0 && chosen.len() > 1 {
        let (one, other) = chosen.split_at(chosen.len() / 2);
        let (first, second) = batch.split_at_mut(one.len() * entries);
        let (mut of_first, mut of_second) = (Ok(()), Ok(()));
        join(
            || of_first = read_part(samples, one, first, check, depth - 1),
            || of_second = read_part(samples, other, second, check, depth - 1),
        );
        return of_first.and(of_second);
    }
    samples::read(samples, chosen, batch)?;
    let batch = DMatrixView::from_slice(batch, entries, chosen.len());
    check(batch).map_err(|error| error.at_sample(|column| chosen[column]))
}
