//! Sparsity that changes over a training: annealing on a schedule, and a controller that reaches a
//! set point.
//!
//! Both replace the model's values for a step. The model keeps its own values.

mod annealing;
mod set_point;

pub use annealing::AnnealK;
pub(super) use set_point::Controller;
pub use set_point::{SetPoint, SetPointState};

use super::TrainerSettings;
use crate::Real;
use crate::objective::{Now, Objective};

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
