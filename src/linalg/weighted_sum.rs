//! Weighted sums of columns that lie anywhere. An entry of the sum stays in its register until all columns
//! are added.

use pulp::{Simd, WithSimd};

use super::gemm::Write;

macro_rules! weighted_sum {
    ($name:ident, $float:ident, $splat:ident, $mul_add:ident, $as_simd:ident,
     $as_mut_simd:ident, $partial_load:ident, $partial_store:ident) => {
        /// `out ← Σ value · column` over `count` pairs, in their order; `out ← out + Σ …` with [`Write::Add`].
        pub(super) struct $name<'a, P> {
            pub(super) out: &'a mut [$float],
            pub(super) write: Write,
            pub(super) count: usize,
            pub(super) pair: P,
        }

        const _: () = {
            impl<'a, P: Fn(usize) -> (&'a [$float], $float)> WithSimd for $name<'_, P> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(mut self, simd: S) {
                    let vectors = S::$as_mut_simd(self.out).0.len();
                    let mut first = 0;
                    while first + 8 <= vectors {
                        self.vectors::<S, 8>(simd, first);
                        first += 8;
                    }
                    while first + 2 <= vectors {
                        self.vectors::<S, 2>(simd, first);
                        first += 2;
                    }
                    while first < vectors {
                        self.vectors::<S, 1>(simd, first);
                        first += 1;
                    }
                    self.tail::<S>(simd);
                }
            }

            impl<'a, P: Fn(usize) -> (&'a [$float], $float)> $name<'_, P> {
                /// Computes `N` vectors of the result.
                #[inline(always)]
                fn vectors<S: Simd, const N: usize>(&mut self, simd: S, first: usize) {
                    let out = &mut S::$as_mut_simd(self.out).0[first..first + N];
                    let mut sums = [simd.$splat(0.0); N];
                    match self.write {
                        Write::Over => {}
                        Write::Add => sums.copy_from_slice(out),
                    }
                    for index in 0..self.count {
                        let (column, value) = (self.pair)(index);
                        let column = &S::$as_simd(column).0[first..first + N];
                        let value = simd.$splat(value);
                        for n in 0..N {
                            sums[n] = simd.$mul_add(value, column[n], sums[n]);
                        }
                    }
                    for n in 0..N {
                        out[n] = sums[n];
                    }
                }

                /// Computes the entries that do not fill a vector.
                #[inline(always)]
                fn tail<S: Simd>(&mut self, simd: S) {
                    let out = S::$as_mut_simd(self.out).1;
                    if out.is_empty() {
                        return;
                    }
                    let mut sum = match self.write {
                        Write::Over => simd.$splat(0.0),
                        Write::Add => simd.$partial_load(out),
                    };
                    for index in 0..self.count {
                        let (column, value) = (self.pair)(index);
                        let column = simd.$partial_load(S::$as_simd(column).1);
                        sum = simd.$mul_add(simd.$splat(value), column, sum);
                    }
                    simd.$partial_store(out, sum);
                }
            }
        };
    };
}

weighted_sum!(
    WeightedSumF32,
    f32,
    splat_f32s,
    mul_add_f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    partial_load_f32s,
    partial_store_f32s
);
weighted_sum!(
    WeightedSumF64,
    f64,
    splat_f64s,
    mul_add_f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    partial_load_f64s,
    partial_store_f64s
);

#[cfg(test)]
#[allow(clippy::float_cmp, clippy::cast_precision_loss)] // the same operations in the same order
mod tests {
    use super::*;
    use crate::linalg::run_on;

    /// Every length around whole vectors with none, one, or several columns, on the vectors of this machine
    /// and on emulated ones.
    #[test]
    fn agrees_with_one_multiply_add_after_the_other() {
        for len in (0..80).chain([127, 128, 129, 300]) {
            for count in [0, 1, 5] {
                let value = |j: usize| j as f64 - 1.5;
                let columns: Vec<Vec<f64>> = (0..count)
                    .map(|j| (0..len).map(|i| ((7 * i + 3 * j) % 11) as f64).collect())
                    .collect();
                let present: Vec<f64> = (0..len).map(|i| (i % 3) as f64).collect();
                for write in [Write::Over, Write::Add] {
                    let expected: Vec<f64> = (0..len)
                        .map(|i| {
                            let start = match write {
                                Write::Over => 0.0,
                                Write::Add => present[i],
                            };
                            (0..count).fold(start, |sum, j| value(j).mul_add(columns[j][i], sum))
                        })
                        .collect();
                    for bits in [None, Some(128), Some(256), Some(512)] {
                        let mut out = present.clone();
                        let task = WeightedSumF64 {
                            out: &mut out,
                            write,
                            count,
                            pair: |j: usize| (&columns[j][..], value(j)),
                        };
                        run_on(bits, task);
                        assert_eq!(
                            out, expected,
                            "{len} entries, {count} columns, {bits:?} bits"
                        );
                    }
                }
            }
        }
    }
}
