//! Samples of another source, scaled on reading.

use nalgebra::DMatrixView;

use super::Scaler;
use crate::data::Samples;
use crate::data::samples::check_read;
use crate::validate::{SAMPLES, refuse_non_finite};
use crate::{Error, Real};

/// The samples of another source, scaled on reading: see [`Scaler::apply_on_read`].
#[derive(Debug, Clone)]
pub struct ScaledSamples<T, S> {
    pub(super) scaler: Scaler<T>,
    /// Its samples have as many entries as the scaler has features.
    pub(super) samples: S,
}

impl<T: Real, S: Samples<T>> Samples<T> for ScaledSamples<T, S> {
    fn count(&self) -> usize {
        self.samples.count()
    }

    fn entries(&self) -> usize {
        self.scaler.features()
    }

    fn input_entries(&self) -> Option<usize> {
        self.samples.input_entries()
    }

    fn reads_ahead(&self) -> bool {
        self.samples.reads_ahead()
    }

    /// Reads and scales samples.
    ///
    /// # Errors
    ///
    /// As the source, and [`Error::NonFinite`] for NaN and infinities, which scaling would hide.
    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        check_read((self.entries(), self.count()), indices, batch)?;
        self.samples.read(indices, batch)?;
        let read = DMatrixView::from_slice(batch, self.entries(), indices.len());
        refuse_non_finite(read, SAMPLES[0])
            .map_err(|error| error.at_sample(|column| indices[column]))?;
        self.scaler.apply_in_place(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use crate::{Error, Samples, Scaling};

    #[test]
    fn samples_scaled_on_read_have_the_bits_of_apply() {
        let samples = DMatrix::from_fn(3, 50, |i, j| ((i * 31 + j * 17) % 23) as f32);
        let scaler = Scaling::standard().fit(&samples).unwrap();
        let scaled = scaler.apply_on_read(&samples).unwrap();
        assert_eq!(scaled.to_matrix().unwrap(), scaler.apply(&samples).unwrap());
        assert!(scaler.apply_on_read(DMatrix::<f32>::zeros(2, 5)).is_err());
    }

    #[test]
    fn invalid_samples_are_found_before_they_are_scaled() {
        let mut samples = DMatrix::from_fn(3, 50, |i, j| ((i * 31 + j * 17) % 23) as f32);
        let scaler = Scaling::standard().fit(&samples).unwrap();
        samples[(2, 7)] = f32::INFINITY;
        let error = scaler.apply_on_read(&samples).unwrap().to_matrix();
        let expected = Error::NonFinite {
            what: "samples",
            row: 2,
            column: 7,
            value: f64::INFINITY,
        };
        assert_eq!(error.unwrap_err(), expected);
    }
}
