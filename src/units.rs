//! Activations: forward in place on a batch, backward in place from the output.

mod gated;
mod jump_relu;

pub(crate) use gated::{backpropagate_gated, open_gates, pass_gates};
pub(crate) use jump_relu::{Jump, activate_above, backpropagate_jump, near_below, positive};

use crate::Real;
use crate::error::{Error, require};
use crate::linalg::Scalar;

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
    /// The interval that the activations fill, for the bounded activations.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        match self {
            Self::Sigmoid | Self::SaturatingLinear => Some((0.0, 1.0)),
            Self::Tanh => Some((-1.0, 1.0)),
            Self::Relu
            | Self::Identity
            | Self::TopK(_)
            | Self::TopProportion(_)
            | Self::WinnerTakeAll(_)
            | Self::BatchTopK(_)
            | Self::JumpRelu
            | Self::Gated => None,
        }
    }

    /// Whether no activation is ever below zero.
    #[must_use]
    pub fn is_non_negative(&self) -> bool {
        !matches!(self, Self::Tanh | Self::Identity)
    }

    /// How many of `units` units of a sample are kept, for the activations that choose among them.
    #[must_use]
    pub fn kept(&self, units: usize) -> Option<usize> {
        match *self {
            Self::TopK(k) => Some(k),
            Self::TopProportion(proportion) => Some(proportion_of(units, proportion)),
            _ => None,
        }
    }

    /// k, for the activations that have one.
    pub(crate) fn k(&self) -> Option<usize> {
        match *self {
            Self::TopK(k) | Self::BatchTopK(k) => Some(k),
            _ => None,
        }
    }

    /// The same activation with another k, if it has one.
    pub(crate) fn with_k(self, k: usize) -> Self {
        match self {
            Self::TopK(_) => Self::TopK(k),
            Self::BatchTopK(_) => Self::BatchTopK(k),
            other => other,
        }
    }

    /// Whether units are chosen, by comparing them, by thresholds, or by gates: then the activation is sparse
    /// by itself, and belongs to hidden layers.
    pub(crate) fn selects(&self) -> bool {
        matches!(
            self,
            Self::TopK(_)
                | Self::TopProportion(_)
                | Self::WinnerTakeAll(_)
                | Self::BatchTopK(_)
                | Self::JumpRelu
                | Self::Gated
        )
    }

    /// How many parameters of the activation, thresholds or others, a layer of `units` units has.
    pub(crate) fn thresholds(&self, units: usize) -> usize {
        match self {
            Self::BatchTopK(_) => 1,
            Self::JumpRelu => units,
            Self::Gated => 2 * units,
            _ => 0,
        }
    }

    /// Whether units are chosen over a whole batch, and so only by the objective.
    pub(crate) fn selects_over_batch(&self) -> bool {
        matches!(self, Self::WinnerTakeAll(_) | Self::BatchTopK(_))
    }

    /// Whether inactive units are exactly 0, with slope 0.
    pub(crate) fn vanishes(&self) -> bool {
        self.selects() || matches!(self, Self::Relu | Self::SaturatingLinear)
    }

    /// The activation of the decoder layer that mirrors a hidden layer: the selection belongs to
    /// the encoding, so a selecting activation is mirrored by its positive part.
    pub(crate) fn mirrored(self) -> Self {
        if self.selects() { Self::Relu } else { self }
    }

    /// Checks the parameters of a selecting activation against the size of its layer.
    pub(crate) fn check(&self, units: usize) -> Result<(), Error> {
        let proportion = |p: f64, name| require(p > 0.0 && p <= 1.0, name, "in (0, 1]", p);
        let count = |k, name| {
            let requirement = "at least 1 and at most the units of its layer";
            require(1 <= k && k <= units, name, requirement, f64::of_count(k))
        };
        match *self {
            Self::TopK(k) => count(k, "k of TopK"),
            Self::BatchTopK(k) => count(k, "k of BatchTopK"),
            Self::TopProportion(p) => proportion(p, "proportion of TopProportion"),
            Self::WinnerTakeAll(p) => proportion(p, "proportion of WinnerTakeAll"),
            _ => Ok(()),
        }
    }
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

/// The elementwise part of an activation, as a type, so that each loop is compiled for its own.
pub(crate) trait Function<T: Real>: Copy + Send + Sync {
    /// `h = f(z)`
    fn value(self, z: T) -> T;

    /// `f′(z)`, from `h = f(z)`
    fn slope(self, h: T) -> T;
}

macro_rules! function {
    ($name:ident: $z:ident => $value:expr, $h:ident => $slope:expr) => {
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl<T: Real> Function<T> for $name {
            #[inline(always)]
            fn value(self, $z: T) -> T {
                $value
            }

            #[inline(always)]
            fn slope(self, $h: T) -> T {
                $slope
            }
        }
    };
}

#[inline(always)]
fn one_where<T: Real>(condition: bool) -> T {
    if condition { T::one() } else { T::zero() }
}

// Comparisons are put so that a NaN passes through: a diverging model must show in its loss.
function!(Sigmoid: z => Scalar::sigmoid(z), h => h * (T::one() - h));
function!(Tanh: z => z.hyperbolic_tangent(), h => Scalar::fma(-h, h, T::one()));
function!(Identity: z => z, _h => T::one());
function!(
    Relu:
    z => if z < T::zero() { T::zero() } else { z },
    h => one_where(h > T::zero())
);
function!(
    SaturatingLinear:
    z => if z < T::zero() { T::zero() } else if z > T::one() { T::one() } else { z },
    h => one_where(h > T::zero() && h < T::one())
);

/// Evaluates `$body` with `$f` bound to the [`Function`] of `$activation`: all there is to it for
/// those without parameters of their own, and the slope of the others.
macro_rules! with_function {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            $crate::Activation::Sigmoid => {
                let $f = $crate::units::Sigmoid;
                $body
            }
            $crate::Activation::Tanh => {
                let $f = $crate::units::Tanh;
                $body
            }
            $crate::Activation::Identity => {
                let $f = $crate::units::Identity;
                $body
            }
            $crate::Activation::SaturatingLinear => {
                let $f = $crate::units::SaturatingLinear;
                $body
            }
            $crate::Activation::Relu
            | $crate::Activation::TopK(_)
            | $crate::Activation::TopProportion(_)
            | $crate::Activation::WinnerTakeAll(_)
            | $crate::Activation::BatchTopK(_)
            | $crate::Activation::JumpRelu
            | $crate::Activation::Gated => {
                let $f = $crate::units::Relu;
                $body
            }
        }
    };
}
pub(crate) use with_function;

#[cfg(test)]
mod tests {
    use super::{Activation, proportion_of};

    /// A new activation does not compile here until it is counted, and is not counted until it is in the
    /// list by which the tests make models.
    #[test]
    fn every_activation_is_among_the_variants_of_the_tests() {
        let mut counts = [0; 11];
        for activation in include!("../tests/variants/activations.in") {
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
