//! Lets the biases of the encoder learn at a rate of their own.
//!
//! ```text
//! b ← b₀ + r (b − b₀)          after the optimizer's step from b₀ to b
//! ```
//!
//! A first-order step is a multiple of its learning rate, so this multiplies the rate of b by r.

use crate::Real;
use crate::model::Layout;
use crate::optimizer::saturate;

/// Copies the biases of the encoder.
pub(super) fn copy<T: Real>(layout: &Layout, theta: &[T], biases: &mut Vec<T>) {
    biases.clear();
    for blocks in layout.blocks() {
        biases.extend_from_slice(&theta[blocks.encoder_bias.clone()]);
    }
}

/// Multiplies by `rate` how far the biases of the encoder have moved from `before`, their copy.
pub(super) fn stretch<T: Real>(layout: &Layout, theta: &mut [T], before: &[T], rate: T) {
    let mut before = before.iter();
    for blocks in layout.blocks() {
        let biases = &mut theta[blocks.encoder_bias.clone()];
        for (b, &from) in biases.iter_mut().zip(&mut before) {
            *b = saturate(from + rate * (*b - from));
        }
    }
}
