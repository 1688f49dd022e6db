//! Scaling of samples: learned once, then applied to every sample alike.

mod learning;
mod scaled_samples;
mod scaler;

pub use scaled_samples::ScaledSamples;
pub use scaler::Scaler;

use super::Samples;
use super::in_order::InOrder;
use crate::error::{Error, require, require_above_0};
use crate::linalg::reserve;
use crate::validate::SAMPLES;
use crate::{Activation, Real, geometric_median};

/// A rule for scaling the features of samples, from which [`fit`](Self::fit) learns a [`Scaler`].
///
/// ```text
/// x′ = (x − c) · f + o
///
/// standard        c = mean    f = 1 / σ, σ² = 1/n Σ (x − c)²     o = 0
/// min-max         c = min     f = (high − low) / (max − min)     o = low
/// mean norm       c = 0       f = norm / (1/n Σ ‖x‖)             o = 0
/// mean distance   c = median  f = distance / (1/n Σ ‖x − c‖)     o = 0
/// identity        c = 0       f = 1                              o = 0
/// ```
///
/// Mean norm and mean distance have one factor for all features; the other rules are learned per feature. The
/// median is the [geometric one](crate::geometric_median). σ divides by n, as in scikit-learn's `StandardScaler`.
/// Min-max maps the samples of the fit into `[low, high]` exactly; other samples may fall outside.
///
/// # Constant features
///
/// A feature with the same value in every sample has no scale, and [`fit`](Self::fit) refuses it. Drop
/// the feature, or call [`keep_constant_features`](Self::keep_constant_features): a kept feature is
/// shifted but not scaled, `f = 1`. Its value becomes 0, or the middle of the range, and deviations
/// keep the units of the data. This helps to detect anomalies in such features, but a single deviation
/// can outweigh all other features.
///
/// ```
/// use sparse_autoencoder::{Activation, Scaling, nalgebra::DMatrix};
///
/// // Two features, three samples.
/// let samples = DMatrix::from_column_slice(2, 3, &[1.0, -10.0, 2.0, 0.0, 3.0, 10.0]);
/// let scaler = Scaling::min_max(0.0, 1.0).fit(&samples)?;
/// let scaled = scaler.apply(&samples)?;
/// assert_eq!(scaled.as_slice(), [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]);
/// assert_eq!(scaler.invert(&scaled)?, samples);
///
/// // For sigmoid outputs, away from the ends of the range, which a sigmoid never reaches.
/// let scaling = Scaling::to_range_of(Activation::Sigmoid, 0.1)?;
/// assert_eq!(scaling, Scaling::min_max(0.1, 0.9));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same tables and keys as this JSON.

```
use sparse_autoencoder::Scaling;

let json = r#"[
    {"target": "identity"},
    {"target": "standard", "keep_constant_features": true},
    {"target": {"range": {"low": 0.1, "high": 0.9}}},
    {"target": {"mean_norm": 8.0}},
    {"target": {"mean_distance": 8.0}}
]"#;
let scalings: Vec<Scaling> = serde_json::from_str(json).unwrap();
assert_eq!(scalings, [
    Scaling::identity(),
    Scaling::standard().keep_constant_features(),
    Scaling::min_max(0.1, 0.9),
    Scaling::mean_norm(8.0),
    Scaling::mean_distance(8.0),
]);
```
"##
)]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        deny_unknown_fields,
        expecting = "a table such as {\"target\": \"standard\"}, with an optional `keep_constant_features`"
    )
)]
#[must_use]
pub struct Scaling {
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::by_name::choice"))]
    target: Target,
    #[cfg_attr(feature = "serde", serde(default))]
    keep_constant_features: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
enum Target {
    Identity,
    Standard,
    Range { low: f64, high: f64 },
    MeanNorm(f64),
    MeanDistance(f64),
}

impl Scaling {
    const fn new(target: Target) -> Self {
        Self {
            target,
            keep_constant_features: false,
        }
    }

    /// Leaves samples unchanged.
    pub const fn identity() -> Self {
        Self::new(Target::Identity)
    }

    /// Scales every feature to mean 0 and variance 1.
    pub const fn standard() -> Self {
        Self::new(Target::Standard)
    }

    /// Scales every feature to the range `[low, high]`.
    ///
    /// The ends must be finite and `low < high`; [`fit`](Self::fit) checks them.
    pub const fn min_max(low: f64, high: f64) -> Self {
        Self::new(Target::Range { low, high })
    }

    /// Scales all features by one factor, so that samples have the mean norm `norm`.
    ///
    /// Directions and proportions stay. For activations of networks with d features, √d and 1 are
    /// usual: the same penalty weight then suits different networks and layers. The norm must be
    /// finite and above 0; [`fit`](Self::fit) checks it. Samples of zeros count as constant features.
    pub const fn mean_norm(norm: f64) -> Self {
        Self::new(Target::MeanNorm(norm))
    }

    /// Moves the geometric median to 0, and scales all features by one factor, so that samples have the mean
    /// distance `distance` from it.
    ///
    /// A model then sees deviations without a [pre-encoder
    /// bias](crate::SparseAutoencoderBuilder::pre_encoder_bias). The distance must be finite and above 0.
    pub const fn mean_distance(distance: f64) -> Self {
        Self::new(Target::MeanDistance(distance))
    }

    /// Scales every feature to the range of an output activation, shrunk at both ends by `margin` times
    /// its width.
    ///
    /// | activation | range for a margin of 0.1 |
    /// |---|---|
    /// | sigmoid, saturating linear | `[0.1, 0.9]` |
    /// | tanh | `[−0.8, 0.8]` |
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedActivation`] for an activation without bounds, [`Error::InvalidParameter`]
    /// for a margin outside [0, 0.5).
    pub fn to_range_of(activation: Activation, margin: f64) -> Result<Self, Error> {
        let Some((low, high)) = activation.range() else {
            return Err(Error::UnsupportedActivation {
                what: "scaling to its range",
                activation,
                requirement: "the activation must be bounded",
            });
        };
        require(
            (0.0..0.5).contains(&margin),
            "margin of the scaling",
            "in [0, 0.5)",
            margin,
        )?;
        let shrink = margin * (high - low);
        Ok(Self::min_max(low + shrink, high - shrink))
    }

    /// Accepts features with the same value in every sample: they are shifted, but not scaled.
    pub const fn keep_constant_features(mut self) -> Self {
        self.keep_constant_features = true;
        self
    }

    /// Learns the scaling from any [`Samples`]: a matrix or a view, features × samples, a file, or a source
    /// of your own.
    ///
    /// The same samples give the same bits, wherever they are stored. Samples outside memory are read in
    /// passes, by batches:
    ///
    /// | scaling | passes | memory |
    /// |---|---|---|
    /// | identity, min-max, mean norm | 1 | a batch |
    /// | standard | 2 | a batch |
    /// | mean distance | those of the [geometric median](crate::geometric_median), and 1 | as there |
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::EmptyBatch`], [`Error::NonFinite`] | no samples; NaN or infinities |
    /// | [`Error::ConstantFeature`] | a constant feature, or one whose factor overflows `T` |
    /// | [`Error::OutOfRange`] | a feature whose spread overflows or whose factor underflows `T` |
    /// | [`Error::InvalidParameter`] | an invalid range or norm |
    /// | those of [`Samples::read`] | samples that cannot be read |
    pub fn fit<T: Real>(&self, samples: impl Samples<T>) -> Result<Scaler<T>, Error> {
        self.fit_to(&samples)
    }

    fn fit_to<T: Real>(&self, samples: &dyn Samples<T>) -> Result<Scaler<T>, Error> {
        let features = samples.entries();
        self.check::<T>()?;
        let mut passes = InOrder::new(samples, features, SAMPLES)?;
        let filled = |value| reserve::filled(value, features, "features");
        let mut scaler = Scaler {
            centers: filled(T::zero())?,
            factors: filled(T::one())?,
            offsets: filled(T::zero())?,
        };
        match self.target {
            Target::Identity => passes.each(|_, _| Ok(()))?,
            Target::Standard => self.learn_moments(&mut passes, &mut scaler)?,
            Target::Range { low, high } => {
                self.learn_range(&mut passes, [T::of(low), T::of(high)], &mut scaler)?;
            }
            Target::MeanNorm(norm) => self.learn_norm(&mut passes, norm, &mut scaler)?,
            Target::MeanDistance(distance) => {
                scaler.centers = geometric_median(samples)?.as_slice().to_vec();
                self.learn_norm(&mut passes, distance, &mut scaler)?;
            }
        }
        Ok(scaler)
    }

    /// Refuses a range or norm that is invalid in the scalar type `T`.
    pub(crate) fn check<T: Real>(&self) -> Result<(), Error> {
        let (low, high) = match self.target {
            Target::Identity | Target::Standard => return Ok(()),
            Target::MeanNorm(norm) => return require_above_0::<T>("mean norm", norm),
            Target::MeanDistance(distance) => {
                return require_above_0::<T>("mean distance", distance);
            }
            Target::Range { low, high } => (low, high),
        };
        let name = "low end of the scaling";
        require(T::of(low).is_finite(), name, "finite", low)?;
        let width = T::of(high) - T::of(low);
        require(
            width > T::zero() && width.is_finite(),
            "high end of the scaling",
            "finite and above the low end",
            high,
        )
    }
}
