//! The penalty of a layer and its gradient: `β Ω` and `β ∂Ω`.
//!
//! A penalty fills up to three channels of its gradient (see [`HiddenGradient`]). The backward pass adds them
//! to `∂J/∂H`.

use super::{Pass, Workspace};
use crate::Real;
use crate::linalg::Aligned;
use crate::penalty::{HiddenBatch, HiddenGradient};

/// The result of a penalty: `β Ω`, and the filled channels of `β ∂Ω`.
pub(super) struct Penalized<T> {
    pub(super) loss: T,
    /// The number of units in the channels per unit and per frequency; 0 if unpenalized.
    pub(super) units: usize,
    /// Whether the channel per activation is filled. It is stored in the `Δ` of the layer.
    pub(super) per_activation: bool,
}

impl<T: Real> Pass<'_, T> {
    /// Returns `Σ_l β_l Ω_l(H_l; ρ_l)`. Leaves the gradients of the penalty undefined.
    pub(super) fn penalize_all(&self, m: usize, ws: &mut Workspace<T>) -> T {
        let layers = (0..self.layout.depth()).rev();
        layers.fold(T::zero(), |sum, l| sum + self.penalize(l, m, ws).loss)
    }

    /// Returns `β Ω` of layer `l`, and writes `β ∂Ω` to the channels.
    pub(super) fn penalize(&self, l: usize, m: usize, ws: &mut Workspace<T>) -> Penalized<T> {
        let n = self.layout.blocks()[l].above;
        ws.per_unit[..n].fill(T::zero());
        ws.per_frequency[..n].fill(T::zero());
        if !self.penalizes(l) {
            return Penalized {
                loss: T::zero(),
                units: 0,
                per_activation: false,
            };
        }
        if self.objective.norm_weighted {
            return self.penalize_weighted(l, m, ws);
        }
        let seen = self.seen(l, m, &ws.hidden, &ws.states);
        let means = (&ws.mean[l][..n], ws.l0[l]);
        let (per_unit, per_frequency) = (&mut ws.per_unit[..n], &mut ws.per_frequency[..n]);
        self.accumulate(l, seen, means, per_unit, per_frequency, &mut ws.delta[l])
    }

    /// Returns `β Ω` of these activations of layer `l`, and writes `β ∂Ω` to channels that hold zeros.
    pub(super) fn accumulate(
        &self,
        l: usize,
        activations: &[T],
        means: (&[T], T),
        per_unit: &mut [T],
        per_frequency: &mut [T],
        per_activation: &mut Aligned<T>,
    ) -> Penalized<T> {
        let (beta, rho) = (
            self.penalty_weight(l),
            T::of(self.objective.sparsity_target_of(l)),
        );
        let hidden = HiddenBatch::new(activations, means, rho, self.activation(l));
        let units = hidden.units();
        let len = activations.len();
        let mut channels = HiddenGradient::new(per_unit, per_frequency, per_activation, len);
        let omega = self.objective.penalties[l].accumulate(&hidden, beta, &mut channels);
        let per_activation = channels.per_activation_used();
        let per_sample = T::one() / T::of_count(hidden.samples());
        per_frequency.iter_mut().for_each(|g| *g *= per_sample); // by each term of φ
        Penalized {
            loss: beta * omega,
            units,
            per_activation,
        }
    }
}
