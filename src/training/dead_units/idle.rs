//! Counts how long units have been inactive.

use crate::Real;
use crate::linalg;
use crate::objective::{Now, Pass};
use crate::training::all_reduce::Shares;
use crate::training::step::{State, Stepper};

/// How long each unit of the innermost layer has been inactive.
#[derive(Debug, Default)]
pub(in crate::training) struct Idle {
    /// In samples.
    samples: Vec<usize>,
    /// The number of samples after which an inactive unit is dead.
    after: usize,
    /// The dead units, ascending.
    pub(in crate::training) dead: Vec<usize>,
    /// The number of dead units after each epoch of a fit.
    pub(in crate::training) history: Vec<usize>,
}

impl Idle {
    /// Creates the counts of a layer whose units have been inactive for this many samples.
    pub(in crate::training) fn new(samples: Vec<usize>) -> Self {
        Self {
            dead: Vec::with_capacity(samples.len()),
            samples,
            ..Self::default()
        }
    }

    /// Counts units as dead after this number of samples, or none. Starts from 0 unless as many units are counted
    /// already.
    pub(in crate::training) fn count(&mut self, units: usize, after: Option<usize>) {
        let Some(after) = after else {
            *self = Self::default();
            return;
        };
        if self.units() != units {
            *self = Self::new(vec![0; units]);
        }
        if self.after != after {
            self.after = after;
            self.find_dead();
        }
    }

    /// Returns the number of units that are counted.
    pub(in crate::training) fn units(&self) -> usize {
        self.samples.len()
    }

    /// Returns for how many samples each unit has been inactive.
    pub(in crate::training) fn samples(&self) -> &[usize] {
        &self.samples
    }

    /// Counts a batch of `count` samples.
    pub(in crate::training) fn see(&mut self, count: usize, was_active: impl Fn(usize) -> bool) {
        for (j, idle) in self.samples.iter_mut().enumerate() {
            *idle = if was_active(j) {
                0
            } else {
                idle.saturating_add(count)
            };
        }
        self.find_dead();
    }

    fn find_dead(&mut self) {
        let idle = self.samples.iter().enumerate();
        let dead = idle.filter(|&(_, &samples)| samples >= self.after);
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
        samples: usize,
        shares: Option<Shares<'_, T>>,
        now: Now<T>,
    ) {
        let State {
            workspace,
            idle,
            activity,
            ..
        } = &mut *self.state;
        if idle.units() == 0 {
            return;
        }
        let (layout, theta) = (self.model.layout(), self.model.parameters().as_slice());
        let pass = Pass::training(self.model.objective(), layout, theta, now);
        let was_active = |j| pass.was_active(j, workspace);
        let Some(shares) = shares else {
            return idle.see(samples, was_active);
        };
        let one_where = |active| if active { T::one() } else { T::zero() };
        activity.clear();
        activity.extend((0..layout.hidden_size()).map(|j| one_where(was_active(j))));
        shares.average(activity);
        // A failed sum ends the step with its error.
        if linalg::all_finite(activity) {
            idle.see(samples, |j| activity[j] > T::zero());
        }
    }
}
