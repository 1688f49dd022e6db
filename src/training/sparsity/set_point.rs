//! A controller of the penalty weight.

use crate::Real;
use crate::error::{Error, require, require_above_0};
use crate::objective::{Now, Objective};
use crate::training::measured::SHARE;

/// A sparsity to reach by adjusting the penalty weight.
///
/// The effect of a weight depends on the scale of the data, the loss, and the model. A number of active
/// units has the same meaning everywhere. After every step the [`Trainer`](crate::Trainer) therefore
/// moves the weight β. Let `a` be the measured sparsity, a mean over about 20 batches, `a'` its value
/// one step before, and `a*` the set point:
///
/// ```text
/// β ← β (a/a') exp(gain · clip(ln(a/a*), −1, 1))
/// ```
///
/// At the default gain, correcting a factor of 10 takes a few hundred steps. The factor `a/a'` lets β
/// fall again while the sparsity is still changing: an overshooting weight would leave dead units
/// behind. Start with a small weight above 0.
///
/// In a deep model, the innermost layer is measured. Its weight moves, and those of the other layers move by the
/// same factor.
///
/// The model keeps the weight that it was built with. [`SetPointState::penalty_weight`] is the weight
/// reached. Each [`Step`](crate::Step) and [`Epoch`](crate::Epoch), the [`Report`](crate::Report), and
/// [`Trainer::set_point_state`](crate::Trainer::set_point_state) have it. To train with it from the
/// start, build the next model with it:
///
/// ```
/// use sparse_autoencoder::{Activation, Adam, L1, SetPoint, SparseAutoencoder, Trainer};
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// let samples = DMatrix::from_fn(8, 256, |i, j| ((i * 7 + j * j) % 11) as f64 / 11.0);
/// let builder = |penalty_weight| {
///     SparseAutoencoder::builder()
///         .layers([8, 32])
///         .hidden_activation(Activation::Relu)
///         .output_activation(Activation::Identity)
///         .penalty(L1)
///         .penalty_weight(penalty_weight)
///         .norm_weighted(true)
/// };
/// let mut sae = builder(1e-2).build()?;
/// let report = Trainer::new(Adam::new(3e-3)?)
///     .epochs(20)
///     .batch_size(32)
///     .set_point(SetPoint::active_units(4.0))
///     .fit(&mut sae, &samples)?;
/// assert_eq!(sae.penalty_weight(), 1e-2);
///
/// let state = report.set_point.unwrap();
/// println!("{} active units at β = {}", state.measured, state.penalty_weight);
/// let next = builder(state.penalty_weight).build()?;
/// assert_eq!(next.penalty_weight(), state.penalty_weight);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same keys as this JSON. `gain` is optional.

```
use sparse_autoencoder::SetPoint;

let json = r#"[
    {"measure": "active_units", "target": 4.0},
    {"measure": "mean_activation", "target": 0.1, "gain": 0.02}
]"#;
let set_points: Vec<SetPoint> = serde_json::from_str(json).unwrap();
assert_eq!(set_points[0], SetPoint::active_units(4.0));
assert_eq!(set_points[1], SetPoint::mean_activation(0.1).gain(0.02));
```
"##
)]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        deny_unknown_fields,
        expecting = "a table with the keys `measure`, `target`, and optionally `gain`"
    )
)]
#[must_use]
pub struct SetPoint {
    measure: Measure,
    target: f64,
    #[cfg_attr(feature = "serde", serde(default = "default_gain"))]
    gain: f64,
}

const fn default_gain() -> f64 {
    0.01
}

#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
enum Measure {
    ActiveUnits,
    MeanActivation,
}

/// The state of the controller that a [`SetPoint`] starts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SetPointState<T> {
    /// The sparsity: a mean over the last batches.
    pub measured: f64,
    /// The penalty weight β of the innermost layer reached so far, which the next step uses.
    pub penalty_weight: T,
    /// Whether the weight is held because a change by a factor of 10,000 had no effect. The set point is
    /// then out of reach, or needs more steps.
    pub exhausted: bool,
}

impl SetPoint {
    const fn new(measure: Measure, target: f64) -> Self {
        Self {
            measure,
            target,
            gain: default_gain(),
        }
    }

    /// The mean number of active units of the innermost layer (L0), above 0 and at most the number of units.
    ///
    /// Requires activations that can be exactly 0 and do not fix the number of active units:
    /// [`Relu`](crate::Activation::Relu), [`SaturatingLinear`](crate::Activation::SaturatingLinear),
    /// [`JumpRelu`](crate::Activation::JumpRelu), and [`Gated`](crate::Activation::Gated).
    pub const fn active_units(target: f64) -> Self {
        Self::new(Measure::ActiveUnits, target)
    }

    /// The mean activation ρ̂ of the innermost layer, over its units and the samples, above 0 and below the largest
    /// value of the activation.
    ///
    /// Requires activations that are never below 0.
    pub const fn mean_activation(target: f64) -> Self {
        Self::new(Measure::MeanActivation, target)
    }

    /// Sets the gain, in (0, 1]. The default is 0.01.
    ///
    /// With a large gain the weight overshoots, because the model needs some steps to follow it. Near 1 its swings
    /// grow from one to the next, and it may never settle.
    pub const fn gain(mut self, gain: f64) -> Self {
        self.gain = gain;
        self
    }

    pub(in crate::training) fn check<T: Real>(
        &self,
        objective: &Objective<T>,
    ) -> Result<(), Error> {
        require_above_0::<f64>("set point", self.target)?;
        let innermost = objective.innermost();
        let f = objective.encoder[innermost];
        let units = objective.layers.last().copied().unwrap_or(0);
        let (is_within, requirement) = match self.measure {
            Measure::ActiveUnits => (
                self.target <= f64::of_count(units),
                "at most the number of units",
            ),
            Measure::MeanActivation => (
                f.range().is_none_or(|(_, high)| self.target < high),
                "below the largest value of the activation",
            ),
        };
        require(is_within, "set point", requirement, self.target)?;
        let gain = self.gain;
        require(
            gain > 0.0 && gain <= 1.0,
            "gain of SetPoint",
            "in (0, 1]",
            gain,
        )?;
        let weight = objective.penalty_weight_of(innermost);
        require_above_0::<T>("penalty_weight under a set point", weight)?;
        let chooses = f.traits().chooses;
        let incompatible = |other| {
            let what = "a set point";
            Err(Error::Incompatible { what, other })
        };
        if !objective.is_penalized(innermost) || objective.penalties[innermost].is_zero() {
            return incompatible("an innermost layer without a penalty");
        }
        match self.measure {
            _ if chooses.fixes_number() => incompatible("a fixed number of active units"),
            Measure::ActiveUnits if !f.traits().vanishes => {
                incompatible("units that are never exactly 0")
            }
            // The measured mean is that of the gates.
            Measure::MeanActivation if f.traits().frozen => incompatible("gated units"),
            Measure::MeanActivation if !f.is_non_negative() => incompatible("activations below 0"),
            _ => Ok(()),
        }
    }

    /// Returns the sparsity to reach.
    pub(in crate::training) fn target(&self) -> f64 {
        self.target
    }

    pub(in crate::training) fn measures_active_units(&self) -> bool {
        self.measure == Measure::ActiveUnits
    }
}

/// The state of a controller between steps.
#[derive(Debug, Clone, Copy)]
pub(in crate::training) struct Controller<T> {
    /// β. `None` before the first step.
    pub(in crate::training) weight: Option<T>,
    pub(in crate::training) measured: Option<f64>,
    /// The distance and ln β when the measured sparsity last came nearer.
    pub(in crate::training) nearest: Option<(f64, f64)>,
    pub(in crate::training) exhausted: bool,
}

impl<T> Default for Controller<T> {
    fn default() -> Self {
        Self {
            weight: None,
            measured: None,
            nearest: None,
            exhausted: false,
        }
    }
}

/// The relative decrease of the distance that counts as an effect.
const EFFECT: f64 = 0.02;
/// The largest change of ln β without an effect: a factor of 10,000.
const REACH: f64 = 9.210_340_371_976_184;

impl<T: Real> Controller<T> {
    /// Moves β after a step at `weight`, whose batch had the sparsity `measured`.
    pub(in crate::training) fn see(&mut self, set_point: &SetPoint, measured: f64, weight: T) {
        // No ratio leads from 0, where the measurement begins again.
        let before = self.measured.filter(|&measured| measured > 0.0);
        let before = before.unwrap_or(measured);
        let measured = before + SHARE * (measured - before);
        self.measured = Some(measured);
        // Bounded, because the logarithm is −∞ for a layer without active units.
        let excess = |measured: f64| (measured / set_point.target).ln().clamp(-10.0, 10.0);
        let change = excess(measured) - excess(before);
        let moves = set_point.gain * excess(measured).clamp(-1.0, 1.0) + change;
        let distance = (measured - set_point.target).abs();
        let log = weight.to_f64().ln();
        let (nearest, since) = self.nearest.unwrap_or((distance, log));
        let on_the_other_side = (before - set_point.target) * (measured - set_point.target) <= 0.0;
        if on_the_other_side || distance < (1.0 - EFFECT) * nearest {
            self.nearest = Some((distance, log));
            self.exhausted = false;
        } else {
            self.nearest = Some((nearest, since));
            self.exhausted = (log - since).abs() >= REACH;
        }
        let moved = T::of((log + moves).exp());
        let accepted = !self.exhausted && moved > T::zero() && moved.is_finite();
        self.weight = Some(if accepted { moved } else { weight });
    }

    /// Returns the values of a step, with the weight reached so far.
    pub(in crate::training) fn apply(&self, now: Now<T>) -> Now<T> {
        let Some(penalty_weight) = self.weight else {
            return now;
        };
        Now {
            penalty_weight,
            penalty_scale: now.penalty_scale * (penalty_weight / now.penalty_weight),
            ..now
        }
    }

    /// Returns the state to report, or `None` before the first step.
    pub(in crate::training) fn state(&self) -> Option<SetPointState<T>> {
        Some(SetPointState {
            measured: self.measured?,
            penalty_weight: self.weight?,
            exhausted: self.exhausted,
        })
    }
}
