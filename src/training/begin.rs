//! Everything before the first step of an autoencoder: checks and preparation.

use std::sync::Arc;

use nalgebra::{DMatrix, DMatrixView};

use super::distributed::fingerprint;
use super::measured::Measured;
use super::memory::least_room;
use super::progress::Progress;
use super::{DeadUnits, Trainer, reading};
use crate::error::Error;
use crate::linalg::reserve;
use crate::{Real, Samples, SparseAutoencoder};

impl<T: Real> Trainer<T> {
    /// Checks everything, and returns the position where the fit starts and the samples held out. Resets
    /// the optimizer unless a paused fit continues.
    #[allow(clippy::type_complexity)]
    pub(super) fn begin(
        &mut self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
    ) -> Result<(Progress<T, Measured<T>>, Option<Arc<DMatrix<T>>>), Error> {
        self.check_fit(model)?;
        self.check_samples(model, samples)?;
        let mut rng = self.engine.seeded();
        let (order, held_out) = self.engine.split(samples.count(), &mut rng)?;
        let held_out = match &self.validation {
            Some(validation) => Some(Arc::clone(validation)),
            None => self.read_held_out(model, samples, &held_out)?.map(Arc::new),
        };
        let batch_size = self.engine.batch_size_of(order.len())?;
        let together = held_out.as_ref().map_or(0, |of| of.ncols()).max(batch_size);
        check_room(model, self.engine.settings.first_k(), together)?;
        let batches = order.len().div_ceil(batch_size);
        self.engine.check_schedule()?;
        self.checkpoints.check(&*self.engine.optimizer)?;
        let parameters = model.layout().len();
        if let Some(paused) = &self.paused {
            paused.check(model.parameters().as_slice(), &order, batches)?;
        } else {
            self.engine.rng = rng;
            self.prepare(model);
        }
        let progress = Progress::new(parameters, order, batches);
        self.prepare_state(model)?;
        Ok((progress, held_out))
    }

    /// Checks everything before a single step, and returns the fraction of the training that is done.
    pub(super) fn begin_step(
        &mut self,
        model: &SparseAutoencoder<T>,
        batch: DMatrixView<'_, T>,
    ) -> Result<Option<f64>, Error> {
        self.check(model)?;
        model.check_training_samples(batch)?;
        if self.engine.optimizer.needs_full_batch() {
            return Err(Error::Incompatible {
                what: "partial_fit",
                other: "a full-batch optimizer",
            });
        }
        if self.engine.settings.stream_steps.is_none() {
            self.engine.check_schedule()?; // a fit leaves the end of its schedule
        }
        if self.engine.prepared != Some(model.layout().len()) {
            self.prepare(model);
        }
        self.prepare_state(model)?;
        let after = self.engine.settings.dead_units.map(DeadUnits::idle_samples);
        self.state.idle.count(model.layout().hidden_size(), after);
        self.paused = None;
        let fraction = self.engine.fraction_of_steps();
        if let Some(fraction) = fraction {
            self.engine.follow_schedule(fraction)?;
        }
        Ok(fraction)
    }

    /// Checks the settings of a fit, on their own and against the model.
    pub(super) fn check_fit(&self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
        self.check(model)?;
        self.engine.settings.check_patience()?;
        self.check_validation(model)
    }

    /// Checks the settings of a step, on their own and against the model.
    fn check(&self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
        self.engine.check()?;
        let (objective, layout) = (model.objective(), model.layout());
        let settings = &self.engine.settings;
        settings.check_annealing(objective, layout)?;
        if let Some(set_point) = &settings.set_point {
            if settings.sparsity_warm_up.is_some() {
                return Err(Error::Incompatible {
                    what: "a sparsity warm-up",
                    other: "a set point",
                });
            }
            // While k falls, the thresholds follow k, whatever β is.
            if settings.anneal_k.is_some() {
                return Err(Error::Incompatible {
                    what: "annealing of k",
                    other: "a set point: leave one of them out, as TargetL0 alone reaches its k",
                });
            }
            set_point.check(objective)?;
        }
        self.processes.check(settings, objective)?;
        settings
            .dead_units
            .map_or(Ok(()), |dead_units| dead_units.check(objective, layout))
    }

    /// Refuses samples of another size, and invalid values in memory. Values elsewhere are checked when
    /// they are read.
    fn check_samples(
        &self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
    ) -> Result<(), Error> {
        model.check_source(samples)?;
        match samples.in_memory() {
            Some(samples) => model.check_training_samples(samples),
            None if self.engine.optimizer.needs_full_batch() => Err(Error::Incompatible {
                what: "samples that are not in memory",
                other: "a full-batch optimizer: read them by `Samples::to_matrix`",
            }),
            None => Ok(()),
        }
    }

    /// Refuses validation samples that are no samples of the model, or are not the only ones.
    fn check_validation(&self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
        let Some(validation) = &self.validation else {
            return Ok(());
        };
        self.engine.settings.refuse_split()?;
        let checked = model.check_training_samples(validation.as_view());
        checked.map_err(|error| error.of_what("validation samples"))
    }

    /// Returns a copy of the samples held out, if there are any.
    fn read_held_out(
        &mut self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        held_out: &[usize],
    ) -> Result<Option<DMatrix<T>>, Error> {
        if held_out.is_empty() {
            return Ok(None);
        }
        self.limit_threads();
        let threads = self.state.workspace.scratch.take_threads();
        let check = |samples: DMatrixView<'_, T>| model.check_training_samples(samples);
        reading::read_held_out(samples, held_out, threads, &check).map(Some)
    }

    /// Resets everything that depends on the steps so far.
    fn prepare(&mut self, model: &SparseAutoencoder<T>) {
        let layout = model.layout();
        self.engine.prepare(layout.len(), layout.learned());
        self.state.reset();
        self.agreed = false;
    }

    fn prepare_state(&mut self, model: &SparseAutoencoder<T>) -> Result<(), Error> {
        self.limit_threads();
        let state = &mut self.state;
        state.prepare(&self.engine.settings, model.layout())
    }

    fn limit_threads(&mut self) {
        if let Some(threads) = self.engine.threads {
            self.state.workspace.scratch.limit_threads(threads);
        }
    }

    /// Returns `begun`, or fails in all processes if one of them cannot start or differs from the others.
    pub(super) fn begin_together<R>(
        &self,
        begun: Result<R, Error>,
        model: &SparseAutoencoder<T>,
        batches: impl Fn(&R) -> usize,
    ) -> Result<R, Error> {
        let own = |begun: &R| fingerprint(self, model, batches(begun));
        self.processes.begin(begun, own)
    }

    /// Returns `done`, the result of preparing a fit. An error also ends the fits of the other processes.
    pub(crate) fn or_refuse_to_fit<R>(&self, done: Result<R, Error>) -> Result<R, Error> {
        self.processes.or_refuse_to_fit(done)
    }

    /// Refuses settings for a single fit in a call that fits several models.
    pub(crate) fn check_for_several(&self) -> Result<(), Error> {
        if self.checkpoints.is_set() || self.paused.is_some() {
            return Err(Error::Incompatible {
                what: "a checkpoint",
                other: "several models in one call: fit them in turn",
            });
        }
        self.refuse_validation()
    }

    /// Refuses validation samples of the caller in a call that scales or encodes the samples itself.
    pub(crate) fn refuse_validation(&self) -> Result<(), Error> {
        match self.validation {
            None => Ok(()),
            Some(_) => Err(Error::Incompatible {
                what: "validation samples of your own",
                other: "a call that scales or encodes samples itself: set a validation_split",
            }),
        }
    }

    /// Refuses several processes in a call that learns from the samples of this one besides the fit.
    pub(crate) fn refuse_processes(&self) -> Result<(), Error> {
        if self.processes.are_several() {
            return Err(Error::Incompatible {
                what: "several processes",
                other: "the fit of a detector, whose scaling each would learn from its own samples: scale the samples, \
                        fit the model, and calibrate a detector with it",
            });
        }
        Ok(())
    }

    /// Returns the number of validation samples of the caller's own.
    pub(super) fn own_validation(&self) -> Option<usize> {
        self.validation.as_ref().map(|samples| samples.ncols())
    }
}

/// Refuses batches, or samples held out, whose samples and activations would not fit into memory.
fn check_room<T: Real>(
    model: &SparseAutoencoder<T>,
    first_k: Option<usize>,
    together: usize,
) -> Result<(), Error> {
    let count = least_room(model, first_k, together);
    reserve::check_room::<T>(count, "entries of a batch")
}
