//! Folding of the norms of the decoder columns into the units.

use crate::linalg;
use crate::units::Units;
use crate::{Error, Real, SparseAutoencoder};

impl<T: Real> SparseAutoencoder<T> {
    /// Scales the innermost decoder columns to norm 1, and the hidden activations by the norms instead.
    ///
    /// ```text
    /// dⱼ ← dⱼ/‖dⱼ‖,   wⱼ ← ‖dⱼ‖ wⱼ,   bⱼ ← ‖dⱼ‖ bⱼ,   tⱼ ← ‖dⱼ‖ tⱼ
    /// ```
    ///
    /// `t` are the thresholds of [`JumpRelu`](crate::Activation::JumpRelu), and `b` includes both biases of
    /// [`Gated`](crate::Activation::Gated) units. Reconstructions stay the same, up to rounding. A unit whose
    /// column is 0 does not change.
    ///
    /// An activation is then the norm of the unit's contribution to the reconstruction, and comparable between
    /// models. Further training has another objective, unless the penalty is
    /// [norm-weighted](crate::SparseAutoencoderBuilder::norm_weighted).
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let mut sae = SparseAutoencoder::<f64>::builder()
    ///     .layers([4, 6])
    ///     .hidden_activation(Activation::Relu)
    ///     .output_activation(Activation::Identity)
    ///     .penalty(())
    ///     .build()?;
    /// let samples = DMatrix::from_fn(4, 9, |i, j| (i * j % 7) as f64);
    /// let before = sae.reconstruct(&samples)?;
    /// sae.fold_decoder_norm()?;
    /// assert!((sae.reconstruct(&samples)? - before).amax() < 1e-12);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::UnsupportedActivation`] | units other than `Relu`, `Identity`, `JumpRelu`, and `Gated` |
    /// | [`Error::Incompatible`] | tied weights |
    /// | [`Error::NonFinite`] | a parameter becomes too large for `T` |
    ///
    /// The model is then unchanged.
    pub fn fold_decoder_norm(&mut self) -> Result<(), Error> {
        let layout = self.layout();
        let innermost = layout.depth() - 1;
        let activation = self.hidden_activations()[innermost];
        if !activation.traits().scales {
            return Err(Error::UnsupportedActivation {
                what: "fold_decoder_norm",
                activation,
                requirement: "only Relu, Identity, JumpRelu, and Gated units keep their activity when they are scaled",
            });
        }
        if layout.is_tied() {
            return Err(Error::Incompatible {
                what: "fold_decoder_norm",
                other: "tied weights",
            });
        }
        let blocks = layout.blocks()[innermost].clone();
        let mut theta = self.parameters().as_slice().to_vec();
        for unit in 0..blocks.above {
            let column = |start: usize, rows: usize| {
                let first = start + unit * rows;
                first..first + rows
            };
            let decoder = &mut theta[column(blocks.decoder_weights.start, blocks.decoded)];
            let norm = linalg::norm(decoder);
            if norm <= 0.0 {
                continue;
            }
            for value in decoder {
                *value = T::of(value.to_f64() / norm);
            }
            let encoder = &mut theta[column(blocks.encoder_weights.start, blocks.below)];
            for value in encoder {
                *value = T::of(value.to_f64() * norm);
            }
            let mut own = blocks.own_mut(&mut theta);
            activation.with(|f: &dyn Units<T>| f.scale(&mut own, unit, norm));
        }
        self.set_theta(&theta)
    }
}
