use crate::Real;
use crate::penalty::{Description, HiddenBatch, HiddenGradient, Penalty};

/// Penalizes the squared deviation of the mean activations from the sparsity target.
///
/// ```text
/// Ω = ½ Σⱼ (ρ̂ⱼ − ρ)²
/// ∂Ω/∂hⱼᵢ = 1/m (ρ̂ⱼ − ρ)
/// ```
///
/// Defined for every activation; costs O(units) (Lee, Ekanadham & Ng 2007, *Sparse deep belief net
/// model for visual area V2*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SquaredDeviation;

impl<T: Real> Penalty<T> for SquaredDeviation {
    #[inline(never)]
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        let step = scale / T::of_count(hidden.samples());
        let mut sum = T::zero();
        for (g, &mean) in gradient.per_unit().iter_mut().zip(hidden.mean()) {
            let deviation = mean - hidden.target();
            *g += step * deviation;
            sum += deviation * deviation;
        }
        T::of(0.5) * sum
    }

    fn description(&self) -> Description {
        Description::SquaredDeviation
    }
}
