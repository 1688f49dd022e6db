//! Conversions to and from the sparse matrices of nalgebra.

use nalgebra_sparse::CscMatrix;

use super::SparseHidden;
use crate::Real;
use crate::error::Error;

impl<T: Real> From<SparseHidden<T>> for CscMatrix<T> {
    /// Converts to the same matrix, units × samples. Values are moved, not copied.
    #[expect(clippy::expect_used)] // both types have the same requirements
    fn from(hidden: SparseHidden<T>) -> Self {
        let (rows, columns) = hidden.shape();
        let (offsets, units, values) = hidden.into_parts();
        let units = units.into_iter().map(|unit| unit as usize).collect();
        Self::try_from_csc_data(rows, columns, offsets, units, values)
            .expect("sparse hidden activations are a matrix compressed by columns")
    }
}

impl<T: Real> TryFrom<CscMatrix<T>> for SparseHidden<T> {
    type Error = Error;

    /// Converts to the same matrix, units × samples. Values are moved, not copied.
    ///
    /// Fails for more units than 32 bits can number, and as [`from_parts`](SparseHidden::from_parts) does for NaN,
    /// infinities, and stored zeros. Remove those by `matrix.filter(|_, _, value| *value != 0.0)`.
    fn try_from(matrix: CscMatrix<T>) -> Result<Self, Error> {
        let hidden = matrix.nrows();
        let (offsets, units, values) = matrix.disassemble();
        let numbered = units.iter().map(|&unit| u32::try_from(unit).ok()).collect();
        let Some(units) = numbered else {
            return Err(Error::DimensionMismatch {
                what: "units that 32 bits can number",
                expected: u32::MAX as usize,
                actual: hidden,
            });
        };
        Self::from_parts(hidden, offsets, units, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(value: f64) -> CscMatrix<f64> {
        CscMatrix::try_from_csc_data(4, 3, vec![0, 2, 2, 3], vec![0, 3, 1], vec![0.5, 2.0, value])
            .unwrap()
    }

    #[test]
    fn there_and_back_nothing_is_lost() {
        let hidden = SparseHidden::try_from(matrix(-1.0)).unwrap();
        assert_eq!(hidden.shape(), (4, 3));
        assert_eq!(hidden.sample(0), Some((&[0, 3][..], &[0.5, 2.0][..])));
        assert_eq!(hidden.sample(1), Some((&[][..], &[][..])));
        assert_eq!(hidden.sample(2), Some((&[1][..], &[-1.0][..])));
        assert_eq!(CscMatrix::from(hidden), matrix(-1.0));

        let empty = CscMatrix::from(SparseHidden::<f32>::new());
        assert_eq!((empty.nrows(), empty.ncols()), (0, 0));
        assert_eq!(SparseHidden::try_from(empty), Ok(SparseHidden::new()));
    }

    #[test]
    fn what_is_no_activation_is_refused() {
        let refused = |value| SparseHidden::try_from(matrix(value)).unwrap_err();
        assert!(matches!(
            refused(f64::NAN),
            Error::NonFinite {
                row: 1,
                column: 2,
                ..
            }
        ));
        assert!(matches!(
            refused(0.0),
            Error::OutOfRange {
                row: 1,
                column: 2,
                ..
            }
        ));
        let filtered = matrix(0.0).filter(|_, _, value| *value != 0.0);
        assert_eq!(SparseHidden::try_from(filtered).unwrap().active(), 2);
        let tall =
            CscMatrix::<f64>::try_from_csc_data(1 << 40, 1, vec![0, 1], vec![1 << 33], vec![1.0]);
        assert_eq!(
            SparseHidden::try_from(tall.unwrap()),
            Err(Error::DimensionMismatch {
                what: "units that 32 bits can number",
                expected: u32::MAX as usize,
                actual: 1 << 40,
            })
        );
    }
}
