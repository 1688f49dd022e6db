use crate::Real;
use crate::linalg::{self, Scalar};
use crate::penalty::{Description, HiddenBatch, HiddenGradient, Penalty};

/// Penalizes the mean ℓ₁ norm of the activations.
///
/// ```text
/// Ω = 1/m Σᵢ ‖hᵢ‖₁
/// ∂Ω/∂hⱼᵢ = 1/m sign(hⱼᵢ),     0 where hⱼᵢ = 0
/// ```
///
/// The sparsity target is ignored. The cost is O(units · samples), or O(units) where activations are
/// never negative and `Ω = Σⱼ ρ̂ⱼ`.
///
/// For such activations `∂Ω/∂hⱼᵢ = 1/m` also where `hⱼᵢ = 0`. The derivative of the activation is 0
/// there, so that weights and biases do not change. The thresholds of
/// [`JumpRelu`](crate::Activation::JumpRelu) do: each inactive unit within ε/2 below its threshold
/// `t` adds `−β t / (ε m)` to `∂J/∂t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct L1;

impl<T: Real> Penalty<T> for L1 {
    #[inline(never)]
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        let step = scale / T::of_count(hidden.samples());
        if hidden.activation().is_non_negative() {
            let mut value = 0.0;
            for (g, mean) in gradient.per_unit().iter_mut().zip(hidden.mean()) {
                *g += step;
                value += mean.to_f64();
            }
            return T::of(value);
        }
        let mut sum = 0.0;
        let columns = gradient.per_activation().chunks_exact_mut(hidden.units());
        for (g, h) in columns.zip(hidden.columns()) {
            sum += linalg::vectorize(
                #[inline(always)]
                || add_signs(h, step, g),
            )
            .to_f64();
        }
        T::of(sum / f64::of_count(hidden.samples()))
    }

    fn description(&self) -> Description {
        Description::L1
    }
}

/// Adds `step · sign(h)` to `gradient` and returns `‖h‖₁`.
#[inline(always)]
pub(super) fn add_signs<T: Real>(h: &[T], step: T, gradient: &mut [T]) -> T {
    for (g, &h) in gradient.iter_mut().zip(h) {
        let sign = if h > T::zero() {
            T::one()
        } else if h < T::zero() {
            -T::one()
        } else {
            T::zero()
        };
        *g = Scalar::fma(step, sign, *g);
    }
    linalg::sum(h, |h| h.abs())
}
