//! Limits of the values to learn from, so that a few gross errors do not set the scale.

use crate::data::imputer::is_missing;
use crate::data::spread::read_spread;
use crate::linalg::reserve;
use crate::{Error, Real, Samples};

/// The distance of the limits from the median, in interquartile ranges: 27 standard deviations of a normal
/// distribution.
const RANGES: f64 = 20.0;

/// The largest share of gross errors. More values beyond the limits are the tail of a distribution.
const ERRORS: f64 = 0.01;

/// The entries from which to estimate quartiles, and the numbers of samples that they make.
const ENTRIES: usize = 1 << 20;
const SAMPLES: [usize; 2] = [64, 1024];

/// The fewest values from which to estimate them.
const VALUES: usize = 16;

/// The smallest and the largest value of each feature to learn from.
#[derive(Debug, Clone)]
pub(super) struct Limits<T>(Vec<[T; 2]>);

impl<T: Real> Limits<T> {
    /// Estimates them from the values present in some of these samples.
    pub(super) fn of(samples: &dyn Samples<T>) -> Result<Self, Error> {
        let [fewest, most] = SAMPLES;
        let features = samples.entries();
        let most = (ENTRIES / features.max(1)).clamp(fewest, most);
        let (_, some) = read_spread(samples, most, 0, "samples for quartiles")?;
        let mut limits = reserve::filled([T::zero(); 2], features, "features")?;
        let mut values = Vec::new();
        for (limits, feature) in limits.iter_mut().zip(some.row_iter()) {
            values.clear();
            let present = feature.iter().filter(|&&x| !is_missing(x));
            values.extend(present.map(|x| x.to_f64()));
            *limits = limits_of(&mut values).map(T::of);
        }
        Ok(Self(limits))
    }

    /// Returns the samples with every value moved to the nearest within the limits.
    pub(super) fn apply_on_read<'a>(&'a self, samples: &'a dyn Samples<T>) -> impl Samples<T> + 'a {
        Limited {
            samples,
            limits: &self.0,
        }
    }
}

/// Returns the limits of values that are like these.
///
/// If most are equal, such as 0, the others set the limits. If those are few or equal, too, there are none, nor if
/// more than a hundredth of the values lie beyond.
#[allow(clippy::float_cmp)] // the same value
fn limits_of(values: &mut Vec<f64>) -> [f64; 2] {
    let errors = (ERRORS * f64::of_count(values.len())).max(1.0);
    let mut at = quartiles(values);
    let usual = at[1];
    if at[0] >= at[2] {
        values.retain(|&x| x != usual);
        at = quartiles(values);
    }
    let [low, median, high] = at;
    let range = RANGES * (high - low);
    let limits = [usual.min(median - range), usual.max(median + range)];
    let beyond = values
        .iter()
        .filter(|&&x| x < limits[0] || x > limits[1])
        .count();
    if values.len() < VALUES || low >= high || f64::of_count(beyond) > errors {
        return [f64::NEG_INFINITY, f64::INFINITY];
    }
    limits
}

/// Returns the quartiles of values, which it sorts. 0 without values.
fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    [last / 4, last / 2, last - last / 4].map(|at| values.get(at).copied().unwrap_or(0.0))
}

struct Limited<'a, T> {
    samples: &'a dyn Samples<T>,
    limits: &'a [[T; 2]],
}

impl<T: Real> Samples<T> for Limited<'_, T> {
    fn count(&self) -> usize {
        self.samples.count()
    }

    fn entries(&self) -> usize {
        self.limits.len()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        self.samples.read(indices, batch)?;
        for sample in batch.chunks_exact_mut(self.limits.len().max(1)) {
            for (x, &[low, high]) in sample.iter_mut().zip(self.limits) {
                // Infinities stay, and are refused by those who read them.
                if x.is_finite() && *x < low {
                    *x = low;
                } else if x.is_finite() && *x > high {
                    *x = high;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // small integers
mod tests {
    use nalgebra::DMatrix;

    use super::{Limits, limits_of};
    use crate::Samples;

    #[test]
    fn values_move_to_twenty_interquartile_ranges_from_the_median() {
        let mut samples = DMatrix::from_fn(2, 401, |i, j| match i {
            0 => j as f64,
            _ => f64::from(u8::from(j % 5 == 0)), // equal quartiles, and others that are equal
        });
        samples[(0, 0)] = -1e9;
        let limits = Limits::of(&samples).unwrap();
        samples[(0, 1)] = f64::INFINITY;
        samples[(0, 2)] = 1e9;
        samples[(1, 3)] = 1e9;
        let mut expected = samples.clone();
        (expected[(0, 0)], expected[(0, 2)]) = (200.0 - 4000.0, 200.0 + 4000.0);
        assert_eq!(
            limits.apply_on_read(&samples).to_matrix().unwrap(),
            expected
        );
    }

    #[test]
    fn the_values_that_are_not_the_usual_one_set_limits_if_they_are_many() {
        let infinite = [f64::NEG_INFINITY, f64::INFINITY];
        let with = |others: usize| {
            let mut values = vec![0.0; 200];
            values.extend((0..others).map(|i| 1000.0 + i as f64));
            limits_of(&mut values)
        };
        assert_eq!(with(15), infinite);
        assert_eq!(with(41), [0.0, 1020.0 + 20.0 * 20.0]);
        assert_eq!(limits_of(&mut Vec::new()), infinite);
        assert_eq!(limits_of(&mut vec![3.0; 50]), infinite);
    }

    #[test]
    fn values_beyond_are_errors_if_they_are_at_most_a_hundredth() {
        let with = |beyond: usize| {
            let mut values: Vec<_> = (0..301).map(f64::from).collect();
            values[..beyond].fill(1e9);
            let [low, high] = limits_of(&mut values);
            low.is_finite() && high.is_finite()
        };
        assert!(with(3) && !with(4));
        // One is an error among few, too.
        let mut few: Vec<_> = (0..20).map(f64::from).collect();
        few[7] = -1e9;
        assert!(limits_of(&mut few)[0].is_finite());
    }
}
