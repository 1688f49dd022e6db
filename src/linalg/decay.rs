//! Sums of squares of long vectors, and the L2 penalty on parts of one.

use std::ops::Range;

use super::entries::axpy;
use super::parallel::join;
use super::{Scalar, Scratch, Threads, sum, vectorize};
use crate::Real;

/// Entries that are added up at once. They stay in the second cache.
const PART: usize = 1 << 14;

/// Returns `λ/2 Σ‖w‖²` over the ranges `weights` of `theta`, and adds `λ w` to `gradient`.
///
/// A pass of its own reads one address after the other. A product that adds `λ w` to its tiles waits
/// for three lines of eight columns at a time.
pub(crate) fn decay<T: Real>(
    lambda: T,
    weights: impl Iterator<Item = Range<usize>>,
    theta: &[T],
    mut gradient: Option<&mut [T]>,
    scratch: &Scratch<T>,
) -> T {
    if lambda <= T::zero() {
        return T::zero();
    }
    let norms: f64 = weights
        .map(|range| {
            let w = &theta[range.clone()];
            let gradient = gradient.as_deref_mut().map(|gradient| &mut gradient[range]);
            squares(lambda, w, gradient, scratch.threads).to_f64()
        })
        .sum();
    T::of(0.5 * norms) * lambda
}

/// Returns `‖v‖²`, on several threads for many values. The order of the sum does not depend on the
/// threads.
pub(crate) fn norm_squared<T: Real>(values: &[T], threads: Threads) -> T {
    squares(T::zero(), values, None, threads)
}

/// Returns `‖w‖²`, and adds `λ w` to `gradient`.
fn squares<T: Real>(lambda: T, w: &[T], gradient: Option<&mut [T]>, threads: Threads) -> T {
    if w.len() <= PART {
        if let Some(gradient) = gradient {
            axpy(lambda, w, gradient);
        }
        return vectorize(
            #[inline(always)]
            || sum(w, |v| Scalar::fma(v, v, T::zero())),
        );
    }
    let half = (w.len() / 2).next_multiple_of(PART);
    let (first, second) = w.split_at(half);
    let (of_first, of_second) = gradient.map(|gradient| gradient.split_at_mut(half)).unzip();
    let on_first = || squares(lambda, first, of_first, threads);
    let on_second = || squares(lambda, second, of_second, threads);
    if !threads.for_pass(w.len()) {
        return on_first() + on_second();
    }
    let mut sums = [T::zero(); 2];
    let [sum_of_first, sum_of_second] = &mut sums;
    join(
        || *sum_of_first = on_first(),
        || *sum_of_second = on_second(),
    );
    sums[0] + sums[1]
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // sums of small integers and a power of two are exact
mod tests {
    use super::*;

    /// More weights than one part, at an odd place, with other parameters between them.
    #[test]
    fn adds_the_weights_to_the_gradient_and_their_squares_to_the_loss() {
        let len = 3 * PART + 117;
        let theta: Vec<f64> = (0..len).map(|i| ((7 * i) % 19) as f64 - 9.0).collect();
        let weights = [0..PART - 5, PART + 5..len];
        let scratch = |threads: usize| {
            let mut scratch = Scratch::default();
            scratch.limit_threads(threads);
            scratch.take_threads();
            scratch
        };
        let is_weight = |i: usize| weights.iter().any(|range| range.contains(&i));
        let squares = (0..len).filter(|&i| is_weight(i)).map(|i| theta[i].powi(2));
        let expected = 0.125 * squares.sum::<f64>();
        for threads in [1, 2] {
            let scratch = scratch(threads);
            let mut gradient = vec![1.0; len];
            let ranges = || weights.iter().cloned();
            let alone = decay(0.25, ranges(), &theta, None, &scratch);
            let loss = decay(0.25, ranges(), &theta, Some(&mut gradient), &scratch);
            assert_eq!((alone, loss), (expected, expected));
            for (i, &g) in gradient.iter().enumerate() {
                let expected = if is_weight(i) {
                    1.0 + 0.25 * theta[i]
                } else {
                    1.0
                };
                assert_eq!(g, expected, "{i}, {threads} threads");
            }
        }
    }
}
