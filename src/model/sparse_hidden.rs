#[cfg(feature = "nalgebra-sparse")]
mod nalgebra_csc;

use nalgebra::DMatrix;

use crate::Real;
use crate::error::Error;
use crate::linalg::all_finite;
use crate::sparse::Csc;

/// The hidden activations of a batch without their zeros: for each sample, its active units and their
/// activations.
///
/// Compressed by columns, a column being a sample: sample `i` has the active units
/// `units()[offsets()[i]..offsets()[i + 1]]`, ascending, and its activations lie at the same places
/// of `values()`. A unit is *active* where its activation is not 0, and only these are stored, so
/// that every value is finite and not 0. Units are numbered in 32 bits, which halves what they take.
///
/// It is made by [`encode_sparse`](crate::SparseAutoencoder::encode_sparse) or
/// [`from_parts`](Self::from_parts), and read by
/// [`decode_sparse`](crate::SparseAutoencoder::decode_sparse) and by the accumulators of
/// [`metrics`](crate::metrics).
///
/// ```
/// use sparse_autoencoder::SparseHidden;
///
/// // Three samples of five units; no unit is active in the second.
/// let hidden = SparseHidden::from_parts(5, vec![0, 2, 2, 3], vec![1, 4, 0], vec![0.5, 2.0, 1.0])?;
/// assert_eq!(hidden.shape(), (5, 3));
/// assert_eq!(hidden.active(), 3);
/// assert_eq!(hidden.sample(0), Some((&[1, 4][..], &[0.5, 2.0][..])));
/// let active: Vec<usize> = hidden.iter().map(|(units, _)| units.len()).collect();
/// assert_eq!(active, [2, 0, 1]);
/// assert_eq!(hidden.to_dense()[(4, 0)], 2.0);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SparseHidden<T> {
    hidden: usize,
    columns: Csc<T>,
}

impl<T: Real> Default for SparseHidden<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> SparseHidden<T> {
    /// No samples of no units, for
    /// [`encode_sparse_into`](crate::SparseAutoencoder::encode_sparse_into) to write to.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hidden: 0,
            columns: Csc::new(),
        }
    }

    /// The activations of `hidden` units from their parts: `offsets`, one more than there are samples;
    /// the active `units`; and their activations, the `values`.
    ///
    /// # Errors
    ///
    /// - [`Error::DimensionMismatch`] if there is no offset, or if the units or the values are not as
    ///   many as the last offset says.
    /// - [`Error::OutOfRange`] if the offsets do not start at 0 or one is below the one before; if a
    ///   unit is not below `hidden`, or not above the one before it in its sample; or if a value
    ///   is 0. Offsets are named by their row; units by their row among those of their sample, which
    ///   is the column; values by their unit and sample.
    /// - [`Error::NonFinite`] for a value that is NaN or infinite.
    pub fn from_parts(
        hidden: usize,
        offsets: Vec<usize>,
        units: Vec<u32>,
        values: Vec<T>,
    ) -> Result<Self, Error> {
        check_offsets(&offsets, units.len(), values.len())?;
        let columns = Csc {
            offsets,
            rows: units,
            values,
        };
        let parts = Self { hidden, columns };
        parts.check_units()?;
        parts.check_finite()?;
        if let Some(slot) = parts.values().iter().position(|&value| value == T::zero()) {
            let (row, column) = parts.place(slot);
            return Err(Error::OutOfRange {
                what: "values of sparse hidden activations",
                requirement: "not 0, as only active units are stored",
                row,
                column,
                value: 0.0,
            });
        }
        Ok(parts)
    }

    /// The offsets, the active units, and the values: what [`from_parts`](Self::from_parts) takes.
    #[must_use]
    pub fn into_parts(self) -> (Vec<usize>, Vec<u32>, Vec<T>) {
        (self.columns.offsets, self.columns.rows, self.columns.values)
    }

    /// (Units, samples), active or not.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.hidden, self.samples())
    }

    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.columns.len()
    }

    /// The number of active units of all samples together.
    #[must_use]
    pub fn active(&self) -> usize {
        self.columns.values.len()
    }

    /// Where each sample starts in [`units`](Self::units) and [`values`](Self::values), and behind
    /// them where the last one ends.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.columns.offsets
    }

    /// The active units, sample by sample, ascending within each.
    #[must_use]
    pub fn units(&self) -> &[u32] {
        &self.columns.rows
    }

    /// The activations of the active units.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.columns.values
    }

    /// The active units of a sample and their activations; `None` if there is no such sample.
    #[must_use]
    pub fn sample(&self, index: usize) -> Option<(&[u32], &[T])> {
        self.columns.column(index)
    }

    /// The active units and their activations, sample by sample.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &[T])> + Clone {
        self.columns.offsets.windows(2).map(|ends| {
            let range = ends[0]..ends[1];
            (&self.units()[range.clone()], &self.values()[range])
        })
    }

    /// All activations, units × samples.
    #[must_use]
    pub fn to_dense(&self) -> DMatrix<T> {
        let mut dense = DMatrix::zeros(self.hidden, self.samples());
        for ((units, values), mut column) in self.iter().zip(dense.column_iter_mut()) {
            for (&unit, &value) in units.iter().zip(values) {
                column[unit as usize] = value;
            }
        }
        dense
    }

    pub(crate) fn columns(&self) -> &Csc<T> {
        &self.columns
    }

    /// Takes what `append` appends for samples of `hidden` units: entries that are not 0, by
    /// ascending units. One that is not finite is refused, and nothing left.
    pub(crate) fn write(
        &mut self,
        hidden: usize,
        append: impl FnOnce(&mut Csc<T>),
    ) -> Result<(), Error> {
        self.hidden = hidden;
        self.columns.clear();
        append(&mut self.columns);
        let finite = self.check_finite();
        if finite.is_err() {
            self.hidden = 0;
            self.columns.clear();
        }
        finite
    }

    /// Refuses another number of units than `hidden`, and a batch without samples.
    pub(crate) fn check(&self, hidden: usize) -> Result<(), Error> {
        if self.hidden != hidden {
            return Err(Error::DimensionMismatch {
                what: "units of sparse hidden activations",
                expected: hidden,
                actual: self.hidden,
            });
        }
        if self.samples() == 0 {
            return Err(Error::EmptyBatch {
                what: "sparse hidden activations",
            });
        }
        Ok(())
    }

    fn check_units(&self) -> Result<(), Error> {
        for (column, (units, _)) in self.iter().enumerate() {
            let refused = |row: usize, requirement| {
                Err(Error::OutOfRange {
                    what: "units of sparse hidden activations",
                    requirement,
                    row,
                    column,
                    value: f64::from(units[row]),
                })
            };
            if let Some(row) = units.iter().position(|&unit| unit as usize >= self.hidden) {
                return refused(row, "below the number of hidden units");
            }
            if let Some(before) = units.windows(2).position(|pair| pair[0] >= pair[1]) {
                return refused(before + 1, "ascending within a sample");
            }
        }
        Ok(())
    }

    fn check_finite(&self) -> Result<(), Error> {
        let values = self.values();
        if all_finite(values) {
            return Ok(());
        }
        let Some(slot) = values.iter().position(|value| !value.is_finite()) else {
            return Ok(());
        };
        let (row, column) = self.place(slot);
        Err(Error::NonFinite {
            what: "sparse hidden activations",
            row,
            column,
            value: values[slot].to_f64(),
        })
    }

    /// The unit and the sample of a value.
    fn place(&self, slot: usize) -> (usize, usize) {
        let started = self.offsets().partition_point(|&offset| offset <= slot);
        (self.units()[slot] as usize, started - 1)
    }
}

/// Refuses offsets that do not start at 0, that descend, or that end elsewhere than the `units` and
/// the `values` do.
fn check_offsets(offsets: &[usize], units: usize, values: usize) -> Result<(), Error> {
    let Some((&first, &last)) = offsets.first().zip(offsets.last()) else {
        return Err(Error::DimensionMismatch {
            what: "offsets of sparse hidden activations without samples",
            expected: 1,
            actual: 0,
        });
    };
    let refused = |row: usize, requirement| {
        Err(Error::OutOfRange {
            what: "offsets of sparse hidden activations",
            requirement,
            row,
            column: 0,
            value: f64::of_count(offsets[row]),
        })
    };
    if first != 0 {
        return refused(0, "0 at first");
    }
    if let Some(before) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
        return refused(before + 1, "at least the offset before");
    }
    for (what, actual) in [
        ("units of sparse hidden activations", units),
        ("values of sparse hidden activations", values),
    ] {
        if actual != last {
            return Err(Error::DimensionMismatch {
                what,
                expected: last,
                actual,
            });
        }
    }
    Ok(())
}
