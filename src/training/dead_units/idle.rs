//! Counts how long units have been inactive.

use super::DeadUnits;
use crate::Real;
use crate::objective::{Now, Pass};
use crate::training::TrainerSettings;
use crate::training::all_reduce::Shares;
use crate::training::step::{State, Stepper};

/// How long each unit of the innermost layer has been inactive.
#[derive(Debug, Default)]
pub(in crate::training) struct Idle {
    /// In samples.
    pub(in crate::training) samples: Vec<usize>,
    /// The dead units, ascending.
    pub(in crate::training) dead: Vec<usize>,
    /// The number of dead units after each epoch of a fit.
    pub(in crate::training) history: Vec<usize>,
}

impl Idle {
    /// Creates the counts of a layer whose units have been inactive for this many samples.
    pub(in crate::training) fn new(samples: Vec<usize>, dead_units: &DeadUnits) -> Self {
        let mut idle = Self {
            dead: Vec::with_capacity(samples.len()),
            samples,
            history: Vec::new(),
        };
        idle.find_dead(dead_units);
        idle
    }

    pub(in crate::training) fn units(&self) -> usize {
        self.samples.len()
    }

    /// Counts a batch of `count` samples.
    pub(in crate::training) fn see(
        &mut self,
        count: usize,
        dead_units: &DeadUnits,
        was_active: impl Fn(usize) -> bool,
    ) {
        for (j, idle) in self.samples.iter_mut().enumerate() {
            *idle = if was_active(j) {
                0
            } else {
                idle.saturating_add(count)
            };
        }
        self.find_dead(dead_units);
    }

    fn find_dead(&mut self, dead_units: &DeadUnits) {
        let idle = self.samples.iter().enumerate();
        let dead = idle.filter(|&(_, &samples)| samples >= dead_units.after);
        self.dead.clear();
        self.dead.extend(dead.map(|(j, _)| j));
    }

    /// Makes room for `epochs` epochs.
    pub(in crate::training) fn reserve(&mut self, epochs: usize) {
        if self.units() > 0 {
            self.history.reserve(epochs);
        }
    }

    /// Counts these dead units from 0 again, which are ascending.
    pub(in crate::training) fn revive(&mut self, replaced: &[usize]) {
        for &j in replaced {
            self.samples[j] = 0;
        }
        self.dead.retain(|j| replaced.binary_search(j).is_err());
    }
}

impl<T: Real> Stepper<'_, T> {
    /// Counts how long units have been inactive, over the samples of all processes.
    pub(in crate::training) fn count_idle(
        &mut self,
        settings: &TrainerSettings,
        samples: usize,
        shares: Option<Shares<'_, T>>,
        now: Now<T>,
    ) {
        let Some(dead_units) = &settings.dead_units else {
            return;
        };
        let State {
            workspace,
            idle,
            activity,
            ..
        } = &mut *self.state;
        let (layout, theta) = (self.model.layout(), self.model.parameters().as_slice());
        let pass = Pass::training(self.model.objective(), layout, theta, now);
        let was_active = |j| pass.was_active(j, workspace);
        let Some(shares) = shares else {
            return idle.see(samples, dead_units, was_active);
        };
        let one_where = |active| if active { T::one() } else { T::zero() };
        activity.clear();
        activity.extend((0..layout.hidden_size()).map(|j| one_where(was_active(j))));
        shares.average(activity);
        idle.see(samples, dead_units, |j| activity[j] > T::zero());
    }
}
