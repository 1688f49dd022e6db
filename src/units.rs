//! Hidden units: what happens between pre-activation and activation, one file per variant.
//!
//! [`Activation`] names them, in settings and files. The objective, training, and files know them by the
//! trait [`Units`]: their passes, their parameters, and their traits.

mod batch_top_k;
pub(crate) mod elementwise;
mod gated;
mod interface;
mod jump_relu;
mod top_k;
mod winner_take_all;

pub(crate) use elementwise::{Elementwise, Function, with_function};
pub(crate) use interface::{
    ActiveGradient, Arriving, Block, Buffers, Chooses, Len, Own, OwnMut, PerSample, State, Traits,
    Units,
};

use self::batch_top_k::BatchTopK;
use self::elementwise::Selected;
use self::gated::Gated;
use self::jump_relu::JumpRelu;
use self::top_k::TopK;
use self::winner_take_all::WinnerTakeAll;
use crate::Real;
use crate::error::{Error, require};

/// The function that turns pre-activations `z` into activations.
///
/// The derivative is always taken from the output `h`, so no pre-activation has to be kept.
///
/// | activation | `h` | derivative from `h` | at a kink |
/// |---|---|---|---|
/// | [`Sigmoid`](Self::Sigmoid) | `1 / (1 + e⁻ᶻ)` | `h (1 − h)` | |
/// | [`Tanh`](Self::Tanh) | `tanh z` | `1 − h²` | |
/// | [`Relu`](Self::Relu) | `max(z, 0)` | `1` where `h > 0` | 0 at `z = 0` |
/// | [`Identity`](Self::Identity) | `z` | `1` | |
/// | [`SaturatingLinear`](Self::SaturatingLinear) | `min(max(z, 0), 1)` | `1` where `0 < h < 1` | 0 at `z = 0` and `z = 1` |
/// | [`TopK`](Self::TopK), [`TopProportion`](Self::TopProportion) | `max(z, 0)` on the `k` largest of each sample, 0 elsewhere | `1` where `h > 0` | of equal values the lower index wins |
/// | [`WinnerTakeAll`](Self::WinnerTakeAll) | `max(z, 0)` on the `⌈p·m⌉` largest of each unit, 0 elsewhere | `1` where `h > 0` | of equal values the earlier sample wins |
/// | [`BatchTopK`](Self::BatchTopK) | `max(z, 0)` on the `k·m` largest of the batch, 0 elsewhere | `1` where `h > 0` | of equal values the earlier sample wins, then the lower index |
/// | [`JumpRelu`](Self::JumpRelu) | `z` where `z > t`, 0 elsewhere | `1` where `h > 0` | 0 at `z = t`; by `t` see below |
/// | [`Gated`](Self::Gated) | `max(eʳ u + b_mag, 0)` where `u + b > 0`, 0 elsewhere | `eʳ` by `u` where `h > 0` | 0 at `u + b = 0` |
///
/// # Training and inference
///
/// `WinnerTakeAll` and `BatchTopK` choose among the `m` samples of a batch, which only the
/// objective sees: [`loss`](crate::SparseAutoencoder::loss),
/// [`loss_and_gradient`](crate::SparseAutoencoder::loss_and_gradient), and so training, choose.
/// [`encode`](crate::SparseAutoencoder::encode) and all other inference is about each sample alone:
/// `WinnerTakeAll` then takes `max(z, 0)` of every unit, and `BatchTopK` takes `z` where it is above
/// a threshold, as `JumpRelu` does, that training has followed.
///
/// An enum, because it is written to files; it may grow in a minor version.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Activation {
    /// The logistic function, with values in (0, 1).
    #[default]
    Sigmoid,
    /// The hyperbolic tangent, with values in (−1, 1).
    Tanh,
    /// The positive part.
    Relu,
    /// No activation: a linear layer.
    Identity,
    /// The positive part, cut off at 1 (MATLAB's `satlin`).
    SaturatingLinear,
    /// The positive part of the `k` largest pre-activations of each sample (Makhzani & Frey 2013,
    /// *k-Sparse Autoencoders*; with the positive part of Gao et al. 2024, *Scaling and Evaluating
    /// Sparse Autoencoders*). The hard form of the proportion: at most `k` units are active.
    TopK(usize),
    /// [`TopK`](Self::TopK) with `k = ⌈p · units⌉` for a proportion `p` in (0, 1].
    TopProportion(f64),
    /// The positive part where it is among the largest of its unit: of the `m` samples of a batch,
    /// each unit keeps the `⌈p·m⌉` in which it is strongest (Makhzani & Frey 2015,
    /// *Winner-Take-All Autoencoders*). The sparsity is that of a unit's lifetime, so every unit
    /// has samples to learn from and none dies. In inference, the positive part.
    WinnerTakeAll(f64),
    /// The `k·m` largest positive pre-activations of a batch of `m` samples: `k` for each on average,
    /// and more for the samples that need more (Bussmann et al. 2024, *BatchTopK Sparse
    /// Autoencoders*).
    ///
    /// In inference, `z` where it is above a threshold, which is one parameter per layer (see
    /// [`Layout`](crate::Layout)). It has no gradient: the [`Trainer`](crate::Trainer) sets it to
    /// the smallest value that was kept in the first batch, and from then on moves it by a hundredth
    /// of the way to that of each batch. (That average starts as in *dictionary_learning*; its rate
    /// is that of *SAELens*.)
    BatchTopK(usize),
    /// `z` where it is above a threshold `t ≥ 0` of its unit, 0 elsewhere (Rajamanoharan et al.
    /// 2024, *Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders*).
    ///
    /// The thresholds are parameters (see [`Layout`](crate::Layout)); one below 0 counts as 0. A jump has
    /// no derivative by its threshold, so they learn by a pseudo-derivative with a
    /// [bandwidth](crate::SparseAutoencoderBuilder::bandwidth) ε: from active units within ε/2 above the
    /// threshold and from inactive ones within ε/2 below. It takes in the reconstruction and every
    /// penalty, also those that are made for it, [`L0`](crate::L0) and [`TargetL0`](crate::TargetL0).
    JumpRelu,
    /// `max(eʳ u + b_mag, 0)` where a gate is open, `π = u + b > 0`, and 0 elsewhere, with
    /// `u = wᵀx`: whether a unit is active, and how much, are told apart (Rajamanoharan et al. 2024,
    /// *Improving Dictionary Learning with Gated Sparse Autoencoders*).
    ///
    /// The encoder's bias is that of the gates; r and `b_mag` are further parameters of each unit (see
    /// [`Layout`](crate::Layout)), which start at 0. The penalty sees what the gates let through,
    /// `max(π, 0)`, and so shrinks no activation: choose [`L1`](crate::L1), there is none by default.
    /// That the gates open to what is needed they learn from a reconstruction of their own, by a
    /// decoder that does not learn of it: it is the [`auxiliary`](crate::Loss::auxiliary) term of the
    /// loss. A model of gated units has one hidden layer.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, Initialization, L1, SparseAutoencoder};
    ///
    /// // With a trainer's `unit_norm_decoder(true)`, as in the paper.
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([16, 64])
    ///     .hidden_activation(Activation::Gated)
    ///     .output_activation(Activation::Identity)
    ///     .initialization(Initialization::TransposedDecoder)
    ///     .penalty(L1)
    ///     .penalty_weight(0.4)
    ///     .build()?;
    /// let magnitude_bias = sae.parameters().layer(0).and_then(|layer| layer.magnitude_bias);
    /// assert_eq!(magnitude_bias.map(|bias| bias.len()), Some(64));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    Gated,
}

impl Activation {
    /// Calls `f` with the units of this activation: the only match on variants.
    pub(crate) fn with<T: Real, R>(self, f: impl FnOnce(&dyn Units<T>) -> R) -> R {
        match self {
            Self::Sigmoid => f(&Elementwise::Sigmoid),
            Self::Tanh => f(&Elementwise::Tanh),
            Self::Relu => f(&Elementwise::Relu),
            Self::Identity => f(&Elementwise::Identity),
            Self::SaturatingLinear => f(&Elementwise::SaturatingLinear),
            Self::TopK(k) => f(&TopK::Number(k)),
            Self::TopProportion(p) => f(&TopK::Proportion(p)),
            Self::WinnerTakeAll(p) => f(&WinnerTakeAll(p)),
            Self::BatchTopK(k) => f(&BatchTopK(k)),
            Self::JumpRelu => f(&JumpRelu),
            Self::Gated => f(&Gated),
        }
    }

    /// The interval that the activations fill, for bounded activations.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        self.traits().range
    }

    /// Whether no activation is ever below zero.
    #[must_use]
    pub fn is_non_negative(&self) -> bool {
        !self.traits().signed
    }

    /// How many of `units` units each sample keeps, for activations that choose within a sample.
    #[must_use]
    pub fn kept(&self, units: usize) -> Option<usize> {
        self.with(|f: &dyn Units<f64>| f.per_sample().map(|selection| selection.kept(units)))
    }

    pub(crate) fn traits(self) -> Traits {
        self.with(|f: &dyn Units<f64>| f.traits())
    }

    pub(crate) fn blocks(self) -> &'static [Block] {
        self.with(|f: &dyn Units<f64>| f.blocks())
    }

    /// k, for the activations that have one.
    pub(crate) fn k(&self) -> Option<usize> {
        self.with(|f: &dyn Units<f64>| f.k().map(|(k, _)| k))
    }

    /// The same activation with another k, if it has one.
    pub(crate) fn with_k(self, k: usize) -> Self {
        self.with(|f: &dyn Units<f64>| f.k().map_or(self, |(_, with)| with(k)))
    }

    /// Whether units are chosen. The activation is then sparse by itself, and belongs to hidden layers.
    pub(crate) fn selects(&self) -> bool {
        self.traits().chooses != Chooses::Nothing
    }

    /// Checks the settings against the size of the layer.
    pub(crate) fn check(&self, units: usize) -> Result<(), Error> {
        self.with(|f: &dyn Units<f64>| f.check(units))
    }
}

fn check_count(k: usize, units: usize, name: &'static str) -> Result<(), Error> {
    let requirement = "at least 1 and at most the units of its layer";
    require(1 <= k && k <= units, name, requirement, f64::of_count(k))
}

fn check_proportion(p: f64, name: &'static str) -> Result<(), Error> {
    require(p > 0.0 && p <= 1.0, name, "in (0, 1]", p)
}

/// `⌈proportion · units⌉`, at least 1 and at most `units`.
///
/// The product is first relieved of the rounding of `proportion` itself, so that 0.05 of 100 units
/// are 5, not 6.
pub(crate) fn proportion_of(units: usize, proportion: f64) -> usize {
    let exact = proportion * f64::of_count(units);
    let nearest = exact.round();
    let count = if (exact - nearest).abs() <= 1e-6 * nearest.max(1.0) {
        nearest
    } else {
        exact.ceil()
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 1..=units
    let count = count.clamp(1.0, f64::of_count(units.max(1))) as usize;
    count
}

/// A threshold below 0 counts as 0.
#[inline(always)]
fn positive<T: Real>(t: T) -> T {
    if t > T::zero() { t } else { T::zero() }
}

#[cfg(test)]
mod tests {
    use super::{Activation, proportion_of};

    /// A new activation does not compile here until it is counted, and is not counted until it is in the
    /// list by which the tests make models.
    #[test]
    fn every_activation_is_among_the_variants_of_the_tests() {
        let mut counts = [0; 11];
        for activation in include!("../tests/common/activations.in") {
            counts[match activation {
                Activation::Sigmoid => 0,
                Activation::Tanh => 1,
                Activation::Relu => 2,
                Activation::Identity => 3,
                Activation::SaturatingLinear => 4,
                Activation::TopK(_) => 5,
                Activation::TopProportion(_) => 6,
                Activation::WinnerTakeAll(_) => 7,
                Activation::BatchTopK(_) => 8,
                Activation::JumpRelu => 9,
                Activation::Gated => 10,
            }] += 1;
        }
        assert_eq!(counts, [1; 11]);
    }

    #[test]
    fn a_proportion_is_rounded_up_but_not_by_its_own_rounding_error() {
        assert_eq!(proportion_of(100, 0.05), 5);
        assert_eq!(proportion_of(100, f64::from(0.05_f32)), 5);
        assert_eq!(proportion_of(100_000, f64::from(0.05_f32)), 5_000);
        assert_eq!(proportion_of(100, 0.051), 6);
        assert_eq!(proportion_of(3, 0.01), 1);
        assert_eq!(proportion_of(3, 1.0), 3);
    }
}
