//! Promises of the public interface: its errors, traits, and conventions.

mod alone;
mod auto_traits;
#[path = "../common/mod.rs"]
mod common;
mod concurrency;
mod convention;
mod custom_penalty;
mod errors;
mod extreme_numbers;
mod location;
mod matrices;
mod sample_files;
