//! Inference: encoding, decoding, and reconstruction.

use nalgebra::{DMatrix, DMatrixView, DVector};

use super::{HIDDEN, SparseAutoencoder};
use crate::error::Error;
use crate::objective::{Batch, Workspace};
use crate::validate::{check_batch_on, check_len, check_shape, even_chunk};
use crate::{AsMatrix, Real, linalg};

pub(super) const RECONSTRUCTIONS: [&str; 2] = ["reconstructions", "rows of the reconstructions"];

/// Fewest samples of a chunk: enough to pay for packing the weights.
const FEWEST: usize = 1024;
/// Most samples of a chunk: intermediate results stay small for any number of samples.
const MOST: usize = 4096;
/// Between these, the number of activations of the widest layer in a chunk.
const ENTRIES: usize = 1 << 21;

impl<T: Real> SparseAutoencoder<T> {
    /// Returns the hidden activations of the innermost layer, units × samples.
    ///
    /// The result of a sample has the same bits whatever the other samples are. See
    /// [`Activation`](crate::Activation#training-and-inference) for activations that training selects over a
    /// batch.
    ///
    /// Distances between codes are not those between samples. To compare samples by what a model keeps of them, compare
    /// their [reconstructions](Self::reconstruct).
    ///
    /// The first call with at most eight samples packs the encoder's weights. The model keeps this copy, as large
    /// as the weights, until its parameters change.
    ///
    /// ```
    /// use sparse_autoencoder::{SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder().layers([8, 12]).build()?;
    /// let samples = DMatrix::from_fn(8, 5, |i, j| (i * j) as f32 / 28.0);
    /// let hidden = sae.encode(&samples)?;
    /// assert_eq!(hidden.shape(), (12, 5));
    /// assert_eq!(sae.encode(samples.columns(2, 1))?, hidden.columns(2, 1)); // bit for bit
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::DimensionMismatch`] | the number of rows is not the input size |
    /// | [`Error::EmptyBatch`] | there are no samples |
    /// | [`Error::NonFinite`] | a sample has NaN or infinities, or the result overflows |
    pub fn encode(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        self.check_rows(samples)?;
        let mut hidden = DMatrix::zeros(self.layout().hidden_size(), samples.ncols());
        self.encode_into(samples, &mut hidden, &mut Workspace::new())?;
        Ok(hidden)
    }

    /// Writes the hidden activations to `hidden`, units × samples, like [`encode`](Self::encode).
    ///
    /// Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] unless `hidden` is units × samples.
    pub fn encode_into(
        &self,
        samples: impl AsMatrix<T>,
        hidden: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.as_matrix()?;
        let threads = workspace.take_threads();
        self.check_samples(samples, threads)?;
        let units = self.layout().hidden_size();
        check_shape("hidden", (units, samples.ncols()), hidden.shape())?;
        self.for_each_chunk(samples, hidden.as_mut_slice(), units, |x, h| {
            self.inference().encode_into(x, h, workspace);
        });
        check_batch_on(threads, hidden.as_view(), units, HIDDEN)
    }

    /// Returns the reconstruction from hidden activations, input × samples, or output × samples in a transcoder. A
    /// [skip connection](crate::SparseAutoencoderBuilder::skip), which needs the input, is left out.
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::DimensionMismatch`] | the number of rows is not the innermost hidden size |
    /// | [`Error::EmptyBatch`] | there are no samples |
    /// | [`Error::NonFinite`] | an activation is NaN or infinite, or the result overflows |
    pub fn decode(&self, hidden: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let hidden = hidden.as_matrix()?;
        check_len(HIDDEN[1], self.layout().hidden_size(), hidden.nrows())?;
        let mut samples = DMatrix::zeros(self.layout().output_size(), hidden.ncols());
        self.decode_into(hidden, &mut samples, &mut Workspace::new())?;
        Ok(samples)
    }

    /// Writes the reconstruction to `samples`, output × samples, like [`decode`](Self::decode).
    ///
    /// Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode), and [`Error::DimensionMismatch`] unless `samples` is output × samples.
    pub fn decode_into(
        &self,
        hidden: impl AsMatrix<T>,
        samples: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let hidden = hidden.as_matrix()?;
        let threads = workspace.take_threads();
        check_batch_on(threads, hidden, self.layout().hidden_size(), HIDDEN)?;
        let rows = self.layout().output_size();
        check_shape("samples", (rows, hidden.ncols()), samples.shape())?;
        self.for_each_chunk(hidden, samples.as_mut_slice(), rows, |h, x_hat| {
            self.inference().decode_into(h, None, x_hat, workspace);
        });
        check_batch_on(threads, samples.as_view(), rows, RECONSTRUCTIONS)
    }

    /// Encodes and decodes the samples. Returns the reconstructions, input × samples, or the predictions of a
    /// transcoder, output × samples, with its skip connection.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruct(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        self.check_rows(samples)?;
        let mut reconstructions = DMatrix::zeros(self.layout().output_size(), samples.ncols());
        self.reconstruct_into(samples, &mut reconstructions, &mut Workspace::new())?;
        Ok(reconstructions)
    }

    /// Writes the reconstructions to a matrix, output × samples, like [`reconstruct`](Self::reconstruct).
    ///
    /// Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] unless `reconstructions` is
    /// output × samples.
    pub fn reconstruct_into(
        &self,
        samples: impl AsMatrix<T>,
        reconstructions: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.as_matrix()?;
        self.reconstruct_any(samples, reconstructions, workspace)?;
        let (threads, rows) = (workspace.take_threads(), reconstructions.nrows());
        check_batch_on(threads, reconstructions.as_view(), rows, RECONSTRUCTIONS)
    }

    /// Runs [`reconstruct_into`](Self::reconstruct_into), and accepts reconstructions that overflow.
    pub(crate) fn reconstruct_any(
        &self,
        samples: DMatrixView<'_, T>,
        reconstructions: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        self.check_samples(samples, workspace.take_threads())?;
        let rows = self.layout().output_size();
        check_shape(
            RECONSTRUCTIONS[0],
            (rows, samples.ncols()),
            reconstructions.shape(),
        )?;
        self.for_each_chunk(samples, reconstructions.as_mut_slice(), rows, |x, x_hat| {
            self.reconstruct_chunk(x, x_hat, workspace);
        });
        Ok(())
    }

    /// Returns the squared reconstruction error `‖x̂ − x‖²` of each sample: infinite or NaN where a sum overflows.
    ///
    /// Samples of a [transcoder](crate::SparseAutoencoderBuilder::output_size) hold the input and then the target.
    ///
    /// ```
    /// use sparse_autoencoder::{SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder().layers([8, 12]).build()?;
    /// let errors = sae.reconstruction_errors(&DMatrix::from_element(8, 5, 0.5))?;
    /// assert_eq!(errors.len(), 5);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruction_errors(&self, samples: impl AsMatrix<T>) -> Result<DVector<T>, Error> {
        let samples = samples.as_matrix()?;
        self.check_size(samples.nrows(), samples.ncols())?;
        let mut errors = DVector::zeros(samples.ncols());
        self.reconstruction_errors_into(samples, &mut errors, &mut Workspace::new())?;
        Ok(errors)
    }

    /// Writes the squared errors to `errors`, like [`reconstruction_errors`](Self::reconstruction_errors).
    ///
    /// Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] unless `errors` has one entry per sample.
    pub fn reconstruction_errors_into(
        &self,
        samples: impl AsMatrix<T>,
        errors: &mut DVector<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.as_matrix()?;
        self.check_pairs(samples, workspace.take_threads())?;
        check_len("errors", samples.ncols(), errors.len())?;
        let rows = self.layout().output_size();
        let mut output = workspace.lend_output(rows * self.chunk(samples.ncols()));
        self.for_each_chunk(samples, errors.as_mut_slice(), 1, |samples, errors| {
            let batch = Batch::of(&samples, self.layout());
            let x_hat = &mut output[..rows * samples.ncols()];
            self.reconstruct_chunk(batch.input, x_hat, workspace);
            let columns = x_hat.chunks_exact(rows).zip(batch.target.column_iter());
            for (error, (x_hat, x)) in errors.iter_mut().zip(columns) {
                *error = linalg::distance_squared(x_hat, x.as_slice());
            }
        });
        workspace.return_output(output);
        Ok(())
    }

    fn reconstruct_chunk(&self, x: DMatrixView<'_, T>, x_hat: &mut [T], ws: &mut Workspace<T>) {
        let (units, m) = (self.layout().hidden_size(), x.ncols());
        let mut hidden = ws.lend_innermost(units * m);
        self.inference()
            .encode_into(x, &mut hidden[..units * m], ws);
        let h = DMatrixView::from_slice(&hidden[..units * m], units, m);
        self.inference().decode_into(h, Some(x), x_hat, ws);
        ws.return_innermost(hidden);
    }

    /// Returns the number of samples of a chunk.
    ///
    /// Chunks have about equal sizes, so the last one is not small.
    pub(super) fn chunk(&self, samples: usize) -> usize {
        let widest = self.layout().all_sizes().max().unwrap_or(1);
        even_chunk(samples, (ENTRIES / widest).clamp(FEWEST, MOST))
    }

    /// Calls `pass` with each chunk of the columns of `input` and `output`. Columns of `output` have `rows` entries.
    pub(super) fn for_each_chunk(
        &self,
        input: DMatrixView<'_, T>,
        output: &mut [T],
        rows: usize,
        mut pass: impl FnMut(DMatrixView<'_, T>, &mut [T]),
    ) {
        let chunk = self.chunk(input.ncols());
        for (index, output) in output.chunks_mut(rows * chunk).enumerate() {
            pass(input.columns(index * chunk, output.len() / rows), output);
        }
    }

    /// Checks the number of rows before memory is allocated: a matrix without rows can claim any number of columns.
    fn check_rows(&self, samples: DMatrixView<'_, T>) -> Result<(), Error> {
        check_len(self.names()[1], self.layout().input_size(), samples.nrows())
    }
}
