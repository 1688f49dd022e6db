//! What a step or a validation measures.

use super::epochs::Terms;
use crate::model::Layout;
use crate::objective::{Loss, Workspace};
use crate::{Real, SparseAutoencoder};

/// The loss, and figures that its computation yields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured<T> {
    pub(crate) loss: Loss<T>,
    /// The reconstruction loss of all units: that of the last Matryoshka prefix.
    pub(crate) full: T,
    /// L0: the mean number of active units of the innermost layer. In `f64`, which holds a mean of counts as it
    /// is written: 11.97, where `f32` has 11.970000267028809.
    pub(crate) l0: f64,
}

/// The number of terms of [`Measured`].
pub(super) const TERMS: usize = 6;

/// The approximate number of batches in a running mean.
pub(super) const BATCHES: usize = 20;

/// The weight of a new measurement in it.
pub(super) const SHARE: f64 = 0.05;

/// Returns the weight of measurement `t` in a running mean of all so far: `SHARE / (1 − (1 − SHARE)ᵗ)`.
///
/// The mean then has the weights `(1 − SHARE)^{t−i}` relative to each other from the first measurement on. A
/// constant weight would let the first one, of an untrained model, stand for all before it.
pub(super) fn share(t: u64) -> f64 {
    // Far beyond these many, the power vanishes.
    let t = i32::try_from(t.clamp(1, 10_000)).unwrap_or(i32::MAX);
    SHARE / (1.0 - (1.0 - SHARE).powi(t))
}

impl<T: Real> Measured<T> {
    /// Returns `loss` with the figures that its pass left in the workspace.
    pub(super) fn new(loss: Loss<T>, layout: &Layout, workspace: &Workspace<T>) -> Self {
        Self {
            loss,
            full: workspace.full,
            l0: workspace.l0[layout.depth() - 1].to_f64(),
        }
    }

    /// Returns what was measured on so many samples, with an L0 that is a count divided by their number.
    pub(super) fn on(self, samples: usize) -> Self {
        let samples = f64::of_count(samples);
        let l0 = (self.l0 * samples).round() / samples;
        Self { l0, ..self }
    }

    /// Returns L0, if the innermost units of the model can be exactly 0.
    pub(super) fn l0_of(&self, model: &SparseAutoencoder<T>) -> Option<f64> {
        model.objective().vanishes().then_some(self.l0)
    }

    pub(super) fn terms(&self) -> [T; TERMS] {
        [
            self.loss.reconstruction,
            self.loss.weight_decay,
            self.loss.sparsity,
            self.loss.auxiliary,
            self.full,
            T::of(self.l0),
        ]
    }

    pub(super) fn from_terms(
        [reconstruction, weight_decay, sparsity, auxiliary, full, l0]: [T; TERMS],
    ) -> Self {
        Self {
            loss: Loss {
                reconstruction,
                weight_decay,
                sparsity,
                auxiliary,
            },
            full,
            l0: l0.to_f64(),
        }
    }
}

impl<T: Real> Terms<T> for Measured<T> {
    fn zero() -> Self {
        Self::from_terms([T::zero(); TERMS])
    }

    fn total(&self) -> T {
        self.loss.total()
    }

    /// Leaves out the auxiliary term, which appears when units die.
    fn compared(&self) -> T {
        self.loss.total() - self.loss.auxiliary
    }

    fn toward(self, other: Self, share: T) -> Self {
        let (mut terms, others) = (self.terms(), other.terms());
        for (term, other) in terms.iter_mut().zip(others) {
            *term += share * (other - *term);
        }
        let l0 = self.l0 + share.to_f64() * (other.l0 - self.l0);
        Self {
            l0,
            ..Self::from_terms(terms)
        }
    }

    fn with_batch(self, batch: Self, samples: usize, of: usize) -> Self {
        let share = T::of_count(samples) / T::of_count(of);
        let before = f64::of_count(of.saturating_sub(samples));
        let active = (self.l0 * before).round() + (batch.l0 * f64::of_count(samples)).round();
        Self {
            l0: active / f64::of_count(of),
            ..self.toward(batch, share)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_running_mean_forgets_the_first_measurement() {
        let mean = |values: &[f64]| {
            let steps = (1..).zip(values);
            steps.fold(f64::NAN, |mean, (t, &x)| match t {
                1 => x,
                t => mean + share(t) * (x - mean),
            })
        };
        assert!((share(1) - 1.0).abs() < 1e-12);
        assert!((mean(&[1.0, 3.0]) - (0.95 + 3.0) / 1.95).abs() < 1e-12);
        let mut values = [8.0; 60];
        values[0] = 800.0;
        assert!((mean(&values) - 8.0).abs() < 2.1, "{}", mean(&values));
        for t in [500, 10_000, u64::MAX] {
            assert!((share(t) - 0.05).abs() < 1e-12);
        }
    }
}
