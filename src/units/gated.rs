//! The passes of units behind gates: `π = u + b` opens a gate, `μ = eʳ u + b_mag` is what it lets
//! through. Comparisons are put so that a NaN passes through: a diverging model must show in its loss.

use crate::Real;
use crate::linalg::{Scalar, Scratch, vectorize};
use crate::linalg::{add_column, sum};

/// `G ← max(π, 0)` for every column of `u`. Writes the sum over the columns to `sums`.
pub(crate) fn open_gates<T: Real>(
    gates: &mut [T],
    u: &[T],
    bias: &[T],
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let rows = bias.len();
    scratch.run(gates, rows, sums, |first, panel, sums| {
        let u = &u[first * rows..][..panel.len()];
        for (column, u) in panel.chunks_exact_mut(rows).zip(u.chunks_exact(rows)) {
            vectorize(
                #[inline(always)]
                || {
                    for ((g, &u), &b) in column.iter_mut().zip(u).zip(bias) {
                        let pi = u + b;
                        *g = if pi <= T::zero() { T::zero() } else { pi };
                    }
                    add_column(column, sums);
                },
            );
        }
    });
}

/// `U ← 1[π > 0] ⊙ max(μ, 0)` for every column, with `eʳ` for `gains`. Writes the number of entries
/// that are not 0 to `active`, if that is not empty.
pub(crate) fn pass_gates<T: Real>(
    u: &mut [T],
    bias: &[T],
    gains: &[T],
    magnitude_bias: &[T],
    active: &mut [T],
    scratch: &mut Scratch<T>,
) {
    scratch.run(u, bias.len(), active, |_, panel, active| {
        for column in panel.chunks_exact_mut(bias.len()) {
            vectorize(
                #[inline(always)]
                || {
                    let of_unit = bias.iter().zip(gains).zip(magnitude_bias);
                    for (u, ((&b, &gain), &b_mag)) in column.iter_mut().zip(of_unit) {
                        let (pi, mu) = (*u + b, Scalar::fma(gain, *u, b_mag));
                        let shut = (pi <= T::zero()) | (mu <= T::zero());
                        *u = if shut { T::zero() } else { mu };
                    }
                    if let Some(active) = active.first_mut() {
                        let one = |h| if h == T::zero() { T::zero() } else { T::one() };
                        *active += sum(column, one);
                    }
                },
            );
        }
    });
}

/// `δ ← δ + eʳ ⊙ e ⊙ 1[h > 0]` for every column, where `e = ∂J/∂h` and `δ = ∂J/∂π`. Writes the sums
/// over the columns of `∂J/∂r` to the first half of `sums`, and of `∂J/∂b_mag` to the second.
pub(crate) fn backpropagate_gated<T: Real>(
    delta: &mut [T],
    e: &[T],
    h: &[T],
    gains: &[T],
    magnitude_bias: &[T],
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let rows = gains.len();
    scratch.run(delta, rows, sums, |first, panel, sums| {
        let (gain_sums, bias_sums) = sums.split_at_mut(rows);
        let columns = panel.chunks_exact_mut(rows);
        let [e, h] = [e, h].map(|values| values[first * rows..].chunks_exact(rows));
        for (delta, (e, h)) in columns.zip(e.zip(h)) {
            vectorize(
                #[inline(always)]
                || {
                    backpropagate_column(delta, e, h, gains, magnitude_bias, gain_sums, bias_sums);
                },
            );
        }
    });
}

// A function of its own: the compiler knows of its arguments, but not of what a closure holds, that
// they do not overlap.
#[inline(always)]
fn backpropagate_column<T: Real>(
    delta: &mut [T],
    e: &[T],
    h: &[T],
    gains: &[T],
    magnitude_bias: &[T],
    gain_sums: &mut [T],
    bias_sums: &mut [T],
) {
    let of_unit = gains.iter().zip(magnitude_bias);
    let sums = gain_sums.iter_mut().zip(bias_sums);
    let entries = delta.iter_mut().zip(e).zip(h);
    for (((delta, &e), &h), ((&gain, &b_mag), (gain_sum, bias_sum))) in
        entries.zip(of_unit.zip(sums))
    {
        let of_magnitude = if h > T::zero() { e } else { T::zero() };
        *delta = Scalar::fma(gain, of_magnitude, *delta);
        *bias_sum += of_magnitude;
        *gain_sum = Scalar::fma(of_magnitude, h - b_mag, *gain_sum); // eʳ u
    }
}
