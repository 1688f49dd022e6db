//! The features that vary in samples of any source.

use crate::applications::anomaly::scoring::passes;
use crate::data::imputer::is_missing;
use crate::data::samples::read_kept;
use crate::linalg::reserve;
use crate::{Error, Real, Samples};

/// The samples of another source, with some of their features.
pub(super) struct KeptFeatures<'a, T> {
    pub(super) samples: &'a dyn Samples<T>,
    /// The features, all below those of the source.
    pub(super) kept: &'a [usize],
}

impl<T: Real> Samples<T> for KeptFeatures<'_, T> {
    fn count(&self) -> usize {
        self.samples.count()
    }

    fn entries(&self) -> usize {
        self.kept.len()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let batch = (self.kept.len(), batch);
        read_kept(self.samples, indices, batch, |to, from| {
            for (to, &feature) in to.iter_mut().zip(self.kept) {
                *to = from[feature];
            }
        })
    }
}

/// Returns whether each feature has two values, in one pass. Missing values do not count, if they are accepted.
pub(super) fn variation<T: Real>(
    samples: &dyn Samples<T>,
    accepts_missing: bool,
) -> Result<Vec<bool>, Error> {
    let features = samples.entries();
    let mut passes = passes(samples, features, accepts_missing)?;
    let mut first = reserve::filled(T::of(f64::NAN), features, "features")?;
    let mut varies = reserve::filled(false, features, "features")?;
    passes.each(|_, batch| {
        for sample in batch.column_iter() {
            for ((varies, first), &x) in varies.iter_mut().zip(&mut first).zip(sample.iter()) {
                if is_missing(*first) {
                    *first = x;
                } else if !is_missing(x) {
                    *varies |= x != *first;
                }
            }
        }
        Ok(())
    })?;
    Ok(varies)
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::{KeptFeatures, variation};
    use crate::Samples;
    use crate::data::samples::AT_A_TIME;

    #[test]
    fn kept_features_are_rows_of_the_samples() {
        let samples = DMatrix::from_fn(5, 1000, |i, j| ((i * 31 + j * 17) % 23) as f32);
        let kept = [1, 2, 4];
        let kept = KeptFeatures {
            samples: &samples,
            kept: &kept,
        };
        let chosen: Vec<usize> = (0..2 * AT_A_TIME + 9).map(|k| k * 389 % 1000).collect();
        let mut batch = DMatrix::zeros(3, chosen.len());
        kept.read(&chosen, batch.as_mut_slice()).unwrap();
        let expected = samples.select_rows(&[1, 2, 4]).select_columns(&chosen);
        assert_eq!(batch, expected);
        assert!(kept.read(&[1000], &mut [0.0; 3]).is_err());
        assert!(kept.read(&[0], &mut [0.0; 5]).is_err());
    }

    #[test]
    fn a_feature_varies_from_the_first_sample_that_differs() {
        let mut samples = DMatrix::from_element(3, 70_000, 4.0);
        samples[(1, 69_999)] = 5.0;
        assert_eq!(variation(&samples, false).unwrap(), [false, true, false]);
    }

    #[test]
    fn a_missing_value_is_no_variation() {
        let samples = [
            f64::NAN,
            1.0,
            f64::NAN,
            2.0,
            f64::NAN,
            f64::NAN,
            2.0,
            3.0,
            f64::NAN,
        ];
        let samples = DMatrix::from_column_slice(3, 3, &samples);
        assert_eq!(variation(&samples, true).unwrap(), [false, true, false]);
        assert!(variation(&samples, false).is_err());
    }
}
