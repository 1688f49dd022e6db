//! Sums over processes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Real};

/// A sum over processes that train one model together, each on its own samples.
///
/// All processes take the same steps. In each step they share the mean activations before the penalty, the gradient
/// after the backward pass, and which units were active, if units can be exactly 0. `examples/mpi` implements this
/// trait with MPI in a few lines. Pass it to [`Trainer::all_reduce`](crate::Trainer::all_reduce).
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
    samples: usize,
}

impl<'a, T: Real> Shares<'a, T> {
    /// Creates the share of a process with `own` samples. Fails if another has [refused](Self::refuse).
    pub(crate) fn new(all: &'a Sums<T>, own: usize) -> Result<Self, Error> {
        let samples = Self::count(all, own)?;
        Ok(Self {
            all,
            share: T::of(f64::of_count(own) / f64::of_count(samples)),
            samples,
        })
    }

    /// Tells the others that this process cannot take the next step.
    pub(crate) fn refuse(all: &Sums<T>) {
        all.sum(&mut [T::of(f64::NAN); 2]);
    }

    /// Returns whether `here` is true in any process. Fails if one has [refused](Self::refuse).
    pub(crate) fn anywhere(all: &Sums<T>, here: bool) -> Result<bool, Error> {
        Ok(Self::count(all, usize::from(here))? > 0)
    }

    /// Returns the sum over all processes. Fails if one has [refused](Self::refuse).
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // sums of counts
    fn count(all: &Sums<T>, own: usize) -> Result<usize, Error> {
        // Both sums stay below 2²⁴, where f32 is exact, for up to 4096 processes and 2³⁶ samples in all.
        const DIGIT: usize = 1 << 12;
        let mut digits = [own % DIGIT, own / DIGIT].map(T::of_count);
        all.sum(&mut digits);
        if digits.iter().any(|digit| !digit.is_finite()) {
            return Err(Error::Incompatible {
                what: "the step of this process",
                other: "those of the other processes: one of them failed, see its error",
            });
        }
        let [low, high] = digits.map(|digit| digit.to_f64() as usize);
        Ok(high.saturating_mul(DIGIT).saturating_add(low))
    }

    /// Returns the number of samples of all processes.
    pub(crate) fn samples(&self) -> usize {
        self.samples
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

#[cfg(test)]
mod tests {
    use super::{AllReduce, Error, Shares, Sums};

    /// This number of processes that all bring the same.
    #[derive(Debug)]
    struct Equal(f32);

    impl AllReduce<f32> for Equal {
        fn sum(&self, values: &mut [f32]) -> Result<(), Error> {
            values.iter_mut().for_each(|value| *value *= self.0);
            Ok(())
        }
    }

    /// Counts that f32 cannot hold, or whose sum it cannot.
    #[test]
    fn samples_of_processes_in_single_precision_are_counted_exactly() {
        for processes in [1, 2, 3, 4096] {
            for own in [1, 4095, 4096, 4097, 70_001, (1 << 24) - 1] {
                let all = Sums::new(Equal(processes as f32));
                let shares = Shares::new(&all, own).unwrap();
                assert_eq!(shares.samples(), own * processes, "{own} of {processes}");
                let mut mean = [3.0];
                shares.average(&mut mean);
                assert!(
                    (mean[0] - 3.0).abs() < 1e-6,
                    "{own} of {processes}: {mean:?}"
                );
            }
        }
    }
}
