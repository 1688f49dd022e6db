//! The operations that kernels need of a scalar: fused multiply-add, exponentials, and kernels per type.
//!
//! Exponentials have no branches, so that loops over them become vector code.

use super::dot::{DotF32, DotF64, DotsF32, DotsF64};
use super::gemm::Write;
use super::micro_kernel::{Block, MacroKernelF32, MacroKernelF64, TileF32, TileF64};
use super::transpose::{TransposeF32, TransposeF64};
use super::weighted_sum::{WeightedSumF32, WeightedSumF64};

/// The arithmetic that the kernels need. Implemented for `f32` and `f64` only.
pub trait Scalar: pulp::bytemuck::Pod + Send + Sync {
    /// `self · factor + addend`, rounded once.
    fn fma(self, factor: Self, addend: Self) -> Self;

    /// `1 / (1 + e⁻ˣ)`
    fn sigmoid(self) -> Self;

    /// `tanh x`, to the last bits also near 0.
    fn hyperbolic_tangent(self) -> Self;

    /// `ln(1 + eˣ)` without overflow.
    fn softplus(self) -> Self;

    /// `a · b`, summed in a fixed order.
    fn dot(a: &[Self], b: &[Self]) -> Self;

    /// `out[j] = column(j) · x`, each summed in a fixed order.
    fn dots<'a>(out: &mut [Self], column: impl Fn(usize) -> &'a [Self], x: &[Self]);

    /// `out ← Σ value · column` over `count` pairs, in their order; `out ← out + Σ …` with [`Write::Add`].
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn weighted_sum<'a>(
        out: &mut [Self],
        write: Write,
        count: usize,
        pair: impl Fn(usize) -> (&'a [Self], Self),
    );

    /// Returns the bits of infinity. The bits of finite magnitudes lie below, in the same order.
    fn infinity_bits() -> u64;

    /// Returns the magnitude with these bits, up to [`Scalar::infinity_bits`].
    fn from_magnitude_bits(bits: u64) -> Self;

    /// Returns the bits of `|self|`.
    fn magnitude_bits(self) -> u64;

    /// `to[p · width + j] = from[j][p]`
    #[doc(hidden)]
    fn transpose(from: &[&[Self]], to: &mut [Self], width: usize);

    /// Returns MR and NR, the rows and columns of a tile.
    #[doc(hidden)]
    fn tile() -> (usize, usize);

    /// Computes the tiles of a block.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn macro_kernel(block: Block<'_, Self>)
    where
        Self: crate::Real;
}

/// Evaluates a polynomial in `x` by Horner's scheme, highest power first.
macro_rules! polynomial {
    ($x:ident: $first:expr $(, $next:expr)*) => {{
        let value = $first;
        $(let value = $x.mul_add(value, $next);)*
        value
    }};
}

/// Implements the exponentials for one float type.
///
/// With `x = n ln 2 + r` and `|r| ≤ ½ ln 2`, `eˣ = 2ⁿ(eʳ − 1) + 2ⁿ`. `eˣ − 1 = 2ⁿ(eʳ − 1) + (2ⁿ − 1)` keeps
/// every bit near 0. Adding `1.5 · 2^mantissa` rounds `x / ln 2` to an integer in the low bits, which
/// are shifted into the exponent, without a conversion or a branch. NaN stays NaN. The even and the odd
/// powers of the series for `eʳ − 1` are two sums, so that neither waits for the other.
macro_rules! scalar {
    (
        $float:ident, $bits:ident, $mantissa:literal, bias: $bias:literal, lowest: $lowest:literal,
        ln2: ($ln2_high:literal, $ln2_low:literal),
        exp: ([$even:expr $(, $evens:expr)*], [$odd:expr $(, $odds:expr)*]),
        atanh: [$atanh:expr $(, $atanhs:expr)*],
        tile: ($tile:ident, $macro_kernel:ident, $transpose:ident), dot: $dot:ident, dots: $dots:ident, weighted_sum: $weighted_sum:ident
    ) => {
        const _: () = {
            /// `(2ⁿ, eʳ − 1)` for `x ≤ 0`
            #[inline(always)]
            fn reduced_exp(x: $float) -> ($float, $float) {
                const ROUND: $float = 1.5 * (1u64 << $mantissa) as $float;
                let x = if x < $lowest { $lowest } else { x };
                let shifted = x.mul_add(std::$float::consts::LOG2_E, ROUND);
                let n = shifted - ROUND;
                let power = $float::from_bits(
                    (shifted.to_bits() << $mantissa).wrapping_add($bias << $mantissa),
                );
                let r = n.mul_add(-$ln2_high, x);
                let r = n.mul_add(-$ln2_low, r);
                let r2 = r * r;
                let even = polynomial!(r2: $even $(, $evens)*);
                let odd = polynomial!(r2: $odd $(, $odds)*);
                (power, r2.mul_add(odd.mul_add(r, even), r))
            }

            /// `eˣ` for `x ≤ 0`
            #[inline(always)]
            fn exp(x: $float) -> $float {
                let (power, exp_m1_r) = reduced_exp(x);
                power.mul_add(exp_m1_r, power)
            }

            /// `eˣ − 1` for `x ≤ 0`
            #[inline(always)]
            fn exp_m1(x: $float) -> $float {
                let (power, exp_m1_r) = reduced_exp(x);
                power.mul_add(exp_m1_r, power - 1.0)
            }

            impl Scalar for $float {
                #[inline(always)]
                fn fma(self, factor: Self, addend: Self) -> Self {
                    self.mul_add(factor, addend)
                }

                #[inline(always)]
                fn sigmoid(self) -> Self {
                    let e = exp(-self.abs());
                    let numerator = if self >= 0.0 { 1.0 } else { e };
                    numerator / (1.0 + e)
                }

                #[inline(always)]
                fn hyperbolic_tangent(self) -> Self {
                    let e = exp_m1(-2.0 * self.abs()); // e^−2|x| − 1
                    (-e / (2.0 + e)).copysign(self)
                }

                #[inline(always)]
                fn softplus(self) -> Self {
                    // max(x, 0) + ln(1 + e^−|x|), and ln(1 + e) = 2 artanh(e / (2 + e))
                    let e = exp(-self.abs());
                    let s = e / (2.0 + e);
                    let s2 = s * s;
                    let series = polynomial!(s2: $atanh $(, $atanhs)*);
                    let positive = if self > 0.0 { self } else { 0.0 };
                    (2.0 * s).mul_add(series, positive)
                }

                fn dot(a: &[Self], b: &[Self]) -> Self {
                    pulp::Arch::new().dispatch($dot(a, b))
                }

                fn dots<'a>(out: &mut [Self], column: impl Fn(usize) -> &'a [Self], x: &[Self]) {
                    pulp::Arch::new().dispatch($dots { out, column, x });
                }

                #[allow(private_interfaces)]
                fn weighted_sum<'a>(
                    out: &mut [Self],
                    write: Write,
                    count: usize,
                    pair: impl Fn(usize) -> (&'a [Self], Self),
                ) {
                    pulp::Arch::new().dispatch($weighted_sum {
                        out,
                        write,
                        count,
                        pair,
                    });
                }

                #[inline(always)]
                fn infinity_bits() -> u64 {
                    u64::from($float::INFINITY.to_bits())
                }

                #[inline(always)]
                #[allow(clippy::cast_possible_truncation)] // they came from this type
                fn from_magnitude_bits(bits: u64) -> Self {
                    $float::from_bits(bits as $bits)
                }

                #[inline(always)]
                fn magnitude_bits(self) -> u64 {
                    u64::from(self.abs().to_bits())
                }

                fn transpose(from: &[&[Self]], to: &mut [Self], width: usize) {
                    pulp::Arch::new().dispatch($transpose { from, to, width });
                }

                fn tile() -> (usize, usize) {
                    pulp::Arch::new().dispatch($tile)
                }

                #[allow(private_interfaces)]
                fn macro_kernel(block: Block<'_, Self>) {
                    pulp::Arch::new().dispatch($macro_kernel(block));
                }
            }
        };
    };
}

scalar!(
    f32, u32, 23, bias: 127u32, lowest: -87.0,
    // ln 2 in two parts, the first short enough that n times it is exact
    ln2: (0.693_359_4, -2.121_944_4e-4),
    exp: ([1.0 / 720.0, 1.0 / 24.0, 0.5], [1.0 / 5_040.0, 1.0 / 120.0, 1.0 / 6.0]),
    atanh: [
        1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0,
        1.0 / 5.0, 1.0 / 3.0, 1.0
    ],
    tile: (TileF32, MacroKernelF32, TransposeF32), dot: DotF32, dots: DotsF32, weighted_sum: WeightedSumF32
);

scalar!(
    f64, u64, 52, bias: 1023u64, lowest: -708.0,
    ln2: (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10),
    exp: (
        [
            1.0 / 87_178_291_200.0, 1.0 / 479_001_600.0, 1.0 / 3_628_800.0, 1.0 / 40_320.0,
            1.0 / 720.0, 1.0 / 24.0, 0.5
        ],
        [
            1.0 / 6_227_020_800.0, 1.0 / 39_916_800.0, 1.0 / 362_880.0, 1.0 / 5_040.0,
            1.0 / 120.0, 1.0 / 6.0
        ]
    ),
    atanh: [
        1.0 / 37.0, 1.0 / 35.0, 1.0 / 33.0, 1.0 / 31.0, 1.0 / 29.0, 1.0 / 27.0, 1.0 / 25.0,
        1.0 / 23.0, 1.0 / 21.0, 1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0,
        1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0
    ],
    tile: (TileF64, MacroKernelF64, TransposeF64), dot: DotF64, dots: DotsF64, weighted_sum: WeightedSumF64
);

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(end: f64) -> impl Iterator<Item = f64> {
        (-4000..=4000).map(move |i| f64::from(i) / 4000.0 * end)
    }

    #[test]
    fn f64_agrees_with_the_standard_library_to_a_few_units_in_the_last_place() {
        for x in grid(40.0).chain(grid(1e-3)).chain(grid(800.0)) {
            let sigmoid = if x >= 0.0 {
                1.0 / (1.0 + (-x).exp())
            } else {
                x.exp() / (1.0 + x.exp())
            };
            assert!(
                (Scalar::sigmoid(x) - sigmoid).abs() <= 4e-16 * sigmoid + 1e-300,
                "{x}"
            );
            let tanh = x.tanh();
            assert!(
                (x.hyperbolic_tangent() - tanh).abs() <= 5e-16 * tanh.abs(),
                "{x}"
            );
            let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
            assert!(
                (x.softplus() - softplus).abs() <= 5e-16 * softplus + 1e-300,
                "{x}"
            );
        }
    }

    #[test]
    #[allow(clippy::cast_possible_truncation)]
    fn f32_agrees_with_f64_to_a_few_units_in_the_last_place() {
        for x in grid(40.0).chain(grid(1e-3)) {
            let x = x as f32;
            let wide = f64::from(x);
            let close = |fast: f32, exact: f64| {
                (f64::from(fast) - exact).abs() <= 3e-7 * exact.abs() + 1e-37
            };
            assert!(close(Scalar::sigmoid(x), Scalar::sigmoid(wide)), "{x}");
            assert!(
                close(x.hyperbolic_tangent(), wide.hyperbolic_tangent()),
                "{x}"
            );
            assert!(close(x.softplus(), wide.softplus()), "{x}");
        }
    }

    #[test]
    fn nan_stays_nan_and_infinities_saturate() {
        assert!(Scalar::sigmoid(f32::NAN).is_nan() && Scalar::sigmoid(f64::NAN).is_nan());
        assert!(f32::NAN.hyperbolic_tangent().is_nan() && f64::NAN.softplus().is_nan());
        assert!((Scalar::sigmoid(f64::INFINITY) - 1.0).abs() < f64::EPSILON);
        assert!(Scalar::sigmoid(f32::NEG_INFINITY) < 1e-37);
        assert!((f32::NEG_INFINITY.hyperbolic_tangent() + 1.0).abs() < f32::EPSILON);
    }
}
