//! Keeps the decoder columns at norm 1.
//!
//! ```text
//! ∂dⱼ ← ∂dⱼ − (∂dⱼ · dⱼ / ‖dⱼ‖²) dⱼ        before the optimizer's step
//! dⱼ  ← dⱼ / ‖dⱼ‖                          after it
//! ```
//!
//! Projecting the gradient keeps optimizers with a memory from accumulating changes that normalization
//! undoes (Bricken et al. 2023, *Towards Monosemanticity*).

use crate::Real;
use crate::linalg::{self, Scratch};
use crate::model::Layout;

/// Removes from `gradient` the parts along the decoder columns in `theta`.
pub(super) fn project<T: Real>(
    layout: &Layout,
    theta: &[T],
    gradient: &mut [T],
    scratch: &mut Scratch<T>,
) {
    for blocks in layout.blocks() {
        let rows = blocks.decoded;
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

/// Scales every decoder column to norm 1. A column of zeros stays.
pub(super) fn normalize<T: Real>(layout: &Layout, theta: &mut [T], scratch: &mut Scratch<T>) {
    for blocks in layout.blocks() {
        let rows = blocks.decoded;
        let decoder = &mut theta[blocks.decoder_weights.clone()];
        scratch.run(decoder, rows, &mut [], |_, panel, _| {
            for d in panel.chunks_exact_mut(rows) {
                linalg::normalize(d);
            }
        });
    }
}
