//! The value of the objective, term by term.

use crate::Real;

/// The loss ℓ between a sample `x` and its reconstruction `x̂`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ReconstructionLoss {
    /// `ℓ(x̂, x) = ½ ‖x̂ − x‖²`
    #[default]
    SquaredError,
    /// `ℓ(x̂, x) = −Σₖ [xₖ ln x̂ₖ + (1 − xₖ) ln(1 − x̂ₖ)]`, for data in [0, 1] and a sigmoid output.
    ///
    /// It is computed from the pre-activations, so a saturated output loses no precision and stays finite.
    BinaryCrossEntropy,
}

/// The terms of the objective J.
///
/// ```
/// use sparse_autoencoder::{SparseAutoencoder, nalgebra::DMatrix};
///
/// let sae = SparseAutoencoder::<f64>::builder().layers([8, 12]).build()?;
/// let loss = sae.loss(&DMatrix::from_element(8, 5, 0.5))?;
/// assert!(loss.reconstruction > 0.0 && loss.sparsity > 0.0);
/// assert_eq!(loss.total(), loss.reconstruction + loss.sparsity); // without weight decay
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Loss<T> {
    /// `1/m Σᵢ ℓ(x̂ᵢ, xᵢ)`, summed over the [Matryoshka
    /// groups](crate::SparseAutoencoderBuilder::matryoshka) if used.
    pub reconstruction: T,
    /// `λ/2 Σ‖W‖²`
    pub weight_decay: T,
    /// `Σ_l β_l Ω_l(H_l; ρ_l)`
    pub sparsity: T,
    /// Auxiliary terms: the reconstruction from the gates of
    /// [`Gated`](crate::Activation::Gated) units, and from [dead units](crate::DeadUnits::auxiliary). 0 if
    /// unused.
    pub auxiliary: T,
}

impl<T: Real> Loss<T> {
    /// Returns J, the sum of the terms.
    #[must_use]
    pub fn total(&self) -> T {
        self.reconstruction + self.weight_decay + self.sparsity + self.auxiliary
    }
}
