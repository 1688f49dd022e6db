//! Sums over processes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Real};

/// A sum over processes that train one model together, each on its own samples.
///
/// All processes take the same steps. In each step they share the mean activations before the penalty,
/// and the gradient after the backward pass. `examples/mpi` implements this trait with MPI in a few
/// lines. Pass it to [`Trainer::all_reduce`](crate::Trainer::all_reduce).
///
/// ```
/// use sparse_autoencoder::{AllReduce, Error};
///
/// /// One process alone.
/// #[derive(Debug)]
/// struct Alone;
///
/// impl AllReduce<f32> for Alone {
///     fn sum(&self, _values: &mut [f32]) -> Result<(), Error> {
///         Ok(()) // already the sum
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not sum `{T}` over processes",
    label = "not an all-reduce of `{T}`",
    note = "implement `AllReduce<{T}>` for it; its method `sum` replaces the values by their sums over all processes"
)]
pub trait AllReduce<T>: fmt::Debug + Send + Sync {
    /// Replaces every entry by its sum over all processes.
    ///
    /// All processes make the same calls, with the same number of values. All must get **the same
    /// bits**, so that their parameters stay equal. Calls come from any thread, one at a time.
    ///
    /// # Errors
    ///
    /// Any error ends the training of this process with it, and the model keeps finite parameters. An
    /// [`io::Error`](std::io::Error), which `?` converts, becomes an [`Error::Processes`].
    fn sum(&self, values: &mut [T]) -> Result<(), Error>;
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T, A: AllReduce<T> + ?Sized> AllReduce<T> for $pointer {
            fn sum(&self, values: &mut [T]) -> Result<(), Error> {
                (**self).sum(values)
            }
        }
    )*};
}

// An `Arc` lets a program keep access to the sum that it passed to the trainer.
forward!(&A, Box<A>, Arc<A>);

/// The sums over all processes. Once one has failed, all are NaN, which ends the training.
#[derive(Debug)]
pub(crate) struct Sums<T> {
    all: Box<dyn AllReduce<T>>,
    failure: Mutex<Option<Error>>,
}

impl<T: Real> Sums<T> {
    pub(crate) fn new(all: impl AllReduce<T> + 'static) -> Self {
        Self {
            all: Box::new(all),
            failure: Mutex::new(None),
        }
    }

    fn sum(&self, values: &mut [T]) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = self.all.sum(values).err();
        }
        if failure.is_some() {
            values.fill(T::of(f64::NAN));
        }
    }

    /// Returns the error of a sum that has failed, and lets the next one try again.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        let failure = self.failure.lock();
        let failure = failure.unwrap_or_else(PoisonError::into_inner).take();
        failure.map(Error::of_sum)
    }
}

/// The share of one process in a batch, and the sums over all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares<'a, T> {
    all: &'a Sums<T>,
    /// The fraction of all samples that this process has.
    share: T,
    samples: T,
}

impl<'a, T: Real> Shares<'a, T> {
    /// Creates the share of a process with `own` samples. Fails if another has [refused](Self::refuse).
    pub(crate) fn new(all: &'a Sums<T>, own: usize) -> Result<Self, Error> {
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

    /// Tells the others that this process cannot take the next step.
    pub(crate) fn refuse(all: &Sums<T>) {
        all.sum(&mut [T::of(f64::NAN)]);
    }

    /// Returns whether `here` is true in any process. Fails if one has [refused](Self::refuse).
    pub(crate) fn anywhere(all: &Sums<T>, here: bool) -> Result<bool, Error> {
        let mut count = [if here { T::one() } else { T::zero() }];
        all.sum(&mut count);
        Self::check(count[0])?;
        Ok(count[0] > T::zero())
    }

    /// Refuses a sum to which another process added NaN.
    fn check(sum: T) -> Result<(), Error> {
        if sum.is_finite() {
            return Ok(());
        }
        Err(Error::Incompatible {
            what: "a step of this process",
            other: "an error in another",
        })
    }

    /// Returns the number of samples of all processes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a sum of counts
    pub(crate) fn samples(&self) -> usize {
        self.samples.to_f64() as usize
    }

    /// Turns means over the samples of this process into means over those of all.
    pub(crate) fn average(&self, means: &mut [T]) {
        means.iter_mut().for_each(|mean| *mean *= self.share);
        self.all.sum(means);
    }
}

/// Returns whether all processes have the same number. The answer is the same in all of them.
pub(crate) fn agree<T: Real>(all: &Sums<T>, number: u64) -> bool {
    /// Bits of a digit: sums of squares over 4096 processes are exact in f32.
    const DIGIT: u32 = 6;
    // N Σ d² = (Σ d)² if and only if all N digits are equal (Cauchy & Schwarz).
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
