//! Thresholds that are a quantile of each batch while k falls.

use nalgebra::DMatrix;

use crate::Real;
use crate::model::{Calibration, activations_of};
use crate::objective::Batch;
use crate::training::TrainerSettings;
use crate::training::epochs::Place;
use crate::training::step::{State, Stepper};

/// The largest number of samples of a batch from which thresholds are set.
const QUANTILE: usize = 1024;

impl<T: Real> Stepper<'_, T> {
    /// Sets the thresholds to a quantile of the batch, while k falls.
    pub(in crate::training) fn set_thresholds(
        &mut self,
        settings: &TrainerSettings,
        batch: Batch<'_, T>,
        at: Place,
    ) {
        let (objective, layout) = (self.model.objective(), self.model.layout());
        let target = |fraction| settings.threshold_target(fraction, objective);
        let Some(active) = at.fraction.and_then(target) else {
            return;
        };
        let units = layout.hidden_size();
        let samples = batch.input.columns(0, batch.input.ncols().min(QUANTILE));
        let State {
            workspace,
            pre_activations,
            ..
        } = &mut *self.state;
        if pre_activations.shape() != (units, samples.ncols()) {
            *pre_activations = DMatrix::zeros(units, samples.ncols());
        }
        let kept = activations_of(active, samples.ncols());
        let model = &mut *self.model;
        let positive = model.positive_pre_activations(samples, pre_activations, workspace);
        // Without a threshold, the loss of the step is not finite either.
        let none = [T::of(f64::NAN); 2];
        let mut found = positive.map_or(none, |positive| {
            let found = Calibration::of(positive, kept);
            [found.threshold, found.bandwidth]
        });
        if let Some(shares) = batch.shares {
            shares.average(&mut found);
        }
        let [threshold, bandwidth] = found;
        if threshold.is_finite() && bandwidth.is_finite() {
            model.calibrate(Calibration {
                threshold,
                bandwidth,
            });
        }
    }
}
