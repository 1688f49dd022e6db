//! Dot products, in explicit vectors. A plain loop reads the cache at half its speed.

use pulp::{Simd, WithSimd};

macro_rules! dot {
    ($name:ident, $many:ident, $float:ident, $splat:ident, $mul_add:ident, $add:ident, $reduce:ident, $as_simd:ident, $partial:ident) => {
        /// Returns `a · b`, summed in an order that depends on the length alone.
        pub(super) struct $name<'a>(pub(super) &'a [$float], pub(super) &'a [$float]);

        impl WithSimd for $name<'_> {
            type Output = $float;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> $float {
                // As many chains as a multiply-add takes cycles.
                const CHAINS: usize = 4;
                let (a, a_tail) = S::$as_simd(self.0);
                let (b, b_tail) = S::$as_simd(self.1);
                let (a, a_rest) = a.as_chunks::<CHAINS>();
                let (b, b_rest) = b.as_chunks::<CHAINS>();
                let mut sums = [simd.$splat(0.0); CHAINS];
                for (a, b) in a.iter().zip(b) {
                    for chain in 0..CHAINS {
                        sums[chain] = simd.$mul_add(a[chain], b[chain], sums[chain]);
                    }
                }
                let [mut first, second, third, fourth] = sums;
                for (&a, &b) in a_rest.iter().zip(b_rest) {
                    first = simd.$mul_add(a, b, first);
                }
                let sum = simd.$add(simd.$add(first, second), simd.$add(third, fourth));
                let mut sum = simd.$reduce(sum);
                for (&a, &b) in a_tail.iter().zip(b_tail) {
                    sum = a.mul_add(b, sum);
                }
                sum
            }
        }

        /// `out[j] = column(j) · x`
        ///
        /// The order of a sum depends only on the lengths, if every part of the columns except the last
        /// has an even number. Two columns share each read of `x`. They lie half of the columns apart,
        /// because the processor does not prefetch two columns in one page.
        pub(super) struct $many<'a, C> {
            pub(super) out: &'a mut [$float],
            pub(super) column: C,
            pub(super) x: &'a [$float],
        }

        impl<'a, C: Fn(usize) -> &'a [$float]> WithSimd for $many<'_, C> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Self { out, column, x } = self;
                let half = out.len() / 2;
                let (first, rest) = out.split_at_mut(half);
                let (second, last) = rest.split_at_mut(half);
                for (j, (first, second)) in first.iter_mut().zip(second).enumerate() {
                    let (a, a_tail) = S::$as_simd(column(j));
                    let (b, b_tail) = S::$as_simd(column(half + j));
                    let (x, x_tail) = S::$as_simd(x);
                    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
                    let (x, x_rest) = x.as_chunks::<2>();
                    let mut sums = [simd.$splat(0.0); 4];
                    for ((a, b), x) in a.iter().zip(b).zip(x) {
                        sums[0] = simd.$mul_add(a[0], x[0], sums[0]);
                        sums[1] = simd.$mul_add(b[0], x[0], sums[1]);
                        sums[2] = simd.$mul_add(a[1], x[1], sums[2]);
                        sums[3] = simd.$mul_add(b[1], x[1], sums[3]);
                    }
                    for ((&a, &b), &x) in a_rest.iter().zip(b_rest).zip(x_rest) {
                        sums[0] = simd.$mul_add(a, x, sums[0]);
                        sums[1] = simd.$mul_add(b, x, sums[1]);
                    }
                    if !x_tail.is_empty() {
                        let x = simd.$partial(x_tail);
                        sums[2] = simd.$mul_add(simd.$partial(a_tail), x, sums[2]);
                        sums[3] = simd.$mul_add(simd.$partial(b_tail), x, sums[3]);
                    }
                    *first = simd.$reduce(simd.$add(sums[0], sums[2]));
                    *second = simd.$reduce(simd.$add(sums[1], sums[3]));
                }
                if let [last] = last {
                    *last = $name(column(2 * half), x).with_simd(simd);
                }
            }
        }
    };
}

dot!(
    DotF32,
    DotsF32,
    f32,
    splat_f32s,
    mul_add_f32s,
    add_f32s,
    reduce_sum_f32s,
    as_simd_f32s,
    partial_load_f32s
);
dot!(
    DotF64,
    DotsF64,
    f64,
    splat_f64s,
    mul_add_f64s,
    add_f64s,
    reduce_sum_f64s,
    as_simd_f64s,
    partial_load_f64s
);

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::cast_precision_loss)] // sums of small integers are exact
mod tests {
    use super::*;
    use crate::linalg::run_on;

    /// Every length around whole vectors, on the vectors of this machine and on emulated ones.
    #[test]
    fn agrees_with_a_sum() {
        for len in (0..80).chain([127, 128, 129, 300]) {
            let x: Vec<f64> = (0..len).map(|i| (i % 7) as f64 - 3.0).collect();
            let columns: Vec<Vec<f64>> = (0..5)
                .map(|j| (0..len).map(|i| ((7 * i + 3 * j) % 11) as f64).collect())
                .collect();
            let expected: Vec<f64> = columns
                .iter()
                .map(|column| column.iter().zip(&x).map(|(a, b)| a * b).sum())
                .collect();
            for bits in [None, Some(128), Some(256), Some(512)] {
                let mut out = [f64::NAN; 5];
                let task = DotsF64 {
                    out: &mut out,
                    column: |j: usize| &columns[j][..],
                    x: &x,
                };
                run_on(bits, task);
                assert_eq!(out[..], expected, "{len} entries, {bits:?} bits");
            }
        }
    }
}
