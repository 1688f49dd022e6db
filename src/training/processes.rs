//! Training by several processes: where they agree, and where one gives up.
//!
//! Every process does the same steps, because it decides by sums over all of them alone: what follows from
//! its own samples, files, or observer is summed up first. One that cannot go on tells the others in place
//! of the number of its samples, which is what every step and every validation asks for first: so none
//! waits for it.

use std::hash::{DefaultHasher, Hash, Hasher};

use nalgebra::DMatrix;

use super::Trainer;
use super::step::average;
use crate::error::Error;
use crate::objective::{Batch, Loss, Objective};
use crate::optimizer::Entry;
use crate::training::all_reduce::{Shares, agree};
use crate::units::Chooses;
use crate::{Real, SparseAutoencoder};

/// What a process has the others compare that cannot begin.
const NOTHING: u64 = 0;

impl<T: Real> Trainer<T> {
    /// Refuses what several processes cannot do together.
    pub(super) fn check_shared(&self, objective: &Objective<T>) -> Result<(), Error> {
        if self.all_reduce.is_none() {
            return Ok(());
        }
        let refuse = |what| {
            Err(Error::Incompatible {
                what,
                other: "several processes",
            })
        };
        if objective
            .encoder
            .iter()
            .any(|f| f.traits().chooses == Chooses::OverBatch)
        {
            return refuse("an activation that selects over a batch");
        }
        if self.dead_units.is_some_and(|dead| dead.are_resampled()) {
            return refuse("resampled units");
        }
        Ok(())
    }

    /// What this process has begun, in so many batches; an error in all processes if one of them cannot
    /// begin, or begins something else. Every training starts with this.
    pub(super) fn begin_together<R>(
        &self,
        begun: Result<R, Error>,
        model: &SparseAutoencoder<T>,
        batches: impl Fn(&R) -> usize,
    ) -> Result<R, Error> {
        let Some(all) = self.all_reduce.as_deref() else {
            return begun;
        };
        let told = |begun| self.fingerprint(model, batches(begun));
        let agreed = agree(all, begun.as_ref().map_or(NOTHING, told));
        let begun = begun?;
        if agreed {
            return Ok(begun);
        }
        Err(Error::Incompatible {
            what: "the model, the settings, the position, or the number of batches of this process",
            other: "those of another, or an error there",
        })
    }

    /// What a fit needs before it begins; if there is none, the fits of the other processes end.
    pub(crate) fn or_refuse_to_fit<R>(&self, needed: Result<R, Error>) -> Result<R, Error> {
        if let (Err(_), Some(all)) = (&needed, self.all_reduce.as_deref()) {
            agree(all, NOTHING);
        }
        needed
    }

    /// Of whatever must be the same in all processes, so that they do the same steps. Samples, and the
    /// random numbers that choose them and spoil them, may differ.
    fn fingerprint(&self, model: &SparseAutoencoder<T>, batches: usize) -> u64 {
        let (running, layout) = (&self.running, model.layout());
        let mut hasher = DefaultHasher::new();
        let mut tell = |text: String, numbers: &[T]| {
            text.hash(&mut hasher);
            let numbers = numbers.iter().map(|number| number.to_f64().to_bits());
            numbers.for_each(|bits| bits.hash(&mut hasher));
        };
        let objective = (model.objective(), layout.sizes(), layout.is_tied());
        tell(format!("{objective:?}"), model.parameters().as_slice());
        let steps = (self.epochs, self.steps, batches, running.steps);
        let ends = (self.patience, self.validation_split > 0.0);
        let updates = (self.schedule, self.clip_gradient, self.unit_norm_decoder);
        let changes = (&self.annealing, self.set_point, self.dead_units);
        tell(format!("{steps:?} {ends:?} {updates:?} {changes:?}"), &[]);
        let (controller, idle) = (&running.controller, &running.idle);
        tell(format!("{controller:?} {idle:?}"), &[]);
        if let Some(paused) = &running.paused {
            let at = (paused.report.epochs, paused.done, paused.end);
            let mean = (paused.mean, paused.converged);
            let best = (paused.best.epoch, paused.best.loss);
            tell(format!("{at:?} {mean:?} {best:?}"), &paused.best.theta);
        }
        if let Ok(state) = self.optimizer.state() {
            tell(format!("{} {:?}", state.optimizer, state.settings), &[]);
            for (name, entry) in &state.entries {
                match entry {
                    Entry::Number(number) => tell(format!("{name} {number:?}"), &[]),
                    Entry::Vector(values) => tell(name.clone(), values),
                }
            }
        }
        hasher.finish().max(NOTHING + 1)
    }

    /// The samples that all processes have together.
    pub(super) fn samples_of_all(&self, own: usize) -> Result<usize, Error> {
        self.all_reduce.as_deref().map_or(Ok(own), |all| {
            Shares::new(all, own).map(|shares| shares.samples())
        })
    }

    /// The loss on the samples that are held out, in all processes.
    pub(super) fn validate(
        &mut self,
        model: &SparseAutoencoder<T>,
        samples: &DMatrix<T>,
    ) -> Result<Loss<T>, Error> {
        let mut batch = Batch::from(samples.as_view());
        let all = self.all_reduce.as_deref();
        let shares = all.map(|all| Shares::new(all, samples.ncols()));
        batch.shares = shares.transpose()?;
        let mut loss = model.evaluate(batch, None, &mut self.running.workspace);
        if let Some(shares) = &batch.shares {
            average(shares, &mut loss, None);
        }
        Ok(loss)
    }

    /// Tells the other processes, which wait for the next step, that there will be none.
    pub(super) fn give_up(&self) {
        if let Some(all) = self.all_reduce.as_deref() {
            Shares::refuse(all);
        }
    }

    /// What was done here; an error if it failed in any process.
    #[cfg(feature = "serde")]
    pub(super) fn unless_elsewhere(&self, done: Result<(), Error>) -> Result<(), Error> {
        done.inspect_err(|_| self.give_up())?;
        self.anywhere(false).map(drop)
    }

    /// Whether something is so in any process; an error if another gives up.
    pub(super) fn anywhere(&self, here: bool) -> Result<bool, Error> {
        self.all_reduce
            .as_deref()
            .map_or(Ok(here), |all| Shares::anywhere(all, here))
    }
}
