//! Files of this crate and of other libraries.

mod archives;
mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
mod configurations;
mod damaged_checkpoints;
mod edited;
mod interop;
mod killed;
mod per_layer;
mod published_keys;
mod readers;
mod runs;
mod saved_models;
mod saving;
mod stored_kinds;
mod version_1;
