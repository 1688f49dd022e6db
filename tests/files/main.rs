//! Files: of the crate itself, and of other libraries.

mod archives;
#[cfg(feature = "serde")]
mod checkpoints;
#[cfg(feature = "serde")]
mod damaged_checkpoints;
mod edited;
mod interop;
#[cfg(feature = "serde")]
mod killed;
mod readers;
mod saved_models;
#[path = "../stored/mod.rs"]
mod stored;
