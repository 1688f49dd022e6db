use nalgebra::DVector;

use super::sparsity_index::{Magnitudes, SparsityIndex};
use super::{PerEntry, mean_per_unit, positions, ratio};
use crate::error::{Error, require_at_least_0};
use crate::linalg::wide::Wide;
use crate::validate::check_batch;
use crate::{AsMatrix, Real, SparseHidden};

/// Accumulates the sparsity of hidden activations `h`, per unit over the samples and per sample over
/// the units.
///
/// A unit is *active* in a sample where `|h| > threshold`. The threshold is 0 by default; set another
/// by [`with_threshold`](Self::with_threshold) for smooth activations such as the sigmoid, which are
/// never exactly 0.
///
/// Memory is proportional to the number of units.
#[derive(Debug, Clone, PartialEq)]
pub struct SparsityMetrics {
    threshold: f64,
    samples: usize,
    units: PerEntry<Unit>,
    population: [Mean; 3],
}

/// The sums of one unit over the samples.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Unit {
    sum: Wide,
    magnitudes: Magnitudes,
    active: usize,
}

/// A mean over the samples that define the quantity.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl SparsityMetrics {
    /// Creates an empty accumulator for `units` hidden units, active where their activation is not 0.
    #[must_use]
    pub fn new(units: usize) -> Self {
        Self {
            threshold: 0.0,
            samples: 0,
            units: PerEntry::new(units, Unit::default()),
            population: [Mean::default(); 3],
        }
    }

    /// Creates an empty accumulator for `units` hidden units, active where `|h| > threshold`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless the threshold is finite and at least 0.
    pub fn with_threshold(units: usize, threshold: f64) -> Result<Self, Error> {
        require_at_least_0::<f64>("threshold", threshold)?;
        Ok(Self {
            threshold,
            ..Self::new(units)
        })
    }

    /// Adds a batch of hidden activations, units × samples.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`];
    /// [`Error::InvalidParameter`] if the sums do not fit into memory. The batch is then ignored.
    pub fn add<T: Real>(&mut self, hidden: impl AsMatrix<T>) -> Result<(), Error> {
        let hidden = hidden.as_matrix()?;
        check_batch(
            hidden,
            self.units.count,
            ["hidden activations", "rows of the hidden activations"],
        )?;
        self.units.check()?;
        for sample in hidden.column_iter() {
            self.add_sample(sample.iter().enumerate());
        }
        Ok(())
    }

    /// Adds a batch of sparse hidden activations, with the same bits as [`add`](Self::add).
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn add_sparse<T: Real>(&mut self, hidden: &SparseHidden<T>) -> Result<(), Error> {
        hidden.check(self.units.count)?;
        self.units.check()?;
        for (units, activations) in hidden.iter() {
            self.add_sample(units.iter().map(|&unit| unit as usize).zip(activations));
        }
        Ok(())
    }

    /// Adds a sample as pairs of a unit and its activation. Zeros may be omitted: they add 0 to every
    /// sum and exceed no threshold.
    fn add_sample<'a, T: Real>(&mut self, activations: impl Iterator<Item = (usize, &'a T)>) {
        let mut of_sample = Magnitudes::default();
        for (unit, activation) in activations {
            let unit = &mut self.units.kept[unit];
            let activation = activation.to_f64();
            of_sample.add(activation);
            unit.sum.add(Wide::of(activation));
            unit.magnitudes.add(activation);
            unit.active += usize::from(activation.abs() > self.threshold);
        }
        let indices = of_sample.indices(self.units.count);
        for (mean, index) in self.population.iter_mut().zip(indices) {
            if let Some(index) = index {
                mean.sum += index;
                mean.count += 1;
            }
        }
        self.samples += 1;
    }

    /// Returns the number of added samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Returns the mean activation `ρ̂` of each unit, to compare with a sparsity target. `None` before
    /// any sample.
    ///
    /// ```text
    /// ρ̂ⱼ = 1/m Σᵢ hⱼᵢ
    /// ```
    #[must_use]
    pub fn mean_activation(&self) -> Option<DVector<f64>> {
        mean_per_unit(&self.units.kept, self.samples, |unit| unit.sum)
    }

    /// Returns the mean number of active units per sample, in [0, units]. `None` before any sample.
    ///
    /// ```text
    /// 1/m Σᵢ #{j : |hⱼᵢ| > threshold}
    /// ```
    #[must_use]
    pub fn l0(&self) -> Option<f64> {
        let active = self.units.kept.iter().map(|unit| unit.active).sum();
        ratio(f64::of_count(active), f64::of_count(self.samples))
    }

    /// Returns the proportion of samples in which each unit is active, in [0, 1]. `None` before any
    /// sample.
    ///
    /// ```text
    /// 1/m #{i : |hⱼᵢ| > threshold}
    /// ```
    ///
    /// With a threshold of 0 it equals `feature_density` of SAELens 6.54. SAEBench 0.6 counts positive
    /// activations only.
    #[must_use]
    pub fn activation_frequency(&self) -> Option<DVector<f64>> {
        mean_per_unit(&self.units.kept, self.samples, |unit| {
            Wide::of(f64::of_count(unit.active))
        })
    }

    /// Returns the units that are active in no sample, ascending. Before any sample, all units, or
    /// none if their number does not fit into memory.
    #[must_use]
    pub fn dead_units(&self) -> Vec<usize> {
        positions(self.units.each(true, |unit| unit.active == 0))
    }

    /// Returns the mean over the samples of a sparsity index over the units, in the range of the index.
    ///
    /// ```text
    /// 1/#S Σ_{i ∈ S} index(|h₁ᵢ|, …, |hₙᵢ|),     S the samples that are not all 0
    /// ```
    ///
    /// `None` if S is empty. For a single unit only Treves–Rolls is defined.
    #[must_use]
    pub fn population_sparsity(&self, index: SparsityIndex) -> Option<f64> {
        let mean = self.population[index.position()];
        ratio(mean.sum, f64::of_count(mean.count))
    }

    /// Returns a sparsity index of each unit over all added samples. `None` for a unit that is always 0.
    ///
    /// For a single sample only Treves–Rolls is defined.
    #[must_use]
    pub fn lifetime_sparsity(&self, index: SparsityIndex) -> Vec<Option<f64>> {
        self.units.each(None, |unit| {
            unit.magnitudes.indices(self.samples)[index.position()]
        })
    }
}
