//! Inference with sparse hidden activations.

use nalgebra::DMatrix;

use super::SparseAutoencoder;
use super::inference::RECONSTRUCTIONS;
use crate::error::Error;
use crate::validate::{check_batch_on, check_shape};
use crate::{AsMatrix, Real, SparseHidden, Workspace};

impl<T: Real> SparseAutoencoder<T> {
    /// Returns the nonzero hidden activations of the innermost layer, with the bits of
    /// [`encode`](Self::encode).
    ///
    /// Memory is proportional to the number of active units. The dense layer, units × samples, is never held as a
    /// whole. Activations that are never 0, such as the sigmoid, take more memory than `encode`.
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
    /// assert_eq!(hidden.to_dense()?, sae.encode(&samples)?);
    /// assert_eq!(sae.decode_sparse(&hidden)?.shape(), (8, 100));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::NonFinite`] if an activation overflows.
    pub fn encode_sparse(&self, samples: impl AsMatrix<T>) -> Result<SparseHidden<T>, Error> {
        let mut hidden = SparseHidden::new();
        self.encode_sparse_into(samples, &mut hidden, &mut Workspace::new())?;
        Ok(hidden)
    }

    /// Overwrites `hidden` with the nonzero hidden activations, like [`encode_sparse`](Self::encode_sparse).
    ///
    /// Allocates nothing once `hidden` and the workspace have grown.
    ///
    /// # Errors
    ///
    /// As [`encode_sparse`](Self::encode_sparse). If an activation overflows, `hidden` becomes empty. Otherwise
    /// it is unchanged.
    pub fn encode_sparse_into(
        &self,
        samples: impl AsMatrix<T>,
        hidden: &mut SparseHidden<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.as_matrix()?;
        self.check_samples(samples, workspace.take_threads())?;
        hidden.write(self.layout().hidden_size(), |columns| {
            let chunk = self.chunk(samples.ncols());
            for first in (0..samples.ncols()).step_by(chunk) {
                let x = samples.columns(first, chunk.min(samples.ncols() - first));
                self.inference().encode_sparse(x, columns, workspace);
            }
        })
    }

    /// Returns the reconstruction from sparse hidden activations, input × samples, or output × samples in a
    /// transcoder, without its skip connection.
    ///
    /// The innermost layer costs O(active · input), instead of O(units · samples · input) with
    /// [`decode`](Self::decode). Terms can be added in another order, so results agree up to rounding.
    ///
    /// # Errors
    ///
    /// - [`Error::DimensionMismatch`] if the number of units is not the innermost hidden size.
    /// - [`Error::EmptyBatch`] without samples.
    /// - [`Error::NonFinite`] if the result overflows.
    pub fn decode_sparse(&self, hidden: &SparseHidden<T>) -> Result<DMatrix<T>, Error> {
        self.check_hidden(hidden)?;
        let mut samples = DMatrix::zeros(self.layout().output_size(), hidden.samples());
        self.decode_sparse_into(hidden, &mut samples, &mut Workspace::new())?;
        Ok(samples)
    }

    /// Writes the reconstruction to `samples`, output × samples, like [`decode_sparse`](Self::decode_sparse).
    ///
    /// Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`decode_sparse`](Self::decode_sparse), and [`Error::DimensionMismatch`] unless `samples` is
    /// output × samples.
    pub fn decode_sparse_into(
        &self,
        hidden: &SparseHidden<T>,
        samples: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        self.check_hidden(hidden)?;
        let rows = self.layout().output_size();
        check_shape("samples", (rows, hidden.samples()), samples.shape())?;
        let chunk = self.chunk(hidden.samples());
        let chunks = samples.as_mut_slice().chunks_mut(rows * chunk);
        for (index, x_hat) in chunks.enumerate() {
            let first = index * chunk;
            let range = first..first + x_hat.len() / rows;
            self.inference()
                .decode_sparse(hidden.columns(), range, x_hat, workspace);
        }
        let threads = workspace.take_threads();
        check_batch_on(threads, samples.as_view(), rows, RECONSTRUCTIONS)
    }

    fn check_hidden(&self, hidden: &SparseHidden<T>) -> Result<(), Error> {
        hidden.check(self.layout().hidden_size())
    }
}
