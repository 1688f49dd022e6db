//! The controller of a set point, as numbers in a checkpoint.

use crate::Real;
use crate::training::sparsity::Controller;

/// The length of a stored controller.
pub(super) const OF_CONTROLLER: usize = 5;

impl<T: Real> Controller<T> {
    /// Returns the numbers to store, or `None` before the first step.
    pub(super) fn stored(&self) -> Option<[f64; OF_CONTROLLER]> {
        let (distance, log) = self.nearest?;
        let exhausted = f64::from(u8::from(self.exhausted));
        Some([
            self.weight?.to_f64(),
            self.measured?,
            distance,
            log,
            exhausted,
        ])
    }

    /// Restores the controller from these numbers.
    pub(super) fn restored(
        [weight, measured, distance, log, exhausted]: [f64; OF_CONTROLLER],
    ) -> Self {
        Self {
            weight: Some(T::of(weight)),
            measured: Some(measured),
            nearest: Some((distance, log)),
            exhausted: exhausted > 0.0,
        }
    }
}
