//! Folding of an input scaling into the parameters.

use crate::units::Units;
use crate::validate::check_len;
use crate::{Activation, Error, Real, Scaler, SparseAutoencoder};

impl<T: Real> SparseAutoencoder<T> {
    /// Changes this model to accept raw samples, by folding the scaler into its parameters.
    ///
    /// Before, the model encoded `x′ = (x − μ) f + o`. After, it encodes `x` to the same activations, up to
    /// rounding, and its reconstruction is scaled back.
    ///
    /// ```text
    /// b ← b + Wᵀ(o − f μ)                  without a pre-encoder bias
    /// b_mag ← b_mag + eʳ ⊙ Wᵀ(o − f μ)     likewise, for gated units
    /// W ← f W,     D ← D/f,     c ← (c − o)/f + μ
    /// ```
    ///
    /// Factor `k` applies to row `k`. Thresholds do not change. A scaler without effect folds into every model.
    ///
    /// That of a [transcoder](crate::SparseAutoencoderBuilder::output_size), by
    /// [`Scaler::with_targets`], has μ, f, and o of the input, for W and b, and then ν, g, and q of the target:
    ///
    /// ```text
    /// D ← D/g,     c ← (c + S(o − f μ) − q)/g + ν,     S ← g⁻¹ S f
    /// ```
    ///
    /// Further training on raw samples has another objective: errors, the weight decay, and norm-weighted
    /// penalties are in other units.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, Scaling, SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let samples = DMatrix::from_fn(4, 9, |i, j| 100.0 + (i * j % 7) as f64);
    /// let scaler = Scaling::standard().keep_constant_features().fit(&samples)?;
    /// let mut sae = SparseAutoencoder::builder()
    ///     .layers([4, 6])
    ///     .output_activation(Activation::Identity)
    ///     .build()?; // and fitted to scaled samples
    /// let before = sae.encode(&scaler.apply(&samples)?)?;
    /// sae.fold(&scaler)?;
    /// assert!((sae.encode(&samples)? - before).amax() < 1e-12); // the same model, on raw samples
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::DimensionMismatch`] | the scaler has another number of features |
    /// | [`Error::Incompatible`] | the output is not [`Activation::Identity`], or weights are tied and factors are not 1 |
    /// | [`Error::NonFinite`] | a parameter becomes too large for `T` |
    ///
    /// The model is then unchanged.
    pub fn fold(&mut self, scaler: &Scaler<T>) -> Result<(), Error> {
        if !self.check_folding(scaler)? {
            return Ok(());
        }
        let layout = self.layout();
        let blocks = layout.blocks()[0].clone();
        let mut theta = self.parameters().as_slice().to_vec();
        let of_target = layout.target_entries().start;
        let (mu, f, o) = (scaler.centers(), scaler.factors(), scaler.offsets());
        let columns = theta[blocks.encoder_weights.clone()].chunks_exact_mut(blocks.below);
        let mut shifts = Vec::with_capacity(blocks.above);
        for w in columns {
            let mut shift = T::zero();
            for (k, w) in w.iter_mut().enumerate() {
                shift += *w * (o[k] - f[k] * mu[k]);
                *w *= f[k];
            }
            shifts.push(shift);
        }
        if !self.has_pre_encoder_bias() {
            let mut own = blocks.own_mut(&mut theta);
            self.hidden_activations()[0].with(|f: &dyn Units<T>| f.shift(&mut own, &shifts));
        }
        if !layout.is_tied() {
            let decoder = &mut theta[blocks.decoder_weights.clone()];
            for d in decoder.chunks_exact_mut(blocks.decoded) {
                d.iter_mut()
                    .zip(&f[of_target..])
                    .for_each(|(d, &f)| *d /= f);
            }
        }
        if let Some(place) = layout.skip() {
            for (k, column) in place.step_by(blocks.decoded).enumerate() {
                for row in 0..blocks.decoded {
                    let s = theta[column + row];
                    theta[blocks.decoder_bias.start + row] += s * (o[k] - f[k] * mu[k]);
                    theta[column + row] = s * f[k] / f[of_target + row];
                }
            }
        }
        let (mu, f, o) = (&mu[of_target..], &f[of_target..], &o[of_target..]);
        for (k, c) in theta[blocks.decoder_bias.clone()].iter_mut().enumerate() {
            *c = (*c - o[k]) / f[k] + mu[k];
        }
        self.set_theta(&theta)
    }

    /// Refuses a scaler that does not fit the model. Returns `false` for one without effect.
    fn check_folding(&self, scaler: &Scaler<T>) -> Result<bool, Error> {
        let layout = self.layout();
        let what = match layout.is_transcoder() {
            true => "features of the scaler of a transcoder",
            false => "features of the scaler",
        };
        check_len(what, layout.sample_entries(), scaler.features())?;
        let scales = scaler.factors().iter().any(|&f| f != T::one());
        if !scales && scaler.centers() == scaler.offsets() {
            return Ok(false);
        }
        let incompatible = |other| {
            let what = "folding of the scaling";
            Err(Error::Incompatible { what, other })
        };
        if self.output_activation() != Activation::Identity {
            return incompatible("an output other than Identity");
        }
        if layout.is_tied() && scales {
            return incompatible("tied weights");
        }
        Ok(true)
    }
}
