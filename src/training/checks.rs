//! What a trainer refuses before anything is learned.

use nalgebra::DMatrixView;

use super::Trainer;
use crate::error::{Error, require};
use crate::{Real, Samples, SparseAutoencoder};

impl<T: Real> Trainer<T> {
    pub(super) fn check_partial(
        &self,
        model: &SparseAutoencoder<T>,
        batch: DMatrixView<'_, T>,
    ) -> Result<(), Error> {
        model.check_training_samples(batch)?;
        if self.optimizer.needs_full_batch() {
            return Err(Error::Incompatible {
                what: "partial_fit",
                other: "a full-batch optimizer",
            });
        }
        Ok(())
    }

    /// Refuses what belongs to the fit of one model, where several are to be fitted.
    pub(crate) fn check_for_several(&self) -> Result<(), Error> {
        #[cfg(feature = "serde")]
        let kept = self.checkpoints.is_some();
        #[cfg(not(feature = "serde"))]
        let kept = false;
        if kept || self.running.paused.is_some() {
            return Err(Error::Incompatible {
                what: "a checkpoint",
                other: "several models in one call: fit them in turn",
            });
        }
        Ok(())
    }

    pub(super) fn check_settings(&self) -> Result<(), Error> {
        let at_least_one =
            |name, value: usize| require(value >= 1, name, "at least 1", f64::of_count(value));
        at_least_one("epochs", self.epochs)?;
        at_least_one("batch_size", self.batch_size.unwrap_or(1))?;
        at_least_one("steps", self.steps.unwrap_or(1))?;
        at_least_one("patience", self.patience.unwrap_or(1))?;
        let split = self.validation_split;
        require(
            (0.0..1.0).contains(&split),
            "validation_split",
            "in [0, 1)",
            split,
        )?;
        if let Some(norm) = self.clip_gradient {
            // As the scalar of the model sees it: 1e-300 is 0 in f32, and would stop all learning.
            let accepted = T::of(norm) > T::zero() && T::of(norm).is_finite();
            require(accepted, "clip_gradient", "finite and above 0", norm)?;
        }
        if let Some(schedule) = self.schedule {
            schedule.check()?;
        }
        // Such an optimizer compares losses and gradients of several steps.
        let changing = [
            ("corruption", self.corruption.is_some()),
            ("a clipped gradient", self.clip_gradient.is_some()),
            ("a unit-norm decoder", self.unit_norm_decoder),
            ("annealing", self.annealing.is_set()),
            ("a set point", self.set_point.is_some()),
            ("dead units", self.dead_units.is_some()),
        ];
        for (what, is_set) in changing {
            if is_set && self.optimizer.needs_full_batch() {
                return Err(Error::Incompatible {
                    what,
                    other: "a full-batch optimizer",
                });
            }
        }
        self.corruption
            .map_or(Ok(()), |corruption| corruption.check::<T>())
    }

    /// Whether this model can be trained with these settings.
    pub(super) fn check_for(&self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
        let (objective, layout) = (model.objective(), model.layout());
        self.annealing.check(objective, layout)?;
        if let Some(set_point) = &self.set_point {
            if self.annealing.sparsity.is_some() {
                return Err(Error::Incompatible {
                    what: "a sparsity warm-up",
                    other: "a set point",
                });
            }
            set_point.check(objective)?;
        }
        self.check_shared(objective)?;
        self.dead_units
            .map_or(Ok(()), |dead_units| dead_units.check(objective, layout))
    }

    /// Refuses samples of another size, and, as far as they are in memory, unfit values. All others
    /// are checked as they are read.
    pub(super) fn check_source(
        &self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
    ) -> Result<(), Error> {
        model.check_size(samples.entries(), samples.count())?;
        match samples.in_memory() {
            Some(samples) => model.check_training_samples(samples),
            None if self.optimizer.needs_full_batch() => Err(Error::Incompatible {
                what: "samples that are not in memory",
                other: "a full-batch optimizer",
            }),
            None => Ok(()),
        }
    }
}
