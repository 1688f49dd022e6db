//! One step of an autoencoder.

use nalgebra::DMatrixView;
use rand::rngs::Xoshiro256PlusPlus;

use super::dead_units::{Auxiliary, Idle};
use super::distributed::{Processes, average};
use super::engine::Engine;
use super::epochs::{Taken, Terms};
use super::measured::{Measured, share};
use super::sparsity::{Before, Controller, now};
use super::{TrainerSettings, bias_rate, unit_norm};
use crate::error::Error;
use crate::linalg::Aligned;
use crate::model::Layout;
use crate::objective::{Batch, Loss, Now, Pass, Workspace, after_step};
use crate::{Real, SparseAutoencoder};

/// The state between steps, apart from the model and the optimizer.
#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) workspace: Workspace<T>,
    /// The samples of a batch with noise.
    noisy: Aligned<T>,
    pub(super) controller: Controller<T>,
    /// β of the last step.
    pub(super) penalty_weight: T,
    /// Means over the last batches. `None` before the first step.
    pub(super) recent: Option<Measured<T>>,
    pub(super) idle: Idle,
    auxiliary: Option<Auxiliary<T>>,
    /// The biases of the encoder before a step, if they have a rate of their own.
    biases: Vec<T>,
    /// Some samples of a batch, from which thresholds are set, and their pre-activations.
    pub(super) spread: Aligned<T>,
    pub(super) pre_activations: Aligned<T>,
    pub(super) before: Before<T>,
    /// Which units were active in the batches of several processes.
    pub(super) activity: Vec<T>,
}

impl<T: Real> Default for State<T> {
    fn default() -> Self {
        Self {
            workspace: Workspace::new(),
            noisy: Aligned::new(),
            controller: Controller::default(),
            penalty_weight: T::zero(),
            recent: None,
            idle: Idle::default(),
            auxiliary: None,
            biases: Vec::new(),
            spread: Aligned::new(),
            pre_activations: Aligned::new(),
            before: Before::default(),
            activity: Vec::new(),
        }
    }
}

impl<T: Real> State<T> {
    /// Starts the training of another model.
    pub(super) fn reset(&mut self) {
        self.idle = Idle::default();
        self.controller = Controller::default();
        self.recent = None;
    }

    /// Adds the batch of step `t` to the means over the last ones.
    fn see(&mut self, batch: Measured<T>, t: u64) {
        let (before, share) = (self.recent.unwrap_or(batch), T::of(share(t)));
        self.recent = Some(before.toward(batch, share));
    }

    /// Makes room for the auxiliary loss of a model of this layout, if there is one.
    pub(super) fn prepare(
        &mut self,
        settings: &TrainerSettings,
        layout: &Layout,
    ) -> Result<(), Error> {
        let fits = self.auxiliary.as_ref().is_some_and(|a| a.fits(layout));
        let dead_units = settings.dead_units;
        if dead_units.is_some_and(|dead| dead.auxiliary_loss::<T>().is_some()) && !fits {
            self.auxiliary = Some(Auxiliary::new(layout)?);
        }
        Ok(())
    }
}

/// A model and the state of its training, which together take steps.
#[derive(Debug)]
pub(super) struct Stepper<'a, T> {
    pub(super) model: &'a mut SparseAutoencoder<T>,
    pub(super) state: &'a mut State<T>,
    pub(super) processes: &'a Processes<T>,
}

impl<T: Real> Stepper<'_, T> {
    /// Takes one step of the optimizer on these samples, after this fraction of all steps: `None` for a stream of
    /// unknown length.
    pub(super) fn step(
        &mut self,
        engine: &mut Engine<T>,
        samples: DMatrixView<'_, T>,
        fraction: Option<f64>,
    ) -> Result<Taken<Measured<T>>, Error> {
        let batch = Batch::of(&samples, self.model.layout());
        let shares = self.processes.shares(samples.ncols())?;
        let count = shares.map_or(samples.ncols(), |shares| shares.samples());
        let objective = self.model.objective();
        let now = now(
            &engine.settings,
            fraction,
            objective,
            &self.state.controller,
        );
        let clean = batch.input;
        let noisy = self.corrupt(&engine.settings, clean, &mut engine.rng);
        let input = noisy.as_ref().map_or(clean, |noisy| {
            DMatrixView::from_slice(&noisy[..clean.len()], clean.nrows(), clean.ncols())
        });
        let batch = Batch {
            input,
            shares,
            ..batch
        };
        self.set_thresholds(&engine.settings, batch, fraction);
        self.copy_biases(&engine.settings);
        let step = self.minimize(engine, batch, now);
        self.state.noisy = noisy.unwrap_or_default();
        if step.is_err() {
            self.restore_thresholds();
        }
        let (loss, converged) = step?;
        self.state.penalty_weight = now.penalty_weight;
        let settings = &engine.settings;
        self.stretch_biases(settings);
        self.count_idle(count, shares, now);
        self.move_thresholds();
        self.normalize_decoder(settings);
        self.follow_set_point(settings, now);
        self.state.see(loss, engine.steps);
        Ok(Taken {
            loss,
            converged,
            samples: count,
        })
    }

    /// Returns the samples with noise, if the input is corrupted, in a buffer of the state.
    fn corrupt(
        &mut self,
        settings: &TrainerSettings,
        samples: DMatrixView<'_, T>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Option<Aligned<T>> {
        let corruption = settings.corruption?;
        let mut buffer = std::mem::take(&mut self.state.noisy);
        buffer.grow(samples.len());
        let noisy = &mut buffer[..samples.len()];
        let columns = noisy.chunks_exact_mut(samples.nrows());
        for (noisy, column) in columns.zip(samples.column_iter()) {
            noisy.copy_from_slice(column.as_slice());
        }
        let scratch = &mut self.state.workspace.scratch;
        let threads = scratch.take_threads();
        threads.enter(|| corruption.corrupt(noisy, rng, scratch));
        Some(buffer)
    }

    /// Takes a step of the optimizer. Returns the loss, and whether the optimizer has converged.
    fn minimize(
        &mut self,
        engine: &mut Engine<T>,
        batch: Batch<'_, T>,
        now: Now<T>,
    ) -> Result<(Measured<T>, bool), Error> {
        let (objective, parameters) = self.model.objective_and_parameters();
        let (layout, theta) = parameters.layout_and_theta_mut();
        let dead = engine.settings.dead_units;
        let mut evaluation = Evaluation {
            batch,
            auxiliary_loss: dead.and_then(|dead| dead.auxiliary_loss()),
            unit_norm: engine.settings.unit_norm_decoder,
            state: &mut *self.state,
        };
        let threads = evaluation.state.workspace.scratch.take_threads();
        let threads = threads.worth(layout.len() * batch.target.ncols());
        let theta = &mut theta[..layout.learned()];
        engine.optimize(theta, threads, |theta, gradient| {
            let pass = Pass::training(objective, layout, theta, now);
            evaluation.evaluate(&pass, gradient)
        })
    }

    /// Updates the parameters that the optimizer does not train.
    fn move_thresholds(&mut self) {
        let (objective, parameters) = self.model.objective_and_parameters();
        let (layout, theta) = parameters.layout_and_theta_mut();
        after_step(objective, layout, theta, &self.state.workspace);
    }

    /// Copies the biases of the encoder, if they have a rate of their own.
    fn copy_biases(&mut self, settings: &TrainerSettings) {
        if settings.bias_rate.is_some() {
            let theta = self.model.parameters().as_slice();
            bias_rate::copy(self.model.layout(), theta, &mut self.state.biases);
        }
    }

    /// Moves the biases of the encoder at a rate of their own.
    fn stretch_biases(&mut self, settings: &TrainerSettings) {
        if let Some(rate) = settings.bias_rate {
            let (_, parameters) = self.model.objective_and_parameters();
            let (layout, theta) = parameters.layout_and_theta_mut();
            bias_rate::stretch(layout, theta, &self.state.biases, T::of(rate));
        }
    }

    /// Brings the decoder columns back to norm 1.
    fn normalize_decoder(&mut self, settings: &TrainerSettings) {
        if settings.unit_norm_decoder {
            let (_, parameters) = self.model.objective_and_parameters();
            let (layout, theta) = parameters.layout_and_theta_mut();
            unit_norm::normalize(layout, theta, &mut self.state.workspace.scratch);
        }
    }
}

/// The objective on one batch, as the optimizer minimizes it.
struct Evaluation<'a, T: Real> {
    batch: Batch<'a, T>,
    /// The weight of the auxiliary loss, and its active units per sample.
    auxiliary_loss: Option<(T, usize)>,
    unit_norm: bool,
    state: &'a mut State<T>,
}

impl<T: Real> Evaluation<'_, T> {
    /// Returns the loss, and writes its gradient.
    fn evaluate(&mut self, pass: &Pass<'_, T>, mut gradient: Option<&mut [T]>) -> Measured<T> {
        let workspace = &mut self.state.workspace;
        let loss = pass.evaluate(self.batch, gradient.as_deref_mut(), workspace);
        let mut measured = Measured::new(loss, pass.layout, workspace);
        match gradient.as_deref_mut() {
            Some(gradient) => self.add_auxiliary(pass, &mut measured.loss, gradient),
            None => pass.sort_active(workspace),
        }
        if let Some(shares) = &self.batch.shares {
            average(shares, &mut measured, gradient.as_deref_mut());
        }
        if let Some(gradient) = gradient.filter(|_| self.unit_norm) {
            let scratch = &mut self.state.workspace.scratch;
            unit_norm::project(pass.layout, pass.theta, gradient, scratch);
        }
        measured
    }

    /// Adds the auxiliary loss of dead units, and its gradient.
    fn add_auxiliary(&mut self, pass: &Pass<'_, T>, loss: &mut Loss<T>, gradient: &mut [T]) {
        let State {
            workspace,
            idle,
            auxiliary,
            ..
        } = &mut *self.state;
        if let (Some(of_dead), Some(auxiliary)) = (self.auxiliary_loss, auxiliary) {
            let (dead, samples) = (&idle.dead, &self.batch);
            loss.auxiliary += auxiliary.add(of_dead, dead, pass, samples, gradient, workspace);
        }
    }
}
