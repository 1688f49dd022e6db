//! Checkpoints: everything that a training needs to continue, in one file.
//!
//! To resume, the program builds model and trainer as at the start, and `Trainer::resume` restores
//! their state. Penalties, optimizers, and observers are code and never come from a file. Settings must
//! match.
//!
//! The loop always has a [`Checkpoints`]. Without the feature `files`, it writes nothing.

#[cfg(feature = "files")]
mod counters;
#[cfg(feature = "files")]
mod file;
#[cfg(not(feature = "files"))]
mod none;
#[cfg(feature = "files")]
mod resume;

#[cfg(feature = "files")]
pub(super) use file::Checkpoints;
#[cfg(feature = "files")]
pub use file::Every;
#[cfg(not(feature = "files"))]
pub(super) use none::Checkpoints;
