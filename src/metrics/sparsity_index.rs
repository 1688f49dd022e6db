use super::float;
use crate::Real;
use crate::linalg::wide::Wide;

/// A measure of how unevenly magnitudes are spread, for
/// [`SparsityMetrics`](super::SparsityMetrics).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SparsityIndex {
    /// As [`hoyer`]: 0 for equal magnitudes, 1 for a single one.
    Hoyer,
    /// As [`treves_rolls`]: 1 for equal magnitudes, `1/n` for a single one.
    TrevesRolls,
    /// As [`vinje_gallant`]: 0 for equal magnitudes, 1 for a single one.
    VinjeGallant,
}

impl SparsityIndex {
    /// The position of this index in [`Magnitudes::indices`].
    pub(super) fn position(self) -> usize {
        self as usize
    }
}

/// Hoyer's sparseness of `n` magnitudes, in [0, 1]: 1 for a single nonzero value, 0 for equal ones.
///
/// ```text
/// (√n − ‖v‖₁/‖v‖₂) / (√n − 1)
/// ```
///
/// Hoyer 2004, *Non-negative Matrix Factorization with Sparseness Constraints*. `None` for fewer
/// than two values, for zeros only, and with NaN or an infinity.
#[must_use]
pub fn hoyer<T: Real>(values: &[T]) -> Option<f64> {
    Magnitudes::of(values)?.hoyer(values.len())
}

/// The sparseness of Treves and Rolls, in [1/n, 1]: the smaller, the sparser.
///
/// ```text
/// a = (1/n Σⱼ |vⱼ|)² / (1/n Σⱼ vⱼ²)
/// ```
///
/// Rolls & Tovee 1995, *Sparseness of the Neuronal Representation of Stimuli in the Primate
/// Temporal Visual Cortex*, for firing rates; here for magnitudes, so that signed activations count
/// too. For activations that are 0 or 1 it is the proportion of ones. `None` for no values, for
/// zeros only, and with NaN or an infinity.
#[must_use]
pub fn treves_rolls<T: Real>(values: &[T]) -> Option<f64> {
    Magnitudes::of(values)?.treves_rolls(values.len())
}

/// The sparseness of Vinje and Gallant, in [0, 1]: [`treves_rolls`] turned round and scaled, so that
/// 1 is a single nonzero value and 0 are equal ones.
///
/// ```text
/// S = (1 − a) / (1 − 1/n)
/// ```
///
/// Vinje & Gallant 2000, *Sparse Coding and Decorrelation in Primary Visual Cortex During Natural
/// Vision*. `None` for fewer than two values, for zeros only, and with NaN or an infinity.
#[must_use]
pub fn vinje_gallant<T: Real>(values: &[T]) -> Option<f64> {
    Magnitudes::of(values)?.vinje_gallant(values.len())
}

/// All that the indices need of values: `Σ|v|` and `Σv²`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Magnitudes {
    sum: Wide,
    squares: Wide,
}

impl Magnitudes {
    /// `None` with NaN or an infinity.
    fn of<T: Real>(values: &[T]) -> Option<Self> {
        let mut magnitudes = Self::default();
        for value in values {
            magnitudes.add(value.is_finite().then(|| value.to_f64())?);
        }
        Some(magnitudes)
    }

    pub(super) fn add(&mut self, value: f64) {
        self.sum.add(Wide::of(value.abs()));
        self.squares.add(Wide::square(value));
    }

    /// Every index of `count` values, each at its [`SparsityIndex::position`].
    pub(super) fn indices(self, count: usize) -> [Option<f64>; 3] {
        [
            self.hoyer(count),
            self.treves_rolls(count),
            self.vinje_gallant(count),
        ]
    }

    // Cauchy–Schwarz bounds all three; the clamps only take back what rounding adds.

    fn hoyer(self, count: usize) -> Option<f64> {
        let root = float(count).sqrt();
        let spread = || self.sum.per(self.squares.sqrt()).to_f64();
        (count > 1 && self.squares.is_positive())
            .then(|| ((root - spread()) / (root - 1.0)).clamp(0.0, 1.0))
    }

    fn treves_rolls(self, count: usize) -> Option<f64> {
        let count = float(count);
        let evenness = || {
            self.sum
                .over(count)
                .times(self.sum.per(self.squares))
                .to_f64()
        };
        self.squares
            .is_positive()
            .then(|| evenness().clamp(1.0 / count, 1.0))
    }

    fn vinje_gallant(self, count: usize) -> Option<f64> {
        let evenness = self.treves_rolls(count)?;
        (count > 1).then(|| ((1.0 - evenness) / (1.0 - 1.0 / float(count))).clamp(0.0, 1.0))
    }
}
