//! Gradient checks: analytic gradients against central differences, for a model or one penalty.
//!
//! ```text
//! ∂J/∂θₖ ≈ (J(θ + h eₖ) − J(θ − h eₖ)) / 2h,     h = h₀ · max(1, |θₖ|)
//! ```
//!
//! `h₀ = ε^⅓` balances the truncation error O(h²) and the rounding error O(ε/h). The
//! [relative error](GradientCheck::relative_error) of a correct gradient is about:
//!
//! | scalar | relative error |
//! |---|---|
//! | `f64` | 1e-8 |
//! | `f32` | 1e-2: check in `f64` instead |
//!
//! Some gradients differ from central differences by definition:
//!
//! - at kinks: ReLU or L1 at 0, TopK where two units change places. Choose other points.
//! - for the thresholds of [`Activation::JumpRelu`], which learn by a pseudo-derivative.
//! - for the decoder under [`Activation::Gated`] units, which one term of J treats as constant.

use nalgebra::DMatrixView;

use crate::linalg::Aligned;
use crate::linalg::wide::Wide;
use crate::objective::{Batch, Pass};
#[cfg(doc)]
use crate::penalty::evaluate;
use crate::penalty::{HiddenBatch, HiddenGradient, Penalty, evaluate_adding, l0, mean_activations};
use crate::{Activation, AsMatrix, Error, Real, SparseAutoencoder, Workspace};

/// An analytic and a numeric gradient.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GradientCheck<T> {
    /// The gradient that the model or penalty computes.
    pub analytic: Vec<T>,
    /// The central differences.
    pub numeric: Vec<T>,
}

impl<T: Real> GradientCheck<T> {
    /// Returns `‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖)` in Euclidean norms, in [0, 1]; 0 if
    /// both are 0.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        let pairs = self.analytic.iter().zip(&self.numeric);
        let pairs = pairs.map(|(a, n)| (a.to_f64(), n.to_f64()));
        let difference = Wide::squared_distance(pairs.clone()).sqrt();
        let mut size = Wide::squared_distance(pairs.clone().map(|(a, _)| (a, 0.0))).sqrt();
        size.add(Wide::squared_distance(pairs.map(|(_, n)| (n, 0.0))).sqrt());
        if difference == Wide::ZERO {
            0.0
        } else {
            difference.per(size).to_f64()
        }
    }

    /// Returns the index and size of the largest `|analytic − numeric|`, to locate an error. `None`
    /// without parameters.
    #[must_use]
    pub fn worst(&self) -> Option<(usize, f64)> {
        let differences = self.analytic.iter().zip(&self.numeric);
        differences
            .map(|(a, n)| (a.to_f64() - n.to_f64()).abs())
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Returns the central difference of `value` by each entry of `at`.
fn central_differences<T: Real>(at: &mut [T], mut value: impl FnMut(&[T]) -> T) -> Vec<T> {
    let base = T::default_epsilon().cbrt();
    (0..at.len())
        .map(|k| {
            let start = at[k];
            let step = base * T::one().max(start.abs());
            at[k] = start + step;
            let (above, right) = (at[k], value(at));
            at[k] = start - step;
            let (below, left) = (at[k], value(at));
            at[k] = start;
            (right - left) / (above - below)
        })
        .collect()
}

/// Checks [`SparseAutoencoder::loss_and_gradient`] on `samples`, at the parameters of `model`.
///
/// Evaluates the loss twice per parameter, so use a small model.
///
/// ```
/// use sparse_autoencoder::{SparseAutoencoder, gradient_check, nalgebra::DMatrix};
///
/// let sae = SparseAutoencoder::<f64>::builder().layers([3, 4]).build()?;
/// let check = gradient_check::model(&sae, &DMatrix::from_row_slice(3, 2, &[0.1, 0.8, 0.9, 0.2, 0.3, 0.5]))?;
/// assert!(check.relative_error() < 1e-7);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// As [`SparseAutoencoder::loss`].
pub fn model<T: Real>(
    model: &SparseAutoencoder<T>,
    samples: impl AsMatrix<T>,
) -> Result<GradientCheck<T>, Error> {
    let samples = samples.as_matrix()?;
    let mut model = model.clone();
    let mut workspace = Workspace::new();
    let mut analytic = vec![T::zero(); model.layout().len()];
    model.loss_and_gradient(samples, &mut analytic, &mut workspace)?;
    let mut theta = model.parameters().as_slice().to_vec();
    let (objective, parameters) = model.objective_and_parameters();
    let numeric = central_differences(&mut theta, |theta| {
        let pass = Pass::training(objective, parameters.layout(), theta, objective.now());
        let batch = Batch::of(&samples, parameters.layout());
        pass.evaluate(batch, None, &mut workspace).total()
    });
    Ok(GradientCheck { analytic, numeric })
}

/// Checks the gradient of one penalty at the given hidden activations, units × samples.
///
/// The penalty sees `activation` and the sparsity target `target` as a model would pass them. One that leaves out the
/// scale, or overwrites gradients instead of adding to them, fails. Entries of `hidden` should be values that the
/// activation can take. How often units are active has no derivative, so the gradient
/// [`per_frequency`](crate::penalty::HiddenGradient::per_frequency) is not checked.
///
/// ```
/// use sparse_autoencoder::{Activation, L1, gradient_check, nalgebra::DMatrix};
///
/// let hidden = DMatrix::from_row_slice(2, 2, &[0.2, 0.9, -0.4, 0.1]);
/// let check = gradient_check::penalty(&L1, Activation::Tanh, 0.05, &hidden)?;
/// assert!(check.relative_error() < 1e-8);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// As [`evaluate`].
pub fn penalty<T: Real>(
    penalty: &dyn Penalty<T>,
    activation: Activation,
    target: f64,
    hidden: impl AsMatrix<T>,
) -> Result<GradientCheck<T>, Error> {
    let hidden = hidden.as_matrix()?;
    let half = T::of(0.5);
    let added_to = |before| evaluate_adding(penalty, activation, target, hidden, (before, half));
    let ((_, added), (_, added_to_ones)) = (added_to(T::zero())?, added_to(T::one())?);
    // Both agree up to the rounding of 1, or the penalty overwrites what it should add to.
    let rounding = T::default_epsilon().sqrt() * (T::one() + added.amax());
    let overwrites = (&added_to_ones - &added).amax() > rounding;
    let analytic = if overwrites { added_to_ones } else { added };
    let mut hidden = hidden.into_owned();
    let (units, samples) = hidden.shape();
    let mut scratch = (
        vec![T::zero(); units],
        vec![T::zero(); units],
        Aligned::new(),
    );
    let numeric = central_differences(hidden.as_mut_slice(), |activations| {
        let hidden = DMatrixView::from_slice(activations, units, samples);
        let (mean, active) = (mean_activations(hidden), l0(hidden));
        let means = (mean.as_slice(), active);
        let batch = HiddenBatch::new(activations, means, T::of(target), activation);
        let (per_unit, per_frequency, per_activation) =
            (&mut scratch.0, &mut scratch.1, &mut scratch.2);
        let mut unused =
            HiddenGradient::new(per_unit, per_frequency, per_activation, units * samples);
        penalty.accumulate(&batch, T::zero(), &mut unused)
    });
    Ok(GradientCheck {
        analytic: analytic.as_slice().to_vec(),
        numeric,
    })
}
