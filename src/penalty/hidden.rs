//! The two sides of a penalty: the batch that it reads and the gradient that it adds to.

use crate::linalg::Aligned;
use crate::{Activation, Real};

/// The activations of one hidden layer on one batch, as a penalty sees them.
///
/// Everything is a slice or a number, so that a penalty depends on no version of a matrix library.
/// For [`Activation::Gated`] the activations are those of the gates, `max(π, 0)`.
#[derive(Debug, Clone, Copy)]
pub struct HiddenBatch<'a, T> {
    activations: &'a [T],
    mean: &'a [T],
    active: T,
    target: T,
    activation: Activation,
}

impl<'a, T: Real> HiddenBatch<'a, T> {
    /// Views `activations`, sample after sample with `mean.len()` units each.
    ///
    /// `mean` holds ρ̂ of each unit, `active` the mean number of nonzero activations per sample.
    pub(crate) fn new(
        activations: &'a [T],
        (mean, active): (&'a [T], T),
        target: T,
        activation: Activation,
    ) -> Self {
        debug_assert_eq!(activations.len() % mean.len(), 0);
        Self {
            activations,
            mean,
            active,
            target,
            activation,
        }
    }

    /// Returns the number of units of the layer.
    #[must_use]
    pub fn units(&self) -> usize {
        self.mean.len()
    }

    /// Returns the number of samples m of the batch, at least 1.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.activations.len() / self.mean.len()
    }

    /// Returns all activations, sample after sample: `units · samples` values.
    #[must_use]
    pub fn activations(&self) -> &'a [T] {
        self.activations
    }

    /// Iterates over the samples, each with `units` activations.
    #[must_use]
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &'a [T]> {
        self.activations.chunks_exact(self.mean.len())
    }

    /// Returns the mean activation ρ̂ of each unit over the batch, already computed.
    ///
    /// Where [several processes](crate::AllReduce) train, the mean is over the batches of all.
    #[must_use]
    pub fn mean(&self) -> &'a [T] {
        self.mean
    }

    /// Returns the mean number of active units per sample, `L₀ = 1/m Σᵢ ‖hᵢ‖₀`, already computed.
    ///
    /// Covers the same batches as [`mean`](Self::mean). A gated unit counts while its gate is open and its magnitude is
    /// above 0.
    #[must_use]
    pub fn l0(&self) -> T {
        self.active
    }

    /// Returns the sparsity target ρ of the model.
    #[must_use]
    pub fn target(&self) -> T {
        self.target
    }

    /// Returns the activation function of the layer, for its range and its sign.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.activation
    }
}

/// The gradient that a penalty adds to, in three channels of different size.
///
/// | channel | values | for penalties on |
/// |---|---|---|
/// | [`per_unit`](Self::per_unit) | units | mean activations: O(units) |
/// | [`per_activation`](Self::per_activation) | units · samples | single activations |
/// | [`per_frequency`](Self::per_frequency) | units | how often units are active |
///
/// A penalty touches only the channels that it needs.
#[derive(Debug)]
pub struct HiddenGradient<'a, T> {
    per_unit: &'a mut [T],
    per_frequency: &'a mut [T],
    per_activation: &'a mut Aligned<T>,
    activations: usize,
    per_activation_used: bool,
}

impl<'a, T: Real> HiddenGradient<'a, T> {
    /// Wraps the three buffers. `per_activation` is grown to `activations` and cleared on first use.
    pub(crate) fn new(
        per_unit: &'a mut [T],
        per_frequency: &'a mut [T],
        per_activation: &'a mut Aligned<T>,
        activations: usize,
    ) -> Self {
        Self {
            per_unit,
            per_frequency,
            per_activation,
            activations,
            per_activation_used: false,
        }
    }

    /// Returns one value per unit to add `scale · ∂Ω/∂hⱼᵢ` to, if that is the same for every sample i.
    pub fn per_unit(&mut self) -> &mut [T] {
        self.per_unit
    }

    /// Returns one value per unit to add `scale · ∂Ω/∂φⱼ` to, for the frequency
    /// `φⱼ = 1/m Σᵢ 1[hⱼᵢ ≠ 0]` with which the unit is active.
    ///
    /// The derivative of a frequency is 0 almost everywhere; the thresholds of
    /// [`Activation::JumpRelu`] learn from it by their pseudo-derivative. Other activations ignore
    /// this channel, so a penalty that uses it should [refuse](crate::Penalty::check) them.
    pub fn per_frequency(&mut self) -> &mut [T] {
        self.per_frequency
    }

    /// Returns one value per activation to add `scale · ∂Ω/∂hⱼᵢ` to, sample after sample.
    ///
    /// The first call costs a pass over the batch.
    pub fn per_activation(&mut self) -> &mut [T] {
        if !self.per_activation_used {
            self.per_activation.grow(self.activations);
            self.per_activation[..self.activations].fill(T::zero());
            self.per_activation_used = true;
        }
        &mut self.per_activation[..self.activations]
    }

    pub(crate) fn per_activation_used(&self) -> bool {
        self.per_activation_used
    }
}
