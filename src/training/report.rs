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
    /// The number of epochs of the fit. A fit that stops early runs fewer.
    pub of: usize,
    /// The number of steps of the fit so far.
    pub steps: u64,
    /// The number of samples in all steps so far, over all processes. A sample counts once per epoch.
    pub samples: u64,
    /// The mean loss over the batches of the epoch, each before its step.
    pub loss: Loss<T>,
    /// The loss on the samples held out, after the epoch and without corruption.
    pub validation_loss: Option<Loss<T>>,
    /// The mean number of active units per sample (L0) of the innermost layer, in the batches of the epoch.
    /// `None` for units that are never exactly 0. A gated unit is active while its gate is open and its magnitude is
    /// above 0.
    pub l0: Option<f64>,
    /// The explained variance in the batches of the epoch: 1 − reconstruction loss / loss of the mean sample.
    ///
    /// At most 1, and about 0 for a model no better than the mean. Matryoshka models reconstruct with all
    /// units. The variance comes from all samples, or from some with 2²⁵ entries. `None` for cross-entropy, and if the
    /// samples have no variance or cannot be read twice.
    pub explained_variance: Option<f64>,
    /// L0 on the samples held out, after the epoch. Usually above [`l0`](Self::l0) for
    /// [`JumpRelu`](crate::Activation::JumpRelu). [`BatchTopK`](crate::Activation::BatchTopK) selects among all of
    /// them.
    pub validation_l0: Option<f64>,
    /// The explained variance of the samples held out, relative to their own variance. `None` for one sample.
    pub validation_explained_variance: Option<f64>,
    /// The number of dead units: inactive for an epoch, or as long as
    /// [`Trainer::dead_units`](crate::Trainer::dead_units) says. `None` for units that are never exactly 0.
    pub dead_units: Option<usize>,
    /// The learning rate of the last step: see [`Step::learning_rate`](super::Step::learning_rate).
    pub learning_rate: Option<f64>,
    /// The penalty weight β of the innermost layer in the last step: see
    /// [`Step::penalty_weight`](super::Step::penalty_weight).
    pub penalty_weight: T,
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
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Activation, Adam, SparseAutoencoder, Trainer};
///
/// let samples = DMatrix::from_fn(6, 200, |i, j| ((i * 7 + j * j) % 11) as f64 / 11.0);
/// let mut sae = SparseAutoencoder::builder()
///     .layers([6, 48])
///     .hidden_activation(Activation::TopK(3))
///     .output_activation(Activation::Identity)
///     .build()?;
/// let report = Trainer::new(Adam::new(1e-2)?).epochs(40).fit(&mut sae, &samples)?;
/// assert!(report.l0[39] <= 3.0 && report.explained_variance[39] > 0.5);
/// println!("{} of 48 units are dead", report.dead_units[39]);
/// report.warnings.iter().for_each(|warning| eprintln!("{warning}"));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report<T> {
    /// Why training stopped.
    pub stop: StopReason,
    /// The number of completed epochs.
    pub epochs: usize,
    /// The number of steps. Includes those of an unfinished last epoch.
    pub steps: u64,
    /// The epoch whose parameters the model has, counted from 1; 0 if none was completed. Without
    /// [patience](crate::Trainer::patience), a fit stopped within an epoch has also learned in the steps after it.
    pub best_epoch: usize,
    /// The loss of each epoch.
    pub losses: Vec<Loss<T>>,
    /// The loss on the samples held out, or [given](crate::Trainer::validation), after each epoch. Empty if there are
    /// none.
    pub validation_losses: Vec<Loss<T>>,
    /// The mean number of active units (L0) in each epoch: see [`Epoch::l0`]. Empty for units that are never
    /// exactly 0.
    pub l0: Vec<f64>,
    /// The explained variance in each epoch: see [`Epoch::explained_variance`]. Empty if it is unknown.
    pub explained_variance: Vec<f64>,
    /// L0 on the samples held out, after each epoch: see [`Epoch::validation_l0`].
    pub validation_l0: Vec<f64>,
    /// The explained variance of the samples held out, after each epoch.
    pub validation_explained_variance: Vec<f64>,
    /// The number of dead units after each epoch: see [`Epoch::dead_units`]. Empty for units that are never exactly 0.
    pub dead_units: Vec<usize>,
    /// The state of the controller, if [`Trainer::set_point`](crate::Trainer::set_point) is set.
    pub set_point: Option<SetPointState<T>>,
    /// Reasons why the model may be useless although training succeeded. To find them, the fit reads some
    /// samples twice.
    pub warnings: Vec<Warning>,
}
