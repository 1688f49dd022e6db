//! Units that have not been active for long, and what is done about them.

use crate::error::{Error, require};
use crate::model::Layout;
use crate::objective::{Objective, Reconstruction};
use crate::{Activation, Real};

/// Hidden units that have not been active for long, which a [`Trainer`](crate::Trainer) counts and
/// may bring back.
///
/// A unit that selects itself out of every sample gets no gradient, and stays dead. In large
/// overcomplete layers most units may end so.
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
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
pub struct DeadUnits {
    after: usize,
    auxiliary: Option<(usize, f64)>,
    resampled: Option<usize>,
}

impl DeadUnits {
    /// Units count as dead that have not been active in the last `samples` samples of training, at
    /// least 1; of [`Activation::Gated`] units those whose gate has not been open. Count in epochs where data are few; with streams of them 10 million are usual.
    pub const fn after(samples: usize) -> Self {
        Self {
            after: samples,
            auxiliary: None,
            resampled: None,
        }
    }

    /// Lets dead units learn from what the others leave over: adds to the objective
    ///
    /// ```text
    /// A = α/m Σᵢ ½‖êᵢ − eᵢ‖²,     Ê = D_𝒟 TopK(W_𝒟ᵀ X + b_𝒟)
    /// ```
    ///
    /// with the residual `E = X − X̂`, through which no gradient flows, and of each sample the `units`
    /// largest positive pre-activations among the dead units 𝒟, or all there are (the `AuxK` loss of
    /// Gao et al. 2024, *Scaling and Evaluating Sparse Autoencoders*). `units` ≥ 1, about half the
    /// visible size; `weight` α ≥ 0, there 1/32. The decoder's bias is no part of `Ê`.
    ///
    /// A is on the scale of the reconstruction loss, as their formula has it; their code divides
    /// either by a variance of its own, A by that of the residual. [`Loss::auxiliary`] reports it.
    ///
    /// It is for one hidden layer of units that vanish, with an [`Activation::Identity`] output and
    /// [`Reconstruction::SquaredError`].
    ///
    /// [`Loss::auxiliary`]: crate::Loss::auxiliary
    pub const fn auxiliary(mut self, units: usize, weight: f64) -> Self {
        self.auxiliary = Some((units, weight));
        self
    }

    /// Starts dead units again after every so many epochs of a fit, at least 1, but not after the last.
    /// Each gets a sample, with a chance proportional to the square of its reconstruction error: its
    /// direction becomes the unit's column of the decoder and, at a fifth of the mean norm of those of
    /// the units that live, of the encoder; the bias becomes 0, and the optimizer forgets all of
    /// them (Bricken et al. 2023, *Towards Monosemanticity*, *Neuron Resampling*).
    ///
    /// It is for one hidden layer of [`Activation::Relu`]: units that are selected by comparison would
    /// never win with columns so small. Streams have no epochs, and no resampling.
    pub const fn resampled(mut self, epochs: usize) -> Self {
        self.resampled = Some(epochs);
        self
    }

    /// Whether dead units start again at times.
    pub(super) fn are_resampled(&self) -> bool {
        self.resampled.is_some()
    }

    /// Whether dead units start again after this epoch.
    pub(super) fn resamples_after(&self, epoch: usize) -> bool {
        self.resampled
            .is_some_and(|every| epoch.is_multiple_of(every))
    }

    /// α and k of the auxiliary loss, if it is above 0.
    pub(super) fn auxiliary_loss<T: Real>(&self) -> Option<(T, usize)> {
        self.auxiliary
            .map(|(units, weight)| (T::of(weight), units))
            .filter(|&(weight, _)| weight > T::zero())
    }

    pub(super) fn check<T: Real>(
        &self,
        objective: &Objective<T>,
        layout: &Layout,
    ) -> Result<(), Error> {
        let at_least_one =
            |name, value: usize| require(value >= 1, name, "at least 1", f64::of_count(value));
        at_least_one("samples of DeadUnits", self.after)?;
        let innermost = objective.encoder[layout.depth() - 1];
        let incompatible = |what, other| Err(Error::Incompatible { what, other });
        if !innermost.traits().vanishes {
            return incompatible("dead units", "units that are never exactly 0");
        }
        if let Some(epochs) = self.resampled {
            at_least_one("epochs of DeadUnits::resampled", epochs)?;
            if layout.depth() > 1 || innermost != Activation::Relu {
                return incompatible("resampling", "anything but one hidden layer of Relu units");
            }
        }
        let Some((units, weight)) = self.auxiliary else {
            return Ok(());
        };
        at_least_one("units of DeadUnits::auxiliary", units)?;
        let accepted = weight >= 0.0 && T::of(weight).is_finite();
        let name = "weight of DeadUnits::auxiliary";
        require(accepted, name, "finite and at least 0", weight)?;
        if self.auxiliary_loss::<T>().is_none() {
            return Ok(());
        }
        let auxiliary = "an auxiliary loss of dead units";
        if layout.depth() > 1 {
            return incompatible(auxiliary, "more than one hidden layer");
        }
        if innermost.range().is_some() {
            return incompatible(auxiliary, "bounded hidden activations");
        }
        let plain = objective.decoder[0] == Activation::Identity
            && objective.reconstruction == Reconstruction::SquaredError;
        if !plain {
            return incompatible(auxiliary, "another output than Identity with SquaredError");
        }
        Ok(())
    }
}

/// How long each unit of the innermost layer has not been active.
#[derive(Debug, Default)]
pub(super) struct Idle {
    samples: Vec<usize>,
    dead: Vec<usize>,
}

impl Idle {
    pub(super) fn new(units: usize) -> Self {
        Self {
            samples: vec![0; units],
            dead: Vec::with_capacity(units),
        }
    }

    /// Of units that have not been active for so many samples.
    #[cfg(feature = "serde")]
    pub(super) fn restored(samples: Vec<usize>, dead_units: &DeadUnits) -> Self {
        let mut idle = Self::new(samples.len());
        let dead = |&j: &usize| samples[j] >= dead_units.after;
        idle.dead.extend((0..samples.len()).filter(dead));
        Self { samples, ..idle }
    }

    /// How many samples it is for each unit.
    #[cfg(feature = "serde")]
    pub(super) fn samples(&self) -> &[usize] {
        &self.samples
    }

    pub(super) fn units(&self) -> usize {
        self.samples.len()
    }

    /// After a batch of `count` samples.
    pub(super) fn see(
        &mut self,
        count: usize,
        dead_units: &DeadUnits,
        was_active: impl Fn(usize) -> bool,
    ) {
        self.dead.clear();
        for (j, idle) in self.samples.iter_mut().enumerate() {
            *idle = if was_active(j) {
                0
            } else {
                idle.saturating_add(count)
            };
            if *idle >= dead_units.after {
                self.dead.push(j);
            }
        }
    }

    /// The dead units have started again.
    pub(super) fn start_again(&mut self) {
        for j in self.dead.drain(..) {
            self.samples[j] = 0;
        }
    }

    /// The dead units, ascending.
    pub(super) fn dead(&self) -> &[usize] {
        &self.dead
    }
}
