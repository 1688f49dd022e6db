//! What several test binaries share.

#![allow(dead_code, reason = "each test binary uses only a part")]

pub(crate) mod cases;
pub(crate) mod digits;
pub(crate) mod file_bytes;
pub(crate) mod fractions;
pub(crate) mod on_read;
pub(crate) mod recipes;
pub(crate) mod scratch;
#[cfg(feature = "files")]
pub(crate) mod stored;
pub(crate) mod variants;
