//! Samples of another source, imputed on reading.

use nalgebra::DMatrixView;

use super::Imputer;
use crate::data::Samples;
use crate::data::samples::check_read;
use crate::validate::{SAMPLES, refuse_infinite};
use crate::{Error, Real};

/// The samples of another source, imputed and marked on reading: see [`Imputer::apply_on_read`].
#[derive(Debug, Clone)]
pub struct ImputedSamples<T, S> {
    pub(super) imputer: Imputer<T>,
    /// Its samples have as many entries as the imputer has features.
    pub(super) samples: S,
}

impl<T: Real, S: Samples<T>> Samples<T> for ImputedSamples<T, S> {
    fn count(&self) -> usize {
        self.samples.count()
    }

    fn entries(&self) -> usize {
        self.imputer.outputs()
    }

    fn input_entries(&self) -> Option<usize> {
        self.samples.input_entries()
    }

    fn reads_ahead(&self) -> bool {
        self.samples.reads_ahead()
    }

    /// Reads and imputes samples.
    ///
    /// # Errors
    ///
    /// As the source, and [`Error::NonFinite`] for infinities.
    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let (features, outputs) = (self.imputer.features(), self.entries());
        check_read((outputs, self.count()), indices, batch)?;
        let read = &mut batch[..features * indices.len()];
        self.samples.read(indices, read)?;
        let read = DMatrixView::from_slice(read, features, indices.len());
        refuse_infinite(read, SAMPLES[0])
            .map_err(|error| error.at_sample(|column| indices[column]))?;
        // From the last to the first, because each moves up to make room for marks.
        for index in (0..indices.len()).rev() {
            let from = index * features;
            batch.copy_within(from..from + features, index * outputs);
            self.imputer
                .impute(&mut batch[index * outputs..][..outputs]);
        }
        Ok(())
    }
}
