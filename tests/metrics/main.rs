//! Metrics of reconstructions, activations, and dictionaries.

#[path = "../common/mod.rs"]
mod common;
mod compressed;
mod dictionary;
mod exact;
mod reconstruction_and_sparsity;
mod unit_statistics;
