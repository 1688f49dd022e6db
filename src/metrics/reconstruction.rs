use nalgebra::{DMatrixView, DVector};

use super::{float, ratio};
use crate::Real;
use crate::batch::check_batch;
use crate::error::{Error, require};

/// Accumulates how far reconstructions `x̂` are from their samples `x`, `e = x̂ − x`.
///
/// Published "explained variances" are different formulas, and lie far apart on one and the same
/// reconstruction. The last column is for a small ReLU autoencoder:
///
/// | formula | here | elsewhere | |
/// |---|---|---|---|
/// | `1 − Σᵢ‖eᵢ‖² / Σᵢ‖xᵢ−x̄‖²` | [`explained_variance`](Self::explained_variance) | sparsify (as FVU); scikit-learn's `r2_score`, `variance_weighted` | 0.254 |
/// | `1 − Σᵢ‖eᵢ−ē‖² / Σᵢ‖xᵢ−x̄‖²` | [`centered_explained_variance`](Self::centered_explained_variance) | dictionary_learning, `frac_variance_explained` | 0.659 |
/// | `1 − 1/m Σᵢ ‖eᵢ‖²/‖xᵢ−x̄‖²` | not offered: it needs `x̄` beforehand | SAELens until 2025, the SAEBench paper | 0.326 |
/// | `1/m Σᵢ ‖eᵢ‖²/‖xᵢ‖²` | [`normalized_mean_squared_error`](Self::normalized_mean_squared_error) | the code published with Gao et al. 2024 | 0.498 |
///
/// Memory is two vectors of `visible` numbers, whatever the number of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconstructionMetrics {
    samples: usize,
    sample_mean: DVector<f64>,
    error_mean: DVector<f64>,
    sample_deviation: f64,
    error_deviation: f64,
    squared_error: f64,
    relative_squared_error: Option<f64>,
}

impl ReconstructionMetrics {
    /// An empty accumulator for samples of `visible` entries.
    #[must_use]
    pub fn new(visible: usize) -> Self {
        Self {
            samples: 0,
            sample_mean: DVector::zeros(visible),
            error_mean: DVector::zeros(visible),
            sample_deviation: 0.0,
            error_deviation: 0.0,
            squared_error: 0.0,
            relative_squared_error: Some(0.0),
        }
    }

    /// Adds a batch: `samples` and `reconstructions` are both visible x samples, a column each.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`], and then
    /// nothing has been added.
    pub fn add<'a, 'b, T: Real>(
        &mut self,
        samples: impl Into<DMatrixView<'a, T>>,
        reconstructions: impl Into<DMatrixView<'b, T>>,
    ) -> Result<(), Error> {
        let (samples, reconstructions) = (samples.into(), reconstructions.into());
        let visible = self.sample_mean.len();
        check_batch(samples, visible, ["samples", "rows of the samples"])?;
        if reconstructions.ncols() != samples.ncols() {
            return Err(Error::DimensionMismatch {
                what: "columns of the reconstructions",
                expected: samples.ncols(),
                actual: reconstructions.ncols(),
            });
        }
        check_batch(
            reconstructions,
            visible,
            ["reconstructions", "rows of the reconstructions"],
        )?;
        for (sample, reconstruction) in samples.column_iter().zip(reconstructions.column_iter()) {
            self.add_sample(sample.as_slice(), reconstruction.as_slice());
        }
        Ok(())
    }

    /// Moves the running means (Welford 1962). The textbook `Σx² − m·x̄²` would lose all digits for
    /// data far from 0.
    fn add_sample<T: Real>(&mut self, sample: &[T], reconstruction: &[T]) {
        self.samples += 1;
        let share = 1.0 / float(self.samples);
        let (mut squared_norm, mut squared_error) = (0.0, 0.0);
        let (mut sample_deviation, mut error_deviation) = (0.0, 0.0);
        let pairs = sample.iter().zip(reconstruction);
        let means = self
            .sample_mean
            .as_mut_slice()
            .iter_mut()
            .zip(self.error_mean.as_mut_slice());
        for ((x, reconstructed), (sample_mean, error_mean)) in pairs.zip(means) {
            let x = x.to_f64();
            let error = reconstructed.to_f64() - x;
            squared_norm += x * x;
            squared_error += error * error;
            sample_deviation += welford(sample_mean, x, share);
            error_deviation += welford(error_mean, error, share);
        }
        self.squared_error += squared_error;
        self.sample_deviation += sample_deviation;
        self.error_deviation += error_deviation;
        self.relative_squared_error = self
            .relative_squared_error
            .zip(ratio(squared_error, squared_norm))
            .map(|(sum, relative)| sum + relative);
    }

    /// The number of samples added.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The mean squared error per entry. `None` before any sample.
    ///
    /// ```text
    /// 1/(m·visible) Σᵢ ‖eᵢ‖²
    /// ```
    #[must_use]
    pub fn mean_squared_error(&self) -> Option<f64> {
        let entries = float(self.samples) * float(self.sample_mean.len());
        ratio(self.squared_error, entries)
    }

    /// The peak signal-to-noise ratio in decibels: what a signal of the range `peak` has over the
    /// error. Higher is better; ten times less squared error is 10 dB more. `None` before any
    /// sample, and where there is no error at all.
    ///
    /// ```text
    /// 10 log₁₀(peak² / MSE),   MSE = 1/(m·visible) Σᵢ ‖eᵢ‖²
    /// ```
    ///
    /// `peak` is the width of the range that the data can take, in units of the data: 1 for grey
    /// values in [0, 1] (Huynh-Thu & Ghanbari 2008, *Scope of Validity of PSNR in Image/Video
    /// Quality Assessment*). It is the ratio of the
    /// [mean squared error](Self::mean_squared_error) over all samples added; a mean of the ratios
    /// of single samples, which is published too, is never lower.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] unless `peak` is finite and above 0.
    ///
    /// ```
    /// use sparse_autoencoder::{metrics::ReconstructionMetrics, nalgebra::DMatrix};
    ///
    /// let mut metrics = ReconstructionMetrics::new(2);
    /// metrics.add(&DMatrix::from_element(2, 3, 0.5), &DMatrix::from_element(2, 3, 0.6))?;
    /// assert_eq!(metrics.psnr(1.0)?.map(f64::round), Some(20.0)); // an error of a tenth
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn psnr(&self, peak: f64) -> Result<Option<f64>, Error> {
        let accepted = peak > 0.0 && peak.is_finite();
        require(accepted, "peak", "finite and above 0", peak)?;
        // Not by the square, which may overflow or vanish.
        let error = self.mean_squared_error().filter(|&error| error > 0.0);
        Ok(error.map(|error| 20.0 * peak.log10() - 10.0 * error.log10()))
    }

    /// The mean squared norm of the error of a sample, which is twice the reconstruction term of
    /// the objective. `None` before any sample.
    ///
    /// ```text
    /// 1/m Σᵢ ‖eᵢ‖²
    /// ```
    #[must_use]
    pub fn mean_squared_norm(&self) -> Option<f64> {
        ratio(self.squared_error, float(self.samples))
    }

    /// The fraction of the variance that the reconstructions miss (FVU): 0 is perfect, 1 is as good
    /// as answering the mean sample always, and worse than that exceeds 1. `None` while all
    /// samples added are equal.
    ///
    /// ```text
    /// Σᵢ ‖eᵢ‖² / Σᵢ ‖xᵢ − x̄‖²,   x̄ = 1/m Σᵢ xᵢ over all samples added
    /// ```
    #[must_use]
    pub fn fraction_of_variance_unexplained(&self) -> Option<f64> {
        ratio(self.squared_error, self.sample_deviation)
    }

    /// `1 −` [`fraction_of_variance_unexplained`](Self::fraction_of_variance_unexplained): 1 is
    /// perfect, 0 is as good as the mean sample, and below 0 is worse. `None` while all samples
    /// added are equal.
    #[must_use]
    pub fn explained_variance(&self) -> Option<f64> {
        self.fraction_of_variance_unexplained()
            .map(|unexplained| 1.0 - unexplained)
    }

    /// The explained variance after the mean error has been forgiven: reconstructions may be off by
    /// a constant vector. Never below [`explained_variance`](Self::explained_variance). `None`
    /// while all samples added are equal.
    ///
    /// ```text
    /// 1 − Σᵢ ‖eᵢ − ē‖² / Σᵢ ‖xᵢ − x̄‖²
    /// ```
    ///
    /// The `frac_variance_explained` of dictionary_learning, to compare with numbers from there.
    #[must_use]
    pub fn centered_explained_variance(&self) -> Option<f64> {
        ratio(self.error_deviation, self.sample_deviation).map(|unexplained| 1.0 - unexplained)
    }

    /// The mean over the samples of the squared error relative to the squared norm of the sample.
    /// `None` before any sample, and once a sample of zeros was added.
    ///
    /// ```text
    /// 1/m Σᵢ ‖eᵢ‖² / ‖xᵢ‖²
    /// ```
    ///
    /// The `normalized_mean_squared_error` in the code of Gao et al. 2024, *Scaling and Evaluating
    /// Sparse Autoencoders*. The normalized error in the text of that paper is the
    /// [fraction of variance unexplained](Self::fraction_of_variance_unexplained).
    #[must_use]
    pub fn normalized_mean_squared_error(&self) -> Option<f64> {
        ratio(self.relative_squared_error?, float(self.samples))
    }
}

/// Moves a running mean to include `value`, the `1/share`-th, and returns by how much the sum of
/// squared deviations from the mean grows.
fn welford(mean: &mut f64, value: f64, share: f64) -> f64 {
    let before = value - *mean;
    *mean += share * before;
    before * (value - *mean)
}
