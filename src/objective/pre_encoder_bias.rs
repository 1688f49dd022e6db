//! The pre-encoder bias: the encoder sees the difference between a sample and the decoder's bias.
//!
//! ```text
//! H₁ = f(W₀ᵀ (X̃ − c₀ 1ᵀ) + b₀),     X̂ = D₀ R₁ + c₀
//! ∂c₀ = Δ(R₀) 1 − W₀ Δ(H₁) 1 = Δ(R₀) 1 − W₀ ∂b₀
//! ```
//!
//! For units that use their pre-activation twice, such as gated ones, `∂b₀` stands for the sum of both
//! gradients.
//!
//! Bricken et al. (2023), *Towards Monosemanticity*; Gao et al. (2024), *Scaling and Evaluating Sparse
//! Autoencoders*. The bias then holds what all samples share.

use nalgebra::DMatrixView;

use super::Pass;
use crate::Real;
use crate::linalg::{self, Aligned};
use crate::objective::Workspace;

impl<T: Real> Pass<'_, T> {
    /// Returns `X̃ − c₀ 1ᵀ` if the model has a pre-encoder bias.
    ///
    /// The buffer belongs to the workspace: give it back by
    /// [`return_centered`](Workspace::return_centered).
    pub(super) fn centered(
        &self,
        input: DMatrixView<'_, T>,
        ws: &mut Workspace<T>,
    ) -> Option<Aligned<T>> {
        if !self.objective.pre_encoder_bias {
            return None;
        }
        let c = &self.theta[self.layout.blocks()[0].decoder_bias.clone()];
        let mut centered = ws.lend_centered(input.len());
        let columns = &mut centered[..input.len()];
        ws.scratch
            .run(columns, c.len(), &mut [], |first, panel, _| {
                for (offset, column) in panel.chunks_exact_mut(c.len()).enumerate() {
                    let x = input.column(first + offset);
                    linalg::subtract(x.as_slice(), c, column);
                }
            });
        Some(centered)
    }

    /// `∂c₀ ← ∂c₀ − W₀ ∂b₀`, if the model has a pre-encoder bias.
    pub(super) fn backpropagate_center(&self, gradient: &mut [T]) {
        if !self.objective.pre_encoder_bias {
            return;
        }
        let blocks = &self.layout.blocks()[0];
        let w = &self.theta[blocks.encoder_weights.clone()];
        let own = self.own(0);
        for (j, w) in w.chunks_exact(blocks.below).enumerate() {
            let own_gradient = blocks.own(gradient, T::zero());
            let of_unit = self.with_units(0, |f| f.through_bias(&own, &own_gradient, j));
            if of_unit != T::zero() {
                linalg::axpy(-of_unit, w, &mut gradient[blocks.decoder_bias.clone()]);
            }
        }
    }
}
