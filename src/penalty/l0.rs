use crate::error::require;
use crate::penalty::{Description, HiddenBatch, HiddenGradient, Penalty};
use crate::units::Chooses;
use crate::{Activation, Error, Real};

/// The mean number of active units.
///
/// ```text
/// Ω = 1/m Σᵢ ‖hᵢ‖₀ = Σⱼ φⱼ,     φⱼ = 1/m Σᵢ 1[hⱼᵢ ≠ 0]
/// ∂Ω/∂φⱼ = 1
/// ```
///
/// For [`Activation::JumpRelu`], whose thresholds learn of it by a pseudo-gradient; other
/// activations are refused (Rajamanoharan et al. 2024, *Jumping Ahead*). The sparsity target plays
/// no part. It does not shrink the activations.
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
        hidden.mean_active()
    }

    fn check(&self, activation: &Activation, _target: T) -> Result<(), Error> {
        needs_thresholds("L0", activation)
    }

    fn description(&self) -> Description {
        Description::L0
    }
}

/// How far the number of active units is from the number that is wanted.
///
/// ```text
/// Ω = (L₀/(ρ·units) − 1)²,     L₀ = 1/m Σᵢ ‖hᵢ‖₀ = Σⱼ φⱼ
/// ∂Ω/∂φⱼ = 2 (L₀/(ρ·units) − 1)/(ρ·units)
/// ```
///
/// For [`Activation::JumpRelu`], whose thresholds learn of it by a pseudo-gradient; other
/// activations are refused. The sparsity target ρ is the proportion of active units that is wanted:
/// 20 of 4096 are `20.0 / 4096.0`. (Rajamanoharan et al. 2024, *Jumping Ahead*, appendix on a target
/// for L₀.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetL0;

impl<T: Real> Penalty<T> for TargetL0 {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        let wanted = hidden.target().to_f64() * f64::of_count(hidden.units());
        let excess = hidden.mean_active().to_f64() / wanted - 1.0;
        let slope = scale * T::of(2.0 * excess / wanted);
        gradient
            .per_frequency()
            .iter_mut()
            .for_each(|g| *g += slope);
        T::of(excess * excess)
    }

    fn check(&self, activation: &Activation, target: T) -> Result<(), Error> {
        needs_thresholds("TargetL0", activation)?;
        require(
            target > T::zero() && target <= T::one(),
            "sparsity_target",
            "a proportion in (0, 1] for TargetL0",
            target.to_f64(),
        )
    }

    fn description(&self) -> Description {
        Description::TargetL0
    }
}

fn needs_thresholds(what: &'static str, activation: &Activation) -> Result<(), Error> {
    if activation.traits().chooses == Chooses::Threshold {
        return Ok(());
    }
    Err(Error::UnsupportedActivation {
        what,
        activation: *activation,
        requirement: "only the thresholds of JumpRelu learn from the number of active units",
    })
}
