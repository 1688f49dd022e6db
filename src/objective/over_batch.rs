//! Activations whose winners are chosen over the samples of a batch.
//!
//! In training they compete; in inference a sample is alone, and there is nothing to choose from.
//!
//! ```text
//! winner-take-all     hⱼᵢ = max(zⱼᵢ, 0) if it is among the ⌈p·m⌉ largest of unit j, else 0
//! batch top k         hⱼᵢ = max(zⱼᵢ, 0) if it is among the k·m largest of all, else 0
//!                     θ ← the mean over batches of min {hⱼᵢ > 0}, for inference
//! ```
//!
//! Makhzani & Frey (2015), *Winner-Take-All Autoencoders*, for the lifetime sparsity of fully
//! connected ones; Bussmann et al. (2024), *BatchTopK Sparse Autoencoders*. Where a unit wins its
//! slope is 1, and where it loses it is 0, as of a ReLU: the backward passes need to know nothing of
//! the choice.

use super::{Objective, Pass};
use crate::linalg::{self, Aligned, Scratch};
use crate::model::Layout;
use crate::objective::Workspace;
use crate::sparse;
use crate::units::{self, Function, proportion_of};
use crate::{Activation, Real};

/// How far the threshold of inference moves towards that of each batch.
const RATE: f64 = 0.01;

impl<T: Real> Pass<'_, T> {
    /// `H` from `Wᵀ H_below` for an activation of layer `l` whose winners are chosen over the
    /// batch. Writes the sums over the samples, and the number of winners behind them, and returns
    /// the smallest winner, if inference needs it. Leaves `spare` undefined.
    pub(super) fn compete(
        &self,
        l: usize,
        z: &mut [T],
        spare: &mut Aligned<T>,
        sums: &mut [T],
        scratch: &mut Scratch<T>,
    ) -> Option<T> {
        let blocks = &self.layout.blocks()[l];
        let (units, m) = (blocks.above, z.len() / blocks.above);
        let b = &self.theta[blocks.encoder_bias.clone()];
        let relu = |z| units::Relu.value(z);
        linalg::activate(z, b, relu, None, &mut [], scratch);
        spare.grow(z.len());
        let spare = &mut spare[..z.len()];
        match self.activation(l) {
            Activation::BatchTopK(k) => {
                sparse::keep_largest_of_batch(z, units, k * m, spare, sums, scratch)
            }
            Activation::WinnerTakeAll(p) => {
                let winners = proportion_of(m, p);
                sparse::keep_largest_of_units(z, units, winners, spare, sums, scratch);
                None
            }
            _ => None,
        }
    }
}

/// Sets the thresholds of inference in `theta` to 0 for a step of the optimizer, which does not move
/// them and must not see them move: the objective does not depend on them.
pub(crate) fn hide_thresholds<T: Real>(objective: &Objective<T>, layout: &Layout, theta: &mut [T]) {
    for at in thresholds_of_inference(objective, layout) {
        theta[at] = T::zero();
    }
}

/// Puts the thresholds of inference back to where they were among all thresholds `before`.
pub(crate) fn show_thresholds<T: Real>(
    objective: &Objective<T>,
    layout: &Layout,
    theta: &mut [T],
    before: &[T],
) {
    for at in thresholds_of_inference(objective, layout) {
        theta[at] = before[at - layout.thresholds().start];
    }
}

/// Where they are in θ.
fn thresholds_of_inference<T: Real>(
    objective: &Objective<T>,
    layout: &Layout,
) -> impl Iterator<Item = usize> {
    let layers = objective.encoder.iter().zip(layout.blocks());
    layers
        .filter(|(f, _)| matches!(f, Activation::BatchTopK(_)))
        .map(|(_, blocks)| blocks.thresholds.start)
}

/// Moves the thresholds of inference in `theta` towards what the last pass over a batch has found.
pub(crate) fn follow_thresholds<T: Real>(
    objective: &Objective<T>,
    layout: &Layout,
    theta: &mut [T],
    workspace: &Workspace<T>,
) {
    let layers = layout.blocks().iter().zip(&workspace.smallest_kept);
    for (f, (blocks, &smallest)) in objective.encoder.iter().zip(layers) {
        if !matches!(f, Activation::BatchTopK(_)) {
            continue;
        }
        let at = blocks.thresholds.start;
        let before = theta[at];
        theta[at] = match smallest {
            Some(smallest) if before > T::zero() => before + T::of(RATE) * (smallest - before),
            Some(smallest) => smallest,
            None => before,
        };
    }
}
