//! The pre-encoder bias: the encoder sees how the samples differ from the decoder's bias.
//!
//! ```text
//! H₁ = f(W₀ᵀ (X̃ − c₀ 1ᵀ) + b₀),     X̂ = D₀ R₁ + c₀
//! ∂c₀ = Δ(R₀) 1 − W₀ Δ(H₁) 1 = Δ(R₀) 1 − W₀ ∂b₀
//! ```
//!
//! For units that see their pre-activation in two places, `∂b₀` stands for the sum of both.
//!
//! Bricken et al. (2023), *Towards Monosemanticity*; Gao et al. (2024), *Scaling and Evaluating Sparse
//! Autoencoders*. The bias then stands for what all samples share, and hidden units for the rest.

use nalgebra::DMatrixView;

use super::Pass;
use crate::Real;
use crate::linalg::{self, Aligned};
use crate::objective::Workspace;

impl<T: Real> Pass<'_, T> {
    /// `X̃ − c₀ 1ᵀ`, where the model subtracts it, in a buffer that the workspace wants back.
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

    /// What reaches `∂c₀` through the encoder.
    pub(super) fn backpropagate_centre(&self, gradient: &mut [T]) {
        let blocks = &self.layout.blocks()[0];
        let w = &self.theta[blocks.encoder_weights.clone()];
        let own = self.own(0);
        for (j, w) in w.chunks_exact(blocks.below).enumerate() {
            let of_units = blocks.own(gradient, T::zero());
            let of_unit = self.with_units(0, |f| f.through_bias(&own, &of_units, j));
            if of_unit != T::zero() {
                linalg::axpy(-of_unit, w, &mut gradient[blocks.decoder_bias.clone()]);
            }
        }
    }
}
