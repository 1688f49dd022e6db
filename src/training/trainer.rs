//! The trainer and its setters.

use std::sync::Arc;

use nalgebra::DMatrix;

use super::checkpoint::Checkpoints;
use super::distributed::Processes;
use super::engine::Engine;
use super::measured::Measured;
use super::progress::Progress;
use super::setters::setters_of_every_training;
use super::step::State;
use super::{AllReduce, AnnealK, DeadUnits, SetPoint, SetPointState, TrainerSettings};
use crate::optimizer::Optimizer;
use crate::{Corruption, Real, Schedule};

/// Fits autoencoders: owns the loop over epochs and batches.
///
/// | setter | default | range | meaning |
/// |---|---|---|---|
/// | [`epochs`](Self::epochs) | 100 | ≥ 1 | passes over the samples; iterations of a full-batch optimizer |
/// | [`batch_size`](Self::batch_size) | 256; all for a full-batch optimizer | ≥ 1 | maximum number of samples per step |
/// | [`seed`](Self::seed) | 0 | | seed of shuffling, validation split, and corruption |
/// | [`validation_split`](Self::validation_split) | 0 | [0, 1) | fraction of the samples held out |
/// | [`patience`](Self::patience) | none | ≥ 1 | epochs without improvement before stopping |
/// | [`schedule`](Self::schedule) | none | | schedule of the learning rate |
/// | [`clip_gradient`](Self::clip_gradient) | none | > 0 | largest Euclidean norm of a gradient |
/// | [`threads`](Self::threads) | rayon's pool | | never changes a bit of the result |
/// | [`validation`](Self::validation) | none | | samples of your own to measure the validation loss on |
/// | [`stream_steps`](Self::stream_steps) | unknown | ≥ 1 | number of steps by [`partial_fit`](Self::partial_fit), for schedules |
/// | [`bias_rate`](Self::bias_rate) | 1 | ≥ 0 | learning rate of encoder biases, as a multiple of that of weights |
/// | [`unit_norm_decoder`](Self::unit_norm_decoder) | `false` | | columns of the decoder keep norm 1 |
/// | [`sparsity_warm_up`](Self::sparsity_warm_up) | none | (0, 1] | fraction of the steps in which β rises |
/// | [`anneal_k`](Self::anneal_k) | none | ≥ k; (0, 1] | first k, and fraction of the steps in which it falls |
/// | [`set_point`](Self::set_point) | none | | sparsity to reach by adjusting β |
/// | [`dead_units`](Self::dead_units) | inactive for an epoch | | which units count as dead, and how they are revived |
/// | [`corruption`](Self::corruption) | none | | noise of the input, for denoising |
/// | [`all_reduce`](Self::all_reduce) | one process | | training by several processes |
#[cfg_attr(
    feature = "files",
    doc = "| [`checkpoint`](Self::checkpoint) | none | every ≥ 1 | the file from which an interrupted fit continues |"
)]
///
/// Each epoch shuffles the samples by the seed. Batches of an epoch differ in size by at most one
/// sample, so that no small remainder distorts a batch mean. [`fit`](Self::fit) checks the settings.
///
/// The learning rate is that of the optimizer. A [`ClassifierTrainer`](crate::ClassifierTrainer) fits classifiers.
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
/// assert_eq!(report.losses.len(), report.epochs);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Trainer<T> {
    pub(super) engine: Engine<T>,
    pub(super) state: State<T>,
    pub(super) processes: Processes<T>,
    pub(super) checkpoints: Checkpoints,
    /// Whether all processes are known to take the same steps.
    pub(super) agreed: bool,
    /// A fit that stopped between two steps. The next fit continues it.
    pub(super) paused: Option<Progress<T, Measured<T>>>,
    /// The samples of [`Trainer::validation`].
    pub(super) validation: Option<Arc<DMatrix<T>>>,
    /// Whether reports compare with a baseline, for which fits read the samples once more.
    pub(super) has_baseline: bool,
}

impl<T: Real> Trainer<T> {
    /// Creates a trainer with this optimizer.
    pub fn new(optimizer: impl Optimizer<T> + 'static) -> Self {
        Self::with_settings(optimizer, TrainerSettings::default())
    }

    /// Creates a trainer with these settings, such as those of a file.
    pub fn with_settings(
        optimizer: impl Optimizer<T> + 'static,
        settings: TrainerSettings,
    ) -> Self {
        Self {
            engine: Engine::new(Box::new(optimizer), settings),
            state: State::default(),
            processes: Processes::default(),
            checkpoints: Checkpoints::default(),
            agreed: false,
            paused: None,
            validation: None,
            has_baseline: true,
        }
    }

    setters_of_every_training!();

    /// Measures the validation loss on these samples, input × samples, instead of on a
    /// [part](Self::validation_split) of those of the fit.
    ///
    /// Use it where samples belong to groups, or follow each other in time: a random part would hold neighbors of the
    /// samples learned from. Scale them as the samples of the fit. Those of a
    /// [transcoder](crate::SparseAutoencoderBuilder::output_size) are [pairs](crate::Pairs) in one matrix. Read a file
    /// by [`NpyFile::load`](crate::NpyFile::load) or [`to_matrix`](crate::Samples::to_matrix).
    ///
    /// 100 or more also set the threshold of [`BatchTopK`](crate::Activation::BatchTopK).
    ///
    /// Refused together with a validation split, and by calls that scale or encode the samples themselves: those of
    /// detectors and stacks.
    ///
    /// ```
    /// use sparse_autoencoder::{Adam, Scaling, SparseAutoencoder, Trainer, nalgebra::DMatrix};
    ///
    /// let series = DMatrix::from_fn(6, 120, |i, j| ((i + j) as f64 / 9.0).sin());
    /// let (past, future) = (series.columns(0, 90), series.columns(90, 30));
    /// let scaler = Scaling::min_max(0.1, 0.9).fit(&past)?;
    /// let mut sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
    /// let report = Trainer::new(Adam::new(1e-2)?)
    ///     .validation(scaler.apply(future)?)
    ///     .patience(5)
    ///     .fit(&mut sae, &scaler.apply(past)?)?;
    /// assert_eq!(report.validation_losses.len(), report.epochs);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn validation(mut self, samples: DMatrix<T>) -> Self {
        self.validation = Some(Arc::new(samples));
        self
    }

    /// Leaves out of reports what a baseline is needed for.
    pub(crate) fn without_baseline(mut self) -> Self {
        self.has_baseline = false;
        self
    }

    /// Sets the number of steps that [`partial_fit`](Self::partial_fit) will take, ≥ 1.
    ///
    /// The [schedule](Self::schedule), the [rise of the penalty](Self::sparsity_warm_up), and the [fall
    /// of k](Self::anneal_k) span this many steps and then hold. Steps of an earlier [`fit`](Self::fit) with this
    /// trainer count, too. A fit computes the number itself.
    pub fn stream_steps(mut self, steps: usize) -> Self {
        self.engine.settings.stream_steps = Some(steps);
        self
    }

    /// Multiplies the learning rate of the encoder's biases by this factor, ≥ 0. [`Gated`](crate::Activation::Gated)
    /// units have two each: that of the gate, and `magnitude_bias`.
    ///
    /// A step of [`Adam`](crate::Adam) moves every parameter by about the learning rate. In a sample with d entries of
    /// size 1, the weights of a unit then move its pre-activation by up to d times the rate, and its bias by once
    /// the rate. √d lets the bias follow. It helps `Relu` units under an [`L1`](crate::L1) penalty at any rate, and units
    /// that compete, as those of `TopK`, at rates up to about 0.002. An [auxiliary
    /// loss](crate::DeadUnits::auxiliary) revives units whose bias falls too far.
    pub fn bias_rate(mut self, factor: f64) -> Self {
        self.engine.settings.bias_rate = Some(factor);
        self
    }

    /// Scales every decoder column to norm 1 after each step, and removes the part of the gradient along
    /// the column (Bricken et al. 2023, *Towards Monosemanticity*).
    ///
    /// Otherwise a growing decoder evades a penalty on the size of the activations. With tied weights the
    /// encoder columns have norm 1 too. The first step scales a decoder that starts with another
    /// [norm](crate::Initialization), and the loss may jump.
    pub fn unit_norm_decoder(mut self, kept: bool) -> Self {
        self.engine.settings.unit_norm_decoder = kept;
        self
    }

    /// Raises the penalty weights β of all hidden layers linearly from 0 over this fraction of the steps, in (0, 1].
    ///
    /// A penalty that is strong from the start kills units before they learn anything. A fit refuses a warm-up of a
    /// model without a penalty, and beside a [set point](Self::set_point), which moves β itself.
    pub fn sparsity_warm_up(mut self, fraction: f64) -> Self {
        self.engine.settings.sparsity_warm_up = Some(fraction);
        self
    }

    /// Lowers k linearly from `from` to the k of the model over this fraction of the steps, in (0, 1], so
    /// that more units learn.
    ///
    /// Makhzani & Frey 2013, *k-Sparse Autoencoders*, use half of the steps. `from` lies between the k of the innermost
    /// activation, [`TopK`](crate::Activation::TopK), [`AbsTopK`](crate::Activation::AbsTopK), or
    /// [`BatchTopK`](crate::Activation::BatchTopK), and the number of units.
    ///
    /// With [`JumpRelu`](crate::Activation::JumpRelu) and [`TargetL0`](crate::TargetL0), k is the number of
    /// active units at the sparsity target. While it falls, each step starts by
    /// [calibrating](crate::SparseAutoencoder::calibrate_thresholds) the thresholds to it, on up to 1024
    /// samples spread over the batch. Afterwards, they learn. `from` may be k itself. Several processes average
    /// their thresholds, so their samples should be alike. A [set point](Self::set_point) is refused, because the
    /// penalty weight has no effect on k.
    pub fn anneal_k(mut self, from: usize, fraction: f64) -> Self {
        self.engine.settings.anneal_k = Some(AnnealK::new(from, fraction));
        self
    }

    /// Adjusts the penalty weight β until the model has this sparsity. The model keeps its own weight: see
    /// [`SetPoint`].
    pub fn set_point(mut self, set_point: SetPoint) -> Self {
        self.engine.settings.set_point = Some(set_point);
        self
    }

    /// Sets which units of the innermost layer count as dead, and how they are revived.
    ///
    /// Unset, a fit counts those that were inactive for an epoch, and a stream counts none.
    ///
    /// Units that are never exactly 0, such as sigmoid units, and full-batch optimizers refuse it.
    pub fn dead_units(mut self, dead_units: DeadUnits) -> Self {
        self.engine.settings.dead_units = Some(dead_units);
        self
    }

    /// Adds noise to the input, in units of the samples as the fit takes them. The reconstruction is still compared
    /// with the clean samples, so that [`reconstruct`](crate::SparseAutoencoder::reconstruct) removes noise of this
    /// kind.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, Adam, Corruption, SparseAutoencoder, Trainer, nalgebra::DMatrix};
    ///
    /// let clean = DMatrix::from_fn(8, 200, |i, j| f32::from(i / 2 == j % 4)); // in [0, 1], as a sigmoid output
    /// let builder = SparseAutoencoder::builder().layers([8, 16]).hidden_activation(Activation::Relu);
    /// let mut sae = builder.penalty(()).build()?;
    /// let noise = Corruption::Gaussian { standard_deviation: 0.3 };
    /// Trainer::new(Adam::new(1e-2)?).corruption(noise).fit(&mut sae, &clean)?;
    /// let noisy = clean.map_with_location(|i, j, x| x + if (i + j) % 2 == 0 { 0.3 } else { -0.3 });
    /// let restored = sae.reconstruct(&noisy)?;
    /// assert!((restored - &clean).norm() < 0.5 * (noisy - clean).norm());
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn corruption(mut self, corruption: Corruption) -> Self {
        self.engine.settings.corruption = Some(corruption);
        self
    }

    /// Trains one model by several processes, each with its own samples. A step equals that of one process
    /// with the batches of all, up to rounding.
    ///
    /// Every process builds the same model and the same trainer, and calls the same methods in the same
    /// order. The numbers of samples may differ; settings and the number of batches may not. The mean
    /// activations ρ̂ are averaged over all samples before the penalty, losses and gradients after the
    /// backward pass. Models and reports therefore stay equal to the bit. The loss of an epoch is the
    /// mean over the samples of all processes. Each process holds out a validation split of its own
    /// samples. Give each a [seed](Self::seed) of its own: with the same one, the first, second, … samples of all
    /// processes get the same [noise](Self::corruption).
    ///
    /// All processes end together. An observer that stops the training stops it everywhere, also within
    /// an epoch. An error in one process ends the training in all, such as an unreadable sample or an error
    /// that an observer returns. The others return [`Error::Incompatible`](crate::Error). If models, settings,
    /// or positions differ, the fit fails before the first step.
    ///
    /// Refused for activations that select over a batch, because each process has only its own batch, and
    /// for resampling of dead units.
    pub fn all_reduce(mut self, all_reduce: impl AllReduce<T> + 'static) -> Self {
        self.processes = Processes::together(all_reduce);
        self
    }

    /// Returns the penalty weight that the [set point](Self::set_point) has reached, and the sparsity.
    /// `None` before the first step.
    #[must_use]
    pub fn set_point_state(&self) -> Option<SetPointState<T>> {
        self.state.controller.state()
    }

    /// Forgets the state of the optimizer and restarts the random numbers.
    pub fn reset(&mut self) {
        self.engine.prepared = None;
        self.engine.steps = 0;
        self.engine.rng = self.engine.seeded();
        self.agreed = false;
        self.paused = None;
        self.state.reset();
    }
}
