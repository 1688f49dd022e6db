//! Checkpoints: everything that a training needs to continue, in one file.
//!
//! The program builds model and trainer as at the start, and `Trainer::resume` puts both where they
//! were. Penalties, optimizers, and observers are code and never come from a file. Settings are
//! compared.
//!
//! The loop always has a [`Checkpoints`]. Without the feature that brings files, it writes nothing.

#[cfg(feature = "serde")]
mod counters;
#[cfg(feature = "serde")]
mod file;
#[cfg(not(feature = "serde"))]
mod none;
#[cfg(feature = "serde")]
mod resume;

#[cfg(feature = "serde")]
pub(super) use file::Checkpoints;
#[cfg(feature = "serde")]
pub use file::Every;
#[cfg(not(feature = "serde"))]
pub(super) use none::Checkpoints;
