//! A scaling learned from samples.

use nalgebra::DMatrix;

use super::ScaledSamples;
use crate::error::{Error, require, require_above_0};
use crate::validate::{SAMPLES, check_batch, check_len};
use crate::{AsMatrix, Real, Samples};

/// The scaling of each feature, learned by [`Scaling::fit`](super::Scaling::fit).
///
/// ```text
/// x′ = (x − c) · f + o          x = (x′ − o) / f + c
/// ```
///
/// `c` are the [centers](Self::centers), `f` the [factors](Self::factors), and `o` the
/// [offsets](Self::offsets), one per feature. [`new`](Self::new) restores a scaler from stored values. The
/// module `files` (feature `files`) saves and loads one, and the feature `serde` knows the keys `centers`,
/// `factors`, and `offsets`. All of them check the values.
///
/// ```
/// use sparse_autoencoder::{Scaler, Scaling, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_column_slice(1, 4, &[1.0_f32, 1.0, 3.0, 3.0]);
/// let scaler = Scaling::standard().fit(&samples)?;
/// assert_eq!(scaler.apply(&samples)?.as_slice(), [-1.0, -1.0, 1.0, 1.0]);
///
/// let stored = Scaler::new(scaler.centers(), scaler.factors(), scaler.offsets())?;
/// assert_eq!(stored, scaler);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "Unchecked<T>"),
    serde(bound(deserialize = "T: Real + serde::Deserialize<'de>"))
)]
pub struct Scaler<T> {
    pub(super) centers: Vec<T>,
    pub(super) factors: Vec<T>,
    pub(super) offsets: Vec<T>,
}

impl<T: Real> Scaler<T> {
    /// Creates a scaler from stored values, one per feature in each slice.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the slices differ in length, [`Error::InvalidParameter`]
    /// unless all numbers are finite and the factors are above 0.
    pub fn new(centers: &[T], factors: &[T], offsets: &[T]) -> Result<Self, Error> {
        Self::from_vectors(centers.to_vec(), factors.to_vec(), offsets.to_vec())
    }

    /// [`new`](Self::new) without copies.
    pub(crate) fn from_vectors(
        centers: Vec<T>,
        factors: Vec<T>,
        offsets: Vec<T>,
    ) -> Result<Self, Error> {
        for (what, values) in [
            ("factors of the scaler", &factors),
            ("offsets of the scaler", &offsets),
        ] {
            check_len(what, centers.len(), values.len())?;
        }
        for (name, values) in [("centers", &centers), ("offsets", &offsets)] {
            for value in values {
                require(value.is_finite(), name, "finite", value.to_f64())?;
            }
        }
        for &factor in &factors {
            require_above_0::<T>("factors", factor.to_f64())?;
        }
        Ok(Self {
            centers,
            factors,
            offsets,
        })
    }

    /// Scales samples, features × samples. Values that overflow become the largest finite number.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for another number of features, [`Error::EmptyBatch`] without
    /// samples, [`Error::NonFinite`] for NaN and infinities.
    pub fn apply(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        check_batch(samples, self.features(), SAMPLES)?;
        let mut scaled = samples.into_owned();
        self.apply_in_place(scaled.as_mut_slice());
        Ok(scaled)
    }

    /// Scales the samples of any source on reading, with the bits of [`apply`](Self::apply).
    ///
    /// Use it to train on a file that does not fit into memory. Reading NaN or infinities is
    /// [`Error::NonFinite`].
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, Samples, Scaling, SparseAutoencoder, Trainer};
    ///
    /// let file = DMatrix::from_fn(8, 300, |i, j| ((31 * i + 7 * j) % 256) as f32); // or an NpyFile
    /// let first = file.columns(0, 100);
    /// let scaler = Scaling::min_max(0.1, 0.9).fit(first)?;
    /// let mut sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
    /// Trainer::new(Adam::new(1e-2)?).epochs(5).fit(&mut sae, scaler.apply_on_read(&file)?)?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the samples have another number of entries.
    pub fn apply_on_read<S: Samples<T>>(&self, samples: S) -> Result<ScaledSamples<T, S>, Error> {
        check_len("entries of the samples", self.features(), samples.entries())?;
        Ok(ScaledSamples {
            scaler: self.clone(),
            samples,
        })
    }

    /// Maps scaled samples, features × samples, back to the units of the data. Values that overflow
    /// become the largest finite number.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn invert(&self, scaled: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let scaled = scaled.as_matrix()?;
        check_batch(
            scaled,
            self.features(),
            ["scaled samples", "rows of the scaled samples"],
        )?;
        let mut samples = scaled.into_owned();
        self.for_each_value(samples.as_mut_slice(), |x, c, f, o| {
            let sample = (x - o) / f + c;
            if sample.is_finite() {
                return sample;
            }
            // In halves, in case only an intermediate result overflows.
            let half = T::of(0.5);
            saturated((half * x - half * o) / f + half * c)
        });
        Ok(samples)
    }

    /// Returns the scaler of [`Pairs`](crate::Pairs): this one for the inputs, and another for the targets.
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Pairs, Samples, Scaling};
    ///
    /// let inputs = DMatrix::from_fn(3, 50, |i, j| ((i * j) % 7) as f64);
    /// let targets = DMatrix::from_fn(2, 50, |i, j| 100.0 + ((i + j) % 5) as f64);
    /// let of_inputs = Scaling::mean_distance(3f64.sqrt()).fit(&inputs)?;
    /// let scaler = of_inputs.with_targets(&Scaling::mean_distance(2f64.sqrt()).fit(&targets)?);
    /// let pairs = Pairs::new(&inputs, &targets)?;
    /// assert_eq!(scaler.apply_on_read(&pairs)?.entries(), 5);
    /// assert_eq!(scaler.split_at(3)?.0, of_inputs);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    #[must_use]
    pub fn with_targets(&self, targets: &Self) -> Self {
        let both = |of_inputs: &[T], of_targets: &[T]| [of_inputs, of_targets].concat();
        Self {
            centers: both(&self.centers, &targets.centers),
            factors: both(&self.factors, &targets.factors),
            offsets: both(&self.offsets, &targets.offsets),
        }
    }

    /// Splits the scaler of [`Pairs`](crate::Pairs) into that of the inputs, the first `features`, and that of the
    /// targets. Until a transcoder is [folded](crate::SparseAutoencoder::fold), scale its inputs by the first, and
    /// [invert](Self::invert) its predictions by the second.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for more features than there are.
    pub fn split_at(&self, features: usize) -> Result<(Self, Self), Error> {
        let (requirement, value) = ("at most all features", f64::of_count(features));
        require(features <= self.features(), "features", requirement, value)?;
        let part = |of: std::ops::Range<usize>| Self {
            centers: self.centers[of.clone()].to_vec(),
            factors: self.factors[of.clone()].to_vec(),
            offsets: self.offsets[of].to_vec(),
        };
        Ok((part(0..features), part(features..self.features())))
    }

    /// Returns the number of features.
    #[must_use]
    pub fn features(&self) -> usize {
        self.centers.len()
    }

    /// Returns the centers `c`, in the units of the data.
    #[must_use]
    pub fn centers(&self) -> &[T] {
        &self.centers
    }

    /// Returns the factors `f`, all above 0.
    #[must_use]
    pub fn factors(&self) -> &[T] {
        &self.factors
    }

    /// Returns the offsets `o`, to which the centers are mapped.
    #[must_use]
    pub fn offsets(&self) -> &[T] {
        &self.offsets
    }

    /// Scales finite samples, one after the other, without checks.
    pub(crate) fn apply_in_place(&self, samples: &mut [T]) {
        self.for_each_value(samples, |x, c, f, o| {
            let scaled = (x - c) * f + o;
            if scaled.is_finite() {
                return scaled;
            }
            // In halves, in case only the difference overflows.
            let half = T::of(0.5);
            saturated((half * x - half * c) * f + half * o)
        });
    }

    fn for_each_value(&self, samples: &mut [T], change: impl Fn(T, T, T, T) -> T) {
        for sample in samples.chunks_exact_mut(self.features().max(1)) {
            let scales = self.centers.iter().zip(&self.factors).zip(&self.offsets);
            for (x, ((&center, &factor), &offset)) in sample.iter_mut().zip(scales) {
                *x = change(*x, center, factor, offset);
            }
        }
    }
}

/// A scaler as a file holds it.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with the lists `centers`, `factors`, and `offsets`"
)]
struct Unchecked<T> {
    centers: Vec<T>,
    factors: Vec<T>,
    offsets: Vec<T>,
}

#[cfg(feature = "serde")]
impl<T: Real> TryFrom<Unchecked<T>> for Scaler<T> {
    type Error = Error;

    fn try_from(unchecked: Unchecked<T>) -> Result<Self, Error> {
        let Unchecked {
            centers,
            factors,
            offsets,
        } = unchecked;
        Self::from_vectors(centers, factors, offsets)
    }
}

/// Returns twice `half`, or the largest finite number of its sign if that overflows.
fn saturated<T: Real>(half: T) -> T {
    let twice = half + half;
    if twice.is_finite() {
        return twice;
    }
    T::from_magnitude_bits(T::infinity_bits() - 1).copysign(half)
}
