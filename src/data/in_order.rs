//! Passes over samples in their order, by checked batches.

use nalgebra::DMatrixView;

use super::Samples;
use super::samples::read;
use crate::Real;
use crate::error::Error;
use crate::linalg::reserve;
use crate::validate::{check_batch, check_present, check_size};

/// The approximate number of entries of a batch. Larger batches are not read faster.
const ENTRIES: usize = 1 << 16;

/// Returns the number of samples of a batch.
pub(crate) fn size_of_batch(entries: usize) -> usize {
    (ENTRIES / entries.max(1)).max(1)
}

type Check<T> = fn(DMatrixView<'_, T>, usize, [&'static str; 2]) -> Result<(), Error>;

/// Samples to be seen in their order, in one pass or several.
///
/// Memory holds one batch of samples that are elsewhere, and nothing of samples in memory.
pub(crate) struct InOrder<'a, T> {
    samples: &'a dyn Samples<T>,
    names: [&'static str; 2],
    check: Check<T>,
    /// The number of samples of a batch.
    size: usize,
    /// The place of a batch, and its indices.
    batch: Vec<T>,
    indices: Vec<usize>,
}

impl<'a, T: Real> InOrder<'a, T> {
    /// Refuses samples without `entries` entries, no samples, and invalid values in memory. Errors call the
    /// samples and their rows by these names.
    pub(crate) fn new(
        samples: &'a dyn Samples<T>,
        entries: usize,
        names: [&'static str; 2],
    ) -> Result<Self, Error> {
        Self::by(size_of_batch(entries), samples, entries, names)
    }

    /// Runs [`by`](Self::by), and accepts NaN as missing values.
    pub(crate) fn with_missing(
        size: usize,
        samples: &'a dyn Samples<T>,
        entries: usize,
        names: [&'static str; 2],
    ) -> Result<Self, Error> {
        Self::checked_by(check_present, size, samples, entries, names)
    }

    /// Runs [`new`](Self::new), with batches of `size` samples.
    pub(crate) fn by(
        size: usize,
        samples: &'a dyn Samples<T>,
        entries: usize,
        names: [&'static str; 2],
    ) -> Result<Self, Error> {
        Self::checked_by(check_batch, size, samples, entries, names)
    }

    fn checked_by(
        check: Check<T>,
        size: usize,
        samples: &'a dyn Samples<T>,
        entries: usize,
        names: [&'static str; 2],
    ) -> Result<Self, Error> {
        check_size((samples.entries(), samples.count()), entries, names)?;
        let size = size.min(samples.count());
        let (mut batch, mut indices) = (Vec::new(), Vec::new());
        match samples.in_memory() {
            Some(samples) => check(samples, entries, names)?,
            None => {
                let len = size.saturating_mul(entries);
                batch = reserve::filled(T::zero(), len, "entries of a batch")?;
                indices = vec![0; size];
            }
        }
        Ok(Self {
            samples,
            names,
            check,
            size,
            batch,
            indices,
        })
    }

    /// Returns the number of samples.
    pub(crate) fn count(&self) -> usize {
        self.samples.count()
    }

    /// Returns the number of entries of a sample.
    pub(crate) fn entries(&self) -> usize {
        self.samples.entries()
    }

    /// Passes all samples to `see`, with the index of the first of each batch. All values are finite,
    /// or missing if such are accepted.
    pub(crate) fn each(
        &mut self,
        mut see: impl FnMut(usize, DMatrixView<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (entries, count) = (self.samples.entries(), self.count());
        let whole = self.samples.in_memory();
        for first in (0..count).step_by(self.size) {
            let size = self.size.min(count - first);
            if let Some(whole) = whole {
                see(first, whole.columns(first, size))?;
                continue;
            }
            for (k, index) in self.indices.iter_mut().enumerate() {
                *index = first + k;
            }
            let batch = &mut self.batch[..size * entries];
            read(self.samples, &self.indices[..size], batch)?;
            let batch = DMatrixView::from_slice(batch, entries, size);
            (self.check)(batch, entries, self.names)
                .map_err(|error| error.at_sample(|column| first + column))?;
            see(first, batch)?;
        }
        Ok(())
    }
}
