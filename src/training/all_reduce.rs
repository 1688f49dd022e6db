//! Training by several processes: what they tell each other.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Real};

/// A sum over the processes that train one model together, each on samples of its own.
///
/// The trainers of all processes do the same steps; in each, they need the mean activations of all
/// samples before the penalty, and the mean gradient after the backward pass. This trait is all that they
/// need for it: the example `examples/mpi` implements it with MPI in a few lines. Give it to
/// [`Trainer::all_reduce`](crate::Trainer::all_reduce).
///
/// ```
/// use sparse_autoencoder::AllReduce;
///
/// /// One process alone.
/// #[derive(Debug)]
/// struct Alone;
///
/// impl AllReduce<f32> for Alone {
///     fn sum(&self, _values: &mut [f32]) {} // is the sum already
/// }
/// ```
pub trait AllReduce<T>: fmt::Debug + Send + Sync {
    /// Replaces every entry by its sum over all processes. All processes call it with as many values, in
    /// the same order of calls, and all must get **the same bits**, so that their parameters stay the
    /// same.
    ///
    /// It may be called from any thread, by one at a time. An implementation that fails may set the
    /// values to NaN: training then ends with [`Error::Diverged`](crate::Error::Diverged) or
    /// [`Error::Incompatible`](crate::Error::Incompatible), and the model keeps finite parameters.
    fn sum(&self, values: &mut [T]);
}

/// So that a program can look at what it has given away.
impl<T, A: AllReduce<T> + ?Sized> AllReduce<T> for Arc<A> {
    fn sum(&self, values: &mut [T]) {
        (**self).sum(values);
    }
}

/// What one process has of a batch, and how it learns of the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares<'a, T> {
    all: &'a dyn AllReduce<T>,
    /// Of the samples of all processes.
    share: T,
    samples: T,
}

impl<'a, T: Real> Shares<'a, T> {
    /// For a process with so many samples; an error if another has [refused](Self::refuse).
    pub(crate) fn new(all: &'a dyn AllReduce<T>, own: usize) -> Result<Self, Error> {
        let own = T::of_count(own);
        let mut samples = [own];
        all.sum(&mut samples);
        Self::check(samples[0])?;
        Ok(Self {
            all,
            share: own / samples[0],
            samples: samples[0],
        })
    }

    /// For a process that cannot take the next step.
    pub(crate) fn refuse(all: &dyn AllReduce<T>) {
        all.sum(&mut [T::of(f64::NAN)]);
    }

    /// Whether something is so in any process; an error if one has [refused](Self::refuse).
    pub(crate) fn anywhere(all: &dyn AllReduce<T>, here: bool) -> Result<bool, Error> {
        let mut count = [if here { T::one() } else { T::zero() }];
        all.sum(&mut count);
        Self::check(count[0])?;
        Ok(count[0] > T::zero())
    }

    /// Refuses a sum to which another process had nothing to add.
    fn check(sum: T) -> Result<(), Error> {
        if sum.is_finite() {
            return Ok(());
        }
        Err(Error::Incompatible {
            what: "a step of this process",
            other: "an error in another",
        })
    }

    /// The samples of all processes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a sum of counts
    pub(crate) fn samples(&self) -> usize {
        self.samples.to_f64() as usize
    }

    /// Means over the samples of this process become means over those of all.
    pub(crate) fn average(&self, means: &mut [T]) {
        means.iter_mut().for_each(|mean| *mean *= self.share);
        self.all.sum(means);
    }
}

/// Whether all processes have the same number: which all of them learn.
pub(crate) fn agree<T: Real>(all: &dyn AllReduce<T>, number: u64) -> bool {
    /// The squares of digits of so many bits, of 4096 processes added up, are exact in f32.
    const DIGIT: u32 = 6;
    // N Σ d² = (Σ d)² if and only if all N are the same (Cauchy & Schwarz).
    let mut sums = vec![T::one()];
    for i in 0..u64::BITS.div_ceil(DIGIT) {
        let digit = (number >> (i * DIGIT)) as u8 & 63;
        let digit = T::of_count(usize::from(digit));
        sums.extend([digit, digit * digit]);
    }
    all.sum(&mut sums);
    let processes = sums[0].to_f64();
    sums[1..].chunks_exact(2).all(|sums| {
        let [sum, squares] = [sums[0].to_f64(), sums[1].to_f64()];
        (processes * squares - sum * sum).abs() < 0.5
    })
}
