//! JumpReLU: units that are active above a threshold of their own, which learns.
//!
//! ```text
//! hⱼᵢ = zⱼᵢ 1[zⱼᵢ > tⱼ],     φⱼ = 1/m Σᵢ 1[zⱼᵢ > tⱼ]
//! ```
//!
//! The derivative of a step by its threshold is 0 or undefined. Thresholds therefore learn by the
//! pseudo-derivatives of Rajamanoharan et al. (2024), *Jumping Ahead: Improving Reconstruction Fidelity with
//! JumpReLU Sparse Autoencoders*. With the rectangle `K(u) = 1[|u| < ½]` and the bandwidth ε:
//!
//! ```text
//! ∂hⱼᵢ/∂tⱼ = −tⱼ/ε K((zⱼᵢ − tⱼ)/ε),     ∂φⱼ/∂tⱼ = −1/m Σᵢ 1/ε K((zⱼᵢ − tⱼ)/ε)
//!
//! ∂J/∂tⱼ = −1/ε Σᵢ K((zⱼᵢ − tⱼ)/ε) (tⱼ ∂J/∂hⱼᵢ + 1/m ∂J/∂φⱼ)
//! ```
//!
//! In expectation over the samples, this is the derivative of J smoothed by K. The derivative by z is the
//! usual `1[z > t]`. The parameter is the threshold itself, not its logarithm. A threshold below 0 counts as
//! 0, and still learns.

use super::{
    ActiveGradient, Arriving, Block, Buffers, Chooses, Len, Own, OwnMut, State, Traits, Units,
    positive,
};
use crate::Real;
use crate::linalg::{Scratch, add_column, vectorize};
use crate::sparse::{ActiveUnits, UnitOperands};

/// Units with a threshold each.
#[derive(Debug, Clone, Copy)]
pub(super) struct JumpRelu;

impl<T: Real> Units<T> for JumpRelu {
    fn traits(&self) -> Traits {
        Traits {
            threshold: true,
            scales: true,
            ..Traits::selecting(Chooses::Alone)
        }
    }

    fn blocks(&self) -> &'static [Block] {
        &[Block {
            name: "thresholds",
            len: Len::PerUnit,
            learns: true,
            is_bias: false,
        }]
    }

    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>) {
        let margin = T::of(0.5) * own.bandwidth;
        let sums = &mut buffers.sums[..=own.bias.len()];
        activate(z, own, margin, sums, buffers.scratch);
    }

    fn compress(
        &self,
        h: &mut [T],
        units: usize,
        _state: &mut State,
        active: &mut ActiveUnits<T>,
        scratch: &Scratch<T>,
    ) -> bool {
        let takes_part = |h: T| (h != T::zero()) | near_below(h);
        active.compress(h, units, takes_part, scratch)
    }

    fn backward(
        &self,
        own: &Own<'_, T>,
        arriving: Arriving<'_, T>,
        h: &[T],
        delta: &mut [T],
        gradient: OwnMut<'_, T>,
        buffers: Buffers<'_, T>,
    ) {
        let (n, jump) = (own.bias.len(), Jump::of(own, arriving.per_frequency));
        let sums = &mut buffers.sums[..2 * n];
        backpropagate(delta, h, arriving.per_unit, &jump, sums, buffers.scratch);
        let [thresholds, _] = gradient.blocks;
        gradient.bias.copy_from_slice(&sums[..n]);
        thresholds.copy_from_slice(&sums[n..]);
    }

    fn backward_active(
        &self,
        own: &Own<'_, T>,
        per_frequency: &[T],
        operands: &UnitOperands<'_, T>,
        gradient: ActiveGradient<'_, T>,
        active: &mut ActiveUnits<T>,
        buffers: Buffers<'_, T>,
    ) {
        let jump = Jump::of(own, per_frequency);
        let rule = move |j: usize, h, g: T, p| {
            let (t, per_frequency) = (positive(jump.thresholds[j]), jump.per_frequency[j]);
            let (delta, threshold) = jump.entry(h, g + p, t, per_frequency);
            (delta, [delta, threshold])
        };
        let [thresholds, _] = gradient.own.blocks;
        let sums = [gradient.own.bias, thresholds];
        active.backpropagate(operands, gradient.decoder, sums, rule, buffers.scratch);
    }

    fn infer(&self, own: &Own<'_, T>, z: &mut [T], _state: &mut State, scratch: &mut Scratch<T>) {
        activate(z, own, T::zero(), &mut [], scratch);
    }

    fn scale(&self, own: &mut OwnMut<'_, T>, j: usize, factor: f64) {
        for value in [&mut own.bias[j], &mut own.blocks[0][j]] {
            *value = T::of(value.to_f64() * factor);
        }
    }
}

/// `z ← z + b` where this is above `max(t, 0)`, 0 elsewhere.
///
/// Marks zeros less than `margin` below the threshold, for [`near_below`]. Writes the sums over the samples and
/// then the number of active entries to `sums`, unless it is empty.
fn activate<T: Real>(
    z: &mut [T],
    own: &Own<'_, T>,
    margin: T,
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let (bias, thresholds) = (own.bias, own.blocks[0]);
    scratch.run(z, bias.len(), sums, |_, panel, sums| {
        for column in panel.chunks_exact_mut(bias.len()) {
            vectorize(
                #[inline(always)]
                || {
                    for ((z, &b), &t) in column.iter_mut().zip(bias).zip(thresholds) {
                        let (value, t) = (*z + b, positive(t));
                        let inactive = if value > t - margin {
                            -T::zero() // the mark
                        } else {
                            T::zero()
                        };
                        // A NaN passes, so that divergence shows in the loss.
                        *z = if value <= t { inactive } else { value };
                    }
                    add_column(column, sums);
                },
            );
        }
    });
}

/// Returns whether an inactive entry is less than ε/2 below its threshold, which then learns from it.
///
/// The mark is the sign of a zero, so that pre-activations need not be kept. Only this file reads it.
#[inline(always)]
fn near_below<T: Real>(h: T) -> bool {
    (h == T::zero()) & h.is_sign_negative()
}

/// The thresholds of a layer, and what they learn from.
#[derive(Debug, Clone, Copy)]
struct Jump<'a, T> {
    thresholds: &'a [T],
    /// ε.
    bandwidth: T,
    /// `1/m ∂J/∂φ`, one per unit.
    per_frequency: &'a [T],
}

impl<'a, T: Real> Jump<'a, T> {
    fn of(own: &Own<'a, T>, per_frequency: &'a [T]) -> Self {
        Self {
            thresholds: own.blocks[0],
            bandwidth: own.bandwidth,
            per_frequency,
        }
    }

    /// Returns `∂J/∂z` and `∂J/∂t` of an entry, from `h` and `g = ∂J/∂h`.
    #[inline(always)]
    fn entry(&self, h: T, g: T, t: T, per_frequency: T) -> (T, T) {
        let active = h > T::zero();
        let near = if active {
            h - t < T::of(0.5) * self.bandwidth
        } else {
            near_below(h)
        };
        let by_threshold = -(t * g + per_frequency) / self.bandwidth;
        (
            if active { g } else { T::zero() },
            if near { by_threshold } else { T::zero() },
        )
    }
}

/// `δ ← (δ + per_unit) ⊙ 1[h > 0]`.
///
/// Writes the sums over the samples: of δ to the first half of `sums`, of `∂J/∂t` to the second.
fn backpropagate<T: Real>(
    delta: &mut [T],
    h: &[T],
    per_unit: &[T],
    jump: &Jump<'_, T>,
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let rows = per_unit.len();
    scratch.run(delta, rows, sums, |first, panel, sums| {
        let h = &h[first * rows..][..panel.len()];
        let (bias_sums, threshold_sums) = sums.split_at_mut(rows);
        for (column, h) in panel.chunks_exact_mut(rows).zip(h.chunks_exact(rows)) {
            vectorize(
                #[inline(always)]
                || backpropagate_column(column, h, per_unit, jump, bias_sums, threshold_sums),
            );
        }
    });
}

// A separate function, because the compiler assumes only of arguments that they do not overlap.
#[inline(always)]
fn backpropagate_column<T: Real>(
    delta: &mut [T],
    h: &[T],
    per_unit: &[T],
    jump: &Jump<'_, T>,
    bias_sums: &mut [T],
    threshold_sums: &mut [T],
) {
    let jump = *jump;
    let of_unit = per_unit.iter().zip(jump.thresholds).zip(jump.per_frequency);
    let sums = bias_sums.iter_mut().zip(threshold_sums);
    let entries = delta.iter_mut().zip(h);
    for (((delta, &h), ((&p, &t), &per_frequency)), (bias_sum, threshold_sum)) in
        entries.zip(of_unit).zip(sums)
    {
        let (d, threshold) = jump.entry(h, *delta + p, positive(t), per_frequency);
        *delta = d;
        *bias_sum += d;
        *threshold_sum += threshold;
    }
}
