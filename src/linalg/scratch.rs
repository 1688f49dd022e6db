//! The threads and buffers of the kernels.

use super::Threads;
use super::column_panels::Partials;
use super::packing::PackBuffers;

/// The threads and buffers that kernels need besides their operands. Once they have grown, kernels do not
/// allocate.
#[derive(Debug, Clone)]
pub(crate) struct Scratch<T> {
    /// The caller's limit. `None` allows all threads.
    limit: Option<usize>,
    pub(crate) threads: Threads,
    pub(super) partials: Partials<T>,
    /// One buffer per thread of a product.
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
    /// Sets the maximum number of threads. 0 and 1 both mean a single thread.
    pub(crate) fn limit_threads(&mut self, threads: usize) {
        self.limit = Some(threads.max(1));
    }

    /// Copies the limit of another scratch.
    pub(crate) fn limit_as(&mut self, other: &Self) {
        self.limit = other.limit;
    }

    /// Returns the threads for a pass that starts now, and stores them.
    pub(crate) fn take_threads(&mut self) -> Threads {
        let available = Threads::available().count();
        self.threads = Threads::at_most(self.limit.map_or(available, |limit| limit.min(available)));
        self.threads
    }

    /// Runs [`take_threads`](Self::take_threads) for a pass of this many multiplications.
    pub(crate) fn take_threads_for(&mut self, multiplications: usize) -> Threads {
        self.threads = self.take_threads().during(multiplications);
        self.threads
    }
}
