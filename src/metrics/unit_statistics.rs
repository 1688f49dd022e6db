use nalgebra::DVector;

use super::{PerEntry, mean_per_unit, positions};
use crate::error::Error;
use crate::linalg::wide::Wide;
use crate::validate::check_batch;
use crate::{AsMatrix, Real, SparseHidden, linalg::reserve};

/// Accumulates how often and how strongly each hidden unit is active, and its top samples.
///
/// A unit is *active* in a sample where its activation `h` is not 0. Its frequency and the samples
/// that activate it most are the usual way to interpret a unit (Bricken et al. 2023, *Towards
/// Monosemanticity: Decomposing Language Models With Dictionary Learning*). For smooth activations
/// such as the sigmoid, which are never 0, use [`SparsityMetrics`](super::SparsityMetrics) with a
/// threshold.
///
/// Memory is proportional to `units · (1 + top)`, allocated at the start.
///
/// ```
/// use sparse_autoencoder::metrics::UnitStatistics;
/// use sparse_autoencoder::nalgebra::DMatrix;
///
/// // Three units; the activations of four samples, two at a time.
/// let mut statistics = UnitStatistics::new(3, 2);
/// statistics.add(&DMatrix::from_column_slice(3, 2, &[0.0_f32, 2.0, 0.0, 0.0, 3.0, 1.0]))?;
/// statistics.add(&DMatrix::from_column_slice(3, 2, &[0.0_f32, 0.0, 0.0, 0.0, 7.0, 1.0]))?;
///
/// assert_eq!(statistics.dead_units(), [0]);
/// assert_eq!(statistics.activation_frequency().unwrap()[1], 0.75);
/// assert_eq!(statistics.mean_activation().unwrap()[1], 3.0);
/// assert_eq!(statistics.mean_when_active()[1], Some(4.0));
/// let top = statistics.top_samples(1).unwrap();
/// assert_eq!((top[0].sample, top[0].activation), (3, 7.0));
/// assert_eq!((top[1].sample, top[1].activation), (1, 3.0));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct UnitStatistics {
    samples: usize,
    units: PerEntry<Unit>,
    /// The number of samples kept for each unit.
    top: usize,
    /// `top` places for each unit, the strongest first. The first `min(active, top)` are filled.
    strongest: Vec<TopSample>,
}

/// A sample with one of the largest activations of a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TopSample {
    /// The position of the sample in the stream, counted from 0.
    pub sample: usize,
    /// The activation of the unit in this sample.
    pub activation: f64,
}

/// The sums of one unit over the samples in which it is active.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    active: usize,
    sum: Wide,
    /// −∞ before any sample.
    maximum: f64,
}

impl UnitStatistics {
    /// Creates an empty accumulator for `units` hidden units that keeps the `top` samples of each.
    #[must_use]
    pub fn new(units: usize, top: usize) -> Self {
        let unit = Unit {
            active: 0,
            sum: Wide::ZERO,
            maximum: f64::NEG_INFINITY,
        };
        let vacant = TopSample {
            sample: 0,
            activation: 0.0,
        };
        let kept = units.saturating_mul(top);
        Self {
            samples: 0,
            units: PerEntry::new(units, unit),
            top,
            strongest: reserve::filled(vacant, kept, "samples kept").unwrap_or_default(),
        }
    }

    fn check_room(&self) -> Result<(), Error> {
        let kept = self.units.count.saturating_mul(self.top);
        reserve::check(
            self.strongest.len() == kept,
            "samples kept for all units",
            kept,
        )?;
        self.units.check()
    }

    /// Adds a batch of hidden activations, units × samples.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`];
    /// [`Error::InvalidParameter`] if the top samples do not fit into memory. The batch is then
    /// ignored.
    pub fn add<T: Real>(&mut self, hidden: impl AsMatrix<T>) -> Result<(), Error> {
        let hidden = hidden.as_matrix()?;
        check_batch(
            hidden,
            self.units.count,
            ["hidden activations", "rows of the hidden activations"],
        )?;
        self.check_room()?;
        for sample in hidden.column_iter() {
            for (unit, &activation) in sample.iter().enumerate() {
                if activation != T::zero() {
                    self.add_activation(unit, activation.to_f64());
                }
            }
            self.samples += 1;
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
        self.check_room()?;
        for (units, activations) in hidden.iter() {
            for (&unit, activation) in units.iter().zip(activations) {
                self.add_activation(unit as usize, activation.to_f64());
            }
            self.samples += 1;
        }
        Ok(())
    }

    /// Adds a nonzero activation of a unit in the current sample.
    fn add_activation(&mut self, unit: usize, activation: f64) {
        let strongest = &mut self.strongest[unit * self.top..(unit + 1) * self.top];
        let unit = &mut self.units.kept[unit];
        let taken = unit.active.min(self.top);
        // Behind equal activations, which came earlier.
        let place = strongest[..taken].partition_point(|kept| kept.activation >= activation);
        if place < self.top {
            strongest[place..self.top.min(taken + 1)].rotate_right(1);
            strongest[place] = TopSample {
                sample: self.samples,
                activation,
            };
        }
        unit.active += 1;
        unit.sum.add(Wide::of(activation));
        unit.maximum = unit.maximum.max(activation);
    }

    /// Returns the number of added samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Returns the proportion of samples in which each unit is active, in [0, 1]. `None` before any
    /// sample.
    ///
    /// ```text
    /// 1/m #{i : hⱼᵢ ≠ 0}
    /// ```
    #[must_use]
    pub fn activation_frequency(&self) -> Option<DVector<f64>> {
        mean_per_unit(&self.units.kept, self.samples, |unit| {
            Wide::of(f64::of_count(unit.active))
        })
    }

    /// Returns the mean activation `ρ̂` of each unit over all samples. `None` before any sample.
    ///
    /// ```text
    /// ρ̂ⱼ = 1/m Σᵢ hⱼᵢ
    /// ```
    #[must_use]
    pub fn mean_activation(&self) -> Option<DVector<f64>> {
        mean_per_unit(&self.units.kept, self.samples, |unit| unit.sum)
    }

    /// Returns the mean activation of each unit over the samples in which it is active. `None` for a
    /// dead unit.
    ///
    /// ```text
    /// Σᵢ hⱼᵢ / #{i : hⱼᵢ ≠ 0}
    /// ```
    #[must_use]
    pub fn mean_when_active(&self) -> Vec<Option<f64>> {
        self.per_active_unit(|unit| unit.sum.over(f64::of_count(unit.active)).to_f64())
    }

    /// Returns the largest activation of each unit over the samples in which it is active. `None` for a
    /// dead unit.
    ///
    /// ```text
    /// max {hⱼᵢ : hⱼᵢ ≠ 0}
    /// ```
    #[must_use]
    pub fn maximum(&self) -> Vec<Option<f64>> {
        self.per_active_unit(|unit| unit.maximum)
    }

    /// Returns the units that are active in no sample, ascending. Before any sample, all units, or
    /// none if their number does not fit into memory.
    #[must_use]
    pub fn dead_units(&self) -> Vec<usize> {
        positions(self.units.each(true, |unit| unit.active == 0))
    }

    /// Returns the samples with the largest activations of a unit, the strongest first.
    ///
    /// Of equal activations the earlier sample comes first. The length is the `top` of
    /// [`new`](Self::new), or less if the unit is active in fewer samples. `None` for an index beyond
    /// the units.
    #[must_use]
    pub fn top_samples(&self, unit: usize) -> Option<&[TopSample]> {
        if self.samples == 0 {
            return (unit < self.units.count).then_some(&[]);
        }
        let taken = self.units.kept.get(unit)?.active.min(self.top);
        Some(&self.strongest[unit * self.top..][..taken])
    }

    fn per_active_unit(&self, value: impl Fn(&Unit) -> f64) -> Vec<Option<f64>> {
        self.units
            .each(None, |unit| (unit.active > 0).then(|| value(unit)))
    }
}
