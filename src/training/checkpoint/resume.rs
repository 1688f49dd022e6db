//! Resuming from a checkpoint. The whole file is read and compared before anything changes.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Map, Value};

use super::counters::OF_CONTROLLER;
use super::file::{L0, OPTIMIZER, describe_optimizer, describe_settings};
use crate::error::Error;
use crate::files::checkpoint_file::Checkpoint;
use crate::files::json::Object;
use crate::files::own::describe;
use crate::optimizer::{Entry, State};
use crate::training::dead_units::Idle;
use crate::training::epochs::Terms;
use crate::training::measured::{Measured, TERMS};
use crate::training::progress::{Best, Progress};
use crate::training::sparsity::Controller;
use crate::training::{StopReason, Trainer};
use crate::{Real, SparseAutoencoder};

/// More steps than any training takes. Those of the next trainings can be added.
const MOST_STEPS: u64 = 1 << 53;

/// The setting that calibration finds. A freshly built model may lack it.
const BANDWIDTH: &str = "bandwidth";

impl<T: Real> Trainer<T> {
    /// Restores a model and this trainer, both built as at the start, from a checkpoint.
    ///
    /// The next [`fit`](Self::fit) with the same samples, or [`partial_fit`](Self::partial_fit) with the
    /// next batch, continues from there. On the same machine the result has the same bits as without the
    /// interruption.
    ///
    /// The settings of model, trainer, and optimizer must match the checkpoint, except
    /// [`threads`](Self::threads) and [`checkpoint`](Self::checkpoint). Without schedule and annealing,
    /// [`epochs`](Self::epochs) may differ, so that a finished fit can run for more epochs. A penalty of
    /// your own is compared by its `Debug` text, samples by their number only.
    ///
    /// A model whose builder has set no [bandwidth](crate::SparseAutoencoderBuilder::bandwidth) takes the one of the
    /// checkpoint, which [calibration](SparseAutoencoder::calibrate_thresholds) may have found. Every model takes the
    /// seed of the checkpoint.
    ///
    /// The observer sees only the remaining steps and epochs. The report covers all of them.
    ///
    /// # Errors
    ///
    /// These leave model and trainer unchanged:
    ///
    /// - [`Error::Io`] if the file cannot be read.
    /// - [`Error::Malformed`] if it is damaged or not a checkpoint.
    /// - [`Error::Unsupported`] for another version.
    /// - [`Error::OtherSetting`] for a setting that does not match.
    /// - [`Error::Incompatible`] for an optimizer without [`state`](crate::Optimizer::state).
    pub fn resume(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        path: impl AsRef<Path>,
    ) -> Result<(), Error> {
        let mut file = Checkpoint::open(path.as_ref())?;
        if let Err(error) = file.check_layout(model.layout()) {
            self.compare(model, &file)?; // names the setting that differs
            return Err(error);
        }
        file.check_sum()?;
        self.compare(model, &file)?;

        let training = file.training.clone();
        let count = |key| training.required(key, training.count(key)?);
        let steps = count("steps")? as u64;
        if steps > MOST_STEPS {
            return Err(file.malformed("steps must be at most 2^53"));
        }
        let rng = random(&training, &file)?;
        let theta = file.theta(model.layout())?;
        let settings = &self.engine.settings;
        let controller = read_controller(&mut file)?;
        let recent = match file.has("recent") {
            true => read_measured(&mut file, "recent", 1)?.pop(),
            false => None,
        };
        let validates = settings.validation_split > 0.0 || self.validation.is_some();
        let paused = match training.object("fit")? {
            Some(fit) => {
                let progress = read_progress(validates, &fit, &mut file, theta.len())?;
                Some(progress.pause_at(&theta))
            }
            None => None,
        };
        let mut idle = Idle::default();
        if model.objective().vanishes() && (paused.is_some() || file.has("idle")) {
            let units = model.layout().hidden_size();
            idle = Idle::new(file.counts("idle", &[units])?);
            if let Some(dead_units) = settings.dead_units {
                idle.count(units, Some(dead_units.idle_samples()));
            }
            if let Some(progress) = &paused {
                idle.history = file.counts("dead_units", &[progress.epochs])?;
            }
        }

        let prepared = training.required("prepared", training.flag("prepared")?)?;
        if paused.is_some() && !prepared {
            return Err(file.malformed("the position of a fit without its optimizer"));
        }
        if prepared {
            let state = read_state(&mut file, &training)?;
            let learned = model.layout().learned();
            self.engine.optimizer.restore(learned, state)?;
        }
        let (_, parameters) = model.objective_and_parameters();
        parameters.theta_mut().copy_from_slice(&theta);
        model.take_over(&file.settings);
        self.engine.prepared = prepared.then_some(theta.len());
        (self.engine.steps, self.engine.rng) = (steps, rng);
        (self.state.controller, self.state.idle) = (controller, idle);
        self.state.recent = recent;
        (self.paused, self.agreed) = (paused, false);
        Ok(())
    }

    /// Refuses a checkpoint with other settings.
    fn compare(&self, model: &SparseAutoencoder<T>, file: &Checkpoint) -> Result<(), Error> {
        let state = self.engine.optimizer.state()?;
        let part = |key| file.training.required(key, file.training.object(key)?);
        let given = describe_settings::<T>(&self.engine.settings, self.own_validation());
        let saved = part("settings")?;
        compare(file, "", &saved, &given)?;
        let saved = part("optimizer")?;
        compare(file, "optimizer.", &saved, &describe_optimizer(&state))?;
        let open = model.objective().bandwidth_is_open();
        let mut model = describe(model);
        if let (true, Some(saved)) = (open, file.model.get(BANDWIDTH)) {
            let width = saved.as_f64().map_or(0.0, |width| T::of(width).to_f64());
            if !(width > 0.0 && width.is_finite()) {
                return Err(file.malformed("bandwidth must be finite and above 0"));
            }
            model[BANDWIDTH] = saved.clone(); // which the model takes over
        }
        compare(file, "model.", &file.model, &model)
    }
}

/// Reads the position of a fit of a model with `parameters` parameters.
fn read_progress<T: Real>(
    validates: bool,
    fit: &Object,
    file: &mut Checkpoint,
    parameters: usize,
) -> Result<Progress<T, Measured<T>>, Error> {
    let count = |key| fit.required(key, fit.count(key)?);
    let [samples, batches, done, epochs, best_epoch] =
        ["samples", "batches", "done", "epochs", "best_epoch"].map(count);
    let (batches, done, epochs, best_epoch) = (batches?, done?, epochs?, best_epoch?);
    let accepted = done <= batches && best_epoch <= epochs;
    if !accepted {
        return Err(file.malformed("a position beyond the end"));
    }
    let history = read_measured(file, "history", epochs)?;
    let validation = read_measured(file, "validation", if validates { epochs } else { 0 })?;
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
    let mean = read_measured(file, "mean", 1)?;
    Ok(Progress {
        done,
        mean: mean.first().copied().unwrap_or(Measured::zero()),
        converged: fit.required("converged", fit.flag("converged")?)?,
        end: match fit.text("end")? {
            None => None,
            Some("converged") => Some(StopReason::Converged),
            Some("no improvement") => Some(StopReason::NoImprovement),
            Some(other) => return Err(file.malformed(format!("the end {other}"))),
        },
        best,
        epochs,
        best_epoch,
        history,
        validation,
        ..Progress::new(parameters, order, batches)
    })
}

/// Reads the controller, if it had started.
fn read_controller<T: Real>(file: &mut Checkpoint) -> Result<Controller<T>, Error> {
    if !file.has("set_point") {
        return Ok(Controller::default());
    }
    let numbers = file.scalars::<f64>("set_point", &[OF_CONTROLLER])?;
    match <[f64; OF_CONTROLLER]>::try_from(numbers) {
        Ok(numbers) if crate::linalg::all_finite(&numbers) => Ok(Controller::restored(numbers)),
        _ => Err(file.malformed("set_point must be finite")),
    }
}

/// Reads the state of the optimizer.
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

/// Reads the state of the random number generator.
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

/// Refuses settings that differ from the checkpoint.
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

/// Reads what was measured `count` times.
fn read_measured<T: Real>(
    file: &mut Checkpoint,
    name: &str,
    count: usize,
) -> Result<Vec<Measured<T>>, Error> {
    let terms: Vec<T> = file.scalars(name, &[count, TERMS])?;
    let l0 = file.scalars(&format!("{name}.{L0}"), &[count])?;
    let measured = terms.as_chunks().0.iter().zip(l0);
    let measured = measured.map(|(&terms, l0)| Measured {
        l0,
        ..Measured::from_terms(terms)
    });
    Ok(measured.collect())
}
