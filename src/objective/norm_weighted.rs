//! Norm-weighted penalties: activations are weighted by the norms of their decoder columns.
//!
//! ```text
//! h̃ⱼᵢ = hⱼᵢ ‖dⱼ‖,     J has β Ω(H̃) in place of β Ω(H)
//! ∂J/∂hⱼᵢ = … + ‖dⱼ‖ g̃ⱼᵢ,     ∂J/∂dⱼ = … + (Σᵢ hⱼᵢ g̃ⱼᵢ) dⱼ/‖dⱼ‖,     g̃ = β ∂Ω/∂h̃
//! ```
//!
//! A unit contributes `hⱼᵢ dⱼ` to the reconstruction. Small activations with long columns therefore do not
//! evade the penalty (Conerly et al. 2024, *Circuits Updates, April 2024: Update on how we train SAEs*). The
//! norm of a column of zeros counts as flat.

use super::Pass;
use super::penalize::Penalized;
use crate::Real;
use crate::linalg;
use crate::objective::Workspace;

impl<T: Real> Pass<'_, T> {
    /// Returns `β Ω(H̃)` of layer `l`, and writes its gradient by H to the channels, which hold zeros.
    ///
    /// Leaves `Σᵢ hⱼᵢ g̃ⱼᵢ` in the workspace, for [`backpropagate_norms`](Self::backpropagate_norms).
    pub(super) fn penalize_weighted(
        &self,
        l: usize,
        m: usize,
        ws: &mut Workspace<T>,
    ) -> Penalized<T> {
        let n = self.layout.blocks()[l].above;
        self.weight_by_norms(l, m, ws);
        let (per_unit, per_frequency) = (&mut ws.per_unit[..n], &mut ws.per_frequency[..n]);
        let (weighted, delta) = (&ws.weighted[..n * m], &mut ws.delta[l]);
        let means = (&ws.weighted_mean[..n], ws.l0[l]);
        let penalized = self.accumulate(l, weighted, means, per_unit, per_frequency, delta);
        self.weight_gradient(l, m, penalized.per_activation, ws);
        penalized
    }

    /// Writes `‖dⱼ‖`, H̃, and its means.
    fn weight_by_norms(&self, l: usize, m: usize, ws: &mut Workspace<T>) {
        let blocks = &self.layout.blocks()[l];
        let n = blocks.above;
        ws.norms.grow(n);
        let norms = &mut ws.norms[..n];
        let columns = self.theta[blocks.decoder_weights.clone()].chunks_exact(blocks.decoded);
        for (norm, d) in norms.iter_mut().zip(columns) {
            *norm = T::of(linalg::norm(d));
        }
        let norms = &*norms;
        ws.weighted_mean.grow(n);
        let weighted_mean = &mut ws.weighted_mean[..n];
        weighted_mean.copy_from_slice(&ws.mean[l][..n]);
        linalg::multiply(weighted_mean, norms);

        let h = self.seen(l, m, &ws.hidden, &ws.states);
        ws.weighted.grow(n * m);
        let weighted = &mut ws.weighted[..n * m];
        ws.scratch.run(weighted, n, &mut [], |first, panel, _| {
            panel.copy_from_slice(&h[first * n..][..panel.len()]);
            for column in panel.chunks_exact_mut(n) {
                linalg::multiply(column, norms);
            }
        });
    }

    /// Turns `g̃` in the channels into `‖dⱼ‖ g̃ⱼᵢ`, and writes `Σᵢ hⱼᵢ g̃ⱼᵢ` over both channels.
    fn weight_gradient(&self, l: usize, m: usize, per_activation: bool, ws: &mut Workspace<T>) {
        let n = self.layout.blocks()[l].above;
        let h = self.seen(l, m, &ws.hidden, &ws.states);
        let norms = &ws.norms[..n];
        ws.of_norms.grow(n);
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
        let per_unit = &mut ws.per_unit[..n];
        let samples = T::of_count(m);
        for ((sum, &g), &mean) in of_norms.iter_mut().zip(&*per_unit).zip(ws.mean[l].iter()) {
            *sum += samples * mean * g;
        }
        linalg::multiply(per_unit, norms);
    }

    /// `∂D ← ∂D + (Σᵢ hⱼᵢ g̃ⱼᵢ) dⱼ/‖dⱼ‖` of layer `l`, after the other terms of `∂D`.
    pub(super) fn backpropagate_norms(&self, l: usize, gradient: &mut [T], ws: &mut Workspace<T>) {
        if !self.objective.norm_weighted || !self.penalizes(l) {
            return;
        }
        let blocks = &self.layout.blocks()[l];
        let rows = blocks.decoded;
        let d = &self.theta[blocks.decoder_weights.clone()];
        let (norms, of_norms) = (&ws.norms, &ws.of_norms);
        let gradient = &mut gradient[blocks.decoder_weights.clone()];
        ws.scratch.run(gradient, rows, &mut [], |first, panel, _| {
            let d = d[first * rows..].chunks_exact(rows);
            let units = d.zip(norms[first..].iter().zip(&of_norms[first..]));
            for (g, (d, (&norm, &of_norm))) in panel.chunks_exact_mut(rows).zip(units) {
                if norm > T::zero() && of_norm != T::zero() {
                    let share = of_norm / norm;
                    if share.is_finite() {
                        linalg::axpy(share, d, g);
                    } else {
                        let of_tiny = g.iter_mut().zip(d);
                        of_tiny.for_each(|(g, &d)| *g += of_norm * (d / norm));
                    }
                }
            }
        });
    }
}
