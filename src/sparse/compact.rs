//! Stream compaction: the few entries of a column that count, in their order.

use super::active::index;
use crate::Real;
use crate::linalg::vectorize;

/// Entries that are tested at a time: a vector or two. With 8, sparse steps are 1.00 to 1.05 times as fast
/// on AMD Zen 3.
const BLOCK: usize = 16;

/// Calls `write(number, position, entry)` for the entries for which `counts` is true, numbered from 0.
/// Returns their count.
///
/// Every entry is written before it is tested, because a branch would be mispredicted too often. `write`
/// may therefore see an entry that does not count, and then the next one under the same number. Avoid
/// `&&` in `counts`, which also branches.
pub(super) fn compact<T: Real>(
    entries: &[T],
    counts: impl Fn(T) -> bool,
    mut write: impl FnMut(usize, usize, T),
) -> usize {
    vectorize(
        #[inline(always)]
        || {
            let (blocks, rest) = entries.as_chunks::<BLOCK>();
            let mut number = 0;
            let mut visit = |first: usize, entries: &[T]| {
                for (position, &entry) in (first..).zip(entries) {
                    write(number, position, entry);
                    number += usize::from(counts(entry));
                }
            };
            for (block, entries) in blocks.iter().enumerate() {
                // Most blocks are empty, which a vector comparison tells.
                if entries
                    .iter()
                    .fold(false, |any, &entry| any | counts(entry))
                {
                    visit(block * BLOCK, entries);
                }
            }
            visit(blocks.len() * BLOCK, rest);
            number
        },
    )
}

/// Runs [`compact`] into `positions` and `values`, up to their length.
pub(super) fn compact_pairs<T: Real>(
    entries: &[T],
    counts: impl Fn(T) -> bool,
    positions: &mut [u32],
    values: &mut [T],
) -> usize {
    compact(entries, counts, |number, position, entry| {
        if let (Some(to), Some(out)) = (positions.get_mut(number), values.get_mut(number)) {
            (*to, *out) = (index(position), entry);
        }
    })
}

/// Runs [`compact_pairs`] for the entries that are not 0, for which there must be room.
///
/// A NaN or an infinity is returned alone: there may be any number of them.
pub(crate) fn compact_nonzero<T: Real>(
    entries: &[T],
    positions: &mut [u32],
    values: &mut [T],
) -> usize {
    if let Some(position) = entries.iter().position(|entry| !entry.is_finite()) {
        positions[0] = index(position);
        values[0] = entries[position];
        return 1;
    }
    compact_pairs(entries, |entry| entry != T::zero(), positions, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around whole blocks. None, some, or all entries count; the last one has no room.
    #[test]
    fn agrees_with_a_filter() {
        for len in (0..40).chain([64, 100]) {
            for every in [1, 3, 17, 1000] {
                let entries: Vec<f64> = (0..len)
                    .map(|i| if i % every == every / 2 { 1.5 } else { 0.0 })
                    .collect();
                let expected: Vec<usize> = (0..len).filter(|&i| entries[i] > 0.0).collect();
                let room = expected.len().saturating_sub(1);
                let mut positions = vec![usize::MAX; room];
                let count = compact(
                    &entries,
                    |v| v > 0.0,
                    |number, position, _| {
                        if let Some(to) = positions.get_mut(number) {
                            *to = position;
                        }
                    },
                );
                assert_eq!(count, expected.len(), "{len}, every {every}");
                assert_eq!(positions, expected[..room], "{len}, every {every}");
            }
        }
    }
}
