//! A penalty weight that rises, and a k that falls, over a fraction of the steps.

use crate::Real;
use crate::error::{Error, require};
use crate::model::Layout;
use crate::objective::{Now, Objective};
use crate::training::TrainerSettings;

/// The fall of k in a training: see [`Trainer::anneal_k`](crate::Trainer::anneal_k).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        deny_unknown_fields,
        expecting = "a table with the keys `from` and `fraction`"
    )
)]
#[non_exhaustive]
pub struct AnnealK {
    /// The k of the first step.
    pub from: usize,
    /// The fraction of the steps in which k falls, in (0, 1].
    pub fraction: f64,
}

impl AnnealK {
    /// Lets k fall from `from` over this `fraction` of the steps, in (0, 1].
    #[must_use]
    pub const fn new(from: usize, fraction: f64) -> Self {
        Self { from, fraction }
    }

    /// Returns the k of a step after this `done` fraction of the training, which ends at `k`.
    fn at(self, done: f64, k: f64) -> f64 {
        let left = 1.0 - (done / self.fraction).min(1.0);
        k + (f64::of_count(self.from) - k) * left
    }
}

impl TrainerSettings {
    /// Whether anything is annealed.
    pub(in crate::training) fn anneals(&self) -> bool {
        self.sparsity_warm_up.is_some() || self.anneal_k.is_some()
    }

    /// Whether the objective stays the same after this `fraction` of the training.
    pub(in crate::training) fn has_settled(&self, fraction: f64) -> bool {
        let warms_up = self
            .sparsity_warm_up
            .is_some_and(|of_steps| fraction < of_steps);
        !warms_up && !self.k_falls(fraction)
    }

    /// Returns the k of the first step, if k falls.
    pub(in crate::training) fn first_k(&self) -> Option<usize> {
        self.anneal_k.map(|annealing| annealing.from)
    }

    /// Whether k falls after this `fraction` of the training.
    pub(in crate::training) fn k_falls(&self, fraction: f64) -> bool {
        self.anneal_k
            .is_some_and(|annealing| fraction < annealing.fraction)
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
            if !(0..layout.depth()).any(|l| objective.is_built_to_penalize(l)) {
                return Err(Error::Incompatible {
                    what: "sparsity_warm_up",
                    other: "a model without a penalty: set a penalty with a weight above 0, or no warm-up",
                });
            }
        }
        let Some(annealing) = self.anneal_k else {
            return Ok(());
        };
        fraction("fraction of anneal_k", annealing.fraction)?;
        let Some(k) = target(objective) else {
            return Err(Error::Incompatible {
                what: "annealing of k",
                other: "an innermost activation without a k, or JumpRelu without TargetL0",
            });
        };
        let from = f64::of_count(annealing.from);
        require(
            (k..=f64::of_count(layout.hidden_size())).contains(&from),
            "first k of anneal_k",
            "at least the k of the model and at most the number of units",
            from,
        )
    }

    /// Returns the number of active units at which thresholds have to be set before a step, while k falls.
    pub(in crate::training) fn threshold_target<T: Real>(
        &self,
        fraction: f64,
        objective: &Objective<T>,
    ) -> Option<f64> {
        let annealing = self.anneal_k?;
        let falls = objective.now().k.is_none() && self.k_falls(fraction);
        falls.then(|| Some(annealing.at(fraction, target(objective)?)))?
    }

    /// Returns the values of a step after this `fraction` of the training, for a model built with `built`.
    pub(super) fn anneal<T: Real>(&self, fraction: f64, built: Now<T>) -> Now<T> {
        let mut now = built;
        if let Some(of_steps) = self.sparsity_warm_up {
            now.penalty_scale = T::of((fraction / of_steps).min(1.0));
            now.penalty_weight = now.penalty_scale * built.penalty_weight;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in k..=from
        let rounded = |k: f64| k.round() as usize;
        if let Some(annealing) = self.anneal_k {
            now.k = built
                .k
                .map(|k| rounded(annealing.at(fraction, f64::of_count(k))));
        }
        now
    }
}

/// Returns the number of active units at the end of a training, if k can be annealed.
pub(in crate::training) fn target<T: Real>(objective: &Objective<T>) -> Option<f64> {
    if let Some(k) = objective.now().k {
        return Some(f64::of_count(k));
    }
    let share_of_units = || {
        let k = objective.target_l0();
        // The share of an integer was rounded to `T`.
        let nearest = k.round();
        if (k - nearest).abs() <= 1e-6 * k {
            nearest
        } else {
            k
        }
    };
    objective.targets_l0().then(share_of_units)
}
