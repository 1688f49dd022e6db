//! Conventions of other systems: the layout of weights, and the scale of the objective.

use nalgebra::{DMatrix, DVector};

use crate::validate::check_shape;
use crate::{AsMatrix, Error, Layer, LayerView, Real, ReconstructionLoss};

/// The convention of another system: the orientation of its matrices, and the scale of its weight decay
/// and penalty weight.
///
/// All systems minimize a multiple of the same objective. Here e = x̂ − x, and H is the cross-entropy of a sample:
///
/// | | objective for `d` entries per sample | is ours times | weight decay here | penalty weight here |
/// |---|---|---|---|---|
/// | `Ufldl` | `1/m Σ ½‖e‖² + λ/2 Σ‖W‖² + β Ω` | 1 | λ | β |
/// | `Matlab` | `1/m Σ ‖e‖² + λ/2 Σ‖W‖² + β Ω` | 2 | λ/2 | β/2 |
/// | `SaeLens` | `1/m Σ ‖e‖² + β Ω` | 2 | λ/2 | β/2 |
/// | `PyTorch`, squared error | `1/m Σ ‖e‖²/d + λ/2 Σ‖W‖² + β Ω` | 2/d | λd/2 | βd/2 |
/// | `Keras`, squared error | `1/m Σ ‖e‖²/d + λ Σ‖W‖² + β Ω` | 2/d | λd | βd/2 |
/// | `PyTorch`, cross-entropy | `1/m Σ H/d + λ/2 Σ‖W‖² + β Ω` | 1/d | λd | βd |
/// | `Keras`, cross-entropy | `1/m Σ H/d + λ Σ‖W‖² + β Ω` | 1/d | 2λd | βd |
///
/// ```
/// use sparse_autoencoder::{Convention, KlDivergence, SparseAutoencoder};
///
/// // trainAutoencoder(X, 25, 'L2WeightRegularization', 0.004,
/// //                  'SparsityRegularization', 4, 'SparsityProportion', 0.1)
/// let theirs = Convention::Matlab;
/// let sae: SparseAutoencoder<f64> = SparseAutoencoder::builder()
///     .layers([64, 25])
///     .penalty(KlDivergence)
///     .sparsity_target(0.1)
///     .penalty_weight(theirs.penalty_weight(4.0, 64))
///     .weight_decay(theirs.weight_decay(0.004, 64))
///     .build()?;
/// assert_eq!(theirs.penalty_weight(4.0, 64), 2.0);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Convention {
    /// The exercises of Stanford's UFLDL tutorial, their source CS294A (Ng 2011), and mlpack. `W₁` is
    /// hidden × input, `W₂` input × hidden.
    Ufldl,
    /// `trainAutoencoder`: its regularizations are weights of this objective. `EncoderWeights` and
    /// `DecoderWeights` have the shapes of UFLDL. `ScaleData` corresponds to a
    /// [`Scaling`](crate::Scaling).
    Matlab,
    /// `Dense` layers, whose kernels are `inputs × units`, and the loss `mse` or
    /// `binary_crossentropy`, a mean over the entries of a sample. The weight of `regularizers.L2` is
    /// the weight decay. The weight of an `activity_regularizer` `L1` is the penalty weight. (Keras 2 and
    /// later, where a regularizer of activations is a mean over the batch.)
    Keras(ReconstructionLoss),
    /// `torch.nn.Linear`, whose weights are `outputs × inputs`, and `MSELoss` or `BCELoss`, a mean over
    /// the entries of a sample. Its weight decay is the one of an optimizer without decoupling, which
    /// decays biases, too. This crate does not decay biases.
    PyTorch(ReconstructionLoss),
    /// SAELens and dictionary_learning: `W_enc` is input × hidden, `W_dec` hidden × input. The weight of
    /// the L1 term is the penalty weight. An L1 term weighted by the norms of the decoder corresponds to
    /// [`norm_weighted`](crate::SparseAutoencoderBuilder::norm_weighted). The module `files` reads whole
    /// files.
    SaeLens,
}

impl Convention {
    /// Returns their objective divided by this crate's, for samples of `input_size` entries.
    #[must_use]
    pub fn scale(self, input_size: usize) -> f64 {
        let per_entry = |reconstruction| match reconstruction {
            ReconstructionLoss::SquaredError => 2.0 / f64::of_count(input_size),
            ReconstructionLoss::BinaryCrossEntropy => 1.0 / f64::of_count(input_size),
        };
        match self {
            Self::Ufldl => 1.0,
            Self::Matlab | Self::SaeLens => 2.0,
            Self::Keras(reconstruction) | Self::PyTorch(reconstruction) => {
                per_entry(reconstruction)
            }
        }
    }

    /// Converts their weight decay to [`weight_decay`](crate::SparseAutoencoderBuilder::weight_decay),
    /// for samples of `input_size` entries.
    #[must_use]
    pub fn weight_decay(self, theirs: f64, input_size: usize) -> f64 {
        let halves = if matches!(self, Self::Keras(_)) {
            2.0
        } else {
            1.0
        };
        halves * theirs / self.scale(input_size)
    }

    /// Converts their penalty weight to
    /// [`penalty_weight`](crate::SparseAutoencoderBuilder::penalty_weight), for samples of `input_size`
    /// entries.
    #[must_use]
    pub fn penalty_weight(self, theirs: f64, input_size: usize) -> f64 {
        theirs / self.scale(input_size)
    }

    /// Converts their weights and biases to a layer.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] unless the decoder has the transposed shape of the encoder.
    pub fn layer<T: Real>(
        self,
        encoder_weights: impl AsMatrix<T>,
        encoder_bias: &[T],
        decoder_weights: impl AsMatrix<T>,
        decoder_bias: &[T],
    ) -> Result<Layer<T>, Error> {
        let (encoder, decoder) = (encoder_weights.as_matrix()?, decoder_weights.as_matrix()?);
        let turned = (encoder.ncols(), encoder.nrows());
        check_shape("decoder weights of a layer", turned, decoder.shape())?;
        let (w, d) = if self.has_unit_rows() {
            (encoder.transpose(), decoder.into_owned())
        } else {
            (encoder.into_owned(), decoder.transpose())
        };
        check_shape(
            "encoder bias of a layer",
            (w.ncols(), 1),
            (encoder_bias.len(), 1),
        )?;
        check_shape(
            "decoder bias of a layer",
            (w.nrows(), 1),
            (decoder_bias.len(), 1),
        )?;
        Ok(Layer {
            encoder_weights: w,
            encoder_bias: DVector::from_column_slice(encoder_bias),
            decoder_weights: Some(d),
            decoder_bias: DVector::from_column_slice(decoder_bias),
        })
    }

    /// Returns the weights of the encoder and of the decoder in their orientation. Biases are the same
    /// everywhere.
    #[must_use]
    pub fn weights<T: Real>(self, layer: &LayerView<'_, T>) -> (DMatrix<T>, DMatrix<T>) {
        let (w, d) = (layer.encoder_weights, layer.decoder_weights);
        if self.has_unit_rows() {
            (w.transpose(), d.into_owned())
        } else {
            (w.into_owned(), d.transpose())
        }
    }

    /// Whether a row of the encoder's weights belongs to a unit.
    fn has_unit_rows(self) -> bool {
        match self {
            Self::Ufldl | Self::Matlab | Self::PyTorch(_) => true,
            Self::Keras(_) | Self::SaeLens => false,
        }
    }
}
