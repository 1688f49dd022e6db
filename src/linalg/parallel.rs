//! The threads of a pass, and the division of its work among them.

/// The number of threads that a kernel may use, from 1 to the size of rayon's current pool.
///
/// It never changes a bit of the result: threads share the entries of a result, never the terms of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads {
    count: usize,
    /// Whether the products of the pass keep the threads awake.
    awake: bool,
}

/// Multiplications from which a second thread is worth waking.
const PARALLEL_FROM: usize = 1 << 23;
/// Entries of an elementwise pass from which a second thread is worth waking.
const PARALLEL_PASS_FROM: usize = 1 << 16;
/// Entries from which a second thread pays if it is awake: two parts of minimum size.
const PARALLEL_PART_FROM: usize = 1 << 14;
/// Entries of a read-only pass from which waking a thread pays.
const PARALLEL_READING_FROM: usize = 3 << 19;

impl Threads {
    /// Returns the size of rayon's current pool, or 1 without rayon.
    pub(crate) fn available() -> Self {
        #[cfg(feature = "rayon")]
        let count = rayon::current_num_threads();
        #[cfg(not(feature = "rayon"))]
        let count = 1;
        Self::at_most(count)
    }

    /// Creates this number of threads. 0 and 1 both mean a single thread.
    pub(crate) fn at_most(count: usize) -> Self {
        Self {
            count: count.max(1),
            awake: false,
        }
    }

    /// Returns the number of threads.
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// Returns these threads for a pass of this many multiplications.
    pub(crate) fn during(self, multiplications: usize) -> Self {
        Self {
            awake: self.worth(multiplications).count > 1,
            ..self
        }
    }

    /// Returns as many threads as pay for this many multiplications.
    pub(crate) fn worth(self, multiplications: usize) -> Self {
        Self {
            count: self.count.min(multiplications / (PARALLEL_FROM / 2)).max(1),
            ..self
        }
    }

    /// Returns whether a second thread pays for an elementwise pass over this many entries.
    pub(crate) fn for_pass(self, entries: usize) -> bool {
        let enough = if self.awake {
            PARALLEL_PART_FROM
        } else {
            PARALLEL_PASS_FROM
        };
        self.count > 1 && entries >= enough
    }

    /// Returns how often to halve a pass that only reads this many entries.
    pub(crate) fn depth_for_reading(self, entries: usize) -> u32 {
        if self.count <= 1 || entries < PARALLEL_READING_FROM {
            return 0;
        }
        self.count.next_power_of_two().ilog2()
    }

    /// Returns how often to halve a pass over this many entries: into a few parts per thread, because parts
    /// take different times, but not into parts that are too small.
    pub(crate) fn depth_for(self, entries: usize) -> u32 {
        if !self.for_pass(entries) {
            return 0;
        }
        let parts = 2 * entries / PARALLEL_PART_FROM;
        (self.count.next_power_of_two().ilog2() + 3).min(parts.ilog2())
    }

    /// Runs a whole pass inside rayon's pool, so that its parts need not enter it one by one.
    pub(crate) fn enter<R: Send>(self, pass: impl FnOnce() -> R + Send) -> R {
        #[cfg(feature = "rayon")]
        if self.count > 1 && rayon::current_thread_index().is_none() {
            return rayon::scope(|_| pass());
        }
        pass()
    }
}

/// Runs both closures, at the same time if a thread is free.
///
/// Behind `dyn`, so that rayon's part is compiled once, not for every pair of closures.
pub(crate) fn join(first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    #[inline(never)]
    fn both(first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send)) {
        #[cfg(feature = "rayon")]
        if rayon::current_thread_index().is_none() {
            // Outside the pool, the calling thread takes its share, instead of waking two threads and
            // waiting for them.
            rayon::in_place_scope(|scope| {
                scope.spawn(|_| second());
                first();
            });
        } else {
            rayon::join(first, second);
        }
        #[cfg(not(feature = "rayon"))]
        {
            first();
            second();
        }
    }
    let (mut first, mut second) = (Some(first), Some(second));
    both(
        &mut || {
            if let Some(first) = first.take() {
                first();
            }
        },
        &mut || {
            if let Some(second) = second.take() {
                second();
            }
        },
    );
}

/// Slices that can be cut at the same place.
pub(crate) trait Divide: Sized + Send {
    /// Returns two parts, or the whole if it is too small to cut.
    fn halves(self) -> Result<(Self, Self), Self>;
}

/// Splits each of the slices at `middle`.
pub(crate) fn split_each<T, const N: usize>(
    slices: [&mut [T]; N],
    middle: usize,
) -> ([&mut [T]; N], [&mut [T]; N]) {
    let mut rests: [&mut [T]; N] = std::array::from_fn(|_| &mut [][..]);
    let mut rest = rests.iter_mut();
    let firsts = slices.map(|slice| {
        let (first, second) = slice.split_at_mut(middle);
        if let Some(rest) = rest.next() {
            *rest = second;
        }
        first
    });
    (firsts, rests)
}

/// Runs `body` on up to `2^depth` parts of `whole`, on all free threads.
pub(crate) fn divide<P: Divide>(whole: P, depth: u32, body: &(impl Fn(P) + Sync)) {
    if depth == 0 {
        return body(whole);
    }
    match whole.halves() {
        Ok((first, second)) => {
            join(
                || divide(first, depth - 1, body),
                || divide(second, depth - 1, body),
            );
        }
        Err(whole) => body(whole),
    }
}
