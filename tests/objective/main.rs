//! The objective, its gradient, and inference.

mod calibration;
#[path = "../common/mod.rs"]
mod common;
mod decoder_norm;
mod folding;
mod gated;
mod golden;
mod gradients;
mod jump;
mod laws;
mod matryoshka;
mod naive;
mod over_batch;
mod per_layer;
mod sparse;
mod sparse_hidden;
mod steering;
mod transcoder;
mod twin;
mod workspace;
