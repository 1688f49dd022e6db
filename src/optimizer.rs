//! Optimizers: update rules over one flat vector of parameters.

mod adam;
mod lbfgs;
mod learning_rate;
mod schedule;
mod sgd;
mod state;

pub use adam::Adam;
pub use lbfgs::Lbfgs;
pub use schedule::Schedule;
pub use sgd::Sgd;
pub(crate) use state::Entry;
pub use state::State;

use std::fmt;
use std::ops::Range;

use crate::{Error, Real};

/// The objective as an optimizer sees it: given θ, it writes ∂J/∂θ over the gradient and returns J.
///
/// A value that is not finite says that there is nothing to be learned at θ, and the gradient is
/// then meaningless.
pub type Objective<'a, T> = dyn FnMut(&[T], &mut [T]) -> T + 'a;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Step<T> {
    /// The objective that the step reports: at the parameters it started from for first-order
    /// methods, at the accepted point for a line search. Not finite when the step was refused.
    pub loss: T,
    /// Whether the optimizer sees no way to improve any more.
    pub converged: bool,
}

impl<T> Step<T> {
    /// A step that moved the parameters.
    pub const fn moved(loss: T) -> Self {
        Self {
            loss,
            converged: false,
        }
    }

    /// A step that found the parameters optimal, to the optimizer's tolerance.
    pub const fn converged(loss: T) -> Self {
        Self {
            loss,
            converged: true,
        }
    }
}

/// An update rule over one flat vector of parameters.
///
/// Object-safe, and open: implement it for your own rule. Because the objective is passed in, one
/// trait serves methods that call it once a step ([`Sgd`], [`Adam`]) and those whose line search
/// calls it as often as it must ([`Lbfgs`]).
pub trait Optimizer<T: Real>: fmt::Debug + Send {
    /// Forgets all state and prepares for `len` parameters.
    fn reset(&mut self, len: usize);

    /// Takes one step from `theta`.
    ///
    /// If the objective at the start is not finite, `theta` must be left as it is, and the step
    /// must return that value.
    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T>;

    /// Multiplies the learning rate that was set at construction, for this step and those that
    /// follow. Schedules come this way.
    ///
    /// # Errors
    ///
    /// The default is [`Error::Incompatible`]: a method without a learning rate must not ignore a
    /// schedule silently.
    fn scale_learning_rate(&mut self, factor: T) -> Result<(), Error> {
        let _ = factor;
        Err(Error::Incompatible {
            what: "a learning-rate schedule",
            other: "an optimizer without a learning rate",
        })
    }

    /// Forgets what is remembered of some parameters, which have been replaced by others. The default
    /// does nothing, as is right for a method that remembers nothing.
    fn forget(&mut self, parameters: Range<usize>) {
        let _ = parameters;
    }

    /// Limits the threads that the steps to come may use beside those of the objective; 0 and 1
    /// both mean one. The number must not change a bit of the result. The default ignores it.
    fn limit_threads(&mut self, threads: usize) {
        let _ = threads;
    }

    /// What a checkpoint must keep for the steps to come to be the same, bit for bit.
    ///
    /// # Errors
    ///
    /// The default is [`Error::Incompatible`], which names the type: a state that is not kept must
    /// not be lost silently.
    fn state(&self) -> Result<State<'_, T>, Error> {
        Err(not_kept::<Self>())
    }

    /// Puts an optimizer of the same settings into a [`state`](Self::state), for `len` parameters.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for a state that cannot be; the optimizer must then be as it was. The
    /// default is [`Error::Incompatible`].
    fn restore(&mut self, len: usize, state: State<'_, T>) -> Result<(), Error> {
        let _ = (len, state);
        Err(not_kept::<Self>())
    }

    /// Whether every step must see the same, whole set of samples. The default is `false`.
    fn needs_full_batch(&self) -> bool {
        false
    }
}

/// So that an optimizer can be chosen at run time.
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

    fn forget(&mut self, parameters: Range<usize>) {
        (**self).forget(parameters);
    }

    fn limit_threads(&mut self, threads: usize) {
        (**self).limit_threads(threads);
    }

    fn state(&self) -> Result<State<'_, T>, Error> {
        (**self).state()
    }

    fn restore(&mut self, len: usize, state: State<'_, T>) -> Result<(), Error> {
        (**self).restore(len, state)
    }

    fn needs_full_batch(&self) -> bool {
        (**self).needs_full_batch()
    }
}

fn not_kept<O: ?Sized>() -> Error {
    Error::Incompatible {
        what: "a checkpoint",
        other: std::any::type_name::<O>(),
    }
}

/// The finite number nearest to `value`; NaN stays NaN.
///
/// An update may overflow although the gradient is finite. An infinity that reached θ, a velocity,
/// or a moment would stay there for good or turn into NaN, whereas the largest number is one that
/// later steps can leave again.
#[inline(always)]
fn saturate<T: Real>(value: T) -> T {
    let largest = T::max_value().unwrap_or(value);
    let bounded = if value > largest { largest } else { value };
    if bounded < -largest {
        -largest
    } else {
        bounded
    }
}
