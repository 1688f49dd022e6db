//! Fused passes over the entries of matrices: each matrix is read and written once.

use nalgebra::DMatrixView;

use super::{Scalar, Scratch, sum, vectorize};
use crate::Real;

/// `z ← f(z + b)` for every column. Writes the sum over the columns to `sums`, and the number of entries
/// that are not 0 behind it, unless `sums` is empty.
pub(crate) fn activate<T: Real>(
    z: &mut [T],
    bias: &[T],
    f: impl Fn(T) -> T + Sync + Send,
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    scratch.run(z, bias.len(), sums, |_, panel, sums| {
        for column in panel.chunks_exact_mut(bias.len()) {
            vectorize(
                #[inline(always)]
                || activate_and_add(column, bias, &f, sums),
            );
        }
    });
}

/// `z ← f(z + b)` for one column.
pub(crate) fn activate_column<T: Real>(z: &mut [T], bias: &[T], f: impl Fn(T) -> T) {
    vectorize(
        #[inline(always)]
        || activate_and_add(z, bias, &f, &mut []),
    );
}

/// `z ← f(z + b)`, and [`add_column`] at the same time.
#[inline(always)]
fn activate_and_add<T: Real>(column: &mut [T], bias: &[T], f: &impl Fn(T) -> T, sums: &mut [T]) {
    let entries = column.iter_mut().zip(bias);
    let Some((active, sums)) = sums.split_last_mut() else {
        for (z, &b) in entries {
            *z = f(*z + b);
        }
        return;
    };
    let mut count = 0;
    for ((z, &b), sum) in entries.zip(sums) {
        let h = f(*z + b);
        *z = h;
        *sum += h;
        count += u32::from(h != T::zero());
    }
    *active += T::of_count(count as usize);
}

/// Adds the entries of a column to `sums`, and the number of those that are not 0 behind them, unless
/// `sums` is empty.
#[inline(always)]
pub(crate) fn add_column<T: Real>(column: &[T], sums: &mut [T]) {
    for (sum, &h) in sums.iter_mut().zip(column) {
        *sum += h;
    }
    if let Some(active) = sums.get_mut(column.len()) {
        *active += sum(
            column,
            |h| if h == T::zero() { T::zero() } else { T::one() },
        );
    }
}

/// `z ← δ` with `(loss, δ) = term(z + b, x)` for every entry. Writes the sum of δ over the columns to the
/// first half of `sums`, and the sum of the losses to the second.
pub(crate) fn residual<T: Real>(
    z: &mut [T],
    bias: &[T],
    x: DMatrixView<'_, T>,
    term: impl Fn(T, T) -> (T, T) + Sync + Send,
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let rows = bias.len();
    scratch.run(z, rows, sums, |first, panel, sums| {
        for (offset, column) in panel.chunks_exact_mut(rows).enumerate() {
            let x = x.column(first + offset);
            let (delta_sums, loss_sums) = sums.split_at_mut(rows);
            vectorize(
                #[inline(always)]
                || residual_column(column, bias, x.as_slice(), &term, delta_sums, loss_sums),
            );
        }
    });
}

/// [`residual`] of one sample.
// A function, because the compiler knows that its arguments do not overlap. For five slices in a closure
// it checks too many pairs before the loop.
#[inline(always)]
fn residual_column<T: Real>(
    column: &mut [T],
    bias: &[T],
    x: &[T],
    term: &impl Fn(T, T) -> (T, T),
    delta_sums: &mut [T],
    loss_sums: &mut [T],
) {
    let entries = column.iter_mut().zip(bias).zip(x);
    for (((z, &b), &x), (delta_sum, loss_sum)) in entries.zip(delta_sums.iter_mut().zip(loss_sums))
    {
        let (loss, delta) = term(*z + b, x);
        *z = delta;
        *delta_sum += delta;
        *loss_sum += loss;
    }
}

/// `δ ← (δ + per_row) ⊙ slope(h)` for every column; an empty `per_row` counts as 0. Writes the sum over
/// the columns to `sums`.
pub(crate) fn backpropagate<T: Real>(
    delta: &mut [T],
    h: &[T],
    per_row: &[T],
    slope: impl Fn(T) -> T + Sync + Send,
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let rows = sums.len();
    scratch.run(delta, rows, sums, |first, panel, sums| {
        let h = &h[first * rows..][..panel.len()];
        for (column, h) in panel.chunks_exact_mut(rows).zip(h.chunks_exact(rows)) {
            let entries = column.iter_mut().zip(h).zip(&mut *sums);
            vectorize(
                #[inline(always)]
                || {
                    if per_row.is_empty() {
                        for ((delta, &h), sum) in entries {
                            *delta *= slope(h);
                            *sum += *delta;
                        }
                    } else {
                        for (((delta, &h), sum), &p) in entries.zip(per_row) {
                            *delta = (*delta + p) * slope(h);
                            *sum += *delta;
                        }
                    }
                },
            );
        }
    });
}

/// `to ← to ⊙ factors`
pub(crate) fn multiply<T: Real>(to: &mut [T], factors: &[T]) {
    vectorize(
        #[inline(always)]
        || {
            for (to, &factor) in to.iter_mut().zip(factors) {
                *to *= factor;
            }
        },
    );
}

/// `to ← to + a ⊙ b`
pub(crate) fn add_products<T: Real>(to: &mut [T], a: &[T], b: &[T]) {
    vectorize(
        #[inline(always)]
        || {
            for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
                *to = Scalar::fma(a, b, *to);
            }
        },
    );
}

/// `to ← to / divisor`
pub(crate) fn divide_by<T: Real>(to: &mut [T], divisor: T) {
    vectorize(
        #[inline(always)]
        || {
            for to in to {
                *to /= divisor;
            }
        },
    );
}

/// `to ← a − b`
pub(crate) fn subtract<T: Real>(a: &[T], b: &[T], to: &mut [T]) {
    vectorize(
        #[inline(always)]
        || {
            for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
                *to = a - b;
            }
        },
    );
}

/// `y ← α x + y`
pub(crate) fn axpy<T: Real>(alpha: T, x: &[T], y: &mut [T]) {
    vectorize(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = Scalar::fma(alpha, x, *y);
            }
        },
    );
}
