//! Selection of the largest entries.

use super::vectorize;
use crate::Real;

/// What separates the `k` largest magnitudes from the rest: those above `threshold` are among
/// them, and so are the first `ties` of those equal to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Largest<T> {
    pub(crate) threshold: T,
    pub(crate) ties: usize,
}

impl<T: Real> Largest<T> {
    /// The threshold of the `k` largest `|values|`, for `1 ≤ k ≤ values.len()`.
    ///
    /// Bisects the bits of a magnitude, which are ordered as the magnitudes are: exact, without
    /// scratch space, and each probe is one vector pass.
    pub(crate) fn of_magnitudes(values: &[T], k: usize) -> Self {
        let at_least = |threshold: T| {
            vectorize(
                #[inline(always)]
                || {
                    // Counted in the scalar itself, which holds every count below 2²⁴ exactly.
                    let mut count = 0_usize;
                    for block in values.chunks(1 << 20) {
                        let blocked = super::sum(block, |v| {
                            if v.abs() >= threshold {
                                T::one()
                            } else {
                                T::zero()
                            }
                        });
                        count += blocked.to_f64() as usize;
                    }
                    count
                },
            )
        };
        // The invariant: at least k magnitudes reach `low`, fewer than k reach `high`.
        let (mut low, mut high) = (0, T::infinity_bits() + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if at_least(T::from_magnitude_bits(middle)) >= k {
                low = middle;
            } else {
                high = middle;
            }
        }
        let threshold = T::from_magnitude_bits(low);
        let above = values.iter().filter(|v| v.abs() > threshold).count();
        Self {
            threshold,
            ties: k.saturating_sub(above),
        }
    }
}

/// Sets all but the `k` largest of the non-negative `values` to 0; of equal values the first win.
pub(crate) fn keep_largest<T: Real>(values: &mut [T], k: usize) {
    if k >= values.len() {
        return;
    }
    let largest = Largest::of_magnitudes(values, k);
    if largest.threshold <= T::zero() {
        return; // fewer than k are positive, and the rest are 0 already
    }
    let mut ties = largest.ties;
    for value in values {
        if *value == largest.threshold && ties > 0 {
            ties -= 1;
        } else if *value <= largest.threshold {
            *value = T::zero();
        }
    }
}

/// Writes the `k` largest positive entries of `z + bias` and their positions, ascending, to
/// `values` and `positions`, and returns how many there are; of equal entries the first win. A NaN
/// is passed on, alone. Leaves `z` undefined.
///
/// Almost all entries are out of the running once the largest of every group is known: with the
/// groups `i, i + G, i + 2G, …`, their maxima are one vector pass, and the `k`-th largest maximum is
/// a bound that all `k` largest entries reach.
pub(super) fn select<T: Real>(
    z: &mut [T],
    bias: &[T],
    k: usize,
    positions: &mut [u32],
    values: &mut [T],
) -> usize {
    const GROUPS: usize = 1024;
    const CANDIDATES: usize = GROUPS / 2;
    let groups = (8 * k).next_power_of_two();
    if groups > GROUPS || z.len() < 3 * groups {
        return select_from_few(z, bias, k, positions, values);
    }
    let mut maxima = [T::zero(); GROUPS];
    let maxima = &mut maxima[..groups];
    let finite = vectorize(
        #[inline(always)]
        || group_maxima(z, bias, maxima),
    );
    if !finite {
        return select_from_few(z, bias, k, positions, values);
    }
    let bound = Largest::of_magnitudes(maxima, k).threshold;

    let mut candidates = [(0, T::zero()); CANDIDATES];
    let mut count = 0;
    let in_the_running = |max: T| max > T::zero() && max >= bound;
    for (group, _) in maxima
        .iter()
        .enumerate()
        .filter(|(_, max)| in_the_running(**max))
    {
        for position in (group..z.len()).step_by(groups) {
            let value = z[position] + bias[position];
            if in_the_running(value) {
                if let Some(candidate) = candidates.get_mut(count) {
                    *candidate = (position, value);
                }
                count += 1;
            }
        }
    }
    if count > CANDIDATES {
        return select_from_few(z, bias, k, positions, values); // so many are equal
    }
    let candidates = &mut candidates[..count];
    candidates.sort_unstable_by(|a, b| {
        b.1.partial_cmp(&a.1)
            .map_or(a.0.cmp(&b.0), |order| order.then(a.0.cmp(&b.0)))
    });
    let kept = &mut candidates[..count.min(k)];
    kept.sort_unstable_by_key(|&(position, _)| position);
    for (&mut (position, value), (to, out)) in kept.iter_mut().zip(positions.iter_mut().zip(values))
    {
        *to = super::codes::index(position);
        *out = value;
    }
    count.min(k)
}

/// The largest entry of `z + bias`, and at least 0, of each group; false if one is not finite.
#[inline(always)]
fn group_maxima<T: Real>(z: &[T], bias: &[T], maxima: &mut [T]) -> bool {
    let mut finite = T::zero();
    for (z, bias) in z.chunks(maxima.len()).zip(bias.chunks(maxima.len())) {
        for ((max, &z), &bias) in maxima.iter_mut().zip(z).zip(bias) {
            let value = z + bias;
            *max = if value > *max { value } else { *max };
        }
        #[allow(clippy::eq_op)] // 0, or NaN
        let sum = super::sum(z, |z| z - z);
        finite += sum;
    }
    finite.is_finite()
}

/// [`select`] by bisection over all entries.
fn select_from_few<T: Real>(
    z: &mut [T],
    bias: &[T],
    k: usize,
    positions: &mut [u32],
    values: &mut [T],
) -> usize {
    for (z, &bias) in z.iter_mut().zip(bias) {
        *z += bias;
        if *z < T::zero() {
            *z = T::zero();
        }
    }
    if let Some(position) = z.iter().position(|z| !z.is_finite()) {
        positions[0] = super::codes::index(position);
        values[0] = z[position];
        return 1;
    }
    keep_largest(z, k);
    let kept = z.iter().enumerate().filter(|(_, z)| **z > T::zero());
    let mut count = 0;
    for ((position, &value), (to, out)) in kept.zip(positions.iter_mut().zip(values)) {
        *to = super::codes::index(position);
        *out = value;
        count += 1;
    }
    count
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // values are selected, not computed
mod tests {
    use super::*;

    #[test]
    fn keeps_the_largest_and_the_first_of_equals() {
        let mut values = [0.5, 2.0, 0.0, 2.0, 1.0, 2.0, 0.1_f32];
        keep_largest(&mut values, 2);
        assert_eq!(values, [0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
        let mut few = [0.0, 0.25, 0.0_f64];
        keep_largest(&mut few, 2);
        assert_eq!(few, [0.0, 0.25, 0.0]);
    }

    #[test]
    fn agrees_with_a_sort() {
        let values: Vec<f64> = (0..257)
            .map(|i| f64::from((i * 7919) % 101) - 50.0)
            .collect();
        for k in [1, 2, 17, 100, 256, 257] {
            let mut sorted: Vec<f64> = values.iter().map(|v| v.abs()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let largest = Largest::of_magnitudes(&values, k);
            assert_eq!(largest.threshold, sorted[k - 1]);
            let above = sorted.iter().filter(|&&v| v > largest.threshold).count();
            assert_eq!(largest.ties, k - above);
        }
    }
}
