mod annealing;
mod auxiliary;
#[cfg(feature = "serde")]
mod checkpoint;
mod classifier;
mod dead_units;
mod processes;
mod progress;
mod reading;
mod report;
mod resampling;
mod set_point;
mod step;
mod unit_norm;

#[cfg(feature = "serde")]
pub use checkpoint::Every;
pub use dead_units::DeadUnits;
pub use report::{Epoch, Report, StopReason};
pub use set_point::{SetPoint, SetPointState};

use std::ops::ControlFlow;

use nalgebra::{DMatrix, DMatrixView};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use crate::error::{Error, require};
use crate::objective::{Loss, Objective};
use crate::optimizer::Optimizer;
use crate::workspace::Workspace;
use crate::{AllReduce, Corruption, Real, Samples, Schedule, SparseAutoencoder};
use annealing::Annealing;
use auxiliary::Auxiliary;
use dead_units::Idle;
use progress::Progress;
use set_point::Controller;

/// Fits models: owns the loop over epochs and batches.
///
/// | setter | default | range | meaning |
/// |---|---|---|---|
/// | [`epochs`](Self::epochs) | 100 | ≥ 1 | passes over the samples; iterations of a full-batch optimizer |
/// | [`batch_size`](Self::batch_size) | 256; all for a full-batch optimizer | ≥ 1 | samples per step, at most |
/// | [`seed`](Self::seed) | 0 | | of shuffling, validation split, and corruption |
/// | [`validation_split`](Self::validation_split) | 0 | [0, 1) | fraction of the samples held out |
/// | [`patience`](Self::patience) | none | ≥ 1 | epochs without improvement before stopping |
/// | [`schedule`](Self::schedule) | none | | of the learning rate |
/// | [`steps`](Self::steps) | unknown | ≥ 1 | of a training by [`partial_fit`](Self::partial_fit), for schedules |
/// | [`clip_gradient`](Self::clip_gradient) | none | > 0 | largest Euclidean norm of a gradient |
/// | [`unit_norm_decoder`](Self::unit_norm_decoder) | `false` | | columns of the decoder keep norm 1 |
/// | [`sparsity_warm_up`](Self::sparsity_warm_up) | none | (0, 1] | fraction of the steps in which β rises |
/// | [`anneal_k`](Self::anneal_k) | none | ≥ k; (0, 1] | where k starts, and the steps in which it falls |
/// | [`set_point`](Self::set_point) | none | | the sparsity that is wanted, at whatever β |
/// | [`dead_units`](Self::dead_units) | not counted | | which units count as dead, and what brings them back |
/// | [`corruption`](Self::corruption) | none | | noise of the input, for denoising |
#[cfg_attr(
    feature = "serde",
    doc = "| [`checkpoint`](Self::checkpoint) | none | every ≥ 1 | the file from which an interrupted fit goes on |"
)]
/// | [`threads`](Self::threads) | rayon's pool | | never changes a bit of the result |
///
/// Samples are shuffled in every epoch, by the seed. Batches of an epoch differ in size by at most
/// one sample, so that no small remainder distorts a batch mean. Settings are checked by
/// [`fit`](Self::fit).
///
/// ```
/// use std::ops::ControlFlow;
/// use sparse_autoencoder::{Adam, Schedule, SparseAutoencoder, Trainer, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_fn(6, 120, |i, j| ((i + j) % 6) as f64 / 5.0);
/// let mut sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
/// let report = Trainer::new(Adam::new(1e-2)?)
///     .epochs(200)
///     .batch_size(32)
///     .schedule(Schedule::cosine(0.0))
///     .fit_with(&mut sae, &samples, |epoch| {
///         if epoch.loss.reconstruction < 0.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
///     })?;
/// assert_eq!(report.history.len(), report.epochs);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Trainer<T> {
    optimizer: Box<dyn Optimizer<T>>,
    epochs: usize,
    batch_size: Option<usize>,
    seed: u64,
    validation_split: f64,
    patience: Option<usize>,
    schedule: Option<Schedule>,
    steps: Option<usize>,
    clip_gradient: Option<f64>,
    unit_norm_decoder: bool,
    annealing: Annealing,
    set_point: Option<SetPoint>,
    dead_units: Option<DeadUnits>,
    corruption: Option<Corruption>,
    all_reduce: Option<Box<dyn AllReduce<T>>>,
    #[cfg(feature = "serde")]
    checkpoints: Option<checkpoint::Checkpoints>,
    running: Running<T>,
}

/// What exists only while training goes on.
#[derive(Debug)]
struct Running<T> {
    /// The number of parameters that the optimizer is prepared for.
    prepared: Option<usize>,
    /// Taken since then.
    steps: u64,
    /// A fit that stopped between two steps, and that the next one goes on with.
    paused: Option<Progress<T>>,
    rng: Xoshiro256PlusPlus,
    workspace: Workspace<T>,
    /// The samples of a batch, and the same with noise.
    batch: Vec<T>,
    noisy: Vec<T>,
    /// Those of inference before a step, which the optimizer has no business with.
    thresholds: Vec<T>,
    /// The objective of the model as it is for now, where it is annealed.
    annealed: Option<Objective<T>>,
    controller: Controller,
    /// Where dead units are counted, and where they have a loss of their own.
    idle: Idle,
    auxiliary: Option<Auxiliary<T>>,
    /// Which units were active in the batches of several processes.
    activity: Vec<T>,
}

impl<T: Real> Trainer<T> {
    /// A trainer that uses this optimizer.
    pub fn new(optimizer: impl Optimizer<T> + 'static) -> Self {
        Self {
            optimizer: Box::new(optimizer),
            epochs: 100,
            batch_size: None,
            seed: 0,
            validation_split: 0.0,
            patience: None,
            schedule: None,
            steps: None,
            clip_gradient: None,
            unit_norm_decoder: false,
            annealing: Annealing::default(),
            set_point: None,
            dead_units: None,
            corruption: None,
            all_reduce: None,
            #[cfg(feature = "serde")]
            checkpoints: None,
            running: Running {
                prepared: None,
                steps: 0,
                paused: None,
                rng: Xoshiro256PlusPlus::seed_from_u64(0),
                workspace: Workspace::new(),
                batch: Vec::new(),
                noisy: Vec::new(),
                thresholds: Vec::new(),
                annealed: None,
                controller: Controller::default(),
                idle: Idle::default(),
                auxiliary: None,
                activity: Vec::new(),
            },
        }
    }

    /// Passes over the samples; iterations of a full-batch optimizer such as
    /// [`Lbfgs`](crate::Lbfgs).
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The most samples of one step. A full-batch optimizer refuses a size below the whole set.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = Some(samples);
        self
    }

    /// The seed of shuffling, of the validation split, and of the corruption.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.running.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        self
    }

    /// The fraction of the samples, chosen by the seed, that is held out to measure the loss on.
    /// These are copied into memory.
    pub fn validation_split(mut self, fraction: f64) -> Self {
        self.validation_split = fraction;
        self
    }

    /// Stops after this many epochs in which the loss has not fallen below its lowest: the loss on
    /// the samples held out, if there are any, else the loss of the epoch. The model then has the
    /// parameters of the best epoch, whatever stopped the training.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = Some(epochs);
        self
    }

    /// How the learning rate changes over the training.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// The number of steps that a training by [`partial_fit`](Self::partial_fit) is to have, at least
    /// 1: over them go the [schedule](Self::schedule), the
    /// [rise of the penalty](Self::sparsity_warm_up), and the [fall of k](Self::anneal_k), and stay
    /// at their ends. A [`fit`](Self::fit) knows its steps.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Shrinks gradients whose Euclidean norm is larger to this norm.
    pub fn clip_gradient(mut self, norm: f64) -> Self {
        self.clip_gradient = Some(norm);
        self
    }

    /// Whether every hidden unit's column of the decoder is brought to norm 1 after each step, and
    /// what would lengthen it taken from the gradient before (Bricken et al. 2023, *Towards
    /// Monosemanticity*). With a penalty on the size of the activations, a decoder that is free to
    /// grow evades it. With tied weights the encoder's columns have norm 1, too. Classifiers have no
    /// decoder, and refuse it.
    pub fn unit_norm_decoder(mut self, kept: bool) -> Self {
        self.unit_norm_decoder = kept;
        self
    }

    /// Lets the weight β of the penalty rise from 0, in a straight line, over this fraction of the
    /// steps of a [`fit`](Self::fit), in (0, 1]: a penalty that is strong from the start kills units
    /// before they have learned anything. A [set point](Self::set_point) starts low by itself, and
    /// refuses it.
    pub fn sparsity_warm_up(mut self, fraction: f64) -> Self {
        self.annealing.sparsity = Some(fraction);
        self
    }

    /// Lets the k of an innermost layer of [`Activation::TopK`](crate::Activation::TopK) or
    /// [`Activation::BatchTopK`](crate::Activation::BatchTopK) fall from `from`, at least that of the
    /// model, in a straight line over this fraction of the steps of a [`fit`](Self::fit), in (0, 1],
    /// so that more units get to learn (Makhzani & Frey 2013, *k-Sparse Autoencoders*: the first half).
    pub fn anneal_k(mut self, from: usize, fraction: f64) -> Self {
        self.annealing.k = Some((from, fraction));
        self
    }

    /// Moves the weight β of the penalty until the model is as sparse as is wanted.
    pub fn set_point(mut self, set_point: SetPoint) -> Self {
        self.set_point = Some(set_point);
        self
    }

    /// Which hidden units of the innermost layer count as dead, and what is done about them. Units
    /// that never vanish, such as sigmoid ones, a full-batch optimizer, and classifiers refuse it.
    pub fn dead_units(mut self, dead_units: DeadUnits) -> Self {
        self.dead_units = Some(dead_units);
        self
    }

    /// Adds noise to the input; the reconstruction is still compared with the clean samples.
    pub fn corruption(mut self, corruption: Corruption) -> Self {
        self.corruption = Some(corruption);
        self
    }

    /// The most threads to use; 0 and 1 both mean one. The number never changes a bit of the result.
    pub fn threads(mut self, threads: usize) -> Self {
        self.running.workspace = Workspace::new().with_threads(threads);
        self
    }

    /// Trains one model by several processes, each of which has samples of its own: the step is that of
    /// one process with the batches of all of them, up to rounding.
    ///
    /// Each process makes the same model and the same trainer, and calls the same methods in the same
    /// order; the samples may differ in number, but not the batches, nor the settings. `ρ̂` is averaged
    /// over all samples before the penalty sees it, losses and gradients after the backward pass; what
    /// follows is the same everywhere, so the models stay the same, to the bit. A validation split is
    /// one of each process's samples. An observer that stops the training stops it everywhere.
    ///
    /// Refused with activations that select over a batch, which would be that of each process, and
    /// with dead units that start again.
    pub fn all_reduce(mut self, all_reduce: impl AllReduce<T> + 'static) -> Self {
        self.all_reduce = Some(Box::new(all_reduce));
        self
    }

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
    pub fn fit_with(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(&Epoch<'_, T>) -> ControlFlow<()>,
    ) -> Result<Report<T>, Error> {
        let samples: &dyn Samples<T> = &samples;
        let begun = self.begin(model, samples);
        let batches = begun.as_ref().map_or(0, |(progress, _)| progress.batches);
        self.check_processes(&begun, model, &[batches, self.epochs])?;
        let (mut progress, held_out) = begun?;
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
                let so_far = self.progress(number, progress.done, progress.batches);
                self.scale_learning_rate(so_far)?;
                self.anneal(model, so_far);
                let chosen = progress.batch();
                let whole = samples
                    .in_memory()
                    .filter(|_| chosen.len() == samples.count());
                let step = match whole {
                    Some(samples) => self.step(model, samples, number),
                    None => self.gathered_step(model, samples, chosen, number),
                };
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
            let validation = validation.transpose()?;
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
        Ok(progress.into_report(stop))
    }

    /// Where a fit begins: at its start, or where the one that is paused stopped; with the samples that
    /// are held out.
    #[allow(clippy::type_complexity)]
    fn begin(
        &mut self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
    ) -> Result<(Progress<T>, Option<DMatrix<T>>), Error> {
        self.check_settings()?;
        self.check_for(model)?;
        self.check_source(model, samples)?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let (order, held_out) = self.split(model, samples, &mut rng)?;
        let batches = order.len().div_ceil(self.batch_size_for(order.len())?);
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
        let paused = self.running.paused.take();
        let mut progress = paused.unwrap_or_else(|| Progress::new(parameters, order, batches));
        let [validated, counted] = [self.validation_split > 0.0, self.dead_units.is_some()];
        progress.reserve(self.epochs, validated, counted);
        Ok((progress, held_out))
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
        self.check_settings()
            .and_then(|()| self.check_for(model))
            .and_then(|()| self.check_partial(model, batch))
            .inspect_err(|_| self.give_up())?;
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
        self.step(model, batch, 1).map(|(loss, _)| loss)
    }

    fn check_partial(
        &self,
        model: &SparseAutoencoder<T>,
        batch: DMatrixView<'_, T>,
    ) -> Result<(), Error> {
        model.check_training_samples(batch)?;
        if self.optimizer.needs_full_batch() {
            return Err(Error::Incompatible {
                what: "partial_fit",
                other: "a full-batch optimizer",
            });
        }
        Ok(())
    }

    /// The number of steps that were taken since the optimizer last began afresh, which it does in a
    /// [`fit`](Self::fit), after a [`reset`](Self::reset), and with a model of another size.
    #[must_use]
    pub fn steps_taken(&self) -> u64 {
        self.running.steps
    }

    /// Forgets the optimizer's state and starts the random numbers again.
    pub fn reset(&mut self) {
        self.running.prepared = None;
        self.running.steps = 0;
        self.running.paused = None;
        self.running.rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
    }

    fn prepare(&mut self, model: &SparseAutoencoder<T>) {
        let layout = model.layout();
        self.running.idle = Idle::default();
        self.running.controller = Controller::default();
        self.optimizer.reset(layout.len());
        self.running.prepared = Some(layout.len());
        self.running.steps = 0;
    }

    /// Begins to count dead units, unless those of such a model are being counted.
    fn prepare_dead_units(&mut self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
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
    fn resample(
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
    fn progress(&self, epoch: usize, batch: usize, batches: usize) -> f64 {
        // In f64: a number of epochs that means "until the observer stops" may be huge.
        let steps = |epochs| f64::of_count(epochs) * f64::of_count(batches);
        (steps(epoch - 1) + f64::of_count(batch)) / steps(self.epochs)
    }

    /// Tells the optimizer what the schedule says.
    fn scale_learning_rate(&mut self, progress: f64) -> Result<(), Error> {
        self.schedule.map_or(Ok(()), |schedule| {
            let factor = T::of(schedule.factor(progress));
            self.optimizer.scale_learning_rate(factor)
        })
    }

    /// Makes the objective what it is to be at this point of the training.
    fn anneal(&mut self, model: &SparseAutoencoder<T>, progress: f64) {
        let annealed = &mut self.running.annealed;
        if self.annealing.is_set() {
            let annealed = annealed.get_or_insert_with(|| model.objective().clone());
            self.annealing.apply(progress, model.objective(), annealed);
        } else {
            *annealed = None;
        }
    }

    /// Refuses what belongs to the fit of one model, where several are to be fitted.
    pub(crate) fn check_for_several(&self) -> Result<(), Error> {
        #[cfg(feature = "serde")]
        let kept = self.checkpoints.is_some();
        #[cfg(not(feature = "serde"))]
        let kept = false;
        if kept || self.running.paused.is_some() {
            return Err(Error::Incompatible {
                what: "a checkpoint",
                other: "several models in one call: fit them in turn",
            });
        }
        Ok(())
    }

    fn check_settings(&self) -> Result<(), Error> {
        let at_least_one =
            |name, value: usize| require(value >= 1, name, "at least 1", f64::of_count(value));
        at_least_one("epochs", self.epochs)?;
        at_least_one("batch_size", self.batch_size.unwrap_or(1))?;
        at_least_one("steps", self.steps.unwrap_or(1))?;
        at_least_one("patience", self.patience.unwrap_or(1))?;
        let split = self.validation_split;
        require(
            (0.0..1.0).contains(&split),
            "validation_split",
            "in [0, 1)",
            split,
        )?;
        if let Some(norm) = self.clip_gradient {
            // As the scalar of the model sees it: 1e-300 is 0 in f32, and would stop all learning.
            let accepted = T::of(norm) > T::zero() && T::of(norm).is_finite();
            require(accepted, "clip_gradient", "finite and above 0", norm)?;
        }
        if let Some(schedule) = self.schedule {
            schedule.check()?;
        }
        // Such an optimizer compares losses and gradients of several steps.
        let changing = [
            ("corruption", self.corruption.is_some()),
            ("a clipped gradient", self.clip_gradient.is_some()),
            ("a unit-norm decoder", self.unit_norm_decoder),
            ("annealing", self.annealing.is_set()),
            ("a set point", self.set_point.is_some()),
            ("dead units", self.dead_units.is_some()),
        ];
        for (what, is_set) in changing {
            if is_set && self.optimizer.needs_full_batch() {
                return Err(Error::Incompatible {
                    what,
                    other: "a full-batch optimizer",
                });
            }
        }
        self.corruption
            .map_or(Ok(()), |corruption| corruption.check::<T>())
    }

    /// Whether this model can be trained with these settings.
    fn check_for(&self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
        let (objective, layout) = (model.objective(), model.layout());
        self.annealing.check(objective, layout)?;
        if let Some(set_point) = &self.set_point {
            if self.annealing.sparsity.is_some() {
                return Err(Error::Incompatible {
                    what: "a sparsity warm-up",
                    other: "a set point",
                });
            }
            set_point.check(objective)?;
        }
        self.check_shared(objective)?;
        self.dead_units
            .map_or(Ok(()), |dead_units| dead_units.check(objective, layout))
    }

    /// Refuses samples of another size, and, as far as they are in memory, unfit values. All others
    /// are checked as they are read.
    fn check_source(
        &self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
    ) -> Result<(), Error> {
        model.check_size(samples.visible(), samples.count())?;
        match samples.in_memory() {
            Some(samples) => model.check_training_samples(samples),
            None if self.optimizer.needs_full_batch() => Err(Error::Incompatible {
                what: "samples that are not in memory",
                other: "a full-batch optimizer",
            }),
            None => Ok(()),
        }
    }

    /// The samples to learn from, by index, and a copy of those held out.
    #[allow(clippy::type_complexity)]
    fn split(
        &mut self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<(Vec<usize>, Option<DMatrix<T>>), Error> {
        let mut order: Vec<usize> = (0..samples.count()).collect();
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
        let mut held_out = DMatrix::zeros(model.layout().visible(), count);
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

    fn batch_size_for(&self, samples: usize) -> Result<usize, Error> {
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
    fn gathered_step(
        &mut self,
        model: &mut SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        chosen: &[usize],
        epoch: usize,
    ) -> Result<(Loss<T>, bool), Error> {
        let rows = model.layout().visible();
        let mut batch = std::mem::take(&mut self.running.batch);
        batch.resize(rows * chosen.len().max(batch.len() / rows), T::zero());
        let gathered = &mut batch[..rows * chosen.len()];
        let threads = self.running.workspace.scratch.take_threads();
        reading::read(model, samples, chosen, gathered, threads).inspect_err(|_| self.give_up())?;
        let view = DMatrixView::from_slice(gathered, rows, chosen.len());
        let step = self.step(model, view, epoch);
        self.running.batch = batch;
        step
    }
}
