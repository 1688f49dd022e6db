use std::any::type_name;

use super::{Adam, Lbfgs, Optimizer, Sgd};
#[cfg(feature = "serde")]
use crate::by_name::Choice;
use crate::{Error, Real};

/// The name and settings of an optimizer, from which it can be built.
///
/// With the feature `serde` it is part of a file that describes a run. Missing settings have the
/// defaults of the optimizer.
///
/// ```
/// use sparse_autoencoder::optimizer::Description;
/// use sparse_autoencoder::{Adam, Optimizer, Trainer};
///
/// let adam = Adam::<f32>::new(1e-3)?.betas(0.9, 0.99)?;
/// let description = adam.description();
/// let trainer: Trainer<f32> = Trainer::new(description.optimizer()?);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same tables and keys as this JSON. All settings but `learning_rate` are
optional. An optimizer that needs none, `lbfgs`, may be its name alone.

```
use sparse_autoencoder::optimizer::Description;
use sparse_autoencoder::{Adam, Lbfgs, Optimizer, Sgd};

let json = r#"[
    {"sgd": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": true}},
    {"adam": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": 0.01}},
    {"lbfgs": {"history": 5, "tolerance": 1e-6, "relative_change": 1e-9}},
    "lbfgs"
]"#;
let descriptions: Vec<Description> = serde_json::from_str(json).unwrap();
let sgd = Sgd::<f64>::new(0.1)?.momentum(0.9)?.nesterov();
assert_eq!(descriptions[0], sgd.description());
let adam = Adam::<f64>::new(1e-3)?.betas(0.9, 0.99)?.weight_decay(0.01)?;
assert_eq!(descriptions[1], adam.description());
# Ok::<(), sparse_autoencoder::Error>(())
```
"##
)]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(rename_all = "snake_case", from = "Choice<Written>")
)]
#[non_exhaustive]
pub enum Description {
    /// [`Sgd`]
    #[non_exhaustive]
    Sgd {
        /// η
        learning_rate: f64,
        /// μ
        momentum: f64,
        /// Whether the step looks ahead along the velocity.
        nesterov: bool,
    },
    /// [`Adam`]
    #[non_exhaustive]
    Adam {
        /// η
        learning_rate: f64,
        /// β₁
        beta1: f64,
        /// β₂
        beta2: f64,
        /// ε
        epsilon: f64,
        /// w
        weight_decay: f64,
    },
    /// [`Lbfgs`]
    #[non_exhaustive]
    Lbfgs {
        /// The number of pairs of changes that are kept.
        history: usize,
        /// The largest element of an optimal gradient.
        tolerance: f64,
        /// The least worthwhile decrease; `None` for the default of the scalar.
        #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
        relative_change: Option<f64>,
    },
    /// An optimizer of another crate, by the name of its type.
    Custom(String),
}

/// Reads a [`Description`] with the defaults of what is missing.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(remote = "Description", rename_all = "snake_case", deny_unknown_fields)]
enum Table {
    Sgd {
        learning_rate: f64,
        #[serde(default)]
        momentum: f64,
        #[serde(default)]
        nesterov: bool,
    },
    Adam {
        learning_rate: f64,
        #[serde(default = "default::beta1")]
        beta1: f64,
        #[serde(default = "default::beta2")]
        beta2: f64,
        #[serde(default = "default::epsilon")]
        epsilon: f64,
        #[serde(default)]
        weight_decay: f64,
    },
    Lbfgs {
        #[serde(default = "default::history")]
        history: usize,
        #[serde(default = "default::tolerance")]
        tolerance: f64,
        #[serde(default)]
        relative_change: Option<f64>,
    },
    Custom(String),
}

#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Written(#[serde(with = "Table")] Description);

#[cfg(feature = "serde")]
impl From<Choice<Written>> for Description {
    fn from(Choice(Written(description)): Choice<Written>) -> Self {
        description
    }
}

/// The defaults of the optimizers.
pub(super) mod default {
    pub(in super::super) const fn beta1() -> f64 {
        0.9
    }

    pub(in super::super) const fn beta2() -> f64 {
        0.999
    }

    pub(in super::super) const fn epsilon() -> f64 {
        1e-8
    }

    pub(in super::super) const fn history() -> usize {
        10
    }

    pub(in super::super) const fn tolerance() -> f64 {
        1e-5
    }
}

impl Description {
    /// Builds the optimizer.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for settings that the optimizer refuses;
    /// [`Error::Incompatible`] for an optimizer of another crate.
    pub fn optimizer<T: Real>(&self) -> Result<Box<dyn Optimizer<T>>, Error> {
        Ok(match *self {
            Self::Sgd {
                learning_rate,
                momentum,
                nesterov,
            } => {
                let sgd = Sgd::new(learning_rate)?.momentum(momentum)?;
                Box::new(if nesterov { sgd.nesterov() } else { sgd })
            }
            Self::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => Box::new(
                Adam::new(learning_rate)?
                    .betas(beta1, beta2)?
                    .epsilon(epsilon)?
                    .weight_decay(weight_decay)?,
            ),
            Self::Lbfgs {
                history,
                tolerance,
                relative_change,
            } => {
                let lbfgs = Lbfgs::new().history(history)?.tolerance(tolerance)?;
                Box::new(match relative_change {
                    Some(change) => lbfgs.relative_change(change)?,
                    None => lbfgs,
                })
            }
            Self::Custom(_) => {
                return Err(Error::Incompatible {
                    what: "an optimizer of another crate",
                    other: "settings alone: give it to `Trainer::new`",
                });
            }
        })
    }

    /// Returns the description of an optimizer that does not describe itself.
    pub(super) fn custom<O: ?Sized>() -> Self {
        Self::Custom(type_name::<O>().to_owned())
    }
}
