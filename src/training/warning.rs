//! Warnings after a successful training.

use std::fmt;

use super::baseline::range_of;
use crate::Activation;

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
    /// Most samples have no active unit in the innermost layer, and the reconstruction loss is above 90 % of that of
    /// the mean sample. Where that is not measured, as after `partial_fit`: fewer than 0.05 active units per sample.
    #[non_exhaustive]
    NoUnitActive {
        /// The mean number of active units per sample, below 0.5.
        l0: f64,
    },
    /// The sparsity is more than 10 % away from the target of a [set point](crate::Trainer::set_point) or of a
    /// [`TargetL0`](crate::TargetL0) penalty. Or the fit or stream ended while k was still
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
    /// The mean activation of the innermost layer, over up to 1024 samples, is more than twice the target of
    /// [`KlDivergence`](crate::KlDivergence) or [`SquaredDeviation`](crate::SquaredDeviation).
    #[non_exhaustive]
    TooActive {
        /// The mean activation ρ̂ over samples and units. For `KlDivergence`, as a fraction of the range of the
        /// activation: (ρ̂ + 1)/2 for tanh units.
        measured: f64,
        /// The target ρ.
        target: f64,
    },
    /// The loss still fell: its mean over the last tenth of the epochs is more than 5 % below that over the tenth
    /// before. The difference is more than 1 % of the loss of the mean sample. Not for fewer than 20 epochs, and not
    /// with a schedule, a set point, or annealing at the end.
    #[non_exhaustive]
    StillLearning {
        /// The mean loss, without auxiliary terms, over the tenth of the epochs before the last.
        before: f64,
        /// The same in the last tenth.
        loss: f64,
    },
    /// The model explains more than 90 % of the variance, and nothing keeps it from copying its input. No hidden layer
    /// is narrower than the input or selects fewer units than that, and there is no penalty, weight decay, or
    /// [noise](crate::Trainer::corruption).
    #[non_exhaustive]
    MayCopy {
        /// The explained variance at the end.
        explained_variance: f64,
    },
    /// A [recipe](crate::Recipe) passed more than 1000 times over its samples. The model may have memorized them.
    #[non_exhaustive]
    ManyPasses {
        /// The number of passes.
        passes: usize,
        /// The number of samples.
        samples: usize,
    },
    /// Steps by [`partial_fit`](crate::Trainer::partial_fit) went on after the
    /// [end](crate::Trainer::stream_steps) of a schedule that ends at 0, and learned nothing.
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
    /// One feature has more than 90 % of the variance of the samples. The median feature that varies has less than 1 %
    /// of its variance. The squared error hardly depends on the others.
    #[non_exhaustive]
    FeatureDominates {
        /// The index of the feature, in the targets of a transcoder.
        feature: usize,
        /// Its share of the variance. Of several processes, each reports its own.
        share: f64,
    },
    /// More than 10 % of the units of the innermost layer are [dead](crate::DeadUnits): inactive for an epoch, or as
    /// long as [`Trainer::dead_units`](crate::Trainer::dead_units) says.
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
                         point, as the weight overshoots"
                    }
                    (false, true) => {
                        "train for more steps, raise the penalty weight, or, with JumpReLU, call calibrate_thresholds \
                         before the fit, which also chooses the bandwidth unless one is set"
                    }
                    (false, false) => {
                        "train for more steps, or call calibrate_thresholds before the fit, which also chooses the \
                         bandwidth unless one is set"
                    }
                };
                write!(
                    f,
                    "the measured sparsity (active units, or mean activation) is {}, its target {}: {remedy}",
                    figure(*measured),
                    figure(*target)
                )
            }
            Self::TooActive { measured, target } => write!(
                f,
                "the mean activation is {}, more than twice its target {}: train for more steps, or raise the penalty \
                 weight",
                figure(*measured),
                figure(*target)
            ),
            Self::StillLearning { before, loss } => write!(
                f,
                "the loss still fell from {} to {} over the last tenths of the epochs: train for more epochs, or, \
                 unless by L-BFGS, take smaller batches or raise the learning rate",
                figure(*before),
                figure(*loss)
            ),
            Self::MayCopy { explained_variance } => write!(
                f,
                "the model explains {explained_variance:.4} of the variance, but nothing keeps it from copying its \
                 input: use fewer hidden units than inputs, units that select such as TopK, a penalty, or noise (see \
                 Trainer::corruption)"
            ),
            Self::ManyPasses { passes, samples } => write!(
                f,
                "the training passed {passes} times over {samples} samples, which the model may have memorized: \
                 compare with samples that it has not seen, and train on more, or for fewer passes (see \
                 Recipe::samples)"
            ),
            Self::NoLearningRate { steps, of } => write!(
                f,
                "the learning rate of the last {steps} steps was 0, because the schedule ends after {of}: set as \
                 many steps as you take (see Trainer::stream_steps), or call Trainer::reset before another training"
            ),
            Self::OutsideOutputRange { low, high, output } => {
                let (least, most) = range_of(*output);
                let scaling = match output.range() {
                    Some(_) => "to_range_of",
                    None => "min_max",
                };
                write!(
                    f,
                    "the samples range from {} to {}, but the output {output:?} only from \
                     {least} to {most}: scale the samples (see Scaling::{scaling}), or use the output \
                     Activation::Identity",
                    figure(*low),
                    figure(*high)
                )
            }
            Self::FeatureDominates { feature, share } => write!(
                f,
                "feature {feature} has {:.1} % of the variance of the samples, and the loss hardly sees the others: \
                 scale each feature (see Scaling::standard)",
                100.0 * share
            ),
            Self::DeadUnits { dead, of } => write!(
                f,
                "{dead} of {of} units are dead: train longer, use fewer units, let k fall if \
                 there is one (see anneal_k), train dead units (see DeadUnits::auxiliary), center the samples or start the pre-encoder \
                 bias at them, or lower the learning rate"
            ),
        }
    }
}
