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
mod saved_models;
#[path = "../variants/mod.rs"]
mod variants;
