//! A controller of the penalty's weight.

use crate::Real;
use crate::error::{Error, require};
use crate::objective::Objective;
use crate::units::Chooses;

/// The sparsity that is wanted, whatever weight of the penalty it takes: after every step the
/// [`Trainer`](crate::Trainer) moves β of the model towards it.
///
/// What a weight means depends on the scale of the data, on the loss, and on everything else that a
/// model is made of; the number of active units does not. With `a` the sparsity that is measured, a
/// mean over the last twenty batches or so, `a'` that before, and `a*` the one that is wanted,
///
/// ```text
/// β ← β (a/a') exp(gain · clip(ln(a/a*), −1, 1))
/// ```
///
/// so a weight that is wrong by a factor of 10 takes a few hundred steps at the default gain. The
/// first factor lets it fall again while the sparsity is still on its way: a weight that overshoots
/// leaves dead units behind. Start with a weight above 0, rather too small.
///
/// ```
/// use sparse_autoencoder::{Activation, Adam, L1, SetPoint, SparseAutoencoder, Trainer};
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// let samples = DMatrix::from_fn(8, 256, |i, j| ((i * 7 + j * j) % 11) as f64 / 11.0);
/// let mut sae = SparseAutoencoder::builder()
///     .layers([8, 32])
///     .hidden_activation(Activation::Relu)
///     .output_activation(Activation::Identity)
///     .penalty(L1)
///     .penalty_weight(1e-2)
///     .norm_weighted(true)
///     .build()?;
/// let report = Trainer::new(Adam::new(3e-3)?)
///     .epochs(20)
///     .batch_size(32)
///     .set_point(SetPoint::active_units(4.0))
///     .fit(&mut sae, &samples)?;
/// let state = report.set_point.unwrap();
/// println!("{} active units", state.measured);
/// assert_eq!(sae.penalty_weight(), state.penalty_weight);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
pub struct SetPoint {
    measure: Measure,
    wanted: f64,
    gain: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
enum Measure {
    ActiveUnits,
    MeanActivation,
}

/// Where a controller has got to.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SetPointState<T> {
    /// The sparsity, a mean over the last batches.
    pub measured: f64,
    /// β, as the model has it now.
    pub penalty_weight: T,
    /// Whether the weight has been multiplied or divided by 10,000 without an effect, and is held:
    /// the sparsity that is wanted is out of its reach, or was not given the time.
    pub exhausted: bool,
}

impl SetPoint {
    const fn new(measure: Measure, wanted: f64) -> Self {
        Self {
            measure,
            wanted,
            gain: 0.01,
        }
    }

    /// So many active units of the innermost layer in the mean over the samples, its L0, > 0: for
    /// units that vanish and are not selected by their number, such as [`Activation::Relu`],
    /// [`Activation::JumpRelu`], and [`Activation::Gated`].
    pub const fn active_units(wanted: f64) -> Self {
        Self::new(Measure::ActiveUnits, wanted)
    }

    /// A mean activation ρ̂ of the innermost layer, > 0, over its units and the samples: for units
    /// that are never below 0.
    pub const fn mean_activation(wanted: f64) -> Self {
        Self::new(Measure::MeanActivation, wanted)
    }

    /// The gain, in (0, 1], at first 0.01. With a large one the weight overshoots: the model needs
    /// some steps to follow it.
    pub const fn gain(mut self, gain: f64) -> Self {
        self.gain = gain;
        self
    }

    pub(super) fn check<T: Real>(&self, objective: &Objective<T>) -> Result<(), Error> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        require(
            positive(self.wanted),
            "set point",
            "finite and above 0",
            self.wanted,
        )?;
        let gain = self.gain;
        require(
            gain > 0.0 && gain <= 1.0,
            "gain of SetPoint",
            "in (0, 1]",
            gain,
        )?;
        let weight = objective.penalty_weight.to_f64();
        require(
            positive(weight),
            "penalty_weight under a set point",
            "above 0",
            weight,
        )?;
        let innermost = objective.encoder.len() - 1;
        let f = objective.encoder[innermost];
        let chooses = f.traits().chooses;
        let incompatible = |other| {
            let what = "a set point";
            Err(Error::Incompatible { what, other })
        };
        if !objective.penalized[innermost] || objective.penalty.is_zero() {
            return incompatible("an innermost layer without a penalty");
        }
        match self.measure {
            _ if matches!(chooses, Chooses::PerSample | Chooses::OverBatch) => {
                incompatible("units that are selected by their number")
            }
            Measure::ActiveUnits if !f.traits().vanishes => {
                incompatible("units that are never exactly 0")
            }
            // What is followed there is the mean of the gates.
            Measure::MeanActivation if chooses == Chooses::Gate => incompatible("gated units"),
            Measure::MeanActivation if !f.is_non_negative() => incompatible("activations below 0"),
            _ => Ok(()),
        }
    }

    pub(super) fn measures_active_units(&self) -> bool {
        self.measure == Measure::ActiveUnits
    }
}

/// What a controller remembers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Controller {
    measured: Option<f64>,
    /// Since the measured sparsity last came nearer: how far it was, and the ln β of then.
    nearest: Option<(f64, f64)>,
    exhausted: bool,
}

/// The part of a new measurement in the mean.
const SHARE: f64 = 0.05;
/// Nearer by this part of the distance counts as an effect.
const EFFECT: f64 = 0.02;
/// ln β may change by this much without one: a factor of 10,000.
const REACH: f64 = 9.210_340_371_976_184;

impl Controller {
    /// β after a batch with the sparsity `measured`.
    pub(super) fn weight<T: Real>(&mut self, set_point: &SetPoint, measured: f64, weight: T) -> T {
        let before = self.measured.unwrap_or(measured);
        let measured = before + SHARE * (measured - before);
        self.measured = Some(measured);
        // Bounded, because the logarithm of a layer without a single active unit is −∞.
        let excess = |measured: f64| (measured / set_point.wanted).ln().clamp(-10.0, 10.0);
        let change = excess(measured) - excess(before);
        let moves = set_point.gain * excess(measured).clamp(-1.0, 1.0) + change;
        let distance = (measured - set_point.wanted).abs();
        let log = weight.to_f64().ln();
        let (nearest, since) = self.nearest.unwrap_or((distance, log));
        let on_the_other_side = (before - set_point.wanted) * (measured - set_point.wanted) <= 0.0;
        if on_the_other_side || distance < (1.0 - EFFECT) * nearest {
            self.nearest = Some((distance, log));
            self.exhausted = false;
        } else {
            self.nearest = Some((nearest, since));
            self.exhausted = (log - since).abs() >= REACH;
        }
        let moved = T::of((log + moves).exp());
        if self.exhausted || !(moved > T::zero() && moved.is_finite()) {
            return weight;
        }
        moved
    }

    /// What a checkpoint keeps of a controller that has begun.
    #[cfg(feature = "serde")]
    pub(super) fn kept(&self) -> Option<[f64; 4]> {
        let (distance, log) = self.nearest?;
        let exhausted = f64::from(u8::from(self.exhausted));
        Some([self.measured?, distance, log, exhausted])
    }

    /// The controller of which that was kept; one that has not begun of anything else.
    #[cfg(feature = "serde")]
    pub(super) fn restored(kept: &[f64]) -> Self {
        let &[measured, distance, log, exhausted] = kept else {
            return Self::default();
        };
        Self {
            measured: Some(measured),
            nearest: Some((distance, log)),
            exhausted: exhausted > 0.0,
        }
    }

    pub(super) fn state<T: Real>(&self, penalty_weight: T) -> Option<SetPointState<T>> {
        self.measured.map(|measured| SetPointState {
            measured,
            penalty_weight,
            exhausted: self.exhausted,
        })
    }
}
