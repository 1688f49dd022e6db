//! Hidden activations of the samples of another source, computed on reading.

use super::{INPUTS, SparseAutoencoder};
use crate::data::pairs::refuse_pairs;
use crate::data::samples::{SMALL, check_read, pieces};
use crate::linalg::reserve;
use crate::validate::check_len;
use crate::{Error, Real, Samples};

/// Hidden activations of the samples of another source, computed on reading: see
/// [`SparseAutoencoder::encode_on_read`].
#[derive(Debug, Clone)]
pub struct EncodedSamples<'a, T, S> {
    /// Autoencoders in series, the outermost first. Without any, the samples are not encoded.
    layers: &'a [SparseAutoencoder<T>],
    samples: S,
}

/// The maximum number of samples encoded together.
const TOGETHER: usize = 1024;

impl<T: Real> SparseAutoencoder<T> {
    /// Encodes the samples of any source on reading, with the bits of [`encode`](Self::encode).
    ///
    /// Use it to fit a classifier to the hidden activations of a file. They are computed whenever they are
    /// read, in a fit up to 32 MiB [ahead](Samples::reads_ahead).
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, ClassifierTrainer, Samples, SoftmaxClassifier, SparseAutoencoder};
    ///
    /// let file = DMatrix::from_fn(8, 60, |i, j| ((i + j) % 3) as f32); // or an NpyFile
    /// let labels: Vec<usize> = (0..60).map(|j| j % 3).collect();
    /// let sae = SparseAutoencoder::builder().layers([8, 5]).build()?; // fitted elsewhere
    /// let hidden = sae.encode_on_read(&file)?;
    /// let mut classifier = SoftmaxClassifier::new(hidden.entries(), 3)?;
    /// let mut trainer = ClassifierTrainer::new(Adam::new(0.05)?).epochs(5).batch_size(20);
    /// trainer.fit(&mut classifier, &hidden, &labels)?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the samples have another number of entries than the input,
    /// [`Error::Incompatible`] for [`Pairs`](crate::Pairs).
    pub fn encode_on_read<S: Samples<T>>(
        &self,
        samples: S,
    ) -> Result<EncodedSamples<'_, T, S>, Error> {
        EncodedSamples::checked(std::slice::from_ref(self), samples)
    }
}

impl<'a, T: Real, S: Samples<T>> EncodedSamples<'a, T, S> {
    /// Encodes samples by autoencoders that fit onto each other and onto the samples.
    pub(crate) fn of(layers: &'a [SparseAutoencoder<T>], samples: S) -> Self {
        Self { layers, samples }
    }

    /// Encodes samples by autoencoders that fit onto each other.
    pub(crate) fn checked(layers: &'a [SparseAutoencoder<T>], samples: S) -> Result<Self, Error> {
        refuse_pairs(&samples, "a source of inputs to encode")?;
        if let [outermost, ..] = layers {
            let input = outermost.layout().input_size();
            let what = if outermost.layout().is_transcoder() {
                INPUTS[1]
            } else {
                "entries of the samples"
            };
            check_len(what, input, samples.entries())?;
        }
        Ok(Self::of(layers, samples))
    }

    /// Encodes the samples with these indices.
    fn encode(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let Some((first, others)) = self.layers.split_first() else {
            return self.samples.read(indices, batch);
        };
        let entries = self.samples.entries();
        let mut samples = reserve::matrix(entries, indices.len(), "samples of a batch")?;
        self.samples.read(indices, samples.as_mut_slice())?;
        let at_sample = |error: Error| error.at_sample(|column| indices[column]);
        let mut hidden = first.encode(&samples).map_err(at_sample)?;
        for layer in others {
            hidden = layer.encode(&hidden).map_err(at_sample)?;
        }
        batch.copy_from_slice(hidden.as_slice());
        Ok(())
    }
}

impl<T: Real, S: Samples<T>> Samples<T> for EncodedSamples<'_, T, S> {
    fn count(&self) -> usize {
        self.samples.count()
    }

    fn entries(&self) -> usize {
        let innermost = self.layers.last();
        innermost.map_or(self.samples.entries(), |of| of.layout().hidden_size())
    }

    /// Not if the samples before encoding are large: each thread has some of them in memory.
    fn reads_ahead(&self) -> bool {
        self.samples.reads_ahead() && self.samples.entries() * size_of::<T>() <= SMALL
    }

    /// Reads and encodes samples.
    ///
    /// # Errors
    ///
    /// As the source, and [`Error::NonFinite`] for NaN and infinities.
    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let entries = self.entries();
        check_read((entries, self.count()), indices, batch)?;
        for (indices, batch) in pieces(indices, batch, entries, TOGETHER) {
            self.encode(indices, batch)?;
        }
        Ok(())
    }
}
