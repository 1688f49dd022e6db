//! The features that vary in samples of any source, and those that are constant.

use nalgebra::DVectorView;

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
        .map_err(|error| error.among_kept(self.kept))
    }
}

/// A feature that had one value in all samples of a fit, and the value; `None` if it was missing in all.
pub(crate) type Constant = (usize, Option<f64>);

/// Returns the constant features in which a sample differs by more than the rounding of `f32`. A missing value does
/// not.
pub(super) fn changed<T: Real>(
    constants: &[Constant],
    sample: DVectorView<'_, T>,
) -> impl Iterator<Item = usize> {
    constants.iter().filter_map(move |&(feature, value)| {
        let value = value?;
        let rounding = value.abs() * f64::from(f32::EPSILON);
        ((sample[feature].to_f64() - value).abs() > rounding).then_some(feature)
    })
}

/// Returns the features with two values, and the constant ones, in order, after one pass. Missing values do not count,
/// if they are accepted.
pub(super) fn varying<T: Real>(
    samples: &dyn Samples<T>,
    accepts_missing: bool,
) -> Result<(Vec<usize>, Vec<Constant>), Error> {
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
    let (kept, constant): (Vec<_>, Vec<_>) = (0..features).partition(|&feature| varies[feature]);
    let value = |feature: usize| Some(first[feature].to_f64()).filter(|value| !value.is_nan());
    let constants = constant
        .into_iter()
        .map(|feature| (feature, value(feature)));
    Ok((kept, constants.collect()))
}

#[cfg(test)]
mod tests {
    use nalgebra::{DMatrix, DVectorView};

    use super::{KeptFeatures, changed, varying};
    use crate::data::samples::AT_A_TIME;
    use crate::{Error, Samples, Scaling};

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

    /// A source that checks its values names its own rows.
    #[test]
    fn errors_of_a_source_name_its_features_through_those_kept() {
        let kept = [1, 2, 4];
        let mut samples = DMatrix::from_fn(5, 10, |i, j| (i + j) as f64);
        let scaler = Scaling::standard().fit(&samples).unwrap();
        for feature in 0..5 {
            samples[(feature, 3)] = f64::NAN;
            let source = scaler.apply_on_read(&samples).unwrap();
            let some = KeptFeatures {
                samples: &source,
                kept: &kept,
            };
            let error = some.read(&[3], &mut [0.0; 3]).unwrap_err();
            match error.at_kept(&kept) {
                Error::NonFinite { row, .. } => assert_eq!(row, feature),
                error => panic!("{error}"),
            }
            samples[(feature, 3)] = 1.0;
        }
    }

    #[test]
    fn a_feature_varies_from_the_first_sample_that_differs() {
        let mut samples = DMatrix::from_element(3, 70_000, 4.0);
        samples[(1, 69_999)] = 5.0;
        let (kept, constants) = varying(&samples, false).unwrap();
        assert_eq!(kept, [1]);
        assert_eq!(constants, [(0, Some(4.0)), (2, Some(4.0))]);
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
        let (kept, constants) = varying(&samples, true).unwrap();
        assert_eq!(kept, [1]);
        assert_eq!(constants, [(0, Some(2.0)), (2, None)]);
        assert!(varying(&samples, false).is_err());

        let changed = |sample: [f64; 3]| -> Vec<usize> {
            changed(&constants, DVectorView::from_slice(&sample, 3)).collect()
        };
        assert_eq!(changed([2.0 + 1e-7, 9.0, 5.0]), [0; 0]);
        assert_eq!(changed([f64::NAN, 9.0, 5.0]), [0; 0]);
        assert_eq!(changed([2.0 + 1e-6, 9.0, 5.0]), [0]);
    }
}
