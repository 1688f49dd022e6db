//! The skip connection of a transcoder: a linear map from the input to the output.
//!
//! ```text
//! X̂ = g(D₀ R₁ + S X̃ + c₀)
//! ∂S = Δ(R₀) X̃ᵀ + λ S
//! ```
//!
//! Each [Matryoshka prefix](super::matryoshka) has the whole S, so ∂S has `Δ̄¹` in place of `Δ(R₀)`. A
//! [frozen decoder](super::frozen) has a constant copy of it. Dunefsky, Chlenski & Nanda (2024), *Transcoders Find
//! Interpretable LLM Feature Circuits*; Paulo, Shabalin & Belrose (2025), *Transcoders Beat Sparse Autoencoders for
//! Interpretability*, for S.

use nalgebra::{DMatrixView, DMatrixViewMut};

use super::{Pass, Workspace, matrix, matrix_mut};
use crate::Real;
use crate::linalg::{Scratch, Write, gemm, transpose};

impl<T: Real> Pass<'_, T> {
    /// `R ← R + S X̃`, if there is a skip connection.
    pub(super) fn add_skipped(
        &self,
        input: DMatrixView<'_, T>,
        r: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        if let Some(s) = self.layout.skip_weights(self.theta) {
            let r = matrix_mut(r, s.nrows(), input.ncols());
            gemm(r, Write::Add, s, input, scratch);
        }
    }

    /// `∂S = Δ̄¹ X̃ᵀ`, if there is a skip connection.
    pub(super) fn skip_gradient(
        &self,
        input: DMatrixView<'_, T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let (rows, (columns, m)) = (self.layout.output_size(), input.shape());
        if let Some(place) = self.layout.skip() {
            let of_s = DMatrixViewMut::from_slice(&mut gradient[place], rows, columns);
            let last = self.objective.matryoshka.len() * rows * m;
            let delta = matrix(&ws.reconstruction[0][last..], rows, m);
            gemm(of_s, Write::Over, delta, transpose(input), &mut ws.scratch);
        }
    }
}
