//! Some samples of another source.

use super::Samples;
use super::samples::check_read;
use crate::Real;
use crate::error::Error;

/// Some samples of another source, in any order: see [`Samples::subset`].
///
/// Holds one index per sample; the samples stay where they are.
#[derive(Debug, Clone)]
pub struct Subset<S> {
    samples: S,
    /// All below the number of samples of the source.
    indices: Vec<usize>,
}

/// The number of samples read at a time, whose indices lie on the stack.
const AT_A_TIME: usize = 256;

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

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let entries = self.entries();
        check_read((entries, self.count()), indices, batch)?;
        let mut within = [0; AT_A_TIME];
        for (indices, batch) in indices
            .chunks(AT_A_TIME)
            .zip(batch.chunks_mut(AT_A_TIME * entries.max(1)))
        {
            for (to, &index) in within.iter_mut().zip(indices) {
                *to = self.indices[index];
            }
            self.samples.read(&within[..indices.len()], batch)?;
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
