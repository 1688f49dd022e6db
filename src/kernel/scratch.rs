//! The threads and the buffers that kernels work with.

use super::Threads;
use super::panels::Partials;
use super::tile::Copies;

/// What a kernel needs beside its operands. Once grown, none of them allocates.
#[derive(Debug, Clone)]
pub(crate) struct Scratch<T> {
    pub(crate) threads: Threads,
    pub(super) partials: Partials<T>,
    /// One for each thread of a product.
    pub(super) copies: Vec<Copies<T>>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self {
            threads: Threads(1),
            partials: Partials::default(),
            copies: Vec::new(),
        }
    }
}
