//! Samples spread over all, from which to estimate what takes long to compute from all.

use nalgebra::DMatrix;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::samples::{Samples, read};
use crate::linalg::reserve;
use crate::{Error, Real};

/// Returns the rising indices of `most` of `count` samples, or of all if they are fewer.
///
/// One is drawn from each of `most` ranges of equal size. Samples at equal distances would repeat a period of the
/// data.
pub(crate) fn spread(count: usize, most: usize, seed: u64) -> Vec<usize> {
    iter_spread(count, most, seed).collect()
}

/// Returns where a range begins, of as many that divide `count` indices. They differ in size by at most one.
#[allow(clippy::cast_possible_truncation)] // at most `count`
pub(crate) fn range_start(range: usize, of: usize, count: usize) -> usize {
    (range as u128 * count as u128 / of as u128) as usize
}

/// Iterates over the indices of [`spread`].
pub(crate) fn iter_spread(count: usize, most: usize, seed: u64) -> impl Iterator<Item = usize> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let most = most.min(count);
    (0..most).map(move |range| {
        if count == most {
            range
        } else {
            let start = |range| range_start(range, most, count);
            rng.random_range(start(range)..start(range + 1))
        }
    })
}

/// Reads the samples that [`spread`] chooses, and returns their indices, too. An error of the allocation names
/// them.
pub(crate) fn read_spread<T: Real>(
    samples: &dyn Samples<T>,
    most: usize,
    seed: u64,
    name: &'static str,
) -> Result<(Vec<usize>, DMatrix<T>), Error> {
    let chosen = spread(samples.count(), most, seed);
    let mut some = reserve::matrix(samples.entries(), chosen.len(), name)?;
    read(samples, &chosen, some.as_mut_slice())?;
    Ok((chosen, some))
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn one_sample_is_drawn_from_each_range() {
        assert_eq!(spread(7, 7, 1), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(spread(0, 3, 1), [0_usize; 0]);
        for (count, most) in [(8, 7), (1000, 10), (1001, 13), (usize::MAX, 100)] {
            let chosen = spread(count, most, 1);
            assert_eq!(chosen.len(), most);
            for (range, &index) in chosen.iter().enumerate() {
                let end = |range: usize| range as u128 * count as u128 / most as u128;
                assert!((end(range)..end(range + 1)).contains(&(index as u128)));
            }
            assert_eq!(chosen, spread(count, most, 1));
            assert!(count == 8 || chosen != spread(count, most, 2));
        }
    }
}
