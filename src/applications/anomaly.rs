//! Anomalies: samples that a model, fitted to what is normal, cannot reconstruct.

mod builder;
mod threshold;

pub use builder::AnomalyDetectorBuilder;
pub use threshold::Threshold;

use nalgebra::{DMatrix, DMatrixView, DVector};

use crate::error::Error;
use crate::validate::{check_batch, check_rows};
use crate::{Real, Scaler, SparseAutoencoder, Workspace, linalg};

/// Tells samples that are like those it has learned from those that are not.
///
/// ```text
/// score(x) = ‖x̂′ − x′‖²     x′ the scaled sample, x̂′ its reconstruction
/// ```
///
/// A model and a scaling, and the scores of calibration samples, sorted and kept: quantiles for
/// thresholds and ranks for p-values are read from them, so a [`Threshold`] can be changed at any
/// time without fitting anything again.
///
/// Make one with [`builder`](Self::builder), which scales, fits, and calibrates, or with
/// [`calibrate`](Self::calibrate) around a model that is fitted already. Samples are always given,
/// and [reconstructions](Self::reconstruct) returned, in the units of the data.
///
/// ```
/// use sparse_autoencoder::{Adam, AnomalyDetector, SparseAutoencoder, Threshold, Trainer};
/// use sparse_autoencoder::{Activation, nalgebra::DMatrix};
///
/// // Normal samples lie on a curve: the second feature is the square of the first.
/// let normal = DMatrix::from_fn(2, 500, |i, j| {
///     let t = (j * 37 % 500) as f64 / 250.0 - 1.0;
///     [t, t * t][i]
/// });
/// let mut model = SparseAutoencoder::builder()
///     .layers([2, 8])
///     .hidden_activation(Activation::Tanh)
///     .output_activation(Activation::Identity)
///     .penalty(())
///     .build()?;
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(60).batch_size(32);
/// let mut detector = AnomalyDetector::builder(&mut model)
///     .threshold(Threshold::FalseAlarmRate(0.02))
///     .fit(&mut trainer, &normal)?;
///
/// // One on the curve, and one far from it.
/// let unseen = DMatrix::from_column_slice(2, 2, &[0.5, 0.25, 3.0, -2.0]);
/// assert_eq!(detector.is_anomaly(&unseen)?, [false, true]);
/// assert!(detector.p_values(&unseen)?[1] <= 0.02);
///
/// // Why: the part of each feature in the score.
/// let contributions = detector.contributions(&unseen)?;
/// let difference = contributions.column(1).sum() - detector.scores(&unseen)?[1];
/// assert!(difference.abs() < 1e-9);
///
/// detector.set_threshold(Threshold::Quantile(0.9))?; // nothing is fitted again
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # The guarantee
///
/// [`p_values`](Self::p_values) are conformal: whatever the model, and whatever the distribution,
/// a sample exchangeable with the calibration samples has a p-value of at most α with a
/// probability of at most α (Vovk, Gammerman & Shafer 2005; Laxhammar & Falkman 2010; Bates et al.
/// 2023, *Testing for Outliers with Conformal p-Values*). It holds for every finite number n of
/// calibration samples, on average over them, and three things follow:
///
/// - **Calibrate on samples that the model and the scaling have not seen.** On training samples the
///   errors are too small and the false alarms too many. The builder holds samples out.
/// - No p-value is below 1/(n + 1): for alarms at α, n must be at least 1/α − 1.
/// - Anomalies among the calibration samples raise the p-values of others: fewer false alarms, and
///   fewer detections.
///
/// It is a statement about each sample. To name many at a bounded share of false ones, apply the
/// Benjamini-Hochberg procedure to the p-values.
///
/// # Threads
///
/// Everything but changing the threshold is by `&self`, and a detector is `Send + Sync`: share it
/// by reference or in an `Arc`.
///
/// ```
/// use std::{sync::{Arc, mpsc}, thread};
/// use sparse_autoencoder::{AnomalyDetector, Scaling, SparseAutoencoder, Threshold};
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// # let normal = DMatrix::from_fn(3, 60, |i, j| ((i * 31 + j * 17) % 23) as f32);
/// # let model = SparseAutoencoder::builder().layers([3, 4]).build()?; // fitted elsewhere
/// # let scaler = Scaling::standard().fit(&normal)?;
/// let threshold = Threshold::Contamination(0.1);
/// let detector = AnomalyDetector::calibrate(&model, &scaler, &normal, threshold)?;
/// let detector = Arc::new(detector);
///
/// let (results, received) = mpsc::channel();
/// for batch in 0..4 {
///     let (detector, results) = (Arc::clone(&detector), results.clone());
///     let samples = normal.columns(batch * 15, 15).into_owned();
///     thread::spawn(move || results.send(detector.is_anomaly(&samples)));
/// }
/// drop(results);
/// for alarms in received {
///     assert_eq!(alarms?.len(), 15);
/// }
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AnomalyDetector<T> {
    model: SparseAutoencoder<T>,
    scaler: Scaler<T>,
    /// Sorted, the smallest first; at least two.
    calibration_scores: Vec<T>,
    rule: Threshold,
    threshold: T,
}

/// Samples that are scaled together: enough to fill the caches, whatever the number of samples.
const CHUNK: usize = 1024;

const SAMPLES: [&str; 2] = ["samples", "rows of the samples"];

impl<T: Real> AnomalyDetector<T> {
    /// A builder of a detector around this model, which it will fit.
    pub fn builder(model: &mut SparseAutoencoder<T>) -> AnomalyDetectorBuilder<'_, T> {
        AnomalyDetectorBuilder::new(model)
    }

    /// A detector around a model that is already fitted, to samples scaled by `scaler`.
    ///
    /// The calibration samples, visible × samples and not scaled, should be normal ones that the
    /// model has not seen. With contaminated ones, use [`Threshold::Contamination`].
    ///
    /// # Errors
    ///
    /// [`Error::TooFewSamples`] for less than two calibration samples, or too few for the
    /// false-alarm rate; [`Error::InvalidParameter`] for a threshold rule outside (0, 1),
    /// [`Error::DimensionMismatch`] if model, scaler, and samples differ in their features,
    /// [`Error::NonFinite`] for NaN and infinities.
    pub fn calibrate<'a>(
        model: &SparseAutoencoder<T>,
        scaler: &Scaler<T>,
        calibration: impl Into<DMatrixView<'a, T>>,
        threshold: Threshold,
    ) -> Result<Self, Error> {
        let calibration = calibration.into();
        check_scaler(model, scaler)?;
        check_rows(calibration, scaler.features(), SAMPLES[1])?;
        threshold.check(calibration.ncols())?;
        let scores = scores(model, scaler, calibration)?;
        Self::from_scores(model, scaler, scores.as_slice(), threshold)
    }

    /// A detector with calibration scores that were stored, in any order.
    ///
    /// # Errors
    ///
    /// As [`calibrate`](Self::calibrate).
    pub fn from_scores(
        model: &SparseAutoencoder<T>,
        scaler: &Scaler<T>,
        calibration_scores: &[T],
        threshold: Threshold,
    ) -> Result<Self, Error> {
        check_scaler(model, scaler)?;
        threshold.check(calibration_scores.len())?;
        let calibration_scores = sorted(calibration_scores)?;
        Ok(Self {
            model: model.clone(),
            scaler: scaler.clone(),
            threshold: threshold.of(&calibration_scores),
            calibration_scores,
            rule: threshold,
        })
    }

    /// Replaces the calibration by one on other samples, and sets the threshold anew by the same
    /// rule: for another machine, another day, or cleaner samples.
    ///
    /// # Errors
    ///
    /// As [`calibrate`](Self::calibrate); the detector is then unchanged.
    pub fn recalibrate<'a>(
        &mut self,
        calibration: impl Into<DMatrixView<'a, T>>,
    ) -> Result<(), Error> {
        let calibration = calibration.into();
        check_rows(calibration, self.scaler.features(), SAMPLES[1])?;
        self.rule.check(calibration.ncols())?;
        let scores = self.scores(calibration)?;
        self.calibration_scores = sorted(scores.as_slice())?;
        self.threshold = self.rule.of(&self.calibration_scores);
        Ok(())
    }

    /// The score of each sample: the squared error of its reconstruction, in scaled units.
    ///
    /// The square of PyOD's `decision_function`, and so of the same order. A sample so far off that
    /// its error is no number scores infinity.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::encode`].
    pub fn scores<'a>(&self, samples: impl Into<DMatrixView<'a, T>>) -> Result<DVector<T>, Error> {
        scores(&self.model, &self.scaler, samples.into())
    }

    /// Whether each sample scores above the [`threshold`](Self::threshold).
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores).
    pub fn is_anomaly<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<Vec<bool>, Error> {
        let scores = self.scores(samples)?;
        Ok(scores.iter().map(|&score| score > self.threshold).collect())
    }

    /// The conformal p-value of each sample: small for anomalies.
    ///
    /// ```text
    /// p(x) = (1 + #{calibration scores ≥ score(x)}) / (n + 1)
    /// ```
    ///
    /// For a sample exchangeable with the n calibration samples, `P(p ≤ α) ≤ α` for every α: see
    /// [the guarantee](Self#the-guarantee).
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores).
    pub fn p_values<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DVector<f64>, Error> {
        let sorted = &self.calibration_scores;
        let p_value = |score: T| {
            let as_high = sorted.len() - sorted.partition_point(|&calibration| calibration < score);
            f64::of_count(1 + as_high) / f64::of_count(1 + sorted.len())
        };
        Ok(self.scores(samples)?.map(p_value))
    }

    /// Why: the part of each feature in the score of each sample, visible × samples.
    ///
    /// ```text
    /// contribution(j, i) = (x̂′ⱼᵢ − x′ⱼᵢ)²
    /// ```
    ///
    /// A column sums to the score of its sample, but for rounding. What the model expected in place
    /// of a feature is in [`reconstruct`](Self::reconstruct).
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores).
    pub fn contributions<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DMatrix<T>, Error> {
        let scaled = self.scaler.apply(samples)?;
        let mut contributions = self.model.reconstruct(&scaled)?;
        contributions.zip_apply(&scaled, |x_hat, x| {
            let error = *x_hat - x;
            *x_hat = unless_nan(error * error);
        });
        Ok(contributions)
    }

    /// What the model makes of the samples, in the units of the data: what would have been normal.
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores), and [`Error::NonFinite`] if a sample is so far off that its
    /// reconstruction is no number.
    pub fn reconstruct<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DMatrix<T>, Error> {
        let scaled = self.scaler.apply(samples)?;
        self.scaler.invert(&self.model.reconstruct(&scaled)?)
    }

    /// The score above which a sample is an anomaly.
    #[must_use]
    pub fn threshold(&self) -> T {
        self.threshold
    }

    /// The rule that gave the [`threshold`](Self::threshold).
    #[must_use]
    pub fn rule(&self) -> Threshold {
        self.rule
    }

    /// The threshold that another rule would give.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a rule outside (0, 1), [`Error::TooFewSamples`] for a
    /// false-alarm rate that needs more calibration samples.
    pub fn threshold_by(&self, rule: Threshold) -> Result<T, Error> {
        rule.check(self.calibration_scores.len())?;
        Ok(rule.of(&self.calibration_scores))
    }

    /// Changes the threshold. Nothing is fitted again: it is read from the calibration scores.
    ///
    /// # Errors
    ///
    /// As [`threshold_by`](Self::threshold_by); the detector is then unchanged.
    pub fn set_threshold(&mut self, rule: Threshold) -> Result<(), Error> {
        self.threshold = self.threshold_by(rule)?;
        self.rule = rule;
        Ok(())
    }

    /// The scores of the calibration samples, the smallest first.
    #[must_use]
    pub fn calibration_scores(&self) -> &[T] {
        &self.calibration_scores
    }

    /// The model. Its samples are scaled ones.
    #[must_use]
    pub fn model(&self) -> &SparseAutoencoder<T> {
        &self.model
    }

    /// The scaling of the input.
    #[must_use]
    pub fn scaler(&self) -> &Scaler<T> {
        &self.scaler
    }
}

fn scores<T: Real>(
    model: &SparseAutoencoder<T>,
    scaler: &Scaler<T>,
    samples: DMatrixView<'_, T>,
) -> Result<DVector<T>, Error> {
    let features = scaler.features();
    check_batch(samples, features, SAMPLES)?;
    let mut scores = DVector::zeros(samples.ncols());
    let mut workspace = Workspace::new();
    let mut scaled = Vec::new();
    let mut errors = DVector::zeros(0);
    for (chunk, scores) in scores.as_mut_slice().chunks_mut(CHUNK).enumerate() {
        scaled.clear();
        for sample in samples.columns(chunk * CHUNK, scores.len()).column_iter() {
            scaled.extend_from_slice(sample.as_slice());
        }
        scaler.apply_in_place(&mut scaled);
        let view = DMatrixView::from_slice(&scaled, features, scores.len());
        errors.resize_vertically_mut(scores.len(), T::zero());
        model.reconstruction_errors_into(view, &mut errors, &mut workspace)?;
        for (score, &error) in scores.iter_mut().zip(errors.iter()) {
            *score = unless_nan(error);
        }
    }
    Ok(scores)
}

/// The error, or infinity where both the sample and its reconstruction have left the numbers: such
/// a sample must not pass for a normal one because every comparison with NaN is false.
fn unless_nan<T: Real>(error: T) -> T {
    if error >= T::zero() {
        error
    } else {
        T::of(f64::INFINITY)
    }
}

fn sorted<T: Real>(scores: &[T]) -> Result<Vec<T>, Error> {
    if !linalg::all_finite(scores)
        && let Some(row) = scores.iter().position(|score| !score.is_finite())
    {
        return Err(Error::NonFinite {
            what: "calibration scores",
            row,
            column: 0,
            value: scores[row].to_f64(),
        });
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.to_f64().total_cmp(&b.to_f64()));
    Ok(sorted)
}

fn check_scaler<T: Real>(model: &SparseAutoencoder<T>, scaler: &Scaler<T>) -> Result<(), Error> {
    let visible = model.layout().visible();
    if scaler.features() == visible {
        return Ok(());
    }
    Err(Error::DimensionMismatch {
        what: "features of the scaler",
        expected: visible,
        actual: scaler.features(),
    })
}
