//! Optimizers: update rules over one flat vector of parameters.
//!
//! The crate's own optimizers ([`Sgd`], [`Adam`], [`Lbfgs`]), the [`Schedule`] of their learning rate,
//! the trait [`Optimizer`] to write another, and the [`State`] that checkpoints store. An
//! optimizer does not know the model: it sees parameters and an [`Objective`] to evaluate.

mod adam;
mod lbfgs;
mod learning_rate;
mod optimizer_description;
mod schedule;
mod sgd;
mod state;

pub use adam::Adam;
pub use lbfgs::Lbfgs;
pub use optimizer_description::Description;
pub use schedule::Schedule;
pub use sgd::Sgd;
pub(crate) use state::Entry;
pub use state::State;

use std::fmt;
use std::ops::Range;

use crate::{Error, Real};

/// The objective as an optimizer sees it: called with θ and a buffer, it writes ∂J/∂θ into the buffer
/// and returns J.
///
/// If the value is not finite, the gradient is meaningless.
pub type Objective<'a, T> = dyn FnMut(&[T], &mut [T]) -> T + 'a;

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Step<T> {
    /// The value of the objective, not finite if the step was refused.
    ///
    /// First-order methods report the value before the step, a line search the value after it.
    pub loss: T,
    /// Whether the optimizer cannot improve the parameters further.
    pub converged: bool,
}

impl<T> Step<T> {
    /// Returns the result of a step that moved the parameters.
    pub const fn moved(loss: T) -> Self {
        Self {
            loss,
            converged: false,
        }
    }

    /// Returns the result of a step that found the parameters optimal, to the optimizer's tolerance.
    pub const fn converged(loss: T) -> Self {
        Self {
            loss,
            converged: true,
        }
    }
}

/// An update rule over one flat vector of parameters.
///
/// The trait is object-safe and open: implement it for a rule of your own ([`State`] has an example).
/// A step receives the objective as a function. [`Sgd`] and [`Adam`] call it once per step, the line
/// search of [`Lbfgs`] several times.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an optimizer of parameters of `{T}`",
    label = "not an optimizer of parameters of `{T}`",
    note = "pass an optimizer such as `Adam::new(1e-3)?`; its constructor returns a `Result`, so `?` is needed"
)]
pub trait Optimizer<T: Real>: fmt::Debug + Send {
    /// Clears all state and prepares for `len` parameters.
    fn reset(&mut self, len: usize);

    /// Takes one step from `theta`.
    ///
    /// If the objective at `theta` is not finite, the step must return that value and leave `theta`
    /// unchanged. A step must leave `theta` finite, also where an update overflows: the trainer does not check after
    /// the last step.
    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T>;

    /// Sets the factor of the learning rate for the next steps.
    ///
    /// The trainer calls this before every step of a [`Schedule`]. Each call replaces the last factor,
    /// which multiplies the rate set at construction.
    ///
    /// # Errors
    ///
    /// The default returns [`Error::Incompatible`], so that a method without a learning rate does not
    /// silently ignore a schedule.
    fn scale_learning_rate(&mut self, factor: T) -> Result<(), Error> {
        let _ = factor;
        Err(Error::Incompatible {
            what: "a learning-rate schedule",
            other: "an optimizer without a learning rate",
        })
    }

    /// Returns the learning rate of the next step, with the factor of a schedule, for reports. The default is
    /// `None`, for a method without a learning rate.
    fn learning_rate(&self) -> Option<f64> {
        None
    }

    /// Clears the state of the given parameters, whose values have been replaced.
    ///
    /// The default does nothing, which is correct for a method without state.
    fn forget(&mut self, parameters: Range<usize>) {
        let _ = parameters;
    }

    /// Sets the maximum number of threads for the updates of the next steps. 0 and 1 both mean a
    /// single thread.
    ///
    /// The number must not change a bit of the result. The default ignores it.
    fn limit_threads(&mut self, threads: usize) {
        let _ = threads;
    }

    /// Returns the number of scalars that it holds for `len` parameters: its state and the gradient.
    ///
    /// [`Trainer::memory`](crate::Trainer::memory) adds it. The default is the gradient alone.
    fn memory(&self, len: usize) -> usize {
        len
    }

    /// Returns the state that a checkpoint must store for the next steps to give the same bits.
    ///
    /// # Errors
    ///
    /// The default returns [`Error::Incompatible`] with the name of the type, so that no state is
    /// silently lost.
    fn state(&self) -> Result<State<'_, T>, Error> {
        Err(not_kept::<Self>())
    }

    /// Restores a [`state`](Self::state) of an optimizer with the same settings, for `len` parameters.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for an invalid state; the optimizer is then unchanged. The default returns
    /// [`Error::Incompatible`].
    fn restore(&mut self, len: usize, state: State<'_, T>) -> Result<(), Error> {
        let _ = (len, state);
        Err(not_kept::<Self>())
    }

    /// Returns the description in settings, from which the optimizer can be built. The default names the
    /// type.
    fn description(&self) -> Description {
        Description::custom::<Self>()
    }

    /// Returns whether every step needs the full batch of all samples. The default is `false`.
    fn needs_full_batch(&self) -> bool {
        false
    }
}

/// Allows choosing an optimizer at run time.
#[warn(clippy::missing_trait_methods)]
impl<T: Real, O: Optimizer<T> + ?Sized> Optimizer<T> for Box<O> {
    fn reset(&mut self, len: usize) {
        (**self).reset(len);
    }

    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        (**self).step(theta, objective)
    }

    fn scale_learning_rate(&mut self, factor: T) -> Result<(), Error> {
        (**self).scale_learning_rate(factor)
    }

    fn learning_rate(&self) -> Option<f64> {
        (**self).learning_rate()
    }

    fn forget(&mut self, parameters: Range<usize>) {
        (**self).forget(parameters);
    }

    fn limit_threads(&mut self, threads: usize) {
        (**self).limit_threads(threads);
    }

    fn memory(&self, len: usize) -> usize {
        (**self).memory(len)
    }

    fn state(&self) -> Result<State<'_, T>, Error> {
        (**self).state()
    }

    fn restore(&mut self, len: usize, state: State<'_, T>) -> Result<(), Error> {
        (**self).restore(len, state)
    }

    fn description(&self) -> Description {
        (**self).description()
    }

    fn needs_full_batch(&self) -> bool {
        (**self).needs_full_batch()
    }
}

fn not_kept<O: ?Sized>() -> Error {
    Error::Incompatible {
        what: "a checkpoint, which needs `Optimizer::state` and `restore`,",
        other: std::any::type_name::<O>(),
    }
}

/// Returns the finite number nearest to `value`; NaN stays NaN.
///
/// An update can overflow although the gradient is finite. An infinity in θ, a velocity, or a moment
/// would stay or become NaN; later steps can leave the largest finite number again.
#[inline(always)]
pub(crate) fn saturate<T: Real>(value: T) -> T {
    let largest = T::max_value().unwrap_or(value);
    let bounded = if value > largest { largest } else { value };
    if bounded < -largest {
        -largest
    } else {
        bounded
    }
}
