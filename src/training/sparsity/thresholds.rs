//! Thresholds that are a quantile of each batch while k falls.

use nalgebra::DMatrixView;

use crate::data::spread::iter_spread;
use crate::linalg::Aligned;
use crate::model::{Calibration, activations_of, positive};
use crate::objective::{Batch, Pass};
use crate::training::TrainerSettings;
use crate::training::step::{State, Stepper};
use crate::{Real, linalg};

/// The largest number of samples of a batch from which thresholds are set.
pub(in crate::training) const QUANTILE: usize = 1024;

/// The thresholds and the bandwidth before a step that set others.
#[derive(Debug)]
pub(in crate::training) struct Before<T> {
    thresholds: Vec<T>,
    bandwidth: Option<f64>,
}

impl<T> Default for Before<T> {
    fn default() -> Self {
        Self {
            thresholds: Vec::new(),
            bandwidth: None,
        }
    }
}

impl<T: Real> Stepper<'_, T> {
    /// Sets the thresholds to a quantile of the batch, while k falls. Keeps those before.
    pub(in crate::training) fn set_thresholds(
        &mut self,
        settings: &TrainerSettings,
        batch: Batch<'_, T>,
        fraction: Option<f64>,
    ) {
        self.state.before.thresholds.clear();
        let (objective, layout) = (self.model.objective(), self.model.layout());
        let target = |fraction| settings.threshold_target(fraction, objective);
        let Some(active) = fraction.and_then(target) else {
            return;
        };
        let State {
            workspace,
            spread,
            pre_activations,
            ..
        } = &mut *self.state;
        let samples = some(batch.input, spread);
        let kept = activations_of(active, samples.ncols());
        let room = layout.hidden_size() * samples.ncols();
        pre_activations.grow(room);
        let z = &mut pre_activations[..room];
        let theta = self.model.parameters().as_slice();
        let pass = Pass::training(objective, layout, theta, objective.now());
        pass.pre_activations_into(samples, z, workspace);
        let mut found = if linalg::all_finite(z) {
            let found = Calibration::of(positive(z), kept);
            [found.threshold, found.bandwidth]
        } else {
            [T::of(f64::NAN); 2] // as the loss of the step
        };
        if let Some(shares) = batch.shares {
            shares.average(&mut found);
        }
        let [threshold, bandwidth] = found;
        if threshold.is_finite() && bandwidth.is_finite() {
            let before = &mut self.state.before;
            before.bandwidth = self.model.settings().bandwidth;
            let thresholds = self.model.innermost_thresholds();
            before.thresholds.extend_from_slice(thresholds);
            self.model.calibrate(Calibration {
                threshold,
                bandwidth,
            });
        }
    }

    /// Takes back what [`set_thresholds`](Self::set_thresholds) has set.
    pub(in crate::training) fn restore_thresholds(&mut self) {
        let before = &self.state.before;
        if !before.thresholds.is_empty() {
            let thresholds = self.model.innermost_thresholds();
            thresholds.copy_from_slice(&before.thresholds);
            self.model.calibrate_bandwidth(before.bandwidth);
        }
    }
}

/// Returns samples spread over the batch, in `room`, or all if they are few.
fn some<'a, T: Real>(batch: DMatrixView<'a, T>, room: &'a mut Aligned<T>) -> DMatrixView<'a, T> {
    let (rows, m) = batch.shape();
    if m <= QUANTILE {
        return batch;
    }
    room.grow(rows * QUANTILE);
    let chosen = iter_spread(m, QUANTILE, 0);
    for (column, i) in room.chunks_exact_mut(rows).zip(chosen) {
        column.copy_from_slice(batch.column(i).as_slice());
    }
    DMatrixView::from_slice(&room[..rows * QUANTILE], rows, QUANTILE)
}
