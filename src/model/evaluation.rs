//! The objective of a model on a batch.

use nalgebra::DMatrixView;

use super::SparseAutoencoder;
use crate::error::Error;
use crate::linalg::Threads;
use crate::objective::{Batch, Loss, ReconstructionLoss, Workspace};
use crate::validate::check_len;
use crate::{AsMatrix, Real};

impl<T: Real> SparseAutoencoder<T> {
    /// Returns J(θ) on samples taken as one batch, term by term.
    ///
    /// Those of a [transcoder](crate::SparseAutoencoderBuilder::output_size) hold the input and then the target.
    ///
    /// Activations that select over a batch, such as
    /// [`WinnerTakeAll`](crate::Activation::WinnerTakeAll), do so as in training, unlike inference.
    ///
    /// ```
    /// use sparse_autoencoder::{SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let sae = SparseAutoencoder::<f64>::builder().layers([8, 12]).build()?;
    /// let loss = sae.loss(&DMatrix::from_element(8, 5, 0.5))?;
    /// assert!(loss.total() > loss.reconstruction); // by the penalty
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::OutOfRange`] for samples outside [0, 1] under
    /// [`ReconstructionLoss::BinaryCrossEntropy`].
    pub fn loss(&self, samples: impl AsMatrix<T>) -> Result<Loss<T>, Error> {
        let samples = samples.as_matrix()?;
        self.check_training_samples(samples)?;
        let workspace = &mut Workspace::new();
        Ok(self.evaluate(Batch::of(&samples, self.layout()), None, workspace))
    }

    /// Returns J(θ) on one batch and writes its gradient, for your own optimizers and training loops.
    ///
    /// Overwrites `gradient`, which is ordered as [`Layout`](crate::Layout) describes. Allocates nothing once the
    /// workspace has grown.
    ///
    /// ```
    /// use sparse_autoencoder::{SparseAutoencoder, Workspace, nalgebra::DMatrix};
    ///
    /// let sae = SparseAutoencoder::<f64>::builder().layers([8, 12]).build()?;
    /// let samples = DMatrix::from_element(8, 5, 0.5);
    /// let mut gradient = vec![0.0; sae.layout().len()];
    /// let loss = sae.loss_and_gradient(&samples, &mut gradient, &mut Workspace::new())?;
    /// assert_eq!(loss, sae.loss(&samples)?);
    /// assert!(gradient.iter().any(|&slope| slope != 0.0));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss), and [`Error::DimensionMismatch`] unless `gradient` has one entry per
    /// parameter.
    pub fn loss_and_gradient(
        &self,
        samples: impl AsMatrix<T>,
        gradient: &mut [T],
        workspace: &mut Workspace<T>,
    ) -> Result<Loss<T>, Error> {
        let samples = samples.as_matrix()?;
        self.check_training_samples(samples)?;
        check_len("gradient", self.layout().len(), gradient.len())?;
        let batch = Batch::of(&samples, self.layout());
        Ok(self.evaluate(batch, Some(gradient), workspace))
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

    /// Checks samples to train on, also against the range of the reconstruction loss.
    pub(crate) fn check_training_samples(&self, samples: DMatrixView<'_, T>) -> Result<(), Error> {
        self.check_pairs(samples, Threads::at_most(1))?;
        if self.objective.reconstruction_loss != ReconstructionLoss::BinaryCrossEntropy {
            return Ok(());
        }
        let first = self.layout().target_entries().start;
        for (column, sample) in samples.column_iter().enumerate() {
            let outside = |value: &T| !(*value >= T::zero() && *value <= T::one());
            if let Some(row) = sample.iter().skip(first).position(outside) {
                let row = first + row;
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
