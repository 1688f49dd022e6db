//! Lets the biases of the encoder learn at a rate of their own.
//!
//! ```text
//! b ← b₀ + r (b − b₀)          after the optimizer's step from b₀ to b
//! ```
//!
//! A first-order step is a multiple of its learning rate, so this multiplies the rate of b by r.

use crate::Real;
use crate::model::{Blocks, Layout};
use crate::optimizer::saturate;

/// Copies the biases of the encoder.
pub(super) fn copy<T: Real>(layout: &Layout, theta: &[T], biases: &mut Vec<T>) {
    biases.clear();
    for place in layout.blocks().iter().flat_map(Blocks::encoder_biases) {
        biases.extend_from_slice(&theta[place]);
    }
}

/// Multiplies by `rate` how far the biases of the encoder have moved from `before`, their copy.
pub(super) fn stretch<T: Real>(layout: &Layout, theta: &mut [T], before: &[T], rate: T) {
    let mut before = before.iter();
    for place in layout.blocks().iter().flat_map(Blocks::encoder_biases) {
        for (b, &from) in theta[place].iter_mut().zip(&mut before) {
            *b = saturate(from + rate * (*b - from));
        }
    }
}
