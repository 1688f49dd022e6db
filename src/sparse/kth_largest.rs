//! The k-th largest entry, by bisection.

use crate::Real;
use crate::linalg::vectorize;

/// The k-th largest magnitude. The `k` largest are those above `threshold`, and the first `ties` of those
/// equal to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct KthLargest<T> {
    pub(crate) threshold: T,
    pub(crate) ties: usize,
}

impl<T: Real> KthLargest<T> {
    /// Finds the k-th largest of `|values|`, for `1 ≤ k ≤ values.len()`.
    pub(crate) fn of_magnitudes(values: &[T], k: usize) -> Self {
        let threshold = reached_by(values, k, 1);
        let above = values.iter().filter(|v| v.abs() > threshold).count();
        Self {
            threshold,
            ties: k.saturating_sub(above),
        }
    }
}

/// Returns a magnitude that at least `k` of `|values|` reach, for `1 ≤ k ≤ values.len()`. Fewer than `k`
/// reach the magnitude that is `units` in the last place larger.
///
/// Bisects the bits, which have the order of the magnitudes. Each probe is one vector pass.
pub(super) fn reached_by<T: Real>(values: &[T], k: usize, units: u64) -> T {
    vectorize(
        #[inline(always)]
        || {
            // The invariant: at least k magnitudes reach `low`, fewer than k reach `high`.
            let (mut low, mut high) = (0, T::infinity_bits() + 1);
            while high - low > units {
                let middle = low + (high - low) / 2;
                if count_from(values, T::from_magnitude_bits(middle)) >= k {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            T::from_magnitude_bits(low)
        },
    )
}

/// Returns `bound`, or the smallest number above 0 if that is larger.
pub(super) fn above_zero<T: Real>(bound: T) -> T {
    let smallest = T::from_magnitude_bits(1);
    if bound > smallest { bound } else { smallest }
}

/// Returns the number of `|values|` that reach `threshold`.
#[inline(always)]
fn count_from<T: Real>(values: &[T], threshold: T) -> usize {
    let mut count = 0;
    // Counts in the scalar itself, which is exact below 2²⁴.
    for block in values.chunks(1 << 20) {
        let of_block = crate::linalg::sum(block, |v| {
            if v.abs() >= threshold {
                T::one()
            } else {
                T::zero()
            }
        });
        count += of_block.to_f64() as usize;
    }
    count
}

/// Sets all but the `k` largest magnitudes to 0. Of equal ones the first win, and a NaN stays.
pub(crate) fn keep_top_k<T: Real>(values: &mut [T], k: usize) {
    if k >= values.len() {
        return;
    }
    let threshold = reached_by(values, k, 1);
    if threshold <= T::zero() {
        return; // fewer than k are not 0, and the rest are 0 already
    }
    let reached = vectorize(
        #[inline(always)]
        || {
            let reached = count_from(values, threshold);
            for value in &mut *values {
                *value = if value.abs() < threshold {
                    T::zero()
                } else {
                    *value
                };
            }
            reached
        },
    );
    let equal = values.iter_mut().rev().filter(|v| v.abs() == threshold);
    for value in equal.take(reached - k) {
        *value = T::zero();
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // values are selected, not computed
mod tests {
    use super::*;

    #[test]
    fn keeps_the_largest_and_the_first_of_equals() {
        let mut values = [0.5, 2.0, 0.0, 2.0, 1.0, 2.0, 0.1_f32];
        keep_top_k(&mut values, 2);
        assert_eq!(values, [0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
        let mut few = [0.0, 0.25, 0.0_f64];
        keep_top_k(&mut few, 2);
        assert_eq!(few, [0.0, 0.25, 0.0]);
    }

    #[test]
    fn the_largest_magnitudes_keep_their_signs_and_the_first_of_equals_wins() {
        let mut values = [0.5, -2.0, 0.0, 1.0, -1.0, 1.0_f64];
        keep_top_k(&mut values, 2);
        assert_eq!(values, [0.0, -2.0, 0.0, 1.0, 0.0, 0.0]);
        let mut few = [0.0, -0.25, 0.0_f32];
        keep_top_k(&mut few, 2);
        assert_eq!(few, [0.0, -0.25, 0.0]);
        let mut nan = [1.0, f64::NAN, -3.0, 2.0];
        keep_top_k(&mut nan, 1);
        assert!(nan[1].is_nan());
    }

    #[test]
    fn agrees_with_a_sort() {
        let values: Vec<f64> = (0..257)
            .map(|i| f64::from((i * 7919) % 101) - 50.0)
            .collect();
        for k in [1, 2, 17, 100, 256, 257] {
            let mut sorted: Vec<f64> = values.iter().map(|v| v.abs()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let largest = KthLargest::of_magnitudes(&values, k);
            assert_eq!(largest.threshold, sorted[k - 1]);
            let above = sorted.iter().filter(|&&v| v > largest.threshold).count();
            assert_eq!(largest.ties, k - above);
        }
    }
}
