//! What a pass lends to the units of a layer: parameters, gradients, buffers, and their own state.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;

use crate::Real;
use crate::linalg::{Aligned, Scratch};

/// The parameters of a layer that belong to its units, or their gradient.
///
/// Blocks that a variant does not have are empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a, T> {
    pub(crate) bias: &'a [T],
    pub(crate) blocks: [&'a [T]; 2],
    /// ε, the bandwidth of the pseudo-derivative of thresholds.
    pub(crate) bandwidth: T,
}

impl<'a, T: Real> Own<'a, T> {
    /// Returns the parameters of units without blocks.
    pub(crate) fn of_bias(bias: &'a [T]) -> Self {
        Self {
            bias,
            blocks: [&[]; 2],
            bandwidth: T::zero(),
        }
    }
}

/// [`Own`] to write to.
#[derive(Debug)]
pub(crate) struct OwnMut<'a, T> {
    pub(crate) bias: &'a mut [T],
    pub(crate) blocks: [&'a mut [T]; 2],
}

/// The gradient that a backward pass over active units writes.
#[derive(Debug)]
pub(crate) struct ActiveGradient<'a, T> {
    /// `∂D`, input × units.
    pub(crate) decoder: &'a mut [T],
    pub(crate) own: OwnMut<'a, T>,
}

/// The buffers that a pass lends to the units of a layer.
#[derive(Debug)]
pub(crate) struct Buffers<'a, T> {
    pub(crate) state: &'a mut State,
    /// Grows to the size of the layer's activations. Undefined.
    pub(crate) spare: &'a mut Aligned<T>,
    /// At least two entries per unit.
    pub(crate) sums: &'a mut [T],
    pub(crate) scratch: &'a mut Scratch<T>,
}

/// The gradients that reach the units of a layer.
pub(crate) struct Arriving<'a, T> {
    /// Whether the layer is penalized. If not, the two channels hold zeros.
    pub(crate) penalized: bool,
    /// `β ∂Ω`, the same for every activation of a unit.
    pub(crate) per_unit: &'a [T],
    /// `1/m β ∂Ω/∂φⱼ`, where φⱼ is the frequency with which unit `j` is active.
    pub(crate) per_frequency: &'a [T],
    /// Writes `Dᵀ Δ(R₀)`.
    pub(crate) pull: &'a mut dyn FnMut(&mut [T], &mut Scratch<T>),
}

impl<'a, T> Arriving<'a, T> {
    pub(crate) fn without_penalty(pull: &'a mut dyn FnMut(&mut [T], &mut Scratch<T>)) -> Self {
        Self {
            penalized: false,
            per_unit: &[],
            per_frequency: &[],
            pull,
        }
    }
}

/// What the units of a layer keep from the forward to the backward pass, in a type of the variant's own.
///
/// A clone is empty. A pass writes the state before it reads it, so a panic between passes breaks nothing.
#[derive(Default)]
pub(crate) struct State(Option<AssertUnwindSafe<Box<dyn Any + Send + Sync>>>);

impl State {
    /// Lends the state to `f`, initially the default of `S`.
    pub(crate) fn with<S: Any + Default + Send + Sync, R>(
        &mut self,
        f: impl FnOnce(&mut S) -> R,
    ) -> R {
        let kept = self.0.take().and_then(|state| state.0.downcast::<S>().ok());
        let mut state = kept.unwrap_or_default();
        let result = f(&mut state);
        self.0 = Some(AssertUnwindSafe(state));
        result
    }

    /// Returns the state, if it has type `S`.
    pub(crate) fn get<S: Any>(&self) -> Option<&S> {
        self.0.as_ref()?.downcast_ref()
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}
