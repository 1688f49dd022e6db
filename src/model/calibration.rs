//! Calibration of thresholds to a number of active units.

mod threshold;

use nalgebra::DMatrix;

use super::{HIDDEN, SparseAutoencoder};
use crate::data::pairs::{Part, refuse_pairs};
use crate::data::samples::read;
use crate::data::spread::spread;
use crate::error::{Error, require};
use crate::linalg::{Threads, reserve};
use crate::objective::Workspace;
use crate::validate::{check_batch, check_size};
use crate::{Activation, Real, Samples, geometric_median};
use threshold::{Largest, most_values, room_of};

pub(crate) use threshold::{Calibration, activations_of, positive};

/// The largest number of samples that a calibration reads.
const MOST: usize = 4096;

/// The number of samples held out from which they decide the threshold of inference.
///
/// On samples that a model has learned from, fewer units are active. The noise of few others would be larger than that.
const ENOUGH: usize = 100;

/// The number of samples encoded together, which bounds the memory.
const CHUNK: usize = 64;

impl<T: Real> SparseAutoencoder<T> {
    /// Sets the decoder's bias to the geometric median of [`Samples`]: a matrix or a view, input × samples, a
    /// file, or a source of your own. That of a [transcoder](crate::SparseAutoencoderBuilder::output_size), which takes
    /// [`Pairs`](crate::Pairs), becomes the median of the targets.
    ///
    /// Also [calibrates](Self::calibrate_thresholds) the thresholds of [`JumpRelu`](Activation::JumpRelu) units
    /// to the sparsity target, if [`TargetL0`](crate::TargetL0) is the penalty or a part of it.
    ///
    /// Call it before the first step. With a [pre-encoder bias](crate::SparseAutoencoderBuilder::pre_encoder_bias),
    /// units then see deviations from the median, and far fewer of them die. A few thousand samples are enough. The
    /// median reads samples outside memory in [many passes](geometric_median).
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Activation, SparseAutoencoder};
    ///
    /// let samples = DMatrix::from_fn(16, 500, |i, j| 5.0 + ((i * 31 + j * 17) as f32).sin());
    /// let mut sae = SparseAutoencoder::builder()
    ///     .layers([16, 64])
    ///     .hidden_activation(Activation::TopK(4))
    ///     .output_activation(Activation::Identity)
    ///     .pre_encoder_bias(true)
    ///     .build()?;
    /// sae.start_at(&samples)?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedActivation`] if the output is not [`Activation::Identity`], and the errors of
    /// [`geometric_median`] and [`calibrate_thresholds`](Self::calibrate_thresholds). The model is then
    /// unchanged.
    pub fn start_at(&mut self, samples: impl Samples<T>) -> Result<(), Error> {
        self.start_at_median(&samples)
    }

    fn start_at_median(&mut self, samples: &dyn Samples<T>) -> Result<(), Error> {
        let output = self.output_activation();
        if output != Activation::Identity {
            return Err(Error::UnsupportedActivation {
                what: "start_at",
                activation: output,
                requirement: "the output must be Identity, so that its bias is a sample",
            });
        }
        self.check_source(samples)?;
        if let Some(samples) = samples.in_memory() {
            self.check_pairs(samples, Threads::at_most(1))?;
        }
        let mut started = self.clone();
        let targets = Part::new(samples, self.layout().target_entries());
        let median = geometric_median(&targets).map_err(|error| targets.in_whole(error))?;
        started.set_decoder_bias(&median)?;
        let settings = self.settings();
        if settings.targets_l0() {
            let inputs = Part::new(samples, self.layout().input_entries());
            started.calibrate_on(&inputs, settings.target_l0())?;
        }
        *self = started;
        Ok(())
    }

    /// Sets all thresholds of the innermost [`JumpRelu`](Activation::JumpRelu) layer, or that of
    /// [`BatchTopK`](Activation::BatchTopK), to one value, at which `active_units` units of a sample are active on
    /// average. Returns that threshold.
    ///
    /// A [fit](crate::Trainer::fit) does so for BatchTopK at its end, on the samples held out if there are 100 or more.
    /// After single steps, call it yourself. On samples that a model has not learned from, more units are active. It is
    /// 1 to 5 % more after up to 5 passes over the training samples, and 5 to 25 % more after 13 to 51. To have
    /// `active_units` there, calibrate on samples held out.
    ///
    /// Thresholds of `JumpRelu` start at 0, where about half of the units are active. They learn slowly, because only
    /// pre-activations within the [bandwidth](crate::SparseAutoencoderBuilder::bandwidth) move them. Start them
    /// near the intended number of active units, after [setting the bias](Self::set_decoder_bias). In a trained
    /// model, the call trades error for sparsity.
    ///
    /// Also chooses the bandwidth of all `JumpRelu` layers, unless the builder has set one. It becomes the distance
    /// between two thresholds: those at which `active_units / 2` and `3 active_units / 2` units are active. If
    /// ties make that distance 0, it becomes the default. If layers differ in scale, set one that suits all.
    ///
    /// The threshold is a quantile of the positive pre-activations, so a few thousand [`Samples`] are enough. Of more
    /// than 4096, the call reads 4096, spread over all by the [seed](crate::SparseAutoencoderBuilder::seed) of the
    /// model. Those of a transcoder may hold the targets, too. Equal pre-activations are all active or all inactive,
    /// whichever is nearer to `active_units`, but never all inactive.
    ///
    /// ```
    /// use sparse_autoencoder::metrics::SparsityMetrics;
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Activation, SparseAutoencoder, TargetL0};
    ///
    /// let samples = DMatrix::from_fn(16, 500, |i, j| ((i * 31 + j * 17) as f32).sin());
    /// let mut sae = SparseAutoencoder::builder()
    ///     .layers([16, 64])
    ///     .hidden_activation(Activation::JumpRelu)
    ///     .output_activation(Activation::Identity)
    ///     .penalty(TargetL0)
    ///     .sparsity_target(5.0 / 64.0)
    ///     .build()?;
    /// let threshold = sae.calibrate_thresholds(&samples, 5.0)?;
    /// assert!(threshold > 0.0);
    ///
    /// let mut sparsity = SparsityMetrics::new(64);
    /// sparsity.add(&sae.encode(&samples)?)?;
    /// assert!((sparsity.l0().unwrap() - 5.0).abs() < 0.05);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode) for the samples, and:
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::UnsupportedActivation`] | the units are neither `JumpRelu` nor `BatchTopK` |
    /// | [`Error::InvalidParameter`] | `active_units` is below 1/8192, above the number of hidden units, or, for `JumpRelu`, above the mean number of positive pre-activations |
    /// | [`Error::TooFewSamples`] | `active_units` times the number of samples rounds to 0 |
    /// | [`Error::NonFinite`] | pre-activations overflow |
    /// | those of [`Samples::read`] | samples that cannot be read |
    ///
    /// The model is then unchanged.
    pub fn calibrate_thresholds(
        &mut self,
        samples: impl Samples<T>,
        active_units: f64,
    ) -> Result<T, Error> {
        let layout = self.layout();
        if !layout.is_transcoder() {
            refuse_pairs(&samples, "an autoencoder")?;
        } else if samples.entries() == layout.sample_entries() {
            let inputs = Part::new(&samples, layout.input_entries());
            return self.calibrate_on(&inputs, active_units);
        }
        self.calibrate_on(&samples, active_units)
    }

    fn calibrate_on(&mut self, samples: &dyn Samples<T>, active_units: f64) -> Result<T, Error> {
        let activation = self.hidden_activations().last().copied();
        if let Some(activation) = activation.filter(|_| !self.has_innermost_thresholds()) {
            return Err(Error::UnsupportedActivation {
                what: "calibrate_thresholds",
                activation,
                requirement: "only JumpRelu and BatchTopK have thresholds",
            });
        }
        self.check_inputs(samples)?;
        let kept = self.count_active(active_units, samples.count().min(MOST))?;
        let mut largest = self.largest_pre_activations(samples, kept, &mut Workspace::new())?;
        let is_most = self.k_by_threshold().is_some(); // BatchTopK keeps fewer where fewer are positive
        require(
            kept <= largest.found || is_most,
            "active_units",
            "at most the mean number of positive pre-activations, about half of the units before training: \
             ask for fewer, or take more units",
            active_units,
        )?;
        let calibration = Calibration::of(&mut largest.values, kept);
        self.calibrate(calibration);
        Ok(calibration.threshold)
    }

    /// Lets the innermost units of BatchTopK keep k activations of a sample on average: of those held out if they are
    /// [`ENOUGH`], else of `samples`.
    ///
    /// The running average of a training lags behind the pre-activations, and is that of noisy samples if the training
    /// adds noise.
    pub(crate) fn set_threshold_of_inference(
        &mut self,
        samples: &dyn Samples<T>,
        held_out: Option<&DMatrix<T>>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        if let Some(k) = self.k_by_threshold() {
            let held_out = held_out.filter(|held_out| held_out.ncols() >= ENOUGH);
            let samples = held_out.map_or(samples, |held_out| held_out);
            let kept = k * samples.count().min(MOST);
            let inputs = Part::new(samples, self.layout().input_entries());
            let mut largest = self.largest_pre_activations(&inputs, kept, workspace)?;
            self.calibrate(Calibration::of(&mut largest.values, kept));
        }
        Ok(())
    }

    /// Returns the number of scalars that [`set_threshold_of_inference`](Self::set_threshold_of_inference) takes for
    /// `count` samples, and so many held out.
    pub(crate) fn room_for_threshold(&self, count: usize, held_out: usize) -> usize {
        let Some(k) = self.k_by_threshold() else {
            return 0;
        };
        let count = if held_out < ENOUGH { count } else { held_out };
        let hidden = self.layout().hidden_size().saturating_mul(count.min(CHUNK));
        let samples = self.layout().input_size().saturating_mul(count.min(CHUNK));
        // The values grow by those of a chunk, half of them positive.
        let values = room_of(most_values(k.saturating_mul(count.min(MOST))));
        samples + hidden + hidden / 2 + values
    }

    /// Returns the k of the innermost units, if a threshold keeps as many on average: that of BatchTopK.
    pub(crate) fn k_by_threshold(&self) -> Option<usize> {
        let k = self.objective().now().k;
        k.filter(|_| self.has_innermost_thresholds())
    }

    /// Whether units of the innermost layer have a threshold, or share one.
    fn has_innermost_thresholds(&self) -> bool {
        let innermost = self.hidden_activations().last();
        let has_thresholds = |f: &Activation| f.blocks().iter().any(|of| of.name == "thresholds");
        innermost.is_some_and(has_thresholds)
    }

    /// Checks the samples in memory, or the size of others.
    fn check_inputs(&self, samples: &dyn Samples<T>) -> Result<(), Error> {
        match samples.in_memory() {
            Some(samples) => self.check_samples(samples, Threads::at_most(1)),
            None => {
                let size = (samples.entries(), samples.count());
                check_size(size, self.layout().input_size(), self.names())
            }
        }
    }

    /// Returns the largest positive pre-activations of the innermost layer, 3 `kept` and two more, from at most
    /// [`MOST`] of the samples, spread over all.
    fn largest_pre_activations(
        &self,
        samples: &dyn Samples<T>,
        kept: usize,
        workspace: &mut Workspace<T>,
    ) -> Result<Largest<T>, Error> {
        let name = "samples to calibrate with";
        let chosen = spread(samples.count(), MOST, self.settings().seed);
        let chunk = chosen.len().min(CHUNK);
        let mut batch = reserve::matrix(samples.entries(), chunk, name)?;
        let units = self.layout().hidden_size();
        let mut hidden = reserve::matrix(units, chunk, name)?;
        let mut largest = Largest {
            values: Vec::new(),
            found: 0,
            most: most_values(kept),
        };
        for chosen in chosen.chunks(CHUNK) {
            batch.resize_horizontally_mut(chosen.len(), T::zero());
            hidden.resize_horizontally_mut(chosen.len(), T::zero());
            read(samples, chosen, batch.as_mut_slice())?;
            self.check_samples(batch.as_view(), Threads::at_most(1))
                .map_err(|error| error.at_chosen(chosen))?;
            let z = hidden.as_mut_slice();
            self.inference()
                .pre_activations_into(batch.as_view(), z, workspace);
            check_batch(hidden.as_view(), units, HIDDEN)
                .map_err(|error| error.at_sample(|column| chosen[column]))?;
            largest.add(positive(hidden.as_mut_slice()));
        }
        Ok(largest)
    }

    /// Sets the thresholds, and the bandwidth of those that learn unless the builder has.
    pub(crate) fn calibrate(&mut self, found: Calibration<T>) {
        if self.k_by_threshold().is_none() {
            let bandwidth = Some(found.bandwidth.to_f64()).filter(|&bandwidth| bandwidth > 0.0);
            self.calibrate_bandwidth(bandwidth);
        }
        self.innermost_thresholds().fill(found.threshold);
    }

    /// Returns the number of active units of `samples` samples together.
    fn count_active(&self, active_units: f64, samples: usize) -> Result<usize, Error> {
        let units = f64::of_count(self.layout().hidden_size());
        // Half a unit in all samples that a call reads.
        let accepted = active_units >= 0.5 / f64::of_count(MOST) && active_units <= units;
        let requirement = "at least 1/8192 and at most the number of hidden units";
        require(accepted, "active_units", requirement, active_units)?;
        let kept = activations_of(active_units, samples);
        if kept == 0 {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
            let needed = (0.5 / active_units).ceil() as usize;
            return Err(Error::TooFewSamples {
                what: "samples for so few active units",
                needed,
                actual: samples,
            });
        }
        Ok(kept)
    }

    pub(crate) fn innermost_thresholds(&mut self) -> &mut [T] {
        let (layout, theta) = self.parameters.layout_and_theta_mut();
        let place = layout.blocks()[layout.depth() - 1].own[0].clone();
        &mut theta[place]
    }
}
