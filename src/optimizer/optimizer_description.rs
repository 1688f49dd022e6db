use std::any::type_name;

use super::{Adam, Lbfgs, Optimizer, Sgd};
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
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Description {
    /// [`Sgd`]
    #[non_exhaustive]
    Sgd {
        /// η
        learning_rate: f64,
        /// μ
        #[cfg_attr(feature = "serde", serde(default))]
        momentum: f64,
        /// Whether the step looks ahead along the velocity.
        #[cfg_attr(feature = "serde", serde(default))]
        nesterov: bool,
    },
    /// [`Adam`]
    #[non_exhaustive]
    Adam {
        /// η
        learning_rate: f64,
        /// β₁
        #[cfg_attr(feature = "serde", serde(default = "default::beta1"))]
        beta1: f64,
        /// β₂
        #[cfg_attr(feature = "serde", serde(default = "default::beta2"))]
        beta2: f64,
        /// ε
        #[cfg_attr(feature = "serde", serde(default = "default::epsilon"))]
        epsilon: f64,
        /// w
        #[cfg_attr(feature = "serde", serde(default))]
        weight_decay: f64,
    },
    /// [`Lbfgs`]
    #[non_exhaustive]
    Lbfgs {
        /// The number of pairs of changes that are kept.
        #[cfg_attr(feature = "serde", serde(default = "default::history"))]
        history: usize,
        /// The largest element of an optimal gradient.
        #[cfg_attr(feature = "serde", serde(default = "default::tolerance"))]
        tolerance: f64,
        /// The least worthwhile decrease; `None` for the default of the scalar.
        #[cfg_attr(
            feature = "serde",
            serde(default, skip_serializing_if = "Option::is_none")
        )]
        relative_change: Option<f64>,
    },
    /// An optimizer of another crate, by the name of its type.
    Custom(String),
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
