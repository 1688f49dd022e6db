//! Sparsity penalties: terms of the objective that keep most hidden units inactive.
//!
//! The crate's own penalties, the trait to write another, and the ways to combine them: `(a, b)` is
//! a sum, [`Scaled`] a multiple, `()` none. A penalty sees the activations of one hidden layer on
//! one batch ([`HiddenBatch`]) and adds to their gradient ([`HiddenGradient`]).
//!
//! # Writing one
//!
//! A penalty has one required method, [`Penalty::accumulate`], which returns Ω and adds its
//! gradient. This is the complete log penalty `Ω = 1/m Σᵢⱼ ln(1 + hⱼᵢ²)`:
//!
//! ```
//! use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient, Penalty};
//! use sparse_autoencoder::{Activation, Real, gradient_check, nalgebra::DMatrix};
//!
//! #[derive(Debug)]
//! struct LogSquare;
//!
//! impl<T: Real> Penalty<T> for LogSquare {
//!     fn accumulate(&self, hidden: &HiddenBatch<'_, T>, scale: T, gradient: &mut HiddenGradient<'_, T>) -> T {
//!         let per_sample = T::one() / T::of_count(hidden.samples());
//!         let mut sum = T::zero();
//!         for (g, &h) in gradient.per_activation().iter_mut().zip(hidden.activations()) {
//!             sum += (T::one() + h * h).ln();
//!             *g += scale * per_sample * T::of(2.0) * h / (T::one() + h * h);
//!         }
//!         per_sample * sum
//!     }
//! }
//!
//! // One call checks the gradient against central differences, and the first rule below.
//! let hidden = DMatrix::from_row_slice(2, 2, &[0.2, 0.9, -0.4, 0.1]);
//! let check = gradient_check::penalty(&LogSquare, Activation::Tanh, 0.05, &hidden)?;
//! assert!(check.relative_error() < 1e-8);
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```
//!
//! Every implementation must keep three rules, on which combinations rely:
//!
//! - Gradients are multiplied by `scale` and *added*, never overwritten.
//! - The returned value is *not* multiplied by `scale`.
//! - Nothing is allocated.

mod hidden;
mod kl_divergence;
mod l0;
mod l1;
mod penalty_description;
mod proportion;
mod scaled;
mod squared_deviation;

pub use hidden::{HiddenBatch, HiddenGradient};
pub use kl_divergence::KlDivergence;
pub use l0::{L0, TargetL0};
pub use l1::L1;
pub use penalty_description::Description;
pub use proportion::Proportion;
pub use scaled::Scaled;
pub use squared_deviation::SquaredDeviation;

use std::{fmt, sync::Arc};

use nalgebra::{DMatrix, DMatrixView, DVector};

use crate::error::{Error, require};
use crate::linalg::Aligned;
use crate::validate::check_batch;
use crate::{Activation, AsMatrix, Real};

/// A sparsity penalty Ω on one batch of one hidden layer's activations.
///
/// The trait is object-safe and open: [the module](self) shows how to write and check a penalty.
/// Training calls it once per layer and batch, next to two matrix products.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a penalty on activations of `{T}`",
    label = "not a penalty on activations of `{T}`",
    note = "pass a penalty such as `L1` or `KlDivergence`, a sum of two by `(a, b)`, or `()` for none",
    note = "set its weight by `.penalty_weight(…)` and its target by `.sparsity_target(…)`"
)]
pub trait Penalty<T: Real>: fmt::Debug + Send + Sync {
    /// Returns Ω and **adds** `scale · ∂Ω/∂h` to `gradient`.
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T;

    /// Refuses activations and sparsity targets ρ for which the penalty is not defined.
    ///
    /// Called when a model is built. The default accepts everything.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedActivation`] for an activation, [`Error::InvalidParameter`] for a target.
    fn check(&self, activation: Activation, target: T) -> Result<(), Error> {
        let _ = (activation, target);
        Ok(())
    }

    /// Returns whether Ω is zero for all activations, so that a training step can skip it.
    ///
    /// The default is `false`, which is always correct.
    fn is_zero(&self) -> bool {
        false
    }

    /// Returns the description that files store, from which the penalty is restored.
    ///
    /// The default stores the `Debug` text for people to read. A model with such a penalty is loaded
    /// without it.
    fn description(&self) -> Description {
        Description::Custom(format!("{self:?}").chars().take(1000).collect())
    }
}

/// Returns Ω and `∂Ω/∂H` for hidden activations H, units × samples, as a model computes them.
///
/// ```
/// use sparse_autoencoder::{Activation, KlDivergence, nalgebra::DMatrix, penalty};
///
/// let hidden = DMatrix::from_row_slice(1, 2, &[0.1, 0.3]); // one unit, ρ̂ = 0.2
/// let (omega, gradient) = penalty::evaluate(&KlDivergence, Activation::Sigmoid, 0.05, &hidden)?;
/// assert!((omega - 0.0939430260_f64).abs() < 1e-10);
/// assert!((gradient[0] - 0.9375 / 2.0).abs() < 1e-10);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Penalty::check`]; [`Error::InvalidParameter`] unless the target is finite;
/// [`Error::EmptyBatch`] without units or samples; [`Error::NonFinite`] for NaN and infinities.
pub fn evaluate<T: Real>(
    penalty: &dyn Penalty<T>,
    activation: Activation,
    target: f64,
    hidden: impl AsMatrix<T>,
) -> Result<(T, DMatrix<T>), Error> {
    evaluate_adding(
        penalty,
        activation,
        target,
        hidden.as_matrix()?,
        (T::zero(), T::one()),
    )
}

/// Runs [`evaluate`] with gradients that hold `before`, and with `scale`. Returns what is added over `scale`.
pub(crate) fn evaluate_adding<T: Real>(
    penalty: &dyn Penalty<T>,
    activation: Activation,
    target: f64,
    hidden: DMatrixView<'_, T>,
    (before, scale): (T, T),
) -> Result<(T, DMatrix<T>), Error> {
    penalty.check(activation, T::of(target))?;
    let finite = T::of(target).is_finite();
    require(finite, "sparsity_target", "finite", target)?;
    check_batch(hidden, hidden.nrows(), ["hidden activations"; 2])?;
    if hidden.nrows() == 0 {
        return Err(Error::EmptyBatch {
            what: "units of the hidden activations",
        });
    }
    let hidden = hidden.into_owned();
    let mean = mean_activations(hidden.as_view());
    let mut per_unit = DVector::from_element(hidden.nrows(), before);
    let mut per_frequency = vec![before; hidden.nrows()];
    let mut per_activation = Aligned::zeros(hidden.len());
    let batch = HiddenBatch::new(
        hidden.as_slice(),
        (mean.as_slice(), l0(hidden.as_view())),
        T::of(target),
        activation,
    );
    let mut channels = HiddenGradient::new(
        per_unit.as_mut_slice(),
        &mut per_frequency,
        &mut per_activation,
        hidden.len(),
    );
    channels.per_activation().fill(before);
    let value = penalty.accumulate(&batch, scale, &mut channels);
    let (units, samples) = hidden.shape();
    let mut gradient = DMatrix::from_vec(units, samples, per_activation.into_vec());
    let added = |sum: T| (sum - before) / scale;
    for mut column in gradient.column_iter_mut() {
        column.zip_apply(&per_unit, |g, of_unit| *g = added(*g) + added(of_unit));
    }
    Ok((value, gradient))
}

/// Returns ρ̂, of sums in `f64`. That of ones is 1: a penalty that is clamped near the ends of a range must not miss
/// them.
pub(crate) fn mean_activations<T: Real>(hidden: DMatrixView<'_, T>) -> DVector<T> {
    let share = T::one() / T::of_count(hidden.ncols());
    let mut sums = vec![0.0; hidden.nrows()];
    for sample in hidden.column_iter() {
        for (sum, h) in sums.iter_mut().zip(sample.iter()) {
            *sum += h.to_f64();
        }
    }
    let count = f64::of_count(hidden.ncols());
    let means = sums.into_iter().map(|sum| T::of(sum / count));
    let mut means = DVector::from_iterator(hidden.nrows(), means);
    for (unit, mean) in means.iter_mut().enumerate() {
        if !mean.is_finite() {
            let shares = hidden
                .row(unit)
                .iter()
                .fold(T::zero(), |sum, &h| sum + h * share);
            *mean = shares; // the sum overflows, the mean does not
        }
    }
    means
}

/// Returns `L₀` as the passes compute it.
pub(crate) fn l0<T: Real>(hidden: DMatrixView<'_, T>) -> T {
    let active = hidden.iter().filter(|&&h| h != T::zero()).count();
    T::of_count(active) / T::of_count(hidden.ncols())
}

/// No penalty.
impl<T: Real> Penalty<T> for () {
    fn accumulate(&self, _: &HiddenBatch<'_, T>, _: T, _: &mut HiddenGradient<'_, T>) -> T {
        T::zero()
    }

    fn is_zero(&self) -> bool {
        true
    }

    fn description(&self) -> Description {
        Description::None
    }
}

macro_rules! forward {
    ($($wrapper:ty),*) => {$(
        #[warn(clippy::missing_trait_methods)] // a missing method would fall back to its default
        impl<T: Real, P: Penalty<T> + ?Sized> Penalty<T> for $wrapper {
            fn accumulate(
                &self,
                hidden: &HiddenBatch<'_, T>,
                scale: T,
                gradient: &mut HiddenGradient<'_, T>,
            ) -> T {
                (**self).accumulate(hidden, scale, gradient)
            }

            fn check(&self, activation: Activation, target: T) -> Result<(), Error> {
                (**self).check(activation, target)
            }

            fn is_zero(&self) -> bool {
                (**self).is_zero()
            }

            fn description(&self) -> Description {
                (**self).description()
            }
        }
    )*};
}

forward!(&P, Box<P>, Arc<P>);

/// The sum of two penalties.
#[warn(clippy::missing_trait_methods)]
impl<T: Real, A: Penalty<T>, B: Penalty<T>> Penalty<T> for (A, B) {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        self.0.accumulate(hidden, scale, gradient) + self.1.accumulate(hidden, scale, gradient)
    }

    fn check(&self, activation: Activation, target: T) -> Result<(), Error> {
        self.0.check(activation, target)?;
        self.1.check(activation, target)
    }

    fn is_zero(&self) -> bool {
        self.0.is_zero() && self.1.is_zero()
    }

    fn description(&self) -> Description {
        let [a, b] = [self.0.description(), self.1.description()].map(Box::new);
        Description::Sum(a, b)
    }
}
