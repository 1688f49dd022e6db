use nalgebra::DMatrixView;

use super::{PerEntry, float, mean};
use crate::Real;
use crate::error::{Error, require};
use crate::linalg::wide::Wide;
use crate::validate::{check_batch, check_columns, check_rows};

/// Accumulates how far reconstructions `x̂` are from their samples `x`, `e = x̂ − x`.
///
/// Published "explained variances" are different formulas, and lie far apart on one and the same
/// reconstruction. The last column is for a small ReLU autoencoder:
///
/// | formula | here | elsewhere | |
/// |---|---|---|---|
/// | `1 − Σᵢ‖eᵢ‖² / Σᵢ‖xᵢ−x̄‖²` | [`explained_variance`](Self::explained_variance) | sparsify (as FVU); SAELens 6.54, `explained_variance`; scikit-learn's `r2_score`, `variance_weighted` | 0.254 |
/// | `1 − Σᵢ‖eᵢ−ē‖² / Σᵢ‖xᵢ−x̄‖²` | [`centered_explained_variance`](Self::centered_explained_variance) | dictionary_learning, `frac_variance_explained` | 0.659 |
/// | `1 − 1/m Σᵢ ‖eᵢ‖²/‖xᵢ−x̄‖²` | not offered: it needs `x̄` beforehand | SAELens and SAEBench, `explained_variance_legacy`, with the mean of each batch as `x̄` | 0.326 |
/// | `1 − 1/m Σᵢ‖eᵢ‖² / (q − (q/visible)²)`, `q = 1/m Σᵢ‖xᵢ‖²` | not offered: it measures about 0, not about `x̄` | SAEBench 0.6, `explained_variance`; SAELens of 2025 | |
/// | `1/m Σᵢ ‖eᵢ‖²/‖xᵢ‖²` | [`normalized_mean_squared_error`](Self::normalized_mean_squared_error) | the code published with Gao et al. 2024 | 0.498 |
///
/// The same holds for `mse`: that of SAELens is
/// [`mean_squared_norm`](Self::mean_squared_norm), `visible` times
/// [`mean_squared_error`](Self::mean_squared_error); that of SAEBench 0.6 divides each batch by its
/// number of samples once more.
///
/// Even where the formula is the same, numbers can differ. SAELens computes the variance as
/// `1/m Σᵢ‖xᵢ‖² − ‖x̄‖²`, which loses digits for data far from 0, and answers 0 or 1 for variances
/// below 10⁻¹⁰. It and scikit-learn square the data as they are: samples of 10²⁰⁰ give NaN. Here
/// neither happens, and data without variance give `None`.
///
/// Memory is two vectors of `visible` numbers, whatever the number of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconstructionMetrics {
    samples: usize,
    /// `x̄`, and a quarter of `ē`, which itself may be out of range.
    means: [PerEntry<f64>; 2],
    /// `Σᵢ ‖xᵢ − x̄‖²`
    sample_deviation: Wide,
    /// `1/16 Σᵢ ‖eᵢ − ē‖²`
    error_deviation: Wide,
    /// `Σᵢ ‖eᵢ‖²`
    squared_error: Wide,
    /// `Σᵢ ‖eᵢ‖² / ‖xᵢ‖²`, unless an `xᵢ` is 0.
    relative_squared_error: Option<Wide>,
}

impl ReconstructionMetrics {
    /// An empty accumulator for samples of `visible` entries.
    #[must_use]
    pub fn new(visible: usize) -> Self {
        Self {
            samples: 0,
            means: [PerEntry::new(visible, 0.0), PerEntry::new(visible, 0.0)],
            sample_deviation: Wide::default(),
            error_deviation: Wide::default(),
            squared_error: Wide::default(),
            relative_squared_error: Some(Wide::default()),
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
        let visible = self.visible();
        let rows = "rows of the reconstructions";
        check_rows(samples, visible, "rows of the samples")?;
        check_rows(reconstructions, visible, rows)?;
        check_columns(
            reconstructions,
            samples.ncols(),
            "columns of the reconstructions",
        )?;
        check_batch(samples, visible, ["samples", "rows of the samples"])?;
        check_batch(reconstructions, visible, ["reconstructions", rows])?;
        self.means.iter().try_for_each(PerEntry::check)?;
        for (sample, reconstruction) in samples.column_iter().zip(reconstructions.column_iter()) {
            self.add_sample(sample.as_slice(), reconstruction.as_slice());
        }
        Ok(())
    }

    fn add_sample<T: Real>(&mut self, sample: &[T], reconstruction: &[T]) {
        self.samples += 1;
        let share = 1.0 / float(self.samples);
        let values = sample.iter().map(|x| x.to_f64());
        let pairs = reconstruction
            .iter()
            .map(|x| x.to_f64())
            .zip(values.clone());
        let squared_norm = Wide::squared_distance(values.clone().map(|x| (x, 0.0)));
        let squared_error = Wide::squared_distance(pairs.clone());
        let quarters = pairs.map(|(reconstruction, x)| 0.25 * reconstruction - 0.25 * x);
        let [sample_mean, error_mean] = &mut self.means;
        let deviation = Wide::welford(&mut sample_mean.kept, values, share);
        self.sample_deviation.add(deviation);
        let deviation = Wide::welford(&mut error_mean.kept, quarters, share);
        self.error_deviation.add(deviation);
        self.squared_error.add(squared_error);
        self.relative_squared_error = self
            .relative_squared_error
            .filter(|_| squared_norm.is_positive())
            .map(|mut sum| {
                sum.add(squared_error.per(squared_norm));
                sum
            });
    }

    fn visible(&self) -> usize {
        self.means[0].count
    }

    /// The number of samples added.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The mean squared error per entry, in [0, ∞]. `None` before any sample, and without entries.
    ///
    /// ```text
    /// 1/(m·visible) Σᵢ ‖eᵢ‖²
    /// ```
    #[must_use]
    pub fn mean_squared_error(&self) -> Option<f64> {
        self.mean_error().map(Wide::to_f64)
    }

    fn mean_error(&self) -> Option<Wide> {
        let entries = float(self.samples) * float(self.visible());
        (entries > 0.0).then(|| self.squared_error.over(entries))
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
        let error = self.mean_error().filter(|error| error.is_positive());
        Ok(error.map(|error| 20.0 * peak.log10() - 10.0 * error.log10()))
    }

    /// The mean squared norm of the error of a sample, in [0, ∞], which is twice the reconstruction
    /// term of the objective. `None` before any sample.
    ///
    /// ```text
    /// 1/m Σᵢ ‖eᵢ‖²
    /// ```
    #[must_use]
    pub fn mean_squared_norm(&self) -> Option<f64> {
        mean(self.squared_error, float(self.samples))
    }

    /// The fraction of the variance that the reconstructions miss (FVU), in [0, ∞]: 0 is perfect, 1 is as good
    /// as answering the mean sample always, and worse than that exceeds 1. `None` while all
    /// samples added are equal.
    ///
    /// ```text
    /// Σᵢ ‖eᵢ‖² / Σᵢ ‖xᵢ − x̄‖²,   x̄ = 1/m Σᵢ xᵢ over all samples added
    /// ```
    #[must_use]
    pub fn fraction_of_variance_unexplained(&self) -> Option<f64> {
        self.per_deviation(self.squared_error)
    }

    /// `1 −` [`fraction_of_variance_unexplained`](Self::fraction_of_variance_unexplained), in
    /// [−∞, 1]: 1 is perfect, 0 is as good as the mean sample, and below 0 is worse. `None` while all samples
    /// added are equal.
    #[must_use]
    pub fn explained_variance(&self) -> Option<f64> {
        self.fraction_of_variance_unexplained()
            .map(|unexplained| 1.0 - unexplained)
    }

    /// The explained variance after the mean error has been forgiven: reconstructions may be off by
    /// a constant vector. In [−∞, 1], and never below
    /// [`explained_variance`](Self::explained_variance). `None`
    /// while all samples added are equal.
    ///
    /// ```text
    /// 1 − Σᵢ ‖eᵢ − ē‖² / Σᵢ ‖xᵢ − x̄‖²
    /// ```
    ///
    /// The `frac_variance_explained` of dictionary_learning, to compare with numbers from there.
    #[must_use]
    pub fn centered_explained_variance(&self) -> Option<f64> {
        self.per_deviation(self.error_deviation.times(Wide::of(16.0)))
            .map(|unexplained| 1.0 - unexplained)
    }

    /// The mean over the samples of the squared error relative to the squared norm of the sample, in
    /// [0, ∞]. `None` before any sample, and once a sample of zeros was added.
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
        mean(self.relative_squared_error?, float(self.samples))
    }

    fn per_deviation(&self, sum: Wide) -> Option<f64> {
        let varies = self.sample_deviation.is_positive();
        varies.then(|| sum.per(self.sample_deviation).to_f64())
    }
}
