//! Matrices that methods take: those of nalgebra, and row-major slices as matrices.

#[cfg(feature = "ndarray")]
mod arrays;

#[cfg(feature = "ndarray")]
pub use arrays::{into_array, view_array};

use std::sync::Arc;

use nalgebra::{
    Const, DMatrix, DMatrixView, DMatrixViewMut, DVector, Dim, Dyn, Matrix, OMatrix, RawStorage,
    SMatrix,
};

use crate::Real;
use crate::error::{Error, require_some};

/// A matrix in memory whose columns are samples.
///
/// | type | as a matrix |
/// |---|---|
/// | `DMatrix`, `DMatrixView`, `DMatrixViewMut`, `SMatrix`, and other fixed heights | itself |
/// | `DVector` | one sample |
/// | a reference to any matrix or view of nalgebra, such as `&matrix.column(0)` | itself |
/// | `&mut`, `Box`, `Arc` of these | itself |
/// | a slice, by [`view_rows`] | one row of the buffer per sample |
#[cfg_attr(
    feature = "ndarray",
    doc = "| `Array2`, `ArrayView2` of `ndarray`, samples × features, in standard layout | the transpose |"
)]
#[cfg_attr(
    feature = "ndarray",
    doc = "| `Array1`, `ArrayView1`, contiguous | one sample |"
)]
///
/// No matrix is copied. All methods that read a whole matrix take this trait. Training also takes
/// [`Samples`](crate::Samples) outside memory.
///
/// ```
/// use sparse_autoencoder::{SparseAutoencoder, nalgebra::DMatrix, view_rows};
///
/// let sae = SparseAutoencoder::<f32>::builder().layers([2, 3]).build()?;
/// let samples = DMatrix::from_row_slice(2, 4, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
/// let hidden = sae.encode(&samples)?;
/// assert_eq!(sae.encode(samples.columns(1, 2))?, hidden.columns(1, 2));
/// assert_eq!(sae.encode(&samples.column(3))?, hidden.columns(3, 1));
/// assert_eq!(sae.encode(view_rows(&[0.1, 0.5, 0.2, 0.6], 2)?)?, hidden.columns(0, 2));
/// assert_eq!(sae.encode(samples)?, hidden);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a matrix of `{T}` whose columns are samples",
    label = "not a matrix of `{T}`",
    note = "pass `&matrix`, `matrix.columns(0, 10)`, or a reference to any other view, such as `&matrix.column(0)`",
    note = "for a row-major slice, pass `view_rows(&slice, features)?`",
    note = "for a file, read it by `NpyFile::load(path)?`, or a batch at a time by `samples.batches(1024)`",
    note = "for an array of `ndarray`, samples × features, enable the feature `ndarray` of `sparse-autoencoder`",
    note = "the scalars of the matrix must be those of the model: `f32` or `f64`"
)]
pub trait AsMatrix<T: Real> {
    /// Returns a view of the matrix.
    ///
    /// # Errors
    ///
    /// [`Error::NotContiguous`] if a column is not contiguous in memory.
    fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error>;
}

macro_rules! of_matrices {
    ($($matrix:ty, [$($parameters:tt)*];)+) => {$(
        impl<$($parameters)* T: Real> AsMatrix<T> for $matrix {
            fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
                Ok(self.into())
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

impl<'a, T: Real, R: Dim, C: Dim, S: RawStorage<T, R, C>> AsMatrix<T> for &'a Matrix<T, R, C, S>
where
    DMatrixView<'a, T>: From<Self>,
{
    fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
        if self.strides().0 != 1 {
            return Err(Error::NotContiguous {
                what: "the columns of a matrix",
                remedy: "pass `&matrix.clone_owned()`",
            });
        }
        Ok((*self).into())
    }
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[diagnostic::do_not_recommend]
        impl<T: Real, M: AsMatrix<T>> AsMatrix<T> for $pointer {
            fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
                M::as_matrix(self)
            }
        }
    )+};
}

forward!(&mut M, Box<M>, &Box<M>, Arc<M>, &Arc<M>);

#[diagnostic::do_not_recommend]
impl<'a, T: Real, M: ?Sized> AsMatrix<T> for &&'a M
where
    &'a M: AsMatrix<T>,
{
    fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
        <&M>::as_matrix(self)
    }
}

/// Views a row-major buffer, samples × features, as a matrix, features × samples, without a copy.
///
/// The two have the same order in memory. [`into_rows`] leads back.
///
/// ```
/// use sparse_autoencoder::{SparseAutoencoder, into_rows, view_rows};
///
/// let buffer = vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6]; // three samples of two features
/// let sae = SparseAutoencoder::<f32>::builder().layers([2, 5]).build()?;
/// let hidden = into_rows(sae.encode(view_rows(&buffer, 2)?)?);
/// assert_eq!(hidden.len(), 3 * 5); // the five activations of the first sample, of the second, …
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # A table in CSV
///
/// Each line is a sample. The crate [csv](https://docs.rs/csv) splits lines with quotes. An empty cell, or NA, is a
/// [missing value](crate::MissingValues).
///
/// ```
/// use sparse_autoencoder::view_rows;
///
/// let text = "height,weight\n1.80,75\n1.65,\n1.71,64.5\n"; // or std::fs::read_to_string("table.csv")?
/// let mut lines = text.lines();
/// let names: Vec<&str> = lines.next().unwrap_or("").split(',').collect();
/// let mut values = Vec::new();
/// for (number, line) in (2..).zip(lines) {
///     let cells: Vec<&str> = line.split(',').map(str::trim).collect();
///     if cells.len() != names.len() {
///         return Err(format!("line {number} has {} cells", cells.len()).into());
///     }
///     for cell in cells {
///         values.push(match cell {
///             "" | "NA" => f32::NAN,
///             _ => cell.parse().map_err(|error| format!("line {number}, {cell:?}: {error}"))?,
///         });
///     }
/// }
/// let table = view_rows(&values, names.len())?; // features × samples
/// assert_eq!(table.shape(), (2, 3));
/// assert_eq!(table[(0, 2)], 1.71);
/// assert!(table[(1, 1)].is_nan());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::InvalidParameter`] without features, [`Error::DimensionMismatch`] if the length is not a multiple of
/// their number.
pub fn view_rows<T: Real>(values: &[T], features: usize) -> Result<DMatrixView<'_, T>, Error> {
    require_some("features", features)?;
    let rest = values.len() % features;
    if rest > 0 {
        return Err(Error::DimensionMismatch {
            what: "values in the last row of the row-major buffer",
            expected: features,
            actual: rest,
        });
    }
    let samples = values.len() / features;
    Ok(DMatrixView::from_slice(values, features, samples))
}

/// Converts a matrix, features × samples, into a row-major buffer, samples × features, without a copy.
#[must_use]
pub fn into_rows<T: Real>(matrix: DMatrix<T>) -> Vec<T> {
    matrix.data.into()
}
