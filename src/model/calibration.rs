use nalgebra::{DMatrixView, DVector};

use super::{HIDDEN, SparseAutoencoder};
use crate::error::{Error, require};
use crate::linalg::Threads;
use crate::validate::check_batch;
use crate::{Activation, Real};

impl<T: Real> SparseAutoencoder<T> {
    /// Gives the [`JumpRelu`](Activation::JumpRelu) units of the innermost layer one threshold, at which
    /// `active_units` of them are active in each of these samples, on average; it is returned.
    ///
    /// Thresholds start at 0, where about half of the units are active, and learn slowly: they move
    /// only for pre-activations within the [bandwidth](crate::SparseAutoencoderBuilder::bandwidth). So
    /// start them near the number that is wanted in the end, once the
    /// [bias](Self::set_decoder_bias) is set. It is a quantile of the positive pre-activations, and some
    /// thousand samples are enough. For a trained model it is another point between error and
    /// sparsity.
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
    /// To the nearest number of activations; equal pre-activations are all active or none of them is,
    /// and then fewer are.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedActivation`] for other units, [`Error::InvalidParameter`] unless
    /// `active_units` is above 0 and at most the mean number of positive pre-activations,
    /// [`Error::TooFewSamples`] for so few samples that none of them could have an active unit,
    /// [`Error::NonFinite`] for pre-activations that overflow, and as [`encode`](Self::encode) for the
    /// samples. The model then keeps what it had.
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
        let name = "active_units";
        let units = f64::of_count(self.layout().hidden_size());
        let accepted = active_units > 0.0 && active_units <= units;
        let requirement = "above 0 and at most the number of hidden units";
        require(accepted, name, requirement, active_units)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        // at most all activations
        let kept = (active_units * f64::of_count(samples.ncols())).round() as usize;
        if kept == 0 {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
            let needed = (0.5 / active_units).ceil() as usize;
            return Err(Error::TooFewSamples {
                what: "samples for so few active units",
                needed,
                actual: samples.ncols(),
            });
        }

        let of_layer = self.layout().blocks()[self.layout().depth() - 1].own[0].clone();
        let before = DVector::from_column_slice(&self.parameters.as_slice()[of_layer.clone()]);
        self.parameters.theta_mut()[of_layer.clone()].fill(T::zero());
        let hidden = self.encode(samples);
        let thresholds = &mut self.parameters.theta_mut()[of_layer];
        thresholds.copy_from_slice(before.as_slice());

        let hidden = hidden?;
        check_batch(hidden.as_view(), hidden.nrows(), HIDDEN)?;
        let mut positive = Vec::from(hidden.data);
        positive.retain(|&z| z > T::zero());
        require(
            kept <= positive.len(),
            name,
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
        thresholds.fill(threshold);
        Ok(threshold)
    }
}
