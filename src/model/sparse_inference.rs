//! Encoding to sparse hidden activations and decoding from them.

use nalgebra::{DMatrix, DMatrixView};

use super::SparseAutoencoder;
use crate::error::{Error, check_shape};
use crate::{Real, SparseHidden, Workspace};

impl<T: Real> SparseAutoencoder<T> {
    /// The hidden activations of the innermost layer without their zeros: the same numbers, to the
    /// bit, as those of [`encode`](Self::encode).
    ///
    /// Memory is proportional to the active units. The dense layer, units × samples, is never held as
    /// a whole, only for some samples at a time; so any number of samples can be encoded of which
    /// the result fits into memory. An activation that is never 0, such as the sigmoid, is encoded
    /// correctly too, but takes more room than by `encode`.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::NonFinite`] if an activation overflows.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([8, 64])
    ///     .hidden_activation(Activation::TopK(3))
    ///     .output_activation(Activation::Identity)
    ///     .build()?;
    /// let samples = DMatrix::from_fn(8, 100, |i, j| ((i * j) % 5) as f32);
    /// let hidden = sae.encode_sparse(&samples)?;
    /// assert_eq!(hidden.shape(), (64, 100));
    /// assert!(hidden.active() <= 3 * 100);
    /// assert_eq!(hidden.to_dense(), sae.encode(&samples)?);
    /// assert_eq!(sae.decode_sparse(&hidden)?.shape(), (8, 100));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn encode_sparse<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<SparseHidden<T>, Error> {
        let mut hidden = SparseHidden::new();
        self.encode_sparse_into(samples, &mut hidden, &mut Workspace::new())?;
        Ok(hidden)
    }

    /// [`encode_sparse`](Self::encode_sparse) over whatever `hidden` held, reusing its memory.
    /// Allocates nothing once that and the workspace have grown.
    ///
    /// # Errors
    ///
    /// As [`encode_sparse`](Self::encode_sparse). If an activation overflows, `hidden` is left
    /// empty; otherwise it is left as it was.
    pub fn encode_sparse_into<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        hidden: &mut SparseHidden<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.into();
        self.check_samples(samples, workspace.take_threads())?;
        hidden.write(self.layout().hidden_size(), |columns| {
            let chunk = self.chunk(samples.ncols());
            for first in (0..samples.ncols()).step_by(chunk) {
                let x = samples.columns(first, chunk.min(samples.ncols() - first));
                self.inference().encode_sparse(x, columns, workspace);
            }
        })
    }

    /// The reconstruction that the decoder makes of sparse hidden activations, input × samples.
    ///
    /// The innermost layer, which is the only one of most sparse models, costs
    /// O(active · input) instead of the O(units · samples · input) of
    /// [`decode`](Self::decode). The terms that are left out are 0; the others may be added in another
    /// order, so the last bits can differ from those of `decode`.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if `hidden` has not the innermost size, [`Error::EmptyBatch`]
    /// without samples.
    pub fn decode_sparse(&self, hidden: &SparseHidden<T>) -> Result<DMatrix<T>, Error> {
        self.check_hidden(hidden)?;
        let mut samples = DMatrix::zeros(self.layout().input_size(), hidden.samples());
        self.decode_sparse_into(hidden, &mut samples, &mut Workspace::new())?;
        Ok(samples)
    }

    /// [`decode_sparse`](Self::decode_sparse) into a matrix of the caller's. Allocates nothing once
    /// the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`decode_sparse`](Self::decode_sparse), and [`Error::DimensionMismatch`] if `samples` is
    /// not input × samples.
    pub fn decode_sparse_into(
        &self,
        hidden: &SparseHidden<T>,
        samples: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        self.check_hidden(hidden)?;
        let input_size = self.layout().input_size();
        check_shape("samples", (input_size, hidden.samples()), samples.shape())?;
        let chunk = self.chunk(hidden.samples());
        let chunks = samples.as_mut_slice().chunks_mut(input_size * chunk);
        for (index, x_hat) in chunks.enumerate() {
            let first = index * chunk;
            let range = first..first + x_hat.len() / input_size;
            self.inference()
                .decode_sparse(hidden.columns(), range, x_hat, workspace);
        }
        Ok(())
    }

    fn check_hidden(&self, hidden: &SparseHidden<T>) -> Result<(), Error> {
        hidden.check(self.layout().hidden_size())
    }
}
