//! How the objective itself changes over a fit.

use crate::error::{Error, require};
use crate::model::Layout;
use crate::objective::Objective;
use crate::{Activation, Real};

/// What starts easier than the model has it, for a fraction of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Annealing {
    /// β rises from 0.
    pub(super) sparsity: Option<f64>,
    /// k falls from this number.
    pub(super) k: Option<(usize, f64)>,
}

impl Annealing {
    pub(super) fn is_set(&self) -> bool {
        *self != Self::default()
    }

    pub(super) fn check<T: Real>(
        &self,
        objective: &Objective<T>,
        layout: &Layout,
    ) -> Result<(), Error> {
        let fraction = |name, value: f64| {
            let accepted = value > 0.0 && value <= 1.0;
            require(accepted, name, "in (0, 1]", value)
        };
        if let Some(of_steps) = self.sparsity {
            fraction("fraction of sparsity_warm_up", of_steps)?;
        }
        let Some((from, of_steps)) = self.k else {
            return Ok(());
        };
        fraction("fraction of anneal_k", of_steps)?;
        let Some(k) = k_of(objective) else {
            return Err(Error::Incompatible {
                what: "annealing of k",
                other: "innermost units without a k",
            });
        };
        require(
            (k..=layout.hidden()).contains(&from),
            "k to anneal from",
            "at least that of the model and at most the number of units",
            f64::of_count(from),
        )
    }

    /// Makes `annealed` what `objective` is to be after this part of all steps.
    pub(super) fn apply<T: Real>(
        &self,
        progress: f64,
        objective: &Objective<T>,
        annealed: &mut Objective<T>,
    ) {
        annealed.copy_from(objective);
        let rise = |of_steps: f64| (progress / of_steps).min(1.0);
        let factor = self.sparsity.map_or(1.0, rise);
        annealed.penalty_weight = T::of(factor) * objective.penalty_weight;
        if let (Some((from, of_steps)), Some(k)) = (self.k, k_of(objective)) {
            let excess = f64::of_count(from - k) * (1.0 - rise(of_steps));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=from − k
            let now = k + excess.round() as usize;
            if let Some(activation) = annealed.encoder.last_mut() {
                *activation = activation.with_k(now);
            }
        }
    }
}

/// The k of the innermost layer.
fn k_of<T>(objective: &Objective<T>) -> Option<usize> {
    objective.encoder.last().and_then(Activation::k)
}
