//! The k largest entries of a sample. A bound rules out almost all other entries in one pass.

use super::active::index;
use super::compact::compact_nonzero;
use super::kth_largest::{above_zero, keep_top_k, reached_by};
use crate::Real;
use crate::linalg::vectorize;

/// Entries that are compared at a time: two vectors, because each waits for its last comparison.
const LANES: usize = 32;
/// The maximum number of groups, and of entries that reach the bound.
const GROUPS: usize = 1024;
const CANDIDATES: usize = GROUPS / 2;

/// Writes the `k` largest positive entries of `z + bias` to `values`, and their positions, ascending, to
/// `positions`. Returns their number.
///
/// Of equal entries, the first win. A NaN or an infinity is returned alone. Leaves `z` undefined.
///
/// All `k` largest entries reach the k-th largest of the maxima of groups. A group is a lane of a block
/// of consecutive entries: one vector pass finds all maxima, and entries that are read again lie close
/// together.
pub(crate) fn top_k<T: Real>(
    z: &mut [T],
    bias: &[T],
    k: usize,
    positions: &mut [u32],
    values: &mut [T],
) -> usize {
    let groups = (8 * k).next_power_of_two().max(LANES);
    if groups > GROUPS || z.len() < 3 * groups {
        return select_from_few(z, bias, k, positions, values);
    }
    let block = z.len().div_ceil(groups / LANES).next_multiple_of(LANES);
    let mut maxima = [[T::zero(); LANES]; GROUPS / LANES];
    let maxima = &mut maxima[..z.len().div_ceil(block)];
    let finite = vectorize(
        #[inline(always)]
        || group_maxima(z, bias, block, maxima),
    );
    if !finite {
        return select_from_few(z, bias, k, positions, values);
    }
    let maxima = maxima.as_flattened();
    // Only the first bits of the bound: a few more entries pass, in half the time.
    let bound = reached_by(maxima, k, T::infinity_bits() >> 15);
    let bound = above_zero(bound);

    let mut leading = [0; GROUPS + 1];
    let count = append(&mut leading, 0, 0..maxima.len(), |group| {
        maxima[group] >= bound
    });
    let value = |i: usize| z[i] + bias[i];
    let mut candidates = [0; CANDIDATES + 1];
    let mut running = 0;
    for &group in &leading[..count] {
        let (of, lane) = (group as usize / LANES, group as usize % LANES);
        let end = (block * (of + 1)).min(z.len());
        let entries = (block * of + lane..end).step_by(LANES);
        running = append(&mut candidates, running, entries, |i| value(i) >= bound);
    }
    if running > CANDIDATES {
        return select_from_few(z, bias, k, positions, values); // too many are equal
    }
    let candidates = &mut candidates[..running];
    let kept = if running > k {
        let rank = |i: &u32| (value(*i as usize).magnitude_bits(), u32::MAX - i);
        candidates.select_nth_unstable_by(k - 1, |a, b| rank(b).cmp(&rank(a)));
        &mut candidates[..k]
    } else {
        candidates
    };
    kept.sort_unstable();
    for (&mut position, (to, out)) in kept.iter_mut().zip(positions.iter_mut().zip(values)) {
        *to = position;
        *out = value(position as usize);
    }
    kept.len()
}

/// Writes the largest entry of `z + bias` in each group, at least 0. Returns `false` if an entry is not finite.
#[inline(always)]
fn group_maxima<T: Real>(z: &[T], bias: &[T], block: usize, maxima: &mut [[T; LANES]]) -> bool {
    let mut not_finite = [T::zero(); LANES];
    for ((z, bias), maxima) in z.chunks(block).zip(bias.chunks(block)).zip(maxima) {
        // A local array, which stays in registers.
        let mut largest = [T::zero(); LANES];
        let ((z, z_rest), (bias, bias_rest)) = (z.as_chunks(), bias.as_chunks());
        for (z, bias) in z.iter().zip(bias) {
            look_at(z, bias, &mut largest, &mut not_finite);
        }
        if !z_rest.is_empty() {
            let (mut z, mut bias) = ([T::zero(); LANES], [T::zero(); LANES]);
            z[..z_rest.len()].copy_from_slice(z_rest);
            bias[..z_rest.len()].copy_from_slice(bias_rest);
            look_at(&z, &bias, &mut largest, &mut not_finite);
        }
        *maxima = largest;
    }
    not_finite.iter().all(|sum| *sum == T::zero())
}

/// Takes the maximum of `largest` and `z + bias`. Makes `not_finite` NaN where an entry is not finite.
#[inline(always)]
fn look_at<T: Real>(
    z: &[T; LANES],
    bias: &[T; LANES],
    largest: &mut [T; LANES],
    not_finite: &mut [T; LANES],
) {
    for lane in 0..LANES {
        let value = z[lane] + bias[lane];
        largest[lane] = if value > largest[lane] {
            value
        } else {
            largest[lane]
        };
        #[allow(clippy::eq_op)] // 0, or NaN
        {
            not_finite[lane] += value - value;
        }
    }
}

/// Appends the `positions` for which `counts` is true to the first `len` of `list`, and returns the new
/// length. The last place of `list` takes all that do not fit.
#[inline(always)]
fn append(
    list: &mut [u32],
    mut len: usize,
    positions: impl Iterator<Item = usize>,
    counts: impl Fn(usize) -> bool,
) -> usize {
    let last = list.len() - 1;
    for position in positions {
        // Written before it is tested: a branch would be mispredicted too often.
        list[len.min(last)] = index(position);
        len += usize::from(counts(position));
    }
    len
}

/// Computes [`top_k`] by bisection over all entries.
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
    keep_top_k(z, k);
    compact_nonzero(z, positions, values)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // values are selected, not computed
mod tests {
    use super::*;

    /// What `top_k` promises, by a stable sort.
    fn by_sort<T: Real>(sums: &[T], k: usize) -> (Vec<u32>, Vec<T>) {
        let mut order: Vec<usize> = (0..sums.len()).filter(|&i| sums[i] > T::zero()).collect();
        order.sort_by(|&a, &b| sums[b].partial_cmp(&sums[a]).unwrap());
        order.truncate(k);
        order.sort_unstable();
        let values = order.iter().map(|&i| sums[i]).collect();
        (order.into_iter().map(index).collect(), values)
    }

    fn selected<T: Real>(z: &[T], bias: &[T], k: usize) -> (Vec<u32>, Vec<T>) {
        let (mut positions, mut values) = (vec![0; k], vec![T::zero(); k]);
        let count = top_k(&mut z.to_vec(), bias, k, &mut positions, &mut values);
        positions.truncate(count);
        values.truncate(count);
        (positions, values)
    }

    /// Sizes with and without whole blocks, around the first that uses groups. Many values, and few, which
    /// tie. None, few, or all of them are positive.
    fn agrees<T: Real>() {
        for len in [40, 95, 96, 97, 500, 768, 769, 1000, 2048, 4096, 5003] {
            for k in [1, 4, 31, 32, 33, 128, 129] {
                for (distinct, shift) in
                    [(1009, 500), (1009, 990), (7, 3), (2, 0), (2, 1), (50, 50)]
                {
                    let number = |i: usize| T::of_count((i * 7919 + i / 3) % distinct);
                    let z: Vec<T> = (0..len).map(number).collect();
                    let bias: Vec<T> = (0..len)
                        .map(|i| T::of_count(i % 3) - T::of_count(shift))
                        .collect();
                    let sums: Vec<T> = z.iter().zip(&bias).map(|(&z, &b)| z + b).collect();
                    assert_eq!(
                        selected(&z, &bias, k),
                        by_sort(&sums, k),
                        "{k} of {len}, {distinct} values, less {shift}"
                    );
                }
            }
        }
    }

    #[test]
    fn agrees_with_a_sort() {
        agrees::<f32>();
        agrees::<f64>();
    }

    #[test]
    fn what_is_not_finite_is_passed_on() {
        for len in [50, 1000] {
            let mut z = vec![1.0_f32; len];
            z[len - 3] = f32::NAN;
            let (_, values) = selected(&z, &vec![0.0; len], 4);
            assert!(values.len() == 1 && values[0].is_nan());
            z[len - 3] = f32::MAX;
            let (positions, values) = selected(&z, &vec![f32::MAX; len], 4);
            assert_eq!(
                (positions, values),
                (vec![index(len - 3)], vec![f32::INFINITY])
            );
        }
    }
}
