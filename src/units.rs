//! Hidden units: what happens between pre-activation and activation, one file per variant.
//!
//! [`Activation`] names a variant in settings and files. The objective, the model, and training call it through
//! the trait [`Units`].
//!
//! | file | what it holds |
//! |---|---|
//! | [`interface`], [`traits`], [`operands`] | the trait, what units are like, what a pass lends to them |
//! | others | one variant each, with its formulas |

mod abs_top_k;
mod batch_top_k;
pub(crate) mod elementwise;
mod gated;
mod interface;
mod jump_relu;
mod operands;
mod top_k;
mod traits;
mod winner_take_all;

pub(crate) use elementwise::{Elementwise, Function, with_function};
pub(crate) use interface::{AdjustableK, PerSample, Units};
pub(crate) use operands::{ActiveGradient, Arriving, Buffers, Own, OwnMut, State};
pub(crate) use traits::{Block, Chooses, Len, Traits};

use self::abs_top_k::AbsTopK;
use self::batch_top_k::BatchTopK;
use self::elementwise::Selected;
use self::gated::Gated;
use self::interface::Selecting;
use self::jump_relu::JumpRelu;
use self::top_k::TopK;
use self::winner_take_all::WinnerTakeAll;
use crate::Real;
use crate::error::{Error, require};

/// The activation function of a layer: turns pre-activations `z` into activations `h`.
///
/// Derivatives are computed from `h`, so pre-activations are not kept.
///
/// | activation | `h` | derivative from `h` | at a kink |
/// |---|---|---|---|
/// | [`Sigmoid`](Self::Sigmoid) | `1 / (1 + e⁻ᶻ)` | `h (1 − h)` | |
/// | [`Tanh`](Self::Tanh) | `tanh z` | `1 − h²` | |
/// | [`Relu`](Self::Relu) | `max(z, 0)` | `1` where `h > 0` | 0 at `z = 0` |
/// | [`Identity`](Self::Identity) | `z` | `1` | |
/// | [`SaturatingLinear`](Self::SaturatingLinear) | `min(max(z, 0), 1)` | `1` where `0 < h < 1` | 0 at `z = 0` and `z = 1` |
/// | [`TopK`](Self::TopK), [`TopProportion`](Self::TopProportion) | `max(z, 0)` on the `k` largest of each sample, 0 elsewhere | `1` where `h > 0` | of equal values the lower index wins |
/// | [`AbsTopK`](Self::AbsTopK) | `z` on the `k` largest `\|z\|` of each sample, 0 elsewhere | `1` where `h ≠ 0` | of equal magnitudes the lower index wins |
/// | [`WinnerTakeAll`](Self::WinnerTakeAll) | `max(z, 0)` on the `⌈p·m⌉` largest of each unit, 0 elsewhere | `1` where `h > 0` | of equal values the earlier sample wins |
/// | [`BatchTopK`](Self::BatchTopK) | `max(z, 0)` on the `k·m` largest of the batch, 0 elsewhere | `1` where `h > 0` | of equal values the earlier sample wins, then the lower index |
/// | [`JumpRelu`](Self::JumpRelu) | `z` where `z > t`, 0 elsewhere | `1` where `h > 0` | 0 at `z = t`; for `t` see [below](Self::JumpRelu) |
/// | [`Gated`](Self::Gated) | `max(eʳ u + b_mag, 0)` where `u + b > 0`, 0 elsewhere | `eʳ` by `u` where `h > 0` | 0 at `u + b = 0` |
///
/// # Training and inference
///
/// `WinnerTakeAll` and `BatchTopK` choose among the `m` samples of a batch. Only training, and the
/// [`loss`](crate::SparseAutoencoder::loss) and
/// [its gradient](crate::SparseAutoencoder::loss_and_gradient), do so. Inference treats each sample by itself:
///
/// | activation | in inference |
/// |---|---|
/// | `WinnerTakeAll` | `max(z, 0)` of every unit |
/// | `BatchTopK` | `z` where it is above a threshold, 0 elsewhere |
/// | others | as in training |
///
/// A minor version may add variants.
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
    /// The positive part of the `k` largest pre-activations of each sample, for `k` from 1 to the number of
    /// units.
    ///
    /// At most `k` units of a sample are active. Makhzani & Frey (2013), *k-Sparse Autoencoders*; the positive
    /// part is from Gao et al. (2024), *Scaling and Evaluating Sparse Autoencoders*.
    TopK(usize),
    /// [`TopK`](Self::TopK) with `k = ⌈p · units⌉` for a proportion `p` in (0, 1].
    TopProportion(f64),
    /// The `k` pre-activations of each sample with the largest magnitudes, with their signs.
    ///
    /// A unit is inactive where it is 0. Zhu et al. (2025), *AbsTopK: Rethinking Sparse Autoencoders For
    /// Bidirectional Features*.
    AbsTopK(usize),
    /// The positive part of each unit's `⌈p·m⌉` largest pre-activations over a batch of `m` samples, for `p` in
    /// (0, 1].
    ///
    /// Sparsity is over a unit's lifetime: every unit with a positive pre-activation in a batch learns from that batch.
    /// Makhzani & Frey (2015), *Winner-Take-All Autoencoders*.
    WinnerTakeAll(f64),
    /// The `k·m` largest positive pre-activations of a batch of `m` samples, for `k` from 1 to the number of
    /// units.
    ///
    /// Samples have `k` active units on average, and difficult ones have more. Bussmann et al. (2024),
    /// *BatchTopK Sparse Autoencoders*.
    ///
    /// Inference compares with a threshold, one [parameter](crate::Layout) per layer. It has no gradient. After
    /// each step the [`Trainer`](crate::Trainer) moves it by 1% of the way to the smallest activation kept in
    /// the batch; the first batch sets it. In the innermost layer, a fit ends with the threshold at which k units of a
    /// sample are active on average: of the samples held out, if there are 100 or more.
    BatchTopK(usize),
    /// The pre-activation where it is above its unit's threshold `t ≥ 0`, 0 elsewhere.
    ///
    /// Rajamanoharan et al. (2024), *Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse
    /// Autoencoders*.
    ///
    /// Thresholds are [parameters](crate::Layout), and negative ones count as 0. They learn by a
    /// pseudo-derivative, from pre-activations within half a
    /// [bandwidth](crate::SparseAutoencoderBuilder::bandwidth) of the threshold. It covers the reconstruction and
    /// every penalty, including those made for thresholds: [`L0`](crate::L0) and
    /// [`TargetL0`](crate::TargetL0).
    JumpRelu,
    /// `max(eʳ u + b_mag, 0)` where the gate `π = u + b > 0` is open, 0 elsewhere, with `u = wᵀx`.
    ///
    /// The gate decides whether a unit is active, and the magnitude how strongly. Rajamanoharan et al. (2024),
    /// *Improving Dictionary Learning with Gated Sparse Autoencoders*.
    ///
    /// - The bias `b` of the encoder belongs to the gates. `r` and `b_mag` are further
    ///   [parameters](crate::Layout) of each unit, which start at 0.
    /// - The penalty sees the gates, `max(π, 0)`, so it does not shrink activations. The default is no
    ///   penalty; use [`L1`](crate::L1).
    /// - The gates are trained by an [auxiliary](crate::Loss::auxiliary) reconstruction through a frozen copy of
    ///   the decoder.
    /// - The model must have one hidden layer.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, L1, SparseAutoencoder};
    ///
    /// // With a trainer's `unit_norm_decoder(true)`, as in the paper.
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([16, 64])
    ///     .hidden_activation(Activation::Gated)
    ///     .output_activation(Activation::Identity)
    ///     .penalty(L1)
    ///     .penalty_weight(0.4)
    ///     .build()?;
    /// let layer = sae.parameters().layer(0).unwrap();
    /// let names: Vec<_> = layer.block_names().collect();
    /// assert_eq!(names, ["log_magnitude", "magnitude_bias"]);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    Gated,
}

impl Activation {
    /// Calls `f` with the units of this activation. This is the only match on variants.
    pub(crate) fn with<T: Real, R>(self, f: impl FnOnce(&dyn Units<T>) -> R) -> R {
        match self {
            Self::Sigmoid => f(&Elementwise::Sigmoid),
            Self::Tanh => f(&Elementwise::Tanh),
            Self::Relu => f(&Elementwise::Relu),
            Self::Identity => f(&Elementwise::Identity),
            Self::SaturatingLinear => f(&Elementwise::SaturatingLinear),
            Self::TopK(k) => f(&Selecting(TopK::Number(k))),
            Self::TopProportion(p) => f(&Selecting(TopK::Proportion(p))),
            Self::AbsTopK(k) => f(&Selecting(AbsTopK(k))),
            Self::WinnerTakeAll(p) => f(&WinnerTakeAll(p)),
            Self::BatchTopK(k) => f(&BatchTopK(k)),
            Self::JumpRelu => f(&JumpRelu),
            Self::Gated => f(&Gated),
        }
    }

    /// Returns the interval of bounded activations; `None` for unbounded ones.
    ///
    /// ```
    /// use sparse_autoencoder::Activation;
    ///
    /// assert_eq!(Activation::Tanh.range(), Some((-1.0, 1.0)));
    /// assert_eq!(Activation::Relu.range(), None);
    /// ```
    #[must_use]
    pub fn range(self) -> Option<(f64, f64)> {
        self.traits().range
    }

    /// Returns whether activations are never negative.
    #[must_use]
    pub fn is_non_negative(self) -> bool {
        !self.traits().signed
    }

    /// Returns the largest number of active units of a sample in a layer of `units` units, for activations that
    /// select within a sample, such as `TopK`.
    ///
    /// ```
    /// use sparse_autoencoder::Activation;
    ///
    /// assert_eq!(Activation::TopProportion(0.05).kept(200), Some(10));
    /// assert_eq!(Activation::TopK(500).kept(200), Some(200));
    /// assert_eq!(Activation::Relu.kept(200), None);
    /// ```
    #[must_use]
    pub fn kept(self, units: usize) -> Option<usize> {
        self.with(|f: &dyn Units<f64>| {
            f.per_sample()
                .map(|selection| selection.kept(units).min(units))
        })
    }

    /// Returns what [`Units::mean_kept`] returns.
    pub(crate) fn mean_kept(self, units: usize) -> Option<usize> {
        self.with(|f: &dyn Units<f64>| f.mean_kept(units))
    }

    pub(crate) fn traits(self) -> Traits {
        self.with(|f: &dyn Units<f64>| f.traits())
    }

    pub(crate) fn blocks(self) -> &'static [Block] {
        self.with(|f: &dyn Units<f64>| f.blocks())
    }

    /// Returns k, for activations that have one.
    pub(crate) fn k(&self) -> Option<usize> {
        self.with(|f: &dyn Units<f64>| f.k().map(|(k, _)| k))
    }

    /// Returns the activation with another k, if it has one.
    pub(crate) fn with_k(self, k: usize) -> Self {
        self.with(|f: &dyn Units<f64>| f.k().map_or(self, |(_, with)| with(k)))
    }

    /// Returns whether units are selected. Such activations are sparse without a penalty, and only for hidden
    /// layers.
    pub(crate) fn selects(&self) -> bool {
        self.traits().chooses != Chooses::Nothing
    }

    /// Refuses parameters of the activation that do not fit a layer of `units` units.
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

/// Returns `⌈proportion · units⌉`, within `1..=units`.
///
/// Products within one part in a million of an integer are rounded to it first, so that 0.05 of 100 units are 5, not 6.
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

/// Returns `max(t, 0)`: a threshold below 0 counts as 0.
#[inline(always)]
fn positive<T: Real>(t: T) -> T {
    if t > T::zero() { t } else { T::zero() }
}

#[cfg(test)]
mod tests {
    use super::{Activation, proportion_of};

    /// Fails to compile for a new activation, and fails until the list of the tests has it.
    #[test]
    fn every_activation_is_among_the_variants_of_the_tests() {
        let mut counts = [0; 12];
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
                Activation::AbsTopK(_) => 11,
            }] += 1;
        }
        assert_eq!(counts, [1; 12]);
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
