//! Several autoencoders in series.

mod fitting;
mod unrolling;

use nalgebra::{DMatrix, DMatrixView};

use crate::error::{Error, require_some};
use crate::model::EncodedSamples;
use crate::validate::check_len;
use crate::{AsMatrix, Real, Samples, SparseAutoencoder};

/// Autoencoders in series: each is fitted to the hidden activations of the one below.
///
/// ```text
/// encode:  H₁ = encode₀(X),  H₂ = encode₁(H₁),  …      decode:  …,  Ĥ₁ = decode₁(Ĥ₂),  X̂ = decode₀(Ĥ₁)
/// ```
///
/// *Greedy layer-wise training* fits one autoencoder at a time, each with its own penalty, size, and
/// trainer (Bengio et al. 2007; Ng et al., *UFLDL Tutorial*: Stacked autoencoders). Each reconstructs the
/// activations of the one below, so its output must reach them: that of sigmoid units by a sigmoid output, others by
/// [`Identity`](crate::Activation::Identity). Fine-tuning then trains all layers together:
///
/// | fine-tuning | call |
/// |---|---|
/// | as one deep autoencoder | [`unroll`](Self::unroll) |
/// | with labels | [`SoftmaxClassifier::on_top_of`](crate::SoftmaxClassifier::on_top_of) |
///
/// The module `files` (feature `files`) saves and loads a stack.
///
/// ```
/// use sparse_autoencoder::{Adam, SparseAutoencoder, Stack, Trainer, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_fn(12, 100, |i, j| ((i * j) % 5) as f64 / 4.0);
/// let mut stack = Stack::new(vec![
///     SparseAutoencoder::builder().layers([12, 8]).penalty_weight(0.1).build()?,
///     SparseAutoencoder::builder().layers([8, 3]).penalty_weight(0.01).build()?,
/// ])?;
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(20);
/// let reports = trainer.fit_stack(&mut stack, &samples)?;
/// assert_eq!(reports.len(), 2);
/// assert_eq!(stack.encode(&samples)?.shape(), (3, 100));
///
/// let mut deep = stack.unroll()?;
/// trainer.fit(&mut deep, &samples)?; // fine-tuning
/// assert_eq!(deep.layout().sizes(), [12, 8, 3]);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Stack<T> {
    /// Never empty.
    layers: Vec<SparseAutoencoder<T>>,
}

impl<T> AsRef<[SparseAutoencoder<T>]> for Stack<T> {
    fn as_ref(&self) -> &[SparseAutoencoder<T>] {
        &self.layers
    }
}

impl<T: Real> Stack<T> {
    /// Stacks autoencoders, fitted or not, the outermost first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] without autoencoders, [`Error::DimensionMismatch`] unless the input
    /// size of each is the hidden size of the one below, [`Error::Incompatible`] for a transcoder.
    pub fn new(layers: Vec<SparseAutoencoder<T>>) -> Result<Self, Error> {
        require_some("layers of a stack", layers.len())?;
        for layer in &layers {
            layer.refuse_transcoder("a stack")?;
        }
        for pair in layers.windows(2) {
            let (hidden, input) = (
                pair[0].layout().hidden_size(),
                pair[1].layout().input_size(),
            );
            check_len("input size of a stacked autoencoder", hidden, input)?;
        }
        Ok(Self { layers })
    }

    /// Returns the autoencoders, the outermost first.
    #[must_use]
    pub fn layers(&self) -> &[SparseAutoencoder<T>] {
        &self.layers
    }

    /// Returns the autoencoders by value, the outermost first.
    #[must_use]
    pub fn into_layers(self) -> Vec<SparseAutoencoder<T>> {
        self.layers
    }

    /// Encodes the samples of any source on reading, with the bits of [`encode`](Self::encode).
    ///
    /// Use it to fit a classifier to the hidden activations of a file. They are computed whenever they are read, in a
    /// fit up to 32 MiB [ahead](Samples::reads_ahead).
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the samples have another number of entries than the input,
    /// [`Error::Incompatible`] for [`Pairs`](crate::Pairs).
    pub fn encode_on_read<S: Samples<T>>(
        &self,
        samples: S,
    ) -> Result<EncodedSamples<'_, T, S>, Error> {
        EncodedSamples::checked(&self.layers, samples)
    }

    /// Returns the hidden activations of the innermost layer, units × samples.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::encode`].
    pub fn encode(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        encode_through(&self.layers, samples.as_matrix()?)
    }

    /// Decodes hidden activations of the innermost layer, units × samples, to input × samples.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::decode`].
    pub fn decode(&self, hidden: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let mut decoded = self.layers[self.layers.len() - 1].decode(hidden)?;
        for layer in self.layers.iter().rev().skip(1) {
            decoded = layer.decode(&decoded)?;
        }
        Ok(decoded)
    }

    /// Encodes and decodes samples, input × samples.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::reconstruct`].
    pub fn reconstruct(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        self.decode(&self.encode(samples)?)
    }
}

fn encode_through<T: Real>(
    layers: &[SparseAutoencoder<T>],
    samples: DMatrixView<'_, T>,
) -> Result<DMatrix<T>, Error> {
    let mut hidden = layers[0].encode(samples)?;
    for layer in &layers[1..] {
        hidden = layer.encode(&hidden)?;
    }
    Ok(hidden)
}
