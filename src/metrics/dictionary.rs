use nalgebra::{DMatrix, DMatrixView, DVector};

use super::assignment::assign;
use crate::error::{Error, require_some};
use crate::linalg::{self, Scratch, Write, transpose};
use crate::validate::{check_batch, check_len};
use crate::{AsMatrix, Real, SparseHidden, linalg::reserve};

/// Compares the decoder columns of a model with the true features of synthetic data.
///
/// ```text
/// c(f, j) = |⟨tⱼ, d_f⟩| / (‖tⱼ‖ ‖d_f‖)      feature f with true direction d_f, unit j with column tⱼ
/// ```
///
/// | metric | needs | |
/// |---|---|---|
/// | [`mean_correlation_coefficient`](Self::mean_correlation_coefficient) | directions | MCC: the mean cosine of the best one-to-one matching |
/// | [`uniqueness`](Self::uniqueness) | directions | the share of different nearest features |
/// | [`precision`](Self::precision), [`recall`](Self::recall), [`f1`](Self::f1) | samples | how well units detect their nearest feature |
///
/// The definitions are those of SynthSAEBench (Chanin & Garriga-Alonso 2026, *SynthSAEBench:
/// Evaluating Sparse Autoencoders on Scalable Realistic Synthetic Data*). The cosines of a decoder
/// column of zeros count as 0.
///
/// ```
/// use sparse_autoencoder::metrics::DictionaryMetrics;
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// // Three features in the plane and two units. The second unit is the first feature, negated.
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
    /// The nearest feature of each unit.
    nearest: Vec<usize>,
    units: Vec<Detections>,
}

/// A feature and the unit matched with it.
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

/// The numbers of samples in which a unit is active, its nearest feature is present, and both.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Detections {
    active: usize,
    present: usize,
    both: usize,
}

impl DictionaryMetrics {
    /// Compares the directions of `features`, entries × features, with those of `decoder`,
    /// entries × units. Lengths and signs do not matter.
    ///
    /// The cosines cost O(entries · features · units). The matching costs at most O(a² b), where a is
    /// the smaller and b the larger number of columns.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] without features or units, or if the cosines of all pairs do not
    /// fit into memory; [`Error::DimensionMismatch`] if the columns differ in length;
    /// [`Error::NonFinite`] for NaN and infinities.
    pub fn new<T: Real>(
        features: impl AsMatrix<T>,
        decoder: impl AsMatrix<T>,
    ) -> Result<Self, Error> {
        let (features, decoder) = (features.as_matrix()?, decoder.as_matrix()?);
        require_some("features", features.ncols())?;
        require_some("units", decoder.ncols())?;
        let entries = features.nrows();
        check_batch(features, entries, ["features", "rows of the features"])?;
        check_batch(decoder, entries, ["decoder", "rows of the decoder"])?;

        let cosines = cosines(features, decoder)?;
        let nearest = cosines.column_iter().map(|of_unit| of_unit.imax());
        Ok(Self {
            features: features.ncols(),
            samples: 0,
            matches: match_one_to_one(&cosines)?,
            nearest: nearest.collect(),
            units: vec![Detections::default(); decoder.ncols()],
        })
    }

    /// Adds a batch of true activations, features × samples, and hidden activations, units × samples.
    ///
    /// Both count as active where they are not 0.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`]; the batch is then
    /// ignored.
    pub fn add<T: Real>(
        &mut self,
        activations: impl AsMatrix<T>,
        hidden: impl AsMatrix<T>,
    ) -> Result<(), Error> {
        let (activations, hidden) = (activations.as_matrix()?, hidden.as_matrix()?);
        let rows = "rows of the hidden activations";
        check_len(rows, self.units.len(), hidden.nrows())?;
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

    /// Adds a batch as [`add`](Self::add) does, with sparse hidden activations.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_sparse<T: Real>(
        &mut self,
        activations: impl AsMatrix<T>,
        hidden: &SparseHidden<T>,
    ) -> Result<(), Error> {
        let activations = activations.as_matrix()?;
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
        check_len(what[1], self.features, activations.nrows())?;
        let columns = "columns of the hidden activations";
        check_len(columns, activations.ncols(), samples)?;
        check_batch(activations, self.features, what)
    }

    /// Returns the number of added samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Returns the one-to-one matching with the largest sum of cosines, ordered by unit.
    ///
    /// Its length is `min(features, units)`.
    #[must_use]
    pub fn matches(&self) -> &[FeatureMatch] {
        &self.matches
    }

    /// Returns the mean correlation coefficient (MCC), in [0, 1]: the mean cosine of the best
    /// one-to-one [matching](Self::matches).
    ///
    /// ```text
    /// 1/n max_π Σᵢ c(i, π(i)),     n = min(features, units)
    /// ```
    ///
    /// The coefficient of random directions is not 0 but about the largest cosine found by chance.
    #[must_use]
    pub fn mean_correlation_coefficient(&self) -> f64 {
        let sum: f64 = self.matches.iter().map(|pair| pair.cosine).sum();
        sum / f64::of_count(self.matches.len())
    }

    /// Returns the feature with the largest cosine for each unit. Ties go to the lower index.
    ///
    /// Several units may share a feature.
    #[must_use]
    pub fn nearest_features(&self) -> &[usize] {
        &self.nearest
    }

    /// Returns the number of different [nearest features](Self::nearest_features) per unit, in (0, 1].
    ///
    /// 1 means that no two units share a nearest feature.
    #[must_use]
    pub fn uniqueness(&self) -> f64 {
        let mut nearest = self.nearest.clone();
        nearest.sort_unstable();
        nearest.dedup();
        f64::of_count(nearest.len()) / f64::of_count(self.units.len())
    }

    /// Returns the mean precision of the units as detectors of their
    /// [nearest feature](Self::nearest_features), in [0, 1]. `None` before any sample.
    ///
    /// ```text
    /// 1/units Σⱼ |Aⱼ ∩ Pⱼ| / |Aⱼ|     Aⱼ  samples in which unit j is active
    ///                                 Pⱼ  samples in which its nearest feature is present
    /// ```
    ///
    /// A unit that is never active counts as 0.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        self.mean(|unit| share(unit.both, unit.active))
    }

    /// Returns the mean recall of the units as detectors of their
    /// [nearest feature](Self::nearest_features), in [0, 1]. `None` before any sample.
    ///
    /// ```text
    /// 1/units Σⱼ |Aⱼ ∩ Pⱼ| / |Pⱼ|     as for precision
    /// ```
    ///
    /// A unit whose feature is never present counts as 0.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        self.mean(|unit| share(unit.both, unit.present))
    }

    /// Returns the mean of the [F1 scores](Self::f1_per_unit) of all units, in [0, 1]. `None` before
    /// any sample.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        self.mean(Detections::f1)
    }

    /// Returns the F1 score of each unit, in [0, 1]: the harmonic mean of its precision and recall.
    /// `None` before any sample.
    ///
    /// ```text
    /// F1 = 2 |A ∩ P| / (|A| + |P|)     as for precision
    /// ```
    ///
    /// The score is 0 for a unit that is never active together with its nearest feature.
    #[must_use]
    pub fn f1_per_unit(&self) -> Option<DVector<f64>> {
        let scores = self.units.iter().map(Detections::f1);
        (self.samples > 0).then(|| DVector::from_iterator(self.units.len(), scores))
    }

    fn mean(&self, score: impl Fn(&Detections) -> f64) -> Option<f64> {
        let scores = self.units.iter().map(score).sum::<f64>();
        (self.samples > 0).then(|| scores / f64::of_count(self.units.len()))
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

/// Returns `part / of`, 0 for a share of nothing.
fn share(part: usize, of: usize) -> f64 {
    f64::of_count(part) / f64::of_count(of.max(1))
}

/// What memory holds at most twice.
const PAIRS: &str = "pairs of a feature and a unit";

/// Returns |cos| of every feature and unit, features × units.
fn cosines<T: Real>(
    features: DMatrixView<'_, T>,
    decoder: DMatrixView<'_, T>,
) -> Result<DMatrix<f64>, Error> {
    let mut cosines = reserve::matrix(features.ncols(), decoder.ncols(), PAIRS)?;
    let (features, decoder) = (directions(features), directions(decoder));
    linalg::gemm(
        cosines.as_view_mut(),
        Write::Over,
        transpose(features.as_view()),
        decoder.as_view(),
        &mut Scratch::default(),
    );
    // Rounding may exceed 1.
    cosines.apply(|cosine| *cosine = cosine.abs().min(1.0));
    Ok(cosines)
}

/// Scales every column to norm 1, except columns of zeros.
fn directions<T: Real>(columns: DMatrixView<'_, T>) -> DMatrix<f64> {
    let mut directions = columns.map(|entry| entry.to_f64());
    for mut column in directions.column_iter_mut() {
        let largest = column.amax();
        if largest > 0.0 {
            column /= largest; // the squares might overflow or underflow
            column /= column.norm();
        }
    }
    directions
}

fn match_one_to_one(cosines: &DMatrix<f64>) -> Result<Vec<FeatureMatch>, Error> {
    let pair = |(feature, unit)| FeatureMatch {
        feature,
        unit,
        cosine: cosines[(feature, unit)],
    };
    let (features, units) = cosines.shape();
    let mut costs = reserve::matrix(features.max(units), features.min(units), PAIRS)?;
    if units <= features {
        costs.copy_from(cosines);
    } else {
        cosines.transpose_to(&mut costs);
    }
    costs.neg_mut();
    let others = assign(&costs).into_iter();
    let mut matches: Vec<_> = if units <= features {
        others.zip(0..).map(pair).collect()
    } else {
        (0..).zip(others).map(pair).collect()
    };
    matches.sort_unstable_by_key(|pair| pair.unit);
    Ok(matches)
}
