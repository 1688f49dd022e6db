//! TopK: the largest pre-activations of each sample.
//!
//! ```text
//! hⱼᵢ = max(zⱼᵢ, 0) if it is among the k largest of sample i, else 0
//! ```
//!
//! Makhzani & Frey (2013), *k-Sparse Autoencoders*. The positive part is from Gao et al. (2024), *Scaling and
//! Evaluating Sparse Autoencoders*.

use super::elementwise::{Function, Relu};
use super::{AdjustableK, PerSample, check_count, check_proportion, proportion_of};
use crate::linalg::activate_column;
use crate::sparse::{keep_top_k, top_k};
use crate::{Activation, Error, Real};

/// Units that keep a number or a proportion of the activations of each sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum TopK {
    Number(usize),
    Proportion(f64),
}

impl TopK {
    /// Returns k for a layer of `units` units.
    fn of(self, units: usize) -> usize {
        match self {
            Self::Number(k) => k,
            Self::Proportion(p) => proportion_of(units, p),
        }
    }
}

impl<T: Real> PerSample<T> for TopK {
    fn check(&self, units: usize) -> Result<(), Error> {
        match *self {
            Self::Number(k) => check_count(k, units, "k of TopK"),
            Self::Proportion(p) => check_proportion(p, "proportion of TopProportion"),
        }
    }

    fn k(&self) -> Option<AdjustableK> {
        match *self {
            Self::Number(k) => Some((k, Activation::TopK)),
            Self::Proportion(_) => None,
        }
    }

    fn kept(&self, units: usize) -> usize {
        self.of(units)
    }

    fn activate(&self, bias: &[T], z: &mut [T]) {
        activate_column(z, bias, |z| Relu.value(z));
        keep_top_k(z, self.of(bias.len()));
    }

    fn pick(&self, bias: &[T], z: &mut [T], units: &mut [u32], values: &mut [T]) -> usize {
        top_k(z, bias, self.of(bias.len()), units, values)
    }
}
