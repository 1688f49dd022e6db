//! BatchTopK: the largest pre-activations of a batch.
//!
//! ```text
//! training     hⱼᵢ = max(zⱼᵢ, 0) if it is among the k·m largest of the batch, else 0
//!              t ← t + 0.01 (min {hⱼᵢ > 0} − t)      after each step; t ← the minimum after the first
//!              t ← a quantile: k units of a sample are active on average      at the end of a fit
//! inference    hⱼᵢ = zⱼᵢ if zⱼᵢ > t, else 0
//! ```
//!
//! Bussmann et al. (2024), *BatchTopK Sparse Autoencoders*. The average t starts as in dictionary_learning and
//! has the rate of SAELens.

use super::elementwise::{Function, Relu};
use super::{
    AdjustableK, Block, Buffers, Chooses, Len, Own, OwnMut, State, Traits, Units, check_count,
    positive,
};
use crate::linalg::{Scratch, activate};
use crate::sparse::keep_top_k_of_batch;
use crate::{Activation, Error, Real};

/// Units that keep the `k·m` largest activations of a batch of `m` samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchTopK(pub(super) usize);

/// The share of the way to the smallest activation of each batch that the threshold moves.
const RATE: f64 = 0.01;

/// The smallest activation kept in the last batch.
struct Smallest<T>(Option<T>);

impl<T> Default for Smallest<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Real> Units<T> for BatchTopK {
    fn traits(&self) -> Traits {
        Traits::selecting(Chooses::OverBatch)
    }

    fn check(&self, units: usize) -> Result<(), Error> {
        check_count(self.0, units, "k of BatchTopK")
    }

    fn blocks(&self) -> &'static [Block] {
        &[Block {
            name: "thresholds",
            len: Len::One,
            learns: false,
            is_bias: false,
        }]
    }

    fn k(&self) -> Option<AdjustableK> {
        Some((self.0, Activation::BatchTopK))
    }

    fn mean_kept(&self, _units: usize) -> Option<usize> {
        Some(self.0)
    }

    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>) {
        let Buffers {
            state,
            spare,
            sums,
            scratch,
        } = buffers;
        let units = own.bias.len();
        let kept = self.0 * (z.len() / units);
        activate(z, own.bias, |z| Relu.value(z), &mut [], scratch);
        spare.grow(z.len());
        let (spare, sums) = (&mut spare[..z.len()], &mut sums[..=units]);
        let smallest = keep_top_k_of_batch(z, units, kept, spare, sums, scratch);
        state.with(|state: &mut Smallest<T>| state.0 = smallest);
    }

    fn after_step(&self, own: &mut OwnMut<'_, T>, state: &State) {
        let smallest = state.get::<Smallest<T>>().and_then(|state| state.0);
        let Some((threshold, smallest)) = own.blocks[0].first_mut().zip(smallest) else {
            return;
        };
        *threshold = if *threshold > T::zero() {
            *threshold + T::of(RATE) * (smallest - *threshold)
        } else {
            smallest
        };
    }

    fn infer(&self, own: &Own<'_, T>, z: &mut [T], _state: &mut State, scratch: &mut Scratch<T>) {
        let threshold = own.blocks[0].first().copied();
        let t = positive(threshold.unwrap_or_else(T::zero));
        let above = move |z| if z <= t { T::zero() } else { z };
        activate(z, own.bias, above, &mut [], scratch);
    }
}
