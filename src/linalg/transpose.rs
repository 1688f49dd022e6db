//! Transposition of a few columns, square by square, in registers.

use pulp::{Simd, WithSimd};
use wide::{f32x4, f64x2};

macro_rules! transpose {
    ($name:ident, $float:ident, $floats:ident, $int:ident, $splat:ident, $splat_int:ident, $and:ident,
     $equal:ident, $select:ident, $rotate_left:ident, $rotate_right:ident, $as_simd:ident,
     $as_mut_simd:ident, $as_simd_ints:ident, $few:ident: $few_lanes:literal, $lanes:literal:
     [$($distance:literal: $(($i:literal $j:literal))*),*]) => {
        /// `to[p · width + j] = from[j][p]`
        pub(super) struct $name<'a> {
            pub(super) from: &'a [&'a [$float]],
            pub(super) to: &'a mut [$float],
            pub(super) width: usize,
        }

        const _: () = {
            impl WithSimd for $name<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    let Self { from, to, width } = self;
                    if size_of::<S::$floats>() == size_of::<[$float; $lanes]>() {
                        squares::<$lanes>(
                            from,
                            to,
                            width,
                            #[inline(always)]
                            |from, p, to| square(simd, from, p, to, width),
                        );
                    } else {
                        squares::<$few_lanes>(
                            from,
                            to,
                            width,
                            #[inline(always)]
                            |from, p, to| small_square(from, p, to, width),
                        );
                    }
                }
            }

            /// Transposes whole squares of `L` columns by `square`, and the rest entry by entry.
            #[inline(always)]
            fn squares<const L: usize>(
                from: &[&[$float]],
                to: &mut [$float],
                width: usize,
                square: impl Fn(&[&[$float]; L], usize, &mut [$float]),
            ) {
                let depth = from[0].len();
                let whole = depth / L * L;
                let (groups, rest) = from.as_chunks::<L>();
                // The groups at a position lie side by side in the same cache lines.
                for p in (0..whole).step_by(L) {
                    for (group, from) in groups.iter().enumerate() {
                        square(from, p, &mut to[p * width + group * L..]);
                    }
                }
                let in_groups = groups.len() * L;
                for (j, from) in rest.iter().enumerate() {
                    for p in 0..whole {
                        to[p * width + in_groups + j] = from[p];
                    }
                }
                for p in whole..depth {
                    for (to, from) in to[p * width..].iter_mut().zip(from) {
                        *to = from[p];
                    }
                }
            }

            /// Transposes a square of the widest vectors.
            ///
            /// For every distance d = 1, 2, 4, …, exchanges the entries (i, j + d) and (i + d, j) of all i
            /// and j without the bit d.
            #[inline(always)]
            fn square<S: Simd>(
                simd: S,
                from: &[&[$float]; $lanes],
                p: usize,
                to: &mut [$float],
                width: usize,
            ) {
                let ascending: [$int; $lanes] = std::array::from_fn(|i| i as $int);
                let index = S::$as_simd_ints(&ascending).0[0];
                let mut rows = [simd.$splat(0.0); $lanes];
                for i in 0..$lanes {
                    rows[i] = S::$as_simd(&from[i][p..p + $lanes]).0[0];
                }
                $(
                    let bit = simd.$splat_int($distance);
                    let has_bit = simd.$equal(simd.$and(index, bit), bit);
                    // Written out, because an array that a variable indexes does not stay in registers.
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

            /// Transposes a square of the vectors that every machine has. It is the fastest with 256 bits
            /// too, where a rotation takes three instructions.
            #[inline(always)]
            fn small_square(
                from: &[&[$float]; $few_lanes],
                p: usize,
                to: &mut [$float],
                width: usize,
            ) {
                let mut rows = [$few::ZERO; $few_lanes];
                for i in 0..$few_lanes {
                    rows[i] = $few::new(from[i].as_chunks().0[p / $few_lanes]);
                }
                for (i, row) in $few::transpose(rows).into_iter().enumerate() {
                    to[i * width..][..$few_lanes].copy_from_slice(row.as_array());
                }
            }
        };
    };
}

transpose!(
    TransposeF32, f32, f32s, u32, splat_f32s, splat_u32s, and_u32s, equal_u32s, select_f32s,
    rotate_left_f32s, rotate_right_f32s, as_simd_f32s, as_mut_simd_f32s, as_simd_u32s, f32x4: 4, 16:
    [
        1: (0 1) (2 3) (4 5) (6 7) (8 9) (10 11) (12 13) (14 15),
        2: (0 2) (1 3) (4 6) (5 7) (8 10) (9 11) (12 14) (13 15),
        4: (0 4) (1 5) (2 6) (3 7) (8 12) (9 13) (10 14) (11 15),
        8: (0 8) (1 9) (2 10) (3 11) (4 12) (5 13) (6 14) (7 15)
    ]
);
transpose!(
    TransposeF64, f64, f64s, u64, splat_f64s, splat_u64s, and_u64s, equal_u64s, select_f64s,
    rotate_left_f64s, rotate_right_f64s, as_simd_f64s, as_mut_simd_f64s, as_simd_u64s, f64x2: 2, 8:
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
    use crate::linalg::run_on;

    macro_rules! on_vectors_of_every_extent {
        ($test:ident, $name:ident, $float:ident) => {
            /// On the vectors of this machine and on emulated ones.
            #[test]
            fn $test() {
                for (columns, depth, width) in [
                    (1, 5, 3),
                    (4, 4, 4),
                    (8, 16, 8),
                    (16, 16, 16),
                    (16, 37, 48),
                    (11, 50, 24),
                ] {
                    let entry = |j: usize, p: usize| (1 + j + 100 * p) as $float;
                    let from: Vec<Vec<$float>> = (0..columns)
                        .map(|j| (0..depth).map(|p| entry(j, p)).collect())
                        .collect();
                    let from: Vec<&[$float]> = from.iter().map(Vec::as_slice).collect();
                    let expected: Vec<$float> = (0..width * depth)
                        .map(|index| (index / width, index % width))
                        .map(|(p, j)| if j < columns { entry(j, p) } else { 0.0 })
                        .collect();
                    for bits in [None, Some(128), Some(256), Some(512)] {
                        let mut to = vec![0.0; width * depth];
                        run_on(
                            bits,
                            $name {
                                from: &from,
                                to: &mut to,
                                width,
                            },
                        );
                        assert_eq!(
                            to, expected,
                            "{columns} columns, {depth} x {width}, {bits:?} bits"
                        );
                    }
                }
            }
        };
    }

    on_vectors_of_every_extent!(moves_every_f32_to_its_place, TransposeF32, f32);
    on_vectors_of_every_extent!(moves_every_f64_to_its_place, TransposeF64, f64);
}
