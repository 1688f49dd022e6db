//! Checks of samples with labels.

use nalgebra::DMatrixView;

use super::SoftmaxClassifier;
use crate::validate::{SAMPLES, check_batch, check_len};
use crate::{Error, Real};

impl<T: Real> SoftmaxClassifier<T> {
    /// Refuses samples and labels for which the loss is not defined.
    pub(super) fn check_batch(
        &self,
        samples: DMatrixView<'_, T>,
        labels: &[usize],
    ) -> Result<(), Error> {
        check_batch(samples, self.features(), SAMPLES)?;
        self.check_labels(samples.ncols(), labels)
    }

    /// Refuses labels that are not one class for each of `samples`.
    pub(super) fn check_labels(&self, samples: usize, labels: &[usize]) -> Result<(), Error> {
        check_len("labels", samples, labels.len())?;
        match labels.iter().position(|&label| label >= self.classes()) {
            None => Ok(()),
            Some(column) => Err(Error::OutOfRange {
                what: "labels",
                requirement: "below the number of classes",
                row: 0,
                column,
                value: f64::of_count(labels[column]),
            }),
        }
    }

    /// Refuses samples and labels to fit to, also if a class has no samples.
    pub(crate) fn check_training(
        &self,
        samples: DMatrixView<'_, T>,
        labels: &[usize],
    ) -> Result<(), Error> {
        self.check_batch(samples, labels)?;
        self.check_classes(labels.iter().copied())
    }

    /// Refuses labels that leave out a class.
    pub(super) fn check_classes(&self, labels: impl Iterator<Item = usize>) -> Result<(), Error> {
        let mut seen = vec![false; self.classes()];
        labels.for_each(|label| seen[label] = true);
        match seen.iter().position(|&seen| !seen) {
            None => Ok(()),
            Some(class) => Err(Error::EmptyClass { class }),
        }
    }
}
