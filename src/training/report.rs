//! What training tells: of an epoch, and of the whole.

use super::{SetPointState, Warning};
use crate::SparseAutoencoder;
use crate::objective::Loss;

/// What an observer is shown after each epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Epoch<'a, T> {
    /// Counted from 1.
    pub number: usize,
    /// The mean over the batches of the epoch, each at the parameters it was met with.
    pub loss: Loss<T>,
    /// The loss on the samples held out, after the epoch; without corruption.
    pub validation: Option<Loss<T>>,
    /// The number of dead units, where [`Trainer::dead_units`](crate::Trainer::dead_units) has them counted.
    pub dead_units: Option<usize>,
    /// Where the controller has got to, where there is a [`Trainer::set_point`](crate::Trainer::set_point).
    pub set_point: Option<SetPointState<T>>,
    /// The model as it is now.
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
    /// The loss had not improved for as many epochs as [`Trainer::patience`](crate::Trainer::patience) allows.
    NoImprovement,
    /// The observer said so.
    Observer,
}

/// How training went.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report<T> {
    /// Why it stopped.
    pub stop: StopReason,
    /// The number of epochs that were run.
    pub epochs: usize,
    /// The epoch, counted from 1, whose parameters the model has.
    pub best_epoch: usize,
    /// The loss of each epoch.
    pub history: Vec<Loss<T>>,
    /// The loss on the samples held out, after each epoch; empty without a validation split.
    pub validation: Vec<Loss<T>>,
    /// The number of dead units after each epoch; empty unless [`Trainer::dead_units`](crate::Trainer::dead_units) has them
    /// counted.
    pub dead_units: Vec<usize>,
    /// Where the controller has got to, where there is a [`Trainer::set_point`](crate::Trainer::set_point).
    pub set_point: Option<SetPointState<T>>,
    /// Why the model may be of no use although the training succeeded. Empty where
    /// [several processes](crate::AllReduce) train. Some of the samples are read once more for it.
    #[cfg_attr(feature = "serde", serde(default = "Vec::new"))]
    pub warnings: Vec<Warning>,
}
