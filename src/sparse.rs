//! Batches in which few hidden units are active: their indices and values, how they are found, and the
//! products over them.

mod active;
mod collect;
mod compact;
mod largest;
mod top_k;
mod top_of_batch;
mod unit_gradients;

pub(crate) use active::Codes;
pub(crate) use compact::Compressed;
pub(crate) use largest::{Largest, keep_largest};
pub(crate) use top_of_batch::{Cuts, keep_largest_of_batch, keep_largest_of_units};
pub(crate) use unit_gradients::{Passed, UnitGradients, UnitOperands};
