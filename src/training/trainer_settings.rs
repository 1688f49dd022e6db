//! The settings of a trainer, and their ranges.

use crate::error::{Error, require, require_above_0, require_at_least_0, require_some};
use crate::optimizer::Optimizer;
use crate::{AnnealK, Corruption, DeadUnits, Real, Schedule, SetPoint};

/// The settings of a [`Trainer`](crate::Trainer), as one value that a file can hold.
///
/// Each field has a setter of the same name on the trainer, which documents it.
/// [`Trainer::with_settings`](crate::Trainer::with_settings) creates a trainer from them. A fit checks
/// their ranges.
///
/// ```
/// use sparse_autoencoder::TrainerSettings;
/// use sparse_autoencoder::{Adam, Trainer};
///
/// let mut settings = TrainerSettings::default();
/// settings.epochs = 20;
/// settings.batch_size = Some(64);
/// let trainer: Trainer<f32> = Trainer::with_settings(Adam::new(1e-3)?, settings.clone());
/// assert_eq!(trainer.settings(), &settings);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same tables and keys as this JSON. All keys are optional.

```
use sparse_autoencoder::{Adam, Corruption, DeadUnits, Schedule, SetPoint, Trainer, TrainerSettings};

let json = r#"{
    "epochs": 20,
    "batch_size": 64,
    "seed": 1,
    "validation_split": 0.1,
    "patience": 5,
    "schedule": {"decay": "cosine", "floor": 0.1, "warm_up": 0.05},
    "clip_gradient": 1.0,
    "bias_rate": 10.0,
    "unit_norm_decoder": true,
    "sparsity_warm_up": 0.05,
    "anneal_k": {"from": 8, "fraction": 0.5},
    "set_point": {"measure": "active_units", "target": 4.0},
    "dead_units": {"after": 400, "auxiliary": {"units": 3, "weight": 0.03125}},
    "corruption": {"gaussian": {"standard_deviation": 0.1}}
}"#;
let settings: TrainerSettings = serde_json::from_str(json).unwrap();
let by_setters = Trainer::<f32>::new(Adam::new(1e-3)?)
    .epochs(20)
    .batch_size(64)
    .seed(1)
    .validation_split(0.1)
    .patience(5)
    .schedule(Schedule::cosine(0.1).warm_up(0.05))
    .clip_gradient(1.0)
    .bias_rate(10.0)
    .unit_norm_decoder(true)
    .sparsity_warm_up(0.05)
    .anneal_k(8, 0.5)
    .set_point(SetPoint::active_units(4.0))
    .dead_units(DeadUnits::after(400).auxiliary(3, 1.0 / 32.0))
    .corruption(Corruption::Gaussian { standard_deviation: 0.1 });
assert_eq!(&settings, by_setters.settings());
# Ok::<(), sparse_autoencoder::Error>(())
```
"##
)]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        default,
        deny_unknown_fields,
        expecting = "a table with settings of a trainer, such as `epochs`"
    )
)]
#[non_exhaustive]
pub struct TrainerSettings {
    /// Passes over the samples, ≥ 1.
    pub epochs: usize,
    /// The maximum number of samples per step, ≥ 1. Unset: 256, or all samples for a full-batch optimizer.
    pub batch_size: Option<usize>,
    /// The seed of shuffling, validation split, and corruption.
    pub seed: u64,
    /// The fraction of the samples held out, in [0, 1).
    pub validation_split: f64,
    /// The number of epochs without improvement before a fit stops, ≥ 1.
    pub patience: Option<usize>,
    /// The factor of the learning rate over the training.
    pub schedule: Option<Schedule>,
    /// The steps of a training by `partial_fit`, ≥ 1.
    pub stream_steps: Option<usize>,
    /// The largest Euclidean norm of a gradient, > 0.
    pub clip_gradient: Option<f64>,
    /// The learning rate of the encoder's biases, as a multiple of that of the weights, ≥ 0. Unset: 1.
    pub bias_rate: Option<f64>,
    /// Whether the columns of the decoder keep norm 1.
    pub unit_norm_decoder: bool,
    /// The fraction of the steps in which the penalty weight rises from 0, in (0, 1].
    pub sparsity_warm_up: Option<f64>,
    /// How k falls.
    pub anneal_k: Option<AnnealK>,
    /// The sparsity to reach.
    pub set_point: Option<SetPoint>,
    /// Which units count as dead, and how they are revived. Unset, a fit counts those inactive for an epoch.
    pub dead_units: Option<DeadUnits>,
    /// The noise of the input.
    #[cfg_attr(
        feature = "serde",
        serde(deserialize_with = "crate::by_name::optional_choice")
    )]
    pub corruption: Option<Corruption>,
}

impl Default for TrainerSettings {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: None,
            seed: 0,
            validation_split: 0.0,
            patience: None,
            schedule: None,
            stream_steps: None,
            clip_gradient: None,
            bias_rate: None,
            unit_norm_decoder: false,
            sparsity_warm_up: None,
            anneal_k: None,
            set_point: None,
            dead_units: None,
            corruption: None,
        }
    }
}

/// The default number of samples per step.
const BATCH: usize = 256;

impl TrainerSettings {
    /// Checks everything that does not depend on a model.
    pub(super) fn check<T: Real>(&self, optimizer: &dyn Optimizer<T>) -> Result<(), Error> {
        require_some("epochs", self.epochs)?;
        require_some("batch_size", self.batch_size.unwrap_or(1))?;
        require_some("stream_steps", self.stream_steps.unwrap_or(1))?;
        require_some("patience", self.patience.unwrap_or(1))?;
        let split = self.validation_split;
        let accepted = (0.0..1.0).contains(&split);
        require(accepted, "validation_split", "in [0, 1)", split)?;
        if let Some(norm) = self.clip_gradient {
            require_above_0::<T>("clip_gradient", norm)?;
        }
        if self.patience.is_some() {
            // Epochs then have the losses of different objectives, and the first would always win.
            refuse_set([("patience", self.set_point.is_some())], "a set point")?;
        }
        if let Some(rate) = self.bias_rate {
            require_at_least_0::<T>("bias_rate", rate)?;
        }
        if let Some(schedule) = self.schedule {
            schedule.check()?;
        }
        if optimizer.needs_full_batch() {
            self.check_constant()?;
        }
        self.corruption
            .map_or(Ok(()), |corruption| corruption.check::<T>())
    }

    /// Refuses patience in a fit whose objective changes until its last epoch, so that no two epochs can be compared.
    pub(super) fn check_patience(&self) -> Result<(), Error> {
        let begun = f64::of_count(self.epochs - 1) / f64::of_count(self.epochs);
        if self.patience.is_some() && !self.has_settled(begun) {
            return Err(Error::Incompatible {
                what: "patience",
                other: "a k or a penalty weight that changes until the last epoch: let it settle earlier, or take \
                        more epochs",
            });
        }
        Ok(())
    }

    /// Refuses what changes the objective between steps: a full-batch optimizer compares losses and
    /// gradients of several steps.
    fn check_constant(&self) -> Result<(), Error> {
        let clips = ("a clipped gradient", self.clip_gradient.is_some());
        let changing = self.of_autoencoders().into_iter().chain([clips]);
        refuse_set(changing, "a full-batch optimizer")
    }

    /// Refuses settings that only autoencoders have.
    pub(crate) fn check_for_classifiers(&self) -> Result<(), Error> {
        let steps = ("a number of steps", self.stream_steps.is_some());
        let others = self.of_autoencoders().into_iter().chain([steps]);
        refuse_set(others, "a classifier")
    }

    /// Refuses a validation split beside validation samples of the caller.
    pub(crate) fn refuse_split(&self) -> Result<(), Error> {
        if self.validation_split > 0.0 {
            return Err(Error::Incompatible {
                what: "validation samples of your own",
                other: "a validation_split: leave one of them out",
            });
        }
        Ok(())
    }

    /// Returns the settings that change what an autoencoder learns from step to step, and whether they are set.
    fn of_autoencoders(&self) -> [(&'static str, bool); 6] {
        // Every setting, so that a new one belongs to one of the two.
        let Self {
            epochs: _,
            batch_size: _,
            seed: _,
            validation_split: _,
            patience: _,
            schedule: _,
            stream_steps: _,
            clip_gradient: _,
            bias_rate,
            unit_norm_decoder,
            sparsity_warm_up: _, // both by `anneals`
            anneal_k: _,
            set_point,
            dead_units,
            corruption,
        } = self;
        [
            ("a rate of biases", bias_rate.is_some()),
            ("corruption", corruption.is_some()),
            ("a unit-norm decoder", *unit_norm_decoder),
            ("annealing", self.anneals()),
            ("a set point", set_point.is_some()),
            ("dead units", dead_units.is_some()),
        ]
    }

    /// Returns the maximum number of samples per step, given `samples` in all.
    pub(super) fn batch_size_of<T: Real>(
        &self,
        samples: usize,
        optimizer: &dyn Optimizer<T>,
    ) -> Result<usize, Error> {
        match (optimizer.needs_full_batch(), self.batch_size) {
            (true, Some(size)) if size < samples => Err(Error::Incompatible {
                what: "a batch size below the number of samples",
                other: "a full-batch optimizer",
            }),
            (true, _) => Ok(samples),
            (false, size) => Ok(size.unwrap_or(BATCH).min(samples)),
        }
    }
}

/// Refuses settings that are set.
fn refuse_set(
    settings: impl IntoIterator<Item = (&'static str, bool)>,
    other: &'static str,
) -> Result<(), Error> {
    match settings.into_iter().find(|&(_, is_set)| is_set) {
        None => Ok(()),
        Some((what, _)) => Err(Error::Incompatible { what, other }),
    }
}
