//! The learning rate of first-order optimizers.

use super::State;
use crate::Real;
use crate::error::{Error, require_above_0, require_at_least_0};

/// A base rate and the factor of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct LearningRate {
    base: f64,
    factor: f64,
}

impl LearningRate {
    pub(super) fn new(base: f64) -> Result<Self, Error> {
        require_above_0::<f64>("learning_rate", base)?;
        Ok(Self { base, factor: 1.0 })
    }

    /// Returns the rate set at construction.
    pub(super) fn base(self) -> f64 {
        self.base
    }

    /// Replaces the factor, so that a schedule sets its current value.
    pub(super) fn scale(&mut self, factor: f64) -> Result<(), Error> {
        require_at_least_0::<f64>("factor", factor)?;
        self.factor = factor;
        Ok(())
    }

    /// Adds the base rate as a setting and the factor as a number to the state of an optimizer.
    pub(super) fn keep<T: Real>(self, state: State<'_, T>) -> State<'_, T> {
        state
            .setting("learning_rate", self.base)
            .number("factor", self.factor)
    }

    /// Returns this rate with the factor of a state.
    pub(super) fn restored<T: Real>(mut self, state: &mut State<'_, T>) -> Result<Self, Error> {
        let factor = state.take_number("factor")?;
        let accepted = factor >= 0.0 && factor.is_finite();
        state.require(accepted, "factor", "finite and at least 0")?;
        self.factor = factor;
        Ok(self)
    }

    pub(super) fn current(self) -> f64 {
        self.base * self.factor
    }
}
