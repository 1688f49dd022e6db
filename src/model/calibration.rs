//! Calibration of thresholds to a number of active units.

use nalgebra::DMatrixView;

use super::{HIDDEN, SparseAutoencoder};
use crate::error::{Error, require};
use crate::linalg::Threads;
use crate::validate::check_batch;
use crate::{Activation, Real};

impl<T: Real> SparseAutoencoder<T> {
    /// Sets all thresholds of the innermost [`JumpRelu`](Activation::JumpRelu) layer to one value, at which
    /// `active_units` units of a sample are active on average. Returns that threshold.
    ///
    /// Thresholds start at 0, where about half of the units are active. They learn slowly, because only
    /// pre-activations within the [bandwidth](crate::SparseAutoencoderBuilder::bandwidth) move them. Start them
    /// near the intended number of active units, after [setting the bias](Self::set_decoder_bias). In a trained
    /// model, the call trades error for sparsity.
    ///
    /// The threshold is a quantile of the positive pre-activations, so some thousand samples are enough. Equal
    /// pre-activations are all active or all inactive; ties leave fewer units active.
    ///
    /// ```
    /// use sparse_autoencoder::metrics::SparsityMetrics;
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Activation, Initialization, SparseAutoencoder, TargetL0};
    ///
    /// let samples = DMatrix::from_fn(16, 500, |i, j| ((i * 31 + j * 17) as f32).sin());
    /// let mut sae = SparseAutoencoder::builder()
    ///     .layers([16, 64])
    ///     .hidden_activation(Activation::JumpRelu)
    ///     .output_activation(Activation::Identity)
    ///     .initialization(Initialization::TransposedDecoder)
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
    /// | [`Error::UnsupportedActivation`] | the units are not `JumpRelu` |
    /// | [`Error::InvalidParameter`] | `active_units` is not above 0, or above the mean number of positive pre-activations |
    /// | [`Error::TooFewSamples`] | `active_units` times the number of samples rounds to 0 |
    /// | [`Error::NonFinite`] | pre-activations overflow |
    ///
    /// The model is then unchanged.
    pub fn calibrate_thresholds<'a>(
        &mut self,
        samples: impl Into<DMatrixView<'a, T>>,
        active_units: f64,
    ) -> Result<T, Error> {
        let samples = samples.into();
        let activation = self.hidden_activations().last().copied();
        let by_threshold = |f: &Activation| f.traits().threshold;
        if let Some(activation) = activation.filter(|f| !by_threshold(f)) {
            return Err(Error::UnsupportedActivation {
                what: "calibrate_thresholds",
                activation,
                requirement: "only units of JumpRelu have a threshold each",
            });
        }
        self.check_samples(samples, Threads::at_most(1))?;
        let kept = self.count_active(active_units, samples.ncols())?;
        let mut positive = self.encode_without_thresholds(samples)?;
        positive.retain(|&z| z > T::zero());
        require(
            kept <= positive.len(),
            "active_units",
            "at most the mean number of positive pre-activations",
            active_units,
        )?;
        let threshold = if kept == positive.len() {
            T::zero()
        } else {
            *positive
                .select_nth_unstable_by(kept, |a, b| b.to_f64().total_cmp(&a.to_f64()))
                .1
        };
        self.innermost_thresholds().fill(threshold);
        Ok(threshold)
    }

    /// Returns the number of active units of `samples` samples together.
    fn count_active(&self, active_units: f64, samples: usize) -> Result<usize, Error> {
        let units = f64::of_count(self.layout().hidden_size());
        let accepted = active_units > 0.0 && active_units <= units;
        let requirement = "above 0 and at most the number of hidden units";
        require(accepted, "active_units", requirement, active_units)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // at most all activations
        let kept = (active_units * f64::of_count(samples)).round() as usize;
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

    /// Returns the innermost activations with thresholds of 0. The thresholds do not change.
    fn encode_without_thresholds(&mut self, samples: DMatrixView<'_, T>) -> Result<Vec<T>, Error> {
        let before = self.innermost_thresholds().to_vec();
        self.innermost_thresholds().fill(T::zero());
        let hidden = self.encode(samples);
        self.innermost_thresholds().copy_from_slice(&before);
        let hidden = hidden?;
        check_batch(hidden.as_view(), hidden.nrows(), HIDDEN)?;
        Ok(Vec::from(hidden.data))
    }

    fn innermost_thresholds(&mut self) -> &mut [T] {
        let (layout, theta) = self.parameters.layout_and_theta_mut();
        let place = layout.blocks()[layout.depth() - 1].own[0].clone();
        &mut theta[place]
    }
}
