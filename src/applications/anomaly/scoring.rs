//! Scores of samples, complete or not, and the contributions of features to them.

use nalgebra::{DMatrix, DMatrixView, DVector};

use super::AnomalyDetector;
use crate::data::imputer::is_missing;
use crate::data::in_order::InOrder;
use crate::error::Error;
use crate::linalg::reserve;
use crate::validate::SAMPLES;
use crate::{Real, Samples, Workspace};

/// The number of samples scored together, which bounds the memory of scaled copies.
pub(super) const CHUNK: usize = 1024;

/// Passes over samples with this number of features by [`CHUNK`]s, which may miss values if that is accepted.
pub(super) fn passes<T: Real>(
    samples: &dyn Samples<T>,
    features: usize,
    accepts_missing: bool,
) -> Result<InOrder<'_, T>, Error> {
    let begin = match accepts_missing {
        false => InOrder::by,
        true => InOrder::with_missing,
    };
    begin(CHUNK, samples, features, SAMPLES)
}

impl<T: Real> AnomalyDetector<T> {
    /// Scores unscaled samples, [`CHUNK`] at a time.
    pub(super) fn scores_of(&self, samples: &dyn Samples<T>) -> Result<DVector<T>, Error> {
        let features = self.scaler.features();
        let mut passes = passes(samples, features, self.imputer.is_some())?;
        let mut scores = reserve::filled(T::zero(), passes.count(), "number of samples")?;
        let mut workspace = Workspace::new();
        let mut scaled = Vec::new();
        let mut errors = DVector::zeros(0);
        passes.each(|first, batch| {
            scaled.clear();
            scaled.extend(batch.iter());
            if let Some(imputer) = &self.imputer {
                let samples = scaled.chunks_exact_mut(features.max(1));
                samples.for_each(|sample| imputer.impute(sample));
            }
            self.scaler.apply_in_place(&mut scaled);
            let view = DMatrixView::from_slice(&scaled, features, batch.ncols());
            errors.resize_vertically_mut(batch.ncols(), T::zero());
            let model = &self.model;
            model.reconstruction_errors_into(view, &mut errors, &mut workspace)?;
            if self.imputer.is_some() {
                let incomplete = incomplete(batch);
                if !incomplete.is_empty() {
                    let samples = batch.select_columns(&incomplete);
                    let scaled = view.select_columns(&incomplete);
                    let parts = self.parts((&samples).into(), &scaled)?;
                    for (&index, parts) in incomplete.iter().zip(parts.column_iter()) {
                        errors[index] = parts.sum();
                    }
                }
            }
            for (score, &error) in scores[first..].iter_mut().zip(errors.iter()) {
                *score = unless_nan(error);
            }
            Ok(())
        })?;
        Ok(DVector::from_vec(scores))
    }

    /// Returns the contribution of each feature to the score of each sample.
    pub(super) fn parts(
        &self,
        samples: DMatrixView<'_, T>,
        scaled: &DMatrix<T>,
    ) -> Result<DMatrix<T>, Error> {
        let mut parts = DMatrix::zeros(scaled.nrows(), scaled.ncols());
        self.model
            .reconstruct_any(scaled.as_view(), &mut parts, &mut Workspace::new())?;
        parts.zip_apply(scaled, |x_hat, x| {
            let error = *x_hat - x;
            *x_hat = unless_nan(error * error);
        });
        count_present(samples, &mut parts);
        Ok(parts)
    }

    /// Returns the samples as the model takes them.
    pub(super) fn scaled(&self, samples: DMatrixView<'_, T>) -> Result<DMatrix<T>, Error> {
        match &self.imputer {
            None => self.scaler.apply(samples),
            Some(imputer) => self.scaler.apply(imputer.apply(samples)?),
        }
    }
}

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

/// Sorts scores, the smallest first.
pub(super) fn sort<T: Real>(scores: &mut [T]) {
    scores.sort_unstable_by(|a, b| a.to_f64().total_cmp(&b.to_f64()));
}

/// Returns the number of sorted scores that are at least `score`.
pub(super) fn as_high<T: Real>(sorted: &[T], score: T) -> usize {
    sorted.len() - sorted.partition_point(|&other| other < score)
}

/// Returns the error, or infinity instead of NaN, which would compare as below every threshold.
pub(super) fn unless_nan<T: Real>(error: T) -> T {
    if error >= T::zero() {
        error
    } else {
        T::of(f64::INFINITY)
    }
}
