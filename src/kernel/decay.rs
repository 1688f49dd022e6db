//! Sums of the squares of many parameters, and the decay of weights.

use std::ops::Range;

use super::elementwise::{add_scaled, sum};
use super::threads::join;
use super::{Scalar, Scratch, Threads, vectorize};
use crate::Real;

/// What is added up at once: so much stays in the second cache.
const PART: usize = 1 << 14;

/// `λ/2 Σ‖W‖²` over `weights`, which are ranges of θ; adds `λ W` to the gradient, if there is one.
///
/// It is a pass of its own, behind the products, because it reads one address after the other: a
/// product that adds `λ W` to each of its tiles waits for three lines of eight columns at a time.
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
            let norm = match gradient {
                Some(gradient) => decay_part(lambda, w, gradient, scratch.threads),
                None => norm_squared(w, scratch.threads),
            };
            norm.to_f64()
        })
        .sum();
    T::of(0.5 * norms) * lambda
}

/// [`norm_squared`] of `w`, and `gradient ← gradient + λ w`.
fn decay_part<T: Real>(lambda: T, w: &[T], gradient: &mut [T], threads: Threads) -> T {
    if w.len() <= PART {
        add_scaled(gradient, lambda, w);
        return norm_squared(w, threads);
    }
    let (first, second) = w.split_at(middle(w.len()));
    let (of_first, of_second) = gradient.split_at_mut(first.len());
    add_up(
        w.len(),
        threads,
        || decay_part(lambda, first, of_first, threads),
        || decay_part(lambda, second, of_second, threads),
    )
}

/// `‖v‖²`, the halves of the values on two threads if they are many. Which values are added to which
/// does not depend on the threads.
pub(crate) fn norm_squared<T: Real>(values: &[T], threads: Threads) -> T {
    if values.len() <= PART {
        return vectorize(
            #[inline(always)]
            || sum(values, |v| Scalar::fma(v, v, T::zero())),
        );
    }
    let (first, second) = values.split_at(middle(values.len()));
    add_up(
        values.len(),
        threads,
        || norm_squared(first, threads),
        || norm_squared(second, threads),
    )
}

/// Where so many values are halved: at whole parts.
fn middle(len: usize) -> usize {
    (len / 2).next_multiple_of(PART)
}

/// The sums of both halves of so many values.
fn add_up<T: Real>(
    len: usize,
    threads: Threads,
    first: impl FnOnce() -> T + Send,
    second: impl FnOnce() -> T + Send,
) -> T {
    if !threads.for_pass(len) {
        return first() + second();
    }
    let mut sums = [T::zero(); 2];
    let [of_first, of_second] = &mut sums;
    join(|| *of_first = first(), || *of_second = second());
    sums[0] + sums[1]
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // sums of small integers and a power of two are exact
mod tests {
    use super::*;

    /// More weights than one part, at an odd place, and what is not a weight between them.
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
