//! The variants that have a recipe.

#[cfg(doc)]
use crate::{Activation, L1, SetPoint, TargetL0};

/// The family of a sparse autoencoder: how it selects its active units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Variant {
    /// [`Activation::Relu`] under [`L1`], whose weight a [`SetPoint`] finds (Bricken et al. 2023, *Towards
    /// Monosemanticity*).
    L1,
    /// [`Activation::Gated`], with the penalty of `L1` on the gates (Rajamanoharan et al. 2024, *Improving
    /// Dictionary Learning with Gated Sparse Autoencoders*).
    Gated,
    /// [`Activation::TopK`] (Gao et al. 2024, *Scaling and Evaluating Sparse Autoencoders*).
    TopK,
    /// [`Activation::BatchTopK`] (Bussmann et al. 2024, *BatchTopK Sparse Autoencoders*).
    BatchTopK,
    /// [`Activation::JumpRelu`] under [`TargetL0`] (Rajamanoharan et al. 2024, *Jumping Ahead*).
    JumpRelu,
    /// `BatchTopK` whose first 1/32, 1/8, and 1/2 of the units also reconstruct alone (Bussmann et al. 2025,
    /// *Learning Multi-Level Features with Matryoshka Sparse Autoencoders*).
    Matryoshka,
}

impl Variant {
    /// Whether the number of active units is set. The others reach it by a penalty on the size of activations.
    pub(super) fn has_k(self) -> bool {
        !matches!(self, Self::L1 | Self::Gated)
    }
}
