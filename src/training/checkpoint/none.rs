//! The checkpoints of a crate without the feature `files`: none.

use crate::optimizer::Optimizer;
use crate::training::engine::Engine;
use crate::training::measured::Measured;
use crate::training::progress::Progress;
use crate::training::step::State;
use crate::{Error, Real, SparseAutoencoder};

/// Writes no checkpoints.
#[derive(Debug, Default)]
pub(in crate::training) struct Checkpoints(());

impl Checkpoints {
    pub(in crate::training) fn is_set(&self) -> bool {
        false
    }

    pub(in crate::training) fn check<T: Real>(&self, _: &dyn Optimizer<T>) -> Result<(), Error> {
        Ok(())
    }

    pub(in crate::training) fn write_if_due<T: Real>(
        &self,
        _: &Engine<T>,
        _: &State<T>,
        _: &SparseAutoencoder<T>,
        _: &Progress<T, Measured<T>>,
        _validation: Option<usize>,
        _last: bool,
    ) -> Result<(), Error> {
        Ok(())
    }
}
