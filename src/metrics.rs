//! How well a model reconstructs, how sparse its hidden activations are, what each of its units does
//! and whether they found known features, and how well scores tell anomalies from the rest.
//!
//! [`ReconstructionMetrics`], [`SparsityMetrics`], [`UnitStatistics`], and [`DictionaryMetrics`] are
//! accumulators: batches are added as they come, and nothing of them is kept. All is summed in `f64`,
//! sample by sample in the order given, so that the same samples give the same bits however they
//! were split into batches, also for quantities that a mean over batches would get wrong, such as a
//! variance.
//!
//! A number that the samples do not define (before any was added, or where it would divide by
//! zero) is `None`, never NaN. Sums neither overflow nor vanish, whatever the finite samples are; a
//! result beyond the largest `f64` is infinite, and one below the smallest is 0.
//!
//! All memory is taken at the start. Where there is not enough, adding samples is an error.
//!
//! [`roc_auc`], [`average_precision`], and [`roc_curve`] judge scores by labels, all at once.
//!
//! ```
//! use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityIndex, SparsityMetrics};
//! use sparse_autoencoder::nalgebra::DMatrix;
//!
//! // Column by column: two samples of two entries, and their activations of three hidden units.
//! let samples = DMatrix::from_column_slice(2, 2, &[1.0_f32, 0.0, 3.0, 2.0]);
//! let reconstructions = DMatrix::from_column_slice(2, 2, &[1.0_f32, 0.0, 3.0, 1.0]);
//! let hidden = DMatrix::from_column_slice(3, 2, &[0.0_f32, 3.0, 4.0, 0.0, 5.0, 0.0]);
//!
//! let mut reconstruction = ReconstructionMetrics::new(2);
//! reconstruction.add(&samples, &reconstructions)?;
//! assert_eq!(reconstruction.mean_squared_error(), Some(0.25));
//! assert_eq!(reconstruction.explained_variance(), Some(0.75));
//!
//! let mut sparsity = SparsityMetrics::new(3);
//! sparsity.add(&hidden)?;
//! assert_eq!(sparsity.l0(), Some(1.5));
//! assert_eq!(sparsity.dead_units(), [0]);
//! let population = sparsity.population_sparsity(SparsityIndex::VinjeGallant);
//! assert!((population.unwrap() - 0.76).abs() < 1e-12);
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```

mod assignment;
mod dictionary;
mod ranking;
mod reconstruction;
mod sparsity;
mod sparsity_index;
mod units;

pub use dictionary::{DictionaryMetrics, FeatureMatch};
pub use ranking::{RocPoint, average_precision, roc_auc, roc_curve};
pub use reconstruction::ReconstructionMetrics;
pub use sparsity::SparsityMetrics;
pub use sparsity_index::{SparsityIndex, hoyer, treves_rolls, vinje_gallant};
pub use units::{TopSample, UnitStatistics};

use nalgebra::DVector;

use crate::error::Error;
use crate::linalg::reserve;
use crate::linalg::wide::Wide;

/// `sum / count`, `None` where there is nothing to divide by.
fn ratio(sum: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}

/// `sum / count`, `None` before any sample.
fn mean(sum: Wide, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum.over(count).to_f64())
}

/// `sum(unit) / samples` for each unit. `None` before any sample.
fn mean_per_unit<U>(units: &[U], samples: usize, sum: impl Fn(&U) -> Wide) -> Option<DVector<f64>> {
    let means = units
        .iter()
        .map(|unit| sum(unit).over(float(samples)).to_f64());
    (samples > 0).then(|| DVector::from_iterator(units.len(), means))
}

/// What is kept for each entry of a sample: of as many as the caller says, which may be more than
/// there is room for. No samples have so many.
#[derive(Debug, Clone, PartialEq)]
struct PerEntry<U> {
    count: usize,
    kept: Vec<U>,
}

impl<U: Clone> PerEntry<U> {
    /// The same of each.
    fn new(count: usize, empty: U) -> Self {
        Self {
            count,
            kept: reserve::filled(empty, count, "entries").unwrap_or_default(),
        }
    }

    /// Refuses to go on without room for all, which samples at hand have shown that there can be.
    fn check(&self) -> Result<(), Error> {
        reserve::check(
            self.kept.len() == self.count,
            "entries of a sample",
            self.count,
        )
    }

    /// `value` of each, and `before` for all of them before any sample; none if no machine could hold
    /// them.
    fn each<V: Clone>(&self, before: V, value: impl Fn(&U) -> V) -> Vec<V> {
        if self.kept.len() == self.count {
            return self.kept.iter().map(value).collect();
        }
        reserve::filled(before, self.count, "entries").unwrap_or_default()
    }
}

/// The positions for which it is true.
fn positions(flags: Vec<bool>) -> Vec<usize> {
    let flagged = flags.into_iter().enumerate().filter(|(_, flag)| *flag);
    flagged.map(|(position, _)| position).collect()
}

/// A count as a number; counts stay far below 2⁵³.
#[allow(clippy::cast_precision_loss)]
fn float(count: usize) -> f64 {
    count as f64
}
