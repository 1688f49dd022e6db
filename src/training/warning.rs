//! Warnings after a successful training.

use std::fmt;

#[cfg(doc)]
use super::Report;
use super::Trainer;
use super::baseline::{Baseline, range_of};
use super::measured::Measured;
use super::sparsity::annealing;
use crate::{Activation, Real, SparseAutoencoder};

/// A reason why a trained model may be useless although training reported no error. The text names the
/// remedy.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Activation, Adam, SparseAutoencoder, Trainer, Warning};
///
/// let samples = DMatrix::from_fn(6, 120, |i, j| 50.0 * ((i + j) % 6) as f64);
/// let mut sae = SparseAutoencoder::builder()
///     .layers([6, 9])
///     .output_activation(Activation::Sigmoid) // in (0, 1)
///     .build()?;
/// let report = Trainer::new(Adam::new(1e-2)?).epochs(5).fit(&mut sae, &samples)?;
/// for warning in &report.warnings {
///     eprintln!("{warning}");
/// }
/// let outside = |of: &Warning| matches!(of, Warning::OutsideOutputRange { high: 250.0, .. });
/// assert!(report.warnings.iter().any(outside));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Warning {
    /// The reconstruction loss is at least 99 % of that of the mean sample: the model has collapsed, or
    /// has learned nothing yet.
    #[non_exhaustive]
    NoBetterThanMean {
        /// The [reconstruction term](crate::Loss::reconstruction) of the loss at the end.
        loss: f64,
        /// The same term for a model that reconstructs every sample as the mean.
        loss_of_mean: f64,
    },
    /// Most samples have no active unit in the innermost layer, and the reconstruction loss is above 90 % of
    /// that of the mean sample.
    #[non_exhaustive]
    NoUnitActive {
        /// The mean number of active units per sample, below 0.5.
        l0: f64,
    },
    /// The sparsity is more than 10 % away from the target of a [set point](crate::Trainer::set_point) or of a
    /// [`TargetL0`](crate::TargetL0) penalty. Or an observer stopped the fit while k was still
    /// [falling](crate::Trainer::anneal_k).
    #[non_exhaustive]
    TargetNotReached {
        /// The sparsity at the end: the mean number of active units, or the mean activation.
        measured: f64,
        /// The sparsity to reach. For [`TargetL0`](crate::TargetL0), ρ times the number of units.
        target: f64,
        /// Whether the target is that of a [set point](crate::Trainer::set_point).
        by_set_point: bool,
        /// Whether k was still falling.
        k_falls: bool,
    },
    /// Steps by [`partial_fit`](crate::Trainer::partial_fit) went on after the
    /// [end](crate::Trainer::steps) of a schedule that ends at 0, and learned nothing.
    #[non_exhaustive]
    NoLearningRate {
        /// The number of these steps.
        steps: u64,
        /// The number of steps of the schedule.
        of: usize,
    },
    /// The output cannot reach many entries of the samples: their distances from its range alone cost more
    /// than 1 % of the loss of the mean sample.
    #[non_exhaustive]
    OutsideOutputRange {
        /// The smallest entry of the samples. Of several processes, each reports its own.
        low: f64,
        /// The largest entry.
        high: f64,
        /// The activation of the output.
        output: Activation,
    },
    /// More than 10 % of the units of the innermost layer are [dead](crate::DeadUnits), if dead units are
    /// counted.
    #[non_exhaustive]
    DeadUnits {
        /// The number of dead units at the end.
        dead: usize,
        /// The number of units.
        of: usize,
    },
}

/// Returns the text of a number, with four decimals or four digits.
fn figure(value: f64) -> String {
    let plain = value == 0.0 || !value.is_finite() || (1e-2..1e7).contains(&value.abs());
    if plain {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBetterThanMean { loss, loss_of_mean } => write!(
                f,
                "the reconstruction loss is {}, no better than the {} of the mean sample: scale the samples, \
                 into the range of the output if it has one (see Scaling), try another learning rate (sigmoid units need about 0.01), lower the penalty weight, build the model \
                 without a penalty (`.penalty(())`), or train for more epochs",
                figure(*loss),
                figure(*loss_of_mean)
            ),
            Self::NoUnitActive { l0 } => write!(
                f,
                "only {l0:.2} units are active per sample: lower the penalty weight, the learning rate, \
                 or the thresholds (see calibrate_thresholds), build the model without a penalty \
                 (`.penalty(())`), or start the pre-encoder bias at the data"
            ),
            Self::TargetNotReached {
                measured,
                target,
                by_set_point,
                k_falls,
            } => {
                let remedy = match (by_set_point, measured > target) {
                    _ if *k_falls => "train until k has fallen (see anneal_k)",
                    (true, true) => {
                        "train for more steps, start at a higher penalty weight, or raise the gain of the set point"
                    }
                    (true, false) => {
                        "train for more steps, start at a lower penalty weight, or lower the gain of the set \
                         point, at which the weight overshoots"
                    }
                    (false, true) => {
                        "train for more steps, raise the penalty weight, or, with JumpReLU, start with calibrate_thresholds and set a bandwidth of the scale of the pre-activations"
                    }
                    (false, false) => {
                        "train for more steps, or start with calibrate_thresholds and set a bandwidth of the \
                         scale of the pre-activations"
                    }
                };
                write!(
                    f,
                    "the sparsity is {}, and its target {}: {remedy}",
                    figure(*measured),
                    figure(*target)
                )
            }
            Self::NoLearningRate { steps, of } => write!(
                f,
                "the learning rate of the last {steps} steps was 0, because the schedule ends after {of}: set as \
                 many steps as you take (see Trainer::steps), or call Trainer::reset before another training"
            ),
            Self::OutsideOutputRange { low, high, output } => {
                let (least, most) = range_of(*output);
                write!(
                    f,
                    "the samples range from {} to {}, but the output {output:?} only from \
                     {least} to {most}: scale the samples (see Scaling::to_range_of), or use the output \
                     Activation::Identity",
                    figure(*low),
                    figure(*high)
                )
            }
            Self::DeadUnits { dead, of } => write!(
                f,
                "{dead} of {of} units are dead: train longer, use fewer units, let k fall if \
                 there is one (see anneal_k), train dead units (see DeadUnits::auxiliary), center the samples or start the pre-encoder \
                 bias at them, or lower the learning rate"
            ),
        }
    }
}

/// The relative distance from a target that gives a warning, and the share of dead units.
const TOLERATED: f64 = 0.1;

impl<T: Real> Trainer<T> {
    /// Returns the warnings of the steps so far that need no samples: a learning rate of 0, a target not reached, no
    /// active units, and dead units.
    ///
    /// Use it after steps by [`partial_fit`](Self::partial_fit). The [`Report`] of a
    /// [`fit`](Self::fit) has all its [warnings](Report::warnings).
    #[must_use]
    pub fn warnings(&self, model: &SparseAutoencoder<T>) -> Vec<Warning> {
        let dead = self.state.idle.dead.len();
        let recent = self.state.recent.as_ref();
        let after_end = self.steps_after_end().into_iter();
        let found = recent.map_or(Vec::new(), |last| {
            let fraction = self.engine.fraction_of_steps();
            let falls = fraction.is_some_and(|fraction| self.engine.settings.k_falls(fraction));
            self.find_warnings(model, last, dead, None, falls)
        });
        after_end.chain(found).collect()
    }

    /// Returns a warning if steps after the end of the schedule have a learning rate of 0.
    fn steps_after_end(&self) -> Option<Warning> {
        let engine = &self.engine;
        let of = engine.settings.steps?;
        let steps = engine.steps.saturating_sub(of as u64);
        let learns = engine.optimizer.learning_rate() != Some(0.0);
        let stands = steps > 0 && engine.settings.schedule.is_some() && !learns;
        stands.then_some(Warning::NoLearningRate { steps, of })
    }

    /// Returns the warnings of a model that has the figures `last` and this number of dead units, also while k falls.
    pub(super) fn find_warnings(
        &self,
        model: &SparseAutoencoder<T>,
        last: &Measured<T>,
        dead: usize,
        baseline: Option<Baseline>,
        k_falls: bool,
    ) -> Vec<Warning> {
        let of_mean = baseline.and_then(|baseline| no_better(model, last, baseline, 0.99));
        let no_unit = no_unit_active(model, last, baseline);
        let target = self.target(model, last, k_falls);
        let outside = baseline.and_then(|baseline| outside(model, baseline));
        let of = model.layout().hidden_size();
        let too_many = f64::of_count(dead) > TOLERATED * f64::of_count(of);
        let dead = too_many.then_some(Warning::DeadUnits { dead, of });
        // The cause before what follows from it.
        let found = [outside, of_mean, no_unit, target, dead];
        found.into_iter().flatten().collect()
    }

    /// Returns a warning if the sparsity is not that of the set point, of [`TargetL0`](crate::TargetL0), or of a k that
    /// still falls.
    fn target(
        &self,
        model: &SparseAutoencoder<T>,
        last: &Measured<T>,
        k_falls: bool,
    ) -> Option<Warning> {
        let objective = model.objective();
        let set_point = &self.engine.settings.set_point;
        let (measured, target) = if let Some(set_point) = set_point {
            // The controller's own mean holds the first batch for long.
            let l0 = last
                .l0_of(model)
                .filter(|_| set_point.measures_active_units());
            let measured = l0.or(self.state.controller.measured);
            (measured?, set_point.target())
        } else if k_falls {
            (last.l0_of(model)?, annealing::target(objective)?)
        } else {
            let innermost = objective.innermost();
            let penalized = objective.penalizes(innermost, objective.now().penalty_weight);
            let penalty = objective.penalties[innermost].description();
            if !penalized || !penalty.has_target_l0() {
                return None;
            }
            (last.l0_of(model)?, objective.target_l0())
        };
        let missed = (measured - target).abs() > TOLERATED * target;
        missed.then_some(Warning::TargetNotReached {
            measured,
            target,
            by_set_point: set_point.is_some(),
            k_falls,
        })
    }
}

/// Returns a warning if the reconstruction loss is above this share of that of the mean sample.
fn no_better<T: Real>(
    model: &SparseAutoencoder<T>,
    last: &Measured<T>,
    baseline: Baseline,
    share: f64,
) -> Option<Warning> {
    // The loss sums over the Matryoshka prefixes.
    let loss_of_mean = baseline.loss_of_mean * f64::of_count(model.matryoshka().len() + 1);
    let loss = last.loss.reconstruction.to_f64();
    let warns = loss_of_mean > 0.0 && loss > share * loss_of_mean;
    warns.then_some(Warning::NoBetterThanMean { loss, loss_of_mean })
}

/// Returns a warning if most samples have no active unit, unless the model reconstructs them nevertheless:
/// many may be 0.
fn no_unit_active<T: Real>(
    model: &SparseAutoencoder<T>,
    last: &Measured<T>,
    baseline: Option<Baseline>,
) -> Option<Warning> {
    let l0 = last.l0_of(model).filter(|&l0| l0 < 0.5)?;
    let warns = match baseline {
        Some(baseline) => no_better(model, last, baseline, 0.9).is_some(),
        None => l0 < 0.05,
    };
    warns.then_some(Warning::NoUnitActive { l0 })
}

/// Returns a warning if the output cannot reach the samples.
fn outside<T: Real>(model: &SparseAutoencoder<T>, baseline: Baseline) -> Option<Warning> {
    let Baseline { low, high, .. } = baseline;
    let output = model.objective().decoder[0];
    let warns = baseline.unreachable > 0.01 * baseline.loss_of_mean;
    warns.then_some(Warning::OutsideOutputRange { low, high, output })
}
