//! The trait of data sources, and matrices as samples.

use std::sync::Arc;

use nalgebra::{Const, DMatrix, DMatrixView, DMatrixViewMut, DVector, Dyn, OMatrix, SMatrix};

use super::Subset;
use super::batches::{Batches, gather};
use crate::Real;
use crate::error::Error;
use crate::linalg::reserve;
use crate::validate::check_len;

/// A dataset whose samples can be read by index, in any order.
///
/// | source | samples |
/// |---|---|
/// | matrices, views, vectors | the columns, in memory |
/// | arrays of `ndarray`, with its feature | the rows, in memory |
/// | [`NpyFile`](crate::NpyFile), [`IdxFile`](crate::IdxFile) | those of a file, read when needed |
/// | `files::TensorSamples` (feature `files`) | those of a tensor in a safetensors or npz file, read when needed |
/// | [`Shards`](crate::Shards) | those of several sources, one source after another |
/// | [`ScaledSamples`](crate::ScaledSamples) | those of another source, scaled on reading |
/// | [`ImputedSamples`](crate::ImputedSamples) | those of another source, missing values imputed on reading |
/// | [`Subset`](crate::Subset) | some of another source |
/// | [`Joined`](crate::Joined) | those of several sources, side by side |
/// | [`Pairs`](crate::Pairs) | those of two sources, side by side: inputs and targets |
/// | [`EncodedSamples`](crate::EncodedSamples) | hidden activations of those of another source, computed on reading |
/// | references, `Box`, `Arc` | those of the source behind them |
///
/// Implement the trait for a source of your own: a folder of files, a database, computed samples, or,
/// as here, the logarithms of counts.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Adam, Error, Real, Samples, SparseAutoencoder, Trainer};
///
/// struct Logarithms<S>(S);
///
/// impl<T: Real, S: Samples<T>> Samples<T> for Logarithms<S> {
///     fn count(&self) -> usize {
///         self.0.count()
///     }
///
///     fn entries(&self) -> usize {
///         self.0.entries()
///     }
///
///     fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
///         self.0.read(indices, batch)?; // also an io::Error; others by `.map_err(io::Error::other)?`
///         batch.iter_mut().for_each(|x| *x = x.ln_1p());
///         Ok(())
///     }
/// }
///
/// let counts = DMatrix::from_fn(8, 300, |i, j| ((31 * i + 7 * j) % 256) as f32);
/// let mut sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
/// Trainer::new(Adam::new(1e-2)?).epochs(5).fit(&mut sae, Logarithms(&counts))?;
/// # Ok::<(), Error>(())
/// ```
///
/// A fit checks samples in memory before it starts, and others as it reads them. NaN and infinities end it with an
/// error that names the sample; the model keeps finite parameters.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of samples of `{T}`",
    label = "not a source of samples of `{T}`",
    note = "pass `&matrix` whose columns are samples, `matrix.columns(0, 10)`, an `NpyFile`, an `IdxFile`, or `Shards`",
    note = "for one sample, pass `matrix.columns(0, 1)`",
    note = "for a row-major slice, pass `view_rows(&slice, features)?`",
    note = "for an array of `ndarray`, samples × features, enable the feature `ndarray` of `sparse-autoencoder`",
    note = "the scalars of the samples must be those of the model: `f32` or `f64`"
)]
pub trait Samples<T: Real>: Sync {
    /// Returns the number of samples.
    fn count(&self) -> usize;

    /// Returns the number of entries of each sample.
    fn entries(&self) -> usize;

    /// Writes the samples with these indices, counted from 0, to `batch`: `entries` values each, one
    /// sample after the other.
    ///
    /// `batch` has `entries · indices.len()` values. Several threads may read parts of a batch at the
    /// same time.
    ///
    /// # Errors
    ///
    /// Any error of the source. The contents of `batch` are then ignored.
    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error>;

    /// Returns a view of all samples, entries × samples, if they are in memory.
    ///
    /// A fit checks such samples before it starts, and full batches are not copied. The default is
    /// `None`.
    fn in_memory(&self) -> Option<DMatrixView<'_, T>> {
        None
    }

    /// Returns how many entries of a sample are its input, if a target follows: see [`Pairs`](crate::Pairs).
    ///
    /// A fit refuses pairs that the model does not divide so. The default is `None`, for samples without a target.
    fn input_entries(&self) -> Option<usize> {
        None
    }

    /// Returns whether a fit reads samples of up to 1 KiB ahead: up to 32 MiB at once, in the order of their indices.
    ///
    /// This is faster for files. The default is `false`: a fit reads each batch by itself.
    fn reads_ahead(&self) -> bool {
        false
    }

    /// Iterates over the samples in their order, `size` at a time. The last batch may be smaller.
    ///
    /// Use it to encode a file, to compute metrics on it, or to feed a
    /// [`ShuffleBuffer`](crate::ShuffleBuffer).
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
        Batches::new(self, size)
    }

    /// Returns the samples with these indices, in this order. An index may come several times.
    ///
    /// The samples are not copied; memory holds their indices. [`Subset::new`] also takes a source by value.
    /// [`Subset::weighted`] draws samples in proportion to weights.
    ///
    /// ```
    /// use sparse_autoencoder::{Samples, Scaling, nalgebra::DMatrix};
    ///
    /// let samples = DMatrix::from_fn(8, 300, |i, j| ((31 * i + 7 * j) % 256) as f32); // or an NpyFile
    /// let every_third: Vec<usize> = (0..300).step_by(3).collect();
    /// let subset = samples.subset(every_third)?;
    /// assert_eq!(subset.count(), 100);
    /// let scaler = Scaling::standard().fit(&subset)?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for an index that is not below the number of samples.
    fn subset(&self, indices: impl Into<Vec<usize>>) -> Result<Subset<&Self>, Error>
    where
        Self: Sized,
    {
        Subset::new(self, indices)
    }

    /// Reads all samples into memory, entries × samples.
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

/// Reads samples from any source, for use in this crate.
pub(crate) fn read<T: Real>(
    samples: &dyn Samples<T>,
    indices: &[usize],
    batch: &mut [T],
) -> Result<(), Error> {
    samples.read(indices, batch).map_err(Error::of_samples)
}

/// The bytes of the largest sample that is read ahead. For larger ones, the second copy costs what a system call does.
pub(crate) const SMALL: usize = 1 << 10;

/// The number of samples read at a time by sources that need room for them.
pub(crate) const AT_A_TIME: usize = 256;

/// Divides the indices of a batch, and the batch with this number of entries per sample, into pieces of at most `most`
/// samples.
pub(crate) fn pieces<'a, T>(
    indices: &'a [usize],
    batch: &'a mut [T],
    entries: usize,
    most: usize,
) -> impl Iterator<Item = (&'a [usize], &'a mut [T])> {
    let batches = batch.chunks_mut(entries.max(1).saturating_mul(most));
    indices.chunks(most).zip(batches)
}

/// Reads the chosen samples, and passes the `kept` entries of each in `batch` to `keep`, with the whole sample.
pub(crate) fn read_kept<T: Real>(
    samples: &dyn Samples<T>,
    indices: &[usize],
    (kept, batch): (usize, &mut [T]),
    keep: impl Fn(&mut [T], &[T]),
) -> Result<(), Error> {
    check_read((kept, samples.count()), indices, batch)?;
    let (kept, all) = (kept.max(1), samples.entries());
    let len = all.saturating_mul(indices.len().min(AT_A_TIME));
    let mut whole = reserve::filled(T::zero(), len, "entries of a batch")?;
    for (indices, batch) in pieces(indices, batch, kept, AT_A_TIME) {
        let whole = &mut whole[..all * indices.len()];
        samples.read(indices, whole)?;
        for (to, from) in batch.chunks_exact_mut(kept).zip(whole.chunks_exact(all)) {
            keep(to, from);
        }
    }
    Ok(())
}

/// Refuses a batch of another size than the chosen samples, and an index beyond `count`.
pub(crate) fn check_read<T>(
    (entries, count): (usize, usize),
    indices: &[usize],
    batch: &[T],
) -> Result<(), Error> {
    check_len("batch", indices.len().saturating_mul(entries), batch.len())?;
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

            fn entries(&self) -> usize {
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

// One type of view each, so that `matrix.as_view()` infers it.
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
        #[diagnostic::do_not_recommend]
        impl<T: Real, S: Samples<T> + ?Sized> Samples<T> for $pointer where Self: Sync {
            fn count(&self) -> usize {
                (**self).count()
            }

            fn entries(&self) -> usize {
                (**self).entries()
            }

            fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
                (**self).read(indices, batch)
            }

            fn in_memory(&self) -> Option<DMatrixView<'_, T>> {
                (**self).in_memory()
            }

            fn input_entries(&self) -> Option<usize> {
                (**self).input_entries()
            }

            fn reads_ahead(&self) -> bool {
                (**self).reads_ahead()
            }
        }
    )+};
}

forward!(&S, &mut S, Box<S>, Arc<S>);
