//! Reads samples into a batch.

use nalgebra::DMatrixView;

use crate::error::Error;
use crate::linalg::{Threads, join};
use crate::{Real, Samples, SparseAutoencoder};

/// Entries below which waking a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 14;

/// Reads the chosen samples into `batch`.
///
/// Samples outside memory are checked here, and read by several threads, because the operating system
/// takes most of the time.
pub(super) fn read<T: Real>(
    model: &SparseAutoencoder<T>,
    samples: &dyn Samples<T>,
    chosen: &[usize],
    batch: &mut [T],
    threads: Threads,
) -> Result<(), Error> {
    if samples.in_memory().is_some() {
        return samples.read(chosen, batch); // checked before
    }
    if threads.count() < 2 || batch.len() < PARALLEL_FROM {
        return read_part(model, samples, chosen, batch, 0);
    }
    let depth = threads.count().next_power_of_two().ilog2();
    threads.enter(|| read_part(model, samples, chosen, batch, depth))
}

fn read_part<T: Real>(
    model: &SparseAutoencoder<T>,
    samples: &dyn Samples<T>,
    chosen: &[usize],
    batch: &mut [T],
    depth: u32,
) -> Result<(), Error> {
    let input_size = model.layout().input_size();
    if depth > 0 && chosen.len() > 1 {
        let (one, other) = chosen.split_at(chosen.len() / 2);
        let (first, second) = batch.split_at_mut(one.len() * input_size);
        let (mut of_first, mut of_second) = (Ok(()), Ok(()));
        join(
            || of_first = read_part(model, samples, one, first, depth - 1),
            || of_second = read_part(model, samples, other, second, depth - 1),
        );
        return of_first.and(of_second);
    }
    samples.read(chosen, batch)?;
    let view = DMatrixView::from_slice(batch, input_size, chosen.len());
    model.check_training_samples(view).map_err(|mut error| {
        if let Error::NonFinite { column, .. } | Error::OutOfRange { column, .. } = &mut error {
            *column = chosen[*column]; // the index among all samples
        }
        error
    })
}
