//! Training: one loop over epochs and batches, whatever model it trains.
//!
//! `epochs` is the loop. A learner gives it the steps: `autoencoder` for autoencoders, and the
//! classifier its own. The `step` of an autoencoder is a list of stages, each in the file of its name:
//! sparsity control, dead units, distributed training. A [`Trainer`] holds the [`Settings`].

// In the order in which documentation shows the methods of a trainer.
mod fitting;

mod checkpoint;

mod trainer;

mod autoencoder;
mod begin;
mod dead_units;
mod distributed;
pub(crate) mod engine;
pub(crate) mod epochs;
pub(crate) mod progress;
mod reading;
mod report;
mod sparsity;
mod step;
mod trainer_settings;
mod unit_norm;
mod warning;

#[cfg(feature = "files")]
pub use checkpoint::Every;
pub use dead_units::DeadUnits;
pub(crate) use distributed::all_reduce;
pub use distributed::all_reduce::AllReduce;
pub use report::{Epoch, Report, StopReason};
pub use sparsity::{SetPoint, SetPointState};
pub use trainer::{Autoencoders, Trainer};
pub use trainer_settings::Settings;
pub use warning::Warning;
