//! Writing checkpoints.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::counters::OF_CONTROLLER;
use crate::error::{Error, require_some};
use crate::files::checkpoint_file::{Numbers, Tensor, check_folder, write as write_file};
use crate::optimizer::{Entry, Optimizer, State as OptimizerState};
use crate::training::engine::Engine;
use crate::training::measured::{Measured, TERMS};
use crate::training::progress::Progress;
use crate::training::step::State;
use crate::training::{StopReason, Trainer, TrainerSettings};
use crate::{Real, SparseAutoencoder};

/// How often a [`Trainer`] writes a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Every {
    /// After this many steps, at least 1, also within an epoch.
    Steps(u64),
    /// After this many epochs, at least 1.
    Epochs(usize),
}

/// Where checkpoints go and how often, if anywhere.
#[derive(Debug, Default)]
pub(in crate::training) struct Checkpoints(Option<(PathBuf, Every)>);

/// The prefix of the tensors of the optimizer.
pub(super) const OPTIMIZER: &str = "optimizer.";
/// The end of the names of tensors with L0 in `f64`.
pub(super) const L0: &str = "l0";

impl<T: Real> Trainer<T> {
    /// Writes the state of a [`fit`](Self::fit) to this file, at regular intervals and at its end, so
    /// that [`resume`](Self::resume) can continue it after an interruption.
    ///
    /// The file holds the parameters, the state of the optimizer, the position, the random state, and
    /// everything else that persists between steps. A new checkpoint replaces the old one atomically,
    /// once it is complete and on the disk. A killed process therefore leaves a valid file.
    ///
    /// ```
    /// use sparse_autoencoder::{Adam, Every, SparseAutoencoder, Trainer, nalgebra::DMatrix};
    /// # let path = std::env::temp_dir().join(format!("sparse-autoencoder-run-{}", std::process::id()));
    ///
    /// let samples = DMatrix::from_fn(6, 120, |i, j| ((i + j) % 6) as f64 / 5.0);
    /// let mut sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
    /// let mut trainer = Trainer::new(Adam::new(1e-2)?)
    ///     .epochs(20)
    ///     .batch_size(16)
    ///     .checkpoint(&path, Every::Steps(50));
    /// if path.exists() {
    ///     trainer.resume(&mut sae, &path)?;
    /// }
    /// let report = trainer.fit(&mut sae, &samples)?;
    /// assert_eq!(report.losses.len(), 20); // of all epochs, before and after the interruption
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// The file is about as large as θ, the state of the optimizer (twice θ for
    /// [`Adam`](crate::Adam)), and with [`patience`](Self::patience) the best parameters. It is a model
    /// file too, which [`files::load`](crate::files::load) reads, with the parameters of the last step. Only one
    /// process may write to it. Thresholds of [`BatchTopK`](crate::Activation::BatchTopK) units are calibrated at the
    /// end of a fit: [calibrate](SparseAutoencoder::calibrate_thresholds) a model from a checkpoint before you use it.
    ///
    /// [`partial_fit`](Self::partial_fit) writes no checkpoint: see [`save`](Self::save).
    /// [`fit_stack`](Self::fit_stack) of several layers refuses it: fit the layers in turn.
    ///
    /// With [several processes](Self::all_reduce), let each write its own file. If all have the same settings, the
    /// seed included, and the same number of samples, one file serves all. The fit refuses to start unless all
    /// resume at the same step.
    ///
    /// If a checkpoint cannot be written, the fit ends with the error in all processes. The model then
    /// has the parameters of the last step, and the next fit of this trainer continues from there.
    pub fn checkpoint(mut self, path: impl Into<PathBuf>, every: Every) -> Self {
        self.checkpoints = Checkpoints(Some((path.into(), every)));
        self
    }

    /// Saves the model and the state of the trainer, so that [`resume`](Self::resume) can continue a
    /// stream of batches of your own.
    ///
    /// [`steps_taken`](Self::steps_taken) then returns how many batches the model has learned from.
    ///
    /// ```
    /// use sparse_autoencoder::{Adam, SparseAutoencoder, Trainer, nalgebra::DMatrix};
    /// # let path = std::env::temp_dir().join(format!("sparse-autoencoder-stream-{}", std::process::id()));
    ///
    /// let stream = || (0..8).map(|k| DMatrix::from_fn(6, 32, |i, j| ((i * j + k) % 6) as f32 / 5.0));
    /// let start = || -> Result<_, sparse_autoencoder::Error> {
    ///     let sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
    ///     Ok((sae, Trainer::new(Adam::new(1e-2)?)))
    /// };
    /// let (mut sae, mut trainer) = start()?;
    /// for batch in stream().take(5) {
    ///     trainer.partial_fit(&mut sae, &batch)?;
    /// }
    /// trainer.save(&sae, &path)?;
    ///
    /// let (mut sae, mut trainer) = start()?; // another day
    /// trainer.resume(&mut sae, &path)?;
    /// assert_eq!(trainer.steps_taken(), 5);
    /// for batch in stream().skip(5) {
    ///     trainer.partial_fit(&mut sae, &batch)?;
    /// }
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// Between [`resume`](Self::resume) and the next fit, and after a checkpoint failed, the file also
    /// holds the position of the fit.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written; an existing file then stays unchanged.
    /// [`Error::Incompatible`] for an optimizer without [`state`](crate::Optimizer::state).
    pub fn save(&self, model: &SparseAutoencoder<T>, path: impl AsRef<Path>) -> Result<(), Error> {
        write(
            &self.engine,
            &self.state,
            model,
            self.paused.as_ref(),
            self.own_validation(),
            path.as_ref(),
        )
    }
}

impl Checkpoints {
    pub(in crate::training) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses an interval of 0, and optimizers without a state.
    pub(in crate::training) fn check<T: Real>(
        &self,
        optimizer: &dyn Optimizer<T>,
    ) -> Result<(), Error> {
        let Some((path, every)) = &self.0 else {
            return Ok(());
        };
        #[allow(clippy::cast_possible_truncation)] // only whether it is 0 matters
        let (name, value) = match *every {
            Every::Steps(steps) => ("steps of Every", steps.min(1) as usize),
            Every::Epochs(epochs) => ("epochs of Every", epochs),
        };
        require_some(name, value)?;
        check_folder(path)?;
        optimizer.state().map(drop)
    }

    /// Writes a checkpoint between two steps, if one is due or it is the `last` of the fit.
    pub(in crate::training) fn write_if_due<T: Real>(
        &self,
        engine: &Engine<T>,
        state: &State<T>,
        model: &SparseAutoencoder<T>,
        progress: &Progress<T, Measured<T>>,
        validation: Option<usize>,
        last: bool,
    ) -> Result<(), Error> {
        let Some((path, every)) = &self.0 else {
            return Ok(()); // another process writes
        };
        let due = match *every {
            Every::Steps(steps) => engine.steps.is_multiple_of(steps),
            Every::Epochs(epochs) => progress.done == 0 && progress.epochs.is_multiple_of(epochs),
        };
        if due || last {
            write(engine, state, model, Some(progress), validation, path)?;
        }
        Ok(())
    }
}

/// The tensors of a checkpoint beside those of the model.
#[derive(Default)]
struct Tensors<'a, T: Real>(Vec<Tensor<'a, T>>);

impl<'a, T: Real> Tensors<'a, T> {
    fn push(&mut self, name: &str, shape: &[usize], numbers: Numbers<'a, T>) {
        let (name, shape) = (name.to_owned(), shape.to_vec());
        self.0.push(Tensor {
            name,
            shape,
            numbers,
        });
    }

    fn counts(&mut self, name: &str, counts: &'a [usize]) {
        self.push(name, &[counts.len()], Numbers::Counts(counts.into()));
    }

    fn scalars(&mut self, name: &str, values: impl Into<Cow<'a, [T]>>) {
        let values = values.into();
        self.push(name, &[values.len()], Numbers::Scalars(values));
    }

    fn measured(&mut self, name: &str, measured: &[Measured<T>]) {
        let values: Vec<T> = measured.iter().flat_map(Measured::terms).collect();
        let numbers = Numbers::Scalars(values.into());
        self.push(name, &[measured.len(), TERMS], numbers);
        let l0 = measured.iter().map(|measured| measured.l0).collect();
        let numbers = Numbers::Doubles(l0);
        self.push(&format!("{name}.{L0}"), &[measured.len()], numbers);
    }

    fn optimizer(&mut self, state: &'a OptimizerState<'_, T>) {
        for (name, entry) in &state.entries {
            let name = format!("{OPTIMIZER}{name}");
            match entry {
                Entry::Number(value) => self.push(&name, &[], Numbers::Doubles(vec![*value])),
                Entry::Vector(values) => self.scalars(&name, &**values),
            }
        }
    }

    fn counters(&mut self, state: &'a State<T>, units: usize) {
        if let Some(controller) = state.controller.stored() {
            let numbers = Numbers::Doubles(controller.to_vec());
            self.push("set_point", &[OF_CONTROLLER], numbers);
        }
        if let Some(recent) = state.recent {
            self.measured("recent", &[recent]);
        }
        if state.idle.units() == units {
            self.counts("idle", state.idle.samples());
        }
    }

    fn progress(&mut self, progress: &'a Progress<T, Measured<T>>, dead_units: &'a [usize]) {
        self.counts("order", &progress.order);
        self.measured("mean", &[progress.mean]);
        self.measured("history", &progress.history);
        self.measured("validation", &progress.validation);
        self.counts("dead_units", dead_units);
        if let Some(loss) = progress.best.loss {
            self.push("best.loss", &[], Numbers::Scalars(vec![loss].into()));
            self.scalars("best.theta", &*progress.best.theta);
        }
    }
}

fn write<T: Real>(
    engine: &Engine<T>,
    state: &State<T>,
    model: &SparseAutoencoder<T>,
    progress: Option<&Progress<T, Measured<T>>>,
    validation: Option<usize>,
    path: &Path,
) -> Result<(), Error> {
    let optimizer = engine.optimizer.state()?;
    let prepared = engine.prepared == Some(model.layout().len());
    let training = json!({
        "settings": describe_settings::<T>(&engine.settings, validation),
        "optimizer": describe_optimizer(&optimizer),
        "prepared": prepared,
        "steps": engine.steps,
        // rand offers its state through serde only.
        "random": serde_json::to_value(&engine.rng).unwrap_or_default()["s"],
        "fit": progress.map(describe_progress),
    });
    let mut tensors = Tensors(Vec::new());
    if prepared {
        tensors.optimizer(&optimizer);
    }
    tensors.counters(state, model.layout().hidden_size());
    if let Some(progress) = progress {
        tensors.progress(progress, &state.idle.history);
    }
    write_file(path, model, &training, &tensors.0)
}

/// Describes every setting that affects the result, and the number of validation samples of the caller's own.
pub(super) fn describe_settings<T>(settings: &TrainerSettings, validation: Option<usize>) -> Value {
    let mut described = serde_json::to_value(settings).unwrap_or_default();
    described["scalar"] = json!(std::any::type_name::<T>());
    if let Some(samples) = validation {
        described["validation"] = json!(samples);
    }
    // Otherwise a finished fit may continue with more epochs.
    let depends_on_epochs = settings.schedule.is_some() || settings.anneals();
    if !depends_on_epochs {
        described["epochs"] = Value::Null;
    }
    described
}

fn describe_progress<T, L>(progress: &Progress<T, L>) -> Value {
    json!({
        "samples": progress.order.len(),
        "batches": progress.batches,
        "done": progress.done,
        "converged": progress.converged,
        "end": progress.end.map(|end| match end {
            StopReason::Converged => "converged",
            _ => "no improvement",
        }),
        "epochs": progress.epochs,
        "best_epoch": progress.best_epoch,
    })
}

pub(super) fn describe_optimizer<T: Real>(state: &OptimizerState<'_, T>) -> Value {
    let mut described = json!(state.settings);
    described["name"] = json!(state.optimizer);
    described
}
