//! What gives a warning.

use nalgebra::DMatrixView;

#[cfg(doc)]
use super::Report;
use super::all_reduce::Shares;
use super::baseline::Baseline;
use super::epochs::Terms;
use super::measured::Measured;
use super::sparsity::annealing;
use super::{StopReason, Trainer, Warning};
use crate::data::samples::read;
use crate::data::spread::spread;
use crate::linalg::{self, reserve};
use crate::objective::{Batch, Pass, Workspace};
use crate::{Error, Real, Samples, SparseAutoencoder};

/// The relative distance from a target that gives a warning, and the share of dead units.
const TOLERATED: f64 = 0.1;

/// The number of samples from which a mean activation is measured.
const FOR_MEANS: usize = 1024;

/// The largest number of samples encoded together, and of their entries, which bound the memory.
const TOGETHER: usize = 64;
const ENTRIES: usize = 1 << 16;

/// The least number of epochs whose tenths are compared.
const EPOCHS: usize = 20;

impl<T: Real> Trainer<T> {
    /// Returns the warnings of the steps so far that need no samples: a learning rate of 0, a target not reached, no
    /// active units, and dead units. A stream counts dead units only if [`dead_units`](Self::dead_units) is set.
    ///
    /// Use it after steps by [`partial_fit`](Self::partial_fit). The [`Report`] of a
    /// [`fit`](Self::fit) has all its [warnings](Report::warnings).
    #[must_use]
    pub fn warnings(&self, model: &SparseAutoencoder<T>) -> Vec<Warning> {
        let dead = self.state.idle.dead.len();
        let recent = self.state.recent.as_ref();
        let after_end = self.steps_after_end().into_iter();
        let found = recent.map_or(Vec::new(), |last| {
            let fraction = self.engine.fraction_of_steps();
            let falls = fraction.is_some_and(|fraction| self.engine.settings.k_falls(fraction));
            self.find_warnings(model, last, dead, None, falls, Vec::new())
        });
        after_end.chain(found).collect()
    }

    /// Returns a warning if steps after the end of the schedule have a learning rate of 0.
    fn steps_after_end(&self) -> Option<Warning> {
        let engine = &self.engine;
        let of = engine.settings.stream_steps?;
        let steps = engine.steps.saturating_sub(of as u64);
        let learns = engine.optimizer.learning_rate() != Some(0.0);
        let stands = steps > 0 && engine.settings.schedule.is_some() && !learns;
        stands.then_some(Warning::NoLearningRate { steps, of })
    }

    /// Returns the warnings of a model that has the figures `last` and this number of dead units, also while k falls.
    /// Those that only a fit can find join them.
    pub(super) fn find_warnings(
        &self,
        model: &SparseAutoencoder<T>,
        last: &Measured<T>,
        dead: usize,
        baseline: Option<Baseline>,
        k_falls: bool,
        of_fit: Vec<Warning>,
    ) -> Vec<Warning> {
        let of_mean = baseline.and_then(|baseline| no_better(model, last, baseline, 0.99));
        let no_unit = no_unit_active(model, last, baseline);
        let target = self.target(model, last, k_falls);
        let outside = baseline.and_then(|baseline| outside(model, baseline));
        let dominant = baseline.and_then(|baseline| {
            let (feature, share) = baseline.dominant?;
            Some(Warning::FeatureDominates { feature, share })
        });
        let of = model.layout().hidden_size();
        let too_many = f64::of_count(dead) > TOLERATED * f64::of_count(of);
        let dead = too_many.then_some(Warning::DeadUnits { dead, of });
        let copies = baseline.and_then(|baseline| may_copy(self, model, last, baseline));
        // The cause before what follows from it.
        let causes = [outside, dominant, of_mean, no_unit, target];
        let causes = causes.into_iter().flatten();
        let follow = [dead, copies].into_iter().flatten();
        causes.chain(of_fit).chain(follow).collect()
    }

    /// Returns a warning if the sparsity is not that of the set point, of [`TargetL0`](crate::TargetL0), or of a k that
    /// still falls.
    fn target(
        &self,
        model: &SparseAutoencoder<T>,
        last: &Measured<T>,
        k_falls: bool,
    ) -> Option<Warning> {
        let objective = model.objective();
        let set_point = &self.engine.settings.set_point;
        let (measured, target) = if let Some(set_point) = set_point {
            // The controller's own mean holds the first batch for long.
            let l0 = last
                .l0_of(model)
                .filter(|_| set_point.measures_active_units());
            let measured = l0.or(self.state.controller.measured);
            (measured?, set_point.target())
        } else if k_falls {
            (last.l0_of(model)?, annealing::target(objective)?)
        } else {
            let innermost = objective.innermost();
            let penalty = objective.penalties[innermost].description();
            if !objective.is_built_to_penalize(innermost) || !penalty.has_target_l0() {
                return None;
            }
            (last.l0_of(model)?, objective.target_l0())
        };
        let missed = (measured - target).abs() > TOLERATED * target;
        missed.then_some(Warning::TargetNotReached {
            measured,
            target,
            by_set_point: set_point.is_some(),
            k_falls,
        })
    }
}

/// Returns a warning if the mean activation of the innermost units is more than twice that which a penalty asks for.
/// Samples that cannot be read give none.
pub(super) fn too_active<T: Real>(
    model: &SparseAutoencoder<T>,
    samples: &dyn Samples<T>,
    shares: Option<Shares<'_, T>>,
    together: usize,
    workspace: &mut Workspace<T>,
) -> Option<Warning> {
    let objective = model.objective();
    let innermost = objective.innermost();
    let penalty = objective.penalties[innermost].description();
    let of_range = penalty.target_is_of_range()?;
    if !objective.is_built_to_penalize(innermost) {
        return None;
    }
    let measured = mean_of_hidden(model, samples, together, workspace);
    let mut mean = measured.unwrap_or(f64::NAN);
    if let Some(shares) = shares {
        let mut of_all = [T::of(mean)];
        shares.average(&mut of_all);
        mean = of_all[0].to_f64();
    }
    let (low, high) = objective.encoder[innermost].range().unwrap_or((0.0, 1.0));
    let measured = if of_range {
        (mean - low) / (high - low)
    } else {
        mean
    };
    let target = model.settings().sparsity_target_of(innermost);
    (measured > 2.0 * target).then_some(Warning::TooActive { measured, target })
}

/// Returns the mean activation of the innermost units over some samples, as the penalty sees it.
fn mean_of_hidden<T: Real>(
    model: &SparseAutoencoder<T>,
    samples: &dyn Samples<T>,
    together: usize,
    workspace: &mut Workspace<T>,
) -> Result<f64, Error> {
    let (objective, layout) = (model.objective(), model.layout());
    let theta = model.parameters().as_slice();
    let pass = Pass::training(objective, layout, theta, objective.now());
    let (entries, units) = (layout.sample_entries(), layout.hidden_size());
    let blocks = &layout.blocks()[layout.depth() - 1];
    let columns = theta[blocks.decoder_weights.clone()].chunks_exact(blocks.decoded);
    let norms: Option<Vec<f64>> = objective
        .norm_weighted
        .then(|| columns.map(linalg::norm).collect());
    let seen =
        |unit: usize, mean: T| mean.to_f64() * norms.as_ref().map_or(1.0, |norms| norms[unit]);
    let chosen = spread(samples.count(), FOR_MEANS, 0);
    let mut sum = 0.0;
    let most = (ENTRIES / entries.max(1)).clamp(1, TOGETHER);
    let together = together.clamp(1, most).min(chosen.len());
    let mut room = reserve::filled(T::zero(), entries * together, "samples for a mean")?;
    for chosen in chosen.chunks(together) {
        let some = &mut room[..entries * chosen.len()];
        read(samples, chosen, some)?;
        let some = DMatrixView::from_slice(some, entries, chosen.len());
        pass.evaluate(Batch::of(&some, layout), None, workspace);
        let means = &workspace.mean[layout.depth() - 1][..units];
        let means = means
            .iter()
            .enumerate()
            .map(|(unit, &mean)| seen(unit, mean));
        let mean = means.sum::<f64>() / f64::of_count(units);
        sum += mean * f64::of_count(chosen.len());
    }
    Ok(sum / f64::of_count(chosen.len()))
}

/// Returns a warning if the loss still fell over the last epochs.
pub(super) fn still_learning<T: Real>(
    trainer: &Trainer<T>,
    model: &SparseAutoencoder<T>,
    history: &[Measured<T>],
    stop: StopReason,
    baseline: Baseline,
) -> Option<Warning> {
    let settings = &trainer.engine.settings;
    let (epochs, tenth) = (history.len(), history.len() / 10);
    let steady = settings.schedule.is_none()
        && settings.set_point.is_none()
        && settings.has_settled(0.8)
        && stop == StopReason::EpochLimit;
    if epochs < EPOCHS || !steady {
        return None;
    }
    let mean = |of: &[Measured<T>]| {
        let losses = of.iter().map(|epoch| epoch.compared().to_f64());
        losses.sum::<f64>() / f64::of_count(of.len())
    };
    let (earlier, last) = history.split_at(epochs - tenth);
    let (before, loss) = (mean(&earlier[epochs - 2 * tenth..]), mean(last));
    let fell = before - loss;
    let of_mean = baseline.loss_of_mean_of(model);
    let warns = of_mean > 0.0 && fell > 0.05 * before && fell > 0.01 * of_mean;
    warns.then_some(Warning::StillLearning { before, loss })
}

/// Returns a warning if the model reconstructs well and nothing keeps it from copying its input.
fn may_copy<T: Real>(
    trainer: &Trainer<T>,
    model: &SparseAutoencoder<T>,
    last: &Measured<T>,
    baseline: Baseline,
) -> Option<Warning> {
    let (objective, settings) = (model.objective(), &trainer.engine.settings);
    let layout = model.layout();
    let sizes = layout.sizes();
    let free = |l: usize| {
        let f = objective.encoder[l];
        let selects_few = f.mean_kept(sizes[l + 1]).is_some_and(|k| k < sizes[0]);
        !selects_few && !objective.is_built_to_penalize(l)
    };
    let copies = !layout.is_transcoder()
        && settings.set_point.is_none()
        && sizes.iter().all(|&size| size >= sizes[0])
        && (0..layout.depth()).all(free)
        && objective.weight_decay <= 0.0
        && settings.corruption.is_none();
    let explained_variance = baseline.explained_variance(last.full)?;
    let warns = copies && explained_variance > 0.9;
    warns.then_some(Warning::MayCopy { explained_variance })
}

/// Returns a warning if the reconstruction loss is above this share of that of the mean sample.
fn no_better<T: Real>(
    model: &SparseAutoencoder<T>,
    last: &Measured<T>,
    baseline: Baseline,
    share: f64,
) -> Option<Warning> {
    let loss_of_mean = baseline.loss_of_mean_of(model);
    let loss = last.loss.reconstruction.to_f64();
    let warns = loss_of_mean > 0.0 && loss > share * loss_of_mean;
    warns.then_some(Warning::NoBetterThanMean { loss, loss_of_mean })
}

/// Returns a warning if most samples have no active unit, unless the model reconstructs them nevertheless:
/// many may be 0.
fn no_unit_active<T: Real>(
    model: &SparseAutoencoder<T>,
    last: &Measured<T>,
    baseline: Option<Baseline>,
) -> Option<Warning> {
    let l0 = last.l0_of(model).filter(|&l0| l0 < 0.5)?;
    let warns = match baseline {
        Some(baseline) => no_better(model, last, baseline, 0.9).is_some(),
        None => l0 < 0.05,
    };
    warns.then_some(Warning::NoUnitActive { l0 })
}

/// Returns a warning if the output cannot reach the samples.
fn outside<T: Real>(model: &SparseAutoencoder<T>, baseline: Baseline) -> Option<Warning> {
    let Baseline { low, high, .. } = baseline;
    let output = model.objective().decoder[0];
    let warns = baseline.unreachable > 0.01 * baseline.loss_of_mean;
    warns.then_some(Warning::OutsideOutputRange { low, high, output })
}
