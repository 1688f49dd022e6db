//! The product of a matrix and a vector, as for one sample: every entry of the matrix is used once,
//! so nothing is worth copying, and the matrix is read at the speed of the memory that holds it.

use nalgebra::DMatrixView;

use super::threads::{Divide, Threads, divide};
use super::{Scalar, vectorize};
use crate::Real;

/// `out = matrix · v`, or `out = matrixᵀ · v`. The sums are other ones than those of a product with
/// several columns, of the same terms.
pub(super) fn matrix_vector<T: Real>(
    out: &mut [T],
    matrix: DMatrixView<'_, T>,
    transposed: bool,
    v: &[T],
    threads: Threads,
) {
    let depth = threads.depth_for_reading(matrix.len());
    divide(Rows { first: 0, out }, depth, &|rows: Rows<'_, T>| {
        let column = |j: usize| matrix.column(j).data.into_slice();
        if transposed {
            return T::dots(rows.out, |j| column(rows.first + j), v);
        }
        let part = rows.first..rows.first + rows.out.len();
        vectorize(
            #[inline(always)]
            || combine_in_order(rows.out, v.len(), |j| (&column(j)[part.clone()], v[j])),
        );
    });
}

/// Entries of the result, from the index `first` on.
struct Rows<'a, T> {
    first: usize,
    out: &'a mut [T],
}

impl<T: Real> Divide for Rows<'_, T> {
    fn halves(self) -> Result<(Self, Self), Self> {
        let half = (self.out.len() / 2).next_multiple_of(64); // even, so that pairs stay pairs
        if half >= self.out.len() {
            return Err(self);
        }
        let (first, second) = self.out.split_at_mut(half);
        Ok((
            Self {
                first: self.first,
                out: first,
            },
            Self {
                first: self.first + half,
                out: second,
            },
        ))
    }
}

/// `out ← Σ vⱼ columnⱼ` over `count` columns, four at a time so that the result is read and written
/// less, and each from its beginning to its end, as memory is read fastest.
#[inline(always)]
fn combine_in_order<'a, T: Real>(
    out: &mut [T],
    count: usize,
    pair: impl Fn(usize) -> (&'a [T], T),
) {
    out.fill(T::zero());
    let whole = count - count % 4;
    for first in (0..whole).step_by(4) {
        let [(a, va), (b, vb), (c, vc), (d, vd)] = [
            pair(first),
            pair(first + 1),
            pair(first + 2),
            pair(first + 3),
        ];
        for (x, (((&a, &b), &c), &d)) in out.iter_mut().zip(a.iter().zip(b).zip(c).zip(d)) {
            *x = Scalar::fma(
                vd,
                d,
                Scalar::fma(vc, c, Scalar::fma(vb, b, Scalar::fma(va, a, *x))),
            );
        }
    }
    for index in whole..count {
        let (d, value) = pair(index);
        for (x, &d) in out.iter_mut().zip(d) {
            *x = Scalar::fma(value, d, *x);
        }
    }
}
