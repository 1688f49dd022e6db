//! Sparse hidden activations, compressed by columns.

#[cfg(feature = "nalgebra-sparse")]
mod nalgebra_csc;

use nalgebra::DMatrix;

use crate::Real;
use crate::error::Error;
use crate::linalg::{all_finite, reserve};
use crate::sparse::Csc;
use crate::validate::check_len;

/// The nonzero hidden activations of a batch: for each sample, its active units and their activations.
///
/// A unit is *active* in a sample if its activation is not 0. Storage is compressed by columns (CSC), and a
/// column is a sample:
///
/// | part | entries | content |
/// |---|---|---|
/// | [`offsets`](Self::offsets) | samples + 1 | sample `i` has the entries `offsets[i]..offsets[i + 1]` of the others |
/// | [`units`](Self::units) | active | active units, ascending within a sample |
/// | [`values`](Self::values) | active | their activations, finite and not 0 |
///
/// [`encode_sparse`](crate::SparseAutoencoder::encode_sparse) creates it.
/// [`decode_sparse`](crate::SparseAutoencoder::decode_sparse) and [`metrics`](crate::metrics) read it. With the
/// feature `nalgebra-sparse` it converts to and from `CscMatrix`.
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
/// assert_eq!(hidden.to_dense()?[(4, 0)], 2.0);
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
    /// Returns an empty batch, for
    /// [`encode_sparse_into`](crate::SparseAutoencoder::encode_sparse_into) to overwrite.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hidden: 0,
            columns: Csc::new(),
        }
    }

    /// Returns the activations of a layer of `hidden` units from their [parts](Self).
    ///
    /// # Errors
    ///
    /// | error | cause | row | column |
    /// |---|---|---|---|
    /// | [`Error::DimensionMismatch`] | no offset; the last offset is not the number of units, or of values | | |
    /// | [`Error::OutOfRange`] | the first offset is not 0, or offsets descend | index | 0 |
    /// | [`Error::OutOfRange`] | a unit is not below `hidden`, or units do not ascend | index in its sample | sample |
    /// | [`Error::OutOfRange`] | a value is 0 | unit | sample |
    /// | [`Error::NonFinite`] | a value is NaN or infinite | unit | sample |
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

    /// Converts into offsets, units, and values, which [`from_parts`](Self::from_parts) takes with the number of units.
    #[must_use]
    pub fn into_parts(self) -> (Vec<usize>, Vec<u32>, Vec<T>) {
        (self.columns.offsets, self.columns.rows, self.columns.values)
    }

    /// Returns the shape of the dense matrix: units, active or not, and samples.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.hidden, self.samples())
    }

    /// Returns the number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.columns.len()
    }

    /// Returns the number of active units, summed over all samples.
    #[must_use]
    pub fn active(&self) -> usize {
        self.columns.values.len()
    }

    /// Returns the start of each sample in [`units`](Self::units) and [`values`](Self::values), and the end of the
    /// last one.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.columns.offsets
    }

    /// Returns the active units, sample by sample, ascending within each.
    #[must_use]
    pub fn units(&self) -> &[u32] {
        &self.columns.rows
    }

    /// Returns the activations of the active units.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.columns.values
    }

    /// Returns the active units of a sample and their activations; `None` beyond the last sample.
    #[must_use]
    pub fn sample(&self, index: usize) -> Option<(&[u32], &[T])> {
        self.columns.column(index)
    }

    /// Iterates over the samples: their active units and activations.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &[T])> + Clone {
        self.columns.offsets.windows(2).map(|ends| {
            let range = ends[0]..ends[1];
            (&self.units()[range.clone()], &self.values()[range])
        })
    }

    /// Returns all activations as a dense matrix, units × samples.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] if the matrix does not fit into memory.
    pub fn to_dense(&self) -> Result<DMatrix<T>, Error> {
        let name = "samples of dense hidden activations";
        let mut dense = reserve::matrix(self.hidden, self.samples(), name)?;
        for ((units, values), mut column) in self.iter().zip(dense.column_iter_mut()) {
            for (&unit, &value) in units.iter().zip(values) {
                column[unit as usize] = value;
            }
        }
        Ok(dense)
    }

    pub(crate) fn columns(&self) -> &Csc<T> {
        &self.columns
    }

    /// Overwrites the batch with the columns that `append` appends, for samples of `hidden` units.
    ///
    /// The entries must be nonzero and their units ascending. Refuses entries that are not finite; the batch is
    /// then empty.
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

    /// Refuses a number of units other than `hidden`, and an empty batch.
    pub(crate) fn check(&self, hidden: usize) -> Result<(), Error> {
        check_len("units of sparse hidden activations", hidden, self.hidden)?;
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

    /// Returns the unit and the sample of a value.
    fn place(&self, slot: usize) -> (usize, usize) {
        let started = self.offsets().partition_point(|&offset| offset <= slot);
        (self.units()[slot] as usize, started - 1)
    }
}

/// Refuses offsets that do not start at 0, that descend, or that do not end at the number of units and values.
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
    check_len("units of sparse hidden activations", last, units)?;
    check_len("values of sparse hidden activations", last, values)
}
