//! The dot product, written with vectors: what the compiler makes of a plain loop reads the cache at
//! half its speed.

use pulp::{Simd, WithSimd};

macro_rules! dot {
    ($name:ident, $float:ident, $splat:ident, $mul_add:ident, $add:ident, $reduce:ident, $as_simd:ident) => {
        /// `a · b` on the vectors of this machine, in an order that depends on the length alone.
        pub(super) struct $name<'a>(pub(super) &'a [$float], pub(super) &'a [$float]);

        impl WithSimd for $name<'_> {
            type Output = $float;

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> $float {
                // As many chains of multiply-adds as one of them has to wait for its next.
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
    };
}

dot!(
    DotF32,
    f32,
    splat_f32s,
    mul_add_f32s,
    add_f32s,
    reduce_sum_f32s,
    as_simd_f32s
);
dot!(
    DotF64,
    f64,
    splat_f64s,
    mul_add_f64s,
    add_f64s,
    reduce_sum_f64s,
    as_simd_f64s
);
