//! How many threads a pass may use.

/// How many threads a kernel may use: 1, or any number up to that of rayon's current pool.
///
/// The number never changes a bit of the result: work is split over the entries of a result, never
/// over the terms of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads {
    count: usize,
    /// Whether the products of the pass keep them awake, so that none has to be woken for less.
    awake: bool,
}

/// Below this many multiplications, waking a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 23;
/// The same for the entries of an elementwise pass.
const PARALLEL_PASS_FROM: usize = 1 << 16;
/// The same where the threads are awake: the entries that are worth a part of their own, twice.
const PARALLEL_PART_FROM: usize = 1 << 14;
/// The same for the entries of a pass that only reads them, and of which nothing else in the step
/// has woken the threads.
const PARALLEL_READING_FROM: usize = 3 << 19;

impl Threads {
    /// As many as rayon's current pool has, 1 without rayon.
    pub(crate) fn available() -> Self {
        #[cfg(feature = "rayon")]
        let count = rayon::current_num_threads();
        #[cfg(not(feature = "rayon"))]
        let count = 1;
        Self::at_most(count)
    }

    /// At most so many; 0 and 1 both mean one.
    pub(crate) fn at_most(count: usize) -> Self {
        Self {
            count: count.max(1),
            awake: false,
        }
    }

    /// Their number.
    pub(crate) fn count(self) -> usize {
        self.count
    }

    /// These threads during a pass of so many multiplications.
    pub(crate) fn during(self, multiplications: usize) -> Self {
        Self {
            awake: self.worth(multiplications).count > 1,
            ..self
        }
    }

    /// As many of them as so many multiplications are worth waking.
    pub(crate) fn worth(self, multiplications: usize) -> Self {
        Self {
            count: self.count.min(multiplications / (PARALLEL_FROM / 2)).max(1),
            ..self
        }
    }

    /// Whether an elementwise pass over so many entries is worth a second thread.
    pub(crate) fn for_pass(self, entries: usize) -> bool {
        let enough = if self.awake {
            PARALLEL_PART_FROM
        } else {
            PARALLEL_PASS_FROM
        };
        self.count > 1 && entries >= enough
    }

    /// How often to halve a pass that reads so many entries and does little with them.
    pub(crate) fn depth_for_reading(self, entries: usize) -> u32 {
        if self.count <= 1 || entries < PARALLEL_READING_FROM {
            return 0;
        }
        self.count.next_power_of_two().ilog2()
    }

    /// How often to halve a pass over so many entries: into a few parts per thread, as they need
    /// not take the same time, but not into parts that are not worth it.
    pub(crate) fn depth_for(self, entries: usize) -> u32 {
        if !self.for_pass(entries) {
            return 0;
        }
        let parts = 2 * entries / PARALLEL_PART_FROM;
        (self.count.next_power_of_two().ilog2() + 3).min(parts.ilog2())
    }

    /// Runs a whole pass inside rayon's pool, if there are several, so that its parts do not have
    /// to enter the pool one by one.
    pub(crate) fn enter<R: Send>(self, pass: impl FnOnce() -> R + Send) -> R {
        #[cfg(feature = "rayon")]
        if self.count > 1 && rayon::current_thread_index().is_none() {
            return rayon::scope(|_| pass());
        }
        pass()
    }
}

/// Runs both, at the same time if there is a thread to spare.
///
/// Behind `dyn`, so that what rayon needs for it is compiled once, and not for every pair of closures
/// in every crate that trains a model.
pub(crate) fn join(first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    #[inline(never)]
    fn both(first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send)) {
        #[cfg(feature = "rayon")]
        if rayon::current_thread_index().is_none() {
            // From outside the pool, the calling thread does its share, instead of waking two of the
            // pool's and then being woken itself.
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

/// Slices that belong together and can be cut at the same place.
pub(crate) trait Divide: Sized + Send {
    /// Two parts, or the whole where it is not worth cutting.
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

/// Runs `body` on parts of `whole`, up to `2^depth` of them, on whichever threads are free.
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
