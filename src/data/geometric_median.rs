//! The geometric median of samples.

use nalgebra::{DMatrixView, DVector};

use crate::validate::check_batch;
use crate::{Error, Real, linalg};

/// Returns the geometric median of samples, entries × samples: the point with the smallest sum of
/// distances to all samples.
///
/// Outliers move it less than the mean. It is a good initial
/// [pre-encoder bias](crate::SparseAutoencoderBuilder::pre_encoder_bias) (Gao et al. 2024).
///
/// Computed in `f64` by Weiszfeld's iteration from the median of each entry. The step of Vardi & Zhang
/// (2000), *The multivariate L₁-median and associated data depth*, makes it converge from every point.
/// Stops once a step is below `1e-6` (or a few roundings) of the median distance, or after 1000 steps.
///
/// ```
/// use sparse_autoencoder::{geometric_median, nalgebra::DMatrix};
///
/// // Four samples near (1, 1) and one outlier.
/// let samples = DMatrix::from_row_slice(2, 5, &[
///     0.9, 1.1, 1.0, 1.0, 100.0,
///     1.0, 1.0, 0.9, 1.1, 100.0,
/// ]);
/// let median = geometric_median(&samples)?;
/// assert!((median[0] - 1.0_f64).abs() < 0.1 && (median[1] - 1.0).abs() < 0.1);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::EmptyBatch`] without samples or entries, [`Error::NonFinite`] for NaN and infinities.
pub fn geometric_median<'a, T: Real>(
    samples: impl Into<DMatrixView<'a, T>>,
) -> Result<DVector<T>, Error> {
    const STEPS: usize = 1000;
    let samples = samples.into();
    check_batch(samples, samples.nrows(), ["samples"; 2])?;
    if samples.nrows() == 0 {
        return Err(Error::EmptyBatch { what: "samples" });
    }
    // Values are divided by 4, so that differences do not overflow.
    let quarter = |x: &T| 0.25 * x.to_f64();
    let mut y: DVector<f64> = DVector::zeros(samples.nrows());
    let mut distances = vec![0.0; samples.ncols()];
    for (y, row) in y.iter_mut().zip(samples.row_iter()) {
        distances
            .iter_mut()
            .zip(row.iter())
            .for_each(|(to, x)| *to = quarter(x));
        *y = median(&mut distances);
    }
    let tolerance = 1e-6_f64.max(8.0 * T::default_epsilon().to_f64());
    let mut away = y.clone();
    for _ in 0..STEPS {
        // R = Σ (xᵢ − y)/dᵢ over the samples that differ from y; `here` counts those that equal y.
        let (mut pull, mut weights, mut here) = (DVector::zeros(y.len()), 0.0, 0.0);
        for (sample, distance) in samples.column_iter().zip(&mut distances) {
            let from = y.iter().zip(sample.iter());
            away.iter_mut()
                .zip(from)
                .for_each(|(away, (y, x))| *away = quarter(x) - y);
            *distance = linalg::norm(away.as_slice());
            let weight = distance.recip();
            if weight.is_finite() {
                linalg::axpy(weight, away.as_slice(), pull.as_mut_slice());
                weights += weight;
            } else {
                here += 1.0;
            }
        }
        // T(y) − y = R/Σ(1/dᵢ), shortened by the pull of the samples at y.
        let strength = linalg::norm(pull.as_slice());
        if strength <= here {
            break; // y, which equals a sample, is the median
        }
        let step = (strength - here) / weights;
        y.axpy(step / strength, &pull, 1.0);
        if step <= tolerance * median(&mut distances) {
            break;
        }
    }
    Ok(y.map(|y| T::of(4.0 * y)))
}

/// Returns the median, the upper of the two middle values. Reorders `values`.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
