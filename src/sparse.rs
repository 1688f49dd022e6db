//! Batches in which few hidden units are active: their indices and values, how they are found, and the
//! products over them.

mod active;
mod compact;
mod csc;
mod kth_largest;
mod top_k;
mod top_k_of_batch;
mod unit_gradients;

pub(crate) use active::ActiveUnits;
pub(crate) use compact::compact_pairs;
pub(crate) use csc::Csc;
pub(crate) use kth_largest::{KthLargest, keep_top_k};
pub(crate) use top_k::top_k;
pub(crate) use top_k_of_batch::{Cutoffs, keep_top_k_of_batch, keep_top_k_of_units};
pub(crate) use unit_gradients::UnitOperands;
