//! The learner of autoencoders, which takes the steps of the loop over epochs.

use std::ops::ControlFlow;
use std::sync::Arc;

use nalgebra::{DMatrix, DMatrixView};

use super::Epoch;
use super::baseline::Baseline;
use super::checkpoint::Checkpoints;
use super::dead_units::resample;
use super::distributed::{Processes, average};
use super::engine::Engine;
use super::epochs::{Learner, Taken};
use super::measured::Measured;
use super::observer::{Event, Step};
use super::progress::Progress;
use super::reading::{Reader, Upcoming};
use super::step::Stepper;
use crate::error::Error;
use crate::objective::{Batch, Pass};
use crate::{Real, Samples};

/// The fit of an autoencoder.
pub(super) struct Fit<'a, T: Real, O> {
    pub(super) stepper: Stepper<'a, T>,
    pub(super) checkpoints: &'a Checkpoints,
    /// Whether any process writes checkpoints.
    pub(super) kept: bool,
    pub(super) samples: &'a dyn Samples<T>,
    pub(super) reader: Reader<T>,
    pub(super) held_out: Option<Arc<DMatrix<T>>>,
    pub(super) baseline: Option<Baseline>,
    pub(super) baseline_held_out: Option<Baseline>,
    pub(super) observer: O,
    /// Whether the observer of any process sees steps.
    pub(super) steps_observed: bool,
}

impl<T: Real, O> Fit<'_, T, O> {
    /// Returns the number of dead units, if they are counted.
    fn dead_units(&self) -> Option<usize> {
        let idle = &self.stepper.state.idle;
        (idle.units() > 0).then_some(idle.dead.len())
    }

    fn explained_variance(&self, of: Measured<T>) -> Option<f64> {
        self.baseline?.explained_variance(of.full)
    }
}

/// Passes `event` to the observer. Returns whether that of any process stops the fit, or the error of any.
fn observe<T: Real>(
    mut observer: impl FnMut(&Event<'_, T>) -> Result<ControlFlow<()>, Error>,
    processes: &Processes<T>,
    event: &Event<'_, T>,
) -> Result<bool, Error> {
    let verdict = processes.or_give_up(observer(event))?;
    processes.anywhere(verdict.is_break())
}

impl<T: Real, O> Learner<T> for Fit<'_, T, O>
where
    O: FnMut(&Event<'_, T>) -> Result<ControlFlow<()>, Error>,
{
    type Loss = Measured<T>;

    fn step(
        &mut self,
        engine: &mut Engine<T>,
        upcoming: Upcoming<'_>,
        fraction: f64,
    ) -> Result<Taken<Measured<T>>, Error> {
        let fraction = Some(fraction);
        let whole = self.samples.in_memory();
        if let Some(samples) = whole.filter(|_| upcoming.count == self.samples.count()) {
            return self.stepper.step(engine, samples, fraction).map(exact);
        }
        let model = &*self.stepper.model;
        let threads = self.stepper.state.workspace.scratch.take_threads();
        let check = |samples: DMatrixView<'_, T>| model.check_training_samples(samples);
        let read = self.reader.read(self.samples, upcoming, threads, &check);
        let batch = self.stepper.processes.or_give_up(read)?;
        self.stepper.step(engine, batch, fraction).map(exact)
    }

    fn validate(&mut self) -> Result<Option<Measured<T>>, Error> {
        let Some(samples) = &self.held_out else {
            return Ok(None);
        };
        let Stepper {
            model,
            state,
            processes,
        } = &mut self.stepper;
        let samples = samples.as_view();
        let mut batch = Batch::of(&samples, model.layout());
        batch.shares = processes.shares(samples.ncols())?;
        let objective = model.objective();
        let now = state.controller.apply(objective.now());
        let theta = model.parameters().as_slice();
        let pass = Pass::training(objective, model.layout(), theta, now);
        let loss = pass.evaluate(batch, None, &mut state.workspace);
        let mut measured = Measured::new(loss, model.layout(), &state.workspace);
        let mut count = samples.ncols();
        if let Some(shares) = &batch.shares {
            average(shares, &mut measured, None);
            count = shares.samples();
        }
        Ok(Some(measured.on(count)))
    }

    fn observe_step(
        &mut self,
        engine: &Engine<T>,
        progress: &Progress<T, Measured<T>>,
        measured: Measured<T>,
    ) -> Result<bool, Error> {
        if !self.steps_observed {
            return Ok(false);
        }
        let explained_variance = self.explained_variance(measured);
        let dead_units = self.dead_units();
        let Stepper {
            model,
            state,
            processes,
        } = &self.stepper;
        let step = Event::Step(Step {
            number: engine.steps,
            of: progress.steps_of(engine.settings.epochs),
            epoch: progress.epochs + 1,
            samples: progress.seen,
            loss: measured.loss,
            l0: measured.l0_of(model),
            explained_variance,
            dead_units,
            learning_rate: engine.optimizer.learning_rate(),
            penalty_weight: state.penalty_weight,
            set_point: state.controller.state(),
            model,
        });
        observe(&mut self.observer, processes, &step)
    }

    fn observe_epoch(
        &mut self,
        engine: &Engine<T>,
        progress: &Progress<T, Measured<T>>,
        validation: Option<Measured<T>>,
    ) -> Result<bool, Error> {
        let measured = progress.mean;
        let explained_variance = self.explained_variance(measured);
        let of_held_out = self.baseline_held_out.as_ref();
        let validation_explained_variance =
            validation.and_then(|of| of_held_out?.explained_variance(of.full));
        let dead_units = self.dead_units();
        let Stepper {
            model,
            state,
            processes,
        } = &mut self.stepper;
        state.idle.history.extend(dead_units);
        let epoch = Event::Epoch(Epoch {
            number: progress.epochs + 1,
            of: engine.settings.epochs,
            steps: engine.steps,
            samples: progress.seen,
            loss: measured.loss,
            validation_loss: validation.map(|of| of.loss),
            l0: measured.l0_of(model),
            explained_variance,
            validation_l0: validation.and_then(|of| of.l0_of(model)),
            validation_explained_variance,
            dead_units,
            learning_rate: engine.optimizer.learning_rate(),
            penalty_weight: state.penalty_weight,
            set_point: state.controller.state(),
            model,
        });
        observe(&mut self.observer, processes, &epoch)
    }

    fn theta(&self) -> &[T] {
        self.stepper.model.parameters().as_slice()
    }

    fn theta_mut(&mut self) -> &mut [T] {
        let (_, parameters) = self.stepper.model.objective_and_parameters();
        parameters.theta_mut()
    }

    /// Resamples dead units if they are due after these epochs.
    fn begin_epoch(
        &mut self,
        engine: &mut Engine<T>,
        epochs_done: usize,
        order: &[usize],
    ) -> Result<(), Error> {
        let Stepper { model, state, .. } = &mut self.stepper;
        let dead_units = engine.settings.dead_units;
        let due = dead_units.is_some_and(|dead| dead.resamples_after(epochs_done));
        if !due || state.idle.dead.is_empty() {
            return Ok(());
        }
        let (optimizer, rng) = (&mut *engine.optimizer, &mut engine.rng);
        let (dead, workspace) = (&state.idle.dead, &mut state.workspace);
        let replaced = resample(dead, model, self.samples, order, optimizer, rng, workspace)?;
        state.idle.revive(&replaced);
        Ok(())
    }

    fn or_give_up(&self, done: Result<(), Error>) -> Result<(), Error> {
        self.stepper.processes.or_give_up(done)
    }

    fn keep(
        &mut self,
        engine: &Engine<T>,
        progress: &Progress<T, Measured<T>>,
        last: bool,
    ) -> Result<(), Error> {
        if !self.kept {
            return Ok(());
        }
        let Stepper {
            model,
            state,
            processes,
        } = &self.stepper;
        let checkpoints = self.checkpoints;
        let own = self.held_out.as_ref();
        let own = own.filter(|_| engine.settings.validation_split == 0.0);
        let validation = own.map(|samples| samples.ncols());
        let written = checkpoints.write_if_due(engine, state, model, progress, validation, last);
        processes.or_fail_together(written)
    }
}

/// Returns a step whose L0 is a count divided by the samples of the step.
fn exact<T: Real>(step: Taken<Measured<T>>) -> Taken<Measured<T>> {
    let loss = step.loss.on(step.samples);
    Taken { loss, ..step }
}
