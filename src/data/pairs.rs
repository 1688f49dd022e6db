//! Inputs and targets as the samples of a transcoder.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::Samples;
use super::joined::read_joined;
use super::samples::read_kept;
use crate::Real;
use crate::error::Error;
use crate::validate::check_len;

/// The samples of two sources, each pair as one: the inputs and targets that a
/// [transcoder](crate::SparseAutoencoderBuilder::output_size) learns from.
///
/// A sample holds the entries of the input, and then those of the target. Samples `i` of both sources belong together.
/// They are read and checked batch by batch, also from matrices. A full-batch optimizer needs them
/// [in one matrix](Samples::to_matrix). [Impute](crate::Imputer) and mark missing values of the inputs before you pair
/// them.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Pairs, Samples};
///
/// let inputs = DMatrix::from_fn(2, 4, |i, j| (i + j) as f32); // or an NpyFile
/// let targets = DMatrix::from_fn(1, 4, |_, j| 10.0 * j as f32);
/// let pairs = Pairs::new(&inputs, &targets)?;
/// assert_eq!((pairs.count(), pairs.entries()), (4, 3));
/// assert_eq!(pairs.to_matrix()?.column(2).as_slice(), [2.0, 3.0, 20.0]);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pairs<X, Y> {
    inputs: X,
    targets: Y,
}

impl<X, Y> Pairs<X, Y> {
    /// Pairs the samples of two sources.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the numbers of samples differ, [`Error::Incompatible`] for pairs of pairs.
    pub fn new<T: Real>(inputs: X, targets: Y) -> Result<Self, Error>
    where
        X: Samples<T>,
        Y: Samples<T>,
    {
        check_len("number of targets", inputs.count(), targets.count())?;
        if inputs.input_entries().or(targets.input_entries()).is_some() {
            return Err(Error::Incompatible {
                what: "Pairs",
                other: "Pairs as their inputs or targets: join several sources by Joined",
            });
        }
        Ok(Self { inputs, targets })
    }

    /// Returns the source of the inputs.
    pub const fn inputs(&self) -> &X {
        &self.inputs
    }

    /// Returns the source of the targets.
    pub const fn targets(&self) -> &Y {
        &self.targets
    }
}

impl<T: Real, X: Samples<T>, Y: Samples<T>> Samples<T> for Pairs<X, Y> {
    fn count(&self) -> usize {
        self.inputs.count()
    }

    fn entries(&self) -> usize {
        self.inputs.entries().saturating_add(self.targets.entries())
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        read_joined(&[&self.inputs, &self.targets], indices, batch)
    }

    fn input_entries(&self) -> Option<usize> {
        Some(self.inputs.entries())
    }

    fn reads_ahead(&self) -> bool {
        self.inputs.reads_ahead() || self.targets.reads_ahead()
    }
}

/// Refuses [`Pairs`] where samples have no target: in `other`.
pub(crate) fn refuse_pairs<T: Real>(
    samples: &dyn Samples<T>,
    other: &'static str,
) -> Result<(), Error> {
    match samples.input_entries() {
        Some(_) => Err(Error::Incompatible {
            what: "Pairs",
            other,
        }),
        None => Ok(()),
    }
}

/// Some entries of each sample of another source: the inputs or the targets of pairs.
///
/// Errors count the entries from the first one of the part, so those of the source may wrap: see [`Part::in_whole`].
pub(crate) struct Part<'a, T> {
    samples: &'a dyn Samples<T>,
    entries: Range<usize>,
}

impl<'a, T: Real> Part<'a, T> {
    /// Takes these entries, all within the samples.
    pub(crate) fn new(samples: &'a dyn Samples<T>, entries: Range<usize>) -> Self {
        Self { samples, entries }
    }

    /// Counts the entries in an error of the part, or of reading it, from the first one of the source.
    pub(crate) fn in_whole(&self, error: Error) -> Error {
        error.at_entry(|entry| self.entries.start.wrapping_add(entry))
    }

    fn is_whole(&self) -> bool {
        self.entries == (0..self.samples.entries())
    }
}

impl<T: Real> Samples<T> for Part<'_, T> {
    fn count(&self) -> usize {
        self.samples.count()
    }

    fn entries(&self) -> usize {
        self.entries.len()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        if self.is_whole() {
            return self.samples.read(indices, batch);
        }
        let batch = (self.entries.len(), batch);
        read_kept(self.samples, indices, batch, |part, sample| {
            part.copy_from_slice(&sample[self.entries.clone()]);
        })
        .map_err(|error| error.at_entry(|entry| entry.wrapping_sub(self.entries.start)))
    }

    fn in_memory(&self) -> Option<DMatrixView<'_, T>> {
        self.samples.in_memory().filter(|_| self.is_whole())
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::{Pairs, Part};
    use crate::data::samples::AT_A_TIME;
    use crate::{Error, Samples, Scaler};

    #[test]
    fn pairs_hold_the_input_and_then_its_target() {
        let count = 2 * AT_A_TIME + 7;
        let entry = |i: usize, j: usize| f64::from(u16::try_from(7 * j + i).unwrap());
        let inputs = DMatrix::from_fn(3, count, entry);
        let targets = DMatrix::from_fn(2, count, |i, j| entry(i, j) + 0.5);
        let expected = DMatrix::from_fn(5, count, |i, j| match i {
            0..3 => inputs[(i, j)],
            _ => targets[(i - 3, j)],
        });
        let pairs = Pairs::new(&inputs, &targets).unwrap();
        assert_eq!(pairs.to_matrix().unwrap(), expected);
        // As from files.
        let scaler = Scaler::new(&[0.0; 2], &[1.0; 2], &[0.0; 2]).unwrap();
        let outside = scaler.apply_on_read(&targets).unwrap();
        let mixed = Pairs::new(&inputs, outside).unwrap();
        assert_eq!(mixed.to_matrix().unwrap(), expected);
        let chosen: Vec<usize> = (0..count).map(|k| k * 11 % count).collect();
        let subset = mixed.subset(&*chosen).unwrap().to_matrix().unwrap();
        assert_eq!(subset, expected.select_columns(&chosen));
        for samples in [&pairs as &dyn Samples<f64>, &mixed, &expected] {
            assert_eq!(Part::new(samples, 0..3).to_matrix().unwrap(), inputs);
            assert_eq!(Part::new(samples, 3..5).to_matrix().unwrap(), targets);
            assert_eq!(Part::new(samples, 0..5).to_matrix().unwrap(), expected);
        }
        assert!(pairs.read(&[count], &mut [0.0; 5]).is_err());
        assert!(pairs.read(&[0], &mut [0.0; 4]).is_err());
    }

    #[test]
    fn pairs_need_as_many_targets_as_inputs() {
        let (inputs, targets) = (DMatrix::<f32>::zeros(3, 5), DMatrix::zeros(2, 4));
        let expected = Error::DimensionMismatch {
            what: "number of targets",
            expected: 5,
            actual: 4,
        };
        assert_eq!(Pairs::new(inputs, targets).unwrap_err(), expected);
    }
}
