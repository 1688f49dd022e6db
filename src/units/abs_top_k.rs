//! AbsTopK: the pre-activations of each sample with the largest magnitudes, whatever their sign.
//!
//! ```text
//! hⱼᵢ = zⱼᵢ if |zⱼᵢ| is among the k largest of sample i, else 0
//! ```
//!
//! Zhu et al. (2025), *AbsTopK: Rethinking Sparse Autoencoders For Bidirectional Features*: one unit
//! stands for both directions of its decoder column.

use super::{AdjustableK, Chooses, Elementwise, PerSample, Traits, check_count};
use crate::linalg::activate_column;
use crate::sparse::keep_top_k;
use crate::{Activation, Error, Real};

/// Units that keep the `k` largest magnitudes of each sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct AbsTopK(pub(super) usize);

impl<T: Real> PerSample<T> for AbsTopK {
    fn traits(&self) -> Traits {
        Traits {
            signed: true,
            mirror: Elementwise::Identity,
            ..Traits::selecting(Chooses::PerSample)
        }
    }

    fn check(&self, units: usize) -> Result<(), Error> {
        check_count(self.0, units, "k of AbsTopK")
    }

    fn k(&self) -> Option<AdjustableK> {
        Some((self.0, Activation::AbsTopK))
    }

    fn kept(&self, _units: usize) -> usize {
        self.0
    }

    fn activate(&self, bias: &[T], z: &mut [T]) {
        activate_column(z, bias, |z| z);
        keep_top_k(z, self.0);
    }
}
