//! The reports of an epoch and of a fit.

use super::{SetPointState, Warning};
use crate::SparseAutoencoder;
use crate::objective::Loss;

/// An epoch of training, as an observer sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Epoch<'a, T> {
    /// Counted from 1.
    pub number: usize,
    /// The mean loss over the batches of the epoch, each before its step.
    pub loss: Loss<T>,
    /// The loss on the samples held out, after the epoch and without corruption.
    pub validation: Option<Loss<T>>,
    /// The number of dead units, if [`Trainer::dead_units`](crate::Trainer::dead_units) is set.
    pub dead_units: Option<usize>,
    /// The state of the controller, if [`Trainer::set_point`](crate::Trainer::set_point) is set.
    pub set_point: Option<SetPointState<T>>,
    /// The model after the epoch.
    pub model: &'a SparseAutoencoder<T>,
}

/// Why training stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs were run.
    EpochLimit,
    /// The optimizer found no way to improve.
    Converged,
    /// The loss did not improve for as many epochs as [`Trainer::patience`](crate::Trainer::patience)
    /// allows.
    NoImprovement,
    /// The observer stopped it.
    Observer,
}

/// The report of a training.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report<T> {
    /// Why training stopped.
    pub stop: StopReason,
    /// The number of epochs.
    pub epochs: usize,
    /// The epoch, counted from 1, whose parameters the model has.
    pub best_epoch: usize,
    /// The loss of each epoch.
    pub history: Vec<Loss<T>>,
    /// The loss on the samples held out, after each epoch. Empty without a validation split.
    pub validation: Vec<Loss<T>>,
    /// The number of dead units after each epoch. Empty unless
    /// [`Trainer::dead_units`](crate::Trainer::dead_units) is set.
    pub dead_units: Vec<usize>,
    /// The state of the controller, if [`Trainer::set_point`](crate::Trainer::set_point) is set.
    pub set_point: Option<SetPointState<T>>,
    /// Reasons why the model may be useless although training succeeded. To find them, the fit reads some
    /// samples again. Empty for [several processes](crate::AllReduce).
    #[cfg_attr(feature = "serde", serde(default = "Vec::new"))]
    pub warnings: Vec<Warning>,
}
