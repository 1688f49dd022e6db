//! Arrays of `ndarray` as matrices and samples, and matrices as arrays.
//!
//! An array in standard layout, samples × features, has the order in memory of a matrix, features × samples.

use nalgebra::{DMatrix, DMatrixView};
use ndarray::{Array2, ArrayBase, ArrayView2, Axis, Data, Ix1, Ix2, arr2, aview2};

use super::{AsMatrix, into_rows, view_rows};
use crate::data::check_read;
use crate::{Error, Real, Samples};

/// Returns a view of values in standard layout.
fn view<T: Real>(
    values: Option<&[T]>,
    (samples, features): (usize, usize),
) -> Result<DMatrixView<'_, T>, Error> {
    let values = values.ok_or(Error::NotContiguous {
        what: "an array in standard (row-major) layout, samples × features,",
        remedy: "pass `&array.as_standard_layout()`",
    })?;
    if features == 0 {
        return Ok(DMatrixView::from_slice(values, 0, samples));
    }
    view_rows(values, features)
}

/// One sample per row. The array must be in standard layout.
impl<T: Real, S: Data<Elem = T>> AsMatrix<T> for ArrayBase<S, Ix2> {
    fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
        view(self.as_slice(), self.dim())
    }
}

/// One sample. The array must be contiguous.
impl<T: Real, S: Data<Elem = T>> AsMatrix<T> for ArrayBase<S, Ix1> {
    fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
        view(self.as_slice(), (1, self.len()))
    }
}

impl<T: Real, S: Data<Elem = T>> AsMatrix<T> for &ArrayBase<S, Ix2> {
    fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
        (**self).as_matrix()
    }
}

impl<T: Real, S: Data<Elem = T>> AsMatrix<T> for &ArrayBase<S, Ix1> {
    fn as_matrix(&self) -> Result<DMatrixView<'_, T>, Error> {
        (**self).as_matrix()
    }
}

/// One sample per row.
///
/// Batches of an array that is not in standard layout, such as a transposed one, are copied. It counts as not in
/// memory, which full-batch optimizers refuse: pass `array.as_standard_layout()`.
impl<T: Real, S: Data<Elem = T>> Samples<T> for ArrayBase<S, Ix2>
where
    Self: Sync,
{
    fn count(&self) -> usize {
        self.nrows()
    }

    fn entries(&self) -> usize {
        self.ncols()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        check_read((self.ncols(), self.nrows()), indices, batch)?;
        for (to, &from) in batch.chunks_exact_mut(self.ncols().max(1)).zip(indices) {
            for (to, &value) in to.iter_mut().zip(self.index_axis(Axis(0), from)) {
                *to = value;
            }
        }
        Ok(())
    }

    fn in_memory(&self) -> Option<DMatrixView<'_, T>> {
        self.as_matrix().ok()
    }
}

/// Views a matrix, entries × samples, as an array, samples × entries, without a copy.
///
/// Arrays have at most `isize::MAX` samples. A matrix with more, which has no rows, becomes an array of 0 × 0.
///
/// ```
/// use sparse_autoencoder::ndarray::Array2;
/// use sparse_autoencoder::{Adam, SparseAutoencoder, Trainer, into_array, view_array};
///
/// let table = Array2::from_shape_fn((100, 8), |(i, j)| ((i + j) % 8) as f32 / 8.0);
/// let mut sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
/// Trainer::new(Adam::new(1e-2)?).epochs(5).fit(&mut sae, &table)?;
/// let hidden = sae.encode(&table)?;
/// assert_eq!(view_array(&hidden).dim(), (100, 12));
/// let reconstructions: Array2<f32> = into_array(sae.decode(&hidden)?);
/// assert_eq!(reconstructions.dim(), table.dim());
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[must_use]
pub fn view_array<T: Real>(matrix: &DMatrix<T>) -> ArrayView2<'_, T> {
    let shape = (matrix.ncols(), matrix.nrows());
    ArrayView2::from_shape(shape, matrix.as_slice()).unwrap_or_else(|_| aview2::<T, 0>(&[]))
}

/// Converts a matrix, entries × samples, into an array, samples × entries, without a copy.
///
/// [`view_array`] has an example, and names the largest number of samples.
#[must_use]
pub fn into_array<T: Real>(matrix: DMatrix<T>) -> Array2<T> {
    let shape = (matrix.ncols(), matrix.nrows());
    Array2::from_shape_vec(shape, into_rows(matrix)).unwrap_or_else(|_| arr2::<T, 0>(&[]))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Slice};

    use super::*;

    fn table() -> Array2<f32> {
        Array2::from_shape_vec((3, 2), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
    }

    #[test]
    fn arrays_in_standard_layout_are_not_copied() {
        let table = table();
        let matrix = table.as_matrix().unwrap();
        assert_eq!(
            matrix,
            DMatrix::from_row_slice(3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).transpose()
        );
        assert_eq!(matrix.as_ptr(), table.as_ptr());
        assert_eq!(Samples::in_memory(&table).unwrap().as_ptr(), table.as_ptr());
        let rows = table.slice_axis(Axis(0), Slice::from(1..));
        assert_eq!(rows.as_matrix().unwrap(), matrix.columns(1, 2));
        assert_eq!(table.row(2).as_matrix().unwrap(), matrix.columns(2, 1));

        let array = into_array(matrix.into_owned());
        assert_eq!(array, table);
        let matrix = DMatrix::from_row_slice(2, 3, &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0_f32]);
        assert_eq!(view_array(&matrix), table);
        assert_eq!(view_array(&matrix).as_ptr(), matrix.as_ptr());
    }

    #[test]
    fn other_layouts_are_refused_as_matrices_and_copied_as_samples() {
        let table = table();
        for other in [
            table.t(),
            table.slice_axis(Axis(0), Slice::new(0, None, 2)),
            table.slice_axis(Axis(1), Slice::from(..1)),
        ] {
            let error = other.as_matrix().unwrap_err();
            assert!(error.to_string().contains("as_standard_layout"), "{error}");
            let standard = other.as_standard_layout();
            assert_eq!(other.to_matrix().unwrap(), standard.as_matrix().unwrap());
        }
        let mut column = table.column(1);
        assert!(column.as_matrix().is_err());
        column = table.row(0);
        assert_eq!(column.as_matrix().unwrap().shape(), (2, 1));
        let mut batch = [0.0; 2];
        assert!(table.read(&[3], &mut batch).is_err());
        assert!(table.read(&[0, 1], &mut batch).is_err());
    }

    #[test]
    fn arrays_without_entries_keep_their_shape() {
        for shape in [(0, 4), (4, 0), (0, 0)] {
            let array = Array2::<f64>::zeros(shape);
            let matrix = array.as_matrix().unwrap().into_owned();
            assert_eq!(matrix.shape(), (shape.1, shape.0));
            assert_eq!(into_array(matrix), array);
        }
        assert_eq!(Array1::<f64>::zeros(0).as_matrix().unwrap().shape(), (0, 1));
        let endless = DMatrix::<f64>::zeros(0, usize::MAX);
        assert_eq!(view_array(&endless).dim(), (0, 0));
        assert_eq!(into_array(endless).dim(), (0, 0));
    }
}
