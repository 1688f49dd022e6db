//! Batches of a stream in random order, by a bounded buffer.

use std::iter::Fuse;

use nalgebra::DMatrix;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::error::{Error, require_some};
use crate::{Real, validate};

/// Shuffles a stream: an iterator of batches over an iterator of chunks of samples.
///
/// The buffer first fills with samples. Each sample of a batch is then drawn from it at random and
/// replaced by the next sample of the stream. Every sample comes exactly once. Samples closer in the
/// stream than the capacity come in random order; a buffer for the whole stream shuffles it fully.
/// Memory holds the buffer, one chunk, and one batch.
///
/// The same seed gives the same batches for any division of the stream into chunks. A [`Chunk`] is a
/// `DMatrix`, or a `Result` of one where reading can fail, as in the
/// [batches of a file](crate::Samples::batches). An error takes the place of a batch; the next call
/// continues with the stream.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Adam, Schedule, ShuffleBuffer, SparseAutoencoder, Trainer};
///
/// // Any iterator of chunks, here 50 of 30 samples each.
/// let chunks = (0..50).map(|c| DMatrix::from_fn(8, 30, |i, j| ((i + 3 * j + c) % 8) as f32 / 8.0));
///
/// let mut sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).schedule(Schedule::linear(0.0)).stream_steps(15);
/// for batch in ShuffleBuffer::new(chunks, 500)?.batch_size(100)?.seed(7) {
///     trainer.partial_fit(&mut sae, &batch?)?;
/// }
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ShuffleBuffer<T, I> {
    chunks: Fuse<I>,
    capacity: usize,
    batch_size: usize,
    rng: Xoshiro256PlusPlus,
    /// The entries of a sample, known from the first chunk on.
    entries: Option<usize>,
    /// The samples to draw from, one after the other.
    buffer: Vec<T>,
    /// The drawn samples.
    batch: Vec<T>,
    /// The current chunk, and the number of its samples already taken.
    chunk: Option<DMatrix<T>>,
    taken: usize,
}

/// An item of a stream for a [`ShuffleBuffer`]: samples, entries × samples, or an error.
pub trait Chunk<T> {
    /// Returns the samples.
    ///
    /// # Errors
    ///
    /// The error of a chunk that could not be read.
    fn into_samples(self) -> Result<DMatrix<T>, Error>;
}

impl<T> Chunk<T> for DMatrix<T> {
    fn into_samples(self) -> Result<DMatrix<T>, Error> {
        Ok(self)
    }
}

impl<T> Chunk<T> for Result<DMatrix<T>, Error> {
    fn into_samples(self) -> Result<DMatrix<T>, Error> {
        self
    }
}

impl<T: Real, I: Iterator<Item: Chunk<T>>> ShuffleBuffer<T, I> {
    /// Creates a buffer of `capacity` samples over `chunks`, entries × samples each.
    ///
    /// The default is batches of 256 samples and the seed 0.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a capacity of 0.
    pub fn new<C>(chunks: C, capacity: usize) -> Result<Self, Error>
    where
        C: IntoIterator<IntoIter = I, Item = I::Item>,
    {
        require_some("capacity", capacity)?;
        Ok(Self {
            chunks: chunks.into_iter().fuse(),
            capacity,
            batch_size: 256,
            rng: Xoshiro256PlusPlus::seed_from_u64(0),
            entries: None,
            buffer: Vec::new(),
            batch: Vec::new(),
            chunk: None,
            taken: 0,
        })
    }

    /// Sets the number of samples per batch. The last batch may be smaller.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for 0.
    pub fn batch_size(mut self, samples: usize) -> Result<Self, Error> {
        require_some("batch_size", samples)?;
        self.batch_size = samples;
        Ok(self)
    }

    /// Sets the seed of the random order.
    pub fn seed(mut self, seed: u64) -> Self {
        self.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        self
    }

    /// Advances to a chunk with samples to take. Returns `false` at the end of the stream.
    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if self.chunk.as_ref().is_some_and(|c| self.taken < c.ncols()) {
                return Ok(true);
            }
            self.chunk = None;
            let Some(chunk) = self.chunks.next() else {
                return Ok(false);
            };
            let chunk = chunk.into_samples().map_err(Error::of_samples)?;
            require_some("rows of a chunk", chunk.nrows())?;
            let entries = *self.entries.get_or_insert(chunk.nrows());
            validate::check_len("rows of a chunk", entries, chunk.nrows())?;
            (self.chunk, self.taken) = (Some(chunk), 0);
        }
    }

    /// Draws samples until the batch is complete or no sample is left.
    ///
    /// Everything that can fail comes before samples are moved, so that the next call can continue.
    fn draw(&mut self) -> Result<(), Error> {
        loop {
            let drawn = self.entries.map_or(0, |entries| self.batch.len() / entries);
            if drawn == self.batch_size {
                return Ok(());
            }
            let more = self.advance()?;
            let Some(entries) = self.entries else {
                return Ok(());
            };
            let held = self.buffer.len() / entries;
            let next = match &self.chunk {
                Some(chunk) if more => &chunk.as_slice()[self.taken * entries..][..entries],
                _ => &[],
            };
            if more && held < self.capacity {
                self.buffer.extend_from_slice(next);
                self.taken += 1;
                continue;
            }
            if held == 0 {
                return Ok(());
            }
            let start = self.rng.random_range(0..held) * entries;
            let place = start..start + entries;
            self.batch.extend_from_slice(&self.buffer[place.clone()]);
            if more {
                self.buffer[place].copy_from_slice(next);
                self.taken += 1;
            } else {
                let last = (held - 1) * entries;
                self.buffer.copy_within(last.., start);
                self.buffer.truncate(last);
            }
        }
    }
}

impl<T: Real, I: Iterator<Item: Chunk<T>>> Iterator for ShuffleBuffer<T, I> {
    type Item = Result<DMatrix<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.draw() {
            return Some(Err(error));
        }
        let entries = self.entries?;
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() / entries;
        (count > 0).then(|| Ok(DMatrix::from_vec(entries, count, batch)))
    }
}
