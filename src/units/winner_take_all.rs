//! Winner-take-all: the largest pre-activations of each unit over a batch.
//!
//! ```text
//! training     hⱼᵢ = max(zⱼᵢ, 0) if it is among the ⌈p·m⌉ largest of unit j, else 0
//! inference    hⱼᵢ = max(zⱼᵢ, 0)
//! ```
//!
//! Makhzani & Frey (2015), *Winner-Take-All Autoencoders*: lifetime sparsity of fully connected autoencoders.

use super::elementwise::{Function, Relu};
use super::{Buffers, Chooses, Own, State, Traits, Units, check_proportion, proportion_of};
use crate::linalg::{Scratch, activate};
use crate::sparse::{Cutoffs, keep_top_k_of_units};
use crate::{Error, Real};

/// Units that each keep a proportion of their activations over a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct WinnerTakeAll(pub(super) f64);

impl<T: Real> Units<T> for WinnerTakeAll {
    fn traits(&self) -> Traits {
        Traits::selecting(Chooses::PerUnit)
    }

    fn check(&self, _units: usize) -> Result<(), Error> {
        check_proportion(self.0, "proportion of WinnerTakeAll")
    }

    fn mean_kept(&self, units: usize) -> Option<usize> {
        Some(proportion_of(units, self.0))
    }

    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>) {
        let Buffers {
            state,
            spare,
            sums,
            scratch,
        } = buffers;
        let units = own.bias.len();
        let winners = proportion_of(z.len() / units, self.0);
        activate(z, own.bias, |z| Relu.value(z), &mut [], scratch);
        spare.grow(z.len());
        let (spare, sums) = (&mut spare[..z.len()], &mut sums[..=units]);
        state.with(|cuts: &mut Cutoffs<T>| {
            keep_top_k_of_units(z, units, winners, spare, cuts, sums, scratch);
        });
    }

    fn infer(&self, own: &Own<'_, T>, z: &mut [T], _state: &mut State, scratch: &mut Scratch<T>) {
        activate(z, own.bias, |z| Relu.value(z), &mut [], scratch);
    }
}
