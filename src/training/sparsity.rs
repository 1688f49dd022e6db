//! Sparsity that changes over a training: annealing on a schedule, and a controller that reaches a
//! set point.
//!
//! Both replace the model's values for a step. The model keeps its own values.

pub(super) mod annealing;
mod set_point;
mod thresholds;

pub use annealing::AnnealK;
pub(super) use set_point::Controller;
pub use set_point::{SetPoint, SetPointState};
pub(super) use thresholds::{Before, QUANTILE};

use super::TrainerSettings;
use super::step::Stepper;
use crate::objective::{Now, Objective};
use crate::{Real, linalg};

/// Returns the values of a step after this `fraction` of the training. Without a fraction, nothing is
/// annealed.
pub(super) fn now<T: Real>(
    settings: &TrainerSettings,
    fraction: Option<f64>,
    objective: &Objective<T>,
    controller: &Controller<T>,
) -> Now<T> {
    let built = objective.now();
    let annealed = fraction.map_or(built, |fraction| settings.anneal(fraction, built));
    controller.apply(annealed)
}

impl<T: Real> Stepper<'_, T> {
    /// Moves the penalty weight towards the set point.
    pub(super) fn follow_set_point(&mut self, settings: &TrainerSettings, now: Now<T>) {
        let Some(set_point) = &settings.set_point else {
            return;
        };
        let (layout, workspace) = (self.model.layout(), &self.state.workspace);
        let innermost = layout.depth() - 1;
        let measured = if set_point.measures_active_units() {
            workspace.l0[innermost].to_f64()
        } else {
            let means = &workspace.mean[innermost][..layout.hidden_size()];
            linalg::sum(means, |mean| mean).to_f64() / f64::of_count(means.len())
        };
        let controller = &mut self.state.controller;
        controller.see(set_point, measured, now.penalty_weight);
    }
}
