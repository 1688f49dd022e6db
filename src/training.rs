//! Training: one loop over epochs and batches for every kind of model.
//!
//! `epochs` is the loop. A learner takes the steps: `autoencoder` for autoencoders, another one for
//! classifiers. The `step` of an autoencoder is a sequence of stages, each in a file of its own:
//! sparsity control, dead units, distributed training. A [`Trainer`] holds the [`TrainerSettings`]. An `observer`
//! sees steps and epochs, and a `log_writer` writes them. `measured` and `baseline` have the figures of a [`Report`],
//! from which `find_warnings` makes its [`Warning`]s. `setters` are those of every trainer.

// In this order, the documentation lists the methods of a trainer.
mod fitting;

mod checkpoint;

mod trainer;

mod autoencoder;
mod baseline;
mod begin;
mod bias_rate;
mod dead_units;
mod distributed;
pub(crate) mod engine;
pub(crate) mod epochs;
mod find_warnings;
pub(crate) mod log_writer;
mod measured;
mod memory;
pub(crate) mod observer;
pub(crate) mod progress;
pub(crate) mod reading;
mod report;
pub(crate) mod setters;
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
pub use log_writer::{LogRow, LogWriter};
pub use observer::{Event, Step, Verdict};
pub use report::{Epoch, Report, StopReason};
pub use sparsity::{AnnealK, SetPoint, SetPointState};
pub use trainer::Trainer;
pub use trainer_settings::TrainerSettings;
pub use warning::Warning;
