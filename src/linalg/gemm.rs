//! The one matrix product.
//!
//! Written here, over a library's portable vectors, because a training step must not allocate, must
//! give the same bits for any number of threads, and must be fast also for the tall and flat
//! matrices of one batch, and the libraries at hand miss one of the three. The plan is that of Goto
//! & van de Geijn (2008, *Anatomy of High-Performance Matrix Multiplication*): one factor, the
//! *vector side*, is copied block by block into an order in which the processor reads it in vectors;
//! of the other, the *broadcast side*, one entry at a time is multiplied with such a vector; a tile
//! of the result stays in registers while both stream by.
//!
//! An entry of the result is `Σ_blocks (Σ_p a_p b_p)`, the inner sum being one chain of fused
//! multiply-adds over a block of the depth, and the blocks depend on the depth alone. So neither
//! the tile an entry falls into, nor the number of threads, nor the other samples of the batch can
//! change a bit of it. Only a result of very few columns is made column by column instead, by
//! products of a matrix and a vector, with sums of their own.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut};

use super::Scratch;
use super::aligned::line;
use super::blocking::multiply;
use super::gemv::{FEW, matrix_vectors};
use super::packing::Copies;
use super::parallel::join;
use crate::Real;

/// A matrix, or its transpose, as a factor of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factor<'a, T: Real> {
    matrix: DMatrixView<'a, T>,
    transposed: bool,
}

impl<'a, T: Real> From<DMatrixView<'a, T>> for Factor<'a, T> {
    fn from(matrix: DMatrixView<'a, T>) -> Self {
        Self {
            matrix,
            transposed: false,
        }
    }
}

/// The transpose of `matrix` as a factor. Nothing is moved: only rows and columns change roles.
pub(crate) fn transpose<T: Real>(matrix: DMatrixView<'_, T>) -> Factor<'_, T> {
    Factor {
        matrix,
        transposed: true,
    }
}

/// What a result is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// Nothing: it replaces what the result held.
    Over,
    /// What the result held.
    Add,
}

/// `out = lhs · rhs`, added to what `write` says.
pub(crate) fn product<'a, T: Real>(
    out: DMatrixViewMut<'_, T>,
    write: Write,
    lhs: impl Into<Factor<'a, T>>,
    rhs: impl Into<Factor<'a, T>>,
    scratch: &mut Scratch<T>,
) {
    let (lhs, rhs) = (lhs.into(), rhs.into());
    if write == Write::Over && out.ncols() <= FEW && !rhs.transposed {
        matrix_vectors(out, lhs.matrix, lhs.transposed, rhs.matrix, scratch.threads);
    } else {
        tiled(out, write, lhs, rhs, scratch);
    }
}

/// [`product`] by tiles, whatever the shape.
pub(crate) fn tiled<T: Real>(
    out: DMatrixViewMut<'_, T>,
    write: Write,
    lhs: Factor<'_, T>,
    rhs: Factor<'_, T>,
    scratch: &mut Scratch<T>,
) {
    let task = Task {
        out,
        write,
        vector: Side {
            matrix: lhs.matrix,
            along_depth: lhs.transposed,
        },
        broadcast: Side {
            matrix: rhs.matrix,
            along_depth: !rhs.transposed,
        },
    };
    let (rows, columns, depth) = (task.vector.len(), task.broadcast.len(), task.vector.depth());
    debug_assert_eq!(task.out.shape(), (rows, columns));
    debug_assert_eq!(depth, task.broadcast.depth());
    let threads = scratch.threads.worth(rows * columns * depth).count();
    if scratch.copies.len() < threads {
        scratch.copies.resize_with(threads, Copies::new);
    }
    task.run(&mut scratch.copies[..threads]);
}

/// One factor of a product: a vector, along the result, for every position of the depth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a, T: Real> {
    pub(crate) matrix: DMatrixView<'a, T>,
    /// Whether the columns of the matrix run along the depth, not along the result.
    pub(crate) along_depth: bool,
}

impl<T: Real> Side<'_, T> {
    /// The extent along the result.
    pub(crate) fn len(&self) -> usize {
        if self.along_depth {
            self.matrix.ncols()
        } else {
            self.matrix.nrows()
        }
    }

    /// The extent along the depth, over which is summed.
    pub(crate) fn depth(&self) -> usize {
        if self.along_depth {
            self.matrix.nrows()
        } else {
            self.matrix.ncols()
        }
    }

    /// A part of it along the result.
    fn part(&self, range: Range<usize>) -> Side<'_, T> {
        let matrix = if self.along_depth {
            self.matrix.columns_range(range)
        } else {
            self.matrix.rows_range(range)
        };
        Side {
            matrix,
            along_depth: self.along_depth,
        }
    }

    /// A column of the matrix.
    #[inline(always)]
    pub(crate) fn column(&self, index: usize) -> &[T] {
        self.matrix.column(index).data.into_slice()
    }
}

/// A product, or a part of one that shares no entry of the result with the others.
#[derive(Debug)]
pub(crate) struct Task<'a, T: Real> {
    pub(crate) out: DMatrixViewMut<'a, T>,
    pub(crate) write: Write,
    pub(crate) vector: Side<'a, T>,
    pub(crate) broadcast: Side<'a, T>,
}

impl<T: Real> Task<'_, T> {
    /// Splits the task among threads, at the longer side: the other is what each reads whole.
    fn run(mut self, copies: &mut [Copies<T>]) {
        let threads = copies.len();
        let (rows, columns) = (self.vector.len(), self.broadcast.len());
        let by_rows = rows >= columns;
        let len = if by_rows { rows } else { columns };
        // At whole vectors, so that of a column no two threads write the same cache line.
        let middle = (len * (threads / 2) / threads).next_multiple_of(line::<T>());
        if threads <= 1 || middle >= len {
            multiply(self, &mut copies[0]);
            return;
        }
        let (whole_vector, whole_broadcast) = (self.vector, self.broadcast);
        let (first, second) = if by_rows {
            self.out.rows_range_pair_mut(..middle, middle..)
        } else {
            self.out.columns_range_pair_mut(..middle, middle..)
        };
        let part = |out, range: Range<usize>, copies| {
            let (rows, columns) = if by_rows {
                (range, 0..columns)
            } else {
                (0..rows, range)
            };
            Task {
                out,
                write: self.write,
                vector: whole_vector.part(rows),
                broadcast: whole_broadcast.part(columns),
            }
            .run(copies);
        };
        let (of_first, of_second) = copies.split_at_mut(threads / 2);
        join(
            || part(first, 0..middle, of_first),
            || part(second, middle..len, of_second),
        );
    }
}
