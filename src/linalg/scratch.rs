//! The threads and the buffers that kernels work with.

use super::Threads;
use super::column_panels::Partials;
use super::packing::PackBuffers;

/// What a kernel needs beside its operands. Once grown, none of them allocates.
#[derive(Debug, Clone)]
pub(crate) struct Scratch<T> {
    /// Set by the caller; all that there are otherwise.
    limit: Option<usize>,
    pub(crate) threads: Threads,
    pub(super) partials: Partials<T>,
    /// One for each thread of a product.
    pub(super) pack_buffers: Vec<PackBuffers<T>>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self {
            limit: None,
            threads: Threads::at_most(1),
            partials: Partials::default(),
            pack_buffers: Vec::new(),
        }
    }
}

impl<T> Scratch<T> {
    /// Limits the threads; 0 and 1 both mean one.
    pub(crate) fn limit_threads(&mut self, threads: usize) {
        self.limit = Some(threads.max(1));
    }

    /// Limits the threads as another's are.
    pub(crate) fn limit_as(&mut self, other: &Self) {
        self.limit = other.limit;
    }

    /// The threads that a pass which begins now may use.
    pub(crate) fn take_threads(&mut self) -> Threads {
        let available = Threads::available().count();
        self.threads = Threads::at_most(self.limit.map_or(available, |limit| limit.min(available)));
        self.threads
    }

    /// The same for a pass of so many multiplications.
    pub(crate) fn take_threads_for(&mut self, multiplications: usize) -> Threads {
        self.threads = self.take_threads().during(multiplications);
        self.threads
    }
}
