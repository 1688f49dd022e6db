//! The variants that have a recipe.

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::error::unknown_name;
#[cfg(doc)]
use crate::{Activation, L1, SetPoint, TargetL0};

/// The family of a sparse autoencoder: how it selects its active units.
///
/// [`Display`](fmt::Display) and [`FromStr`] use the names of files: `l1`, `gated`, `top_k`, `batch_top_k`,
/// `jump_relu`, `matryoshka`. Another name is an [`Error::UnknownName`].
///
/// ```
/// use sparse_autoencoder::Variant;
///
/// let variant: Variant = "jump_relu".parse()?;
/// assert_eq!(variant, Variant::JumpRelu);
/// assert_eq!(variant.to_string(), "jump_relu");
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
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
    const ALL: [Self; 6] = [
        Self::L1,
        Self::Gated,
        Self::TopK,
        Self::BatchTopK,
        Self::JumpRelu,
        Self::Matryoshka,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::Gated => "gated",
            Self::TopK => "top_k",
            Self::BatchTopK => "batch_top_k",
            Self::JumpRelu => "jump_relu",
            Self::Matryoshka => "matryoshka",
        }
    }

    /// Whether the number of active units is set. The others reach it by a penalty on the size of activations.
    pub(super) fn has_k(self) -> bool {
        !matches!(self, Self::L1 | Self::Gated)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let named = Self::ALL.into_iter().find(|variant| variant.name() == name);
        named.ok_or_else(|| unknown_name("variant", name, Self::ALL.into_iter().map(Self::name)))
    }
}
