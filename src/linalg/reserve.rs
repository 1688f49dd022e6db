//! Allocations of sizes that a caller chooses. They return an error when memory runs out.

use nalgebra::DMatrix;

use crate::Real;
use crate::error::{Error, require};

/// Returns `count` copies of an entry, or `None` without memory for them.
pub(crate) fn try_filled<U: Clone>(entry: U, count: usize) -> Option<Vec<U>> {
    let mut entries = Vec::new();
    entries.try_reserve_exact(count).ok()?;
    entries.resize(count, entry);
    Some(entries)
}

/// Reserves memory for `count` more entries; errors call the count `name`.
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

/// Refuses a number of entries that does not fit into memory; errors call it `name`.
pub(crate) fn check_room<T>(count: usize, name: &'static str) -> Result<(), Error> {
    check(
        Vec::<T>::new().try_reserve_exact(count).is_ok(),
        name,
        count,
    )
}

/// Runs [`try_filled`]; errors call the count `name`.
pub(crate) fn filled<U: Clone>(
    entry: U,
    count: usize,
    name: &'static str,
) -> Result<Vec<U>, Error> {
    let entries = try_filled(entry, count);
    check(entries.is_some(), name, count)?;
    Ok(entries.unwrap_or_default())
}

/// Returns a matrix of zeros; errors call its columns `name`.
pub(crate) fn matrix<T: Real>(
    rows: usize,
    columns: usize,
    name: &'static str,
) -> Result<DMatrix<T>, Error> {
    let len = rows.saturating_mul(columns);
    let entries = filled(T::zero(), len, name)?;
    Ok(DMatrix::from_vec(rows, columns, entries))
}
