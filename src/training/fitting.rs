//! Fits of autoencoders, and single steps on a stream of batches.

use nalgebra::DMatrixView;

use super::autoencoder::Fit;
use super::baseline::Baseline;
use super::epochs;
use super::find_warnings::{still_learning, too_active};
use super::measured::{BATCHES, Measured};
use super::observer::{Event, Observer, Verdict, of_epochs};
use super::reading::Reader;
use super::step::Stepper;
use super::{DeadUnits, Epoch, Report, Trainer};
use crate::error::Error;
use crate::objective::Loss;
use crate::{AsMatrix, Real, Samples, SparseAutoencoder};

impl<T: Real> Trainer<T> {
    /// Fits `model` to [`Samples`]: a matrix or a view, input size × samples, a file, or a source of
    /// your own. A [transcoder](crate::SparseAutoencoderBuilder::output_size) takes [`Pairs`](crate::Pairs).
    ///
    /// The same samples give the same bits, wherever they are stored. For samples outside memory, a fit
    /// holds one batch, the samples [held out](Self::validation_split), and what it [reads
    /// ahead](Samples::reads_ahead).
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: impl Samples<T>,
    ) -> Result<Report<T>, Error> {
        self.fit_with(model, samples, |_| ())
    }

    /// Runs [`fit`](Self::fit) with an observer, which sees every [`Epoch`] and may stop the training by its
    /// [`Verdict`].
    ///
    /// Use it for progress bars, logs, stopping rules of your own, cancellation, and snapshots. Snapshots of
    /// [`BatchTopK`](crate::Activation::BatchTopK) models need
    /// [calibration](SparseAutoencoder::calibrate_thresholds). To see every step, use
    /// [`fit_with_steps`](Self::fit_with_steps).
    ///
    /// Write a closure in the call itself. A closure that a variable holds needs the type of its argument in
    /// full, or it is "not general enough":
    ///
    /// ```
    /// use sparse_autoencoder::{Adam, Epoch, SparseAutoencoder, Trainer, nalgebra::DMatrix};
    ///
    /// let samples = DMatrix::from_fn(6, 120, |i, j| ((i + j) % 6) as f32 / 5.0);
    /// let mut sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
    /// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(2);
    /// trainer.fit_with(&mut sae, &samples, |epoch| println!("{}", epoch.loss.total()))?;
    ///
    /// let observer = |epoch: &Epoch<'_, f32>| println!("{}", epoch.loss.total());
    /// trainer.fit_with(&mut sae, &samples, observer)?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// These leave the model unchanged:
    ///
    /// - As [`SparseAutoencoder::loss`] for samples in memory.
    /// - [`Error::InvalidParameter`] for a setting outside its range.
    /// - [`Error::Incompatible`] for settings or samples that the optimizer or the model does not
    ///   support, and for a validation split that leaves one side empty.
    ///
    /// These leave the last finite parameters, or with [`patience`](Self::patience) those of the best
    /// epoch:
    ///
    /// - [`Error::Diverged`] if a loss or its gradient is not finite.
    /// - I/O errors, and invalid samples found while reading them.
    /// - Errors that the observer returns.
    /// - [`Error::Incompatible`] if another of [several processes](Self::all_reduce) fails, or differs
    ///   from this one; errors of their sums.
    ///
    /// If a checkpoint cannot be written, [`Error::Io`] leaves the parameters of the last step.
    pub fn fit_with<V: Verdict>(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: impl Samples<T>,
        observer: impl FnMut(&Epoch<'_, T>) -> V,
    ) -> Result<Report<T>, Error> {
        self.fit_observed(model, &samples, false, &mut of_epochs(observer))
    }

    /// Runs [`fit`](Self::fit) with an observer, which sees every [`Step`](super::Step) and every [`Epoch`],
    /// and may stop the training after each by its [`Verdict`].
    ///
    /// A stop after step `s` leaves the model and the optimizer exactly as a fit of `s` steps does, or with
    /// [`patience`](Self::patience) the parameters of the best epoch. The [`Report`] covers the completed
    /// epochs. A [checkpoint](Self#method.checkpoint) holds the position within the epoch, from which the next
    /// run resumes. After the last step of an epoch, a stop takes effect at the end of the epoch. Write closures as
    /// for [`fit_with`](Self::fit_with).
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use sparse_autoencoder::{Adam, Event, SparseAutoencoder, Trainer, nalgebra::DMatrix};
    ///
    /// let samples = DMatrix::from_fn(6, 120, |i, j| ((i + j) % 6) as f64 / 5.0);
    /// let mut sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
    /// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(20).batch_size(40);
    /// let report = trainer.fit_with_steps(&mut sae, &samples, |event| {
    ///     if let Event::Step(step) = event {
    ///         println!("step {} of {}: {}", step.number, step.of, step.loss.total());
    ///         if step.number == 10 {
    ///             return ControlFlow::Break(());
    ///         }
    ///     }
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!((report.steps, report.epochs), (10, 3)); // three steps make an epoch
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit_with_steps<V: Verdict>(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(&Event<'_, T>) -> V,
    ) -> Result<Report<T>, Error> {
        let see = &mut |event: &Event<'_, T>| observer(event).verdict();
        self.fit_observed(model, &samples, true, see)
    }

    /// Implements the fits with an observer. Compiled once for all samples and observers.
    #[inline(never)]
    pub(crate) fn fit_observed(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut Observer<'_, T>,
    ) -> Result<Report<T>, Error> {
        let done = self.fit_together(model, samples, sees_steps, observer);
        self.processes.after_sums(done)
    }

    fn fit_together(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut Observer<'_, T>,
    ) -> Result<Report<T>, Error> {
        let begun = self.begin(model, samples);
        let (begun, held_out) = self.begin_together(begun, model, |(begun, _)| begun.batches)?;
        let mut progress = self.paused.take().unwrap_or(begun);
        let shares = self.processes.shares(progress.order.len())?;
        progress.samples = shares.map_or(progress.order.len(), |shares| shares.samples());
        let done = self.processes.shares(progress.own_seen())?;
        let done = done.map_or(progress.own_seen(), |shares| shares.samples());
        progress.seen = progress.epochs as u64 * progress.samples as u64 + done as u64;
        let baseline = match self.has_baseline {
            true => Baseline::of(model, samples, shares),
            false => None,
        };
        let baseline_held_out = match &held_out {
            Some(held_out) => {
                let shares = self.processes.shares(held_out.ncols())?;
                Baseline::of(model, &**held_out, shares)
            }
            None => None,
        };
        progress.reserve(&self.engine.settings, held_out.is_some());
        let (settings, idle) = (&self.engine.settings, &mut self.state.idle);
        let epoch = model.objective().vanishes().then_some(progress.samples);
        let after = settings.dead_units.map(DeadUnits::idle_samples).or(epoch);
        idle.count(model.layout().hidden_size(), after);
        idle.reserve(progress.expected(settings));
        let mut fit = Fit {
            kept: self.processes.anywhere(self.checkpoints.is_set())?,
            steps_observed: self.processes.anywhere(sees_steps)?,
            stepper: Stepper {
                model,
                state: &mut self.state,
                processes: &self.processes,
            },
            checkpoints: &self.checkpoints,
            samples,
            reader: Reader::new(),
            held_out,
            baseline,
            baseline_held_out,
            observer,
        };
        let stop = match epochs::run(&mut self.engine, &mut fit, &mut progress) {
            Ok(stop) => stop,
            Err(error) => {
                let paused = Some(progress).filter(|progress| progress.paused);
                self.paused = paused.map(|at| at.pause_at(model.parameters().as_slice()));
                return Err(error);
            }
        };
        let held_out = fit.held_out.as_deref();
        model.set_threshold_of_inference(samples, held_out, &mut self.state.workspace)?;
        let (history, validation) = (&progress.history, &progress.validation);
        let losses = |of: &[Measured<T>]| of.iter().map(|epoch| epoch.loss).collect();
        let explained = |of: &[Measured<T>], baseline: Option<Baseline>| {
            let explained = |epoch: &Measured<T>| baseline?.explained_variance(epoch.full);
            of.iter()
                .map(explained)
                .collect::<Option<_>>()
                .unwrap_or_default()
        };
        let l0 = |of: &[Measured<T>]| {
            let l0 = of.iter().map(|epoch| epoch.l0_of(model));
            l0.collect::<Option<_>>().unwrap_or_default()
        };
        let mut report = Report {
            stop,
            epochs: progress.epochs,
            steps: self.engine.steps,
            best_epoch: progress.best_epoch,
            losses: losses(history),
            validation_losses: losses(validation),
            l0: l0(history),
            validation_l0: l0(validation),
            explained_variance: explained(history, baseline),
            validation_explained_variance: explained(validation, baseline_held_out),
            dead_units: std::mem::take(&mut self.state.idle.history),
            set_point: self.state.controller.state(),
            warnings: Vec::new(),
        };
        // Long epochs begin with a model far from that at the end.
        let is_long = progress.batches > BATCHES || progress.epochs == 0;
        let fraction = progress.fraction(self.engine.settings.epochs);
        let falls = self.engine.settings.k_falls(fraction);
        let recent = self.state.recent;
        let recent = recent.filter(|_| progress.ends_at_last_step() && is_long);
        let best = progress.best_epoch.checked_sub(1);
        let of_best = best.and_then(|epoch| progress.history.get(epoch).copied());
        let dead = best.and_then(|epoch| report.dead_units.get(epoch).copied());
        // The counts go on after the last complete epoch.
        let dead = dead.filter(|_| !progress.ends_at_last_step());
        let dead = dead.unwrap_or(self.state.idle.dead.len());
        let together = progress.order.len() / progress.batches.max(1);
        let workspace = &mut self.state.workspace;
        let too_active = match &self.engine.settings.set_point {
            Some(_) => None,
            None => too_active(model, samples, shares, together, workspace),
        };
        let learning =
            baseline.and_then(|baseline| still_learning(self, model, history, stop, baseline));
        let of_fit = too_active.into_iter().chain(learning).collect();
        report.warnings = match recent.or(of_best) {
            Some(last) => self.find_warnings(model, &last, dead, baseline, falls, of_fit),
            None => of_fit,
        };
        Ok(report)
    }

    /// Takes one step on one batch, for streams and loops of your own. Returns the loss before the
    /// step.
    ///
    /// The optimizer keeps its state from step to step while the number of parameters stays the same.
    /// [`reset`](Self::reset) clears it. Epochs, batch size, validation, and patience are ignored, and so
    /// are schedule and annealing unless [`stream_steps`](Self::stream_steps) is set.
    ///
    /// A [`ShuffleBuffer`](crate::ShuffleBuffer) makes batches of a stream.
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with), and [`Error::Incompatible`] for a full-batch optimizer. The
    /// model is then unchanged, unless a sum over [processes](Self::all_reduce) fails.
    pub fn partial_fit(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        batch: impl AsMatrix<T>,
    ) -> Result<Loss<T>, Error> {
        self.fit_batch(model, batch.as_matrix())
    }

    /// Implements [`partial_fit`](Self::partial_fit). Compiled once for each scalar.
    #[inline(never)]
    pub(crate) fn fit_batch(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        batch: Result<DMatrixView<'_, T>, Error>,
    ) -> Result<Loss<T>, Error> {
        let done = self.step_together(model, batch);
        let done = self.processes.after_sums(done);
        self.agreed &= done.is_ok();
        done
    }

    fn step_together(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        batch: Result<DMatrixView<'_, T>, Error>,
    ) -> Result<Loss<T>, Error> {
        let batch = self.processes.or_give_up(batch)?;
        let begun = self.begin_step(model, batch);
        let fraction = self.processes.or_give_up(begun)?;
        if self.processes.anywhere(!self.agreed)? {
            self.begin_together(Ok(()), model, |()| 1)?;
            self.agreed = true;
        }
        let mut stepper = Stepper {
            model,
            state: &mut self.state,
            processes: &self.processes,
        };
        let taken = stepper.step(&mut self.engine, batch, fraction)?;
        Ok(taken.loss.loss)
    }
}
