//! Reads the samples of batches.

use nalgebra::{DMatrix, DMatrixView};

use crate::data::samples::{self, SMALL};
use crate::error::Error;
use crate::linalg::{Aligned, Threads, join, reserve};
use crate::{Real, Samples};

/// Entries below which waking a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 15;

/// The most bytes of samples that are read ahead, with their indices.
pub(super) const AHEAD: usize = 1 << 25;

/// The bytes that a sample read ahead takes besides its entries.
pub(super) const INDICES: usize = 3 * size_of::<usize>();

/// The samples that come next in an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upcoming<'a> {
    pub(crate) indices: &'a [usize],
    /// How many of them are the next batch.
    pub(crate) count: usize,
}

impl<'a> Upcoming<'a> {
    /// Returns the indices of the next batch.
    pub(crate) fn batch(self) -> &'a [usize] {
        &self.indices[..self.count]
    }
}

/// Reads the batches of an epoch.
///
/// Small samples of files are read ahead, for many batches at once: in the order of the file, by several threads.
/// Samples near each other then come in one read.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    batch: Aligned<T>,
    /// Samples in the order of their source.
    ahead: Aligned<T>,
    /// Their indices, and when they come in the epoch.
    order: Vec<(usize, usize)>,
    /// Where the samples of the epoch are in `ahead`, in their order.
    places: Vec<usize>,
    /// The number of places already used.
    used: usize,
    /// The most bytes that are read ahead.
    most_bytes: usize,
}

impl<T: Real> Reader<T> {
    pub(crate) const fn new() -> Self {
        Self {
            batch: Aligned::new(),
            ahead: Aligned::new(),
            order: Vec::new(),
            places: Vec::new(),
            used: 0,
            most_bytes: AHEAD,
        }
    }

    /// Forgets what is read ahead.
    fn restart(&mut self) {
        self.places.clear();
        self.used = 0;
    }

    /// Returns the next batch of an epoch, entries × samples.
    pub(crate) fn read(
        &mut self,
        samples: &dyn Samples<T>,
        upcoming: Upcoming<'_>,
        threads: Threads,
        check: &Check<'_, T>,
    ) -> Result<DMatrixView<'_, T>, Error> {
        let Upcoming { indices, count } = upcoming;
        let entries = samples.entries();
        if self.places.len() - self.used < count {
            self.restart();
            let mut together = most_ahead(samples, self.most_bytes);
            if together < indices.len() {
                together -= together % (count + 1); // whole batches, which differ by one sample
            }
            let together = together.min(indices.len());
            if together > count + 1 {
                self.read_ahead(samples, &indices[..together], threads, check)?;
            }
        }
        let len = entries.saturating_mul(count);
        grow(&mut self.batch, len)?;
        let batch = &mut self.batch[..len];
        if self.places.is_empty() {
            read_checked(samples, upcoming.batch(), batch, threads, check)?;
        } else {
            let places = &self.places[self.used..self.used + count];
            for (sample, place) in batch.chunks_exact_mut(entries).zip(places) {
                sample.copy_from_slice(&self.ahead[place * entries..][..entries]);
            }
            self.used += count;
        }
        Ok(DMatrixView::from_slice(batch, entries, count))
    }

    /// Reads the samples with these indices.
    fn read_ahead(
        &mut self,
        samples: &dyn Samples<T>,
        indices: &[usize],
        threads: Threads,
        check: &Check<'_, T>,
    ) -> Result<(), Error> {
        self.order.clear();
        self.order.extend(indices.iter().copied().zip(0..));
        self.order.sort_unstable();
        let rising = &mut self.places;
        rising.extend(self.order.iter().map(|&(index, _)| index));
        let len = samples.entries() * indices.len();
        let read = grow(&mut self.ahead, len);
        let read = read
            .and_then(|()| read_checked(samples, rising, &mut self.ahead[..len], threads, check));
        if read.is_err() {
            self.restart();
            return read;
        }
        for (place, &(_, i)) in self.order.iter().enumerate() {
            self.places[i] = place;
        }
        Ok(())
    }
}

/// Makes room for this number of entries, whose old values are not needed.
fn grow<T: Real>(room: &mut Aligned<T>, len: usize) -> Result<(), Error> {
    if room.len() < len {
        *room = Aligned::new(); // not in memory together
        let longer = Aligned::try_zeros(len);
        reserve::check(longer.is_some(), "entries of a batch", len)?;
        *room = longer.unwrap_or_default();
    }
    Ok(())
}

/// Returns how many of these samples are read ahead into this number of bytes.
pub(super) fn most_ahead<T: Real>(samples: &dyn Samples<T>, bytes: usize) -> usize {
    let size = samples.entries() * size_of::<T>();
    if samples.reads_ahead() && (1..=SMALL).contains(&size) {
        bytes / (size + INDICES)
    } else {
        0
    }
}

/// Returns a copy of the samples held out.
pub(crate) fn read_held_out<T: Real>(
    samples: &dyn Samples<T>,
    held_out: &[usize],
    threads: Threads,
    check: &Check<'_, T>,
) -> Result<DMatrix<T>, Error> {
    let mut copy = reserve::matrix(samples.entries(), held_out.len(), "samples held out")?;
    if !held_out.is_empty() {
        read_checked(samples, held_out, copy.as_mut_slice(), threads, check)?;
    }
    Ok(copy)
}

/// Reads the chosen samples into `batch`.
///
/// Samples outside memory are checked by `check`, and read by several threads, because the operating system
/// takes most of the time.
fn read_checked<T: Real>(
    samples: &dyn Samples<T>,
    chosen: &[usize],
    batch: &mut [T],
    threads: Threads,
    check: &Check<'_, T>,
) -> Result<(), Error> {
    if samples.in_memory().is_some() {
        return samples::read(samples, chosen, batch); // checked before
    }
    if threads.count() < 2 || batch.len() < PARALLEL_FROM {
        return read_part(samples, chosen, batch, check, 0);
    }
    let depth = threads.count().next_power_of_two().ilog2();
    threads.enter(|| read_part(samples, chosen, batch, check, depth))
}

pub(crate) type Check<'a, T> = dyn Fn(DMatrixView<'_, T>) -> Result<(), Error> + Sync + 'a;

fn read_part<T: Real>(
    samples: &dyn Samples<T>,
    chosen: &[usize],
    batch: &mut [T],
    check: &Check<'_, T>,
    depth: u32,
) -> Result<(), Error> {
    let entries = samples.entries();
    if depth > 0 && chosen.len() > 1 {
        let (one, other) = chosen.split_at(chosen.len() / 2);
        let (first, second) = batch.split_at_mut(one.len() * entries);
        let (mut of_first, mut of_second) = (Ok(()), Ok(()));
        join(
            || of_first = read_part(samples, one, first, check, depth - 1),
            || of_second = read_part(samples, other, second, check, depth - 1),
        );
        return of_first.and(of_second);
    }
    samples::read(samples, chosen, batch)?;
    let batch = DMatrixView::from_slice(batch, entries, chosen.len());
    check(batch).map_err(|error| error.at_sample(|column| chosen[column]))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use nalgebra::{DMatrix, DMatrixView};

    use super::{INDICES, Reader, Upcoming};
    use crate::linalg::Threads;
    use crate::validate::{SAMPLES, check_batch};
    use crate::{Error, Samples};

    /// Samples outside memory, and the numbers of samples that were read together.
    struct Recorded(DMatrix<f32>, Mutex<Vec<usize>>);

    impl Samples<f32> for Recorded {
        fn count(&self) -> usize {
            self.0.ncols()
        }

        fn entries(&self) -> usize {
            self.0.nrows()
        }

        fn reads_ahead(&self) -> bool {
            true
        }

        fn read(&self, indices: &[usize], batch: &mut [f32]) -> Result<(), Error> {
            self.1.lock().unwrap().push(indices.len());
            self.0.read(indices, batch)
        }
    }

    fn check(batch: DMatrixView<'_, f32>) -> Result<(), Error> {
        check_batch(batch, batch.nrows(), SAMPLES)
    }

    /// Reads two epochs in batches of these sizes, ahead by `most` samples, and returns the numbers read together.
    fn read(most: usize, entries: usize, sizes: &[usize]) -> Vec<usize> {
        let count = sizes.iter().sum();
        let samples = DMatrix::from_fn(entries, count, |i, j| (7 * i + 31 * j) as f32);
        let samples = Recorded(samples, Mutex::default());
        let mut reader = Reader::new();
        reader.most_bytes = most * (4 * entries + INDICES);
        for epoch in 1..=2 {
            let step = [7, 11][epoch - 1]; // prime to the numbers of samples
            let order: Vec<usize> = (0..count).map(|k| (k * step + epoch) % count).collect();
            let mut indices = &order[..];
            for &count in sizes {
                let upcoming = Upcoming { indices, count };
                let threads = Threads::at_most(1);
                let batch = reader.read(&samples, upcoming, threads, &check).unwrap();
                assert_eq!(batch, samples.0.select_columns(upcoming.batch()), "{most}");
                indices = &indices[count..];
            }
        }
        samples.1.into_inner().unwrap()
    }

    #[test]
    fn batches_are_those_of_the_epoch_however_many_are_read_together() {
        let sizes = [6, 7, 6, 7, 6, 6];
        assert_eq!(read(0, 3, &sizes), [sizes, sizes].concat());
        assert_eq!(read(20, 3, &sizes), [14, 14, 12, 14, 14, 12]);
        assert_eq!(read(14, 3, &sizes), [14, 14, 12, 14, 14, 12]);
        assert_eq!(read(1000, 3, &sizes), [38, 38]);
        assert_eq!(read(9, 3, &sizes), [sizes, sizes].concat());
        let last_together = [6, 7, 6, 7, 12];
        assert_eq!(read(13, 3, &sizes), [last_together; 2].concat());
        // Samples of more than 1 KiB.
        assert_eq!(read(1000, 257, &sizes), [sizes, sizes].concat());
    }

    #[test]
    fn an_invalid_sample_is_named_by_its_index() {
        let mut samples = DMatrix::from_element(3, 40, 1.0);
        samples[(1, 33)] = f32::NAN;
        let samples = Recorded(samples, Mutex::default());
        let order: Vec<usize> = (0..40).rev().collect();
        let upcoming = Upcoming {
            indices: &order,
            count: 4,
        };
        let mut reader = Reader::new();
        let read = reader.read(&samples, upcoming, Threads::at_most(1), &check);
        let error = Error::NonFinite {
            what: SAMPLES[0],
            row: 1,
            column: 33,
            value: f64::NAN,
        };
        assert_eq!(format!("{:?}", read.unwrap_err()), format!("{error:?}"));
    }
}
