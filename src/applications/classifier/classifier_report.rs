//! What fitting a classifier reports: losses, steps, epochs, and the result.

use super::SoftmaxClassifier;
use crate::training::LogRow;
use crate::training::log_writer::{Cells, row_of_event};
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

/// A step of fitting a classifier, as an observer sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ClassifierStep<'a, T> {
    /// The number of steps of the fit so far, this one included.
    pub number: u64,
    /// The number of steps of all epochs. A fit that stops early takes fewer.
    pub of: u64,
    /// The epoch of the step, counted from 1.
    pub epoch: usize,
    /// The number of samples in all steps so far. A sample counts once per epoch.
    pub samples: u64,
    /// The loss of the batch before the step. [`Lbfgs`](crate::Lbfgs) gives the loss after it.
    pub loss: ClassifierLoss<T>,
    /// The learning rate of the step, with the factor of the [schedule](crate::Trainer::schedule). `None` for
    /// an optimizer [without one](crate::Optimizer::learning_rate).
    pub learning_rate: Option<f64>,
    /// The classifier after the step.
    pub model: &'a SoftmaxClassifier<T>,
}

/// What an observer of steps sees: each step, and after the last one of an epoch the epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ClassifierEvent<'a, T> {
    /// After a step.
    Step(ClassifierStep<'a, T>),
    /// After an epoch and its validation.
    Epoch(ClassifierEpoch<'a, T>),
}

/// An epoch of fitting a classifier, as an observer sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ClassifierEpoch<'a, T> {
    /// Counted from 1.
    pub number: usize,
    /// The number of epochs of the fit. A fit that stops early runs fewer.
    pub of: usize,
    /// The number of steps of the fit so far.
    pub steps: u64,
    /// The number of samples in all steps so far. A sample counts once per epoch.
    pub samples: u64,
    /// The mean loss over the batches of the epoch, each before its step.
    pub loss: ClassifierLoss<T>,
    /// The loss on the samples held out or [given](crate::ClassifierTrainer::validation), after the epoch.
    pub validation_loss: Option<ClassifierLoss<T>>,
    /// The learning rate of the last step: see [`ClassifierStep::learning_rate`].
    pub learning_rate: Option<f64>,
    /// The classifier after the epoch.
    pub model: &'a SoftmaxClassifier<T>,
}

/// The result of fitting a classifier.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassifierReport<T> {
    /// Why training stopped.
    pub stop: StopReason,
    /// The number of completed epochs.
    pub epochs: usize,
    /// The number of steps. A fit stopped within an epoch has taken more than those of its epochs.
    pub steps: u64,
    /// The epoch whose parameters the classifier has, counted from 1; 0 if none was completed. Without
    /// [patience](crate::Trainer::patience), a fit stopped within an epoch has also learned in the steps after it.
    pub best_epoch: usize,
    /// The loss of each epoch.
    pub losses: Vec<ClassifierLoss<T>>,
    /// The loss on the samples held out or [given](crate::ClassifierTrainer::validation), after each epoch. Empty if
    /// there are none.
    pub validation_losses: Vec<ClassifierLoss<T>>,
}

impl<T: Real> LogRow for ClassifierStep<'_, T> {
    fn kind(&self) -> &'static str {
        "classifier step"
    }

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.add("step", Some(self.number));
        cells.add("steps", Some(self.of));
        cells.add("epoch", Some(self.epoch));
        cells.add("samples", Some(self.samples));
        cells.add("loss", Some(self.loss.total()));
        cells.add("cross_entropy", Some(self.loss.cross_entropy));
        cells.add("weight_decay", Some(self.loss.weight_decay));
        cells.add("learning_rate", self.learning_rate);
    }
}

impl<T: Real> LogRow for ClassifierEpoch<'_, T> {
    fn kind(&self) -> &'static str {
        "classifier epoch"
    }

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.add("epoch", Some(self.number));
        cells.add("epochs", Some(self.of));
        cells.add("step", Some(self.steps));
        cells.add("samples", Some(self.samples));
        cells.add("loss", Some(self.loss.total()));
        cells.add("cross_entropy", Some(self.loss.cross_entropy));
        cells.add("weight_decay", Some(self.loss.weight_decay));
        cells.add("learning_rate", self.learning_rate);
        let validation = self.validation_loss;
        cells.add("validation_loss", validation.map(|loss| loss.total()));
        let cross_entropy = validation.map(|loss| loss.cross_entropy);
        cells.add("validation_cross_entropy", cross_entropy);
        let weight_decay = validation.map(|loss| loss.weight_decay);
        cells.add("validation_weight_decay", weight_decay);
    }
}

row_of_event!(ClassifierEvent);
