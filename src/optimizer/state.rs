//! The state of an optimizer, as a checkpoint stores it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{Error, Real};

/// The state of an optimizer for a checkpoint: settings, named numbers, and named vectors.
///
/// [`Optimizer::state`](super::Optimizer::state) builds one that borrows the vectors, and
/// [`Optimizer::restore`](super::Optimizer::restore) takes the entries out again. *Settings* are the
/// arguments with which the optimizer was built. Resuming compares them instead of restoring them,
/// because a program builds its optimizer before it resumes.
///
/// ```
/// use sparse_autoencoder::optimizer::{Objective, Optimizer, State, Step};
/// use sparse_autoencoder::{Error, Real};
///
/// /// Gradient descent whose rate falls as 1/√t.
/// #[derive(Debug)]
/// struct Robbins {
///     rate: f64,
///     steps: f64,
/// }
///
/// impl<T: Real> Optimizer<T> for Robbins {
///     fn reset(&mut self, _: usize) {
///         self.steps = 0.0;
///     }
///
///     fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
///         let mut gradient = vec![T::zero(); theta.len()];
///         let loss = objective(theta, &mut gradient);
///         if loss.is_finite() {
///             self.steps += 1.0;
///             let rate = T::of(self.rate / self.steps.sqrt());
///             theta.iter_mut().zip(&gradient).for_each(|(x, &g)| if (*x - rate * g).is_finite() { *x -= rate * g });
///         }
///         Step::moved(loss)
///     }
///
///     fn state(&self) -> Result<State<'_, T>, Error> {
///         Ok(State::new("Robbins").setting("rate", self.rate).number("steps", self.steps))
///     }
///
///     fn restore(&mut self, _: usize, mut state: State<'_, T>) -> Result<(), Error> {
///         self.steps = state.take_number("steps")?;
///         Ok(())
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct State<'a, T: Real> {
    pub(crate) optimizer: String,
    pub(crate) settings: BTreeMap<String, f64>,
    pub(crate) entries: BTreeMap<String, Entry<'a, T>>,
    /// The file from which the state was read, if any.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry<'a, T: Real> {
    Number(f64),
    Vector(Cow<'a, [T]>),
}

impl<'a, T: Real> State<'a, T> {
    /// Creates an empty state of the optimizer with this name, which must be unique.
    pub fn new(optimizer: &str) -> Self {
        Self {
            optimizer: optimizer.to_owned(),
            settings: BTreeMap::new(),
            entries: BTreeMap::new(),
            path: None,
        }
    }

    /// Adds a setting, which must have the same value when the state is restored.
    pub fn setting(mut self, name: &str, value: f64) -> Self {
        self.settings.insert(name.to_owned(), value);
        self
    }

    /// Adds a number, replacing any entry of the same name.
    pub fn number(mut self, name: &str, value: f64) -> Self {
        self.entries.insert(name.to_owned(), Entry::Number(value));
        self
    }

    /// Adds a vector, replacing any entry of the same name.
    pub fn vector(mut self, name: &str, values: &'a [T]) -> Self {
        let values = Entry::Vector(Cow::Borrowed(values));
        self.entries.insert(name.to_owned(), values);
        self
    }

    /// Returns whether an entry of this name is left to take.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Takes out the number of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is missing.
    pub fn take_number(&mut self, name: &str) -> Result<f64, Error> {
        match self.entries.remove(name) {
            Some(Entry::Number(value)) => Ok(value),
            _ => Err(self.malformed(format!("the number {name} is missing"))),
        }
    }

    /// Takes out the vector of this name, which must have `len` entries.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is missing or has another length.
    pub fn take_vector(&mut self, name: &str, len: usize) -> Result<Vec<T>, Error> {
        match self.entries.remove(name) {
            Some(Entry::Vector(values)) if values.len() == len => Ok(values.into_owned()),
            Some(Entry::Vector(values)) => Err(self.malformed(format!(
                "{name} must have {len} entries, has {}",
                values.len()
            ))),
            _ => Err(self.malformed(format!("the vector {name} is missing"))),
        }
    }

    /// Takes out a vector as [`take_vector`](Self::take_vector) does, and refuses NaN and infinities.
    pub(super) fn take_finite(&mut self, name: &str, len: usize) -> Result<Vec<T>, Error> {
        let values = self.take_vector(name, len)?;
        self.require(crate::linalg::all_finite(&values), name, "finite")?;
        Ok(values)
    }

    /// Refuses the entry `name` unless `accepted`.
    pub(super) fn require(
        &self,
        accepted: bool,
        name: &str,
        requirement: &str,
    ) -> Result<(), Error> {
        if accepted {
            Ok(())
        } else {
            Err(self.malformed(format!("{name} must be {requirement}")))
        }
    }

    fn malformed(&self, reason: String) -> Error {
        let optimizer = &self.optimizer;
        Error::Malformed {
            path: self.path.clone().unwrap_or_default(),
            reason: format!("the state of {optimizer}: {reason}"),
        }
    }
}
