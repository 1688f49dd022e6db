//! Fitting and calibrating a detector in one call.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::{AnomalyDetector, Threshold, scaled};
use crate::data::in_order::InOrder;
use crate::error::{Error, require};
use crate::linalg::reserve;
use crate::training::observer::{Observer, of_epochs};
use crate::training::{Event, Verdict};
use crate::validate::{SAMPLES, check_len};
use crate::{
    Activation, Epoch, Imputer, MissingValues, Real, Report, Samples, Scaler, Scaling,
    SparseAutoencoder, Subset, Trainer,
};

/// The settings of an [`AnomalyDetectorBuilder`], as one value that a file can hold.
///
/// Each field has a setter of the same name on the builder, which documents it.
/// [`AnomalyDetectorBuilder::fit`] checks their ranges.
///
/// ```
/// use sparse_autoencoder::{AnomalyDetectorSettings, Threshold};
///
/// let mut settings = AnomalyDetectorSettings::default();
/// assert_eq!(settings.threshold, Threshold::FalseAlarmRate(0.05));
/// settings.calibration_split = 0.5;
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same tables and keys as this JSON. All keys are optional.

```
use sparse_autoencoder::{AnomalyDetectorSettings, Scaling, Threshold};

let json = r#"{
    "scaling": {"target": "standard"},
    "missing_values": "impute",
    "threshold": {"contamination": 0.1},
    "calibration_split": 0.5,
    "seed": 3
}"#;
let settings: AnomalyDetectorSettings = serde_json::from_str(json).unwrap();
assert_eq!(settings.scaling, Some(Scaling::standard()));
assert_eq!(settings.threshold, Threshold::Contamination(0.1));
```
"##
)]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        default,
        deny_unknown_fields,
        expecting = "a table with settings of a detector, such as `threshold`"
    )
)]
#[non_exhaustive]
pub struct AnomalyDetectorSettings {
    /// The scaling of the input. Unset: the one that suits the output activation.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub scaling: Option<Scaling>,
    /// The rule for missing values.
    pub missing_values: MissingValues,
    /// The rule for the threshold.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::by_name::choice"))]
    pub threshold: Threshold,
    /// The fraction of the samples held out for calibration, in [0, 1).
    pub calibration_split: f64,
    /// The seed for choosing the calibration samples.
    pub seed: u64,
}

impl Default for AnomalyDetectorSettings {
    fn default() -> Self {
        Self {
            scaling: None,
            missing_values: MissingValues::Refuse,
            threshold: Threshold::FalseAlarmRate(0.05),
            calibration_split: 0.25,
            seed: 0,
        }
    }
}

/// Fits an [`AnomalyDetector`]. [`fit`](Self::fit) checks the settings.
///
/// | setter | default | range | meaning |
/// |---|---|---|---|
/// | [`scaling`](Self::scaling) | to the range of the output, with a margin of 0.1; 0 to 1 for `Relu`; standard for `Identity`; refuses constant features | | scaling of the input |
/// | [`missing_values`](Self::missing_values) | `Refuse` | | rule for NaN in the samples |
/// | [`threshold`](Self::threshold) | `FalseAlarmRate(0.05)` | (0, 1) | rule for the score above which a sample is an anomaly |
/// | [`calibration_split`](Self::calibration_split) | 0.25 | [0, 1) | fraction of the samples held out for calibration |
/// | [`seed`](Self::seed) | 0 | | seed for choosing the calibration samples |
///
/// [`settings`](Self::settings) sets all at once.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Adam, AnomalyDetector, Scaling, SparseAutoencoder, Threshold, Trainer};
///
/// let normal = DMatrix::from_fn(3, 80, |i, j| ((i * 31 + j * 17) % 23) as f32);
/// let mut model = SparseAutoencoder::builder().layers([3, 4]).build()?;
/// let detector = AnomalyDetector::builder(&mut model)
///     .scaling(Scaling::min_max(0.1, 0.9))
///     .threshold(Threshold::Contamination(0.1))
///     .calibration_split(0.5)
///     .fit(&mut Trainer::new(Adam::new(1e-2)?).epochs(5), &normal)?
///     .detector;
/// assert_eq!(detector.calibration_scores().len(), 40);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct AnomalyDetectorBuilder<'m, T> {
    model: &'m mut SparseAutoencoder<T>,
    settings: AnomalyDetectorSettings,
}

/// A fitted detector, and the report of the training.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FittedDetector<T: Real> {
    /// The calibrated detector.
    pub detector: AnomalyDetector<T>,
    /// The losses of the training, on scaled samples, and its [warnings](Report::warnings).
    pub report: Report<T>,
}

impl<'m, T: Real> AnomalyDetectorBuilder<'m, T> {
    pub(super) fn new(model: &'m mut SparseAutoencoder<T>) -> Self {
        Self {
            model,
            settings: AnomalyDetectorSettings::default(),
        }
    }

    /// Sets all settings.
    pub fn settings(mut self, settings: AnomalyDetectorSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the scaling of the input, learned from the training samples and applied by every method.
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.settings.scaling = Some(scaling);
        self
    }

    /// Sets the rule for [missing values](AnomalyDetector#missing-values), which are NaN in the samples.
    pub fn missing_values(mut self, rule: MissingValues) -> Self {
        self.settings.missing_values = rule;
        self
    }

    /// Sets the rule for the threshold. [`AnomalyDetector::set_threshold`] can change it later.
    pub fn threshold(mut self, rule: Threshold) -> Self {
        self.settings.threshold = rule;
        self
    }

    /// Sets the fraction of the samples held out for calibration, in [0, 1).
    ///
    /// Neither the scaling nor the model sees these samples, so that p-values and false-alarm rates hold. The samples
    /// must not repeat each other: divide [weighted](crate::Subset::weighted) ones yourself, and
    /// [calibrate](AnomalyDetector::calibrate) on samples without weights. If all values of a feature are held out,
    /// they decide what a missing value becomes. With 0 the detector calibrates on the training samples, as PyOD does,
    /// without a guarantee.
    pub fn calibration_split(mut self, fraction: f64) -> Self {
        self.settings.calibration_split = fraction;
        self
    }

    /// Sets the seed for choosing the calibration samples.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Learns the scaling, fits the model, and calibrates a detector from [`Samples`]: a matrix or a view,
    /// input × samples, a file, or a source of your own.
    ///
    /// The detector holds a copy of the fitted model. The same samples give the same bits, wherever they are stored. Of
    /// samples in memory, a fit copies those that the model is trained on, and with [`MissingValues::Impute`] all of
    /// them. Other samples are checked in a separate pass, scaled on reading, and not copied.
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit(
        self,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
    ) -> Result<FittedDetector<T>, Error> {
        self.fit_with(trainer, samples, |_| ())
    }

    /// Runs [`fit`](Self::fit) with an observer of the training, as in [`Trainer::fit_with`].
    ///
    /// # Errors
    ///
    /// These errors come before the training and leave the model unchanged:
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::InvalidParameter`] | a setting outside its range |
    /// | [`Error::Incompatible`] | a transcoder; [several processes](Trainer::all_reduce) |
    /// | [`Error::TooFewSamples`] | fewer than two samples held out, too few for the false-alarm rate, or none left to train on |
    /// | [`Error::NonFinite`] | infinities; NaN, with [`MissingValues::Refuse`] |
    /// | [`Error::MissingFeature`] | a feature without any value, with [`MissingValues::Impute`] |
    /// | those of [`Scaling::fit`] | such as [`Error::ConstantFeature`] |
    /// | those of [`Samples::read`] | samples that cannot be read |
    ///
    /// Errors of the training are those of [`Trainer::fit_with`].
    pub fn fit_with<V: Verdict>(
        self,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
        observer: impl FnMut(&Epoch<'_, T>) -> V,
    ) -> Result<FittedDetector<T>, Error> {
        self.fit_observed(trainer, &samples, false, &mut of_epochs(observer))
    }

    /// Runs [`fit`](Self::fit) with an observer of each [step and epoch](Event) of the training, as in
    /// [`Trainer::fit_with_steps`].
    ///
    /// A stop ends the training. The detector is then calibrated.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, AnomalyDetector, Event, SparseAutoencoder, Trainer};
    ///
    /// let normal = DMatrix::from_fn(3, 80, |i, j| ((i * 31 + j * 17) % 23) as f32);
    /// let mut model = SparseAutoencoder::builder().layers([3, 4]).build()?;
    /// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(50).batch_size(20);
    /// AnomalyDetector::builder(&mut model).fit_with_steps(&mut trainer, &normal, |event| {
    ///     match event {
    ///         Event::Step(step) if step.number == 40 => ControlFlow::Break(()),
    ///         _ => ControlFlow::Continue(()),
    ///     }
    /// })?;
    /// assert_eq!(trainer.steps_taken(), 40);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit_with_steps<V: Verdict>(
        self,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(&Event<'_, T>) -> V,
    ) -> Result<FittedDetector<T>, Error> {
        let see = &mut |event: &Event<'_, T>| observer(event).verdict();
        self.fit_observed(trainer, &samples, true, see)
    }

    /// Implements the fits. Imputes first, if the settings say so.
    fn fit_observed(
        self,
        trainer: &mut Trainer<T>,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut Observer<'_, T>,
    ) -> Result<FittedDetector<T>, Error> {
        trainer.or_refuse_to_fit(trainer.refuse_processes())?;
        let Some(imputer) = trainer.or_refuse_to_fit(self.imputer(samples))? else {
            return self.fit_complete(trainer, samples, samples, None, sees_steps, observer);
        };
        let own = Some(imputer.clone());
        if let Some(in_memory) = samples.in_memory() {
            let complete = trainer.or_refuse_to_fit(imputer.apply(in_memory))?;
            self.fit_complete(trainer, &complete, samples, own, sees_steps, observer)
        } else {
            let complete = imputer.apply_on_read(samples)?;
            self.fit_complete(trainer, &complete, samples, own, sees_steps, observer)
        }
    }

    /// Learns to impute from the training samples, if the settings say so.
    fn imputer(&self, samples: &dyn Samples<T>) -> Result<Option<Imputer<T>>, Error> {
        match self.settings.missing_values {
            MissingValues::Refuse => Ok(None),
            MissingValues::Impute => {
                check_len(
                    SAMPLES[1],
                    self.model.layout().input_size(),
                    samples.entries(),
                )?;
                let (training, _) = self.split(samples.count())?;
                // All samples first, so that a feature has a mean if all its values are held out.
                let mut imputer = Imputer::fit(samples)?.unmarked();
                imputer
                    .learn_means(&Subset::new(samples, &*training)?)
                    .map_err(|error| error.at_chosen(&training))?;
                Ok(Some(imputer))
            }
        }
    }

    /// Fits to complete samples, and calibrates on samples that may miss values.
    fn fit_complete(
        self,
        trainer: &mut Trainer<T>,
        complete: &dyn Samples<T>,
        samples: &dyn Samples<T>,
        imputer: Option<Imputer<T>>,
        sees_steps: bool,
        observer: &mut Observer<'_, T>,
    ) -> Result<FittedDetector<T>, Error> {
        let prepared = trainer
            .refuse_validation()
            .and_then(|()| self.prepare(complete));
        let (training, held_out, scaler) = trainer.or_refuse_to_fit(prepared)?;
        let of_whole = |error: Error| error.at_chosen(&training);
        let scaled = scaled(complete, &training, &scaler).map_err(of_whole);
        let scaled = trainer.or_refuse_to_fit(scaled)?;
        let report = trainer
            .fit_observed(self.model, &scaled, sees_steps, observer)
            .map_err(of_whole)?;
        drop(scaled);
        let calibration = if held_out.is_empty() {
            training
        } else {
            held_out
        };
        let calibration = Subset::new(samples, calibration)?;
        let rule = self.settings.threshold;
        let detector =
            AnomalyDetector::calibrate_imputing(self.model, imputer, &scaler, &calibration, rule)
                .map_err(|error| error.at_chosen(calibration.indices()))?;
        Ok(FittedDetector { detector, report })
    }

    /// Returns the indices of the training samples and of the held-out samples, and the scaling. Reads all
    /// samples, so that invalid ones are found before the training.
    #[allow(clippy::type_complexity)]
    fn prepare(
        &self,
        samples: &dyn Samples<T>,
    ) -> Result<(Vec<usize>, Vec<usize>, Scaler<T>), Error> {
        self.model.refuse_transcoder("anomaly detection")?;
        let input = self.model.layout().input_size();
        check_len(SAMPLES[1], input, samples.entries())?;
        let (training, held_out) = self.split(samples.count())?;
        InOrder::new(samples, input, SAMPLES)?.each(|_, _| Ok(()))?;
        let scaling = match self.settings.scaling {
            Some(scaling) => scaling,
            None => suited_to(self.model.output_activation())?,
        };
        let scaler = scaling
            .fit(Subset::new(samples, &*training)?)
            .map_err(|error| error.at_chosen(&training))?;
        Ok((training, held_out, scaler))
    }

    /// Returns the indices of the training samples and of the held-out samples.
    fn split(&self, count: usize) -> Result<(Vec<usize>, Vec<usize>), Error> {
        let split = self.settings.calibration_split;
        require(
            (0.0..1.0).contains(&split),
            "calibration_split",
            "in [0, 1)",
            split,
        )?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=count
        let held_out = (split * f64::of_count(count)).round() as usize;
        let calibrates_on_training = split <= 0.0;
        self.settings.threshold.check(if calibrates_on_training {
            count
        } else {
            held_out
        })?;
        if held_out == count {
            return Err(Error::TooFewSamples {
                what: "samples left to train on",
                needed: 1,
                actual: 0,
            });
        }
        let mut order = Vec::new();
        reserve::reserve(&mut order, count, "number of samples")?;
        order.extend(0..count);
        if !calibrates_on_training {
            order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(self.settings.seed));
        }
        let training = order.split_off(held_out);
        Ok((training, order))
    }
}

/// Returns a scaling to values that the output reaches.
fn suited_to(output: Activation) -> Result<Scaling, Error> {
    match output.range() {
        Some(_) => Scaling::to_range_of(output, 0.1),
        None if output.is_non_negative() => Ok(Scaling::min_max(0.0, 1.0)),
        None => Ok(Scaling::standard()),
    }
}
