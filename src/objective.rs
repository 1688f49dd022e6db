//! The objective J(θ) and its gradient, by a forward and a backward pass.
//!
//! # Legend
//!
//! A column is a sample. Layer `l` joins level `l` below it to level `l + 1` above it. Level 0 is the input.
//!
//! | symbol | shape | meaning |
//! |---|---|---|
//! | `m`, `L` | | number of samples and of hidden layers |
//! | `X`, `X̃` | input × samples | the samples; what the encoder sees: X, or X with noise. In a transcoder, X is the target, output × samples, and X̃ the input |
//! | `H_l`, `R_l` | units × samples | the hidden activations of level `l`, and their reconstruction |
//! | `W_l`, `D_l` | below × above | weights of the encoder and decoder; column `j` belongs to unit `j` above |
//! | `b_l`, `c_l` | above, below | biases of the encoder and decoder |
//! | `f`, `g` | | activation of layer `l` in the encoder, of level `l` in the decoder |
//! | `Δ(A)` | as A | `∂J/∂Z`, where `Z` is the pre-activation of A |
//! | `1` | samples | the vector of ones: `Δ 1` sums over the samples |
//!
//! Forward:
//!
//! ```text
//! H₀ = X̃
//! H_{l+1} = f(W_lᵀ H_l + b_l)             l = 0 … L−1
//! R_L = H_L
//! R_l = g(D_l R_{l+1} + c_l)              l = L−1 … 0,     X̂ = R₀
//!
//! J = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ) + λ/2 Σ‖W‖² + Σ_l β_l Ω_l(H_l; ρ_l)
//! ```
//!
//! Backward:
//!
//! ```text
//! Δ(R₀) = 1/m ∂ℓ/∂x̂ ⊙ g′
//! ∂D_l = Δ(R_l) R_{l+1}ᵀ + λ D_l,    ∂c_l = Δ(R_l) 1
//! Δ(R_{l+1}) = D_lᵀ Δ(R_l) ⊙ g′
//! Δ(H_L) = (D_{L−1}ᵀ Δ(R_{L−1}) + β ∂Ω) ⊙ f′
//! Δ(H_l) = (W_l Δ(H_{l+1}) + β ∂Ω) ⊙ f′
//! ∂W_l = H_l Δ(H_{l+1})ᵀ + λ W_l,    ∂b_l = Δ(H_{l+1}) 1
//! ```
//!
//! Ng, *CS294A Lecture notes: Sparse autoencoder*, for one hidden layer of sigmoid units. His `W₁` is `Wᵀ`,
//! and his `W₂` is `D`.
//!
//! | file | what it holds |
//! |---|---|
//! | [`pass`], [`loss`], [`workspace`] | what the passes read, return, and write to |
//! | [`forward`], [`residual`], [`penalize`], [`backward`] | the terms and passes above |
//! | [`sparse_path`] | the same passes if few units are active |
//! | [`inference_pass`] | encoder and decoder without the objective |
//! | [`matryoshka`], [`frozen`], [`norm_weighted`], [`pre_encoder_bias`], [`skip`] | variations, each with its formulas |

mod backward;
mod forward;
mod frozen;
mod inference_pass;
mod loss;
mod matryoshka;
mod norm_weighted;
mod pass;
mod penalize;
mod pre_encoder_bias;
mod residual;
mod skip;
mod sparse_path;
mod workspace;

pub use loss::{Loss, ReconstructionLoss};
pub(crate) use pass::{Batch, Now, Objective, Pass, after_step};
pub(crate) use sparse_path::{PANEL, SPARSE};
pub use workspace::Workspace;

use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::Real;

impl<T: Real> Pass<'_, T> {
    /// Returns J(θ), term by term. Writes ∂J/∂θ to `gradient`, if given.
    pub(crate) fn evaluate(
        &self,
        batch: Batch<'_, T>,
        mut gradient: Option<&mut [T]>,
        workspace: &mut Workspace<T>,
    ) -> Loss<T> {
        let (input_size, m) = batch.input.shape();
        workspace.fit_to(self.layout);
        workspace.enter(self.layout.len() * m, |ws| {
            let centered = self.centered(batch.input, ws);
            let of_centered = |x| matrix(x, input_size, m);
            let input = centered.as_deref().map_or(batch.input, of_centered);
            let sparse = self.encode(input, ws);
            self.average_means(batch.shares, ws);
            let auxiliary = self.reconstruct_frozen(&batch, sparse, ws);
            let reconstruction = self.reconstruct(&batch, sparse, ws);
            let sparsity = match gradient.as_deref_mut() {
                Some(gradient) => self.backpropagate(input, sparse, gradient, ws),
                None => self.penalize_all(m, ws),
            };
            ws.return_centered(centered);
            Loss {
                reconstruction,
                weight_decay: self.decay(gradient, ws),
                sparsity,
                auxiliary,
            }
        })
    }

    /// Writes ∂J/∂θ to `gradient`, except the weight decay. Returns `Σ_l β_l Ω_l`.
    fn backpropagate(
        &self,
        input: DMatrixView<'_, T>,
        sparse: bool,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) -> T {
        gradient[self.layout.learned()..].fill(T::zero());
        let sparsity = if sparse {
            self.backpropagate_active(input, gradient, ws)
        } else {
            self.backpropagate_decoder(input.ncols(), gradient, ws);
            self.backpropagate_encoder(input, gradient, ws)
        };
        self.skip_gradient(input, gradient, ws);
        self.backpropagate_center(gradient);
        sparsity
    }
}

pub(crate) fn matrix<T: Real>(buffer: &[T], rows: usize, columns: usize) -> DMatrixView<'_, T> {
    DMatrixView::from_slice(&buffer[..rows * columns], rows, columns)
}

pub(crate) fn matrix_mut<T: Real>(
    buffer: &mut [T],
    rows: usize,
    columns: usize,
) -> DMatrixViewMut<'_, T> {
    DMatrixViewMut::from_slice(&mut buffer[..rows * columns], rows, columns)
}
