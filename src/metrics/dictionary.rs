use nalgebra::{DMatrix, DMatrixView, DVector};

use super::assignment::assign;
use super::float;
use crate::error::{Error, require};
use crate::linalg::{self, Scratch, Write, transpose};
use crate::validate::{check_batch, check_rows};
use crate::{Real, SparseHidden, linalg::reserve};

/// How well the features that a model has learned match known ones: the columns of its decoder
/// against the true features of data that was made of them.
///
/// ```text
/// c(f, j) = |⟨tⱼ, d_f⟩| / (‖tⱼ‖ ‖d_f‖)      of feature f and unit j, d_f true and tⱼ learned
/// ```
///
/// The directions alone tell the [mean correlation
/// coefficient](Self::mean_correlation_coefficient), MCC, and the [uniqueness](Self::uniqueness).
/// With the true and the hidden activations of samples, which are [added](Self::add) in batches as
/// they come, the accumulator also tells how well each unit detects the feature next to it: its
/// [precision](Self::precision), [recall](Self::recall), and [F1 score](Self::f1). The definitions
/// are those of SynthSAEBench (Chanin & Garriga-Alonso 2026, *SynthSAEBench: Evaluating Sparse
/// Autoencoders on Scalable Realistic Synthetic Data*).
///
/// A unit whose column is 0 has no direction: its cosines count as 0.
///
/// ```
/// use sparse_autoencoder::metrics::DictionaryMetrics;
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// // Three features in the plane, and two units: the second is the first feature, turned around.
/// let features = DMatrix::from_column_slice(2, 3, &[1.0_f32, 0.0, 0.0, 1.0, 0.6, 0.8]);
/// let decoder = DMatrix::from_column_slice(2, 2, &[0.0_f32, 5.0, -2.0, 0.0]);
/// let mut metrics = DictionaryMetrics::new(&features, &decoder)?;
/// assert_eq!(metrics.nearest_features(), [1, 0]);
/// assert_eq!(metrics.mean_correlation_coefficient(), 1.0);
/// assert_eq!(metrics.uniqueness(), 1.0);
///
/// // Two samples. Unit 0 is active in both, but feature 1 only in the first.
/// let present = DMatrix::from_column_slice(3, 2, &[0.0_f32, 1.0, 0.0, 1.0, 0.0, 0.0]);
/// let hidden = DMatrix::from_column_slice(2, 2, &[1.0_f32, 0.0, 0.3, 0.7]);
/// metrics.add(&present, &hidden)?;
/// assert_eq!((metrics.precision(), metrics.recall()), (Some(0.75), Some(1.0)));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DictionaryMetrics {
    features: usize,
    samples: usize,
    matches: Vec<FeatureMatch>,
    /// The feature nearest to each unit.
    nearest: Vec<usize>,
    units: Vec<Detections>,
}

/// A feature and the unit that was matched with it, one to one.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FeatureMatch {
    /// The column of the true features.
    pub feature: usize,
    /// The column of the decoder.
    pub unit: usize,
    /// The absolute cosine of the angle between them, in [0, 1].
    pub cosine: f64,
}

/// In how many samples a unit was active, the feature nearest to it, and both.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Detections {
    active: usize,
    present: usize,
    both: usize,
}

impl DictionaryMetrics {
    /// Compares directions: `features` is visible × features, `decoder` visible × units. Lengths
    /// and signs play no part.
    ///
    /// Takes O(visible · features · units) for the cosines, and for the matching at most
    /// O(a² b), a being the smaller of the two numbers and b the larger.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] without features or units, or with more pairs of them than fit into
    /// memory, [`Error::DimensionMismatch`] if their
    /// entries differ in number, [`Error::NonFinite`] for NaN and infinities.
    pub fn new<'a, 'b, T: Real>(
        features: impl Into<DMatrixView<'a, T>>,
        decoder: impl Into<DMatrixView<'b, T>>,
    ) -> Result<Self, Error> {
        let (features, decoder) = (features.into(), decoder.into());
        for (name, count) in [("features", features.ncols()), ("units", decoder.ncols())] {
            require(count >= 1, name, "at least 1", float(count))?;
        }
        let visible = features.nrows();
        check_batch(features, visible, ["features", "rows of the features"])?;
        check_batch(decoder, visible, ["decoder", "rows of the decoder"])?;

        let cosines = cosines(features, decoder)?;
        let nearest = cosines.column_iter().map(|of_unit| of_unit.imax());
        Ok(Self {
            features: features.ncols(),
            samples: 0,
            matches: match_one_to_one(&cosines),
            nearest: nearest.collect(),
            units: vec![Detections::default(); decoder.ncols()],
        })
    }

    /// Adds the next batch: the true activations, features × samples, and the hidden activations,
    /// units × samples. Both count as active where they are not 0.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`], and then
    /// nothing has been added.
    pub fn add<'a, 'b, T: Real>(
        &mut self,
        activations: impl Into<DMatrixView<'a, T>>,
        hidden: impl Into<DMatrixView<'b, T>>,
    ) -> Result<(), Error> {
        let (activations, hidden) = (activations.into(), hidden.into());
        let rows = "rows of the hidden activations";
        check_rows(hidden, self.units.len(), rows)?;
        self.check_activations(activations, hidden.ncols())?;
        check_batch(hidden, self.units.len(), ["hidden activations", rows])?;
        for (activations, hidden) in activations.column_iter().zip(hidden.column_iter()) {
            let detections = self.units.iter_mut().zip(&self.nearest);
            for ((unit, &feature), &h) in detections.zip(&hidden) {
                unit.add(activations[feature] != T::zero(), h != T::zero());
            }
        }
        self.samples += hidden.ncols();
        Ok(())
    }

    /// [`add`](Self::add) for sparse hidden activations: the same counts.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`], and then
    /// nothing has been added.
    pub fn add_sparse<'a, T: Real>(
        &mut self,
        activations: impl Into<DMatrixView<'a, T>>,
        hidden: &SparseHidden<T>,
    ) -> Result<(), Error> {
        let activations = activations.into();
        hidden.check(self.units.len())?;
        self.check_activations(activations, hidden.samples())?;
        for (activations, (active, _)) in activations.column_iter().zip(hidden.iter()) {
            let present = |feature: usize| activations[feature] != T::zero();
            for (unit, &feature) in self.units.iter_mut().zip(&self.nearest) {
                unit.add(present(feature), false);
            }
            for &unit in active {
                let unit = unit as usize;
                self.units[unit].active += 1;
                self.units[unit].both += usize::from(present(self.nearest[unit]));
            }
        }
        self.samples += hidden.samples();
        Ok(())
    }

    fn check_activations<T: Real>(
        &self,
        activations: DMatrixView<'_, T>,
        samples: usize,
    ) -> Result<(), Error> {
        let what = ["true activations", "rows of the true activations"];
        check_rows(activations, self.features, what[1])?;
        if activations.ncols() != samples {
            return Err(Error::DimensionMismatch {
                what: "columns of the hidden activations",
                expected: activations.ncols(),
                actual: samples,
            });
        }
        check_batch(activations, self.features, what)
    }

    /// The number of samples added.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The pairs of the best one-to-one matching, as many as there are features or units, whichever
    /// are fewer: no other has a larger sum of cosines. By unit, ascending.
    #[must_use]
    pub fn matches(&self) -> &[FeatureMatch] {
        &self.matches
    }

    /// The mean correlation coefficient, MCC, in [0, 1]: the mean cosine over the best one-to-one
    /// [matching](Self::matches). 1 where one side is found whole among the other.
    ///
    /// ```text
    /// 1/n max_π Σᵢ c(i, π(i)),     n = min(features, units)
    /// ```
    ///
    /// Random directions do not have 0, but about the largest cosine to be found by chance.
    #[must_use]
    pub fn mean_correlation_coefficient(&self) -> f64 {
        let sum: f64 = self.matches.iter().map(|pair| pair.cosine).sum();
        sum / float(self.matches.len())
    }

    /// The feature with the largest cosine for each unit, of equal ones the first. Several units
    /// may share one.
    #[must_use]
    pub fn nearest_features(&self) -> &[usize] {
        &self.nearest
    }

    /// The number of different [nearest features](Self::nearest_features) per unit, in (0, 1]: 1 if
    /// no two units are after the same feature.
    #[must_use]
    pub fn uniqueness(&self) -> f64 {
        let mut nearest = self.nearest.clone();
        nearest.sort_unstable();
        nearest.dedup();
        float(nearest.len()) / float(self.units.len())
    }

    /// The mean over the units of how often the [nearest feature](Self::nearest_features) is there
    /// when the unit is active, in [0, 1]. 0 counts for a unit that never was. `None` before any
    /// sample.
    ///
    /// ```text
    /// 1/units Σⱼ |Aⱼ ∩ Pⱼ| / |Aⱼ|     A, P  the samples in which the unit, the feature is active
    /// ```
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        self.mean(|unit| share(unit.both, unit.active))
    }

    /// The mean over the units of how often the unit is active when its [nearest
    /// feature](Self::nearest_features) is there, in [0, 1]. 0 counts for a unit whose feature never
    /// was. `None` before any sample.
    ///
    /// ```text
    /// 1/units Σⱼ |Aⱼ ∩ Pⱼ| / |Pⱼ|
    /// ```
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        self.mean(|unit| share(unit.both, unit.present))
    }

    /// The mean over the units of the [F1 score of each](Self::f1_per_unit), in [0, 1]. `None` before
    /// any sample.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        self.mean(Detections::f1)
    }

    /// How well each unit tells whether its [nearest feature](Self::nearest_features) is active:
    /// the harmonic mean of its precision and recall, 0 for a unit that was never active together
    /// with its feature. `None` before any sample.
    ///
    /// ```text
    /// F1 = 2 |A ∩ P| / (|A| + |P|)     A, P  the samples in which the unit, the feature is active
    /// ```
    #[must_use]
    pub fn f1_per_unit(&self) -> Option<DVector<f64>> {
        let scores = self.units.iter().map(Detections::f1);
        (self.samples > 0).then(|| DVector::from_iterator(self.units.len(), scores))
    }

    fn mean(&self, score: impl Fn(&Detections) -> f64) -> Option<f64> {
        let scores = self.units.iter().map(score).sum::<f64>();
        (self.samples > 0).then(|| scores / float(self.units.len()))
    }
}

impl Detections {
    fn add(&mut self, present: bool, active: bool) {
        self.present += usize::from(present);
        self.active += usize::from(active);
        self.both += usize::from(present && active);
    }

    fn f1(&self) -> f64 {
        share(2 * self.both, self.active + self.present)
    }
}

/// A share of none is 0.
fn share(part: usize, of: usize) -> f64 {
    float(part) / float(of.max(1))
}

/// |cos| of every feature and unit, features × units.
fn cosines<T: Real>(
    features: DMatrixView<'_, T>,
    decoder: DMatrixView<'_, T>,
) -> Result<DMatrix<f64>, Error> {
    let mut cosines = reserve::matrix(
        features.ncols(),
        decoder.ncols(),
        "pairs of a feature and a unit",
    )?;
    let (features, decoder) = (directions(features), directions(decoder));
    linalg::product(
        cosines.as_view_mut(),
        Write::Over,
        transpose(features.as_view()),
        decoder.as_view(),
        &mut Scratch::default(),
    );
    // A rounding above 1 is none.
    cosines.apply(|cosine| *cosine = cosine.abs().min(1.0));
    Ok(cosines)
}

/// The columns at norm 1, but for those of zeros.
fn directions<T: Real>(columns: DMatrixView<'_, T>) -> DMatrix<f64> {
    let mut directions = columns.map(|entry| entry.to_f64());
    for mut column in directions.column_iter_mut() {
        let largest = column.amax();
        if largest > 0.0 {
            column /= largest; // whose square might overflow, or vanish
            column /= column.norm();
        }
    }
    directions
}

fn match_one_to_one(cosines: &DMatrix<f64>) -> Vec<FeatureMatch> {
    let pair = |(feature, unit)| FeatureMatch {
        feature,
        unit,
        cosine: cosines[(feature, unit)],
    };
    let (features, units) = cosines.shape();
    let mut matches: Vec<_> = if units <= features {
        let features = assign(&-cosines);
        features.into_iter().zip(0..).map(pair).collect()
    } else {
        let units = assign(&-cosines.transpose());
        (0..).zip(units).map(pair).collect()
    };
    matches.sort_unstable_by_key(|pair| pair.unit);
    matches
}
