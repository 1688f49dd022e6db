//! The loop over epochs and batches.
//!
//! The loop knows epochs, batches, the schedule, validation, patience, and when to stop. A
//! [`Learner`] knows the model and the samples, and takes the steps.

use super::StopReason;
use super::engine::Engine;
use super::progress::Progress;
use super::reading::Upcoming;
use crate::Real;
use crate::error::Error;

/// A loss whose terms are averaged over batches.
pub(crate) trait Terms<T: Real>: Copy + Send {
    fn zero() -> Self;

    /// Returns the objective: the sum of the terms.
    fn total(&self) -> T;

    /// Returns the sum of the terms that epochs are compared by.
    fn compared(&self) -> T {
        self.total()
    }

    /// Returns each term moved by `share` of its distance to that of `other`.
    ///
    /// A mean of equal terms is then exact, over any number of them. A sum of shares is not.
    fn toward(self, other: Self, share: T) -> Self;

    /// Returns each term, a mean of `of − samples` samples, as that of `of` samples, with those of a batch.
    fn with_batch(self, batch: Self, samples: usize, of: usize) -> Self {
        self.toward(batch, T::of_count(samples) / T::of_count(of))
    }
}

/// The result of a step, the same in all processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<L> {
    pub(crate) loss: L,
    /// Whether the optimizer has converged.
    pub(crate) converged: bool,
    /// The number of samples of all processes.
    pub(crate) samples: usize,
}

/// A model with its samples and its observer, trained by the loop.
pub(crate) trait Learner<T: Real> {
    type Loss: Terms<T>;

    /// Takes one step on the next batch, after this fraction of all steps.
    fn step(
        &mut self,
        engine: &mut Engine<T>,
        upcoming: Upcoming<'_>,
        fraction: f64,
    ) -> Result<Taken<Self::Loss>, Error>;

    /// Returns the loss on the samples held out, if there are any.
    fn validate(&mut self) -> Result<Option<Self::Loss>, Error>;

    /// Passes a step with this loss to the observer, if it sees steps. Returns whether the training stops
    /// here.
    fn observe_step(
        &mut self,
        engine: &Engine<T>,
        progress: &Progress<T, Self::Loss>,
        loss: Self::Loss,
    ) -> Result<bool, Error>;

    /// Passes an epoch to the observer. Returns whether the training stops here.
    fn observe_epoch(
        &mut self,
        engine: &Engine<T>,
        progress: &Progress<T, Self::Loss>,
        validation: Option<Self::Loss>,
    ) -> Result<bool, Error>;

    /// Returns the parameters.
    fn theta(&self) -> &[T];

    /// Returns the parameters, to be replaced.
    fn theta_mut(&mut self) -> &mut [T];

    /// Prepares an epoch on samples in this order.
    fn begin_epoch(
        &mut self,
        _engine: &mut Engine<T>,
        _epochs_done: usize,
        _order: &[usize],
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Returns `done`, the result of preparing a step. Reports an error to the other processes.
    fn or_give_up(&self, done: Result<(), Error>) -> Result<(), Error> {
        done
    }

    /// Writes a checkpoint between two steps, if one is due or it is the `last` of the fit.
    fn keep(
        &mut self,
        _engine: &Engine<T>,
        _progress: &Progress<T, Self::Loss>,
        _last: bool,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// Trains from `progress` to the end. With patience, the model then has the parameters of the best
/// epoch, even after an error, unless the fit is paused.
pub(crate) fn run<T: Real, L: Learner<T>>(
    engine: &mut Engine<T>,
    learner: &mut L,
    progress: &mut Progress<T, L::Loss>,
) -> Result<StopReason, Error> {
    let stop = match progress.paused {
        true => keep(engine, learner, progress, true), // the checkpoint that could not be written
        false => Ok(()),
    };
    let stop = stop.and_then(|()| run_to_last(engine, learner, progress));
    if let (Some(theta), false) = (progress.best.theta(), progress.paused) {
        learner.theta_mut().copy_from_slice(theta);
    }
    stop
}

/// Trains as [`run`] does, but leaves the parameters of the last epoch.
fn run_to_last<T: Real, L: Learner<T>>(
    engine: &mut Engine<T>,
    learner: &mut L,
    progress: &mut Progress<T, L::Loss>,
) -> Result<StopReason, Error> {
    let epochs = engine.settings.epochs;
    let mut stop = progress.stop();
    while stop == StopReason::EpochLimit && progress.epochs < epochs {
        if progress.done == 0 {
            learner.begin_epoch(engine, progress.epochs, &progress.order)?;
            progress.begin_epoch(&mut engine.rng);
        }
        let mut stopped = false;
        while progress.done < progress.batches {
            let fraction = progress.fraction(epochs);
            learner.or_give_up(engine.follow_schedule(fraction))?;
            let taken = learner.step(engine, progress.upcoming(), fraction)?;
            progress.see_batch(taken);
            stopped = learner.observe_step(engine, progress, taken.loss)?;
            if progress.done < progress.batches {
                keep(engine, learner, progress, stopped)?;
                if stopped {
                    return Ok(StopReason::Observer);
                }
            }
        }
        let validation = finite(engine.steps, learner.validate()?)?;
        let seen = learner.observe_epoch(engine, progress, validation);
        // Losses of different objectives cannot be compared.
        let begun = f64::of_count(progress.epochs) / f64::of_count(epochs);
        let has_settled = engine.settings.has_settled(begun);
        let patience = engine.settings.patience.filter(|_| has_settled);
        progress.see_epoch(validation, learner.theta(), patience);
        stop = if seen? || stopped {
            StopReason::Observer
        } else {
            progress.stop()
        };
        let last = stop != StopReason::EpochLimit || progress.epochs == epochs;
        keep(engine, learner, progress, last)?;
    }
    Ok(stop)
}

/// Writes a checkpoint if one is due. If it cannot be written, the fit is paused here.
fn keep<T: Real, L: Learner<T>>(
    engine: &Engine<T>,
    learner: &mut L,
    progress: &mut Progress<T, L::Loss>,
    last: bool,
) -> Result<(), Error> {
    let kept = learner.keep(engine, progress, last);
    progress.paused = kept.is_err();
    kept
}

/// Refuses a validation loss that is not finite, after this step.
fn finite<T: Real, L: Terms<T>>(step: u64, loss: Option<L>) -> Result<Option<L>, Error> {
    match loss.map(|loss| loss.total()) {
        Some(total) if !total.is_finite() => Err(Error::Diverged {
            step,
            loss: total.to_f64(),
        }),
        _ => Ok(loss),
    }
}
