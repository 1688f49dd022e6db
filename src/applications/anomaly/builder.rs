use std::ops::ControlFlow;

use nalgebra::{DMatrix, DMatrixView};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::{AnomalyDetector, SAMPLES, Threshold};
use crate::error::{Error, require};
use crate::validate::{check_batch, check_rows};
use crate::{Epoch, Real, Scaler, Scaling, SparseAutoencoder, Trainer};

/// Settings of an [`AnomalyDetector`], checked by [`fit`](Self::fit).
///
/// | setter | default | range | meaning |
/// |---|---|---|---|
/// | [`scaling`](Self::scaling) | standard | | of the input; constant features are refused |
/// | [`threshold`](Self::threshold) | `FalseAlarmRate(0.05)` | (0, 1) | above which score a sample is an anomaly |
/// | [`calibration_split`](Self::calibration_split) | 0.25 | [0, 1) | fraction of the samples kept from the training |
/// | [`seed`](Self::seed) | 0 | | of the choice of these samples |
#[derive(Debug)]
#[must_use]
pub struct AnomalyDetectorBuilder<'m, T> {
    model: &'m mut SparseAutoencoder<T>,
    scaling: Scaling,
    threshold: Threshold,
    calibration_split: f64,
    seed: u64,
}

impl<'m, T: Real> AnomalyDetectorBuilder<'m, T> {
    pub(super) fn new(model: &'m mut SparseAutoencoder<T>) -> Self {
        Self {
            model,
            scaling: Scaling::standard(),
            threshold: Threshold::FalseAlarmRate(0.05),
            calibration_split: 0.25,
            seed: 0,
        }
    }

    /// How to scale the input. Learned from the training samples, applied by every call.
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.scaling = scaling;
        self
    }

    /// The rule for the threshold. It can be changed later.
    pub fn threshold(mut self, rule: Threshold) -> Self {
        self.threshold = rule;
        self
    }

    /// The fraction of the samples, chosen by the seed, that neither the scaling nor the model
    /// sees, so that p-values and false-alarm rates hold. With 0 the detector calibrates on the
    /// training samples, as PyOD does: all samples for the training, but no guarantee.
    pub fn calibration_split(mut self, fraction: f64) -> Self {
        self.calibration_split = fraction;
        self
    }

    /// The seed by which the calibration samples are chosen.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Learns the scaling, fits the model, and calibrates a detector: all from these samples,
    /// visible × samples. The detector holds a copy of the fitted model.
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit<'a>(
        self,
        trainer: &mut Trainer<T>,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<AnomalyDetector<T>, Error> {
        self.fit_with(trainer, samples, |_| ControlFlow::Continue(()))
    }

    /// [`fit`](Self::fit) with an observer of the training, as in [`Trainer::fit_with`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a setting outside its range, [`Error::TooFewSamples`] if
    /// less than two samples are held out, none remains, or a false-alarm rate needs more;
    /// as [`Scaling::fit`] for the scaling: [`Error::ConstantFeature`] above all. All this is found
    /// before the training, and the model is then unchanged.
    ///
    /// As [`Trainer::fit_with`] for the training. Whatever the error, the model is yours and
    /// keeps what it has learned.
    pub fn fit_with<'a>(
        self,
        trainer: &mut Trainer<T>,
        samples: impl Into<DMatrixView<'a, T>>,
        observer: impl FnMut(&Epoch<'_, T>) -> ControlFlow<()>,
    ) -> Result<AnomalyDetector<T>, Error> {
        let samples = samples.into();
        let (training, held_out, scaler) = trainer.or_refuse_to_fit(self.split(samples))?;
        let scaled = trainer.or_refuse_to_fit(scaler.apply(&training))?;
        trainer.fit_with(self.model, scaled, observer)?;
        let calibration = if held_out.is_empty() {
            training
        } else {
            samples.select_columns(&held_out)
        };
        AnomalyDetector::calibrate(self.model, &scaler, &calibration, self.threshold)
    }

    /// A copy of the samples to learn from, the indices of those that are held out, and the scaling.
    #[allow(clippy::type_complexity)]
    fn split(
        &self,
        samples: DMatrixView<'_, T>,
    ) -> Result<(DMatrix<T>, Vec<usize>, Scaler<T>), Error> {
        check_rows(samples, self.model.layout().visible(), SAMPLES[1])?;
        let split = self.calibration_split;
        require(
            (0.0..1.0).contains(&split),
            "calibration_split",
            "in [0, 1)",
            split,
        )?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=ncols
        let held_out = (split * f64::of_count(samples.ncols())).round() as usize;
        let calibrates_on_training = split <= 0.0;
        self.threshold.check(if calibrates_on_training {
            samples.ncols()
        } else {
            held_out
        })?;
        if held_out == samples.ncols() {
            return Err(Error::TooFewSamples {
                what: "samples beside those held out for calibration",
                needed: 1,
                actual: 0,
            });
        }
        check_batch(samples, self.model.layout().visible(), SAMPLES)?;

        let mut order: Vec<usize> = (0..samples.ncols()).collect();
        if !calibrates_on_training {
            order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(self.seed));
        }
        let training = samples.select_columns(&order[held_out..]);
        order.truncate(held_out);
        let scaler = self.scaling.fit(&training)?;
        Ok((training, order, scaler))
    }
}
