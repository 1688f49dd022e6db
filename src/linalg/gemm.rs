//! The matrix product.
//!
//! It allocates nothing, gives the same bits for any number of threads, and is fast for the tall and flat
//! matrices of a batch. The algorithm follows Goto & van de Geijn (2008), *Anatomy of High-Performance
//! Matrix Multiplication*:
//!
//! - [`blocking`](super::blocking): loops over blocks of the depth (KC), the rows (MC), and the columns
//!   (NC).
//! - [`packing`](super::packing): copies a block into micro-panels, in the order of their use.
//! - [`micro_kernel`](super::micro_kernel): the macro-kernel loops over the tiles of a block, MR × NR. The
//!   micro-kernel keeps a tile in registers, and multiplies vectors of the left-hand side with
//!   broadcast entries of the right-hand side.
//!
//! An entry of the result is `Σ_blocks Σ_p a_p b_p`. The inner sum is one chain of fused multiply-adds over a
//! KC block, and the blocks depend only on the depth. The bits of an entry therefore do not depend on its
//! tile, the threads, or the other columns. Results of very few columns have another order: see
//! [`gemv`](super::gemv).

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut};

use super::Scratch;
use super::aligned::line;
use super::blocking::multiply;
use super::gemv::{FEW, gemv};
use super::packing::PackBuffers;
use super::parallel::join;
use crate::Real;

/// A matrix or its transpose, as an operand of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a, T: Real> {
    matrix: DMatrixView<'a, T>,
    transposed: bool,
}

impl<'a, T: Real> From<DMatrixView<'a, T>> for Operand<'a, T> {
    fn from(matrix: DMatrixView<'a, T>) -> Self {
        Self {
            matrix,
            transposed: false,
        }
    }
}

/// Returns the transpose of `matrix` as an operand. Moves nothing.
pub(crate) fn transpose<T: Real>(matrix: DMatrixView<'_, T>) -> Operand<'_, T> {
    Operand {
        matrix,
        transposed: true,
    }
}

/// How a result is written to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// It replaces the contents.
    Over,
    /// It is added to the contents.
    Add,
}

/// `out = lhs · rhs`, or `out += lhs · rhs`, as `write` says.
pub(crate) fn gemm<'a, T: Real>(
    out: DMatrixViewMut<'_, T>,
    write: Write,
    lhs: impl Into<Operand<'a, T>>,
    rhs: impl Into<Operand<'a, T>>,
    scratch: &mut Scratch<T>,
) {
    let (lhs, rhs) = (lhs.into(), rhs.into());
    if write == Write::Over && out.ncols() <= FEW && !rhs.transposed {
        gemv(out, lhs.matrix, lhs.transposed, rhs.matrix, scratch.threads);
    } else {
        tiled(out, write, lhs, rhs, scratch);
    }
}

/// Computes [`gemm`] by tiles, for any shape.
pub(super) fn tiled<T: Real>(
    out: DMatrixViewMut<'_, T>,
    write: Write,
    lhs: Operand<'_, T>,
    rhs: Operand<'_, T>,
    scratch: &mut Scratch<T>,
) {
    let task = Task {
        out,
        write,
        lhs: Side {
            matrix: lhs.matrix,
            along_depth: lhs.transposed,
        },
        rhs: Side {
            matrix: rhs.matrix,
            along_depth: !rhs.transposed,
        },
    };
    let (rows, columns, depth) = (task.lhs.len(), task.rhs.len(), task.lhs.depth());
    debug_assert_eq!(task.out.shape(), (rows, columns));
    debug_assert_eq!(depth, task.rhs.depth());
    let threads = scratch.threads.worth(rows * columns * depth).count();
    if scratch.pack_buffers.len() < threads {
        scratch.pack_buffers.resize_with(threads, PackBuffers::new);
    }
    task.run(&mut scratch.pack_buffers[..threads]);
}

/// One side of a product: a vector along the result, for every position of the depth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a, T: Real> {
    pub(super) matrix: DMatrixView<'a, T>,
    /// Whether the columns of the matrix run along the depth instead of the result.
    pub(super) along_depth: bool,
}

impl<T: Real> Side<'_, T> {
    /// Returns the extent along the result.
    pub(super) fn len(&self) -> usize {
        if self.along_depth {
            self.matrix.ncols()
        } else {
            self.matrix.nrows()
        }
    }

    /// Returns the extent along the depth, the index of the sum.
    pub(super) fn depth(&self) -> usize {
        if self.along_depth {
            self.matrix.nrows()
        } else {
            self.matrix.ncols()
        }
    }

    /// Returns a part of this side along the result.
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

    /// Returns a column of the matrix.
    #[inline(always)]
    pub(super) fn column(&self, index: usize) -> &[T] {
        self.matrix.column(index).data.into_slice()
    }
}

/// A product, or a part of one with its own entries of the result.
#[derive(Debug)]
pub(super) struct Task<'a, T: Real> {
    pub(super) out: DMatrixViewMut<'a, T>,
    pub(super) write: Write,
    pub(super) lhs: Side<'a, T>,
    pub(super) rhs: Side<'a, T>,
}

impl<T: Real> Task<'_, T> {
    /// Splits the longer side among the threads. Each thread reads the whole other side.
    fn run(mut self, buffers: &mut [PackBuffers<T>]) {
        let threads = buffers.len();
        let (rows, columns) = (self.lhs.len(), self.rhs.len());
        let by_rows = rows >= columns;
        let len = if by_rows { rows } else { columns };
        // Cut at whole cache lines, so that no two threads write to one.
        let middle = (len * (threads / 2) / threads).next_multiple_of(line::<T>());
        if threads <= 1 || middle >= len {
            multiply(self, &mut buffers[0]);
            return;
        }
        let (whole_lhs, whole_rhs) = (self.lhs, self.rhs);
        let (first, second) = if by_rows {
            self.out.rows_range_pair_mut(..middle, middle..)
        } else {
            self.out.columns_range_pair_mut(..middle, middle..)
        };
        let part = |out, range: Range<usize>, buffers| {
            let (rows, columns) = if by_rows {
                (range, 0..columns)
            } else {
                (0..rows, range)
            };
            Task {
                out,
                write: self.write,
                lhs: whole_lhs.part(rows),
                rhs: whole_rhs.part(columns),
            }
            .run(buffers);
        };
        let (of_first, of_second) = buffers.split_at_mut(threads / 2);
        join(
            || part(first, 0..middle, of_first),
            || part(second, middle..len, of_second),
        );
    }
}
