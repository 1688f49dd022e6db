//! Sparse autoencoders.

mod activation;
mod error;
mod kernel;
pub mod metrics;
pub mod optimizer;
mod real;

pub use activation::Activation;
pub use error::Error;
pub use optimizer::{Adam, Lbfgs, Optimizer, Sgd};
pub use real::Real;

pub use nalgebra;
