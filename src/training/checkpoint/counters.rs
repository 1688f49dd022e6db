//! The counters of a training, as a checkpoint stores them.

use crate::Real;
use crate::training::sparsity::Controller;

/// Numbers that a controller is stored as.
pub(super) const OF_CONTROLLER: usize = 5;

impl<T: Real> Controller<T> {
    /// The numbers to store. `None` before the first step.
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

    /// The controller with these numbers.
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
