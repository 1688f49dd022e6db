use crate::error::require;
use crate::penalty::{Description, HiddenBatch, HiddenGradient, Penalty};
use crate::{Activation, Error, Real};

/// Penalizes the mean number of active units per sample.
///
/// ```text
/// Ω = 1/m Σᵢ ‖hᵢ‖₀ = Σⱼ φⱼ,     φⱼ = 1/m Σᵢ 1[hⱼᵢ ≠ 0]
/// ∂Ω/∂φⱼ = 1
/// ```
///
/// Requires [`Activation::JumpRelu`], whose thresholds receive the gradient through a
/// pseudo-derivative (Rajamanoharan et al. 2024, *Jumping Ahead*). The penalty does not shrink
/// activations and ignores the sparsity target.
///
/// ```
/// use sparse_autoencoder::{Activation, L0, SparseAutoencoder};
///
/// let sae = SparseAutoencoder::<f32>::builder()
///     .layers([64, 512])
///     .hidden_activation(Activation::JumpRelu)
///     .bandwidth(0.05)
///     .output_activation(Activation::Identity)
///     .penalty(L0)
///     .penalty_weight(1e-3)
///     .build()?;
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct L0;

impl<T: Real> Penalty<T> for L0 {
    #[inline(never)]
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        gradient
            .per_frequency()
            .iter_mut()
            .for_each(|g| *g += scale);
        hidden.l0()
    }

    fn check(&self, activation: Activation, _target: T) -> Result<(), Error> {
        needs_thresholds("L0", activation)
    }

    fn description(&self) -> Description {
        Description::L0
    }
}

/// Penalizes the squared relative distance of the number of active units from a target.
///
/// ```text
/// Ω = (L₀/(ρ·units) − 1)²,     L₀ = 1/m Σᵢ ‖hᵢ‖₀ = Σⱼ φⱼ
/// ∂Ω/∂φⱼ = 2 (L₀/(ρ·units) − 1)/(ρ·units)
/// ```
///
/// The sparsity target ρ, in (0, 1), is the target proportion of active units: `20.0 / 4096.0` for
/// 20 of 4096 units. Requires [`Activation::JumpRelu`], as [`L0`] does (Rajamanoharan et al. 2024,
/// *Jumping Ahead*, appendix on a target for L₀).
///
/// ```
/// use sparse_autoencoder::{Activation, SparseAutoencoder, TargetL0};
///
/// let sae = SparseAutoencoder::<f32>::builder()
///     .layers([64, 512])
///     .hidden_activation(Activation::JumpRelu)
///     .output_activation(Activation::Identity)
///     .penalty(TargetL0)
///     .penalty_weight(1000.0)
///     .sparsity_target(16.0 / 512.0)
///     .build()?;
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetL0;

impl<T: Real> Penalty<T> for TargetL0 {
    #[inline(never)]
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        let target = hidden.target().to_f64() * f64::of_count(hidden.units());
        let excess = hidden.l0().to_f64() / target - 1.0;
        let slope = scale * T::of(2.0 * excess / target);
        gradient
            .per_frequency()
            .iter_mut()
            .for_each(|g| *g += slope);
        T::of(excess * excess)
    }

    fn check(&self, activation: Activation, target: T) -> Result<(), Error> {
        needs_thresholds("TargetL0", activation)?;
        require(
            target > T::zero() && target < T::one(),
            "sparsity_target",
            "a proportion in (0, 1) for TargetL0",
            target.to_f64(),
        )
    }

    fn description(&self) -> Description {
        Description::TargetL0
    }
}

/// Refuses activations without thresholds.
fn needs_thresholds(what: &'static str, activation: Activation) -> Result<(), Error> {
    if activation.traits().threshold {
        return Ok(());
    }
    Err(Error::UnsupportedActivation {
        what,
        activation,
        requirement: "only the thresholds of JumpRelu learn from the number of active units; use \
                      `.penalty(L1)` or `.penalty(Proportion)` with other activations",
    })
}
