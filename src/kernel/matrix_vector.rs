//! The product of a matrix and a few vectors, as for a few samples: every entry of the matrix is used
//! so rarely that nothing is worth copying, and the matrix is read at the speed of the memory that
//! holds it, once for all vectors.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut};

use super::threads::{Divide, Threads, divide};
use super::{Scalar, vectorize};
use crate::Real;

/// Up to so many columns of a result, copying a factor costs more than reading it again for every
/// column.
pub(super) const FEW: usize = 8;
/// Bytes of the matrix that every vector meets before the next are read: they stay in the second
/// cache.
const BLOCK: usize = 128 << 10;

/// `out = matrix · V`, or `out = matrixᵀ · V`, for `V` of at most [`FEW`] columns. The sums are other
/// ones than those of a product with more columns, of the same terms, and those of a column do not
/// depend on the others.
pub(super) fn matrix_vectors<T: Real>(
    mut out: DMatrixViewMut<'_, T>,
    matrix: DMatrixView<'_, T>,
    transposed: bool,
    v: DMatrixView<'_, T>,
    threads: Threads,
) {
    let depth = threads.depth_for_reading(matrix.len() * v.ncols());
    let mut rows = Rows {
        first: 0,
        out: Default::default(),
    };
    for (to, column) in rows.out.iter_mut().zip(out.column_iter_mut()) {
        *to = column.data.into_slice_mut();
    }
    divide(rows, depth, &|rows: Rows<'_, T>| {
        if transposed {
            rows.dots(matrix, v);
        } else {
            rows.combine(matrix, v);
        }
    });
}

/// Some rows of the result, from the index `first` on.
struct Rows<'a, T> {
    first: usize,
    /// Their part of each column; empty where there is none.
    out: [&'a mut [T]; FEW],
}

impl<T: Real> Rows<'_, T> {
    fn len(&self) -> usize {
        self.out[0].len()
    }

    /// A row is a column of the matrix times a vector.
    fn dots(mut self, matrix: DMatrixView<'_, T>, v: DMatrixView<'_, T>) {
        let len = self.len();
        // Even, so that pairs stay pairs.
        let block = columns_of_block(matrix.nrows(), v, len).next_multiple_of(2);
        for start in (0..len).step_by(block) {
            let end = (start + block).min(len);
            let of_row = |row: usize| column(&matrix, self.first + start + row);
            for (out, v) in self.out.iter_mut().zip(v.column_iter()) {
                T::dots(&mut out[start..end], of_row, v.data.into_slice());
            }
        }
    }

    /// The rows are a sum of multiples of the matrix's columns, as far as they go.
    fn combine(mut self, matrix: DMatrixView<'_, T>, v: DMatrixView<'_, T>) {
        let (len, count) = (self.len(), matrix.ncols());
        let block = columns_of_block(len, v, count).next_multiple_of(TOGETHER);
        let part = self.first..self.first + len;
        for out in &mut self.out {
            out.fill(T::zero());
        }
        for start in (0..count).step_by(block) {
            let end = (start + block).min(count);
            for (out, v) in self.out.iter_mut().zip(v.column_iter()) {
                let v = v.data.into_slice();
                vectorize(
                    #[inline(always)]
                    || {
                        add_in_order(out, start..end, |j| {
                            (&column(&matrix, j)[part.clone()], v[j])
                        });
                    },
                );
            }
        }
    }
}

fn column<'a, T: Real>(matrix: &'a DMatrixView<'_, T>, j: usize) -> &'a [T] {
    matrix.column(j).data.into_slice()
}

/// How many columns of `len` entries all vectors meet before the next: all that there are, if there is
/// one vector.
fn columns_of_block<T: Real>(len: usize, v: DMatrixView<'_, T>, all: usize) -> usize {
    if v.ncols() <= 1 {
        return all.max(1);
    }
    (BLOCK / (len * size_of::<T>()).max(1)).max(1)
}

impl<T: Real> Divide for Rows<'_, T> {
    fn halves(mut self) -> Result<(Self, Self), Self> {
        let half = (self.len() / 2).next_multiple_of(64); // even, so that pairs stay pairs
        if half >= self.len() {
            return Err(self);
        }
        let mut second = Self {
            first: self.first + half,
            out: Default::default(),
        };
        for (first, second) in self.out.iter_mut().zip(&mut second.out) {
            let at = half.min(first.len());
            (*first, *second) = std::mem::take(first).split_at_mut(at);
        }
        Ok((self, second))
    }
}

/// Columns that are added together, so that the result is read and written less.
const TOGETHER: usize = 4;

/// `out ← out + Σ vⱼ columnⱼ` over some columns, several at a time, and each from its beginning to its
/// end, as memory is read fastest.
#[inline(always)]
fn add_in_order<'a, T: Real>(
    out: &mut [T],
    columns: Range<usize>,
    pair: impl Fn(usize) -> (&'a [T], T),
) {
    let whole = columns.end - columns.len() % TOGETHER;
    for first in (columns.start..whole).step_by(TOGETHER) {
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
    for index in whole..columns.end {
        let (d, value) = pair(index);
        for (x, &d) in out.iter_mut().zip(d) {
            *x = Scalar::fma(value, d, *x);
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::cast_precision_loss)] // sums of small integers are exact
mod tests {
    use nalgebra::DMatrix;

    use super::*;

    /// One vector and several, of a matrix that is not read in one block, by one thread and by several.
    #[test]
    fn agrees_with_a_plain_product() {
        let matrix = DMatrix::from_fn(701, 351, |i, j| ((5 * i + 3 * j) % 7) as f64);
        for count in [1, 2, 3, FEW] {
            for transposed in [false, true] {
                let whole = if transposed {
                    matrix.transpose()
                } else {
                    matrix.clone()
                };
                let v = DMatrix::from_fn(whole.ncols(), count, |i, j| ((i + 2 * j) % 5) as f64);
                let expected = DMatrix::from_fn(whole.nrows(), count, |i, j| {
                    whole
                        .row(i)
                        .iter()
                        .zip(&v.column(j))
                        .map(|(a, b)| a * b)
                        .sum()
                });
                for threads in [1, 3] {
                    let mut out = DMatrix::from_element(whole.nrows(), count, f64::NAN);
                    let threads = Threads::at_most(threads);
                    let (of, v) = (matrix.as_view(), v.as_view());
                    matrix_vectors(out.as_view_mut(), of, transposed, v, threads);
                    assert_eq!(out, expected, "{count} vectors, transposed: {transposed}");
                }
            }
        }
    }
}
