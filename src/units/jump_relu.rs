//! The passes of units that are active above thresholds.

use crate::Real;
use crate::linalg::add_column;
use crate::linalg::{Scratch, vectorize};
use crate::sparse::Passed;

/// `z ← z + b` where that is above the threshold `t⁺ = max(t, 0)` of its unit, 0 elsewhere, for every
/// column. A 0 that is less than `margin` below the threshold gets a minus sign: [`near_below`] finds
/// it. Writes the sum over the columns to `sums`, if that is not empty, and the number of active
/// entries behind it.
pub(crate) fn activate_above<T: Real>(
    z: &mut [T],
    bias: &[T],
    thresholds: &[T],
    margin: T,
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    scratch.run(z, bias.len(), sums, |_, panel, sums| {
        for column in panel.chunks_exact_mut(bias.len()) {
            vectorize(
                #[inline(always)]
                || {
                    for ((z, &b), &t) in column.iter_mut().zip(bias).zip(thresholds) {
                        let (value, t) = (*z + b, positive(t));
                        let inactive = if value > t - margin {
                            -T::zero()
                        } else {
                            T::zero()
                        };
                        // Put so that a NaN passes through: a diverging model must show in its loss.
                        *z = if value <= t { inactive } else { value };
                    }
                    add_column(column, sums);
                },
            );
        }
    });
}

/// Whether an inactive unit is so near below its threshold that the threshold learns from it.
#[inline(always)]
pub(crate) fn near_below<T: Real>(h: T) -> bool {
    (h == T::zero()) & h.is_sign_negative()
}

/// What the thresholds of one layer learn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jump<'a, T> {
    pub(crate) thresholds: &'a [T],
    /// ε
    pub(crate) bandwidth: T,
    /// `1/m ∂J/∂φ`, per unit.
    pub(crate) per_step: &'a [T],
}

impl<T: Real> Jump<'_, T> {
    /// `∂J/∂z` and `∂J/∂t` of unit `j`, from `h` and `g = ∂J/∂h`.
    #[inline(always)]
    pub(crate) fn backpropagate(&self, j: usize, h: T, g: T) -> Passed<T> {
        let (t, step) = (positive(self.thresholds[j]), self.per_step[j]);
        let (delta, threshold) = backpropagate_entry(h, g, t, step, self.bandwidth);
        Passed::with_threshold(delta, threshold)
    }
}

/// `δ ← (δ + per_unit) ⊙ 1[h > 0]` for every column. Writes the sum over the columns of `δ` to the
/// first half of `sums`, and of the pseudo-gradient by the thresholds to the second.
pub(crate) fn backpropagate_jump<T: Real>(
    delta: &mut [T],
    h: &[T],
    per_unit: &[T],
    jump: Jump<'_, T>,
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
                || {
                    let of_unit = per_unit.iter().zip(jump.thresholds).zip(jump.per_step);
                    let sums = bias_sums.iter_mut().zip(&mut *threshold_sums);
                    let entries = column.iter_mut().zip(h);
                    for (((delta, &h), ((&p, &t), &step)), (bias_sum, threshold_sum)) in
                        entries.zip(of_unit).zip(sums)
                    {
                        let (d, threshold) =
                            backpropagate_entry(h, *delta + p, positive(t), step, jump.bandwidth);
                        *delta = d;
                        *bias_sum += d;
                        *threshold_sum += threshold;
                    }
                },
            );
        }
    });
}

#[inline(always)]
fn backpropagate_entry<T: Real>(h: T, g: T, t: T, per_step: T, bandwidth: T) -> (T, T) {
    let active = h > T::zero();
    let near = if active {
        h - t < T::of(0.5) * bandwidth
    } else {
        near_below(h)
    };
    let by_threshold = -(t * g + per_step) / bandwidth;
    (
        if active { g } else { T::zero() },
        if near { by_threshold } else { T::zero() },
    )
}

/// A threshold below 0 counts as 0.
#[inline(always)]
pub(crate) fn positive<T: Real>(t: T) -> T {
    if t > T::zero() { t } else { T::zero() }
}
