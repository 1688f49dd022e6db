//! Files: of the crate itself, and of other libraries.

mod archives;
#[cfg(feature = "serde")]
mod checkpoints;
mod configurations;
#[cfg(feature = "serde")]
mod damaged_checkpoints;
mod edited;
mod interop;
#[cfg(feature = "serde")]
mod killed;
mod published_keys;
mod readers;
mod saved_models;
#[cfg(feature = "serde")]
mod saving;
#[path = "../stored/mod.rs"]
mod stored;
#[path = "../variants/mod.rs"]
mod variants;
