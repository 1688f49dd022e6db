//! Samples of a stream, in an order that is random within a window.

use nalgebra::DMatrix;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::error::{Error, require};
use crate::{Real, validate};

/// Shuffles a stream: takes chunks of samples from any iterator, and is itself an iterator of
/// batches.
///
/// A buffer is filled with samples; then each sample of a batch is drawn from it, by the seed, and
/// its place filled by the next of the stream. So every sample comes once, and those that are far
/// from each other in the stream by less than the capacity come in random order. A buffer for the
/// whole stream shuffles it perfectly. All that is held in memory is the buffer, one chunk, and one
/// batch.
///
/// The same seed gives the same batches, however the stream is cut into chunks. A chunk is a
/// `DMatrix`, or a `Result` of one where reading can fail, as it can in the
/// [batches of a file](crate::Samples::batches): see [`Chunk`]. An error is passed on in place of a
/// batch, and the stream goes on behind it.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Adam, Schedule, ShuffleBuffer, SparseAutoencoder, Trainer};
///
/// // Whatever makes chunks, each of any number of samples: here 50 of 30.
/// let chunks = (0..50).map(|c| DMatrix::from_fn(8, 30, |i, j| ((i + 3 * j + c) % 8) as f32 / 8.0));
///
/// let mut sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).schedule(Schedule::linear(0.0)).steps(15);
/// for batch in ShuffleBuffer::new(chunks, 500)?.batch_size(100)?.seed(7) {
///     trainer.partial_fit(&mut sae, &batch?)?;
/// }
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ShuffleBuffer<T, I> {
    chunks: I,
    capacity: usize,
    batch_size: usize,
    rng: Xoshiro256PlusPlus,
    visible: Option<usize>,
    /// The samples to draw from, one after the other.
    buffer: Vec<T>,
    /// Those that have been drawn.
    batch: Vec<T>,
    /// The chunk that is being taken, and how many of its samples have been.
    chunk: Option<DMatrix<T>>,
    taken: usize,
}

/// What a stream for a [`ShuffleBuffer`] consists of: samples, visible × samples, or the error that
/// was met in their place.
pub trait Chunk<T> {
    /// The samples, or why there are none.
    ///
    /// # Errors
    ///
    /// The error that the chunk is, if it is one.
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
    /// A buffer for so many samples of `chunks`, visible × samples each, which makes batches of 256
    /// by the seed 0.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a capacity of 0.
    pub fn new<C>(chunks: C, capacity: usize) -> Result<Self, Error>
    where
        C: IntoIterator<IntoIter = I, Item = I::Item>,
    {
        require(capacity > 0, "capacity", "at least 1", 0.0)?;
        Ok(Self {
            chunks: chunks.into_iter(),
            capacity,
            batch_size: 256,
            rng: Xoshiro256PlusPlus::seed_from_u64(0),
            visible: None,
            buffer: Vec::new(),
            batch: Vec::new(),
            chunk: None,
            taken: 0,
        })
    }

    /// The samples of a batch; the last may have fewer.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for 0.
    pub fn batch_size(mut self, samples: usize) -> Result<Self, Error> {
        require(samples > 0, "batch_size", "at least 1", 0.0)?;
        self.batch_size = samples;
        Ok(self)
    }

    /// The seed of the order.
    pub fn seed(mut self, seed: u64) -> Self {
        self.rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        self
    }

    /// Makes sure that a sample of the stream is at hand; false at its end.
    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if self.chunk.as_ref().is_some_and(|c| self.taken < c.ncols()) {
                return Ok(true);
            }
            self.chunk = None;
            let Some(chunk) = self.chunks.next() else {
                return Ok(false);
            };
            let chunk = chunk.into_samples()?;
            require(chunk.nrows() > 0, "rows of a chunk", "at least 1", 0.0)?;
            let visible = *self.visible.get_or_insert(chunk.nrows());
            validate::check_rows(chunk.as_view(), visible, "rows of a chunk")?;
            (self.chunk, self.taken) = (Some(chunk), 0);
        }
    }

    /// Draws samples until there is a batch, or no sample is left. All that can fail comes before
    /// anything is moved, so that after an error the next call goes on.
    fn draw(&mut self) -> Result<(), Error> {
        loop {
            let more = self.advance()?;
            let Some(visible) = self.visible else {
                return Ok(());
            };
            let held = self.buffer.len() / visible;
            let next = match &self.chunk {
                Some(chunk) if more => &chunk.as_slice()[self.taken * visible..][..visible],
                _ => &[],
            };
            if more && held < self.capacity {
                self.buffer.extend_from_slice(next);
                self.taken += 1;
                continue;
            }
            if held == 0 || self.batch.len() / visible == self.batch_size {
                return Ok(());
            }
            let start = self.rng.random_range(0..held) * visible;
            let place = start..start + visible;
            self.batch.extend_from_slice(&self.buffer[place.clone()]);
            if more {
                self.buffer[place].copy_from_slice(next);
                self.taken += 1;
            } else {
                let last = (held - 1) * visible;
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
        let visible = self.visible?;
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() / visible;
        (count > 0).then(|| Ok(DMatrix::from_vec(visible, count, batch)))
    }
}
