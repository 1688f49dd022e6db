//! Reductions: sums over entries, distances, and whether all entries are finite.

use nalgebra::DMatrixView;

use super::parallel::join;
use super::{Scalar, Threads, vectorize};
use crate::Real;

/// Returns `Σ term(v)`, in a fixed order that suits vector code.
#[inline(always)]
pub(crate) fn sum<T: Real>(values: &[T], term: impl Fn(T) -> T) -> T {
    // The compiler may not split a sum: floating-point addition does not associate.
    const LANES: usize = 32;
    let mut lanes = [T::zero(); LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += term(value);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            let other = lanes[lane + half];
            lanes[lane] += other;
        }
        half /= 2;
    }
    lanes[0]
}

/// Returns `‖a − b‖²`.
pub(crate) fn distance_squared<T: Real>(a: &[T], b: &[T]) -> T {
    vectorize(
        #[inline(always)]
        || {
            const LANES: usize = 32;
            let mut lanes = [T::zero(); LANES];
            for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
                for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                    *lane = Scalar::fma(a - b, a - b, *lane);
                }
            }
            sum(&lanes, |lane| lane)
        },
    )
}

/// Returns whether no value is NaN or infinite.
pub(crate) fn all_finite<T: Real>(values: &[T]) -> bool {
    #[allow(clippy::eq_op)] // v − v is 0 for finite v and NaN for all others
    let sum = vectorize(
        #[inline(always)]
        || sum(values, |v| v - v),
    );
    sum.is_finite()
}

/// Computes [`all_finite`] of a matrix. Several threads share many entries.
pub(crate) fn all_finite_columns<T: Real>(matrix: DMatrixView<'_, T>, threads: Threads) -> bool {
    halves_finite(matrix, threads.depth_for_reading(matrix.len()))
}

fn halves_finite<T: Real>(matrix: DMatrixView<'_, T>, depth: u32) -> bool {
    let half = matrix.ncols() / 2;
    if depth == 0 || half == 0 {
        let mut columns = matrix.column_iter();
        return columns.all(|column| all_finite(column.as_slice()));
    }
    let (first, second) = (matrix.columns_range(..half), matrix.columns_range(half..));
    let mut finite = [true; 2];
    let [of_first, of_second] = &mut finite;
    join(
        || *of_first = halves_finite(first, depth - 1),
        || *of_second = halves_finite(second, depth - 1),
    );
    finite == [true; 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    /// Enough entries for several threads. One entry is not finite.
    #[test]
    fn finds_what_is_not_finite_wherever_it_is() {
        let mut matrix = DMatrix::from_element(1 << 16, 25, f32::MAX);
        let finite = |matrix: &DMatrix<f32>| {
            [1, 2, 3].map(|threads| all_finite_columns(matrix.as_view(), Threads::at_most(threads)))
        };
        assert_eq!(finite(&matrix), [true; 3]);
        for (place, value) in [
            ((0, 0), f32::NAN),
            ((65_535, 11), f32::INFINITY),
            ((17, 12), f32::NEG_INFINITY),
            ((65_535, 24), f32::NAN),
        ] {
            matrix[place] = value;
            assert_eq!(finite(&matrix), [false; 3], "{place:?}");
            matrix[place] = 0.0;
        }
    }
}
