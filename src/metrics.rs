//! Metrics of fitted models: reconstruction, sparsity, single units, known features, and rankings.
//!
//! | question | answer |
//! |---|---|
//! | How close are the reconstructions? | [`ReconstructionMetrics`] |
//! | How sparse are the hidden activations? | [`SparsityMetrics`]; [`hoyer`], [`treves_rolls`], [`vinje_gallant`] of one vector |
//! | What does each unit do, and in which samples? | [`UnitStatistics`] |
//! | Did the units find known features? | [`DictionaryMetrics`] |
//! | How well do scores separate anomalies? | [`roc_auc`], [`average_precision`], [`roc_curve`] |
//!
//! The first four are accumulators: they take a dataset batch by batch and keep only sums.
//!
//! - Sums are in `f64`, sample by sample in the given order. The same samples give the same bits
//!   however they are split into batches.
//! - A number that the samples do not define is `None`, never NaN: before any sample, or where it
//!   would divide by zero.
//! - Sums of finite samples neither overflow nor underflow. A result beyond the largest `f64` is
//!   infinite, one below the smallest is 0.
//! - All memory is allocated at the start. If it does not fit, adding samples returns an error.
//!
//! ```
//! use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityIndex, SparsityMetrics};
//! use sparse_autoencoder::nalgebra::DMatrix;
//!
//! // Two samples of two entries and the activations of three hidden units, column by column.
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
mod sparsity_index;
mod sparsity_metrics;
mod unit_statistics;

pub use dictionary::{DictionaryMetrics, FeatureMatch};
pub use ranking::{RocPoint, average_precision, roc_auc, roc_curve};
pub use reconstruction::ReconstructionMetrics;
pub use sparsity_index::{SparsityIndex, hoyer, treves_rolls, vinje_gallant};
pub use sparsity_metrics::SparsityMetrics;
pub use unit_statistics::{TopSample, UnitStatistics};

use nalgebra::DVector;

use crate::Real;
use crate::error::Error;
use crate::linalg::reserve;
use crate::linalg::wide::Wide;

/// Returns `sum / count`, `None` for a count of 0.
fn ratio(sum: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}

/// Returns `sum / count`, `None` before any sample.
fn mean(sum: Wide, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum.over(count).to_f64())
}

/// Returns `sum(unit) / samples` for each unit, `None` before any sample.
fn mean_per_unit<U>(units: &[U], samples: usize, sum: impl Fn(&U) -> Wide) -> Option<DVector<f64>> {
    let means = units
        .iter()
        .map(|unit| sum(unit).over(f64::of_count(samples)).to_f64());
    (samples > 0).then(|| DVector::from_iterator(units.len(), means))
}

/// One value for each entry of a sample.
///
/// Stays empty if `count`, which the caller chose, does not fit into memory; adding samples then
/// fails.
#[derive(Debug, Clone, PartialEq)]
struct PerEntry<U> {
    count: usize,
    kept: Vec<U>,
}

impl<U: Clone> PerEntry<U> {
    /// Allocates `count` copies of `empty`.
    fn new(count: usize, empty: U) -> Self {
        Self {
            count,
            kept: reserve::filled(empty, count, "entries").unwrap_or_default(),
        }
    }

    /// Returns an error if the values did not fit into memory.
    fn check(&self) -> Result<(), Error> {
        reserve::check(
            self.kept.len() == self.count,
            "entries of a sample",
            self.count,
        )
    }

    /// Returns `value` of each entry. Without memory for them no sample was added, and each is `before`.
    fn each<V: Clone>(&self, before: V, value: impl Fn(&U) -> V) -> Vec<V> {
        if self.kept.len() == self.count {
            return self.kept.iter().map(value).collect();
        }
        reserve::filled(before, self.count, "entries").unwrap_or_default()
    }
}

/// Returns the positions of the true flags, ascending.
fn positions(flags: Vec<bool>) -> Vec<usize> {
    let flagged = flags.into_iter().enumerate().filter(|(_, flag)| *flag);
    flagged.map(|(position, _)| position).collect()
}
