//! Checkpoints: what a training needs to go on, in one file.
//!
//! The program builds model and trainer as at the start, and [`Trainer::resume`] puts both where
//! they were: what is code (penalties, optimizers, observers) is never read from a file, and what is
//! a setting is compared.

mod resume;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::Progress;
use super::{StopReason, Trainer};
use crate::error::{Error, require};
use crate::files::checkpoint::{Numbers, Tensor, write};
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
    /// It is a model file too, which [`format::load`](crate::files::load) reads. Only one process
    /// may write it. [`partial_fit`](Self::partial_fit) writes none: see [`save`](Self::save).
    /// Classifiers refuse it, and so does [`Stack::fit`](crate::Stack::fit), which fits several models:
    /// fit its layers in turn.
    ///
    /// Of [several processes](Self::all_reduce), each writes a file of its own, or one of them writes, and
    /// all with as many samples resume from it. All of them must resume at the same step: else the fit is
    /// refused.
    ///
    /// A checkpoint that cannot be written ends the fit with the error, in all processes. The model then
    /// has the parameters of the last step, and the next fit of this trainer goes on behind it.
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

    /// Refuses, before anything is learned, checkpoints that could not be written.
    pub(super) fn check_checkpoints(&self) -> Result<(), Error> {
        let Some(Checkpoints { every, .. }) = &self.checkpoints else {
            return Ok(());
        };
        #[allow(clippy::cast_possible_truncation)] // only whether it is 0 matters
        let (name, value) = match *every {
            Every::Steps(steps) => ("steps of Every", steps.min(1) as usize),
            Every::Epochs(epochs) => ("epochs of Every", epochs),
        };
        require(value >= 1, name, "at least 1", f64::of_count(value))?;
        self.optimizer.state().map(|_| ())
    }

    /// Writes a checkpoint between two steps, if one is due or it is the `last` of the fit. If it
    /// cannot be written, the fit is paused here, in all processes.
    pub(super) fn keep(
        &mut self,
        model: &SparseAutoencoder<T>,
        progress: Progress<T>,
        last: bool,
    ) -> Result<Progress<T>, Error> {
        if !progress.kept {
            return Ok(progress);
        }
        let written = self.write_if_due(model, &progress, last);
        if let Err(error) = self.unless_elsewhere(written) {
            self.running.paused = Some(progress);
            return Err(error);
        }
        Ok(progress)
    }

    fn write_if_due(
        &self,
        model: &SparseAutoencoder<T>,
        progress: &Progress<T>,
        last: bool,
    ) -> Result<(), Error> {
        let Some(Checkpoints { path, every }) = &self.checkpoints else {
            return Ok(()); // another process writes
        };
        let due = match *every {
            Every::Steps(steps) => self.running.steps.is_multiple_of(steps),
            Every::Epochs(epochs) => {
                progress.done == 0 && progress.report.epochs.is_multiple_of(epochs)
            }
        };
        if due || last {
            self.write(model, Some(progress), path)?;
        }
        Ok(())
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
