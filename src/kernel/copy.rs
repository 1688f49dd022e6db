//! Blocks of a factor, copied in the order in which tiles read them.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::aligned::{Aligned, line};
use super::product::Side;
use super::vectorize;
use crate::Real;

/// Entries that are transposed at a time, along the depth and along the result.
pub(super) const SQUARE: usize = 16;

/// The copies, which outlive a product so that the next does not allocate.
#[derive(Debug, Clone)]
pub(super) struct Copies<T> {
    pub(super) vector: Aligned<T>,
    pub(super) broadcast: Aligned<T>,
}

impl<T> Copies<T> {
    pub(super) const fn new() -> Self {
        Self {
            vector: Aligned::new(),
            broadcast: Aligned::new(),
        }
    }
}

/// A block of a factor in the order of its use: strips of `width` entries along the result, each
/// strip position by position of the depth. Entries beyond the end are 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strips<'a, T> {
    entries: &'a [T],
    width: usize,
    depth: usize,
}

impl<'a, T> Strips<'a, T> {
    /// From the beginning of a strip to that of the next: a cache line further than its end, because
    /// lines that are a power of two apart push each other out of the cache, and strips are written
    /// side by side.
    const fn stride(width: usize, depth: usize) -> usize {
        width * depth + line::<T>()
    }

    pub(super) fn get(&self, index: usize) -> &'a [T] {
        let start = index * Self::stride(self.width, self.depth);
        &self.entries[start..start + self.width * self.depth]
    }

    /// One of them alone.
    pub(super) fn only(&self, index: usize) -> Self {
        Self {
            entries: self.get(index),
            ..*self
        }
    }
}

/// Copies a block of `side` into strips.
pub(super) fn copy_strips<'b, T: Real>(
    side: &Side<'_, T>,
    width: usize,
    along: Range<usize>,
    depth: Range<usize>,
    buffer: &'b mut Aligned<T>,
) -> Strips<'b, T> {
    let stride = Strips::<T>::stride(width, depth.len());
    let needed = along.len().div_ceil(width) * stride;
    buffer.grow(needed);
    let strips = &mut buffer[..needed];
    if !along.len().is_multiple_of(width) {
        strips[needed - stride..].fill(T::zero());
    }
    if side.along_depth {
        let firsts = along.clone().step_by(width);
        for (first, strip) in firsts.zip(strips.chunks_exact_mut(stride)) {
            let columns = first..(first + width).min(along.end);
            let strip = &mut strip[..width * depth.len()];
            transpose_strip(side, columns, depth.clone(), strip);
        }
    } else {
        let depth = depth.clone();
        vectorize(
            #[inline(always)]
            || match width {
                // As constants, so that a part of a column is moved without a call.
                6 => copy_rows(side, along, depth, 6, strips),
                8 => copy_rows(side, along, depth, 8, strips),
                24 => copy_rows(side, along, depth, 24, strips),
                48 => copy_rows(side, along, depth, 48, strips),
                _ => copy_rows(side, along, depth, width, strips),
            },
        );
    }
    Strips {
        entries: strips,
        width,
        depth: depth.len(),
    }
}

/// Columns whose parts are copied at the same time.
const TOGETHER: usize = 4;

/// Parts of columns that run along the result become positions of strips of `width` entries: of all
/// strips at once, so that a column is read from one end to the other, and of a few columns at once,
/// so that whole cache lines are written and the processor waits for several reads at a time.
#[inline(always)]
fn copy_rows<T: Real>(
    side: &Side<'_, T>,
    rows: Range<usize>,
    depth: Range<usize>,
    width: usize,
    strips: &mut [T],
) {
    let stride = Strips::<T>::stride(width, depth.len());
    let mut p = 0;
    while p + TOGETHER <= depth.len() {
        let from: [&[T]; TOGETHER] =
            std::array::from_fn(|q| &side.column(depth.start + p + q)[rows.clone()]);
        copy_positions(from, &mut strips[p * width..], width, stride);
        p += TOGETHER;
    }
    for p in p..depth.len() {
        let from = [&side.column(depth.start + p)[rows.clone()]];
        copy_positions(from, &mut strips[p * width..], width, stride);
    }
}

/// Consecutive positions of all strips, the first of which is that of the first strip in `strips`.
#[inline(always)]
fn copy_positions<T: Real, const N: usize>(
    from: [&[T]; N],
    strips: &mut [T],
    width: usize,
    stride: usize,
) {
    let mut whole = from.map(|from| from.chunks_exact(width));
    let mut to = 0;
    for _ in 0..from[0].len() / width {
        let strip = &mut strips[to..to + N * width];
        for (to, from) in strip.chunks_exact_mut(width).zip(&mut whole) {
            if let Some(from) = from.next() {
                to.copy_from_slice(from);
            }
        }
        to += stride;
    }
    let rest = from[0].len() % width;
    if rest > 0 {
        let strip = &mut strips[to..to + N * width];
        for (to, from) in strip.chunks_exact_mut(width).zip(whole) {
            to[..rest].copy_from_slice(from.remainder());
        }
    }
}

/// Columns that run along the depth become entries of a strip: a square at a time, and what does
/// not fill one entry by entry.
fn transpose_strip<T: Real>(
    side: &Side<'_, T>,
    columns: Range<usize>,
    depth: Range<usize>,
    strip: &mut [T],
) {
    let width = strip.len() / depth.len();
    let whole = columns.start + columns.len() / SQUARE * SQUARE;
    for first in (columns.start..whole).step_by(SQUARE) {
        let mut from: [&[T]; SQUARE] = [&[]; SQUARE];
        for (j, from) in from.iter_mut().enumerate() {
            *from = &side.column(first + j)[depth.clone()];
        }
        T::transpose(from, &mut strip[first - columns.start..], width);
    }
    for column in whole..columns.end {
        let from = &side.column(column)[depth.clone()];
        for (to, &value) in strip.chunks_exact_mut(width).zip(from) {
            to[column - columns.start] = value;
        }
    }
}

macro_rules! transpose {
    ($name:ident, $float:ident, $floats:ident, $splat_int:ident, $int:ident, $splat:ident, $and:ident, $equal:ident, $select:ident,
     $rotate_left:ident, $rotate_right:ident, $as_simd:ident, $as_mut_simd:ident, $as_simd_ints:ident, $lanes:literal,
     [$($distance:literal: $(($i:literal $j:literal))*),*]) => {
        /// `to[p · width + j] = from[j][p]`, without intermediate steps through memory where the
        /// vectors of this machine have as many entries as the network below expects.
        pub(super) struct $name<'a> {
            pub(super) from: [&'a [$float]; SQUARE],
            pub(super) to: &'a mut [$float],
            pub(super) width: usize,
        }

        const _: () = {
            impl WithSimd for $name<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    let Self { from, to, width } = self;
                    let depth = from[0].len();
                    let lanes = size_of::<S::$floats>() / size_of::<$float>();
                    let squares = if lanes == $lanes { depth / $lanes * $lanes } else { 0 };
                    for j in (0..SQUARE).step_by($lanes) {
                        for p in (0..squares).step_by($lanes) {
                            square(simd, &from[j..], p, &mut to[p * width + j..], width);
                        }
                    }
                    let (from, rest) = (from.map(|from| &from[squares..depth]), depth - squares);
                    for p in 0..rest {
                        let to = &mut to[(squares + p) * width..][..SQUARE];
                        for j in 0..SQUARE {
                            to[j] = from[j][p];
                        }
                    }
                }
            }

            /// Exchanges, for every distance d = 1, 2, 4, …, the entries (i, j + d) and (i + d, j) of
            /// a square, for all i and j that do not have the bit d: together that is its transpose.
            #[inline(always)]
            fn square<S: Simd>(simd: S, from: &[&[$float]], p: usize, to: &mut [$float], width: usize) {
                let ascending: [$int; $lanes] = std::array::from_fn(|i| i as $int);
                let index = S::$as_simd_ints(&ascending).0[0];
                let mut rows = [simd.$splat(0.0); $lanes];
                for i in 0..$lanes {
                    rows[i] = S::$as_simd(&from[i][p..p + $lanes]).0[0];
                }
                $(
                    let bit = simd.$splat_int($distance);
                    let has_bit = simd.$equal(simd.$and(index, bit), bit);
                    // Written out, so that the rows stay in registers: in an array that a variable
                    // indexes they do not.
                    $(
                        let (upper, lower) = (rows[$i], rows[$j]);
                        rows[$i] = simd.$select(has_bit, simd.$rotate_right(lower, $distance), upper);
                        rows[$j] = simd.$select(has_bit, lower, simd.$rotate_left(upper, $distance));
                    )*
                )*
                let rows = &rows;
                for i in 0..$lanes {
                    S::$as_mut_simd(&mut to[i * width..][..$lanes]).0[0] = rows[i];
                }
            }
        };
    };
}

transpose!(
    TransposeF32, f32, f32s, splat_u32s, u32, splat_f32s, and_u32s, equal_u32s, select_f32s,
    rotate_left_f32s, rotate_right_f32s, as_simd_f32s, as_mut_simd_f32s, as_simd_u32s, 16,
    [
        1: (0 1) (2 3) (4 5) (6 7) (8 9) (10 11) (12 13) (14 15),
        2: (0 2) (1 3) (4 6) (5 7) (8 10) (9 11) (12 14) (13 15),
        4: (0 4) (1 5) (2 6) (3 7) (8 12) (9 13) (10 14) (11 15),
        8: (0 8) (1 9) (2 10) (3 11) (4 12) (5 13) (6 14) (7 15)
    ]
);
transpose!(
    TransposeF64, f64, f64s, splat_u64s, u64, splat_f64s, and_u64s, equal_u64s, select_f64s,
    rotate_left_f64s, rotate_right_f64s, as_simd_f64s, as_mut_simd_f64s, as_simd_u64s, 8,
    [
        1: (0 1) (2 3) (4 5) (6 7),
        2: (0 2) (1 3) (4 6) (5 7),
        4: (0 4) (1 5) (2 6) (3 7)
    ]
);

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::cast_precision_loss)] // entries are moved, not computed
mod tests {
    use super::*;
    use nalgebra::{DMatrix, DMatrixView};

    /// Strips of both orientations against the definition, on shapes around whole squares and strips.
    fn copies_every_entry_to_its_place<T: Real>() {
        for width in [1, 6, 8, 16, 24, 48] {
            for (len, depth) in [(1, 1), (15, 33), (16, 16), (50, 40), (97, 17), (200, 64)] {
                for along_depth in [false, true] {
                    let shape = if along_depth {
                        (depth, len)
                    } else {
                        (len, depth)
                    };
                    let matrix =
                        DMatrix::from_fn(shape.0, shape.1, |i, j| T::of_count(1 + i + 1000 * j));
                    let side = Side {
                        matrix: DMatrixView::from(&matrix),
                        along_depth,
                    };
                    let (along, positions) = (len / 4..len, depth / 3..depth);
                    let mut buffer = Aligned::new();
                    let (of_along, of_depth) = (along.clone(), positions.clone());
                    let strips = copy_strips(&side, width, of_along, of_depth, &mut buffer);
                    for index in 0..along.len().div_ceil(width) {
                        let strip = strips.get(index);
                        assert_eq!(strip.len(), width * positions.len());
                        for (rest, &value) in strip.iter().enumerate() {
                            let p = positions.start + rest / width;
                            let i = along.start + index * width + rest % width;
                            let expected = match along_depth {
                                _ if i >= along.end => T::zero(),
                                true => matrix[(p, i)],
                                false => matrix[(i, p)],
                            };
                            assert_eq!(value, expected, "{width}: ({i}, {p}) of {len} x {depth}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn copies_every_f32_to_its_place() {
        copies_every_entry_to_its_place::<f32>();
    }

    #[test]
    fn copies_every_f64_to_its_place() {
        copies_every_entry_to_its_place::<f64>();
    }
}
