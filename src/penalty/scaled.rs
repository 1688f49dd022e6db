use super::{Description, HiddenBatch, HiddenGradient, Penalty};
use crate::{Activation, Error, Real};

/// Multiplies a penalty by a constant factor: `Ω = factor · Ω_inner`.
///
/// With a factor of 0 the inner penalty is neither checked nor computed.
///
/// ```
/// use sparse_autoencoder::{KlDivergence, L1, SparseAutoencoder, penalty::Scaled};
///
/// let sae = SparseAutoencoder::<f32>::builder()
///     .layers([64, 100])
///     .penalty((KlDivergence, Scaled::new(0.01, L1)))
///     .build()?;
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaled<P> {
    factor: f64,
    penalty: P,
}

impl<P> Scaled<P> {
    /// Returns `factor` times `penalty`.
    ///
    /// The factor must be finite and at least 0; building a model checks it.
    pub const fn new(factor: f64, penalty: P) -> Self {
        Self { factor, penalty }
    }
}

#[warn(clippy::missing_trait_methods)]
impl<T: Real, P: Penalty<T>> Penalty<T> for Scaled<P> {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        if self.factor == 0.0 {
            return T::zero(); // the inner penalty may be undefined for these activations
        }
        let factor = T::of(self.factor);
        factor * self.penalty.accumulate(hidden, scale * factor, gradient)
    }

    fn check(&self, activation: Activation, target: T) -> Result<(), Error> {
        Description::check::<T>(&Penalty::<T>::description(self))?;
        if self.factor == 0.0 {
            return Ok(());
        }
        self.penalty.check(activation, target)
    }

    fn is_zero(&self) -> bool {
        self.factor == 0.0 || self.penalty.is_zero()
    }

    fn description(&self) -> Description {
        Description::Scaled(self.factor, Box::new(self.penalty.description()))
    }
}
