//! Activations whose winners are chosen over the samples of a batch.
//!
//! In training they compete; in inference a sample is alone, and there is nothing to choose from.
//!
//! ```text
//! winner-take-all     hⱼᵢ = max(zⱼᵢ, 0) if it is among the ⌈p·m⌉ largest of unit j, else 0
//! ```
//!
//! Makhzani & Frey (2015), *Winner-Take-All Autoencoders*, for the lifetime sparsity of fully
//! connected ones. Where a unit wins its slope is 1, and where it loses it is 0, as of a ReLU: the
//! backward passes need to know nothing of the choice.

use super::Pass;
use crate::activation::proportion_of;
use crate::kernel::{self, Scratch};
use crate::workspace::grow;
use crate::{Activation, Real};

impl<T: Real> Pass<'_, T> {
    /// Sets what has lost to 0 in `h`, the positive parts of the pre-activations of layer `l`.
    /// Writes the sums over the samples, and the number of winners behind them. Leaves `spare`
    /// undefined.
    pub(super) fn select_over_batch(
        &self,
        l: usize,
        h: &mut [T],
        spare: &mut Vec<T>,
        sums: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let units = self.layout.blocks()[l].above;
        if let Activation::WinnerTakeAll(p) = self.objective.encoder[l] {
            let winners = proportion_of(h.len() / units, p);
            grow(spare, h.len());
            let spare = &mut spare[..h.len()];
            kernel::keep_largest_of_units(h, units, winners, spare, sums, scratch);
        }
    }
}
