//! Files: of the crate itself, and of other libraries.

mod interop;
mod saved_models;
