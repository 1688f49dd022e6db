//! Files: of the crate itself, and of other libraries.

mod archives;
mod checkpoints;
mod configurations;
mod damaged_checkpoints;
mod earlier_versions;
mod edited;
mod interop;
mod killed;
mod published_keys;
mod readers;
mod saved_models;
mod saving;
#[path = "../stored/mod.rs"]
mod stored;
#[path = "../variants/mod.rs"]
mod variants;
