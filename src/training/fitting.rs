//! The loop over epochs and batches, and the single step of a stream.

use std::ops::ControlFlow;

use nalgebra::{DMatrix, DMatrixView};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::auxiliary::Auxiliary;
use super::dead_units::Idle;
use super::progress::Progress;
use super::set_point::Controller;
use super::step::Taken;
use super::{Epoch, Report, Running, StopReason, Trainer, reading, resampling};
use crate::error::Error;
use crate::objective::Loss;
use crate::{Real, Samples, SparseAutoencoder, linalg::reserve};

impl<T: Real> Trainer<T> {
    /// Fits `model` to [`Samples`]: a matrix or a view, visible × samples, a file, or a source of your
    /// own. The same samples give the same bits, wherever they are.
    ///
    /// Of samples that are not in memory, one batch is held there, and those that are
    /// [held out](Self::validation_split).
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: impl Samples<T>,
    ) -> Result<Report<T>, Error> {
        self.fit_with(model, samples, |_| ControlFlow::Continue(()))
    }

    /// [`fit`](Self::fit) with an observer, which sees every [`Epoch`] and may stop the training:
    /// for progress bars, own stopping rules, cancellation, snapshots.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::loss`] for the samples; [`Error::InvalidParameter`] for a setting
    /// outside its range; [`Error::Incompatible`] for a batch size, a corruption, a clipped
    /// gradient, a schedule, or samples that are not in memory, where the optimizer cannot work with
    /// it, or a validation split of which nothing remains. The model is then unchanged.
    ///
    /// [`Error::Diverged`] if a loss or its gradient stops being finite. The model then has its
    /// last finite parameters, or, with [`patience`](Self::patience), those of the best epoch. So it
    /// has after [`Error::Io`], [`Error::Unreadable`], or whatever else ends a read of samples that are
    /// not in memory, and where these turn out to be unfit, for they are checked as they are read.
    /// [`Error::Io`] also if a checkpoint cannot be written; the model then has those of the last step.
    ///
    /// [`Error::Incompatible`] if another of [several processes](Self::all_reduce) ends with an error, or
    /// differs from this one. The model is then as after an error of its own.
    pub fn fit_with(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(&Epoch<'_, T>) -> ControlFlow<()>,
    ) -> Result<Report<T>, Error> {
        let samples: &dyn Samples<T> = &samples;
        let begun = self.begin(model, samples);
        let (begun, held_out) = self.begin_together(begun, model, |(begun, _)| begun.batches)?;
        let mut progress = self.running.paused.take().unwrap_or(begun);
        progress.samples = self.samples_of_all(progress.order.len())?;
        #[cfg(feature = "serde")]
        {
            progress.kept = self.anywhere(self.checkpoints.is_some())?;
        }
        let [validated, counted] = [self.validation_split > 0.0, self.dead_units.is_some()];
        progress.reserve(self.epochs, validated, counted);
        let mut stop = progress.stop();
        while stop == StopReason::EpochLimit && progress.report.epochs < self.epochs {
            let number = progress.report.epochs + 1;
            if progress.done == 0 {
                if number > 1 {
                    self.resample(model, samples, &progress.order, number - 1)
                        .inspect_err(|_| progress.best.restore(model))?;
                }
                progress.begin_epoch(&mut self.running.rng);
            }
            while progress.done < progress.batches {
                let step = self.next_step(model, samples, &progress, number);
                let step = step.inspect_err(|_| progress.best.restore(model))?;
                progress.see_batch(step);
                #[cfg(feature = "serde")]
                if progress.done < progress.batches {
                    progress = self.keep(model, progress, false)?;
                }
            }
            let validation = held_out
                .as_ref()
                .map(|samples| self.validate(model, samples));
            let validation = validation
                .transpose()
                .inspect_err(|_| progress.best.restore(model))?;
            if let Some(loss) = validation.map(|loss| loss.total())
                && !loss.is_finite()
            {
                progress.best.restore(model);
                return Err(Error::Diverged {
                    epoch: number,
                    loss: loss.to_f64(),
                });
            }
            let dead_units = self.dead_units.map(|_| self.running.idle.dead().len());
            let set_point = self.running.controller.state(model.penalty_weight());
            let epoch = Epoch {
                number,
                loss: progress.mean,
                validation,
                dead_units,
                set_point,
                model,
            };
            let stopped = self.anywhere(observer(&epoch).is_break());
            progress.see_epoch(&epoch, self.patience);
            let stopped = stopped.inspect_err(|_| progress.best.restore(model))?;
            stop = if stopped {
                StopReason::Observer
            } else {
                progress.stop()
            };
            #[cfg(feature = "serde")]
            {
                let last = stop != StopReason::EpochLimit || number == self.epochs;
                progress = self.keep(model, progress, last)?;
            }
        }
        if self.patience.is_some() {
            progress.best.restore(model);
        }
        progress.report.warnings = self.warnings(model, samples, &progress.report);
        Ok(progress.into_report(stop))
    }

    /// Where a fit begins that does not go on with one that is paused; with the samples that are held out.
    #[allow(clippy::type_complexity)]
    pub(super) fn begin(
        &mut self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
    ) -> Result<(Progress<T>, Option<DMatrix<T>>), Error> {
        self.check_settings()?;
        self.check_for(model)?;
        self.check_source(model, samples)?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let (order, held_out) = self.split(model, samples, &mut rng)?;
        let batch_size = self.batch_size_for(order.len())?;
        check_room(model, batch_size)?;
        let batches = order.len().div_ceil(batch_size);
        if self.schedule.is_some() {
            self.optimizer.scale_learning_rate(T::one())?; // refused before anything is learned
        }
        #[cfg(feature = "serde")]
        self.check_checkpoints()?;
        let parameters = model.layout().len();
        if let Some(paused) = &self.running.paused {
            paused.check(parameters, &order, batches)?;
        } else {
            self.running.rng = rng;
            self.prepare(model);
        }
        self.prepare_dead_units(model)?;
        Ok((Progress::new(parameters, order, batches), held_out))
    }

    /// The step on the next batch.
    fn next_step(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        progress: &Progress<T>,
        epoch: usize,
    ) -> Result<Taken<T>, Error> {
        let so_far = self.progress(epoch, progress.done, progress.batches);
        self.scale_learning_rate(so_far)
            .inspect_err(|_| self.give_up())?;
        self.anneal(model, so_far);
        let chosen = progress.batch();
        let whole = samples
            .in_memory()
            .filter(|_| chosen.len() == samples.count());
        match whole {
            Some(samples) => self.step(model, samples, epoch),
            None => self.gathered_step(model, samples, chosen, epoch),
        }
    }

    /// One step on one batch, for streams and loops of your own. The optimizer's state goes on from
    /// the last step with a model of as many parameters; [`reset`](Self::reset) starts afresh.
    /// Epochs, batch size, validation, and patience play no part; nor do the schedule and other
    /// changes over the training, unless the number of its [`steps`](Self::steps) is set.
    ///
    /// A [`ShuffleBuffer`](crate::ShuffleBuffer) makes batches of a stream.
    ///
    /// Returns the loss on the batch before the step.
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with), and [`Error::Incompatible`] for a full-batch optimizer. The
    /// model is then unchanged.
    pub fn partial_fit<'a>(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        batch: impl Into<DMatrixView<'a, T>>,
    ) -> Result<Loss<T>, Error> {
        let batch = batch.into();
        self.begin_step(model, batch)
            .inspect_err(|_| self.give_up())?;
        if self.anywhere(!self.running.agreed)? {
            self.begin_together(Ok(()), model, |()| 1)?;
            self.running.agreed = true;
        }
        self.step(model, batch, 1).map(|step| step.loss)
    }

    /// Whatever may go wrong, or change, before a single step.
    fn begin_step(
        &mut self,
        model: &SparseAutoencoder<T>,
        batch: DMatrixView<'_, T>,
    ) -> Result<(), Error> {
        self.check_settings()?;
        self.check_for(model)?;
        self.check_partial(model, batch)?;
        if self.schedule.is_some() && self.steps.is_none() {
            self.optimizer.scale_learning_rate(T::one())?; // a fit leaves the end of its schedule
        }
        if self.running.prepared != Some(model.layout().len()) {
            self.prepare(model);
        }
        self.prepare_dead_units(model)?;
        self.running.paused = None;
        match self.steps {
            Some(steps) => {
                let progress = self.running.steps as f64 / f64::of_count(steps);
                let progress = progress.min(1.0);
                self.scale_learning_rate(progress)?;
                self.anneal(model, progress);
            }
            None => self.running.annealed = None,
        }
        Ok(())
    }

    pub(super) fn prepare(&mut self, model: &SparseAutoencoder<T>) {
        let layout = model.layout();
        self.running.idle = Idle::default();
        self.running.controller = Controller::default();
        self.optimizer.reset(layout.learned());
        self.running.prepared = Some(layout.len());
        self.running.steps = 0;
        self.running.agreed = false;
    }

    /// Begins to count dead units, unless those of such a model are being counted.
    pub(super) fn prepare_dead_units(&mut self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
        let Running {
            idle, auxiliary, ..
        } = &mut self.running;
        let layout = model.layout();
        let Some(dead_units) = self.dead_units else {
            return Ok(());
        };
        if idle.units() != layout.hidden() {
            *idle = Idle::new(layout.hidden());
        }
        if dead_units.auxiliary_loss::<T>().is_some()
            && !auxiliary.as_ref().is_some_and(|a| a.fits(layout))
        {
            *auxiliary = Some(Auxiliary::new(layout)?);
        }
        Ok(())
    }

    /// Starts dead units again, if it is time, at samples in this order.
    pub(super) fn resample(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        order: &[usize],
        epoch: usize,
    ) -> Result<(), Error> {
        let Running {
            rng,
            idle,
            workspace,
            ..
        } = &mut self.running;
        let due = self
            .dead_units
            .is_some_and(|dead| dead.resamples_after(epoch));
        if !due || idle.dead().is_empty() {
            return Ok(());
        }
        let (dead, optimizer) = (idle.dead(), &mut *self.optimizer);
        resampling::resample(dead, model, samples, order, optimizer, rng, workspace)?;
        idle.start_again();
        Ok(())
    }

    /// How much of the training, in [0, 1], lies before this batch of this epoch.
    pub(super) fn progress(&self, epoch: usize, batch: usize, batches: usize) -> f64 {
        // In f64: a number of epochs that means "until the observer stops" may be huge.
        let steps = |epochs| f64::of_count(epochs) * f64::of_count(batches);
        (steps(epoch - 1) + f64::of_count(batch)) / steps(self.epochs)
    }

    /// Tells the optimizer what the schedule says.
    pub(super) fn scale_learning_rate(&mut self, progress: f64) -> Result<(), Error> {
        self.schedule.map_or(Ok(()), |schedule| {
            let factor = T::of(schedule.factor(progress));
            self.optimizer.scale_learning_rate(factor)
        })
    }

    /// Makes the objective what it is to be at this point of the training.
    pub(super) fn anneal(&mut self, model: &SparseAutoencoder<T>, progress: f64) {
        let annealed = &mut self.running.annealed;
        if self.annealing.is_set() {
            let annealed = annealed.get_or_insert_with(|| model.objective().clone());
            self.annealing.apply(progress, model.objective(), annealed);
        } else {
            *annealed = None;
        }
    }

    /// The samples to learn from, by index, and a copy of those held out.
    #[allow(clippy::type_complexity)]
    pub(super) fn split(
        &mut self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<(Vec<usize>, Option<DMatrix<T>>), Error> {
        let mut order = Vec::new();
        reserve::reserve(&mut order, samples.count(), "number of samples")?;
        order.extend(0..samples.count());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=ncols
        let count = (self.validation_split * f64::of_count(order.len())).round() as usize;
        if self.validation_split <= 0.0 {
            return Ok((order, None));
        }
        if count == 0 || count >= order.len() {
            return Err(Error::Incompatible {
                what: "a validation split",
                other: "so few samples: one side would be empty",
            });
        }
        order.shuffle(rng);
        let mut held_out = reserve::matrix(model.layout().visible(), count, "samples held out")?;
        let threads = self.running.workspace.scratch.take_threads();
        reading::read(
            model,
            samples,
            &order[..count],
            held_out.as_mut_slice(),
            threads,
        )?;
        order.drain(..count);
        Ok((order, Some(held_out)))
    }

    pub(super) fn batch_size_for(&self, samples: usize) -> Result<usize, Error> {
        const DEFAULT: usize = 256;
        match (self.optimizer.needs_full_batch(), self.batch_size) {
            (true, Some(size)) if size < samples => Err(Error::Incompatible {
                what: "a batch size below the number of samples",
                other: "a full-batch optimizer",
            }),
            (true, _) => Ok(samples),
            (false, size) => Ok(size.unwrap_or(DEFAULT).min(samples)),
        }
    }

    /// [`step`](Self::step) on the chosen columns of `samples`.
    pub(super) fn gathered_step(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        chosen: &[usize],
        epoch: usize,
    ) -> Result<Taken<T>, Error> {
        let rows = model.layout().visible();
        let mut batch = std::mem::take(&mut self.running.batch);
        batch.grow(rows * chosen.len());
        let gathered = &mut batch[..rows * chosen.len()];
        let threads = self.running.workspace.scratch.take_threads();
        reading::read(model, samples, chosen, gathered, threads).inspect_err(|_| self.give_up())?;
        let view = DMatrixView::from_slice(gathered, rows, chosen.len());
        let step = self.step(model, view, epoch);
        self.running.batch = batch;
        step
    }
}

/// Refuses batches whose samples and activations would not fit into memory.
fn check_room<T: Real>(model: &SparseAutoencoder<T>, batch_size: usize) -> Result<(), Error> {
    let entries = model.layout().sizes().iter().sum::<usize>();
    let mut batch = Vec::<T>::new();
    reserve::reserve(
        &mut batch,
        entries.saturating_mul(batch_size),
        "entries of a batch",
    )
}
