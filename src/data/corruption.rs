//! Input noise for denoising autoencoders.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use crate::Real;
use crate::error::{Error, require};
use crate::linalg::Scratch;

/// The values are gone through as if they were a matrix of so many rows, whatever their own number:
/// enough in a panel that to seed its generator costs little.
const ROWS: usize = 64;

/// Noise that the trainer adds to its input, while the loss still compares with the clean samples
/// (Vincent et al. 2010, *Stacked Denoising Autoencoders*). Fresh in every step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Corruption {
    /// Adds normal noise with this standard deviation, finite and at least 0, in units of the data.
    Gaussian {
        /// σ of the noise.
        standard_deviation: f64,
    },
    /// Sets this fraction of the entries, in [0, 1], to 0, each by its own chance.
    Masking {
        /// The chance of an entry to be masked.
        fraction: f64,
    },
    /// Sets this fraction of the entries, in [0, 1], to `low` or `high` with equal chances.
    SaltAndPepper {
        /// The chance of an entry to be replaced.
        fraction: f64,
        /// Pepper, the lower end of the data's range.
        low: f64,
        /// Salt, the upper end.
        high: f64,
    },
}

impl Corruption {
    /// Checks the settings as the scalar of the data sees them: 1e300 is not finite in f32.
    pub(crate) fn check<T: Real>(&self) -> Result<(), Error> {
        let finite = |value: f64| T::of(value).is_finite();
        let proportion =
            |name, value: f64| require((0.0..=1.0).contains(&value), name, "in [0, 1]", value);
        match *self {
            Self::Gaussian { standard_deviation } => require(
                standard_deviation >= 0.0 && finite(standard_deviation),
                "standard_deviation of Gaussian",
                "finite and at least 0",
                standard_deviation,
            ),
            Self::Masking { fraction } => proportion("fraction of Masking", fraction),
            Self::SaltAndPepper {
                fraction,
                low,
                high,
            } => {
                proportion("fraction of SaltAndPepper", fraction)?;
                require(finite(low), "low of SaltAndPepper", "finite", low)?;
                require(finite(high), "high of SaltAndPepper", "finite", high)
            }
        }
    }

    /// Corrupts samples in place. The noise depends on nothing but the seed and the number of
    /// values, so the same seed spoils the same samples in the same way, on any number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a setting out of its range; the samples are then untouched.
    ///
    /// ```
    /// use sparse_autoencoder::{Corruption, nalgebra::DMatrix};
    ///
    /// let mut samples = DMatrix::from_element(64, 100, 1.0_f32);
    /// Corruption::Masking { fraction: 0.25 }.apply(samples.as_mut_slice(), 7)?;
    /// let masked = samples.iter().filter(|&&x| x == 0.0).count();
    /// assert!((1400..1800).contains(&masked));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn apply<T: Real>(&self, samples: &mut [T], seed: u64) -> Result<(), Error> {
        self.check::<T>()?;
        let mut scratch = Scratch::default();
        scratch.take_threads();
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
        self.spoil(samples, rng, &mut scratch);
        Ok(())
    }

    /// Spoils samples with noise that takes one number from `rng`, however many they are: each panel
    /// of values has a generator of its own, seeded by that number and its place.
    pub(crate) fn spoil<T: Real>(
        &self,
        samples: &mut [T],
        rng: &mut Xoshiro256PlusPlus,
        scratch: &mut Scratch<T>,
    ) {
        let seed: u64 = rng.random();
        scratch.run(samples, ROWS, &mut [], |first, panel, _| {
            let place = first as u64;
            let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(place));
            self.spoil_panel(panel, rng);
        });
    }

    fn spoil_panel<T: Real>(&self, panel: &mut [T], rng: &mut Xoshiro256PlusPlus) {
        // Values are chosen between, not branched to: chances cannot be guessed.
        match *self {
            Self::Gaussian { standard_deviation } => {
                for x in panel {
                    let noise: f64 = rng.sample(StandardNormal);
                    *x += T::of(standard_deviation * noise);
                }
            }
            Self::Masking { fraction } => {
                for x in panel {
                    let masked = rng.random::<f64>() < fraction;
                    *x = if masked { T::zero() } else { *x };
                }
            }
            Self::SaltAndPepper {
                fraction,
                low,
                high,
            } => {
                let (low, high) = (T::of(low), T::of(high));
                for x in panel {
                    let chance = rng.random::<f64>();
                    let replacement = if chance < 0.5 * fraction { low } else { high };
                    *x = if chance < fraction { replacement } else { *x };
                }
            }
        }
    }
}
