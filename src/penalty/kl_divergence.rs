use crate::error::require;
use crate::penalty::{Description, HiddenBatch, HiddenGradient, Penalty};
use crate::{Activation, Error, Real};

/// Penalizes the Kullback–Leibler divergence of the mean activations from the sparsity target.
///
/// ```text
/// Ω = Σⱼ [ρ ln(ρ/qⱼ) + (1−ρ) ln((1−ρ)/(1−qⱼ))],     qⱼ = (ρ̂ⱼ − low) / (high − low)
/// ∂Ω/∂hⱼᵢ = 1/m · (−ρ/qⱼ + (1−ρ)/(1−qⱼ)) / (high − low)
/// ```
///
/// `low` and `high` are the ends of the activation's range (Ng, *CS294A Lecture notes: Sparse
/// autoencoder*):
///
/// | activation | range | q |
/// |---|---|---|
/// | [`Sigmoid`](Activation::Sigmoid), [`SaturatingLinear`](Activation::SaturatingLinear) | [0, 1] | `ρ̂` |
/// | [`Tanh`](Activation::Tanh) | [−1, 1] | `(ρ̂ + 1)/2` |
///
/// The mean activation ρ̂ of tanh units thus becomes `2ρ − 1`: a dense code near −1, in which no unit is 0.
/// Unbounded activations are refused. The sparsity target ρ lies in (0, 1).
///
/// Costs O(units). `q` is clamped to `[ε, 1−ε]`, where ε is the machine precision; the gradient is 0
/// where `q` is clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KlDivergence;

impl<T: Real> Penalty<T> for KlDivergence {
    #[inline(never)]
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        let (one, rho) = (T::one(), hidden.target());
        let (low, high) = hidden.activation().range().unwrap_or((0.0, 1.0));
        let (low, per_range) = (T::of(low), T::of(1.0 / (high - low)));
        let (lowest, highest) = (T::default_epsilon(), one - T::default_epsilon());
        let step = scale * per_range / T::of_count(hidden.samples());

        let mut value = T::zero();
        for (g, &mean) in gradient.per_unit().iter_mut().zip(hidden.mean()) {
            let q = (mean - low) * per_range;
            if q > lowest && q < highest {
                *g += step * (-rho / q + (one - rho) / (one - q));
            }
            let q = if q < lowest {
                lowest
            } else if q > highest {
                highest
            } else {
                q // NaN passes, so that divergence shows in the loss
            };
            value += rho * (rho / q).ln() + (one - rho) * ((one - rho) / (one - q)).ln();
        }
        value
    }

    fn check(&self, activation: Activation, target: T) -> Result<(), Error> {
        match activation.range() {
            Some(_) => require(
                target > T::zero() && target < T::one(),
                "sparsity_target",
                "in (0, 1) for KlDivergence",
                target.to_f64(),
            ),
            None => Err(Error::UnsupportedActivation {
                what: "KlDivergence",
                activation,
                requirement: "it needs bounded activations (Sigmoid, Tanh, or SaturatingLinear); use \
                              `.penalty(L1)` or `.penalty(SquaredDeviation)` with unbounded ones",
            }),
        }
    }

    fn description(&self) -> Description {
        Description::KlDivergence
    }
}
