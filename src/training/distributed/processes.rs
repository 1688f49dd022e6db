//! The processes that train together, or one alone.

use super::all_reduce::{AllReduce, Shares, Sums, agree};
use crate::error::Error;
use crate::objective::Objective;
use crate::training::TrainerSettings;
use crate::training::measured::Measured;
use crate::{Activation, Real};

/// The fingerprint of a process that cannot start.
const NOTHING: u64 = 0;

/// The processes that train together. A single process decides everything by itself.
#[derive(Debug)]
pub(in crate::training) struct Processes<T>(Option<Sums<T>>);

impl<T> Default for Processes<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Real> Processes<T> {
    pub(in crate::training) fn together(all: impl AllReduce<T> + 'static) -> Self {
        Self(Some(Sums::new(all)))
    }

    pub(in crate::training) fn are_several(&self) -> bool {
        self.0.is_some()
    }

    fn all(&self) -> Option<&Sums<T>> {
        self.0.as_ref()
    }

    /// Returns `done`, or the error of a sum that has failed.
    pub(in crate::training) fn after_sums<R>(&self, done: Result<R, Error>) -> Result<R, Error> {
        match self.all().and_then(Sums::take_failure) {
            Some(failure) => Err(failure),
            None => done,
        }
    }

    /// Refuses settings that several processes do not support.
    pub(in crate::training) fn check(
        &self,
        settings: &TrainerSettings,
        objective: &Objective<T>,
    ) -> Result<(), Error> {
        if self.0.is_none() {
            return Ok(());
        }
        let refuse = |what| {
            Err(Error::Incompatible {
                what,
                other: "several processes",
            })
        };
        let over_batch = |f: &Activation| f.traits().chooses.mixes_samples();
        if objective.encoder.iter().any(over_batch) {
            return refuse("an activation that selects over a batch");
        }
        if settings.dead_units.is_some_and(|dead| dead.are_resampled()) {
            return refuse("resampled units");
        }
        Ok(())
    }

    /// Returns `begun`, or fails in all processes if one could not start or has another fingerprint.
    pub(in crate::training) fn begin<R>(
        &self,
        begun: Result<R, Error>,
        fingerprint: impl Fn(&R) -> u64,
    ) -> Result<R, Error> {
        let Some(all) = self.all() else {
            return begun;
        };
        let own = |begun| fingerprint(begun).max(NOTHING + 1);
        let agreed = agree(all, begun.as_ref().map_or(NOTHING, own));
        let begun = begun?;
        if agreed {
            return Ok(begun);
        }
        Err(Error::Incompatible {
            what: "the model, the settings, the position, or the number of batches of this process",
            other: "those of another process: they differ, or that process failed",
        })
    }

    /// Returns `done`, the result of preparing a fit. An error also ends the fits of the others.
    pub(in crate::training) fn or_refuse_to_fit<R>(
        &self,
        done: Result<R, Error>,
    ) -> Result<R, Error> {
        if let (Err(_), Some(all)) = (&done, self.all()) {
            agree(all, NOTHING);
        }
        done
    }

    /// Returns `done`, the result of preparing a step. Reports an error to the others, which wait for the
    /// step.
    pub(in crate::training) fn or_give_up<R>(&self, done: Result<R, Error>) -> Result<R, Error> {
        if let (Err(_), Some(all)) = (&done, self.all()) {
            Shares::refuse(all);
        }
        done
    }

    /// Returns `done`, or fails in all processes if one failed.
    pub(in crate::training) fn or_fail_together(
        &self,
        done: Result<(), Error>,
    ) -> Result<(), Error> {
        self.or_give_up(done)?;
        self.anywhere(false).map(drop)
    }

    /// Returns whether `here` is true in any process. Fails if another gives up.
    pub(in crate::training) fn anywhere(&self, here: bool) -> Result<bool, Error> {
        self.all()
            .map_or(Ok(here), |all| Shares::anywhere(all, here))
    }

    /// Returns the share of this process in a batch, given the number `own` of its samples.
    pub(in crate::training) fn shares(&self, own: usize) -> Result<Option<Shares<'_, T>>, Error> {
        self.all().map(|all| Shares::new(all, own)).transpose()
    }
}

/// Averages what was measured, and the gradient, over the samples of all processes.
pub(in crate::training) fn average<T: Real>(
    shares: &Shares<'_, T>,
    measured: &mut Measured<T>,
    gradient: Option<&mut [T]>,
) {
    let mut terms = measured.terms();
    shares.average(&mut terms);
    *measured = Measured::from_terms(terms);
    if let Some(gradient) = gradient {
        shares.average(gradient);
    }
}
