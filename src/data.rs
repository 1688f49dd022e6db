//! Samples, wherever they are: in memory, in a file, or in a source of your own.

mod corruption;
pub(crate) mod dtype;
pub(crate) mod geometric_median;
pub(crate) mod idx;
pub(crate) mod npy;
pub(crate) mod open;
mod positioned;
mod scaling;
mod shuffle;
mod stored;

pub use corruption::Corruption;
pub use geometric_median::geometric_median;
pub use idx::IdxFile;
pub use npy::NpyFile;
pub use scaling::{Scaler, Scaling};
pub use shuffle::{Chunk, ShuffleBuffer};

use std::sync::Arc;

use nalgebra::{Const, DMatrix, DMatrixView, DMatrixViewMut, DVector, Dyn, OMatrix, SMatrix};

use crate::Real;
use crate::error::{Error, require};

/// What a [`Trainer`](crate::Trainer) fits to: samples that can be read by their index, in any
/// order.
///
/// Matrices and views are samples, one per column; [`NpyFile`] and [`IdxFile`] are the samples of a
/// file that need not fit into memory. Implement it for a source of your own: a folder of files, a
/// database, samples that are computed, or, as here, samples that are scaled as they are read.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Adam, Error, Real, Samples, SparseAutoencoder, Trainer};
///
/// struct Scaled<S>(S, f64);
///
/// impl<T: Real, S: Samples<T>> Samples<T> for Scaled<S> {
///     fn count(&self) -> usize {
///         self.0.count()
///     }
///
///     fn visible(&self) -> usize {
///         self.0.visible()
///     }
///
///     fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
///         self.0.read(indices, batch)?; // an io::Error would become an Error by `?`, too
///         batch.iter_mut().for_each(|x| *x *= T::of(self.1));
///         Ok(())
///     }
/// }
///
/// let bytes = DMatrix::from_fn(8, 300, |i, j| ((31 * i + 7 * j) % 256) as f32);
/// let mut sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
/// Trainer::new(Adam::new(1e-2)?).epochs(5).fit(&mut sae, Scaled(&bytes, 1.0 / 255.0))?;
/// # Ok::<(), Error>(())
/// ```
///
/// What is not known before it is read is checked as it is read: NaN and infinities end a fit with
/// an error that names the sample, and the model keeps what it has learned until then.
pub trait Samples<T: Real>: Sync {
    /// The number of samples.
    fn count(&self) -> usize;

    /// The number of entries of each sample.
    fn visible(&self) -> usize;

    /// Writes the samples with these indices, counted from 0, to `batch`, one after the other:
    /// `visible` × `indices.len()` entries. Several threads may read parts of a batch at the same time.
    ///
    /// # Errors
    ///
    /// Whatever keeps the source from being read. What is in `batch` is then not used.
    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error>;

    /// The samples where they lie, visible × samples, if they are all in memory as they are: so they
    /// need not be copied, and are checked before anything else is done. The default is `None`.
    fn in_memory(&self) -> Option<DMatrixView<'_, T>> {
        None
    }

    /// The samples in their order, `size` at a time; fewer at the end. This is the way to encode a
    /// file, to measure a model on it, or to feed a [`ShuffleBuffer`].
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Samples, SparseAutoencoder, metrics::SparsityMetrics};
    ///
    /// let samples = DMatrix::from_fn(8, 300, |i, j| ((i + j) % 8) as f32 / 8.0); // or an NpyFile
    /// let sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
    /// let mut sparsity = SparsityMetrics::new(12);
    /// for batch in samples.batches(128) {
    ///     sparsity.add(&sae.encode(&batch?)?)?;
    /// }
    /// assert_eq!(sparsity.samples(), 300);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    fn batches(&self, size: usize) -> Batches<'_, T>
    where
        Self: Sized,
    {
        Batches {
            samples: self,
            size,
            next: 0,
        }
    }

    /// All samples, visible × samples, in memory.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn to_matrix(&self) -> Result<DMatrix<T>, Error>
    where
        Self: Sized,
    {
        gather(self, 0..self.count())
    }
}

/// Samples in their order, a batch at a time: see [`Samples::batches`]. A size of 0 is an
/// [`Error::InvalidParameter`], and any error is the last item.
#[allow(missing_debug_implementations)] // samples need not have one
pub struct Batches<'a, T> {
    samples: &'a dyn Samples<T>,
    size: usize,
    next: usize,
}

impl<T: Real> Iterator for Batches<'_, T> {
    type Item = Result<DMatrix<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, count) = (self.next, self.samples.count());
        if first >= count {
            return None;
        }
        self.next = count.min(first.saturating_add(self.size));
        let batch = require(self.size > 0, "size of a batch", "at least 1", 0.0)
            .and_then(|()| gather(self.samples, first..self.next));
        if batch.is_err() {
            self.next = count;
        }
        Some(batch)
    }
}

/// Indices that are made at a time: for samples that follow each other, few are needed.
const INDICES: usize = 1 << 12;

/// Samples that follow each other, visible × samples.
fn gather<T: Real>(
    samples: &dyn Samples<T>,
    indices: std::ops::Range<usize>,
) -> Result<DMatrix<T>, Error> {
    let visible = samples.visible();
    let entries = dtype::filled(T::zero(), visible.checked_mul(indices.len()))?;
    let mut matrix = DMatrix::from_vec(visible, indices.len(), entries);
    let mut some = Vec::with_capacity(indices.len().min(INDICES));
    for (piece, batch) in matrix
        .as_mut_slice()
        .chunks_mut(visible.max(1).saturating_mul(INDICES))
        .enumerate()
    {
        let first = indices.start + piece * INDICES;
        some.clear();
        some.extend(first..first + batch.len() / visible);
        samples.read(&some, batch)?;
    }
    Ok(matrix)
}

/// Refuses an index beyond the samples, and a batch of another size.
fn check_read<T>(
    (visible, count): (usize, usize),
    indices: &[usize],
    batch: &[T],
) -> Result<(), Error> {
    if indices.len().checked_mul(visible) != Some(batch.len()) {
        return Err(Error::DimensionMismatch {
            what: "batch",
            expected: indices.len().saturating_mul(visible),
            actual: batch.len(),
        });
    }
    match indices.iter().find(|&&index| index >= count) {
        None => Ok(()),
        Some(&index) => Err(Error::InvalidParameter {
            name: "index of a sample",
            requirement: "below the number of samples",
            value: f64::of_count(index),
        }),
    }
}

macro_rules! of_matrices {
    ($($matrix:ty, [$($parameters:tt)*];)+) => {$(
        /// One sample per column.
        impl<$($parameters)* T: Real> Samples<T> for $matrix {
            fn count(&self) -> usize {
                self.ncols()
            }

            fn visible(&self) -> usize {
                self.nrows()
            }

            fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
                check_read(self.shape(), indices, batch)?;
                let view: DMatrixView<'_, T> = self.into();
                for (to, &from) in batch.chunks_exact_mut(self.nrows().max(1)).zip(indices) {
                    to.copy_from_slice(view.column(from).as_slice());
                }
                Ok(())
            }

            fn in_memory(&self) -> Option<DMatrixView<'_, T>> {
                Some(self.into())
            }
        }
    )+};
}

// Of views only one type each, so that it is inferred for `matrix.as_view()`.
of_matrices! {
    DMatrixView<'a, T>, ['a,];
    DMatrixViewMut<'a, T>, ['a,];
    SMatrix<T, R, C>, [const R: usize, const C: usize,];
    DMatrix<T>, [];
    DVector<T>, [];
    OMatrix<T, Const<R>, Dyn>, [const R: usize,];
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        impl<T: Real, S: Samples<T> + ?Sized> Samples<T> for $pointer where Self: Sync {
            fn count(&self) -> usize {
                (**self).count()
            }

            fn visible(&self) -> usize {
                (**self).visible()
            }

            fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
                (**self).read(indices, batch)
            }

            fn in_memory(&self) -> Option<DMatrixView<'_, T>> {
                (**self).in_memory()
            }
        }
    )+};
}

forward!(&S, &mut S, Box<S>, Arc<S>);
