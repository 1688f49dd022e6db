//! Checkpoints: what a training needs to go on, in one file.
//!
//! The program builds model and trainer as at the start, and [`Trainer::resume`] puts both where
//! they were: what is code (penalties, optimizers, observers) is never read from a file, and what is
//! a setting is compared.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Map, Value, json};

use super::dead_units::Idle;
use super::progress::{Best, Progress};
use super::set_point::Controller;
use super::{Report, StopReason, Trainer};
use crate::error::{Error, require};
use crate::format::atomic::remove_abandoned;
use crate::format::checkpoint::{Checkpoint, Numbers, Tensor, write};
use crate::format::json::Object;
use crate::format::own::describe;
use crate::objective::Loss;
use crate::optimizer::{Entry, State};
use crate::{Real, SparseAutoencoder};

/// How often a [`Trainer`] writes a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Every {
    /// After every so many steps, at least 1, also within an epoch.
    Steps(u64),
    /// After every so many epochs, at least 1.
    Epochs(usize),
}

/// Where checkpoints go.
#[derive(Debug, Clone)]
pub(super) struct Checkpoints {
    path: PathBuf,
    every: Every,
}

/// The prefix of what the optimizer keeps.
const OPTIMIZER: &str = "optimizer.";

impl<T: Real> Trainer<T> {
    /// Writes the state of a [`fit`](Self::fit) to this file, every so often and at its end, so that
    /// it can go on with [`resume`](Self::resume) after it was interrupted: parameters, what the
    /// optimizer remembers, the position, the random numbers, and whatever else lives from step to
    /// step. Each checkpoint replaces the one before in one step, once it is whole and on the disk, so
    /// that a process that is killed leaves one of them. Where the program starts again:
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
    /// assert_eq!(report.history.len(), 20); // of all epochs, before the interruption and after
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// The file is about as large as θ, what the optimizer remembers (two times θ for
    /// [`Adam`](crate::Adam)), and with [`patience`](Self::patience) the parameters of the best epoch.
    /// It is a model file too, which [`format::load`](crate::format::load) reads. Only one process
    /// may write it. [`partial_fit`](Self::partial_fit) writes none: see [`save`](Self::save).
    /// Classifiers refuse it, and so does [`Stack::fit`](crate::Stack::fit), which fits several models:
    /// fit its layers in turn.
    ///
    /// Of [several processes](Self::all_reduce), each writes a file of its own, or one of them writes; all of
    /// them go on from the same.
    ///
    /// A checkpoint that cannot be written ends the fit with the error. The model then has the
    /// parameters of the last step, and the next fit of this trainer goes on behind it.
    pub fn checkpoint(mut self, path: impl Into<PathBuf>, every: Every) -> Self {
        let path = path.into();
        self.checkpoints = Some(Checkpoints { path, every });
        self
    }

    /// Saves the model and the state of the trainer, for a stream of batches of your own to go on with
    /// [`resume`](Self::resume); [`steps_taken`](Self::steps_taken) then says how many of them were learned from.
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
    /// Between [`resume`](Self::resume) and the next fit, or after a checkpoint that could not be
    /// written, it has the position of the fit too.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written; a file that was there stays as it was.
    /// [`Error::Incompatible`] for an optimizer that does not say what to keep.
    pub fn save(&self, model: &SparseAutoencoder<T>, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(model, self.running.paused.as_ref(), path.as_ref())
    }

    /// Puts a model and this trainer, both built as at the start, where a checkpoint was made: the
    /// next [`fit`](Self::fit) with the same samples, or [`partial_fit`](Self::partial_fit) with the
    /// next batch, goes on from there, and what comes of it is the same, bit for bit, as without the
    /// interruption, on the same machine.
    ///
    /// All settings of model, trainer, and optimizer must be those of then, but for
    /// [`threads`](Self::threads), the checkpoints themselves, and, without schedule and annealing,
    /// [`epochs`](Self::epochs): a fit that has come to its end can be given more of them. A penalty of
    /// your own is compared by what `Debug` says of it. Of the samples only the number is compared.
    ///
    /// The observer is not told again of epochs that are done; the report has them all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if it is no checkpoint or is
    /// damaged, [`Error::Unsupported`] for a later version, [`Error::OtherSetting`] for settings that
    /// are not those of then, [`Error::Incompatible`] for an optimizer that does not say what to keep.
    /// Model and trainer then stay as they were.
    pub fn resume(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        path: impl AsRef<Path>,
    ) -> Result<(), Error> {
        let mut file = Checkpoint::open(path.as_ref())?;
        self.compare(model, &file)?;

        let training = file.training.clone();
        let count = |key| training.required(key, training.count(key)?);
        let steps = count("steps")? as u64;
        let rng = random(&training, &file)?;
        let theta = file.theta(model.layout())?;
        let controller = if file.has("set_point") {
            Controller::restored(&file.scalars("set_point", &[4])?)
        } else {
            Controller::default()
        };
        let idle = match &self.dead_units {
            Some(dead_units) if file.has("idle") => {
                let samples = file.counts("idle", &[model.layout().hidden()])?;
                Idle::restored(samples, dead_units)
            }
            _ => Idle::default(),
        };
        let mut paused = match training.object("fit")? {
            Some(fit) => Some(self.read_progress(&fit, &mut file, theta.len())?),
            None => None,
        };
        let weight = file.model.number("penalty_weight")?;
        let weight = T::of(file.model.required("penalty_weight", weight)?);

        let prepared = training.required("prepared", training.flag("prepared")?)?;
        if paused.is_some() && !prepared {
            return Err(file.malformed("the position of a fit without its optimizer"));
        }
        if prepared {
            let state = read_state(&mut file, &training)?;
            self.optimizer.restore(theta.len(), state)?;
        }
        model.objective_mut().penalty_weight = weight;
        let (_, parameters) = model.objective_and_parameters();
        parameters.theta_mut().copy_from_slice(&theta);
        if let Some(progress) = paused
            .as_mut()
            .filter(|progress| progress.report.epochs > 0)
        {
            progress.report.set_point = controller.state(weight);
        }
        let running = &mut self.running;
        running.prepared = prepared.then_some(theta.len());
        (running.steps, running.paused, running.rng) = (steps, paused, rng);
        (running.controller, running.idle) = (controller, idle);
        Ok(())
    }

    /// Refuses, before anything is learned, checkpoints that could not be written.
    pub(super) fn check_checkpoints(&self) -> Result<(), Error> {
        let Some(Checkpoints { path, every }) = &self.checkpoints else {
            return Ok(());
        };
        #[allow(clippy::cast_possible_truncation)] // only whether it is 0 matters
        let (name, value) = match *every {
            Every::Steps(steps) => ("steps of Every", steps.min(1) as usize),
            Every::Epochs(epochs) => ("epochs of Every", epochs),
        };
        require(value >= 1, name, "at least 1", f64::of_count(value))?;
        let _ = self.optimizer.state()?;
        remove_abandoned(path);
        Ok(())
    }

    /// Writes a checkpoint between two steps, if one is due or it is the `last` of the fit. If it
    /// cannot be written, the fit is paused here.
    pub(super) fn keep(
        &mut self,
        model: &SparseAutoencoder<T>,
        progress: Progress<T>,
        last: bool,
    ) -> Result<Progress<T>, Error> {
        let Some(Checkpoints { path, every }) = &self.checkpoints else {
            return Ok(progress);
        };
        let due = match *every {
            Every::Steps(steps) => self.running.steps.is_multiple_of(steps),
            Every::Epochs(epochs) => {
                progress.done == 0 && progress.report.epochs.is_multiple_of(epochs)
            }
        };
        if (due || last)
            && let Err(error) = self.write(model, Some(&progress), path)
        {
            self.running.paused = Some(progress);
            if !last {
                self.give_up();
            }
            return Err(error);
        }
        Ok(progress)
    }

    fn write(
        &self,
        model: &SparseAutoencoder<T>,
        progress: Option<&Progress<T>>,
        path: &Path,
    ) -> Result<(), Error> {
        let running = &self.running;
        let state = self.optimizer.state()?;
        let prepared = running.prepared == Some(model.layout().len());
        let training = json!({
            "settings": self.settings(),
            "optimizer": optimizer(&state),
            "prepared": prepared,
            "steps": running.steps,
            // rand gives it to serde alone.
            "random": serde_json::to_value(&running.rng).unwrap_or_default()["s"],
            "fit": progress.map(describe_progress),
        });
        let mut tensors = Vec::new();
        let mut keep = |name: &str, shape: &[usize], numbers| {
            let (name, shape) = (name.to_owned(), shape.to_vec());
            tensors.push(Tensor {
                name,
                shape,
                numbers,
            });
        };
        if prepared {
            for (name, entry) in &state.entries {
                let name = format!("{OPTIMIZER}{name}");
                match entry {
                    Entry::Number(value) => keep(&name, &[], Numbers::Doubles(vec![*value])),
                    Entry::Vector(values) => {
                        let borrowed = Numbers::Scalars(Cow::Borrowed(&**values));
                        keep(&name, &[values.len()], borrowed);
                    }
                }
            }
        }
        if let Some(controller) = running.controller.kept() {
            keep("set_point", &[4], Numbers::Doubles(controller.to_vec()));
        }
        let idle = running.idle.samples();
        if idle.len() == model.layout().hidden() {
            keep("idle", &[idle.len()], Numbers::Counts(idle.into()));
        }
        if let Some(progress) = progress {
            let report = &progress.report;
            let order = &progress.order;
            keep("order", &[order.len()], Numbers::Counts(order.into()));
            keep(
                "mean",
                &[4],
                Numbers::Scalars(terms(&[progress.mean]).into()),
            );
            for (name, losses) in [
                ("history", &report.history),
                ("validation", &report.validation),
            ] {
                let shape = [losses.len(), 4];
                keep(name, &shape, Numbers::Scalars(terms(losses).into()));
            }
            let dead = &report.dead_units;
            keep("dead_units", &[dead.len()], Numbers::Counts(dead.into()));
            if let Some(loss) = progress.best.loss {
                let theta = &progress.best.theta;
                keep("best.loss", &[], Numbers::Scalars(vec![loss].into()));
                keep("best.theta", &[theta.len()], Numbers::Scalars(theta.into()));
            }
        }
        write(path, model, &training, &tensors)
    }

    /// Whatever the user has set that makes a difference to the result.
    fn settings(&self) -> Value {
        // A schedule and what is annealed are stretched over all epochs.
        let stretched = self.schedule.is_some() || self.annealing.is_set();
        json!({
            "scalar": std::any::type_name::<T>(),
            "epochs": stretched.then_some(self.epochs),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "validation_split": self.validation_split,
            "patience": self.patience,
            "schedule": self.schedule,
            "clip_gradient": self.clip_gradient,
            "unit_norm_decoder": self.unit_norm_decoder,
            "sparsity_warm_up": self.annealing.sparsity,
            "anneal_k": self.annealing.k,
            "set_point": self.set_point,
            "dead_units": self.dead_units,
            "corruption": self.corruption,
        })
    }

    /// Refuses a checkpoint of other settings.
    fn compare(&self, model: &SparseAutoencoder<T>, file: &Checkpoint) -> Result<(), Error> {
        let state = self.optimizer.state()?;
        let part = |key| file.training.required(key, file.training.object(key)?);
        compare(file, "", &part("settings")?, &self.settings())?;
        let saved = part("optimizer")?;
        compare(file, "optimizer.", &saved, &optimizer(&state))?;
        let mut given = describe(model);
        if self.set_point.is_some() {
            // The controller has moved it, and the checkpoint knows where to.
            given["penalty_weight"] = json!(file.model.number("penalty_weight")?);
        }
        compare(file, "model.", &file.model, &given)
    }

    fn read_progress(
        &self,
        fit: &Object,
        file: &mut Checkpoint,
        parameters: usize,
    ) -> Result<Progress<T>, Error> {
        let count = |key| fit.required(key, fit.count(key)?);
        let [samples, batches, done, epochs, best_epoch] =
            ["samples", "batches", "done", "epochs", "best_epoch"].map(count);
        let (batches, done, epochs, best_epoch) = (batches?, done?, epochs?, best_epoch?);
        let accepted = done <= batches && best_epoch <= epochs;
        if !accepted {
            return Err(file.malformed("a position beyond the end"));
        }
        let history = losses(&file.scalars("history", &[epochs, 4])?);
        let reported = |is_set: bool| if is_set { epochs } else { 0 };
        let validated = reported(self.validation_split > 0.0);
        let counted = reported(self.dead_units.is_some());
        let mut best = Best::default();
        if file.has("best.loss") {
            best.epoch = best_epoch;
            best.loss = file.scalars("best.loss", &[])?.pop();
            best.theta = file.scalars("best.theta", &[parameters])?;
            if !crate::kernel::all_finite(&best.theta) {
                return Err(file.malformed("best.theta must be finite"));
            }
        }
        let order = file.counts("order", &[samples?])?;
        let mean = losses(&file.scalars("mean", &[4])?);
        Ok(Progress {
            parameters,
            order,
            batches,
            done,
            mean: mean.first().copied().unwrap_or(Loss::zero()),
            converged: fit.required("converged", fit.flag("converged")?)?,
            end: match fit.text("end")? {
                None => None,
                Some("converged") => Some(StopReason::Converged),
                Some("no improvement") => Some(StopReason::NoImprovement),
                Some(other) => return Err(file.malformed(format!("the end {other}"))),
            },
            best,
            report: Report {
                stop: StopReason::EpochLimit,
                epochs,
                best_epoch,
                history,
                validation: losses(&file.scalars("validation", &[validated, 4])?),
                dead_units: file.counts("dead_units", &[counted])?,
                set_point: None,
            },
        })
    }
}

fn describe_progress<T>(progress: &Progress<T>) -> Value {
    json!({
        "samples": progress.order.len(),
        "batches": progress.batches,
        "done": progress.done,
        "converged": progress.converged,
        "end": progress.end.map(|end| match end {
            StopReason::Converged => "converged",
            _ => "no improvement",
        }),
        "epochs": progress.report.epochs,
        "best_epoch": progress.report.best_epoch,
    })
}

fn optimizer<T: Real>(state: &State<'_, T>) -> Value {
    let mut described = json!(state.settings);
    described["name"] = json!(state.optimizer);
    described
}

/// What the optimizer of a checkpoint has kept.
fn read_state<T: Real>(
    file: &mut Checkpoint,
    training: &Object,
) -> Result<State<'static, T>, Error> {
    let described = training.required("optimizer", training.object("optimizer")?)?;
    let mut state = State::new(described.text("name")?.unwrap_or_default());
    state.path = Some(file.path().to_owned());
    for (name, shape) in file.under(OPTIMIZER) {
        let tensor = format!("{OPTIMIZER}{name}");
        let entry = if shape.is_empty() {
            Entry::Number(file.scalars(&tensor, &shape)?[0])
        } else {
            Entry::Vector(file.scalars(&tensor, &shape)?.into())
        };
        state.entries.insert(name, entry);
    }
    Ok(state)
}

/// The generator of random numbers.
fn random(training: &Object, file: &Checkpoint) -> Result<Xoshiro256PlusPlus, Error> {
    let words = training.list("random")?.unwrap_or_default();
    let mut seed = [0; 32];
    let (places, _) = seed.as_chunks_mut::<8>();
    for (place, word) in places.iter_mut().zip(words) {
        *place = word.as_u64().unwrap_or(0).to_le_bytes();
    }
    if words.len() != 4 || !words.iter().all(Value::is_u64) {
        return Err(file.malformed("random must be four numbers of 64 bits"));
    }
    Ok(Xoshiro256PlusPlus::from_seed(seed))
}

/// Refuses settings that are not those of the checkpoint.
fn compare(file: &Checkpoint, of: &str, saved: &Object, given: &Value) -> Result<(), Error> {
    let none = Map::new();
    let given = given.as_object().unwrap_or(&none);
    let saved_names = saved.fields().keys();
    let (absent, unset) = (Value::Null, "not set".to_owned());
    for name in given.keys().chain(saved_names) {
        let [saved, given] = [saved.fields(), given].map(|map| map.get(name).unwrap_or(&absent));
        if saved != given {
            let text = |value: &Value| match value {
                Value::Null => unset.clone(),
                value => value.to_string(),
            };
            return Err(Error::OtherSetting {
                path: file.path().to_owned(),
                setting: format!("{of}{name}"),
                saved: text(saved),
                given: text(given),
            });
        }
    }
    Ok(())
}

/// The terms of losses, one after the other.
fn terms<T: Real>(losses: &[Loss<T>]) -> Vec<T> {
    let terms = |loss: &Loss<T>| {
        [
            loss.reconstruction,
            loss.weight_decay,
            loss.sparsity,
            loss.auxiliary,
        ]
    };
    losses.iter().flat_map(terms).collect()
}

fn losses<T: Real>(terms: &[T]) -> Vec<Loss<T>> {
    let loss = |&[reconstruction, weight_decay, sparsity, auxiliary]: &[T; 4]| Loss {
        reconstruction,
        weight_decay,
        sparsity,
        auxiliary,
    };
    terms.as_chunks().0.iter().map(loss).collect()
}
