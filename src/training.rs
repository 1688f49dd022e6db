// First, as documentation shows the methods of these in this order.
mod fitting;

#[cfg(feature = "serde")]
mod checkpoint;

pub(crate) mod all_reduce;
mod annealing;
mod auxiliary;
mod checks;
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
mod warning;

pub use all_reduce::AllReduce;
#[cfg(feature = "serde")]
pub use checkpoint::Every;
pub use dead_units::DeadUnits;
pub use report::{Epoch, Report, StopReason};
pub use set_point::{SetPoint, SetPointState};
pub use warning::Warning;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::linalg::Aligned;
use crate::objective::Objective;
use crate::objective::Workspace;
use crate::optimizer::Optimizer;
use crate::{Corruption, Real, Schedule};
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
    /// Whether all processes know that they go on alike.
    agreed: bool,
    /// A fit that stopped between two steps, and that the next one goes on with.
    paused: Option<Progress<T>>,
    rng: Xoshiro256PlusPlus,
    workspace: Workspace<T>,
    /// The samples of a batch, and the same with noise.
    batch: Aligned<T>,
    noisy: Aligned<T>,
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
                agreed: false,
                paused: None,
                rng: Xoshiro256PlusPlus::seed_from_u64(0),
                workspace: Workspace::new(),
                batch: Aligned::new(),
                noisy: Aligned::new(),
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
    /// follows is the same everywhere, so the models stay the same, to the bit, and so are the reports:
    /// the loss of an epoch is the mean over the samples of all processes. A validation split is one of
    /// each process's samples.
    ///
    /// All processes end together: an observer that stops the training stops it everywhere, and an error
    /// of one process, such as a sample that cannot be read or a checkpoint that cannot be written, ends
    /// the training in all with an error, in the others with [`Error::Incompatible`](crate::Error). A
    /// process that differs from the others in its model, its settings, or the position from which it
    /// [resumes](Self#method.resume) is found before the first step.
    ///
    /// Refused with activations that select over a batch, which would be that of each process, and
    /// with dead units that start again.
    pub fn all_reduce(mut self, all_reduce: impl AllReduce<T> + 'static) -> Self {
        self.all_reduce = Some(Box::new(all_reduce));
        self
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
        self.running.agreed = false;
        self.running.paused = None;
        self.running.rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
    }
}
