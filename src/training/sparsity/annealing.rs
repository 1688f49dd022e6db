//! A penalty weight that rises, and a k that falls, over a fraction of the steps.

use crate::Real;
use crate::error::{Error, require};
use crate::model::Layout;
use crate::objective::{Now, Objective};
use crate::training::Settings;

impl Settings {
    /// Whether anything is annealed.
    pub(in crate::training) fn anneals(&self) -> bool {
        self.sparsity_warm_up.is_some() || self.anneal_k.is_some()
    }

    pub(in crate::training) fn check_annealing<T: Real>(
        &self,
        objective: &Objective<T>,
        layout: &Layout,
    ) -> Result<(), Error> {
        let fraction = |name, value: f64| {
            let accepted = value > 0.0 && value <= 1.0;
            require(accepted, name, "in (0, 1]", value)
        };
        if let Some(of_steps) = self.sparsity_warm_up {
            fraction("fraction of sparsity_warm_up", of_steps)?;
        }
        let Some((from, of_steps)) = self.anneal_k else {
            return Ok(());
        };
        fraction("fraction of anneal_k", of_steps)?;
        let Some(k) = objective.now().k else {
            return Err(Error::Incompatible {
                what: "annealing of k",
                other: "an innermost activation without a k",
            });
        };
        require(
            (k..=layout.hidden_size()).contains(&from),
            "first k of anneal_k",
            "at least the k of the model and at most the number of units",
            f64::of_count(from),
        )
    }

    /// Returns the values of a step after this `fraction` of the training, for a model built with `built`.
    pub(super) fn anneal<T: Real>(&self, fraction: f64, built: Now<T>) -> Now<T> {
        let mut now = built;
        let done = |of_steps: f64| (fraction / of_steps).min(1.0);
        if let Some(of_steps) = self.sparsity_warm_up {
            now.penalty_weight = T::of(done(of_steps)) * built.penalty_weight;
        }
        if let (Some((from, of_steps)), Some(k)) = (self.anneal_k, built.k) {
            let excess = f64::of_count(from - k) * (1.0 - done(of_steps));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=from − k
            let excess = excess.round() as usize;
            now.k = Some(k + excess);
        }
        now
    }
}
