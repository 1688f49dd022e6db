//! The norms of the decoder's columns, folded into the units.

use crate::units::Units;
use crate::{Error, Real, SparseAutoencoder};

impl<T: Real> SparseAutoencoder<T> {
    /// Brings the decoder's columns of the innermost layer to norm 1 and multiplies the hidden
    /// activations with the norms instead. Reconstructions stay the same, up to rounding; a column that
    /// is 0 stays, with its unit.
    ///
    /// ```text
    /// D_j ← D_j/‖D_j‖,   w_j ← ‖D_j‖ w_j,   b_j ← ‖D_j‖ b_j,   t_j ← ‖D_j‖ t_j
    /// ```
    ///
    /// with `t` the thresholds of [`JumpRelu`](crate::Activation::JumpRelu), and `b` both biases of
    /// [`Gated`](crate::Activation::Gated) units. Activations of different models are then comparable, as each
    /// has the length of what its unit adds to the reconstruction. Trained further, the model has
    /// another objective, unless its penalty is
    /// [weighed by the norms](crate::SparseAutoencoderBuilder::norm_weighted).
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let mut sae = SparseAutoencoder::<f64>::builder()
    ///     .layers([4, 6])
    ///     .hidden_activation(crate::Activation::Relu)
    ///     .output_activation(crate::Activation::Identity)
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
    /// [`Error::UnsupportedActivation`] for units other than `Relu`, `Identity`, `JumpRelu`, and
    /// `Gated`, which a factor changes in another way; [`Error::Incompatible`] for tied weights;
    /// [`Error::NonFinite`] for a result that is too large for `T`. The model is then unchanged.
    pub fn fold_decoder_norm(&mut self) -> Result<(), Error> {
        let layout = self.layout();
        let innermost = layout.depth() - 1;
        let activation = self.hidden_activations()[innermost];
        if !activation.traits().scales {
            return Err(Error::UnsupportedActivation {
                what: "fold_decoder_norm",
                activation,
                requirement: "Relu, Identity, JumpRelu, or Gated, whose units scale by themselves",
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
            let column = |start: usize| {
                let first = start + unit * blocks.below;
                first..first + blocks.below
            };
            let decoder = &mut theta[column(blocks.decoder_weights.start)];
            let norm = norm(decoder);
            if norm <= 0.0 {
                continue;
            }
            for value in decoder {
                *value = T::of(value.to_f64() / norm);
            }
            let encoder = &mut theta[column(blocks.encoder_weights.start)];
            for value in encoder {
                *value = T::of(value.to_f64() * norm);
            }
            let mut own = blocks.own_mut(&mut theta);
            activation.with(|f: &dyn Units<T>| f.scale(&mut own, unit, norm));
        }
        self.set_theta(&theta)
    }
}

/// ‖v‖, by the largest entry, so that no square overflows or vanishes.
fn norm<T: Real>(v: &[T]) -> f64 {
    let values = || v.iter().map(|value| value.to_f64());
    let largest = values().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    if largest > 0.0 {
        let sum: f64 = values().map(|value| (value / largest).powi(2)).sum();
        largest * sum.sqrt()
    } else {
        0.0
    }
}
