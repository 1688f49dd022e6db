//! Training by several processes: where they agree, and where one gives up.
//!
//! Every process does the same steps. One that cannot go on tells the others in place of the number of its
//! samples, which is what every step and every validation asks for first: so none waits for it.

use nalgebra::DMatrix;

use super::Trainer;
use super::step::average;
use crate::all_reduce::{Shares, agree};
use crate::error::Error;
use crate::objective::{Batch, Loss, Objective};
use crate::{Real, SparseAutoencoder};

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
        if objective.encoder.iter().any(|f| f.selects_over_batch()) {
            return refuse("an activation that selects over a batch");
        }
        if self.dead_units.is_some_and(|dead| dead.are_resampled()) {
            return refuse("resampled units");
        }
        Ok(())
    }

    /// Refuses to go on, in all processes, where one of them cannot, or has another model or other
    /// numbers than the others.
    pub(super) fn check_processes<R>(
        &self,
        own: &Result<R, Error>,
        model: &SparseAutoencoder<T>,
        numbers: &[usize],
    ) -> Result<(), Error> {
        let Some(all) = self.all_reduce.as_deref() else {
            return Ok(());
        };
        let mut told = vec![u64::from(own.is_ok()), model.parameters().fingerprint()];
        told.extend(numbers.iter().map(|&number| number as u64));
        if agree(all, &told) {
            return Ok(());
        }
        match own {
            Err(error) => Err(error.clone()),
            Ok(_) => Err(Error::Incompatible {
                what: "the model, the settings, or the number of batches of this process",
                other: "those of another, or an error there",
            }),
        }
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

    /// Whether something is so in any process.
    pub(super) fn anywhere(&self, here: bool) -> bool {
        let Some(all) = self.all_reduce.as_deref() else {
            return here;
        };
        let mut count = [if here { T::one() } else { T::zero() }];
        all.sum(&mut count);
        count[0] > T::zero()
    }
}
