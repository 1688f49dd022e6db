//! Samples in their order, one batch at a time.

use std::fmt;
use std::ops::Range;

use nalgebra::DMatrix;

use super::samples::read;
use super::{Samples, dtype};
use crate::Real;
use crate::error::{Error, require_some};

/// An iterator over samples in their order, one batch at a time: see [`Samples::batches`].
///
/// An error is the last item. A batch size of 0 is an [`Error::InvalidParameter`].
pub struct Batches<'a, T> {
    samples: &'a dyn Samples<T>,
    size: usize,
    next: usize,
}

impl<'a, T: Real> Batches<'a, T> {
    pub(super) fn new(samples: &'a dyn Samples<T>, size: usize) -> Self {
        Self {
            samples,
            size,
            next: 0,
        }
    }
}

impl<T> fmt::Debug for Batches<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut batches = f.debug_struct("Batches");
        batches.field("size", &self.size).field("next", &self.next);
        batches.finish_non_exhaustive() // samples need not implement `Debug`
    }
}

impl<T: Real> Iterator for Batches<'_, T> {
    type Item = Result<DMatrix<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, count) = (self.next, self.samples.count());
        if first >= count {
            return None;
        }
        self.next = count.min(first.saturating_add(self.size));
        let batch = require_some("size of a batch", self.size)
            .and_then(|()| gather(self.samples, first..self.next));
        if batch.is_err() {
            self.next = count;
        }
        Some(batch)
    }
}

/// The number of samples read at a time, which bounds the list of their indices.
const AT_A_TIME: usize = 1 << 12;

/// Reads consecutive samples, entries × samples.
pub(super) fn gather<T: Real>(
    samples: &dyn Samples<T>,
    indices: Range<usize>,
) -> Result<DMatrix<T>, Error> {
    let entries = samples.entries();
    let values = dtype::filled(T::zero(), entries.checked_mul(indices.len()));
    let values = values.map_err(|error| Error::from(error).of_samples())?;
    let mut matrix = DMatrix::from_vec(entries, indices.len(), values);
    let mut chosen = Vec::with_capacity(indices.len().min(AT_A_TIME));
    for (piece, batch) in matrix
        .as_mut_slice()
        .chunks_mut(entries.max(1).saturating_mul(AT_A_TIME))
        .enumerate()
    {
        let first = indices.start + piece * AT_A_TIME;
        chosen.clear();
        chosen.extend(first..first + batch.len() / entries);
        read(samples, &chosen, batch)?;
    }
    Ok(matrix)
}
