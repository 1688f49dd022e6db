use nalgebra::{DMatrixView, DVector};

use super::sparsity_index::{Magnitudes, SparsityIndex};
use super::{PerEntry, float, mean_per_unit, positions, ratio};
use crate::error::{Error, require};
use crate::linalg::wide::Wide;
use crate::validate::check_batch;
use crate::{Real, SparseHidden};

/// Accumulates how sparse hidden activations `h` are, by unit (over the samples) and by sample
/// (over the units).
///
/// A unit is *active* in a sample where `|h| > threshold`, and the threshold is 0 unless
/// [`with_threshold`](Self::with_threshold) sets it: smooth activations such as the sigmoid are
/// never exactly 0.
///
/// Memory is proportional to the number of units, whatever the number of samples.
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
    /// An empty accumulator for samples of `units` hidden activations, active where they are not 0.
    #[must_use]
    pub fn new(units: usize) -> Self {
        Self {
            threshold: 0.0,
            samples: 0,
            units: PerEntry::new(units, Unit::default()),
            population: [Mean::default(); 3],
        }
    }

    /// An empty accumulator for samples of `units` hidden activations, active where
    /// `|h| > threshold`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] unless the threshold is finite and at least 0.
    pub fn with_threshold(units: usize, threshold: f64) -> Result<Self, Error> {
        require(
            threshold >= 0.0 && threshold.is_finite(),
            "threshold",
            "finite and at least 0",
            threshold,
        )?;
        Ok(Self {
            threshold,
            ..Self::new(units)
        })
    }

    /// Adds a batch of hidden activations, units x samples.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`], and then
    /// nothing has been added.
    pub fn add<'a, T: Real>(&mut self, hidden: impl Into<DMatrixView<'a, T>>) -> Result<(), Error> {
        let hidden = hidden.into();
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

    /// [`add`](Self::add) for sparse hidden activations, by their active units alone: the same bits.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`] or [`Error::EmptyBatch`], and then nothing has been added.
    pub fn add_sparse<T: Real>(&mut self, hidden: &SparseHidden<T>) -> Result<(), Error> {
        hidden.check(self.units.count)?;
        self.units.check()?;
        for (units, activations) in hidden.iter() {
            self.add_sample(units.iter().map(|&unit| unit as usize).zip(activations));
        }
        Ok(())
    }

    /// Adds a sample by its units and their activations. What is 0 may be left out: it adds 0 to
    /// every sum, and is above no threshold.
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

    /// The number of samples added.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The mean activation `ρ̂` of each unit, the quantity that a sparsity target speaks of. `None`
    /// before any sample.
    ///
    /// ```text
    /// ρ̂ⱼ = 1/m Σᵢ hⱼᵢ
    /// ```
    #[must_use]
    pub fn mean_activation(&self) -> Option<DVector<f64>> {
        mean_per_unit(&self.units.kept, self.samples, |unit| unit.sum)
    }

    /// The mean number of active units of a sample, in [0, units]. `None` before any sample.
    ///
    /// ```text
    /// 1/m Σᵢ #{j : |hⱼᵢ| > threshold}
    /// ```
    #[must_use]
    pub fn l0(&self) -> Option<f64> {
        let active = self.units.kept.iter().map(|unit| unit.active).sum();
        ratio(float(active), float(self.samples))
    }

    /// The proportion of samples in which each unit is active, in [0, 1]. `None` before any sample.
    ///
    /// ```text
    /// 1/m #{i : |hⱼᵢ| > threshold}
    /// ```
    ///
    /// With a threshold of 0 it is the `feature_density` of SAELens 6.54; that of SAEBench 0.6,
    /// `1/m #{i : hⱼᵢ > 0}`, leaves negative activations out.
    #[must_use]
    pub fn activation_frequency(&self) -> Option<DVector<f64>> {
        mean_per_unit(&self.units.kept, self.samples, |unit| {
            Wide::of(float(unit.active))
        })
    }

    /// The units that were active in no sample, ascending: before any sample, all of them.
    #[must_use]
    pub fn dead_units(&self) -> Vec<usize> {
        positions(self.units.each(true, |unit| unit.active == 0))
    }

    /// How unevenly a sample is spread over the units: the mean of the index over the samples, in its
    /// range.
    ///
    /// ```text
    /// 1/#S Σ_{i ∈ S} index(|h₁ᵢ|, …, |hₙᵢ|),     S the samples that are not all 0
    /// ```
    ///
    /// A sample of zeros has no index and is left out of the mean. `None` if all are left out, and
    /// for a single unit, where only Treves–Rolls is defined.
    #[must_use]
    pub fn population_sparsity(&self, index: SparsityIndex) -> Option<f64> {
        let mean = self.population[index.position()];
        ratio(mean.sum, float(mean.count))
    }

    /// How unevenly each unit is spread over the samples: the index of its activations in all
    /// samples added. `None` for a unit that was 0 in all of them, and for a single sample, where
    /// only Treves–Rolls is defined.
    #[must_use]
    pub fn lifetime_sparsity(&self, index: SparsityIndex) -> Vec<Option<f64>> {
        self.units.each(None, |unit| {
            unit.magnitudes.indices(self.samples)[index.position()]
        })
    }
}
