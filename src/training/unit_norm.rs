//! Decoders whose columns have norm 1.
//!
//! ```text
//! ∂dⱼ ← ∂dⱼ − (∂dⱼ · dⱼ / ‖dⱼ‖²) dⱼ        before the optimizer's step
//! dⱼ  ← dⱼ / ‖dⱼ‖                          after it
//! ```
//!
//! What would lengthen a column is taken from the gradient, so that an optimizer that remembers
//! gradients does not remember what is undone after every step (Bricken et al. 2023, *Towards
//! Monosemanticity*).

use crate::Real;
use crate::linalg::{self, Scratch};
use crate::model::Layout;

/// Leaves in `gradient` what turns the columns of the decoders in `theta`.
pub(super) fn project<T: Real>(
    layout: &Layout,
    theta: &[T],
    gradient: &mut [T],
    scratch: &mut Scratch<T>,
) {
    for blocks in layout.blocks() {
        let rows = blocks.below;
        let d = &theta[blocks.decoder_weights.clone()];
        let gradient = &mut gradient[blocks.decoder_weights.clone()];
        scratch.run(gradient, rows, &mut [], |first, panel, _| {
            let d = d[first * rows..].chunks_exact(rows);
            for (g, d) in panel.chunks_exact_mut(rows).zip(d) {
                linalg::project_out(g, d);
            }
        });
    }
}

/// Brings every column of the decoders to norm 1; one that is 0 stays.
pub(super) fn normalize<T: Real>(layout: &Layout, theta: &mut [T], scratch: &mut Scratch<T>) {
    for blocks in layout.blocks() {
        let rows = blocks.below;
        let decoder = &mut theta[blocks.decoder_weights.clone()];
        scratch.run(decoder, rows, &mut [], |_, panel, _| {
            for d in panel.chunks_exact_mut(rows) {
                linalg::normalize(d);
            }
        });
    }
}
