use nalgebra::{DMatrix, DMatrixView, DVector};

use super::{HIDDEN, SAMPLES, SparseAutoencoder};
use crate::error::{Error, check_shape};
use crate::objective::Workspace;
use crate::validate::{check_batch_on, check_rows, even_chunk};
use crate::{Real, linalg};

/// Samples that go through the layers together, at least and at most: enough to fill the caches and to
/// be worth the copies of the weights, few enough that what lies between input and result stays
/// small whatever their number.
const FEWEST: usize = 1024;
const MOST: usize = 4096;
/// How many between the two: those of which the widest layer has so many entries.
const ENTRIES: usize = 1 << 21;

impl<T: Real> SparseAutoencoder<T> {
    /// The hidden activations of the innermost layer, units × samples. Each sample is encoded by
    /// itself, to the bit, whatever the others are: see [`Activation`](crate::Activation) for those that
    /// training chooses over a batch.
    ///
    /// The first call with at most eight samples packs the encoder's weights for the calls that follow.
    /// The model keeps that copy, which takes the memory of these weights, until its parameters change.
    /// For a layer of 784 × 256, packing takes as long as ten samples.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if a sample has not the input size, [`Error::EmptyBatch`]
    /// without samples, [`Error::NonFinite`] for NaN and infinities.
    pub fn encode<'a>(&self, samples: impl Into<DMatrixView<'a, T>>) -> Result<DMatrix<T>, Error> {
        let samples = samples.into();
        self.check_rows(samples)?;
        let mut hidden = DMatrix::zeros(self.layout().hidden_size(), samples.ncols());
        self.encode_into(samples, &mut hidden, &mut Workspace::new())?;
        Ok(hidden)
    }

    /// [`encode`](Self::encode) into a matrix of the caller's. Allocates nothing once the workspace
    /// has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] if `hidden` is not
    /// units × samples.
    pub fn encode_into<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        hidden: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.into();
        self.check_samples(samples, workspace.take_threads())?;
        let units = self.layout().hidden_size();
        check_shape("hidden", (units, samples.ncols()), hidden.shape())?;
        self.for_each_chunk(samples, hidden.as_mut_slice(), units, |x, h| {
            self.inference().encode_into(x, h, workspace);
        });
        Ok(())
    }

    /// The reconstruction that the decoder makes of hidden activations, input × samples.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if `hidden` has not the innermost size, [`Error::EmptyBatch`]
    /// without samples, [`Error::NonFinite`] for NaN and infinities.
    pub fn decode<'a>(&self, hidden: impl Into<DMatrixView<'a, T>>) -> Result<DMatrix<T>, Error> {
        let hidden = hidden.into();
        check_rows(hidden, self.layout().hidden_size(), HIDDEN[1])?;
        let mut samples = DMatrix::zeros(self.layout().input_size(), hidden.ncols());
        self.decode_into(hidden, &mut samples, &mut Workspace::new())?;
        Ok(samples)
    }

    /// [`decode`](Self::decode) into a matrix of the caller's. Allocates nothing once the workspace
    /// has grown.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode), and [`Error::DimensionMismatch`] if `samples` is not
    /// input × samples.
    pub fn decode_into<'a>(
        &self,
        hidden: impl Into<DMatrixView<'a, T>>,
        samples: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let hidden = hidden.into();
        check_batch_on(
            workspace.take_threads(),
            hidden,
            self.layout().hidden_size(),
            HIDDEN,
        )?;
        let input_size = self.layout().input_size();
        check_shape("samples", (input_size, hidden.ncols()), samples.shape())?;
        self.for_each_chunk(hidden, samples.as_mut_slice(), input_size, |h, x_hat| {
            self.inference().decode_into(h, x_hat, workspace);
        });
        Ok(())
    }

    /// What the model makes of the samples: encoded and decoded again, input × samples.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruct<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DMatrix<T>, Error> {
        let samples = samples.into();
        self.check_rows(samples)?;
        let mut reconstructions = DMatrix::zeros(self.layout().input_size(), samples.ncols());
        self.reconstruct_into(samples, &mut reconstructions, &mut Workspace::new())?;
        Ok(reconstructions)
    }

    /// [`reconstruct`](Self::reconstruct) into a matrix of the caller's. Allocates nothing once the
    /// workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] if `reconstructions` is not
    /// input × samples.
    pub fn reconstruct_into<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        reconstructions: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.into();
        self.check_samples(samples, workspace.take_threads())?;
        let input_size = self.layout().input_size();
        check_shape(
            "reconstructions",
            (input_size, samples.ncols()),
            reconstructions.shape(),
        )?;
        self.for_each_chunk(
            samples,
            reconstructions.as_mut_slice(),
            input_size,
            |x, x_hat| {
                self.reconstruct_chunk(x, x_hat, workspace);
            },
        );
        Ok(())
    }

    /// `‖x̂ − x‖²` of each sample: how far it is from what the model has learned.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruction_errors<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DVector<T>, Error> {
        let samples = samples.into();
        self.check_rows(samples)?;
        let mut errors = DVector::zeros(samples.ncols());
        self.reconstruction_errors_into(samples, &mut errors, &mut Workspace::new())?;
        Ok(errors)
    }

    /// [`reconstruction_errors`](Self::reconstruction_errors) into a vector of the caller's.
    /// Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] if `errors` has not one entry
    /// per sample.
    pub fn reconstruction_errors_into<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        errors: &mut DVector<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.into();
        self.check_samples(samples, workspace.take_threads())?;
        if errors.len() != samples.ncols() {
            return Err(Error::DimensionMismatch {
                what: "errors",
                expected: samples.ncols(),
                actual: errors.len(),
            });
        }
        let input_size = self.layout().input_size();
        let mut output = workspace.lend_output(input_size * self.chunk(samples.ncols()));
        self.for_each_chunk(samples, errors.as_mut_slice(), 1, |x, errors| {
            let x_hat = &mut output[..input_size * x.ncols()];
            self.reconstruct_chunk(x, x_hat, workspace);
            let columns = x_hat.chunks_exact(input_size).zip(x.column_iter());
            for (error, (x_hat, x)) in errors.iter_mut().zip(columns) {
                *error = linalg::distance_squared(x_hat, x.as_slice());
            }
        });
        workspace.return_output(output);
        Ok(())
    }

    /// [`encode`](Self::encode) for one sample.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_sample(&self, sample: &DVector<T>) -> Result<DVector<T>, Error> {
        Ok(self.encode(sample)?.column(0).into_owned())
    }

    /// [`decode`](Self::decode) for one sample.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_sample(&self, hidden: &DVector<T>) -> Result<DVector<T>, Error> {
        Ok(self.decode(hidden)?.column(0).into_owned())
    }

    /// [`reconstruct`](Self::reconstruct) for one sample.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruct_sample(&self, sample: &DVector<T>) -> Result<DVector<T>, Error> {
        Ok(self.reconstruct(sample)?.column(0).into_owned())
    }

    fn reconstruct_chunk(&self, x: DMatrixView<'_, T>, x_hat: &mut [T], ws: &mut Workspace<T>) {
        let (units, m) = (self.layout().hidden_size(), x.ncols());
        let mut hidden = ws.lend_innermost(units * m);
        self.inference()
            .encode_into(x, &mut hidden[..units * m], ws);
        self.inference().decode_into(
            DMatrixView::from_slice(&hidden[..units * m], units, m),
            x_hat,
            ws,
        );
        ws.return_innermost(hidden);
    }

    /// Of this many samples, how many go through the layers together. Chunks are of about equal size, so
    /// that none of them has few samples unless there are few in all.
    pub(super) fn chunk(&self, samples: usize) -> usize {
        let widest = self.layout().sizes().iter().copied().max().unwrap_or(1);
        even_chunk(samples, (ENTRIES / widest).clamp(FEWEST, MOST))
    }

    /// Calls `pass` with columns of `input` and of `output`, `rows` long, a chunk at a time.
    fn for_each_chunk(
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

    /// Before room is made for as many columns as there are samples: a matrix without rows may
    /// claim any number of columns.
    fn check_rows(&self, samples: DMatrixView<'_, T>) -> Result<(), Error> {
        check_rows(samples, self.layout().input_size(), SAMPLES[1])
    }
}
