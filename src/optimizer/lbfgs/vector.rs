//! Vector operations of L-BFGS. Sums are in f64 for every scalar.

use crate::Real;
use crate::linalg::vectorize;
use crate::optimizer::saturate;

/// The number of independent partial sums: enough to fill four of the widest registers.
///
/// A compiler may not split one sum, because float addition is not associative. A fixed number gives
/// the same bits on every machine.
const LANES: usize = 32;

/// Folds two vectors of equal length into lanes, in f64, where products of `f32` are exact.
#[inline(always)]
fn fold<T: Real>(a: &[T], b: &[T], fold: impl Fn(f64, f64, f64) -> f64) -> [f64; LANES] {
    vectorize(
        #[inline(always)]
        || {
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            let mut lanes = [0.0; LANES];
            for (a, b) in a.iter().zip(b) {
                // The compiler unrolls indices below a constant into registers, but not zipped arrays.
                for i in 0..LANES {
                    lanes[i] = fold(lanes[i], a[i].to_f64(), b[i].to_f64());
                }
            }
            for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
                *lane = fold(*lane, a.to_f64(), b.to_f64());
            }
            lanes
        },
    )
}

/// `aᵀb`
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    fold(a, b, |sum, a, b| a.mul_add(b, sum)).iter().sum()
}

/// `‖a‖₁`
pub(super) fn sum_of_magnitudes<T: Real>(a: &[T]) -> f64 {
    fold(a, a, |sum, a, _| sum + a.abs()).iter().sum()
}

/// `‖a‖∞`
pub(super) fn largest_magnitude<T: Real>(a: &[T]) -> f64 {
    fold(a, a, |largest, a, _| largest.max(a.abs()))
        .into_iter()
        .fold(0.0, f64::max)
}

/// `out ← out + factor · a`
pub(super) fn add_scaled<T: Real>(out: &mut [T], factor: f64, a: &[T]) {
    let factor = T::of(factor);
    vectorize(
        #[inline(always)]
        || {
            for (out, &a) in out.iter_mut().zip(a) {
                *out = factor.fma(a, *out);
            }
        },
    );
}

/// `out ← base + factor · direction`
pub(super) fn move_along<T: Real>(out: &mut [T], base: &[T], factor: f64, direction: &[T]) {
    let factor = T::of(factor);
    vectorize(
        #[inline(always)]
        || {
            for ((out, &base), &direction) in out.iter_mut().zip(base).zip(direction) {
                *out = saturate(factor.fma(direction, base));
            }
        },
    );
}

/// `out ← factor · out`
pub(super) fn scale<T: Real>(out: &mut [T], factor: f64) {
    let factor = T::of(factor);
    vectorize(
        #[inline(always)]
        || {
            for out in out {
                *out *= factor;
            }
        },
    );
}

/// `out ← a − b`
pub(super) fn subtract<T: Real>(out: &mut [T], a: &[T], b: &[T]) {
    vectorize(
        #[inline(always)]
        || {
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = a - b;
            }
        },
    );
}
