//! Missing values: imputed by the mean of their feature, and marked.

mod imputed_samples;

pub use imputed_samples::ImputedSamples;

use nalgebra::DMatrix;

use super::Samples;
use super::in_order::{InOrder, size_of_batch};
use crate::error::{Error, require};
use crate::linalg::reserve;
use crate::validate::{SAMPLES, check_len, check_present};
use crate::{AsMatrix, Real};

/// A rule for missing values, which are NaN in the samples of an anomaly detector.
///
/// [`AnomalyDetectorBuilder::missing_values`](crate::AnomalyDetectorBuilder::missing_values) and
/// [`AnomalyEnsembleBuilder`](crate::AnomalyEnsembleBuilder::missing_values) take it. For other uses see [`Imputer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MissingValues {
    /// NaN is an [`Error::NonFinite`].
    #[default]
    Refuse,
    /// Missing values are imputed by the means of their features, and do not count in a score.
    Impute,
}

/// Imputes missing values, which are NaN, by the mean of their feature, and marks them.
///
/// ```text
/// x′ᵢ = xᵢ if present, otherwise the mean of the present values of feature i
/// mₖ  = 1 if the k-th marked feature is missing, otherwise 0
/// ```
///
/// A feature is marked if it had missing values in the samples of the [`fit`](Self::fit). The marks follow the
/// features, so that a model can tell an imputed value from a measured one. This is what scikit-learn's
/// `SimpleImputer` does with `add_indicator`.
///
/// | entry | result |
/// |---|---|
/// | missing, in a marked feature | the mean, and a mark of 1 |
/// | missing, in another feature | the mean, without a mark |
/// | infinite | [`Error::NonFinite`] |
///
/// An [`AnomalyDetector`](crate::AnomalyDetector) and an [`AnomalyEnsemble`](crate::AnomalyEnsemble) impute by
/// themselves with [`MissingValues::Impute`]. [`new`](Self::new) restores an imputer from
/// stored values. The module `files` (feature `files`) saves and loads one, and the feature `serde` knows the
/// keys `means` and `marked`.
///
/// ```
/// use sparse_autoencoder::{Imputer, nalgebra::DMatrix};
///
/// // Two features, three samples. The second feature is missing once.
/// let table = DMatrix::from_column_slice(2, 3, &[1.0, 4.0, 2.0, f64::NAN, 3.0, 8.0]);
/// let imputer = Imputer::fit(&table)?;
/// assert_eq!(imputer.means(), [2.0, 6.0]);
/// assert_eq!(imputer.marked(), [1]);
/// assert_eq!(imputer.outputs(), 3);
///
/// let imputed = imputer.apply(&table)?;
/// let expected = [1.0, 4.0, 0.0, 2.0, 6.0, 1.0, 3.0, 8.0, 0.0];
/// assert_eq!(imputed, DMatrix::from_column_slice(3, 3, &expected));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Unchecked<T>"),
    serde(bound(deserialize = "T: Real + serde::Deserialize<'de>"))
)]
pub struct Imputer<T> {
    means: Vec<T>,
    /// Ascending, below the number of features.
    marked: Vec<usize>,
}

impl<T: Real> Imputer<T> {
    /// Learns the means, and which features have missing values, from any [`Samples`] in one pass.
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::EmptyBatch`] | no samples |
    /// | [`Error::MissingFeature`] | a feature without any value |
    /// | [`Error::NonFinite`] | infinities |
    /// | those of [`Samples::read`] | samples that cannot be read |
    pub fn fit(samples: impl Samples<T>) -> Result<Self, Error> {
        let present = present(&samples)?;
        if let Some(feature) = present.iter().position(|&(_, count)| count == 0) {
            return Err(Error::MissingFeature { feature });
        }
        let has_missing = |&feature: &usize| present[feature].1 < samples.count();
        Ok(Self {
            means: present.iter().map(|&(mean, _)| T::of(mean)).collect(),
            marked: (0..present.len()).filter(has_missing).collect(),
        })
    }

    /// Creates an imputer from the mean of each feature, and the features to mark in ascending order.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a mean that is not finite, and for features that do not ascend or do not
    /// exist.
    pub fn new(means: &[T], marked: &[usize]) -> Result<Self, Error> {
        Self::from_vectors(means.to_vec(), marked.to_vec())
    }

    /// [`new`](Self::new) without copies.
    pub(crate) fn from_vectors(means: Vec<T>, marked: Vec<usize>) -> Result<Self, Error> {
        for &mean in &means {
            require(mean.is_finite(), "means", "finite", mean.to_f64())?;
        }
        let mut next = 0;
        for &feature in &marked {
            let accepted = (next..means.len()).contains(&feature);
            let requirement = "ascending indices of features";
            let value = f64::of_count(feature);
            require(accepted, "marked features", requirement, value)?;
            next = feature + 1;
        }
        Ok(Self { means, marked })
    }

    /// Imputes and marks the missing values of samples, features × samples. Returns outputs × samples.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for another number of features, [`Error::EmptyBatch`] without samples,
    /// [`Error::NonFinite`] for infinities.
    pub fn apply(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        check_present(samples, self.features(), SAMPLES)?;
        let mut imputed = reserve::matrix(self.outputs(), samples.ncols(), "imputed samples")?;
        let outputs = imputed
            .as_mut_slice()
            .chunks_exact_mut(self.outputs().max(1));
        for (output, sample) in outputs.zip(samples.column_iter()) {
            output[..self.features()].copy_from_slice(sample.as_slice());
            self.impute(output);
        }
        Ok(imputed)
    }

    /// Imputes and marks the samples of any source on reading, with the bits of [`apply`](Self::apply).
    ///
    /// Use it to scale and to train on a table with missing values.
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, Imputer, Samples, Scaling, SparseAutoencoder, Trainer};
    ///
    /// // Every seventh entry is missing.
    /// let table = DMatrix::from_fn(4, 300, |i, j| match i + j {
    ///     k if k % 7 == 0 => f32::NAN,
    ///     k => (k % 5) as f32,
    /// });
    /// let imputer = Imputer::fit(&table)?;
    /// let imputed = imputer.apply_on_read(&table)?;
    /// let scaler = Scaling::min_max(0.1, 0.9).fit(&imputed)?;
    /// let mut sae = SparseAutoencoder::builder().layers([imputer.outputs(), 12]).build()?;
    /// Trainer::new(Adam::new(1e-2)?).epochs(5).fit(&mut sae, scaler.apply_on_read(&imputed)?)?;
    /// # assert_eq!(imputed.to_matrix()?, imputer.apply(&table)?);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the samples have another number of entries. [`Error::Incompatible`] for
    /// [`Pairs`](crate::Pairs) and marks, which would follow the targets.
    pub fn apply_on_read<S: Samples<T>>(&self, samples: S) -> Result<ImputedSamples<T, S>, Error> {
        check_len("entries of the samples", self.features(), samples.entries())?;
        if samples.input_entries().is_some() && !self.marked.is_empty() {
            return Err(Error::Incompatible {
                what: "an imputer with marks",
                other: "Pairs, whose targets the marks would follow: impute the inputs, and then pair them",
            });
        }
        Ok(ImputedSamples {
            imputer: self.clone(),
            samples,
        })
    }

    /// Returns the number of features.
    #[must_use]
    pub fn features(&self) -> usize {
        self.means.len()
    }

    /// Returns the number of entries of an imputed sample: of the features and of their marks.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.means.len() + self.marked.len()
    }

    /// Returns the mean of the present values of each feature.
    #[must_use]
    pub fn means(&self) -> &[T] {
        &self.means
    }

    /// Returns the features with marks, in the order of the marks.
    #[must_use]
    pub fn marked(&self) -> &[usize] {
        &self.marked
    }

    /// Replaces the means by those of other samples. A feature without any value there keeps its mean.
    pub(crate) fn learn_means(&mut self, samples: &dyn Samples<T>) -> Result<(), Error> {
        for (mean, (present, count)) in self.means.iter_mut().zip(present(samples)?) {
            if count > 0 {
                *mean = T::of(present);
            }
        }
        Ok(())
    }

    /// Drops the marks.
    pub(crate) fn unmarked(mut self) -> Self {
        self.marked.clear();
        self
    }

    /// Imputes and marks one sample. `output` holds its features, followed by room for the marks.
    pub(crate) fn impute(&self, output: &mut [T]) {
        let (values, marks) = output.split_at_mut(self.features());
        for (mark, &feature) in marks.iter_mut().zip(&self.marked) {
            let missing = is_missing(values[feature]);
            *mark = if missing { T::one() } else { T::zero() };
        }
        for (value, &mean) in values.iter_mut().zip(&self.means) {
            if is_missing(*value) {
                *value = mean;
            }
        }
    }
}

pub(crate) fn is_missing<T: Real>(value: T) -> bool {
    value.to_f64().is_nan()
}

/// Returns the mean of the present values of each feature, and their number.
fn present<T: Real>(samples: &dyn Samples<T>) -> Result<Vec<(f64, usize)>, Error> {
    let features = samples.entries();
    let mut passes = InOrder::with_missing(size_of_batch(features), samples, features, SAMPLES)?;
    let mut present = reserve::filled((0.0, 0), features, "features")?;
    passes.each(|_, batch| {
        for sample in batch.column_iter() {
            for ((mean, count), &x) in present.iter_mut().zip(sample.iter()) {
                if !is_missing(x) {
                    *count += 1;
                    // Divided first, so that no difference overflows.
                    let n = f64::of_count(*count);
                    *mean += x.to_f64() / n - *mean / n;
                }
            }
        }
        Ok(())
    })?;
    Ok(present)
}

/// An imputer as a file holds it.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with the lists `means` and `marked`"
)]
struct Unchecked<T> {
    means: Vec<T>,
    marked: Vec<usize>,
}

#[cfg(feature = "serde")]
impl<T: Real> TryFrom<Unchecked<T>> for Imputer<T> {
    type Error = Error;

    fn try_from(unchecked: Unchecked<T>) -> Result<Self, Error> {
        Self::from_vectors(unchecked.means, unchecked.marked)
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::Imputer;
    use crate::{Error, Real, Samples, Subset};

    /// Four features: the second and the last have missing values.
    fn table<T: Real>(count: usize) -> DMatrix<T> {
        DMatrix::from_fn(4, count, |i, j| match (i, j % 5) {
            (1, 3) | (3, 0 | 3) => T::of(f64::NAN),
            (0, _) => T::of(0.1),
            (_, k) => T::of(k as f64 * 3.0 - i as f64),
        })
    }

    fn keeps_the_laws<T: Real>() {
        let table = table::<T>(40_000); // more than a batch
        let imputer = Imputer::fit(&table).unwrap();
        // By hand, over j % 5. A constant stays what it is, bit for bit.
        assert_eq!(imputer.means()[0], T::of(0.1));
        // Each of the updates is rounded, and so is the mean to `T`.
        let bound = 4.25 * (40_000.0 * f64::EPSILON + T::default_epsilon().to_f64());
        for (mean, expected) in imputer.means()[1..].iter().zip([4.25, 4.0, 4.0]) {
            let error = (mean.to_f64() - expected).abs();
            assert!(error < bound, "{mean}");
        }
        assert_eq!(imputer.marked(), [1, 3]);
        assert_eq!((imputer.features(), imputer.outputs()), (4, 6));

        let imputed = imputer.apply(&table).unwrap();
        for (sample, output) in table.column_iter().zip(imputed.column_iter()) {
            for i in 0..4 {
                let missing = sample[i].to_f64().is_nan();
                let expected = if missing {
                    imputer.means()[i]
                } else {
                    sample[i]
                };
                assert_eq!(output[i], expected);
                if let Some(k) = imputer.marked().iter().position(|&marked| marked == i) {
                    assert_eq!(output[4 + k], T::of(f64::from(u8::from(missing))));
                }
            }
        }
        // Elsewhere than in memory: the same bits, in any order.
        let order: Vec<usize> = (0..40_000).rev().collect();
        let elsewhere = Subset::new(&table, (0..40_000).collect::<Vec<_>>()).unwrap();
        assert_eq!(Imputer::fit(&elsewhere).unwrap(), imputer);
        let read = imputer.apply_on_read(&elsewhere).unwrap();
        let reversed = Subset::new(read, &*order).unwrap().to_matrix().unwrap();
        assert_eq!(reversed, imputed.select_columns(&order));
        assert_eq!(Imputer::new(imputer.means(), &[1, 3]).unwrap(), imputer);
    }

    #[test]
    fn missing_values_become_means_and_marks() {
        keeps_the_laws::<f32>();
        keeps_the_laws::<f64>();
    }

    #[test]
    fn a_table_without_missing_values_stays_as_it_is() {
        let table = table::<f64>(3).remove_rows(1, 1).remove_rows(2, 1);
        let imputer = Imputer::fit(&table).unwrap();
        assert_eq!(imputer.outputs(), 2);
        assert_eq!(imputer.apply(&table).unwrap(), table);
        // A value missing later is imputed, and leaves no mark.
        let later = DMatrix::from_column_slice(2, 1, &[f64::NAN, 7.0]);
        let expected = [imputer.means()[0], 7.0];
        assert_eq!(imputer.apply(later).unwrap().as_slice(), expected);
    }

    #[test]
    fn means_are_within_the_largest_numbers() {
        let (most, none) = (f64::MAX, f64::NAN);
        let table = DMatrix::from_row_slice(
            3,
            3,
            &[most, -most, none, most, most, most, none, none, 5e-324],
        );
        let imputer = Imputer::fit(&table).unwrap();
        assert_eq!(imputer.means(), [0.0, most, 5e-324]);
    }

    #[test]
    fn other_means_are_learned_where_there_are_values() {
        let mut imputer = Imputer::<f64>::fit(table(10)).unwrap();
        let before = imputer.means().to_vec();
        imputer.learn_means(&table(11).columns(10, 1)).unwrap();
        assert_eq!(imputer.means(), [0.1, -1.0, -2.0, before[3]]);
        assert_eq!(imputer.marked(), [1, 3]);
        assert!(imputer.learn_means(&table(0)).is_err());
    }

    #[test]
    fn refused_tables() {
        let error = Imputer::fit(DMatrix::from_element(2, 3, f32::NAN)).unwrap_err();
        assert_eq!(error, Error::MissingFeature { feature: 0 });
        assert!(error.to_string().ends_with("drop it"));
        let none = Imputer::fit(DMatrix::<f32>::zeros(2, 0));
        assert_eq!(none, Err(Error::EmptyBatch { what: "samples" }));

        let imputer = Imputer::<f32>::fit(table(10)).unwrap();
        let mut infinite = table(10);
        infinite[(2, 7)] = f32::NEG_INFINITY;
        let all: Vec<usize> = (0..10).collect();
        let elsewhere = infinite.subset(all).unwrap();
        let expected = Error::NonFinite {
            what: "samples",
            row: 2,
            column: 7,
            value: f64::NEG_INFINITY,
        };
        for error in [
            Imputer::fit(&infinite).unwrap_err(),
            Imputer::fit(&elsewhere).unwrap_err(),
            imputer.apply(&infinite).unwrap_err(),
            imputer
                .apply_on_read(&elsewhere)
                .unwrap()
                .to_matrix()
                .unwrap_err(),
        ] {
            assert_eq!(error, expected);
        }
        let other = DMatrix::zeros(3, 2);
        assert!(imputer.apply(&other).is_err() && imputer.apply_on_read(&other).is_err());

        for (means, marked) in [
            ([0.0, f32::NAN], vec![]),
            ([0.0, f32::INFINITY], vec![0]),
            ([0.0, 1.0], vec![2]),
            ([0.0, 1.0], vec![1, 0]),
            ([0.0, 1.0], vec![1, 1]),
            ([0.0, 1.0], vec![usize::MAX]),
        ] {
            let refused = Imputer::new(&means, &marked);
            assert!(matches!(refused, Err(Error::InvalidParameter { .. })));
        }
    }
}
