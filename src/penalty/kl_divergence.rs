use crate::error::require;
use crate::penalty::{Description, HiddenBatch, HiddenGradient, Penalty};
use crate::{Activation, Error, Real};

/// The Kullback–Leibler divergence of the mean activations from the sparsity target.
///
/// ```text
/// Ω = Σⱼ ρ ln(ρ/qⱼ) + (1−ρ) ln((1−ρ)/(1−qⱼ)),     qⱼ = (ρ̂ⱼ − low) / (high − low)
/// ∂Ω/∂hⱼᵢ = 1/m · (−ρ/qⱼ + (1−ρ)/(1−qⱼ)) / (high − low)
/// ```
///
/// (Ng, *CS294A Lecture notes: Sparse autoencoder*.) `low` and `high` are the ends of the
/// activation's range: `q = ρ̂` for [`Sigmoid`](Activation::Sigmoid) and
/// [`SaturatingLinear`](Activation::SaturatingLinear), `q = (ρ̂ + 1)/2` for
/// [`Tanh`](Activation::Tanh), hence the factor ½ in its gradient. Unbounded activations are
/// refused.
///
/// Costs O(units). `q` is clamped to `[ε, 1−ε]`, ε being the machine precision, and the gradient is
/// that of the clamped function: 0 where it is clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KlDivergence;

impl<T: Real> Penalty<T> for KlDivergence {
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
                q // NaN too: a diverging mean must show in the loss
            };
            value += rho * (rho / q).ln() + (one - rho) * ((one - rho) / (one - q)).ln();
        }
        value
    }

    fn check(&self, activation: &Activation, target: T) -> Result<(), Error> {
        match activation.range() {
            Some(_) => require(
                target > T::zero() && target < T::one(),
                "sparsity_target",
                "in (0, 1) for KlDivergence",
                target.to_f64(),
            ),
            None => Err(Error::UnsupportedActivation {
                what: "KlDivergence",
                activation: *activation,
                requirement: "its values must be bounded, as those of Sigmoid, Tanh, or SaturatingLinear",
            }),
        }
    }

    fn description(&self) -> Description {
        Description::KlDivergence
    }
}
