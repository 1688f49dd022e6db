use crate::error::require;
use crate::penalty::{Description, HiddenBatch, HiddenGradient, Penalty};
use crate::sparse;
use crate::units::proportion_of;
use crate::{Activation, Error, Real};

/// Penalizes activations beyond the k strongest of each sample: the trimmed ℓ₁ norm.
///
/// ```text
/// Ω = 1/m Σᵢ Σ_{j ∉ top_k(|hᵢ|)} |hⱼᵢ|,     k = ⌈ρ · units⌉
/// ∂Ω/∂hⱼᵢ = 1/m sign(hⱼᵢ) for j ∉ top_k(|hᵢ|),     0 elsewhere and where hⱼᵢ = 0
/// ```
///
/// Ω is zero exactly when every sample has at most k active units. The k strongest are not shrunk
/// (Bertsimas, Copenhaver & Mazumder 2017, *The Trimmed Lasso*). Of equal magnitudes the lower index
/// is kept. The sparsity target ρ lies in (0, 1).
///
/// Costs O(units · samples). [`Activation::TopProportion`] enforces the same bound exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proportion;

impl<T: Real> Penalty<T> for Proportion {
    #[inline(never)]
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        let k = proportion_of(hidden.units(), hidden.target().to_f64());
        let step = scale / T::of_count(hidden.samples());
        let mut sum = 0.0;
        let columns = gradient.per_activation().chunks_exact_mut(hidden.units());
        for (gradient, h) in columns.zip(hidden.columns()) {
            let largest = sparse::KthLargest::of_magnitudes(h, k);
            let mut ties = largest.ties;
            for (g, &h) in gradient.iter_mut().zip(h) {
                let magnitude = h.abs();
                let kept = if magnitude == largest.threshold && ties > 0 {
                    ties -= 1;
                    true
                } else {
                    magnitude > largest.threshold
                };
                if !kept && magnitude > T::zero() {
                    sum += magnitude.to_f64();
                    *g += if h > T::zero() { step } else { -step };
                } else if !magnitude.is_finite() {
                    sum += magnitude.to_f64(); // so that divergence shows in the loss
                }
            }
        }
        T::of(sum / f64::of_count(hidden.samples()))
    }

    fn check(&self, _activation: Activation, target: T) -> Result<(), Error> {
        require(
            target > T::zero() && target < T::one(),
            "sparsity_target",
            "a proportion in (0, 1) for Proportion",
            target.to_f64(),
        )
    }

    fn description(&self) -> Description {
        Description::Proportion
    }
}
