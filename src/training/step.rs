//! One step of an autoencoder.

use nalgebra::DMatrixView;
use rand::rngs::Xoshiro256PlusPlus;

use super::all_reduce::Shares;
use super::dead_units::{Auxiliary, Idle};
use super::distributed::{Processes, average};
use super::engine::Engine;
use super::epochs::{Place, Taken};
use super::sparsity::{Controller, now};
use super::{DeadUnits, SetPoint, Settings, unit_norm};
use crate::error::Error;
use crate::linalg::{self, Aligned, Scratch};
use crate::model::Layout;
use crate::objective::{Batch, Loss, Now, Objective, Pass, Workspace, after_step};
use crate::{Corruption, Real, SparseAutoencoder};

/// What lives from step to step, beside the model and the optimizer.
#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) workspace: Workspace<T>,
    /// The samples of a batch with noise.
    noisy: Aligned<T>,
    pub(super) controller: Controller<T>,
    pub(super) idle: Idle,
    auxiliary: Option<Auxiliary<T>>,
    /// Which units were active in the batches of several processes.
    activity: Vec<T>,
}

impl<T: Real> Default for State<T> {
    fn default() -> Self {
        Self {
            workspace: Workspace::new(),
            noisy: Aligned::new(),
            controller: Controller::default(),
            idle: Idle::default(),
            auxiliary: None,
            activity: Vec::new(),
        }
    }
}

impl<T: Real> State<T> {
    /// Begins the training of another model.
    pub(super) fn reset(&mut self) {
        self.idle = Idle::default();
        self.controller = Controller::default();
    }

    /// Makes room for a model of this layout, and keeps the counts of dead units if they fit.
    pub(super) fn prepare(&mut self, settings: &Settings, layout: &Layout) -> Result<(), Error> {
        let Some(dead_units) = &settings.dead_units else {
            return Ok(());
        };
        if self.idle.units() != layout.hidden() {
            self.idle = Idle::new(vec![0; layout.hidden()], dead_units);
        }
        let fits = self.auxiliary.as_ref().is_some_and(|a| a.fits(layout));
        if dead_units.auxiliary_loss::<T>().is_some() && !fits {
            self.auxiliary = Some(Auxiliary::new(layout)?);
        }
        Ok(())
    }
}

/// What takes steps: a model, and the state of its training.
#[derive(Debug)]
pub(super) struct Stepper<'a, T> {
    pub(super) model: &'a mut SparseAutoencoder<T>,
    pub(super) state: &'a mut State<T>,
    pub(super) processes: &'a Processes<T>,
}

impl<T: Real> Stepper<'_, T> {
    /// Takes one step of the optimizer on the samples `target`.
    pub(super) fn step(
        &mut self,
        engine: &mut Engine<T>,
        target: DMatrixView<'_, T>,
        at: Place,
    ) -> Result<Taken<Loss<T>>, Error> {
        let shares = self.processes.shares(target.ncols())?;
        let samples = shares.map_or(target.ncols(), |shares| shares.samples());
        let settings = engine.settings.clone();
        let state = &mut *self.state;
        let (objective, parameters) = self.model.objective_and_parameters();
        let (layout, theta) = parameters.layout_and_theta_mut();
        let now = now(&settings, at.fraction, objective, &state.controller);
        let input = match settings.corruption {
            Some(corruption) => {
                let scratch = &mut state.workspace.scratch;
                corrupt(
                    corruption,
                    target,
                    &mut engine.rng,
                    &mut state.noisy,
                    scratch,
                )
            }
            None => target,
        };
        let mut minimization = Minimization {
            objective,
            layout,
            now,
            batch: Batch {
                input,
                target,
                shares,
            },
            dead: auxiliary_of(settings.dead_units, &mut state.auxiliary, &state.idle),
            unit_norm: settings.unit_norm_decoder,
            workspace: &mut state.workspace,
        };
        let step = minimization.step(engine, &mut theta[..layout.learned()], at.epoch);
        let (loss, converged) = step?;
        let workspace = &mut state.workspace;
        if let Some(dead_units) = &settings.dead_units {
            let pass = Pass::training(objective, layout, theta, now);
            let was_active = |j| pass.was_active(j, workspace);
            let was_active = anywhere(shares, layout.hidden(), was_active, &mut state.activity);
            state.idle.see(samples, dead_units, was_active);
        }
        after_step(objective, layout, theta, workspace);
        if settings.unit_norm_decoder {
            unit_norm::normalize(layout, theta, &mut workspace.scratch);
        }
        if let Some(set_point) = &settings.set_point {
            let measured = sparsity(set_point, layout, workspace);
            state
                .controller
                .see(set_point, measured, now.penalty_weight);
        }
        Ok(Taken {
            loss,
            converged,
            samples,
        })
    }
}

/// Copies the samples into `noisy` and adds noise.
fn corrupt<'a, T: Real>(
    corruption: Corruption,
    samples: DMatrixView<'_, T>,
    rng: &mut Xoshiro256PlusPlus,
    noisy: &'a mut Aligned<T>,
    scratch: &mut Scratch<T>,
) -> DMatrixView<'a, T> {
    let (rows, columns) = samples.shape();
    noisy.grow(samples.len());
    let noisy = &mut noisy[..samples.len()];
    for (noisy, column) in noisy.chunks_exact_mut(rows).zip(samples.column_iter()) {
        noisy.copy_from_slice(column.as_slice());
    }
    let threads = scratch.take_threads();
    threads.enter(|| corruption.corrupt(noisy, rng, scratch));
    DMatrixView::from_slice(noisy, rows, columns)
}

/// The auxiliary loss of dead units, with its weight and the number of units per sample.
struct Dead<'a, T> {
    auxiliary: &'a mut Auxiliary<T>,
    loss: (T, usize),
    units: &'a [usize],
}

/// The auxiliary loss of the units that are dead now, if it is set.
fn auxiliary_of<'a, T: Real>(
    dead_units: Option<DeadUnits>,
    auxiliary: &'a mut Option<Auxiliary<T>>,
    idle: &'a Idle,
) -> Option<Dead<'a, T>> {
    Some(Dead {
        loss: dead_units?.auxiliary_loss()?,
        auxiliary: auxiliary.as_mut()?,
        units: &idle.dead,
    })
}

/// What the optimizer minimizes, on one batch.
struct Minimization<'a, T: Real> {
    objective: &'a Objective<T>,
    layout: &'a Layout,
    now: Now<T>,
    batch: Batch<'a, T>,
    dead: Option<Dead<'a, T>>,
    unit_norm: bool,
    workspace: &'a mut Workspace<T>,
}

impl<T: Real> Minimization<'_, T> {
    /// Takes one step of the optimizer from `theta`. Returns the loss, and whether it has converged.
    fn step(
        &mut self,
        engine: &mut Engine<T>,
        theta: &mut [T],
        epoch: usize,
    ) -> Result<(Loss<T>, bool), Error> {
        let threads = self.workspace.scratch.take_threads();
        let threads = threads.worth(self.layout.len() * self.batch.target.ncols());
        engine.optimize(theta, epoch, threads, |theta, gradient| {
            self.evaluate(theta, gradient)
        })
    }

    /// Returns the loss at `theta`, and writes its gradient.
    fn evaluate(&mut self, theta: &[T], mut gradient: Option<&mut [T]>) -> Loss<T> {
        let pass = Pass::training(self.objective, self.layout, theta, self.now);
        let workspace = &mut *self.workspace;
        let mut loss = pass.evaluate(self.batch, gradient.as_deref_mut(), workspace);
        if let (Some(dead), Some(gradient)) = (&mut self.dead, gradient.as_deref_mut()) {
            let input = self.batch.input;
            let Dead {
                auxiliary,
                loss: of_dead,
                units,
            } = dead;
            loss.auxiliary += auxiliary.add(*of_dead, units, &pass, input, gradient, workspace);
        }
        if let Some(shares) = &self.batch.shares {
            average(shares, &mut loss, gradient.as_deref_mut());
        }
        if let Some(gradient) = gradient.filter(|_| self.unit_norm) {
            unit_norm::project(self.layout, theta, gradient, &mut workspace.scratch);
        }
        loss
    }
}

/// Returns which units were active in the batches of all processes, from those that `was_active` here.
fn anywhere<'a, T: Real>(
    shares: Option<Shares<'_, T>>,
    units: usize,
    was_active: impl Fn(usize) -> bool + 'a,
    activity: &'a mut Vec<T>,
) -> impl Fn(usize) -> bool + 'a {
    activity.clear();
    if let Some(shares) = shares {
        let one_where = |active| if active { T::one() } else { T::zero() };
        activity.extend((0..units).map(|j| one_where(was_active(j))));
        shares.average(activity);
    }
    let activity = &*activity;
    move |j| match activity.get(j) {
        Some(&active) => active > T::zero(),
        None => was_active(j),
    }
}

/// The sparsity of the last batch, as the set point measures it.
fn sparsity<T: Real>(set_point: &SetPoint, layout: &Layout, workspace: &Workspace<T>) -> f64 {
    let innermost = layout.depth() - 1;
    if set_point.measures_active_units() {
        return workspace.active[innermost].to_f64();
    }
    let means = &workspace.mean[innermost][..layout.hidden()];
    linalg::sum(means, |mean| mean).to_f64() / f64::of_count(means.len())
}
