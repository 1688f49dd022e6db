//! A penalty on activations that are weighed by the norms of the decoder's columns.
//!
//! ```text
//! h̃ⱼᵢ = hⱼᵢ ‖dⱼ‖,     J has β Ω(H̃) in place of β Ω(H)
//! ∂J/∂hⱼᵢ = … + ‖dⱼ‖ g̃ⱼᵢ,     ∂J/∂dⱼ = … + (Σᵢ hⱼᵢ g̃ⱼᵢ) dⱼ/‖dⱼ‖,     g̃ = β ∂Ω/∂h̃
//! ```
//!
//! What a unit contributes to the reconstruction is `hⱼᵢ dⱼ`, so nothing is gained by small activations
//! and long columns (Conerly et al. 2024, *Circuits Updates, April 2024: Update on how we train SAEs*).
//! The norm of a column of zeros counts as flat.

use super::Pass;
use super::backward::{Penalized, divide_by_samples};
use crate::Real;
use crate::linalg;
use crate::objective::Workspace;
use crate::penalty::{HiddenBatch, HiddenGradient};

impl<T: Real> Pass<'_, T> {
    /// `β Ω(H̃)` of layer `l`, and its gradient by H into the channels; that by the norms goes to
    /// the workspace, for [`backpropagate_norms`](Self::backpropagate_norms).
    pub(super) fn penalize_weighted(
        &self,
        l: usize,
        m: usize,
        ws: &mut Workspace<T>,
    ) -> Penalized<T> {
        let (objective, blocks) = (self.objective, &self.layout.blocks()[l]);
        let n = blocks.above;
        for buffer in [&mut ws.norms, &mut ws.of_norms, &mut ws.weighted_mean] {
            buffer.grow(n);
        }
        ws.weighted.grow(n * m);
        let norms = &mut ws.norms[..n];
        let columns = self.theta[blocks.decoder_weights.clone()].chunks_exact(blocks.below);
        for (norm, d) in norms.iter_mut().zip(columns) {
            *norm = T::of(linalg::norm(d));
        }
        let norms = &*norms;
        let weighted_mean = &mut ws.weighted_mean[..n];
        weighted_mean.copy_from_slice(&ws.mean[l][..n]);
        linalg::multiply(weighted_mean, norms);
        let h = self.seen(l, m, &ws.hidden, &ws.states);
        let weighted = &mut ws.weighted[..n * m];
        ws.scratch.run(weighted, n, &mut [], |first, panel, _| {
            panel.copy_from_slice(&h[first * n..][..panel.len()]);
            for column in panel.chunks_exact_mut(n) {
                linalg::multiply(column, norms);
            }
        });

        let hidden = HiddenBatch::new(
            weighted,
            (weighted_mean, ws.active[l]),
            objective.sparsity_target,
            self.activation(l),
        );
        let (per_unit, per_frequency) = (&mut ws.per_unit[..n], &mut ws.per_frequency[..n]);
        per_unit.fill(T::zero());
        per_frequency.fill(T::zero());
        let beta = self.now.penalty_weight;
        let mut channels = HiddenGradient::new(per_unit, per_frequency, &mut ws.delta[l], n * m);
        let omega = objective.penalty.accumulate(&hidden, beta, &mut channels);
        let per_activation = channels.per_activation_used();
        divide_by_samples(per_frequency, m);

        // Σᵢ hⱼᵢ g̃ⱼᵢ of both channels, and then ‖dⱼ‖ g̃ⱼᵢ.
        let of_norms = &mut ws.of_norms[..n];
        if per_activation {
            let delta = &mut ws.delta[l][..n * m];
            ws.scratch.run(delta, n, of_norms, |first, panel, sums| {
                let h = h[first * n..].chunks_exact(n);
                for (g, h) in panel.chunks_exact_mut(n).zip(h) {
                    linalg::add_products(sums, g, h);
                    linalg::multiply(g, norms);
                }
            });
        } else {
            of_norms.fill(T::zero());
        }
        let samples = T::of_count(m);
        for ((sum, &g), &mean) in of_norms.iter_mut().zip(&*per_unit).zip(ws.mean[l].iter()) {
            *sum += samples * mean * g;
        }
        linalg::multiply(per_unit, norms);
        Penalized {
            loss: beta * omega,
            units: n,
            per_activation,
        }
    }

    /// What reaches `∂D` of layer `l` through the norms, once the rest of it is there.
    pub(super) fn backpropagate_norms(&self, l: usize, gradient: &mut [T], ws: &mut Workspace<T>) {
        if !self.objective.norm_weighted || !self.penalizes(l) {
            return;
        }
        let blocks = &self.layout.blocks()[l];
        let rows = blocks.below;
        let d = &self.theta[blocks.decoder_weights.clone()];
        let (norms, of_norms) = (&ws.norms, &ws.of_norms);
        let gradient = &mut gradient[blocks.decoder_weights.clone()];
        ws.scratch.run(gradient, rows, &mut [], |first, panel, _| {
            let d = d[first * rows..].chunks_exact(rows);
            let units = d.zip(norms[first..].iter().zip(&of_norms[first..]));
            for (g, (d, (&norm, &of_norm))) in panel.chunks_exact_mut(rows).zip(units) {
                if norm > T::zero() && of_norm != T::zero() {
                    linalg::axpy(of_norm / norm, d, g);
                }
            }
        });
    }
}
