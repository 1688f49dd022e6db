//! A detector that needs no settings.

mod builder;
mod denoiser;
mod fitting;
mod input;
mod kept_features;
mod limits;
#[cfg(test)]
mod tests;

use nalgebra::{DMatrix, DVector};

pub use self::builder::{AnomalyEnsembleBuilder, EnsembleStep};
pub(crate) use self::denoiser::Denoiser;
#[cfg(feature = "files")]
pub(crate) use self::denoiser::Level;
#[cfg(feature = "files")]
pub(crate) use self::input::Input;
use self::kept_features::{Constant, changed};
use super::scoring::{CHUNK, as_high, passes};
use super::selection::check_selection;
use super::{Threshold, benjamini_hochberg};
use crate::error::Error;
#[cfg(feature = "files")]
use crate::error::require_some;
use crate::linalg::reserve;
#[cfg(feature = "files")]
use crate::validate::check_len;
use crate::validate::{SAMPLES, check_batch, check_present};
use crate::{AsMatrix, MissingValues, Real, Samples};

/// Detects anomalies without any settings, by nine denoising autoencoders.
///
/// ```text
/// score(x) = mean over models  e(x) / median e      e(x) = mean over ε ‖x̂(x′ + ε) − x′‖²
/// ```
///
/// x′ is the standardized sample, and ε ~ N(0, σ²) per feature. Small noise reveals deviations from the local
/// structure of the data, large noise reveals extreme values. Dividing by the median over held-out samples
/// makes the models comparable. Normal samples score around 1.
///
/// | what | rule |
/// |---|---|
/// | constant features | [left out](Self::constant_features) of the models; a different value counts like a deviation of √n standard deviations, for n calibration samples |
/// | missing values | refused, or [imputed](AnomalyEnsembleBuilder::missing_values) |
/// | gross values | clipped in training at 20 interquartile ranges from the median, unless more than 1 % (and more than one) of up to 1024 values lie beyond; if most values are equal, the others set the quartiles, if there are enough |
/// | scaling | mean 0 and variance 1 over the training samples |
/// | three deep models | σ of 1/8, 1/4, and 1/2 standard deviations; three layers of 128 ReLU units; linear output |
/// | six shallow models | σ of 1/8, 1/4, 1/2, 1, 2, and 4; one layer of 128 tanh units; linear output |
/// | training | 4000 steps of 64 samples, at most 300 epochs; Adam at 0.003, cosine schedule |
/// | calibration | of 1000 or more samples, a fifth is held out, and a twentieth for the medians; fewer are cross-fitted in five folds |
///
/// ```
/// use sparse_autoencoder::{AnomalyEnsemble, nalgebra::DMatrix};
///
/// // Normal samples lie on a curve: the second feature is the square of the first.
/// let normal = DMatrix::from_fn(2, 1000, |i, j| {
///     let t = (j * 37 % 1000) as f32 / 500.0 - 1.0;
///     [t, t * t][i]
/// });
/// let detector = AnomalyEnsemble::fit(&normal)?;
///
/// // One sample on the curve and one far from it.
/// let unseen = DMatrix::from_column_slice(2, 2, &[0.5, 0.25, 0.0, 2.0]);
/// assert_eq!(detector.is_anomaly(&unseen, 0.05)?, [false, true]);
/// assert_eq!(detector.select(&unseen, 0.1)?, [false, true]);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # p-values
///
/// With 1000 or more samples, p-values are conformal: see [the
/// guarantee](super::AnomalyDetector#the-guarantee). With fewer, they are cross-conformal (Vovk 2015,
/// *Cross-Conformal Predictors*): each fold compares a sample with its own held-out samples, and all samples
/// serve for calibration. Then `P(p ≤ α)` is about α. For rules fixed in advance, it is at most 2α plus a small
/// term (Barber et al. 2021, *Predictive Inference with the Jackknife+*). [Constant
/// features](Self::constant_features) can add to both.
///
/// # Columns that determine each other
///
/// Noise of 1/8 standard deviation hides small deviations from a plane on which normal samples lie. There, the
/// Mahalanobis distance finds more: of 50 columns of rank 5, with an average precision of 0.98 instead of 0.64. So does
/// the ensemble after the samples are rotated to principal components of equal variance (0.98).
///
/// # Files and threads
///
/// The module `files` (feature `files`) saves an ensemble in one file. It is `Send + Sync`: [share
/// it](super::AnomalyDetector#threads) by reference or in an `Arc`.
///
/// # Cost
///
/// A fit trains nine models for each fold, in parallel on the current rayon pool. The same samples and seed give
/// the same bits for any number of threads. Hundreds of features take minutes:
/// [`fit_with_steps`](AnomalyEnsembleBuilder::fit_with_steps) shows the progress.
///
/// Samples in memory are copied once, and those for training once for each fold. Of other samples, memory holds
/// about 50 bytes each for indices and scores, and one batch per thread. Such a fit reads the samples in a few
/// passes, and 64 random ones for each step.
#[derive(Debug, Clone)]
pub struct AnomalyEnsemble<T> {
    /// The features that vary, in order.
    pub(crate) kept: Vec<usize>,
    /// The others, in order.
    pub(crate) constants: Vec<Constant>,
    /// One per fold; at least one.
    pub(crate) denoisers: Vec<Denoiser<T>>,
}

impl<T: Real> AnomalyEnsemble<T> {
    /// Fits and calibrates a detector on [`Samples`] that are normal or nearly all normal: a matrix or a view,
    /// features × samples, a file, or a source of your own.
    ///
    /// The same samples give the same bits, wherever they are stored. Samples outside memory are read in passes
    /// and by random batches: see [Cost](Self#cost).
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::TooFewSamples`] | fewer than 20 samples |
    /// | [`Error::NonFinite`] | NaN or infinities |
    /// | [`Error::Incompatible`] | no feature varies; [`Pairs`](crate::Pairs) |
    /// | [`Error::OutOfRange`] | a feature whose spread overflows `T` |
    /// | those of [`Samples::read`] | samples that cannot be read |
    pub fn fit(samples: impl Samples<T>) -> Result<Self, Error> {
        Self::builder().fit(samples)
    }

    /// Returns a builder, which takes a rule for missing values and a seed.
    pub fn builder() -> AnomalyEnsembleBuilder<T> {
        AnomalyEnsembleBuilder::default()
    }

    /// Returns the score of each sample, ≥ 0. Normal samples score around 1, anomalies more.
    ///
    /// A sample whose error overflows scores infinity. Samples, features × samples in memory or any other
    /// [`Samples`], are read by batches.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for another number of features, [`Error::EmptyBatch`] without samples,
    /// [`Error::NonFinite`] for NaN and infinities, and those of [`Samples::read`].
    pub fn scores(&self, samples: impl Samples<T>) -> Result<DVector<T>, Error> {
        let folds = T::of_count(self.denoisers.len());
        let of_folds = self.scores_of_folds(&samples)?;
        Ok(DVector::from_iterator(
            of_folds.ncols(),
            of_folds.column_iter().map(|scores| scores.sum() / folds),
        ))
    }

    /// Returns the p-value of each sample, in (0, 1]: small for anomalies. See [p-values](Self#p-values).
    ///
    /// ```text
    /// p(x) = (1 + Σ over folds #{held-out scores ≥ score(x)}) / (n + 1)
    /// ```
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores).
    pub fn p_values(&self, samples: impl Samples<T>) -> Result<DVector<f64>, Error> {
        let of_folds = self.scores_of_folds(&samples)?;
        let total = f64::of_count(self.calibration_samples() + 1);
        let p_value = |scores: &[T]| {
            let folds = self.denoisers.iter().zip(scores);
            let as_high: usize = folds
                .map(|(fold, &score)| as_high(&fold.calibration_scores, score))
                .sum();
            f64::of_count(1 + as_high) / total
        };
        let (folds, samples) = of_folds.shape();
        let p_values = of_folds.as_slice().chunks_exact(folds).map(p_value);
        Ok(DVector::from_iterator(samples, p_values))
    }

    /// Returns whether each sample is an anomaly, with a false-alarm rate, in (0, 1): the probability of an alarm
    /// on a normal sample.
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores), [`Error::InvalidParameter`] for a rate outside (0, 1), and
    /// [`Error::TooFewSamples`] for a rate below 1/(n + 1) with n [calibration
    /// samples](Self::calibration_samples).
    pub fn is_anomaly(
        &self,
        samples: impl Samples<T>,
        false_alarm_rate: f64,
    ) -> Result<Vec<bool>, Error> {
        Threshold::FalseAlarmRate(false_alarm_rate).check(self.calibration_samples())?;
        let p_values = self.p_values(samples)?;
        Ok(p_values.iter().map(|&p| p <= false_alarm_rate).collect())
    }

    /// Selects the anomalies among these samples, with a false discovery rate of at most `rate`, in (0, 1): see
    /// [`AnomalyDetector::select`](super::AnomalyDetector::select), also for the number of [calibration
    /// samples](Self::calibration_samples) that it needs. With fewer than 1000 samples in the fit, the bound is
    /// approximate, as the p-values are.
    ///
    /// Pass samples that the fit has not seen. Anomalies among those of the fit serve for calibration, too, and are
    /// then not selected. To find the anomalies of one table, fit it and sort by the [scores](Self::scores).
    ///
    /// # Errors
    ///
    /// As [`AnomalyDetector::select`](super::AnomalyDetector::select).
    pub fn select(&self, samples: impl Samples<T>, rate: f64) -> Result<Vec<bool>, Error> {
        check_selection(rate, self.calibration_samples())?;
        benjamini_hochberg(self.p_values(samples)?.as_slice(), rate)
    }

    /// Returns the contribution of each feature to the score of each sample, features × samples.
    ///
    /// Each column sums to the score of its sample, up to rounding. Missing values contribute 0.
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores).
    pub fn contributions(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        match self.missing_values() {
            MissingValues::Refuse => check_batch(samples, self.features(), SAMPLES)?,
            MissingValues::Impute => check_present(samples, self.features(), SAMPLES)?,
        }
        let share = T::one() / T::of_count(self.denoisers.len());
        let of_change = self.of_change().mean();
        let mut contributions = DMatrix::zeros(self.features(), samples.ncols());
        for (mut total, sample) in contributions.column_iter_mut().zip(samples.column_iter()) {
            for feature in changed(&self.constants, sample) {
                total[feature] = of_change;
            }
        }
        for start in (0..samples.ncols()).step_by(CHUNK) {
            let count = CHUNK.min(samples.ncols() - start);
            let chunk = samples.columns(start, count).select_rows(&self.kept);
            for denoiser in &self.denoisers {
                let parts = denoiser.contributions(&chunk)?;
                for (mut total, parts) in contributions
                    .columns_mut(start, count)
                    .column_iter_mut()
                    .zip(parts.column_iter())
                {
                    for (&feature, &part) in self.kept.iter().zip(parts.iter()) {
                        total[feature] += part * share;
                    }
                }
            }
        }
        Ok(contributions)
    }

    /// Returns the number of features, constant ones among them.
    #[must_use]
    pub fn features(&self) -> usize {
        self.kept.len() + self.constants.len()
    }

    /// Returns the features that had one value in all samples of the fit. The models do not see them.
    ///
    /// A different value counts like a deviation of √n standard deviations, for n [calibration
    /// samples](Self::calibration_samples), however large the difference. One within the rounding of `f32` does not
    /// count. Drop features that must change, such as the year. Those that were always missing are listed, but never
    /// count.
    ///
    /// C such features raise the probability of a false alarm by at most C/(N + 1), for N samples in the fit, or twice
    /// that if values may be missing.
    pub fn constant_features(&self) -> impl Iterator<Item = usize> + '_ {
        self.constants.iter().map(|&(feature, _)| feature)
    }

    /// Returns the rule for missing values.
    #[must_use]
    pub fn missing_values(&self) -> MissingValues {
        match self.denoisers.first().map(|fold| &fold.input.imputer) {
            Some(None) => MissingValues::Refuse,
            _ => MissingValues::Impute,
        }
    }

    /// Returns the number of calibration samples, over all folds.
    #[must_use]
    pub fn calibration_samples(&self) -> usize {
        self.denoisers
            .iter()
            .map(Denoiser::calibration_samples)
            .sum()
    }

    /// Returns what another value of a constant feature adds to the score of each fold.
    fn of_change(&self) -> DVector<T> {
        let samples = T::of_count(self.calibration_samples());
        let of_folds = self.denoisers.iter().map(|fold| fold.score_of(samples));
        DVector::from_iterator(self.denoisers.len(), of_folds)
    }

    /// Returns the scores of each sample in a column, one per fold.
    fn scores_of_folds(&self, samples: &dyn Samples<T>) -> Result<DMatrix<T>, Error> {
        let accepts_missing = self.missing_values() == MissingValues::Impute;
        let mut passes = passes(samples, self.features(), accepts_missing)?;
        let folds = self.denoisers.len();
        let of_change = self.of_change();
        let mut scores = reserve::matrix(folds, passes.count(), "number of samples")?;
        passes.each(|first, chunk| {
            let mut scores = scores.columns_mut(first, chunk.ncols());
            let varying = chunk.select_rows(&self.kept);
            for (fold, denoiser) in self.denoisers.iter().enumerate() {
                scores.set_row(fold, &denoiser.scores(&varying)?.transpose());
            }
            for (mut scores, sample) in scores.column_iter_mut().zip(chunk.column_iter()) {
                for _feature in changed(&self.constants, sample) {
                    scores += &of_change;
                }
            }
            Ok(())
        })?;
        Ok(scores)
    }

    /// Puts a saved ensemble together.
    #[cfg(feature = "files")]
    pub(crate) fn from_parts(
        constants: Vec<Constant>,
        denoisers: Vec<Denoiser<T>>,
    ) -> Result<Self, Error> {
        require_some("number of folds", denoisers.len())?;
        let varying = denoisers[0].input.scaler.features();
        for denoiser in &denoisers {
            let of_scaler = denoiser.input.scaler.features();
            check_len("features of the scaler", varying, of_scaler)?;
        }
        let features = varying + constants.len();
        let ascending = constants.is_sorted_by(|a, b| a.0 < b.0);
        let within = constants.last().is_none_or(|&(last, _)| last < features);
        if !ascending || !within {
            return Err(Error::Incompatible {
                what: "features that are constant",
                other: "the number of features: they must ascend below it",
            });
        }
        let imputes = |fold: &Denoiser<T>| fold.input.imputer.is_some();
        if denoisers
            .iter()
            .any(|fold| imputes(fold) != imputes(&denoisers[0]))
        {
            return Err(Error::Incompatible {
                what: "a fold that imputes missing values",
                other: "a fold that refuses them",
            });
        }
        let is_kept = |feature: &usize| {
            let place = constants.binary_search_by_key(feature, |&(constant, _)| constant);
            place.is_err()
        };
        Ok(Self {
            kept: (0..features).filter(is_kept).collect(),
            constants,
            denoisers,
        })
    }
}
