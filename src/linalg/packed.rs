//! A matrix that is packed once, for many products with a few columns each.
//!
//! Packing does not pay within one product of few columns. Reading the matrix in place is fast only in
//! another order of the sums, so that the bits of a column would depend on the number of columns.
//!
//! Kept micro-panels avoid both. Against reading in place, one column takes 0.7 to 1.0 of the time, and
//! eight take 0.2 to 0.9. Eight interleaved chains in the tiles of AVX-512 instead slow wide products to
//! 1.07 to 1.15.

use std::fmt;
use std::sync::OnceLock;

use nalgebra::{DMatrixView, DMatrixViewMut};

use super::Scratch;
use super::aligned::Aligned;
use super::blocking::kc_blocks;
use super::gemm::{Side, Write, tiled, transpose};
use super::gemv::FEW;
use super::micro_kernel::{Block, Rhs};
use super::packing::{MicroPanels, pack, packed_len};
use super::parallel::join;
use crate::Real;

/// The micro-panels of a matrix, made by the first product that needs them.
///
/// They take as much memory as the matrix. Call [`clear`](Self::clear) after every change of the matrix. A
/// clone starts empty.
pub(crate) struct Packed<T>(OnceLock<Vec<Aligned<T>>>);

impl<T: Real> Packed<T> {
    pub(crate) fn clear(&mut self) {
        self.0.take();
    }

    /// Returns the micro-panels of each KC block, or `None` without memory for them.
    fn get(&self, matrix: DMatrixView<'_, T>) -> Option<&[Aligned<T>]> {
        if let Some(blocks) = self.0.get() {
            return Some(blocks);
        }
        let side = Side {
            matrix,
            along_depth: true,
        };
        let (width, _) = T::tile();
        let copies = kc_blocks::<T>(side.depth()).map(|depth| {
            let mut copy = Aligned::try_zeros(packed_len::<T>(side.len(), width, depth.len()))?;
            pack(&side, width, 0..side.len(), depth, &mut copy);
            Some(copy)
        });
        let copies = copies.collect::<Option<Vec<_>>>()?;
        Some(self.0.get_or_init(|| copies))
    }
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for Packed<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> PartialEq for Packed<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed").finish_non_exhaustive()
    }
}

/// `out = matrixᵀ · X`. The bits of a column do not depend on the other columns or their number.
pub(crate) fn gemm_packed<T: Real>(
    out: DMatrixViewMut<'_, T>,
    matrix: DMatrixView<'_, T>,
    packed: &Packed<T>,
    x: DMatrixView<'_, T>,
    scratch: &mut Scratch<T>,
) {
    let copies = if x.ncols() <= FEW {
        packed.get(matrix)
    } else {
        None
    };
    let Some(copies) = copies else {
        tiled(out, Write::Over, transpose(matrix), x.into(), scratch);
        return;
    };
    let halvings = scratch.threads.depth_for_reading(matrix.len() * x.ncols());
    let few = Few { copies, x };
    few.multiply(out, 0, halvings);
}

/// A product of few columns.
#[derive(Debug, Clone, Copy)]
struct Few<'a, T: Real> {
    copies: &'a [Aligned<T>],
    x: DMatrixView<'a, T>,
}

impl<T: Real> Few<'_, T> {
    /// Computes the rows of `out`, which start at row `first` of the result. Halves them `halvings` times.
    fn multiply(self, mut out: DMatrixViewMut<'_, T>, first: usize, halvings: u32) {
        let (width, _) = T::tile();
        let rows = out.nrows();
        let half = (rows / 2).next_multiple_of(width);
        if halvings > 0 && half < rows {
            let (upper, lower) = out.rows_range_pair_mut(..half, half..);
            join(
                || self.multiply(upper, first, halvings - 1),
                || self.multiply(lower, first + half, halvings - 1),
            );
            return;
        }
        let side = Side {
            matrix: self.x,
            along_depth: true,
        };
        let mut write = Write::Over;
        for (copy, depth) in self.copies.iter().zip(kc_blocks::<T>(side.depth())) {
            T::macro_kernel(Block {
                out: out.as_view_mut(),
                write,
                rows: 0..rows,
                columns: 0..side.len(),
                depth: depth.clone(),
                lhs: MicroPanels::of(copy, width, depth.len()).from(first / width),
                rhs: Rhs::InPlace(&side),
            });
            write = Write::Add;
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::super::gemm::Operand;
    use super::*;
    use crate::linalg::Threads;

    /// Around whole micro-panels, with one KC block and several, on one thread and on several.
    fn a_column_has_the_same_bits_in_any_product<T: Real>() {
        for (depth, units) in [
            (1, 1),
            (7, 50),
            (64, 196),
            (700, 601),
            (1031, 97),
            (3001, 33),
        ] {
            let entry = |i: usize, j: usize| T::of(((31 * i + 17 * j) % 101) as f64).sqrt();
            let matrix = DMatrix::from_fn(depth, units, entry);
            let x = DMatrix::from_fn(depth, 20, |i, j| entry(j, i) - T::of(5.0));
            let scratch = &mut Scratch::default();
            let mut wide = DMatrix::zeros(units, 20);
            let lhs = transpose(matrix.as_view());
            tiled(
                wide.as_view_mut(),
                Write::Over,
                lhs,
                Operand::from(x.as_view()),
                scratch,
            );
            let packed = Packed::default();
            for threads in [1, 3] {
                scratch.threads = Threads::at_most(threads);
                for (first, count) in (1..=FEW + 2).map(|count| (count, count)) {
                    let mut few = DMatrix::from_element(units, count, T::of(f64::NAN));
                    let some = x.columns(first, count);
                    gemm_packed(few.as_view_mut(), matrix.as_view(), &packed, some, scratch);
                    assert!(
                        few == wide.columns(first, count),
                        "{count} columns, {depth} x {units}, {threads} threads"
                    );
                }
            }
        }
    }

    #[test]
    fn a_column_has_the_same_bits_of_f32_in_any_product() {
        a_column_has_the_same_bits_in_any_product::<f32>();
    }

    #[test]
    fn a_column_has_the_same_bits_of_f64_in_any_product() {
        a_column_has_the_same_bits_in_any_product::<f64>();
    }
}
