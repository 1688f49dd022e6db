//! One step of training.

use nalgebra::DMatrixView;

use super::{Running, Trainer, unit_norm};
use crate::error::Error;
use crate::linalg::{self, Threads};
use crate::objective::{Batch, Loss, Pass, after_step};
use crate::optimizer::Optimizer;
use crate::training::all_reduce::Shares;
use crate::{Real, SparseAutoencoder};

impl<T: Real> Trainer<T> {
    /// One step of the optimizer on `target`.
    pub(super) fn step(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        target: DMatrixView<'_, T>,
        epoch: usize,
    ) -> Result<Taken<T>, Error> {
        let Running {
            steps,
            rng,
            workspace,
            noisy,
            annealed,
            controller,
            idle,
            auxiliary,
            activity,
            ..
        } = &mut self.running;
        let mut batch = Batch::from(target);
        let all_reduce = self.all_reduce.as_deref();
        let shares = all_reduce.map(|all| Shares::new(all, target.ncols()));
        let shares = shares.transpose()?;
        batch.shares = shares;
        let samples = shares.map_or(target.ncols(), |shares| shares.samples());
        let threads = workspace.scratch.take_threads();
        if let Some(corruption) = self.corruption {
            noisy.grow(target.len());
            let noisy = &mut noisy[..target.len()];
            for (noisy, column) in noisy
                .chunks_exact_mut(target.nrows())
                .zip(target.column_iter())
            {
                noisy.copy_from_slice(column.as_slice());
            }
            let scratch = &mut workspace.scratch;
            threads.enter(|| corruption.corrupt(noisy, rng, scratch));
            batch.input = DMatrixView::from_slice(noisy, target.nrows(), target.ncols());
        }
        let clip = self.clip_gradient.map(T::of);
        let (objective, parameters) = model.objective_and_parameters();
        let objective = annealed.as_ref().unwrap_or(objective);
        let (layout, theta) = parameters.layout_and_theta_mut();
        let unit_norm = self.unit_norm_decoder;
        let auxiliary_loss = self.dead_units.and_then(|dead| dead.auxiliary_loss());
        let evaluate = |theta: &[T], mut gradient: Option<&mut [T]>| {
            let pass = Pass::training(objective, layout, theta, objective.now());
            let mut loss = pass.evaluate(batch, gradient.as_deref_mut(), workspace);
            if let (Some(loss_of_dead), Some(auxiliary), Some(gradient)) =
                (auxiliary_loss, auxiliary.as_mut(), gradient.as_deref_mut())
            {
                let (dead, input) = (idle.dead(), batch.input);
                loss.auxiliary +=
                    auxiliary.add(loss_of_dead, dead, &pass, input, gradient, workspace);
            }
            if let Some(shares) = &shares {
                average(shares, &mut loss, gradient.as_deref_mut());
            }
            if let Some(gradient) = gradient.filter(|_| unit_norm) {
                unit_norm::project(layout, theta, gradient, &mut workspace.scratch);
            }
            loss
        };
        let step = optimize(
            &mut *self.optimizer,
            &mut theta[..layout.learned()],
            clip,
            epoch,
            threads.worth(layout.len() * target.ncols()),
            Loss::total,
            evaluate,
        );
        let (loss, converged) = step?;
        *steps += 1;
        if let Some(dead_units) = &self.dead_units {
            let pass = Pass::training(objective, layout, theta, objective.now());
            let was_active = |j| pass.was_active(j, workspace);
            if let Some(shares) = &shares {
                activity.clear();
                let one_where = |active| if active { T::one() } else { T::zero() };
                activity.extend((0..layout.hidden()).map(|j| one_where(was_active(j))));
                shares.average(activity);
                idle.see(samples, dead_units, |j| activity[j] > T::zero());
            } else {
                idle.see(samples, dead_units, was_active);
            }
        }
        after_step(objective, layout, theta, workspace);
        if unit_norm {
            unit_norm::normalize(layout, theta, &mut workspace.scratch);
        }
        if let Some(set_point) = &self.set_point {
            let innermost = &workspace.mean[layout.depth() - 1][..layout.hidden()];
            let measured = if set_point.measures_active_units() {
                workspace.active[layout.depth() - 1].to_f64()
            } else {
                linalg::sum(innermost, |mean| mean).to_f64() / f64::of_count(innermost.len())
            };
            let weight = &mut model.objective_mut().penalty_weight;
            *weight = controller.weight(set_point, measured, *weight);
        }
        Ok(Taken {
            loss,
            converged,
            samples,
        })
    }
}

/// A step that was taken: the same in all processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken<T> {
    pub(super) loss: Loss<T>,
    /// Whether the optimizer has converged.
    pub(super) converged: bool,
    /// Of all processes.
    pub(super) samples: usize,
}

/// A loss and its gradient become those of all processes.
pub(super) fn average<T: Real>(
    shares: &Shares<'_, T>,
    loss: &mut Loss<T>,
    gradient: Option<&mut [T]>,
) {
    let mut terms = [
        loss.reconstruction,
        loss.weight_decay,
        loss.sparsity,
        loss.auxiliary,
    ];
    shares.average(&mut terms);
    [
        loss.reconstruction,
        loss.weight_decay,
        loss.sparsity,
        loss.auxiliary,
    ] = terms;
    if let Some(gradient) = gradient {
        shares.average(gradient);
    }
}

/// One step of the optimizer from `theta`: the loss, term by term, and whether it has converged.
pub(super) fn optimize<T: Real, L: Copy + Send>(
    optimizer: &mut dyn Optimizer<T>,
    theta: &mut [T],
    clip: Option<T>,
    epoch: usize,
    threads: Threads,
    total_of: impl Fn(&L) -> T + Send + Sync,
    mut evaluate: impl FnMut(&[T], Option<&mut [T]>) -> L + Send,
) -> Result<(L, bool), Error> {
    // A line search evaluates several points, of which one is accepted.
    let mut evaluated: [Option<(T, L)>; 2] = [None, None];
    optimizer.limit_threads(threads.count());
    let step = threads.enter(|| {
        optimizer.step(theta, &mut |theta, gradient| {
            let loss = evaluate(theta, Some(&mut *gradient));
            let total = if bound(gradient, clip, threads) {
                total_of(&loss)
            } else {
                T::of(f64::NAN)
            };
            evaluated = [Some((total, loss)), evaluated[0]];
            total
        })
    });
    let loss = evaluated
        .iter()
        .flatten()
        .find(|(total, _)| *total == step.loss)
        .or(evaluated[0].as_ref())
        .map(|(_, loss)| *loss);
    match loss {
        Some(loss) if step.loss.is_finite() => Ok((loss, step.converged)),
        // L-BFGS at an optimum remembers the loss without an evaluation.
        None if step.loss.is_finite() => Ok((evaluate(theta, None), step.converged)),
        _ => Err(Error::Diverged {
            epoch,
            loss: step.loss.to_f64(),
        }),
    }
}

/// Shrinks `gradient` to a norm of at most `clip`; false if it is not finite.
fn bound<T: Real>(gradient: &mut [T], clip: Option<T>, threads: Threads) -> bool {
    let norm = linalg::norm_squared(gradient, threads).sqrt();
    // The square of a large finite entry may overflow: only then look at the entries themselves.
    if !norm.is_finite() && !linalg::all_finite(gradient) {
        return false;
    }
    if let Some(clip) = clip
        && norm > clip
    {
        let mut norm = norm;
        if !norm.is_finite() {
            let largest = gradient.iter().fold(T::zero(), |m, g| m.max(g.abs()));
            gradient.iter_mut().for_each(|g| *g /= largest);
            norm = linalg::norm_squared(gradient, threads).sqrt();
        }
        let factor = clip / norm;
        gradient.iter_mut().for_each(|g| *g *= factor);
    }
    true
}
