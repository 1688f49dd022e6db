use nalgebra::DMatrixView;

use super::SparseAutoencoder;
use crate::Real;
use crate::error::Error;
use crate::linalg::Threads;
use crate::objective::Workspace;
use crate::objective::{Batch, Loss, ReconstructionLoss};

impl<T: Real> SparseAutoencoder<T> {
    /// J(θ) on the samples taken as one batch, term by term.
    ///
    /// This is the objective of training: an activation that is chosen over a batch, such as
    /// [`WinnerTakeAll`](crate::Activation::WinnerTakeAll), is chosen over these samples, which inference does not do.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::OutOfRange`] for data outside [0, 1] under
    /// [`ReconstructionLoss::BinaryCrossEntropy`].
    pub fn loss<'a>(&self, samples: impl Into<DMatrixView<'a, T>>) -> Result<Loss<T>, Error> {
        let samples = samples.into();
        self.check_training_samples(samples)?;
        let workspace = &mut Workspace::new();
        Ok(self.evaluate(samples.into(), None, workspace))
    }

    /// J(θ) and its gradient on one batch, for optimizers and training loops of your own.
    ///
    /// `gradient` is overwritten; it is ordered as [`Layout`](crate::Layout) says. Allocates nothing once the
    /// workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss), and [`Error::DimensionMismatch`] if `gradient` has not one entry
    /// per parameter.
    pub fn loss_and_gradient<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        gradient: &mut [T],
        workspace: &mut Workspace<T>,
    ) -> Result<Loss<T>, Error> {
        let samples = samples.into();
        self.check_training_samples(samples)?;
        if gradient.len() != self.layout().len() {
            return Err(Error::DimensionMismatch {
                what: "gradient",
                expected: self.layout().len(),
                actual: gradient.len(),
            });
        }
        Ok(self.evaluate(samples.into(), Some(gradient), workspace))
    }

    #[inline(never)]
    pub(crate) fn evaluate(
        &self,
        batch: Batch<'_, T>,
        gradient: Option<&mut [T]>,
        workspace: &mut Workspace<T>,
    ) -> Loss<T> {
        self.pass().evaluate(batch, gradient, workspace)
    }

    /// As for inference, and the range that the loss needs.
    pub(crate) fn check_training_samples(&self, samples: DMatrixView<'_, T>) -> Result<(), Error> {
        self.check_samples(samples, Threads::at_most(1))?;
        if self.objective.reconstruction != ReconstructionLoss::BinaryCrossEntropy {
            return Ok(());
        }
        for (column, sample) in samples.column_iter().enumerate() {
            let outside = |value: &T| !(*value >= T::zero() && *value <= T::one());
            if let Some(row) = sample.iter().position(outside) {
                return Err(Error::OutOfRange {
                    what: "samples for BinaryCrossEntropy",
                    requirement: "in [0, 1]",
                    row,
                    column,
                    value: sample[row].to_f64(),
                });
            }
        }
        Ok(())
    }
}
