//! The pre-activations of each sample with the largest magnitudes, whatever their sign.
//!
//! ```text
//! hⱼᵢ = zⱼᵢ if |zⱼᵢ| is among the k largest of sample i, else 0
//! ```
//!
//! Zhu et al. (2025), *AbsTopK: Rethinking Sparse Autoencoders For Bidirectional Features*: one unit
//! stands for both directions of its decoder column.

use super::{
    AdjustableK, Buffers, Chooses, Elementwise, Own, PerSample, State, Traits, Units, check_count,
};
use crate::linalg::{Scratch, activate_column};
use crate::sparse::keep_top_k;
use crate::{Activation, Error, Real};

/// k
#[derive(Debug, Clone, Copy)]
pub(super) struct AbsTopK(pub(super) usize);

impl<T: Real> Units<T> for AbsTopK {
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

    fn per_sample(&self) -> Option<&dyn PerSample<T>> {
        Some(self)
    }

    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>) {
        let selection: &dyn PerSample<T> = self;
        let sums = &mut buffers.sums[..=own.bias.len()];
        selection.activate_all(own.bias, z, sums, buffers.scratch);
    }

    fn infer(&self, own: &Own<'_, T>, z: &mut [T], _state: &mut State, scratch: &mut Scratch<T>) {
        let selection: &dyn PerSample<T> = self;
        selection.activate_all(own.bias, z, &mut [], scratch);
    }
}

impl<T: Real> PerSample<T> for AbsTopK {
    fn kept(&self, _units: usize) -> usize {
        self.0
    }

    fn activate(&self, bias: &[T], z: &mut [T]) {
        activate_column(z, bias, |z| z);
        keep_top_k(z, self.0);
    }
}
