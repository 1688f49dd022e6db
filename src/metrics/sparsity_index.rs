use crate::Real;
use crate::linalg::wide::Wide;

/// A measure of the sparsity of magnitudes, for [`SparsityMetrics`](super::SparsityMetrics).
///
/// | index | n equal magnitudes | one nonzero magnitude |
/// |---|---|---|
/// | [`Hoyer`](Self::Hoyer) | 0 | 1 |
/// | [`TrevesRolls`](Self::TrevesRolls) | 1 | 1/n |
/// | [`VinjeGallant`](Self::VinjeGallant) | 0 | 1 |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SparsityIndex {
    /// The index of [`hoyer`].
    Hoyer,
    /// The index of [`treves_rolls`].
    TrevesRolls,
    /// The index of [`vinje_gallant`].
    VinjeGallant,
}

impl SparsityIndex {
    /// Returns the position of this index in [`Magnitudes::indices`].
    pub(super) fn position(self) -> usize {
        self as usize
    }
}

/// Returns Hoyer's sparseness of `n` values, in [0, 1]: 1 for a single nonzero value, 0 for equal
/// magnitudes.
///
/// ```text
/// (√n − ‖v‖₁/‖v‖₂) / (√n − 1)
/// ```
///
/// `None` for fewer than two values, for zeros only, and for NaN or infinities (Hoyer 2004,
/// *Non-negative Matrix Factorization with Sparseness Constraints*).
///
/// ```
/// assert_eq!(sparse_autoencoder::metrics::hoyer(&[0.0, 3.0, 0.0, 0.0]), Some(1.0));
/// ```
#[must_use]
pub fn hoyer<T: Real>(values: &[T]) -> Option<f64> {
    Magnitudes::of(values)?.hoyer(values.len())
}

/// Returns the sparseness of Treves and Rolls, in [1/n, 1]: smaller is sparser.
///
/// ```text
/// a = (1/n Σⱼ |vⱼ|)² / (1/n Σⱼ vⱼ²)
/// ```
///
/// For values of 0 or 1 this is the proportion of ones. `None` without values, for zeros only, and for
/// NaN or infinities. Defined for firing rates by Rolls & Tovee 1995, *Sparseness of the Neuronal
/// Representation of Stimuli in the Primate Temporal Visual Cortex*; magnitudes extend it to signed
/// values.
///
/// ```
/// assert_eq!(sparse_autoencoder::metrics::treves_rolls(&[0.0, 1.0, 0.0, 0.0]), Some(0.25));
/// ```
#[must_use]
pub fn treves_rolls<T: Real>(values: &[T]) -> Option<f64> {
    Magnitudes::of(values)?.treves_rolls(values.len())
}

/// Returns the sparseness of Vinje and Gallant, in [0, 1]: 1 for a single nonzero value, 0 for equal
/// magnitudes.
///
/// ```text
/// S = (1 − a) / (1 − 1/n)     a  the value of treves_rolls
/// ```
///
/// `None` for fewer than two values, for zeros only, and for NaN or infinities (Vinje & Gallant 2000,
/// *Sparse Coding and Decorrelation in Primary Visual Cortex During Natural Vision*).
///
/// ```
/// assert_eq!(sparse_autoencoder::metrics::vinje_gallant(&[0.0, 1.0, 0.0, 0.0]), Some(1.0));
/// ```
#[must_use]
pub fn vinje_gallant<T: Real>(values: &[T]) -> Option<f64> {
    Magnitudes::of(values)?.vinje_gallant(values.len())
}

/// `Σ|v|` and `Σv²`, from which every index follows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Magnitudes {
    sum: Wide,
    squares: Wide,
}

impl Magnitudes {
    /// Sums the values; `None` for NaN or infinities.
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

    /// Returns every index of `count` values, each at its [`SparsityIndex::position`].
    pub(super) fn indices(self, count: usize) -> [Option<f64>; 3] {
        [
            self.hoyer(count),
            self.treves_rolls(count),
            self.vinje_gallant(count),
        ]
    }

    // Cauchy–Schwarz bounds all three indices; the clamps only undo rounding.

    fn hoyer(self, count: usize) -> Option<f64> {
        let root = f64::of_count(count).sqrt();
        let spread = || self.sum.per(self.squares.sqrt()).to_f64();
        (count > 1 && self.squares.is_positive())
            .then(|| ((root - spread()) / (root - 1.0)).clamp(0.0, 1.0))
    }

    fn treves_rolls(self, count: usize) -> Option<f64> {
        let count = f64::of_count(count);
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
        (count > 1).then(|| ((1.0 - evenness) / (1.0 - 1.0 / f64::of_count(count))).clamp(0.0, 1.0))
    }
}
