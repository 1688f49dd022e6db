//! Scores of samples with missing values.

use nalgebra::{DMatrix, DMatrixView};

use crate::Real;
use crate::data::imputer::is_missing;

/// Lets the present values of each sample stand for all: of d features, p of them present, a present one counts
/// d/p times, and a missing one not at all.
///
/// `parts` are the contributions of the features to the score. Those of complete samples stay, bit for bit.
pub(super) fn count_present<T: Real>(samples: DMatrixView<'_, T>, parts: &mut DMatrix<T>) {
    let features = samples.nrows();
    for (sample, mut parts) in samples.column_iter().zip(parts.column_iter_mut()) {
        let present = features - sample.iter().filter(|&&value| is_missing(value)).count();
        if present == features {
            continue;
        }
        let [features, present] = [features, present].map(f64::of_count);
        let factor = T::of(features / present);
        for (part, &value) in parts.iter_mut().zip(sample.iter()) {
            *part = if is_missing(value) {
                T::zero()
            } else {
                *part * factor
            };
        }
    }
}

/// Returns the columns of the samples with missing values.
pub(super) fn incomplete<T: Real>(samples: DMatrixView<'_, T>) -> Vec<usize> {
    let incomplete = |&k: &usize| samples.column(k).iter().any(|&value| is_missing(value));
    (0..samples.ncols()).filter(incomplete).collect()
}
