//! Anomaly detection by the reconstruction errors of a model fitted to normal samples.

mod detector_builder;
pub(crate) mod ensemble;
mod scoring;
mod selection;
mod threshold;

pub use detector_builder::{AnomalyDetectorBuilder, AnomalyDetectorSettings, FittedDetector};
pub use ensemble::{AnomalyEnsemble, AnomalyEnsembleBuilder, EnsembleStep};
pub use selection::benjamini_hochberg;
pub use threshold::Threshold;

use nalgebra::{DMatrix, DVector};

use self::scoring::{as_high, sort};
use crate::error::{Error, require};
use crate::validate::{SAMPLES, check_len};
use crate::{AsMatrix, Imputer, Real, Samples, Scaler, SparseAutoencoder, Subset};

/// Detects samples that a model, fitted to normal samples, cannot reconstruct.
///
/// ```text
/// score(x) = ‖x̂′ − x′‖²     x′ the scaled sample, x̂′ its reconstruction
/// ```
///
/// A detector consists of a model, a scaling, and the scores of calibration samples. Thresholds are
/// quantiles of these scores and p-values are ranks among them, so that changing the [`Threshold`]
/// needs no new fit.
///
/// [`builder`](Self::builder) scales, fits, and calibrates; [`calibrate`](Self::calibrate) takes a
/// fitted model. Samples and [reconstructions](Self::reconstruct) are in the units of the data.
/// [`AnomalyEnsemble`] needs no model and no settings.
///
/// **A model that can copy any sample finds no anomaly.** Give it fewer units than features, a penalty, or
/// [noise](crate::Trainer::corruption).
///
/// ```
/// use sparse_autoencoder::{Adam, AnomalyDetector, Corruption, SparseAutoencoder, Threshold, Trainer};
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
/// let noise = Corruption::Gaussian { standard_deviation: 0.3 }; // so that the model cannot copy
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(60).batch_size(32).corruption(noise);
/// let mut detector = AnomalyDetector::builder(&mut model)
///     .threshold(Threshold::FalseAlarmRate(0.02))
///     .fit(&mut trainer, &normal)?
///     .detector;
///
/// // One sample on the curve and one far from it.
/// let unseen = DMatrix::from_column_slice(2, 2, &[0.5, 0.25, 3.0, -2.0]);
/// assert_eq!(detector.is_anomaly(&unseen)?, [false, true]);
/// assert!(detector.p_values(&unseen)?[1] <= 0.02);
///
/// // The contribution of each feature to the score explains it.
/// let contributions = detector.contributions(&unseen)?;
/// let difference = contributions.column(1).sum() - detector.scores(&unseen)?[1];
/// assert!(difference.abs() < 1e-9);
///
/// detector.set_threshold(Threshold::Quantile(0.9))?; // needs no new fit
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # The guarantee
///
/// [`p_values`](Self::p_values) are conformal: if a sample is exchangeable with the calibration
/// samples, its p-value is at most α with a probability of at most α. This holds for every model,
/// every distribution, and every number n of calibration samples, on average over them (Vovk,
/// Gammerman & Shafer 2005; Laxhammar & Falkman 2010; Bates et al. 2023, *Testing for Outliers with
/// Conformal p-Values*).
///
/// - **Calibrate on samples that neither the model nor the scaling has seen.** The errors of training
///   samples are too small, which causes false alarms. The builder holds samples out.
/// - No p-value is below 1/(n + 1). Alarms at α need n ≥ 1/α − 1.
/// - Anomalies among the calibration samples raise p-values, which costs detections.
///
/// The guarantee is per sample. [`select`](Self::select) bounds the share of false alarms among all alarms.
///
/// # Missing values
///
/// NaN is refused unless the [builder](AnomalyDetectorBuilder::missing_values) says to impute. The model then sees
/// the mean of the training samples in place of a missing value, and the score is that of the present values:
///
/// ```text
/// score(x) = d/p Σ (x̂′ᵢ − x′ᵢ)² over the p present values of d features
/// ```
///
/// The factor makes scores comparable, as in the distance of Dixon (1979, *Pattern Recognition with Partly Missing
/// Data*). A sample without any value scores 0.
///
/// ```
/// use sparse_autoencoder::{Adam, AnomalyDetector, MissingValues, SparseAutoencoder, Trainer};
/// use sparse_autoencoder::{Activation, nalgebra::DMatrix};
///
/// // Every 13th value is missing.
/// let table = DMatrix::from_fn(3, 400, |i, j| match 3 * j + i {
///     k if k % 13 == 0 => f32::NAN,
///     _ => ((j * 37 % 400) as f32 / 400.0).powi(i as i32 + 1),
/// });
/// let mut model = SparseAutoencoder::builder()
///     .layers([3, 2])
///     .output_activation(Activation::Identity)
///     .penalty(())
///     .build()?;
/// let detector = AnomalyDetector::builder(&mut model)
///     .missing_values(MissingValues::Impute)
///     .fit(&mut Trainer::new(Adam::new(1e-2)?).epochs(10), &table)?
///     .detector;
/// let contributions = detector.contributions(&table)?;
/// assert!(table[(0, 0)].is_nan() && contributions[(0, 0)] == 0.0);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Files
///
/// The module `files` (feature `files`) saves a detector in one file, with everything that scores samples. A
/// loaded detector gives the same bits.
///
/// # Threads
///
/// A detector is `Send + Sync`, and all methods except those that change it take `&self`: share it by
/// reference or in an `Arc`.
///
/// ```
/// use std::{sync::{Arc, mpsc}, thread};
/// use sparse_autoencoder::{AnomalyDetector, Scaling, SparseAutoencoder, Threshold};
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// # let normal = DMatrix::from_fn(3, 60, |i, j| ((i * 31 + j * 17) % 23) as f32);
/// # let model = SparseAutoencoder::builder().layers([3, 4]).build()?; // fitted elsewhere
/// # let scaler = Scaling::standard().fit(normal.columns(0, 30))?;
/// let threshold = Threshold::Contamination(0.1);
/// let detector = AnomalyDetector::calibrate(&model, &scaler, normal.columns(30, 30), threshold)?; // held out
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
    /// Without marks. `None`: missing values are refused.
    imputer: Option<Imputer<T>>,
    scaler: Scaler<T>,
    /// Sorted, the smallest first; at least two.
    calibration_scores: Vec<T>,
    rule: Threshold,
    threshold: T,
}

impl<T: Real> AnomalyDetector<T> {
    /// Returns a builder that fits `model` and wraps it in a detector.
    pub fn builder(model: &mut SparseAutoencoder<T>) -> AnomalyDetectorBuilder<'_, T> {
        AnomalyDetectorBuilder::new(model)
    }

    /// Calibrates a detector for a model already fitted to samples scaled by `scaler`.
    ///
    /// Pass the calibration samples, input × samples in memory or any other [`Samples`], unscaled. They
    /// should be normal samples that neither the model nor `scaler` has seen. If they contain anomalies, use
    /// [`Threshold::Contamination`]. Memory holds one score per sample.
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::TooFewSamples`] | fewer than two calibration samples, or too few for the false-alarm rate |
    /// | [`Error::InvalidParameter`] | a threshold rule outside (0, 1) |
    /// | [`Error::DimensionMismatch`] | model, scaler, and samples differ in size |
    /// | [`Error::Incompatible`] | the model is a transcoder |
    /// | [`Error::NonFinite`] | NaN or infinities |
    /// | those of [`Samples::read`] | samples that cannot be read |
    pub fn calibrate(
        model: &SparseAutoencoder<T>,
        scaler: &Scaler<T>,
        calibration: impl Samples<T>,
        threshold: Threshold,
    ) -> Result<Self, Error> {
        Self::calibrate_imputing(model, None, scaler, &calibration, threshold)
    }

    /// Runs [`calibrate`](Self::calibrate) with an optional imputer of missing values.
    fn calibrate_imputing(
        model: &SparseAutoencoder<T>,
        imputer: Option<Imputer<T>>,
        scaler: &Scaler<T>,
        calibration: &dyn Samples<T>,
        rule: Threshold,
    ) -> Result<Self, Error> {
        check_scaler(model, scaler)?;
        let mut detector = Self {
            model: model.clone(),
            imputer,
            scaler: scaler.clone(),
            calibration_scores: Vec::new(),
            rule,
            threshold: T::zero(),
        };
        detector.recalibrate(calibration)?;
        Ok(detector)
    }

    /// Restores a detector from stored calibration scores, in any order.
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
        let (model, scaler) = (model.clone(), scaler.clone());
        Self::from_parts(model, scaler, calibration_scores.to_vec(), threshold)
    }

    /// [`from_scores`](Self::from_scores) without copies.
    pub(crate) fn from_parts(
        model: SparseAutoencoder<T>,
        scaler: Scaler<T>,
        calibration_scores: Vec<T>,
        rule: Threshold,
    ) -> Result<Self, Error> {
        check_scaler(&model, &scaler)?;
        rule.check(calibration_scores.len())?;
        let calibration_scores = sorted(calibration_scores)?;
        Ok(Self {
            model,
            imputer: None,
            scaler,
            threshold: rule.of(&calibration_scores),
            calibration_scores,
            rule,
        })
    }

    /// Accepts samples with [missing values](Self#missing-values), and imputes them by the means of this imputer.
    ///
    /// Its marks are not used. The calibration scores stay, since those of complete samples are the same.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the imputer has another number of features.
    pub fn with_imputer(mut self, imputer: Imputer<T>) -> Result<Self, Error> {
        let features = self.scaler.features();
        check_len("features of the imputer", features, imputer.features())?;
        self.imputer = Some(imputer.unmarked());
        Ok(self)
    }

    /// Replaces the calibration samples and recomputes the threshold by the same rule.
    ///
    /// # Errors
    ///
    /// As [`calibrate`](Self::calibrate); the detector is then unchanged.
    pub fn recalibrate(&mut self, calibration: impl Samples<T>) -> Result<(), Error> {
        check_len(SAMPLES[1], self.scaler.features(), calibration.entries())?;
        self.rule.check(calibration.count())?;
        let scores = self.scores(calibration)?;
        self.calibration_scores = sorted(scores.as_slice().to_vec())?;
        self.threshold = self.rule.of(&self.calibration_scores);
        Ok(())
    }

    /// Returns the score of each sample: the squared error of its reconstruction, in scaled units.
    ///
    /// It is the square of PyOD's `decision_function`. A sample whose error overflows scores infinity.
    /// Samples, input × samples in memory or any other [`Samples`], are read by batches.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::encode`], and those of [`Samples::read`].
    pub fn scores(&self, samples: impl Samples<T>) -> Result<DVector<T>, Error> {
        self.scores_of(&samples)
    }

    /// Returns whether each sample scores above the [`threshold`](Self::threshold).
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores).
    pub fn is_anomaly(&self, samples: impl Samples<T>) -> Result<Vec<bool>, Error> {
        let scores = self.scores(samples)?;
        Ok(scores.iter().map(|&score| score > self.threshold).collect())
    }

    /// Returns the conformal p-value of each sample, in (0, 1]: small for anomalies.
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
    pub fn p_values(&self, samples: impl Samples<T>) -> Result<DVector<f64>, Error> {
        let sorted = &self.calibration_scores;
        let total = f64::of_count(1 + sorted.len());
        let p_value = |score: T| f64::of_count(1 + as_high(sorted, score)) / total;
        Ok(self.scores(samples)?.map(p_value))
    }

    /// Returns the contribution of each feature to the score of each sample, input × samples.
    ///
    /// ```text
    /// contribution(j, i) = (x̂′ⱼᵢ − x′ⱼᵢ)²
    /// ```
    ///
    /// Each column sums to the score of its sample, up to rounding. A missing value contributes 0, and the present
    /// ones d/p times their error: see [missing values](Self#missing-values). [`reconstruct`](Self::reconstruct)
    /// returns the values that the model expects.
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores).
    pub fn contributions(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        self.parts(samples, &self.scaled(samples)?)
    }

    /// Reconstructs samples in the units of the data, input × samples: the values that the model expects.
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores), and [`Error::NonFinite`] if a reconstruction overflows.
    pub fn reconstruct(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let scaled = self.scaled(samples.as_matrix()?)?;
        self.scaler.invert(&self.model.reconstruct(&scaled)?)
    }

    /// Returns the score above which a sample is an anomaly.
    #[must_use]
    pub fn threshold(&self) -> T {
        self.threshold
    }

    /// Returns the rule of the [`threshold`](Self::threshold).
    #[must_use]
    pub fn rule(&self) -> Threshold {
        self.rule
    }

    /// Returns the threshold of another rule, without setting it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a rule outside (0, 1), [`Error::TooFewSamples`] for a
    /// false-alarm rate that needs more calibration samples.
    pub fn threshold_by(&self, rule: Threshold) -> Result<T, Error> {
        rule.check(self.calibration_scores.len())?;
        Ok(rule.of(&self.calibration_scores))
    }

    /// Sets the threshold by a rule on the calibration scores. Needs no new fit.
    ///
    /// # Errors
    ///
    /// As [`threshold_by`](Self::threshold_by); the detector is then unchanged.
    pub fn set_threshold(&mut self, rule: Threshold) -> Result<(), Error> {
        self.threshold = self.threshold_by(rule)?;
        self.rule = rule;
        Ok(())
    }

    /// Returns the scores of the calibration samples, the smallest first.
    #[must_use]
    pub fn calibration_scores(&self) -> &[T] {
        &self.calibration_scores
    }

    /// Returns the model, which takes scaled samples.
    #[must_use]
    pub fn model(&self) -> &SparseAutoencoder<T> {
        &self.model
    }

    /// Returns the imputer of missing values. `None`: they are refused.
    #[must_use]
    pub fn imputer(&self) -> Option<&Imputer<T>> {
        self.imputer.as_ref()
    }

    /// Returns the scaling of the input.
    #[must_use]
    pub fn scaler(&self) -> &Scaler<T> {
        &self.scaler
    }
}

/// Returns the scaled samples with these indices: a copy of samples in memory, others scaled on reading.
fn scaled<'a, T: Real>(
    samples: &'a dyn Samples<T>,
    indices: &[usize],
    scaler: &'a Scaler<T>,
) -> Result<Box<dyn Samples<T> + 'a>, Error> {
    let scaled = Subset::new(scaler.apply_on_read(samples)?, indices)?;
    copied(scaled, samples.in_memory().is_some())
}

/// Returns samples as a matrix if their source is in memory, so that each is computed once.
fn copied<'a, T: Real>(
    samples: impl Samples<T> + 'a,
    in_memory: bool,
) -> Result<Box<dyn Samples<T> + 'a>, Error> {
    Ok(match in_memory {
        true => Box::new(samples.to_matrix()?),
        false => Box::new(samples),
    })
}

/// Refuses NaN and −∞, which no sample scores.
fn sorted<T: Real>(mut scores: Vec<T>) -> Result<Vec<T>, Error> {
    let is_score = |score: T| score.is_finite() || score > T::zero();
    if let Some(score) = scores.iter().find(|&&score| !is_score(score)) {
        let requirement = "finite, or ∞ for an error that overflows";
        require(false, "calibration scores", requirement, score.to_f64())?;
    }
    sort(&mut scores);
    Ok(scores)
}

fn check_scaler<T: Real>(model: &SparseAutoencoder<T>, scaler: &Scaler<T>) -> Result<(), Error> {
    model.refuse_transcoder("anomaly detection")?;
    let input = model.layout().input_size();
    check_len("features of the scaler", input, scaler.features())
}
