//! The passes of a model: gradients, values, and the laws that both keep.

mod calibration;
#[path = "../cases/mod.rs"]
mod cases;
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
mod sparse;
mod sparse_hidden;
mod twin;
#[path = "../variants/mod.rs"]
mod variants;
