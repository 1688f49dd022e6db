//! Batches with few active units: finding them, and products that cost O(active) instead of
//! O(units · samples).
//!
//! A unit is a row of H, units × samples. This folder is independent of activations and training: the
//! caller defines which entries count, and how a gradient passes a unit.
//!
//! | file | contents |
//! |---|---|
//! | [`active`] | the active units of each sample, and the samples of each unit |
//! | [`csc`] | compressed sparse columns, which store a dataset |
//! | [`compact`] | the entries of a column that count, in their order |
//! | [`kth_largest`] | the threshold of the k largest entries |
//! | [`top_k_of_sample`], [`top_k_of_batch`] | the k largest entries of a sample, of a unit, or of a batch |
//! | [`unit_gradients`] | the gradients of the factors of products with H |

mod active;
mod compact;
mod csc;
mod kth_largest;
mod top_k_of_batch;
mod top_k_of_sample;
mod unit_gradients;

pub(crate) use active::ActiveUnits;
pub(crate) use compact::compact_nonzero;
pub(crate) use csc::Csc;
pub(crate) use kth_largest::{KthLargest, keep_top_k};
pub(crate) use top_k_of_batch::{Cutoffs, keep_top_k_of_batch, keep_top_k_of_units};
pub(crate) use top_k_of_sample::top_k;
pub(crate) use unit_gradients::UnitOperands;
