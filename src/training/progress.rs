//! What lives from step to step of a fit, beside the model, the optimizer, and what a stream of
//! batches has too.

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::step::Taken;
use super::{Epoch, Report, StopReason};
use crate::objective::Loss;
use crate::{Error, Real, SparseAutoencoder};

/// Where a fit is, between two steps.
#[derive(Debug)]
pub(super) struct Progress<T> {
    /// The number of parameters of the model.
    pub(super) parameters: usize,
    /// The samples to learn from, by index, as they are shuffled in the epoch that is under way, or
    /// were in the last.
    pub(super) order: Vec<usize>,
    /// Their number, of all processes.
    pub(super) samples: usize,
    /// Whether any process writes checkpoints.
    #[cfg(feature = "serde")]
    pub(super) kept: bool,
    /// The batches of an epoch, and how many of them are done.
    pub(super) batches: usize,
    pub(super) done: usize,
    /// Of those that are done: the loss, and whether the optimizer has converged.
    pub(super) mean: Loss<T>,
    pub(super) converged: bool,
    /// Why there is nothing left to be learned, however many epochs there may be.
    pub(super) end: Option<StopReason>,
    pub(super) best: Best<T>,
    pub(super) report: Report<T>,
}

impl<T: Real> Progress<T> {
    pub(super) fn new(parameters: usize, order: Vec<usize>, batches: usize) -> Self {
        Self {
            parameters,
            samples: order.len(),
            #[cfg(feature = "serde")]
            kept: false,
            order,
            batches,
            done: 0,
            mean: Loss::zero(),
            converged: false,
            end: None,
            best: Best::default(),
            report: Report {
                stop: StopReason::EpochLimit,
                epochs: 0,
                best_epoch: 0,
                history: Vec::new(),
                validation: Vec::new(),
                dead_units: Vec::new(),
                set_point: None,
                warnings: Vec::new(),
            },
        }
    }

    /// Makes room for what is reported of so many epochs.
    pub(super) fn reserve(&mut self, epochs: usize, validated: bool, counted: bool) {
        let more = epochs.min(1 << 16).saturating_sub(self.report.epochs);
        self.report.history.reserve(more);
        self.report
            .validation
            .reserve(if validated { more } else { 0 });
        self.report
            .dead_units
            .reserve(if counted { more } else { 0 });
    }

    /// Whether a fit of a model with so many parameters, to these samples in so many batches, can go
    /// on from here.
    pub(super) fn check(
        &self,
        parameters: usize,
        samples: &[usize],
        batches: usize,
    ) -> Result<(), Error> {
        for (what, expected, actual) in [
            (
                "parameters of the model whose fit goes on",
                self.parameters,
                parameters,
            ),
            (
                "samples of the fit that goes on",
                self.order.len(),
                samples.len(),
            ),
            ("batches of the fit that goes on", self.batches, batches),
        ] {
            if expected != actual {
                return Err(Error::DimensionMismatch {
                    what,
                    expected,
                    actual,
                });
            }
        }
        // What a file says is an order need not be one.
        let sorted = |order: &[usize]| {
            let mut order = order.to_vec();
            order.sort_unstable();
            order
        };
        if sorted(&self.order) != sorted(samples) {
            return Err(Error::Incompatible {
                what: "the fit that goes on",
                other: "other samples, or an order that is none",
            });
        }
        Ok(())
    }

    pub(super) fn begin_epoch(&mut self, rng: &mut Xoshiro256PlusPlus) {
        if self.batches > 1 {
            self.order.shuffle(rng);
        }
        self.mean = Loss::zero();
        self.converged = false;
    }

    /// The samples of the next batch.
    pub(super) fn batch(&self) -> &[usize] {
        let (b, n) = (self.done, self.order.len());
        &self.order[b * n / self.batches..(b + 1) * n / self.batches]
    }

    /// After the step on that batch.
    pub(super) fn see_batch(&mut self, step: Taken<T>) {
        let share = T::of_count(step.samples) / T::of_count(self.samples);
        self.mean = add(self.mean, step.loss, share);
        self.converged |= step.converged;
        self.done += 1;
    }

    pub(super) fn see_epoch(&mut self, epoch: &Epoch<'_, T>, patience: Option<usize>) {
        let report = &mut self.report;
        report.epochs = epoch.number;
        report.best_epoch = epoch.number;
        report.history.push(epoch.loss);
        report.validation.extend(epoch.validation);
        report.dead_units.extend(epoch.dead_units);
        report.set_point = epoch.set_point;
        self.done = 0;
        self.end = self.converged.then_some(StopReason::Converged);
        if let Some(patience) = patience {
            let loss = epoch.validation.unwrap_or(epoch.loss).total();
            self.best.see(epoch.number, loss, epoch.model);
            report.best_epoch = self.best.epoch;
            if epoch.number - self.best.epoch >= patience {
                self.end = self.end.or(Some(StopReason::NoImprovement));
            }
        }
    }

    /// Why to stop here, but for an observer.
    pub(super) fn stop(&self) -> StopReason {
        self.end.unwrap_or(StopReason::EpochLimit)
    }

    pub(super) fn into_report(self, stop: StopReason) -> Report<T> {
        Report {
            stop,
            ..self.report
        }
    }
}

fn add<T: Real>(mean: Loss<T>, loss: Loss<T>, share: T) -> Loss<T> {
    Loss {
        reconstruction: mean.reconstruction + share * loss.reconstruction,
        weight_decay: mean.weight_decay + share * loss.weight_decay,
        sparsity: mean.sparsity + share * loss.sparsity,
        auxiliary: mean.auxiliary + share * loss.auxiliary,
    }
}

/// The parameters with the lowest loss so far, kept where patience asks for them.
#[derive(Debug)]
pub(super) struct Best<T> {
    pub(super) epoch: usize,
    pub(super) loss: Option<T>,
    pub(super) theta: Vec<T>,
}

impl<T> Default for Best<T> {
    fn default() -> Self {
        Self {
            epoch: 0,
            loss: None,
            theta: Vec::new(),
        }
    }
}

impl<T: Real> Best<T> {
    fn see(&mut self, epoch: usize, loss: T, model: &SparseAutoencoder<T>) {
        if self.loss.is_none_or(|lowest| loss < lowest) {
            self.epoch = epoch;
            self.loss = Some(loss);
            self.theta.clear();
            self.theta.extend_from_slice(model.parameters().as_slice());
        }
    }

    pub(super) fn restore(&self, model: &mut SparseAutoencoder<T>) {
        if self.loss.is_some() {
            let (_, parameters) = model.objective_and_parameters();
            parameters.theta_mut().copy_from_slice(&self.theta);
        }
    }
}
