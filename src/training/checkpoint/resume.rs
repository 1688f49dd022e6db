//! The way back: a checkpoint is read as a whole, and compared, before anything is set.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Map, Value, json};

use super::{OPTIMIZER, optimizer};
use crate::error::Error;
use crate::files::checkpoint::Checkpoint;
use crate::files::json::Object;
use crate::files::own::describe;
use crate::objective::Loss;
use crate::optimizer::{Entry, State};
use crate::training::dead_units::Idle;
use crate::training::progress::{Best, Progress};
use crate::training::set_point::Controller;
use crate::training::{Report, StopReason, Trainer};
use crate::{Real, SparseAutoencoder};

impl<T: Real> Trainer<T> {
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
        if let Err(error) = file.check_layout(model.layout()) {
            self.compare(model, &file)?; // says which setting it is
            return Err(error);
        }
        file.check_sum()?;
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
            let mut state = read_state(&mut file, &training)?;
            let learned = model.layout().learned();
            state.shorten(theta.len(), learned);
            self.optimizer.restore(learned, state)?;
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
        running.agreed = false;
        Ok(())
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
            if !crate::linalg::all_finite(&best.theta) {
                return Err(file.malformed("best.theta must be finite"));
            }
        }
        let order = file.counts("order", &[samples?])?;
        let mean = losses(&file.scalars("mean", &[4])?);
        Ok(Progress {
            parameters,
            samples: order.len(),
            kept: false,
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
                warnings: Vec::new(),
            },
        })
    }
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

fn losses<T: Real>(terms: &[T]) -> Vec<Loss<T>> {
    let loss = |&[reconstruction, weight_decay, sparsity, auxiliary]: &[T; 4]| Loss {
        reconstruction,
        weight_decay,
        sparsity,
        auxiliary,
    };
    terms.as_chunks().0.iter().map(loss).collect()
}
