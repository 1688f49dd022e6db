//! What a penalty sees, and where it adds.

use crate::linalg::Aligned;
use crate::{Activation, Real};

/// The activations of one hidden layer on one batch, as a penalty sees them: of
/// [`Activation::Gated`] units, what their gates let through, `max(π, 0)`.
///
/// Slices and numbers: a penalty depends on no version of a matrix library.
#[derive(Debug, Clone, Copy)]
pub struct HiddenBatch<'a, T> {
    activations: &'a [T],
    mean: &'a [T],
    active: T,
    target: T,
    activation: Activation,
}

impl<'a, T: Real> HiddenBatch<'a, T> {
    /// `activations` sample after sample, `mean.len()` units each, of which `mean` is the mean and
    /// `active` of a sample are not 0, on average.
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

    /// The number of units of the layer.
    #[must_use]
    pub fn units(&self) -> usize {
        self.mean.len()
    }

    /// The number of samples m of the batch, at least 1.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.activations.len() / self.mean.len()
    }

    /// All activations, sample after sample: `units · samples` values.
    #[must_use]
    pub fn activations(&self) -> &'a [T] {
        self.activations
    }

    /// The activations of each sample in turn, `units` values each.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &'a [T]> {
        self.activations.chunks_exact(self.mean.len())
    }

    /// The mean activation ρ̂ of each unit over the batch, ready-made. Where
    /// [several processes](crate::AllReduce) train, over the batches of all of them.
    #[must_use]
    pub fn mean(&self) -> &'a [T] {
        self.mean
    }

    /// The mean number of active units of a sample, `L₀ = 1/m Σᵢ ‖hᵢ‖₀`, ready-made as
    /// [`mean`](Self::mean) is.
    #[must_use]
    pub fn mean_active(&self) -> T {
        self.active
    }

    /// The sparsity target ρ of the model.
    #[must_use]
    pub fn target(&self) -> T {
        self.target
    }

    /// The activation function that made the activations, for its range and its sign.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.activation
    }
}

/// Where a penalty adds its gradient: three channels, of which it touches what it needs.
///
/// A penalty on the mean activations costs O(units) by the first; what is written there is added
/// to the gradient of *every* activation of that unit. A penalty on how often units are active has
/// no gradient by the activations at all, and uses the last.
#[derive(Debug)]
pub struct HiddenGradient<'a, T> {
    per_unit: &'a mut [T],
    per_frequency: &'a mut [T],
    per_activation: &'a mut Aligned<T>,
    activations: usize,
    per_activation_used: bool,
}

impl<'a, T: Real> HiddenGradient<'a, T> {
    /// `per_unit` and `per_frequency` are used as they are; `per_activation` is made room in for that many activations, and
    /// cleared, if it is asked for.
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

    /// One value per unit, to be added to: it counts for every sample of the batch.
    pub fn per_unit(&mut self) -> &mut [T] {
        self.per_unit
    }

    /// One value per unit, to be added to: `scale · ∂Ω/∂φⱼ` for the frequency
    /// `φⱼ = 1/m Σᵢ 1[hⱼᵢ ≠ 0]` with which the unit is active.
    ///
    /// A frequency is a step of the activations, whose derivative is 0 almost everywhere. But
    /// [`Activation::JumpRelu`] has thresholds, which learn of it by their pseudo-gradient; for
    /// other activations what is written here is lost, so a penalty that uses it should
    /// [refuse](crate::Penalty::check) them.
    pub fn per_frequency(&mut self) -> &mut [T] {
        self.per_frequency
    }

    /// One value per activation, sample after sample, to be added to. Asking for it costs a pass
    /// over the batch.
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
