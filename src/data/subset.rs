//! Some samples of another source.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::Samples;
use super::samples::{AT_A_TIME, check_read, pieces};
use crate::Real;
use crate::error::{Error, require, require_at_least_0, require_some};
use crate::linalg::reserve;
use crate::validate::check_len;

/// Some samples of another source, in any order: see [`Samples::subset`].
///
/// Holds one index per sample; the samples stay where they are.
#[derive(Debug, Clone)]
pub struct Subset<S> {
    samples: S,
    /// All below the number of samples of the source.
    indices: Vec<usize>,
}

impl<S> Subset<S> {
    /// Takes the samples with these indices, in this order. An index may come several times.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for an index that is not below the number of samples.
    pub fn new<T: Real>(samples: S, indices: impl Into<Vec<usize>>) -> Result<Self, Error>
    where
        S: Samples<T>,
    {
        let indices = indices.into();
        check_read::<T>((0, samples.count()), &indices, &[])?;
        Ok(Self { samples, indices })
    }

    /// Draws `count` samples in proportion to their weights, by systematic resampling. Sample i comes
    /// ⌊count · wᵢ/Σw⌋ times or once more.
    ///
    /// The draws stand at equal distances on the line of cumulated weights, from a random start (Kitagawa 1996,
    /// *Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear State Space Models*). Whole weights that sum to
    /// `count` therefore give each sample exactly wᵢ times. The indices ascend. The same seed draws the same
    /// samples.
    ///
    /// Resampling replaces weights in the objective: mean activations and BatchTopK see the weighted samples. A split
    /// of them for validation or calibration would leave copies of the same sample on both sides: hold out samples
    /// first, and weight the others. The [indices](Self::indices) take labels along, here to balance classes.
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, ClassifierTrainer, SoftmaxClassifier, Subset};
    ///
    /// // One sample in ten is of class 1.
    /// let samples = DMatrix::from_fn(4, 200, |i, j| ((i + j) % 10) as f32);
    /// let labels: Vec<usize> = (0..200).map(|j| usize::from(j % 10 == 0)).collect();
    /// let sizes = [180.0, 20.0];
    /// let weights: Vec<f64> = labels.iter().map(|&class| 1.0 / sizes[class]).collect();
    ///
    /// let balanced = Subset::weighted(&samples, &weights, 400, 0)?;
    /// let labels: Vec<usize> = balanced.indices().iter().map(|&k| labels[k]).collect();
    /// assert_eq!(labels.iter().sum::<usize>(), 200); // half of them
    ///
    /// let mut classifier = SoftmaxClassifier::new(4, 2)?;
    /// let mut trainer = ClassifierTrainer::new(Adam::new(0.1)?).epochs(5);
    /// trainer.fit(&mut classifier, &balanced, &labels)?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::DimensionMismatch`] | not one weight for each sample |
    /// | [`Error::InvalidParameter`] | a weight that is negative or not finite; a sum of the weights that is 0 or overflows; a `count` of 0, or too large for the memory |
    pub fn weighted<T: Real>(
        samples: S,
        weights: &[f64],
        count: usize,
        seed: u64,
    ) -> Result<Self, Error>
    where
        S: Samples<T>,
    {
        check_len("weights of the samples", samples.count(), weights.len())?;
        for &weight in weights {
            require_at_least_0::<f64>("weights", weight)?;
        }
        require_some("number of samples to draw", count)?;
        let total: f64 = weights.iter().sum();
        let accepted = total > 0.0 && total.is_finite();
        let name = "sum of the weights";
        require(accepted, name, "finite and above 0", total)?;
        let mut indices = Vec::new();
        reserve::reserve(&mut indices, count, "number of samples to draw")?;
        let start: f64 = Xoshiro256PlusPlus::seed_from_u64(seed).random();
        let (mut sum, mut last) = (0.0, 0);
        for (index, &weight) in weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0.0)
        {
            sum += weight;
            // The number of draws below: those at start + k with a whole k.
            let place = sum / total * f64::of_count(count);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            // at most about `count`
            let below = place as usize + usize::from(place.fract() > start);
            indices.resize(below.clamp(indices.len(), count), index);
            last = index;
        }
        indices.resize(count, last); // in case the last place is rounded down
        Ok(Self { samples, indices })
    }

    /// Returns the indices of the samples in their source.
    #[must_use]
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl<T: Real, S: Samples<T>> Samples<T> for Subset<S> {
    fn count(&self) -> usize {
        self.indices.len()
    }

    fn entries(&self) -> usize {
        self.samples.entries()
    }

    fn input_entries(&self) -> Option<usize> {
        self.samples.input_entries()
    }

    fn reads_ahead(&self) -> bool {
        self.samples.reads_ahead()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let entries = self.entries();
        check_read((entries, self.count()), indices, batch)?;
        let mut within = [0; AT_A_TIME];
        for (indices, batch) in pieces(indices, batch, entries, AT_A_TIME) {
            for (to, &index) in within.iter_mut().zip(indices) {
                *to = self.indices[index];
            }
            let within = &within[..indices.len()];
            // Of several places of a sample, the first one read.
            let of_subset = |index| match within.iter().position(|&of| of == index) {
                Some(place) => indices[place],
                None => index,
            };
            self.samples
                .read(within, batch)
                .map_err(|error| error.at_sample(of_subset))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::{AT_A_TIME, Subset};
    use crate::{Error, Samples};

    #[test]
    fn a_subset_has_the_chosen_samples() {
        let whole = DMatrix::from_fn(3, 1000, |i, j| f64::from(u16::try_from(7 * j + i).unwrap()));
        let chosen: Vec<usize> = (0..2 * AT_A_TIME + 7).map(|k| k * 389 % 500).collect();
        let subset = whole.subset(&*chosen).unwrap();
        assert_eq!(subset.to_matrix().unwrap(), whole.select_columns(&chosen));
        let of_subset = Subset::new(&subset, [3, 0, 3]).unwrap();
        let expected = whole.select_columns(&[chosen[3], chosen[0], chosen[3]]);
        assert_eq!(of_subset.to_matrix().unwrap(), expected);
        assert_eq!(of_subset.indices(), [3, 0, 3]);
        let none = whole.subset([]).unwrap();
        assert_eq!((none.count(), none.entries()), (0, 3));
        assert!(subset.read(&[chosen.len()], &mut [0.0; 3]).is_err());
        assert!(subset.read(&[0], &mut [0.0; 2]).is_err());
    }

    fn times(drawn: &[usize], index: usize) -> usize {
        drawn.iter().filter(|&&k| k == index).count()
    }

    #[test]
    fn whole_weights_are_the_numbers_of_draws() {
        let samples = DMatrix::<f32>::zeros(2, 7);
        for (weights, factor) in [
            ([3.0, 0.0, 1.0, 2.0, 0.0, 5.0, 0.0], 1.0),
            ([0.0, 1e6, 0.0, 3.0, 49.0, 1.0, 7.0], 1.0),
            // Beyond the range of squares, and of products with the number of samples.
            ([3.0, 0.0, 1.0, 2.0, 0.0, 5.0, 0.0], 2f64.powi(1020)),
            ([3.0, 0.0, 1.0, 2.0, 0.0, 5.0, 0.0], 2f64.powi(-1018)),
            ([3.0, 0.0, 1.0, 2.0, 0.0, 5.0, 0.0], 2f64.powi(-1074)),
        ] {
            let expected: Vec<usize> = weights.iter().map(|&w| w as usize).collect();
            let weights = weights.map(|weight| factor * weight);
            for seed in 0..50 {
                let count = expected.iter().sum();
                let drawn = Subset::weighted(&samples, &weights, count, seed).unwrap();
                assert!(drawn.indices().is_sorted());
                let drawn: Vec<_> = (0..7).map(|k| times(drawn.indices(), k)).collect();
                assert_eq!(drawn, expected, "{seed}");
            }
        }
    }

    #[test]
    fn a_sample_comes_as_often_as_its_weight_says_or_once_more() {
        let samples = DMatrix::<f32>::zeros(1, 40);
        let weights: Vec<f64> = (0..40).map(|k| f64::from(k * k % 17) * 0.37).collect();
        let total: f64 = weights.iter().sum();
        let (count, seeds) = (100, 4000_u16);
        let mut sums = [0_usize; 40];
        for seed in 0..seeds {
            let drawn = Subset::weighted(&samples, &weights, count, seed.into()).unwrap();
            assert_eq!(drawn.count(), count);
            for (k, (sum, weight)) in sums.iter_mut().zip(&weights).enumerate() {
                let (share, times) = (100.0 * weight / total, times(drawn.indices(), k));
                assert!((share - times as f64).abs() < 1.0 && (*weight > 0.0 || times == 0));
                *sum += times;
            }
        }
        // Without bias: a number of draws has a standard deviation of at most 1/2.
        for (sum, weight) in sums.iter().zip(&weights) {
            let mean = *sum as f64 / f64::from(seeds);
            let deviation = 0.5 / f64::from(seeds).sqrt();
            assert!((mean - 100.0 * weight / total).abs() < 5.0 * deviation);
        }
        let draw = |seed| {
            Subset::weighted(&samples, &weights, count, seed)
                .unwrap()
                .indices
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn weights_that_are_none_are_refused() {
        let samples = DMatrix::<f32>::zeros(2, 3);
        let refused = |weights: &[f64], count| match Subset::weighted(&samples, weights, count, 0)
            .unwrap_err()
        {
            Error::InvalidParameter { name, value, .. } => (name, value),
            Error::DimensionMismatch { what, actual, .. } => (what, actual as f64),
            error => panic!("{error}"),
        };
        assert_eq!(refused(&[1.0; 2], 5), ("weights of the samples", 2.0));
        assert_eq!(refused(&[1.0, -0.5, 1.0], 5), ("weights", -0.5));
        let infinite = f64::INFINITY;
        assert_eq!(refused(&[infinite, 0.0, 0.0], 5), ("weights", infinite));
        let (name, value) = refused(&[0.0, f64::NAN, 0.0], 5);
        assert!(name == "weights" && value.is_nan());
        assert_eq!(refused(&[0.0; 3], 5), ("sum of the weights", 0.0));
        let beyond = ("sum of the weights", infinite);
        assert_eq!(refused(&[f64::MAX; 3], 5), beyond);
        let draws = "number of samples to draw";
        assert_eq!(refused(&[1.0; 3], 0), (draws, 0.0));
        assert_eq!(refused(&[1.0; 3], usize::MAX).0, draws);
        let none = Subset::weighted(DMatrix::<f32>::zeros(2, 0), &[], 1, 0);
        assert!(none.is_err());
    }

    #[test]
    fn a_subset_has_no_sample_beyond_its_source() {
        let error = DMatrix::<f32>::zeros(3, 5).subset([4, 5]).unwrap_err();
        let expected = Error::InvalidParameter {
            name: "index of a sample",
            requirement: "below the number of samples",
            value: 5.0,
        };
        assert_eq!(error, expected);
    }
}
