//! The learner of autoencoders, which takes the steps of the loop over epochs.

use std::ops::ControlFlow;

use nalgebra::{DMatrix, DMatrixView};

use super::baseline::Baseline;
use super::checkpoint::Checkpoints;
use super::dead_units::resample;
use super::distributed::average;
use super::engine::Engine;
use super::epochs::{Learner, Place, Taken};
use super::measured::Measured;
use super::progress::Progress;
use super::step::Stepper;
use super::{Epoch, Settings, reading};
use crate::error::Error;
use crate::linalg::Aligned;
use crate::objective::{Batch, Pass};
use crate::{Real, Samples};

/// The fit of an autoencoder.
pub(super) struct Fit<'a, T: Real, O> {
    pub(super) stepper: Stepper<'a, T>,
    pub(super) checkpoints: &'a Checkpoints,
    /// Whether any process writes checkpoints.
    pub(super) kept: bool,
    pub(super) samples: &'a dyn Samples<T>,
    /// A buffer for the samples of a batch.
    pub(super) batch: &'a mut Aligned<T>,
    pub(super) held_out: Option<DMatrix<T>>,
    pub(super) baseline: Option<Baseline>,
    pub(super) observer: O,
}

impl<T: Real, O: FnMut(&Epoch<'_, T>) -> ControlFlow<()>> Learner<T> for Fit<'_, T, O> {
    type Loss = Measured<T>;

    fn step(
        &mut self,
        engine: &mut Engine<T>,
        chosen: &[usize],
        at: Place,
    ) -> Result<Taken<Measured<T>>, Error> {
        let whole = self.samples.in_memory();
        if let Some(samples) = whole.filter(|_| chosen.len() == self.samples.count()) {
            return self.stepper.step(engine, samples, at);
        }
        let model = &*self.stepper.model;
        let rows = model.layout().input_size();
        self.batch.grow(rows * chosen.len());
        let batch = &mut self.batch[..rows * chosen.len()];
        let threads = self.stepper.state.workspace.scratch.take_threads();
        let read = reading::read(model, self.samples, chosen, batch, threads);
        self.stepper.processes.or_give_up(read)?;
        let batch = DMatrixView::from_slice(batch, rows, chosen.len());
        self.stepper.step(engine, batch, at)
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
        let mut batch = Batch::from(samples.as_view());
        batch.shares = processes.shares(samples.ncols())?;
        let objective = model.objective();
        let now = state.controller.apply(objective.now());
        let theta = model.parameters().as_slice();
        let pass = Pass::training(objective, model.layout(), theta, now);
        let loss = pass.evaluate(batch, None, &mut state.workspace);
        let mut measured = Measured::new(loss, model.layout(), &state.workspace);
        if let Some(shares) = &batch.shares {
            average(shares, &mut measured, None);
        }
        Ok(Some(measured))
    }

    fn observe(
        &mut self,
        settings: &Settings,
        number: usize,
        measured: Measured<T>,
        validation: Option<Measured<T>>,
    ) -> Result<bool, Error> {
        let Stepper {
            model,
            state,
            processes,
        } = &mut self.stepper;
        let counted = settings.dead_units.is_some();
        let explained = |of: Measured<T>| self.baseline?.explained_variance(of.full);
        let epoch = Epoch {
            number,
            loss: measured.loss,
            validation: validation.map(|of| of.loss),
            l0: measured.l0_of(model),
            explained_variance: explained(measured),
            validation_explained_variance: validation.and_then(explained),
            dead_units: counted.then(|| state.idle.see_epoch()),
            set_point: state.controller.state(),
            model,
        };
        let stopped = (self.observer)(&epoch).is_break();
        processes.anywhere(stopped)
    }

    fn theta(&self) -> &[T] {
        self.stepper.model.parameters().as_slice()
    }

    fn theta_mut(&mut self) -> &mut [T] {
        let (_, parameters) = self.stepper.model.objective_and_parameters();
        parameters.theta_mut()
    }

    /// Resamples dead units if they are due after the previous epoch.
    fn begin_epoch(
        &mut self,
        engine: &mut Engine<T>,
        epoch: usize,
        order: &[usize],
    ) -> Result<(), Error> {
        let Stepper { model, state, .. } = &mut self.stepper;
        let dead_units = engine.settings.dead_units;
        let due = dead_units.is_some_and(|dead| dead.resamples_after(epoch - 1));
        if !due || state.idle.dead.is_empty() {
            return Ok(());
        }
        let (optimizer, rng) = (&mut *engine.optimizer, &mut engine.rng);
        let (dead, workspace) = (&state.idle.dead, &mut state.workspace);
        resample(dead, model, self.samples, order, optimizer, rng, workspace)?;
        state.idle.revive();
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
        let written = checkpoints.write_if_due(engine, state, model, progress, last);
        processes.or_fail_together(written)
    }
}
