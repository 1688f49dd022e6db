//! What other systems mean by the same words.

use nalgebra::{DMatrix, DMatrixView, DVector};

use crate::error::check_shape;
use crate::{Error, Layer, LayerView, Real, Reconstruction};

/// The convention of another system: which way its matrices lie, and what its weight decay and its
/// penalty weight are here.
///
/// All of them minimise a multiple of the same objective, with weights that grow and shrink with it:
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
    /// The exercises of Stanford's UFLDL tutorial and their source, CS294A (Ng 2011), which are also
    /// what mlpack follows. `W₁` is hidden × visible, `W₂` visible × hidden.
    Ufldl,
    /// `trainAutoencoder`: its regularizations are weights of this objective, and
    /// `EncoderWeights` and `DecoderWeights` lie as in UFLDL. Its `ScaleData` is a
    /// [`Scaling`](crate::Scaling) here.
    Matlab,
    /// `Dense` layers, whose kernels are `inputs × units`, and the loss `mse` or
    /// `binary_crossentropy`, means over the entries of a sample. The weight of `regularizers.L2` is
    /// the weight decay, that of an `activity_regularizer` `L1` the penalty weight. (Keras 2 and later,
    /// where a regularizer of activations is a mean over the batch.)
    Keras(Reconstruction),
    /// `torch.nn.Linear`, whose weights are `outputs × inputs`, and `MSELoss` or `BCELoss`, means over
    /// the entries of a sample. Its weight decay is that of an optimizer without decoupling, which also
    /// decays biases: here they are not.
    PyTorch(Reconstruction),
    /// SAELens and dictionary_learning: `W_enc` is visible × hidden, `W_dec` hidden × visible. The
    /// weight of the L1 term is the penalty weight; where it is weighted by the norms of the decoder,
    /// so is a [`norm_weighted`](crate::SparseAutoencoderBuilder::norm_weighted) penalty here. Whole
    /// files are read by the module `format`.
    SaeLens,
}

impl Convention {
    /// How many times our objective theirs is, for samples of `visible` entries.
    #[must_use]
    pub fn scale(self, visible: usize) -> f64 {
        let per_entry = |reconstruction| match reconstruction {
            Reconstruction::SquaredError => 2.0 / f64::of_count(visible),
            Reconstruction::BinaryCrossEntropy => 1.0 / f64::of_count(visible),
        };
        match self {
            Self::Ufldl => 1.0,
            Self::Matlab | Self::SaeLens => 2.0,
            Self::Keras(reconstruction) | Self::PyTorch(reconstruction) => {
                per_entry(reconstruction)
            }
        }
    }

    /// What to give to [`weight_decay`](crate::SparseAutoencoderBuilder::weight_decay) for their weight
    /// decay and samples of `visible` entries.
    #[must_use]
    pub fn weight_decay(self, theirs: f64, visible: usize) -> f64 {
        let halves = if matches!(self, Self::Keras(_)) {
            2.0
        } else {
            1.0
        };
        halves * theirs / self.scale(visible)
    }

    /// What to give to [`penalty_weight`](crate::SparseAutoencoderBuilder::penalty_weight) for their
    /// penalty weight and samples of `visible` entries.
    #[must_use]
    pub fn penalty_weight(self, theirs: f64, visible: usize) -> f64 {
        theirs / self.scale(visible)
    }

    /// A layer of their weights and biases.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the decoder's shape is not that of the encoder turned round.
    pub fn layer<'a, T: Real>(
        self,
        encoder_weights: impl Into<DMatrixView<'a, T>>,
        encoder_bias: &[T],
        decoder_weights: impl Into<DMatrixView<'a, T>>,
        decoder_bias: &[T],
    ) -> Result<Layer<T>, Error> {
        let (encoder, decoder) = (encoder_weights.into(), decoder_weights.into());
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

    /// The weights of the encoder and of the decoder as they have them. Biases are the same everywhere.
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
