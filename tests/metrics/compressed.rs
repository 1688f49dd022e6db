//! Hidden activations without their zeros, entry by entry.

use sparse_autoencoder::nalgebra::DMatrixView;
use sparse_autoencoder::{Real, SparseHidden};

pub(crate) fn compress<T: Real>(hidden: DMatrixView<'_, T>) -> SparseHidden<T> {
    let (mut offsets, mut units, mut values) = (vec![0], Vec::new(), Vec::new());
    for sample in hidden.column_iter() {
        for (unit, &value) in sample.iter().enumerate() {
            if value != T::zero() {
                units.push(u32::try_from(unit).unwrap());
                values.push(value);
            }
        }
        offsets.push(units.len());
    }
    SparseHidden::from_parts(hidden.nrows(), offsets, units, values).unwrap()
}
