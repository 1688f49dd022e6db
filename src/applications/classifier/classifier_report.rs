//! What fitting a classifier reports: losses, epochs, and the result.

use super::SoftmaxClassifier;
use crate::{Real, StopReason};

/// The terms of a classifier's objective.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassifierLoss<T> {
    /// `−1/m Σᵢ ln P(yᵢ | xᵢ)`
    pub cross_entropy: T,
    /// `λ/2 Σ‖W‖²`
    pub weight_decay: T,
}

impl<T: Real> ClassifierLoss<T> {
    /// Returns the objective: the sum of the terms.
    #[must_use]
    pub fn total(&self) -> T {
        self.cross_entropy + self.weight_decay
    }
}

/// An epoch of fitting a classifier, as an observer sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ClassifierEpoch<'a, T> {
    /// The number of the epoch, counted from 1.
    pub number: usize,
    /// The mean loss of the epoch, with each batch evaluated before its step.
    pub loss: ClassifierLoss<T>,
    /// The loss on the samples held out, after the epoch.
    pub validation: Option<ClassifierLoss<T>>,
    /// The classifier after the epoch.
    pub model: &'a SoftmaxClassifier<T>,
}

/// The result of fitting a classifier.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassifierReport<T> {
    /// The reason for stopping.
    pub stop: StopReason,
    /// The number of completed epochs.
    pub epochs: usize,
    /// The epoch, counted from 1, whose parameters the classifier has.
    pub best_epoch: usize,
    /// The loss of each epoch.
    pub history: Vec<ClassifierLoss<T>>,
    /// The loss on the samples held out, after each epoch. Empty without a validation split.
    pub validation: Vec<ClassifierLoss<T>>,
}
