//! Units that are active above thresholds, and how the thresholds learn.
//!
//! ```text
//! hⱼᵢ = zⱼᵢ 1[zⱼᵢ > tⱼ],     φⱼ = 1/m Σᵢ 1[zⱼᵢ > tⱼ]
//! ```
//!
//! A step has derivative 0 wherever it has one, so the thresholds learn by the pseudo-derivatives of
//! Rajamanoharan et al. (2024), *Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse
//! Autoencoders*: with the rectangle `K(u) = 1[|u| < ½]` and the bandwidth ε,
//!
//! ```text
//! ∂hⱼᵢ/∂tⱼ = −tⱼ/ε K((zⱼᵢ − tⱼ)/ε),     ∂φⱼ/∂tⱼ = −1/m Σᵢ 1/ε K((zⱼᵢ − tⱼ)/ε)
//!
//! ∂J/∂tⱼ = −1/ε Σᵢ K((zⱼᵢ − tⱼ)/ε) (tⱼ ∂J/∂hⱼᵢ + 1/m ∂J/∂φⱼ)
//! ```
//!
//! which in expectation over the samples is the derivative of the mean of J, smoothed by K. The
//! derivative by z is the plain one, `1[z > t]`. A threshold is a parameter itself, not its
//! logarithm; one below 0 counts as 0, and still learns.
//!
//! What a threshold learns from are active units within ε/2 above it, which their activation tells,
//! and inactive ones within ε/2 below. Those are marked by the sign of their 0, so that no
//! pre-activation is kept.

use super::Pass;
use super::backward::Penalized;
use crate::Real;
use crate::linalg::Scratch;
use crate::objective::Workspace;
use crate::units;
use crate::units::Jump;

impl<T: Real> Pass<'_, T> {
    /// `H` from `Wᵀ H_below` for thresholds that are to learn; writes the sums over the samples, and
    /// the number of active units behind them.
    pub(super) fn jump(&self, l: usize, z: &mut [T], sums: &mut [T], scratch: &mut Scratch<T>) {
        let blocks = &self.layout.blocks()[l];
        let b = &self.theta[blocks.encoder_bias.clone()];
        let thresholds = blocks.thresholds(self.theta);
        let margin = T::of(0.5) * self.objective.bandwidth;
        units::activate_above(z, b, thresholds, margin, sums, scratch);
    }

    /// What the thresholds of layer `l` learn from; `per_step` becomes that of the frequencies.
    pub(super) fn jump_of<'a>(
        &'a self,
        l: usize,
        m: usize,
        penalized: &Penalized<T>,
        per_frequency: &'a mut [T],
    ) -> Jump<'a, T> {
        let blocks = &self.layout.blocks()[l];
        let per_step = &mut per_frequency[..blocks.above];
        if penalized.units == 0 {
            per_step.fill(T::zero());
        }
        let per_sample = T::one() / T::of_count(m);
        per_step.iter_mut().for_each(|g| *g *= per_sample);
        Jump {
            thresholds: blocks.thresholds(self.theta),
            bandwidth: self.objective.bandwidth,
            per_step,
        }
    }

    /// `∂J/∂H` in the `Δ` of layer `l` becomes `Δ(H)`; writes its sums over the samples, and the
    /// gradient of the thresholds.
    pub(super) fn backpropagate_jump(
        &self,
        l: usize,
        m: usize,
        penalized: &Penalized<T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let n = blocks.above;
        let per_unit = &mut ws.per_unit[..n];
        if penalized.units == 0 {
            per_unit.fill(T::zero());
        }
        let jump = self.jump_of(l, m, penalized, &mut ws.per_frequency);
        let (delta, h) = (&mut ws.delta[l][..n * m], &ws.hidden[l][..n * m]);
        let sums = &mut ws.sums[..2 * n];
        units::backpropagate_jump(delta, h, per_unit, jump, sums, &mut ws.scratch);
        gradient[blocks.encoder_bias.clone()].copy_from_slice(&sums[..n]);
        gradient[blocks.thresholds.clone()].copy_from_slice(&sums[n..]);
    }
}
