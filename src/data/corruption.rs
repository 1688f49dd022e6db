//! Input noise for denoising autoencoders.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use crate::Real;
use crate::error::{Error, require, require_at_least_0};
use crate::linalg::Scratch;

/// The number of rows of the matrix as which the values are split into panels. It makes panels large
/// enough that seeding a generator for each costs little.
const ROWS: usize = 64;

/// Noise on the training input, for denoising autoencoders.
///
/// Every step draws new noise. The loss compares reconstructions with the clean samples (Vincent et
/// al. 2010, *Stacked Denoising Autoencoders*).
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same tables and keys as this JSON.

```
use sparse_autoencoder::Corruption;

let json = r#"[
    {"gaussian": {"standard_deviation": 0.1}},
    {"masking": {"fraction": 0.3}},
    {"salt_and_pepper": {"fraction": 0.3, "low": 0.0, "high": 1.0}}
]"#;
let corruptions: Vec<Corruption> = serde_json::from_str(json).unwrap();
assert_eq!(corruptions[1], Corruption::Masking { fraction: 0.3 });
```
"##
)]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Corruption {
    /// Adds independent normal noise to every entry.
    Gaussian {
        /// The standard deviation σ in units of the corrupted samples, after any scaling; finite and at least 0.
        standard_deviation: f64,
    },
    /// Sets entries to 0, each independently with the same probability.
    Masking {
        /// The probability, in [0, 1].
        fraction: f64,
    },
    /// Sets entries to `low` or `high` with equal probabilities, each independently.
    SaltAndPepper {
        /// The probability of replacing an entry, in [0, 1].
        fraction: f64,
        /// The value of pepper, usually the low end of the range of these samples; finite.
        low: f64,
        /// The value of salt, usually the high end; finite.
        high: f64,
    },
}

impl Corruption {
    /// Checks the settings in the scalar type of the data: 1e300 is not finite in f32.
    pub(crate) fn check<T: Real>(&self) -> Result<(), Error> {
        let finite = |value: f64| T::of(value).is_finite();
        let proportion =
            |name, value: f64| require((0.0..=1.0).contains(&value), name, "in [0, 1]", value);
        match *self {
            Self::Gaussian { standard_deviation } => {
                require_at_least_0::<T>("standard_deviation of Gaussian", standard_deviation)
            }
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

    /// Corrupts these samples in place: any mutable slice of values, such as that of a matrix.
    ///
    /// The noise depends only on the seed and the number of values, not on the number of threads.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a setting outside its range; the samples are then unchanged.
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
        self.corrupt(samples, rng, &mut scratch);
        Ok(())
    }

    /// Corrupts samples in place, drawing one number from `rng`.
    ///
    /// Each panel of values has its own generator, seeded by that number and the place of the panel.
    pub(crate) fn corrupt<T: Real>(
        &self,
        samples: &mut [T],
        rng: &mut Xoshiro256PlusPlus,
        scratch: &mut Scratch<T>,
    ) {
        let seed: u64 = rng.random();
        scratch.run(samples, ROWS, &mut [], |first, panel, _| {
            let place = first as u64;
            let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(place));
            self.corrupt_panel(panel, rng);
        });
    }

    fn corrupt_panel<T: Real>(&self, panel: &mut [T], rng: &mut Xoshiro256PlusPlus) {
        // Selects values instead of branching: random branches cannot be predicted.
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
