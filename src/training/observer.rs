//! What an observer of a fit sees, and what it answers.

use std::ops::ControlFlow;

use super::{Epoch, SetPointState};
use crate::objective::Loss;
use crate::{Error, Real, SparseAutoencoder};

/// A step of training, as an observer sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Step<'a, T> {
    /// The number of steps of the fit so far, this one included, also before it was resumed.
    pub number: u64,
    /// The number of steps of all epochs. A fit that stops early takes fewer.
    pub of: u64,
    /// The epoch of the step, counted from 1.
    pub epoch: usize,
    /// The number of samples in all steps so far, over all processes. A sample counts once per epoch.
    pub samples: u64,
    /// The loss of the batch before the step. [`Lbfgs`](crate::Lbfgs) gives the loss after it.
    pub loss: Loss<T>,
    /// The mean number of active units per sample (L0) of the innermost layer, in the batch. `None` for units
    /// that are never exactly 0.
    pub l0: Option<f64>,
    /// The explained variance in the batch: see [`Epoch::explained_variance`].
    pub explained_variance: Option<f64>,
    /// The number of dead units: see [`Epoch::dead_units`]. By default 0 until an epoch has passed.
    pub dead_units: Option<usize>,
    /// The learning rate of the step, with the factor of the [schedule](crate::Trainer::schedule). `None` for
    /// an optimizer [without one](crate::Optimizer::learning_rate).
    pub learning_rate: Option<f64>,
    /// The penalty weight β of the innermost layer in the step, moved by a
    /// [warm-up](crate::Trainer::sparsity_warm_up) or a [set point](crate::Trainer::set_point).
    pub penalty_weight: T,
    /// The state of the controller after the step, if [`Trainer::set_point`](crate::Trainer::set_point) is
    /// set.
    pub set_point: Option<SetPointState<T>>,
    /// The model after the step.
    pub model: &'a SparseAutoencoder<T>,
}

/// What an observer of steps sees: each step, and after the last one of an epoch the epoch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a, T> {
    /// After a step.
    Step(Step<'a, T>),
    /// After an epoch and its validation.
    Epoch(Epoch<'a, T>),
}

/// What an observer returns: whether the fit continues, stops, or fails.
///
/// | value | the fit |
/// |---|---|
/// | `()`, `ControlFlow::Continue(())` | continues |
/// | `ControlFlow::Break(())` | stops, and returns its report |
/// | `Ok(value)` | does what `value` says |
/// | `Err(error)` | fails with the error |
///
/// ```
/// use std::ops::ControlFlow;
/// use sparse_autoencoder::{Adam, SparseAutoencoder, Trainer, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_fn(6, 120, |i, j| ((i + j) % 6) as f64 / 5.0);
/// let mut sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(20);
///
/// let mut losses = Vec::new();
/// let report = trainer.fit_with(&mut sae, &samples, |epoch| losses.push(epoch.loss))?;
/// assert_eq!(report.losses, losses);
///
/// let report = trainer.fit_with(&mut sae, &samples, |_| ControlFlow::Break(()))?;
/// assert_eq!(report.epochs, 1);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "an observer cannot return `{Self}`",
    note = "return `()`, a `ControlFlow<()>`, or a `Result` of either with `sparse_autoencoder::Error`"
)]
pub trait Verdict {
    /// Returns whether the fit continues.
    ///
    /// # Errors
    ///
    /// The error with which the fit fails.
    fn verdict(self) -> Result<ControlFlow<()>, Error>;
}

impl Verdict for () {
    fn verdict(self) -> Result<ControlFlow<()>, Error> {
        Ok(ControlFlow::Continue(()))
    }
}

impl Verdict for ControlFlow<()> {
    fn verdict(self) -> Result<ControlFlow<()>, Error> {
        Ok(self)
    }
}

impl<V: Verdict> Verdict for Result<V, Error> {
    fn verdict(self) -> Result<ControlFlow<()>, Error> {
        self?.verdict()
    }
}

/// The observer of a fit, as the loop calls it.
pub(crate) type Observer<'a, T> = dyn FnMut(&Event<'_, T>) -> Result<ControlFlow<()>, Error> + 'a;

/// Returns an observer of events that shows epochs to `observer`, and no steps: those that a fit reports for
/// another process.
pub(crate) fn of_epochs<T: Real, V: Verdict>(
    mut observer: impl FnMut(&Epoch<'_, T>) -> V,
) -> impl FnMut(&Event<'_, T>) -> Result<ControlFlow<()>, Error> {
    move |event| match event {
        Event::Step(_) => ().verdict(),
        Event::Epoch(epoch) => observer(epoch).verdict(),
    }
}
