//! The product of a matrix and a few vectors.
//!
//! Each entry of the matrix is used only a few times, so packing would not pay. The matrix is read in
//! place, once for all vectors, at the speed of its memory.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut};

use super::blocking::kc_blocks;
use super::parallel::{Divide, Threads, divide};
use super::{Scalar, vectorize};
use crate::Real;

/// The maximum number of columns for which packing costs more than reading the matrix for every column.
pub(super) const FEW: usize = 8;
/// Bytes of the matrix that are multiplied with all vectors before the next ones are read. They stay in
/// the second cache.
const BLOCK: usize = 128 << 10;
/// Rows whose sums over a KC block are held, to be added to those of earlier blocks.
const PART: usize = 1024;

/// `out = matrix · V`, or `out = matrixᵀ · V`, for at most [`FEW`] columns.
///
/// The first has the bits of a product with more columns; the second adds in another order. No column
/// depends on the others.
pub(super) fn gemv<T: Real>(
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

/// Consecutive rows of the result, from row `first` on.
struct Rows<'a, T> {
    first: usize,
    /// The rows of each column. Empty beyond the last column.
    out: [&'a mut [T]; FEW],
}

impl<T: Real> Rows<'_, T> {
    fn len(&self) -> usize {
        self.out[0].len()
    }

    /// Computes a row as the product of a column of the matrix and a vector.
    fn dots(mut self, matrix: DMatrixView<'_, T>, v: DMatrixView<'_, T>) {
        let len = self.len();
        // An even number, so that pairs stay together.
        let block = columns_of_block(matrix.nrows(), v, len).next_multiple_of(2);
        for start in (0..len).step_by(block) {
            let end = (start + block).min(len);
            let of_row = |row: usize| column(&matrix, self.first + start + row);
            for (out, v) in self.out.iter_mut().zip(v.column_iter()) {
                T::dots(&mut out[start..end], of_row, v.data.into_slice());
            }
        }
    }

    /// Computes the rows as weighted sums of the matrix's columns: one chain for each KC block, as in a
    /// tile.
    fn combine(mut self, matrix: DMatrixView<'_, T>, v: DMatrixView<'_, T>) {
        let mut blocks = kc_blocks::<T>(matrix.ncols());
        self.combine_block(blocks.next().unwrap_or_default(), matrix, v);
        for block in blocks {
            self.add_block(&block, matrix, v);
        }
    }

    /// Adds the chain of the next block.
    #[inline(never)] // so that a single block needs no stack for sums
    fn add_block(
        &mut self,
        block: &Range<usize>,
        matrix: DMatrixView<'_, T>,
        v: DMatrixView<'_, T>,
    ) {
        let mut buffer = [[T::zero(); PART]; FEW];
        for start in (0..self.len()).step_by(PART) {
            let end = (start + PART).min(self.len());
            let mut sums = Rows {
                first: self.first + start,
                out: buffer.each_mut().map(|sums| &mut sums[..end - start]),
            };
            sums.combine_block(block.clone(), matrix, v);
            for (out, sums) in self.out.iter_mut().zip(&buffer).take(v.ncols()) {
                for (x, &sum) in out[start..end].iter_mut().zip(sums) {
                    *x += sum;
                }
            }
        }
    }

    /// Computes one chain over these columns of the matrix.
    fn combine_block(
        &mut self,
        columns: Range<usize>,
        matrix: DMatrixView<'_, T>,
        v: DMatrixView<'_, T>,
    ) {
        let len = self.len();
        let step = columns_of_block(len, v, columns.len()).next_multiple_of(TOGETHER);
        let part = self.first..self.first + len;
        for out in &mut self.out {
            out.fill(T::zero());
        }
        for start in columns.clone().step_by(step) {
            let end = (start + step).min(columns.end);
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

/// Returns the number of columns of `len` entries that are multiplied with all vectors before the next:
/// `all` for a single vector.
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

/// Columns that are added at a time, so that the result is read and written less often.
const TOGETHER: usize = 4;

/// `out ← out + Σ vⱼ columnⱼ`, several columns at a time, each from start to end, the fastest order for
/// memory.
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
    use crate::linalg::{Scratch, Write, gemm};

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
                    gemv(out.as_view_mut(), of, transposed, v, threads);
                    assert_eq!(out, expected, "{count} vectors, transposed: {transposed}");
                }
            }
        }
    }

    /// A sum of columns runs in the same order in a product with many columns, over several blocks of the
    /// depth and several parts of the rows.
    #[test]
    fn sums_of_columns_have_the_bits_of_a_wide_product() {
        for (rows, count) in [(5, 1), (33, 700), (1500, 40), (1100, 1200), (7, 2500)] {
            let entry = |i: usize, j: usize| (((31 * i + 17 * j) % 101) as f64).sqrt() - 5.0;
            let matrix = DMatrix::from_fn(rows, count, entry);
            let v = DMatrix::from_fn(count, FEW + 1, |i, j| entry(j, i));
            let product = |v: DMatrixView<'_, f64>| {
                let mut out = DMatrix::from_element(rows, v.ncols(), f64::NAN);
                let scratch = &mut Scratch::default();
                gemm(out.as_view_mut(), Write::Over, matrix.as_view(), v, scratch);
                out
            };
            let wide = product(v.as_view());
            for few in 1..=FEW {
                assert_eq!(
                    product(v.columns(0, few)),
                    wide.columns(0, few),
                    "{rows} x {count}"
                );
            }
        }
    }
}
