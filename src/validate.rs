//! What a batch from outside must be before anything reads it.

use nalgebra::DMatrixView;

use crate::linalg::{self, Threads};
use crate::{Error, Real};

/// How many of `samples` to take at a time, at most `most`, so that every chunk but the last, which may be
/// a little smaller, has the same number.
pub(crate) fn even_chunk(samples: usize, most: usize) -> usize {
    let chunks = samples.div_ceil(most).max(1);
    samples.div_ceil(chunks).max(1)
}

/// Refuses a batch of the wrong height, named `what`.
pub(crate) fn check_rows<T: Real>(
    batch: DMatrixView<'_, T>,
    rows: usize,
    what: &'static str,
) -> Result<(), Error> {
    check_height(batch.nrows(), rows, what)
}

/// Refuses a batch of another number of samples, named `what`.
pub(crate) fn check_columns<T: Real>(
    batch: DMatrixView<'_, T>,
    samples: usize,
    what: &'static str,
) -> Result<(), Error> {
    check_height(batch.ncols(), samples, what)
}

fn check_height(actual: usize, expected: usize, what: &'static str) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::DimensionMismatch {
        what,
        expected,
        actual,
    })
}

/// Refuses a shape of the wrong height, or without samples.
pub(crate) fn check_size(
    (actual, count): (usize, usize),
    rows: usize,
    [what, what_rows]: [&'static str; 2],
) -> Result<(), Error> {
    check_height(actual, rows, what_rows)?;
    if count == 0 {
        return Err(Error::EmptyBatch { what });
    }
    Ok(())
}

/// Refuses a batch of the wrong height, without samples, or with NaN or an infinity. `what` names
/// the batch, `what_rows` its rows.
pub(crate) fn check_batch<T: Real>(
    batch: DMatrixView<'_, T>,
    rows: usize,
    [what, what_rows]: [&'static str; 2],
) -> Result<(), Error> {
    check_batch_on(Threads::at_most(1), batch, rows, [what, what_rows])
}

/// The same on several threads, if the batch is large.
pub(crate) fn check_batch_on<T: Real>(
    threads: Threads,
    batch: DMatrixView<'_, T>,
    rows: usize,
    [what, what_rows]: [&'static str; 2],
) -> Result<(), Error> {
    check_size(batch.shape(), rows, [what, what_rows])?;
    if linalg::all_finite_columns(batch, threads) {
        return Ok(());
    }
    for (column, sample) in batch.column_iter().enumerate() {
        if let Some(row) = sample.iter().position(|value| !value.is_finite()) {
            return Err(Error::NonFinite {
                what,
                row,
                column,
                value: sample[row].to_f64(),
            });
        }
    }
    Ok(())
}
