//! The position of a fit between two steps, and its report so far.

use std::hash::{DefaultHasher, Hasher};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::distributed::hash_numbers;
use super::epochs::{Taken, Terms};
use super::reading::Upcoming;
use super::{StopReason, TrainerSettings};
use crate::data::spread::range_start;
use crate::validate::check_len;
use crate::{Error, Real};

/// The position of a fit between two steps, and its report so far.
#[derive(Debug)]
pub(crate) struct Progress<T, L> {
    /// The number of parameters of the model.
    pub(super) parameters: usize,
    /// A hash of the parameters where the fit has paused.
    pub(super) theta: u64,
    /// The indices of the training samples, shuffled for the current or the last epoch.
    pub(super) order: Vec<usize>,
    /// The number of training samples of all processes.
    pub(super) samples: usize,
    /// The number of samples in all steps so far, of all processes.
    pub(crate) seen: u64,
    /// The number of batches of an epoch, and of those that are done.
    pub(super) batches: usize,
    pub(super) done: usize,
    /// The mean loss of the completed batches, and whether the optimizer has converged.
    pub(crate) mean: L,
    pub(super) converged: bool,
    /// The reason why the fit is complete, whatever the number of epochs.
    pub(super) end: Option<StopReason>,
    /// Whether the fit ended between two steps with an error. The next fit then continues it.
    pub(super) paused: bool,
    pub(super) best: Best<T>,
    /// The number of completed epochs, and the epoch whose parameters the model has at the end.
    pub(crate) epochs: usize,
    pub(crate) best_epoch: usize,
    /// The loss of each epoch, and the loss on the samples held out.
    pub(crate) history: Vec<L>,
    pub(crate) validation: Vec<L>,
}

fn hash_of<T: Real>(theta: &[T]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_numbers(theta, &mut hasher);
    hasher.finish()
}

impl<T: Real, L: Terms<T>> Progress<T, L> {
    pub(crate) fn new(parameters: usize, order: Vec<usize>, batches: usize) -> Self {
        Self {
            parameters,
            theta: 0,
            samples: order.len(),
            seen: 0,
            order,
            batches,
            done: 0,
            mean: L::zero(),
            converged: false,
            end: None,
            paused: false,
            best: Best::default(),
            epochs: 0,
            best_epoch: 0,
            history: Vec::new(),
            validation: Vec::new(),
        }
    }

    /// Returns the number of epochs that the report holds without growing.
    pub(crate) fn expected(&self, settings: &TrainerSettings) -> usize {
        settings.epochs.min(1 << 16).saturating_sub(self.epochs)
    }

    /// Makes room for the losses of all epochs, and for those of samples held out.
    pub(crate) fn reserve(&mut self, settings: &TrainerSettings, validates: bool) {
        let more = self.expected(settings);
        self.history.reserve(more);
        if validates {
            self.validation.reserve(more);
        }
    }

    /// Pauses the fit of a model with these parameters.
    pub(super) fn pause_at(self, theta: &[T]) -> Self {
        Self {
            theta: hash_of(theta),
            ..self
        }
    }

    /// Checks that the fit of a model with the parameters `theta` to these `samples`, in `batches`
    /// batches, can continue from here.
    pub(super) fn check(
        &self,
        theta: &[T],
        samples: &[usize],
        batches: usize,
    ) -> Result<(), Error> {
        for (what, expected, actual) in [
            (
                "parameters of the model whose fit continues",
                self.parameters,
                theta.len(),
            ),
            (
                "samples of the fit that continues",
                self.order.len(),
                samples.len(),
            ),
            ("batches of the fit that continues", self.batches, batches),
        ] {
            check_len(what, expected, actual)?;
        }
        if self.theta != hash_of(theta) {
            return Err(Error::Incompatible {
                what: "the fit that continues",
                other: "a model that has changed since: pass the unchanged model, or call Trainer::reset first",
            });
        }
        // The order comes from a file, and may not be a permutation.
        let sorted = |order: &[usize]| {
            let mut order = order.to_vec();
            order.sort_unstable();
            order
        };
        if sorted(&self.order) != sorted(samples) {
            return Err(Error::Incompatible {
                what: "the fit that continues",
                other: "other samples, or an invalid order of samples",
            });
        }
        Ok(())
    }

    pub(super) fn begin_epoch(&mut self, rng: &mut Xoshiro256PlusPlus) {
        if self.batches > 1 {
            self.order.shuffle(rng);
        }
        self.mean = L::zero();
        self.converged = false;
    }

    /// Returns the samples that come next in the epoch. Batches differ in size by at most one sample.
    pub(super) fn upcoming(&self) -> Upcoming<'_> {
        let start = |batch| range_start(batch, self.batches, self.order.len());
        let next = start(self.done);
        Upcoming {
            indices: &self.order[next..],
            count: start(self.done + 1) - next,
        }
    }

    /// Returns the number of samples of this process in the completed batches of the epoch.
    pub(super) fn own_seen(&self) -> usize {
        range_start(self.done, self.batches, self.order.len())
    }

    /// Returns the number of steps of `epochs` epochs.
    pub(crate) fn steps_of(&self, epochs: usize) -> u64 {
        (epochs as u64).saturating_mul(self.batches as u64)
    }

    /// Returns the fraction of all steps before the next batch.
    pub(super) fn fraction(&self, epochs: usize) -> f64 {
        // In f64, because a program whose observer stops the fit may set a huge number of epochs.
        let steps = |epochs| f64::of_count(epochs) * f64::of_count(self.batches);
        (steps(self.epochs) + f64::of_count(self.done)) / steps(epochs)
    }

    /// Records the step on the next batch.
    pub(super) fn see_batch(&mut self, step: Taken<L>) {
        self.seen += step.samples as u64;
        let of_epochs = (self.epochs as u64).saturating_mul(self.samples as u64);
        let of = usize::try_from(self.seen.saturating_sub(of_epochs)).unwrap_or(self.samples);
        self.mean = self.mean.with_batch(step.loss, step.samples, of);
        self.converged |= step.converged;
        self.done += 1;
    }

    /// Records an epoch, after which the model has the parameters `theta`.
    pub(super) fn see_epoch(
        &mut self,
        validation: Option<L>,
        theta: &[T],
        patience: Option<usize>,
    ) {
        self.done = 0;
        self.epochs += 1;
        self.best_epoch = self.epochs;
        self.history.push(self.mean);
        self.validation.extend(validation);
        self.end = self.converged.then_some(StopReason::Converged);
        if let Some(patience) = patience {
            let loss = validation.unwrap_or(self.mean).compared();
            self.best.see(self.epochs, loss, theta);
            self.best_epoch = self.best.epoch;
            if self.epochs - self.best_epoch >= patience {
                self.end = self.end.or(Some(StopReason::NoImprovement));
            }
        }
    }

    /// Whether the model has the parameters of the last step at the end.
    pub(super) fn ends_at_last_step(&self) -> bool {
        self.best.loss.is_none() || (self.done == 0 && self.best_epoch == self.epochs)
    }

    /// Returns the reason to stop here, apart from the observer.
    pub(super) fn stop(&self) -> StopReason {
        self.end.unwrap_or(StopReason::EpochLimit)
    }
}

/// The parameters with the lowest loss so far. Empty without patience.
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
    fn see(&mut self, epoch: usize, loss: T, theta: &[T]) {
        if self.loss.is_none_or(|lowest| loss < lowest) {
            self.epoch = epoch;
            self.loss = Some(loss);
            self.theta.clear();
            self.theta.extend_from_slice(theta);
        }
    }

    /// Returns the parameters, if any were kept.
    pub(super) fn theta(&self) -> Option<&[T]> {
        self.loss.map(|_| &*self.theta)
    }
}
