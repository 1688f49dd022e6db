//! Checks of batches that callers pass in.

use nalgebra::DMatrixView;

use crate::linalg::{self, Threads};
use crate::{Error, Real};

/// The names of samples and of their rows in errors.
pub(crate) const SAMPLES: [&str; 2] = ["samples", "rows of the samples"];

/// Returns the size of equal chunks of `samples`, at most `most`. The last chunk may be smaller.
pub(crate) fn even_chunk(samples: usize, most: usize) -> usize {
    let chunks = samples.div_ceil(most).max(1);
    samples.div_ceil(chunks).max(1)
}

/// Refuses another size than `expected` of what is named `what`.
pub(crate) fn check_len(what: &'static str, expected: usize, actual: usize) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::DimensionMismatch {
        what,
        expected,
        actual,
    })
}

/// Refuses a matrix, named `what`, of another shape (rows, columns) than `expected`.
pub(crate) fn check_shape(
    what: &'static str,
    expected: (usize, usize),
    actual: (usize, usize),
) -> Result<(), Error> {
    check_len(what, expected.0, actual.0)?;
    check_len(what, expected.1, actual.1)
}

/// Refuses NaN and infinities in a slice, named `what`.
pub(crate) fn check_finite<T: Real>(what: &'static str, values: &[T]) -> Result<(), Error> {
    if linalg::all_finite(values) {
        return Ok(());
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::NonFinite {
            what,
            row,
            column: 0,
            value: values[row].to_f64(),
        }),
    }
}

/// Refuses a shape of the wrong height, or without samples.
pub(crate) fn check_size(
    (actual, count): (usize, usize),
    rows: usize,
    [what, what_rows]: [&'static str; 2],
) -> Result<(), Error> {
    check_len(what_rows, rows, actual)?;
    if count == 0 {
        return Err(Error::EmptyBatch { what });
    }
    Ok(())
}

/// Refuses a batch of the wrong height, without samples, or with NaN or infinities.
///
/// `what` names the batch, `what_rows` its rows.
pub(crate) fn check_batch<T: Real>(
    batch: DMatrixView<'_, T>,
    rows: usize,
    [what, what_rows]: [&'static str; 2],
) -> Result<(), Error> {
    check_batch_on(Threads::at_most(1), batch, rows, [what, what_rows])
}

/// Runs [`check_batch`] on several threads if the batch is large.
#[inline(never)]
pub(crate) fn check_batch_on<T: Real>(
    threads: Threads,
    batch: DMatrixView<'_, T>,
    rows: usize,
    [what, what_rows]: [&'static str; 2],
) -> Result<(), Error> {
    check_size(batch.shape(), rows, [what, what_rows])?;
    refuse(batch, what, threads, |value| !value.is_finite())
}

/// Refuses a batch of the wrong height, without samples, or with infinities. NaN is a missing value.
pub(crate) fn check_present<T: Real>(
    batch: DMatrixView<'_, T>,
    rows: usize,
    names: [&'static str; 2],
) -> Result<(), Error> {
    check_size(batch.shape(), rows, names)?;
    refuse_infinite(batch, names[0])
}

/// Refuses a batch with NaN or infinities.
pub(crate) fn refuse_non_finite<T: Real>(
    batch: DMatrixView<'_, T>,
    what: &'static str,
) -> Result<(), Error> {
    refuse(batch, what, Threads::at_most(1), |value| !value.is_finite())
}

/// Refuses a batch with infinities. NaN is a missing value.
pub(crate) fn refuse_infinite<T: Real>(
    batch: DMatrixView<'_, T>,
    what: &'static str,
) -> Result<(), Error> {
    let threads = Threads::at_most(1);
    refuse(batch, what, threads, |value| value.to_f64().is_infinite())
}

/// Refuses a batch with such values, which are not finite.
fn refuse<T: Real>(
    batch: DMatrixView<'_, T>,
    what: &'static str,
    threads: Threads,
    such: impl Fn(T) -> bool,
) -> Result<(), Error> {
    if linalg::all_finite_columns(batch, threads) {
        return Ok(());
    }
    for (column, sample) in batch.column_iter().enumerate() {
        if let Some(row) = sample.iter().position(|&value| such(value)) {
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
