//! What the crate promises to those who build on it.

mod alone;
mod auto_traits;
#[path = "../cases/mod.rs"]
mod cases;
mod concurrency;
mod convention;
mod custom_penalty;
mod errors;
#[path = "../variants/mod.rs"]
mod variants;
