//! How many threads a pass may use.

/// How many threads a kernel may use: 1, or any number up to that of rayon's current pool.
///
/// The number never changes a bit of the result: work is split over the entries of a result, never
/// over the terms of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads(pub(super) usize);

/// Below this many multiplications, waking a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 23;

impl Threads {
    /// As many as rayon's current pool has, 1 without rayon.
    pub(crate) fn available() -> Self {
        #[cfg(feature = "rayon")]
        let count = rayon::current_num_threads();
        #[cfg(not(feature = "rayon"))]
        let count = 1;
        Self(count)
    }

    /// Their number.
    pub(crate) fn count(self) -> usize {
        self.0
    }

    /// How many of them are worth their waking.
    pub(crate) fn for_work(self, multiplications: usize) -> usize {
        self.0.min(multiplications / (PARALLEL_FROM / 2)).max(1)
    }

    /// How often to halve a pass over so many entries: into a few parts per thread, as they need
    /// not take the same time.
    pub(super) fn depth_for(self, entries: usize) -> u32 {
        if self.0 <= 1 || entries < 1 << 16 {
            return 0;
        }
        self.0.next_power_of_two().ilog2() + 3
    }

    /// Runs a whole pass inside rayon's pool if it is large enough for its parts to be split, so
    /// that they do not have to enter the pool one by one.
    pub(crate) fn enter<R: Send>(
        self,
        multiplications: usize,
        pass: impl FnOnce() -> R + Send,
    ) -> R {
        #[cfg(feature = "rayon")]
        if self.for_work(multiplications) > 1 && rayon::current_thread_index().is_none() {
            return rayon::scope(|_| pass());
        }
        let _ = multiplications;
        pass()
    }
}

/// Runs both, at the same time if there is a thread to spare.
pub(super) fn join(first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    #[cfg(feature = "rayon")]
    rayon::join(first, second);
    #[cfg(not(feature = "rayon"))]
    {
        first();
        second();
    }
}

/// Slices that belong together and can be cut at the same place.
pub(super) trait Divide: Sized + Send {
    /// Two parts, or the whole where it is not worth cutting.
    fn halves(self) -> Result<(Self, Self), Self>;
}

/// Runs `body` on parts of `whole`, up to `2^depth` of them, on whichever threads are free.
pub(super) fn divide<P: Divide>(whole: P, depth: u32, body: &(impl Fn(P) + Sync)) {
    if depth == 0 {
        return body(whole);
    }
    match whole.halves() {
        Ok((first, second)) => join(
            || divide(first, depth - 1, body),
            || divide(second, depth - 1, body),
        ),
        Err(whole) => body(whole),
    }
}
