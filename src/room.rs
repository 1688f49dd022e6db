//! Memory whose size a caller chooses: an error where there is none, not the end of the process.

use nalgebra::DMatrix;

use crate::Real;
use crate::error::{Error, require};

/// Makes room for `count` more entries of what `name` counts.
pub(crate) fn reserve<U>(
    entries: &mut Vec<U>,
    count: usize,
    name: &'static str,
) -> Result<(), Error> {
    check(entries.try_reserve_exact(count).is_ok(), name, count)
}

pub(crate) fn check(fits: bool, name: &'static str, count: usize) -> Result<(), Error> {
    let requirement = "small enough to fit into memory";
    require(fits, name, requirement, f64::of_count(count))
}

/// `count` times the same entry.
pub(crate) fn filled<U: Clone>(
    entry: U,
    count: usize,
    name: &'static str,
) -> Result<Vec<U>, Error> {
    let mut entries = Vec::new();
    reserve(&mut entries, count, name)?;
    entries.resize(count, entry);
    Ok(entries)
}

/// A matrix of zeros; `name` counts its columns.
pub(crate) fn matrix<T: Real>(
    rows: usize,
    columns: usize,
    name: &'static str,
) -> Result<DMatrix<T>, Error> {
    let len = rows.saturating_mul(columns);
    let entries = filled(T::zero(), len, name)?;
    Ok(DMatrix::from_vec(rows, columns, entries))
}
