//! Samples outside memory that see how they are read.

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Error, Real, Samples};

/// The columns of a matrix. Each read passes the indices and the batch to a function, which may change it or fail.
pub(crate) struct OnRead<T, F>(pub(crate) DMatrix<T>, pub(crate) F);

impl<T: Real, F> Samples<T> for OnRead<T, F>
where
    F: Fn(&[usize], &mut [T]) -> Result<(), Error> + Sync,
{
    fn count(&self) -> usize {
        self.0.ncols()
    }

    fn entries(&self) -> usize {
        self.0.nrows()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        self.0.read(indices, batch)?;
        (self.1)(indices, batch)
    }
}
