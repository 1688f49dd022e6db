//! Dead units, which have long been inactive: counting and reviving them.

mod auxiliary;
mod idle;
mod resampling;

pub(super) use auxiliary::Auxiliary;
pub(super) use idle::Idle;
pub(super) use resampling::{CANDIDATES, resample, together};

use crate::error::{Error, require_at_least_0, require_some};
use crate::model::Layout;
use crate::objective::{Objective, ReconstructionLoss};
use crate::units::Chooses;
use crate::{Activation, Real};

/// Which hidden units count as dead, and how a [`Trainer`](crate::Trainer) revives them.
///
/// A unit that is inactive for every sample gets no gradient and stays dead. In large overcomplete
/// layers most units may end this way.
///
/// ```
/// use sparse_autoencoder::{Activation, Adam, DeadUnits, SparseAutoencoder, Trainer};
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// let samples = DMatrix::from_fn(6, 200, |i, j| ((i * 7 + j * j) % 11) as f64 / 11.0);
/// let mut sae = SparseAutoencoder::builder()
///     .layers([6, 48])
///     .hidden_activation(Activation::TopK(2))
///     .output_activation(Activation::Identity)
///     .build()?;
/// let report = Trainer::new(Adam::new(3e-3)?)
///     .epochs(60)
///     .batch_size(50)
///     .dead_units(DeadUnits::after(400).auxiliary(3, 1.0 / 32.0))
///     .fit(&mut sae, &samples)?;
/// assert_eq!(report.dead_units.len(), 60); // their number after each epoch
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same tables and keys as this JSON. `auxiliary` and `resampled` are optional.

```
use sparse_autoencoder::DeadUnits;

let json = r#"{"after": 400, "auxiliary": {"units": 3, "weight": 0.03125}, "resampled": 10}"#;
let dead_units: DeadUnits = serde_json::from_str(json).unwrap();
assert_eq!(dead_units, DeadUnits::after(400).auxiliary(3, 1.0 / 32.0).resampled(10));
```
"##
)]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        deny_unknown_fields,
        expecting = "a table with the key `after`, and optionally `auxiliary` and `resampled`"
    )
)]
#[must_use]
pub struct DeadUnits {
    after: usize,
    auxiliary: Option<OfAuxiliary>,
    resampled: Option<usize>,
}

/// The settings of [`DeadUnits::auxiliary`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        deny_unknown_fields,
        expecting = "a table with the keys `units` and `weight`"
    )
)]
struct OfAuxiliary {
    units: usize,
    weight: f64,
}

impl DeadUnits {
    /// Counts units as dead that were inactive in the last `samples` samples of training, ≥ 1. The default of a fit
    /// is an epoch.
    ///
    /// An [`Activation::Gated`] unit is inactive while its gate is closed. For small datasets a few epochs
    /// are a good choice; for streams 10 million samples are usual.
    pub const fn after(samples: usize) -> Self {
        Self {
            after: samples,
            auxiliary: None,
            resampled: None,
        }
    }

    /// Trains dead units to reconstruct the residual of the others, by an additional term of the objective:
    ///
    /// ```text
    /// A = α Var(X)/Var(E) 1/m Σᵢ ½‖êᵢ − eᵢ‖²,     Ê = D_𝒟 TopK(W_𝒟ᵀ X + max(b_𝒟, 0))
    /// ```
    ///
    /// `E = X − X̂` is the residual, and 𝒟 are the dead units. `Var` is the mean squared distance from the mean
    /// of the batch, over all processes. No gradient flows through `E` and `Var`. `TopK` keeps the `units`
    /// largest positive pre-activations of each sample, or all if there are fewer. `Ê` excludes the decoder
    /// bias. A batch without variance, such as a single sample, has no such loss. This is the `AuxK` loss of
    /// Gao et al. 2024, *Scaling and Evaluating Sparse Autoencoders*, except for `max(b, 0)`. A negative bias can keep
    /// all pre-activations below 0, where `TopK` has no gradient. Here it counts as 0, and A can only raise it.
    ///
    /// [`Relu`](Activation::Relu), [`Gated`](Activation::Gated), and [`WinnerTakeAll`](Activation::WinnerTakeAll) units
    /// are dead because no pre-activation is positive, which leaves `TopK` nothing to learn from. For them, and for
    /// [`AbsTopK`](Activation::AbsTopK), the `units` pre-activations of largest magnitude count instead, with their
    /// signs and with `b`.
    ///
    /// `units` must be at least 1; the paper uses about half the input size. `weight` α must be at least
    /// 0; the paper uses 1/32, and divides each loss by the variance of what it reconstructs. The ratio of
    /// the variances gives α the same meaning here. `Relu` and `Gated` units need far less, such as 1e-4.
    /// [`Loss::auxiliary`] reports A.
    ///
    /// The model needs one hidden layer of units that can be 0, an [`Activation::Identity`] output,
    /// and [`ReconstructionLoss::SquaredError`].
    ///
    /// [`Loss::auxiliary`]: crate::Loss::auxiliary
    pub const fn auxiliary(mut self, units: usize, weight: f64) -> Self {
        self.auxiliary = Some(OfAuxiliary { units, weight });
        self
    }

    /// Resamples dead units after every `epochs` epochs of a fit, ≥ 1, except after the last epoch.
    ///
    /// Each dead unit gets a sample, drawn with a probability proportional to the square of its
    /// reconstruction error. The direction of the sample becomes the unit's decoder column and its
    /// encoder column. The latter has a fifth of the mean norm of the living units' columns. The bias
    /// becomes 0, and the optimizer forgets all of these parameters (Bricken et al. 2023, *Towards
    /// Monosemanticity*, *Neuron Resampling*).
    ///
    /// Examines at most 65,536 samples, spread over all. If all are reconstructed exactly, dead
    /// units stay dead.
    ///
    /// The model needs one hidden layer of [`Activation::Relu`]: competing units would never win with
    /// columns this small. Streams have no epochs and therefore no resampling.
    pub const fn resampled(mut self, epochs: usize) -> Self {
        self.resampled = Some(epochs);
        self
    }

    /// Returns the number of samples after which an inactive unit is dead.
    pub(crate) fn idle_samples(self) -> usize {
        self.after
    }

    /// Whether dead units are ever replaced.
    pub(super) fn are_resampled(&self) -> bool {
        self.resampled.is_some()
    }

    /// Whether a fit of this many epochs replaces units, if some are dead.
    pub(super) fn are_resampled_within(&self, epochs: usize) -> bool {
        self.resampled.is_some_and(|every| every < epochs)
    }

    /// Whether dead units are replaced after this number of epochs.
    pub(super) fn resamples_after(&self, epochs: usize) -> bool {
        self.resampled
            .is_some_and(|every| epochs > 0 && epochs.is_multiple_of(every))
    }

    /// Returns α and k of the auxiliary loss, if α is above 0.
    pub(super) fn auxiliary_loss<T: Real>(&self) -> Option<(T, usize)> {
        self.auxiliary
            .map(|OfAuxiliary { units, weight }| (T::of(weight), units))
            .filter(|&(weight, _)| weight > T::zero())
    }

    pub(super) fn check<T: Real>(
        &self,
        objective: &Objective<T>,
        layout: &Layout,
    ) -> Result<(), Error> {
        require_some("samples of DeadUnits", self.after)?;
        let traits = objective.encoder[layout.depth() - 1].traits();
        let incompatible = |what, other| Err(Error::Incompatible { what, other });
        if !objective.vanishes() {
            return incompatible("dead units", "units that are never exactly 0");
        }
        if let Some(epochs) = self.resampled {
            require_some("epochs of DeadUnits::resampled", epochs)?;
            if layout.depth() > 1 || traits.chooses != Chooses::Nothing || traits.range.is_some() {
                return incompatible("resampling", "anything but one hidden layer of Relu units");
            }
        }
        let Some(OfAuxiliary { units, weight }) = self.auxiliary else {
            return Ok(());
        };
        require_some("units of DeadUnits::auxiliary", units)?;
        require_at_least_0::<T>("weight of DeadUnits::auxiliary", weight)?;
        if self.auxiliary_loss::<T>().is_none() {
            return Ok(());
        }
        let auxiliary = "an auxiliary loss of dead units";
        if layout.depth() > 1 {
            return incompatible(auxiliary, "more than one hidden layer");
        }
        if traits.range.is_some() {
            return incompatible(auxiliary, "bounded hidden activations");
        }
        let plain = objective.decoder[0] == Activation::Identity
            && objective.reconstruction_loss == ReconstructionLoss::SquaredError;
        if !plain {
            return incompatible(auxiliary, "any output but Identity with SquaredError");
        }
        Ok(())
    }
}
