use super::{PerEntry, mean};
use crate::error::{Error, require_above_0};
use crate::linalg::wide::Wide;
use crate::validate::{check_batch, check_len};
use crate::{AsMatrix, Real};

/// Accumulates the errors `e = x̂ − x` of reconstructions `x̂`.
///
/// Several different formulas are published as "explained variance". The last column gives the value
/// of each for one small ReLU autoencoder:
///
/// | formula | here | elsewhere | value |
/// |---|---|---|---|
/// | `1 − Σᵢ‖eᵢ‖² / Σᵢ‖xᵢ−x̄‖²` | [`explained_variance`](Self::explained_variance) | sparsify (as FVU); SAELens 6.54, `explained_variance`; scikit-learn's `r2_score`, `variance_weighted` | 0.254 |
/// | `1 − Σᵢ‖eᵢ−ē‖² / Σᵢ‖xᵢ−x̄‖²` | [`centered_explained_variance`](Self::centered_explained_variance) | dictionary_learning, `frac_variance_explained` | 0.659 |
/// | `1 − 1/m Σᵢ ‖eᵢ‖²/‖xᵢ−x̄‖²` | none: needs `x̄` in advance | SAELens and SAEBench, `explained_variance_legacy`, with the mean of each batch as `x̄` | 0.326 |
/// | `1 − 1/m Σᵢ‖eᵢ‖² / (q − (q/entries)²)`, `q = 1/m Σᵢ‖xᵢ‖²` | none: a variance about 0, not about `x̄` | SAEBench 0.6, `explained_variance`; SAELens of 2025 | |
/// | `1/m Σᵢ ‖eᵢ‖²/‖xᵢ‖²` | [`normalized_mean_squared_error`](Self::normalized_mean_squared_error) | the code published with Gao et al. 2024 | 0.498 |
///
/// The same holds for `mse`:
///
/// | here | elsewhere |
/// |---|---|
/// | [`mean_squared_error_norm`](Self::mean_squared_error_norm), `entries` times [`mean_squared_error`](Self::mean_squared_error) | SAELens, `mse` |
/// | none: each batch is divided by its number of samples twice | SAEBench 0.6, `mse` |
///
/// Numbers can also differ for the same formula. SAELens computes the variance as
/// `1/m Σᵢ‖xᵢ‖² − ‖x̄‖²`, which loses digits for data far from 0, and returns 0 or 1 for variances
/// below 10⁻¹⁰. SAELens and scikit-learn return NaN for samples of 10²⁰⁰, whose squares overflow.
/// This accumulator keeps its digits in both cases and returns `None` for data without variance.
///
/// Memory is two vectors of `entries` numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct ReconstructionMetrics {
    samples: usize,
    /// `x̄` and a quarter of `ē`, since `ē` may overflow.
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
    /// Creates an empty accumulator for samples of `entries` entries.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self {
            samples: 0,
            means: [PerEntry::new(entries, 0.0), PerEntry::new(entries, 0.0)],
            sample_deviation: Wide::default(),
            error_deviation: Wide::default(),
            squared_error: Wide::default(),
            relative_squared_error: Some(Wide::default()),
        }
    }

    /// Adds a batch of samples and their reconstructions, both entries × samples.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`], [`Error::EmptyBatch`], or [`Error::NonFinite`];
    /// [`Error::InvalidParameter`] if the sums do not fit into memory. The batch is then ignored.
    pub fn add<T: Real>(
        &mut self,
        samples: impl AsMatrix<T>,
        reconstructions: impl AsMatrix<T>,
    ) -> Result<(), Error> {
        let (samples, reconstructions) = (samples.as_matrix()?, reconstructions.as_matrix()?);
        let entries = self.entries();
        let rows = "rows of the reconstructions";
        check_len("rows of the samples", entries, samples.nrows())?;
        check_len(rows, entries, reconstructions.nrows())?;
        let columns = "columns of the reconstructions";
        check_len(columns, samples.ncols(), reconstructions.ncols())?;
        check_batch(samples, entries, ["samples", "rows of the samples"])?;
        check_batch(reconstructions, entries, ["reconstructions", rows])?;
        self.means.iter().try_for_each(PerEntry::check)?;
        for (sample, reconstruction) in samples.column_iter().zip(reconstructions.column_iter()) {
            self.add_sample(sample.as_slice(), reconstruction.as_slice());
        }
        Ok(())
    }

    fn add_sample<T: Real>(&mut self, sample: &[T], reconstruction: &[T]) {
        self.samples += 1;
        let share = 1.0 / f64::of_count(self.samples);
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

    fn entries(&self) -> usize {
        self.means[0].count
    }

    /// Returns the number of added samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Returns the mean squared error per entry, in [0, ∞]. `None` before any sample and without
    /// entries.
    ///
    /// ```text
    /// 1/(m·entries) Σᵢ ‖eᵢ‖²
    /// ```
    #[must_use]
    pub fn mean_squared_error(&self) -> Option<f64> {
        self.mean_error().map(Wide::to_f64)
    }

    fn mean_error(&self) -> Option<Wide> {
        let count = f64::of_count(self.samples) * f64::of_count(self.entries());
        (count > 0.0).then(|| self.squared_error.over(count))
    }

    /// Returns the peak signal-to-noise ratio in decibels. `None` before any sample and for perfect
    /// reconstructions.
    ///
    /// ```text
    /// 10 log₁₀(peak² / MSE),   MSE = 1/(m·entries) Σᵢ ‖eᵢ‖²
    /// ```
    ///
    /// Higher is better. `peak` is the width of the range of the data: 1 for gray values in [0, 1]. See
    /// Huynh-Thu & Ghanbari 2008, *Scope of Validity of PSNR in Image/Video Quality Assessment*.
    ///
    /// The ratio uses the [mean squared error](Self::mean_squared_error) over all added
    /// samples. The mean ratio of single samples, which is also published, is at least as high.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `peak` is finite and above 0.
    ///
    /// ```
    /// use sparse_autoencoder::{metrics::ReconstructionMetrics, nalgebra::DMatrix};
    ///
    /// let mut metrics = ReconstructionMetrics::new(2);
    /// metrics.add(&DMatrix::from_element(2, 3, 0.5), &DMatrix::from_element(2, 3, 0.6))?;
    /// assert_eq!(metrics.psnr(1.0)?.map(f64::round), Some(20.0)); // every error is 0.1
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn psnr(&self, peak: f64) -> Result<Option<f64>, Error> {
        require_above_0::<f64>("peak", peak)?;
        let error = self.mean_error().filter(|error| error.is_positive());
        Ok(error.map(|error| 20.0 * peak.log10() - 10.0 * error.log10()))
    }

    /// Returns the mean squared error norm of a sample, in [0, ∞]. `None` before any sample.
    ///
    /// This is twice the squared-error reconstruction loss of the objective.
    ///
    /// ```text
    /// 1/m Σᵢ ‖eᵢ‖²
    /// ```
    #[must_use]
    pub fn mean_squared_error_norm(&self) -> Option<f64> {
        mean(self.squared_error, f64::of_count(self.samples))
    }

    /// Returns the fraction of variance unexplained (FVU), in [0, ∞]. `None` while all added samples
    /// are equal.
    ///
    /// ```text
    /// Σᵢ ‖eᵢ‖² / Σᵢ ‖xᵢ − x̄‖²,   x̄ = 1/m Σᵢ xᵢ over all added samples
    /// ```
    ///
    /// 0 is perfect; 1 is the FVU of always reconstructing the mean sample.
    #[must_use]
    pub fn fraction_of_variance_unexplained(&self) -> Option<f64> {
        self.per_deviation(self.squared_error)
    }

    /// Returns `1 −` [`fraction_of_variance_unexplained`](Self::fraction_of_variance_unexplained), in
    /// [−∞, 1]. `None` while all added samples are equal.
    #[must_use]
    pub fn explained_variance(&self) -> Option<f64> {
        self.fraction_of_variance_unexplained()
            .map(|unexplained| 1.0 - unexplained)
    }

    /// Returns the explained variance without the mean error, in [−∞, 1]. `None` while all added
    /// samples are equal.
    ///
    /// ```text
    /// 1 − Σᵢ ‖eᵢ − ē‖² / Σᵢ ‖xᵢ − x̄‖²,   ē = 1/m Σᵢ eᵢ
    /// ```
    ///
    /// A constant offset of all reconstructions does not count, so that the value is at least
    /// [`explained_variance`](Self::explained_variance). dictionary_learning reports it as
    /// `frac_variance_explained`.
    #[must_use]
    pub fn centered_explained_variance(&self) -> Option<f64> {
        self.per_deviation(self.error_deviation.times(Wide::of(16.0)))
            .map(|unexplained| 1.0 - unexplained)
    }

    /// Returns the mean squared error relative to the squared norm of each sample, in [0, ∞]. `None`
    /// before any sample and after a sample of zeros.
    ///
    /// ```text
    /// 1/m Σᵢ ‖eᵢ‖² / ‖xᵢ‖²
    /// ```
    ///
    /// Equals `normalized_mean_squared_error` in the code of Gao et al. 2024, *Scaling and Evaluating
    /// Sparse Autoencoders*. The normalized error in the text of that paper is the
    /// [fraction of variance unexplained](Self::fraction_of_variance_unexplained).
    #[must_use]
    pub fn normalized_mean_squared_error(&self) -> Option<f64> {
        mean(self.relative_squared_error?, f64::of_count(self.samples))
    }

    fn per_deviation(&self, sum: Wide) -> Option<f64> {
        let varies = self.sample_deviation.is_positive();
        varies.then(|| sum.per(self.sample_deviation).to_f64())
    }
}
