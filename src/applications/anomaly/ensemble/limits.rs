//! Limits of the values to learn from, so that a few gross errors do not set the scale.

use crate::data::spread::read_spread;
use crate::linalg::reserve;
use crate::{Error, Real, Samples};

/// The distance of the limits from the median, in interquartile ranges: 27 standard deviations of a normal
/// distribution.
const RANGES: f64 = 20.0;

/// The entries from which to estimate quartiles, and the numbers of samples that they make.
const ENTRIES: usize = 1 << 20;
const SAMPLES: [usize; 2] = [64, 1024];

/// The smallest and the largest value of each feature to learn from.
///
/// Features whose quartiles are equal, such as rare ones, have none.
#[derive(Debug, Clone)]
pub(super) struct Limits<T>(Vec<[T; 2]>);

impl<T: Real> Limits<T> {
    /// Estimates them from some of these samples.
    pub(super) fn of(samples: &dyn Samples<T>) -> Result<Self, Error> {
        let [fewest, most] = SAMPLES;
        let features = samples.entries();
        let most = (ENTRIES / features.max(1)).clamp(fewest, most);
        let (_, some) = read_spread(samples, most, 0, "samples for quartiles")?;
        let mut limits = reserve::filled([T::zero(); 2], features, "features")?;
        let mut values = Vec::new();
        for (limits, feature) in limits.iter_mut().zip(some.row_iter()) {
            values.clear();
            values.extend(feature.iter().map(|x| x.to_f64()));
            values.sort_unstable_by(f64::total_cmp);
            let last = values.len().saturating_sub(1);
            let [low, median, high] = [last / 4, last / 2, last - last / 4].map(|at| values[at]);
            let range = if high > low {
                RANGES * (high - low)
            } else {
                f64::INFINITY
            };
            *limits = [median - range, median + range].map(T::of);
        }
        Ok(Self(limits))
    }

    /// Returns the samples with every value moved to the nearest within the limits.
    pub(super) fn apply_on_read<'a>(
        &'a self,
        samples: Box<dyn Samples<T> + 'a>,
    ) -> impl Samples<T> + 'a {
        Limited {
            samples,
            limits: &self.0,
        }
    }
}

struct Limited<'a, T> {
    samples: Box<dyn Samples<T> + 'a>,
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
mod tests {
    use nalgebra::DMatrix;

    use super::Limits;
    use crate::Samples;

    #[test]
    fn values_move_to_twenty_interquartile_ranges_from_the_median() {
        let mut samples = DMatrix::from_fn(2, 401, |i, j| match i {
            0 => j as f64,
            _ => f64::from(u8::from(j % 5 == 0)), // no interquartile range
        });
        samples[(0, 0)] = -1e9;
        let limits = Limits::of(&samples).unwrap();
        samples[(0, 1)] = f64::INFINITY;
        samples[(0, 2)] = 1e9;
        samples[(1, 3)] = 1e9;
        let mut expected = samples.clone();
        (expected[(0, 0)], expected[(0, 2)]) = (200.0 - 4000.0, 200.0 + 4000.0);
        let source: Box<dyn Samples<f64> + '_> = Box::new(&samples);
        assert_eq!(limits.apply_on_read(source).to_matrix().unwrap(), expected);
    }
}
