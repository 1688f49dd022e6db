use std::sync::Arc;

use crate::error::{Error, require, require_at_least_0};
use crate::penalty::{
    KlDivergence, L0, L1, Penalty, Proportion, Scaled, SquaredDeviation, TargetL0,
};
use crate::{Activation, Real};

/// The name and factors of a penalty, from which it can be built.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Description {
    /// `()`
    None,
    /// [`KlDivergence`]
    KlDivergence,
    /// [`L1`]
    L1,
    /// [`L0`]
    L0,
    /// [`TargetL0`]
    TargetL0,
    /// [`Proportion`]
    Proportion,
    /// [`SquaredDeviation`]
    SquaredDeviation,
    /// A pair of penalties.
    Sum(Box<Description>, Box<Description>),
    /// [`Scaled`], and its factor.
    Scaled(f64, Box<Description>),
    /// A penalty of another crate, and its `Debug` text.
    Custom(String),
}

/// Readers of JSON refuse texts of many more levels.
const MOST_WITHIN: usize = 32;

impl Description {
    /// Returns the default penalty of a hidden layer with this activation.
    pub(crate) fn suited_to(activation: Activation) -> Self {
        match activation {
            f if f.selects() => Self::None, // sparse by construction, or by a penalty on its thresholds
            f if f.range().is_some() => Self::KlDivergence,
            f if f.traits().vanishes => Self::SquaredDeviation, // at β = 1, L1 leaves no unit active
            _ => Self::None, // linear: no penalty makes its units inactive
        }
    }

    /// Builds the penalty. Returns `None` for one of another crate.
    #[must_use]
    pub fn penalty<T: Real>(&self) -> Option<Arc<dyn Penalty<T>>> {
        Some(match self {
            Self::None => Arc::new(()),
            Self::KlDivergence => Arc::new(KlDivergence),
            Self::L1 => Arc::new(L1),
            Self::L0 => Arc::new(L0),
            Self::TargetL0 => Arc::new(TargetL0),
            Self::Proportion => Arc::new(Proportion),
            Self::SquaredDeviation => Arc::new(SquaredDeviation),
            Self::Sum(a, b) => Arc::new((a.penalty()?, b.penalty()?)),
            Self::Scaled(factor, inner) => Arc::new(Scaled::new(*factor, inner.penalty()?)),
            Self::Custom(_) => return None,
        })
    }

    /// Returns whether this crate defines all parts of the penalty.
    #[cfg(feature = "files")]
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Sum(a, b) => a.is_known() && b.is_known(),
            Self::Scaled(_, inner) => inner.is_known(),
            Self::Custom(_) => false,
            _ => true,
        }
    }

    /// Returns whether the target of mean activations is a fraction of the range of the activation. `None` without such
    /// a target.
    pub(crate) fn target_is_of_range(&self) -> Option<bool> {
        match self {
            Self::KlDivergence => Some(true),
            Self::SquaredDeviation => Some(false),
            Self::Sum(a, b) => a.target_is_of_range().or_else(|| b.target_is_of_range()),
            Self::Scaled(factor, inner) if *factor > 0.0 => inner.target_is_of_range(),
            _ => None,
        }
    }

    /// Returns whether [`TargetL0`] is a part of the penalty.
    pub(crate) fn has_target_l0(&self) -> bool {
        match self {
            Self::TargetL0 => true,
            Self::Sum(a, b) => a.has_target_l0() || b.has_target_l0(),
            Self::Scaled(factor, inner) => *factor > 0.0 && inner.has_target_l0(),
            _ => false,
        }
    }

    /// Returns whether the gradient of the penalty has an entry for each activation. For a penalty of another
    /// crate, assumes so.
    pub(crate) fn is_per_activation(&self, signed: bool) -> bool {
        match self {
            Self::Proportion | Self::Custom(_) => true,
            Self::L1 => signed,
            Self::Sum(a, b) => a.is_per_activation(signed) || b.is_per_activation(signed),
            Self::Scaled(factor, inner) => *factor > 0.0 && inner.is_per_activation(signed),
            _ => false,
        }
    }

    /// Refuses factors outside their range, and more parts within each other than a file may have.
    pub(crate) fn check<T: Real>(&self) -> Result<(), Error> {
        let (depth, name) = (self.depth(), "penalties within each other");
        require(
            depth <= MOST_WITHIN,
            name,
            "at most 32",
            f64::of_count(depth),
        )?;
        self.check_factors::<T>()
    }

    fn depth(&self) -> usize {
        match self {
            Self::Sum(a, b) => 1 + a.depth().max(b.depth()),
            Self::Scaled(_, inner) => 1 + inner.depth(),
            _ => 1,
        }
    }

    fn check_factors<T: Real>(&self) -> Result<(), Error> {
        match self {
            Self::Sum(a, b) => a.check_factors::<T>().and_then(|()| b.check_factors::<T>()),
            Self::Scaled(factor, inner) => {
                require_at_least_0::<T>("factor of Scaled", *factor)?;
                match *factor > 0.0 {
                    true => inner.check_factors::<T>(),
                    false => Ok(()), // of an inner penalty that is not computed
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Description;

    /// As for activations: count a new penalty here, and add it to the list in `penalties.in`.
    #[test]
    fn every_penalty_is_among_the_variants_of_the_tests() {
        let mut counts = [0; 8];
        let mut left = include!("../../tests/common/penalties.in").to_vec();
        while let Some(description) = left.pop() {
            counts[match description {
                Description::None => 0,
                Description::KlDivergence => 1,
                Description::L1 => 2,
                Description::L0 => 3,
                Description::TargetL0 => 4,
                Description::Proportion => 5,
                Description::SquaredDeviation => 6,
                Description::Sum(a, b) => {
                    left.extend([*a, *b]);
                    continue;
                }
                Description::Scaled(_, inner) => {
                    left.push(*inner);
                    7
                }
                Description::Custom(_) => continue, // none of this crate
            }] += 1;
        }
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    }
}
