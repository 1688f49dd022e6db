//! The k largest activations of a batch: of each unit, or of all units together.

use super::KthLargest;
use super::compact::compact;
use super::kth_largest::above_zero;
use crate::Real;
use crate::linalg::{Divide, Scratch, add_column, divide, join, vectorize};

/// Units read at a time: a cache line of a sample.
const UNITS: usize = 16;

/// The smallest activation that each unit keeps.
#[derive(Debug, Clone)]
pub(crate) struct Cutoffs<T> {
    /// Activations above it are kept.
    thresholds: Vec<T>,
    /// Activations equal to the threshold are kept up to this sample.
    last: Vec<u32>,
}

impl<T> Default for Cutoffs<T> {
    fn default() -> Self {
        Self {
            thresholds: Vec::new(),
            last: Vec::new(),
        }
    }
}

/// Sets all but the `k` largest entries of every row of `h` to 0.
///
/// `h` is units × samples, without negative entries. Of equal entries, the first win; a NaN stays. Writes
/// the sum over the columns to `sums`, and the number of entries that are not 0 behind it. Leaves
/// `spare`, which is as large as `h`, undefined.
pub(crate) fn keep_top_k_of_units<T: Real>(
    h: &mut [T],
    units: usize,
    k: usize,
    spare: &mut [T],
    cuts: &mut Cutoffs<T>,
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let samples = h.len() / units;
    if cuts.last.len() < units {
        cuts.thresholds.resize(units, T::zero());
        cuts.last.resize(units, 0);
    }
    let rows = Rows {
        first: 0,
        samples,
        entries: spare,
        thresholds: &mut cuts.thresholds[..units],
        last: &mut cuts.last[..units],
    };
    let depth = scratch.threads.depth_for(h.len());
    let of = &*h;
    divide(rows, depth, &|rows: Rows<'_, T>| {
        rows.cut(of, units, k);
    });

    let (thresholds, last) = (&cuts.thresholds[..units], &cuts.last[..units]);
    scratch.run(h, units, sums, |first, panel, sums| {
        for (offset, column) in panel.chunks_exact_mut(units).enumerate() {
            let sample = super::active::index(first + offset);
            vectorize(
                #[inline(always)]
                || keep(column, sample, thresholds, last, sums),
            );
        }
    });
}

#[inline(always)]
fn keep<T: Real>(column: &mut [T], sample: u32, thresholds: &[T], last: &[u32], sums: &mut [T]) {
    for ((h, &threshold), &last) in column.iter_mut().zip(thresholds).zip(last) {
        // A NaN passes both comparisons: a diverging model must show in its loss.
        let lost = (*h < threshold) | ((*h == threshold) & (sample > last));
        *h = if lost { T::zero() } else { *h };
    }
    add_column(column, sums);
}

/// Sets all but the `k` largest entries of `h` to 0. Returns the smallest positive entry
/// that is kept, or `None` if no entry is positive.
///
/// Of equal entries, the first win, column by column. `h`, `spare`, and `sums` are as for
/// [`keep_top_k_of_units`].
pub(crate) fn keep_top_k_of_batch<T: Real>(
    h: &mut [T],
    units: usize,
    k: usize,
    spare: &mut [T],
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) -> Option<T> {
    let bound = probable_bound(h, k, spare);
    let depth = scratch.threads.depth_for(h.len());
    let mut count = compact_from(h, bound, spare, depth);
    if count < k && bound > T::zero() {
        count = compact_from(h, T::zero(), spare, depth);
    }
    let candidates = &spare[..count];
    let (threshold, ties) = if count > k {
        let largest = KthLargest::of_magnitudes(candidates, k);
        (largest.threshold, largest.ties)
    } else {
        let smallest = |a: Option<T>, b: T| Some(a.map_or(b, |a| if b < a { b } else { a }));
        let smallest = candidates.iter().copied().fold(None, smallest);
        (smallest.unwrap_or_else(T::zero), count)
    };
    // Of entries equal to the threshold, those behind the last that is kept are lost.
    let equal = candidates.iter().filter(|&&h| h == threshold).count();
    let end = if ties < equal {
        let mut positions = h.iter().enumerate().filter(|(_, h)| **h == threshold);
        positions
            .nth(ties)
            .map_or(h.len(), |(position, _)| position)
    } else {
        h.len()
    };
    scratch.run(h, units, sums, |first, panel, sums| {
        for (offset, column) in panel.chunks_exact_mut(units).enumerate() {
            let equals_kept = end.saturating_sub((first + offset) * units).min(units);
            vectorize(
                #[inline(always)]
                || {
                    let (before, behind) = column.split_at_mut(equals_kept);
                    for h in before {
                        *h = if *h < threshold { T::zero() } else { *h };
                    }
                    for h in behind {
                        *h = if *h <= threshold { T::zero() } else { *h };
                    }
                    add_column(column, sums);
                },
            );
        }
    });
    (count > 0).then_some(threshold)
}

/// Estimates from a sample of the entries a value that the `k` largest entries of `h` reach, and few others.
/// The caller checks it, so the result of a selection does not depend on it.
fn probable_bound<T: Real>(h: &[T], k: usize, spare: &mut [T]) -> T {
    const SAMPLE: usize = 1 << 14;
    if h.len() < 4 * SAMPLE {
        return T::zero();
    }
    // An odd stride visits every unit even if their number is a power of two.
    let step = (h.len() / SAMPLE) | 1;
    let mut count = 0;
    for (to, &h) in spare.iter_mut().zip(h.iter().step_by(step)) {
        *to = h;
        count += 1;
    }
    let expected = f64::of_count(k) * f64::of_count(count) / f64::of_count(h.len());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small and positive
    let rank = (expected + 4.0 * expected.sqrt() + 4.0) as usize;
    if rank >= count {
        return T::zero();
    }
    KthLargest::of_magnitudes(&spare[..count], rank).threshold
}

/// Copies the entries of `h` that are above 0 and reach `bound` to `to`, in their order. Returns their
/// number.
///
/// Halves `h` `depth` times, for several threads. `to` is as large as `h`.
fn compact_from<T: Real>(h: &[T], bound: T, to: &mut [T], depth: u32) -> usize {
    if depth == 0 {
        let bound = above_zero(bound);
        return compact(
            h,
            |h| h >= bound,
            |number, _, h| {
                if let Some(to) = to.get_mut(number) {
                    *to = h;
                }
            },
        );
    }
    let middle = h.len() / 2;
    let (to_first, to_second) = to.split_at_mut(middle);
    let (mut first, mut second) = (0, 0);
    join(
        || first = compact_from(&h[..middle], bound, to_first, depth - 1),
        || second = compact_from(&h[middle..], bound, to_second, depth - 1),
    );
    to.copy_within(middle..middle + second, first);
    first + second
}

/// Consecutive units, with room for their activations, one unit after the other.
struct Rows<'a, T> {
    first: usize,
    samples: usize,
    entries: &'a mut [T],
    thresholds: &'a mut [T],
    last: &'a mut [u32],
}

impl<T: Real> Divide for Rows<'_, T> {
    fn halves(self) -> Result<(Self, Self), Self> {
        // Cut at whole blocks, so that no cache line is read twice.
        let half = (self.last.len() / 2).next_multiple_of(UNITS);
        if half >= self.last.len() {
            return Err(self);
        }
        let (first, samples) = (self.first, self.samples);
        let entries = self.entries.split_at_mut(half * samples);
        let thresholds = self.thresholds.split_at_mut(half);
        let last = self.last.split_at_mut(half);
        let part = |first, entries, thresholds, last| Self {
            first,
            samples,
            entries,
            thresholds,
            last,
        };
        Ok((
            part(first, entries.0, thresholds.0, last.0),
            part(first + half, entries.1, thresholds.1, last.1),
        ))
    }
}

impl<T: Real> Rows<'_, T> {
    /// Finds the cutoffs of these units in the columns of `h`.
    fn cut(self, h: &[T], units: usize, k: usize) {
        let blocks = self.entries.chunks_mut(UNITS * self.samples);
        let cuts = self.thresholds.chunks_mut(UNITS);
        for (block, ((entries, thresholds), last)) in blocks
            .zip(cuts)
            .zip(self.last.chunks_mut(UNITS))
            .enumerate()
        {
            let first = self.first + block * UNITS;
            for (square, columns) in h.chunks(units * UNITS).enumerate() {
                let mut from: [&[T]; UNITS] = [&[]; UNITS];
                let mut count = 0;
                for (from, column) in from.iter_mut().zip(columns.chunks_exact(units)) {
                    *from = &column[first..first + last.len()];
                    count += 1;
                }
                let to = &mut entries[square * UNITS..];
                T::transpose(&from[..count], to, self.samples);
            }
            let rows = entries.chunks_exact(self.samples);
            for ((row, threshold), last) in rows.zip(thresholds).zip(last) {
                let largest = KthLargest::of_magnitudes(row, k);
                *threshold = largest.threshold;
                let mut equal = row.iter().enumerate().filter(|(_, h)| **h == *threshold);
                let nth = largest.ties.checked_sub(1).and_then(|nth| equal.nth(nth));
                *last = nth.map_or(0, |(sample, _)| super::active::index(sample));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // values are selected, not computed
mod tests {
    use super::*;
    use crate::linalg::Threads;

    #[test]
    fn each_unit_keeps_its_largest_and_the_first_of_equals() {
        let nan = f64::NAN;
        // Three units, four samples; a sample is a column of `h`, and a line here.
        let mut h = [
            1.0, 0.0, 2.0, //
            3.0, 0.5, 2.0, //
            nan, 0.0, 2.0, //
            4.0, 0.0, 0.0,
        ];
        let (mut sums, mut spare) = ([0.0; 4], [0.0; 12]);
        let cuts = &mut Cutoffs::default();
        keep_top_k_of_units(
            &mut h,
            3,
            2,
            &mut spare,
            cuts,
            &mut sums,
            &mut Scratch::default(),
        );
        assert_eq!(h[..6], [0.0, 0.0, 2.0, 3.0, 0.5, 2.0]);
        assert!(h[6].is_nan());
        assert_eq!(h[7..], [0.0, 0.0, 4.0, 0.0, 0.0]);
        assert!(sums[0].is_nan());
        assert_eq!(sums[1..], [0.5, 4.0, 6.0]);
    }

    #[test]
    fn a_batch_keeps_its_largest_and_the_first_of_equals() {
        let nan = f64::NAN;
        let h = [1.0, 0.0, 2.0, nan, 2.0, 0.5, 0.0, 2.0, 3.0];
        let keep = |k| {
            let (mut h, mut spare, mut sums) = (h, h, [0.0; 4]);
            let scratch = &mut Scratch::default();
            let smallest = keep_top_k_of_batch(&mut h, 3, k, &mut spare, &mut sums, scratch);
            assert!(h[3].is_nan() && sums[0].is_nan());
            h[3] = -1.0;
            (h, smallest, sums[3])
        };
        let kept = keep(3);
        assert_eq!(kept.0, [0.0, 0.0, 2.0, -1.0, 2.0, 0.0, 0.0, 0.0, 3.0]);
        assert_eq!((kept.1, kept.2), (Some(2.0), 4.0));
        let kept = keep(8); // all, which are six and the NaN
        assert_eq!(kept.0, [1.0, 0.0, 2.0, -1.0, 2.0, 0.5, 0.0, 2.0, 3.0]);
        assert_eq!((kept.1, kept.2), (Some(0.5), 7.0));

        let (mut none, mut spare, mut sums) = ([0.0; 4], [0.0; 4], [1.0; 3]);
        let scratch = &mut Scratch::default();
        let smallest = keep_top_k_of_batch(&mut none, 2, 1, &mut spare, &mut sums, scratch);
        assert_eq!((smallest, none, sums), (None, [0.0; 4], [0.0; 3]));
    }

    #[test]
    fn agrees_with_a_sort_of_the_batch() {
        let units = 512; // many enough entries to be sampled first
        let spread = |i: usize| f64::from((i.wrapping_mul(2_654_435_761) >> 7 & 0xffff) as u32);
        // Mostly different; few large ones, all of one unit; all equal.
        let batches: [Vec<f64>; 3] = [
            (0..units * 200)
                .map(|i| (spread(i) - 30_000.0).max(0.0))
                .collect(),
            (0..units * 200)
                .map(|i| if i % units == 3 { spread(i) } else { 0.0 })
                .collect(),
            vec![0.25; units * 200],
        ];
        for batch in &batches {
            let mut order: Vec<usize> = (0..batch.len()).collect();
            order.sort_by(|&a, &b| batch[b].total_cmp(&batch[a]).then(a.cmp(&b)));
            for (k, threads) in [(1, 1), (150, 2), (3000, 3), (3000, 1), (60_000, 4)] {
                let (mut h, mut spare) = (batch.clone(), batch.clone());
                let mut sums = vec![0.0; units + 1];
                let scratch = &mut Scratch::default();
                scratch.threads = Threads::at_most(threads);
                keep_top_k_of_batch(&mut h, units, k, &mut spare, &mut sums, scratch);
                let mut expected = vec![0.0; batch.len()];
                for &i in &order[..k] {
                    expected[i] = batch[i];
                }
                assert!(h == expected, "{k}, {threads} threads");
            }
        }
    }

    #[test]
    fn agrees_with_a_sort_of_each_row() {
        let (units, samples, k) = (37, 65, 9);
        let value = |j: usize, i: usize| f64::from(((i * 7919 + j * 104_729) % 23) as u32);
        let mut h: Vec<f64> = (0..units * samples)
            .map(|at| value(at % units, at / units))
            .collect();
        let (mut sums, mut spare) = (vec![0.0; units + 1], h.clone());
        let scratch = &mut Scratch::default();
        keep_top_k_of_units(
            &mut h,
            units,
            k,
            &mut spare,
            &mut Cutoffs::default(),
            &mut sums,
            scratch,
        );
        for j in 0..units {
            let mut order: Vec<usize> = (0..samples).collect();
            order.sort_by(|&a, &b| value(j, b).total_cmp(&value(j, a)).then(a.cmp(&b)));
            for (rank, &i) in order.iter().enumerate() {
                let expected = if rank < k { value(j, i) } else { 0.0 };
                assert_eq!(h[i * units + j], expected);
            }
        }
    }
}
