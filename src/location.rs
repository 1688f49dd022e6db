//! Where a set of samples lies.

use nalgebra::{DMatrixView, DVector};

use crate::batch::check_batch;
use crate::{Error, Real, kernel};

/// The geometric median of samples, visible × samples: the point whose distances to all of them have
/// the smallest sum. Far samples pull it less than they pull the mean, so it is a good start for a
/// [pre-encoder bias](crate::SparseAutoencoderBuilder::pre_encoder_bias) (Gao et al. 2024).
///
/// Weiszfeld's iteration, from the mean, with the step of Vardi & Zhang (2000), *The multivariate
/// L₁-median and associated data depth*, where it meets a sample: it converges from everywhere.
/// Stops once a step is below `1e-6` (or a few roundings) of the mean distance, or after 1000 steps.
/// In `f64`, whatever the scalar.
///
/// ```
/// use sparse_autoencoder::{geometric_median, nalgebra::DMatrix};
///
/// // Four samples near (1, 1), and one far away.
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
/// [`Error::EmptyBatch`] without samples or with samples of no entry, [`Error::NonFinite`] for NaN
/// and infinities.
pub fn geometric_median<'a, T: Real>(
    samples: impl Into<DMatrixView<'a, T>>,
) -> Result<DVector<T>, Error> {
    const STEPS: usize = 1000;
    let samples = samples.into();
    check_batch(samples, samples.nrows(), ["samples"; 2])?;
    if samples.nrows() == 0 {
        return Err(Error::EmptyBatch { what: "samples" });
    }
    let m = f64::of_count(samples.ncols());
    let mut y: DVector<f64> = DVector::zeros(samples.nrows());
    for sample in samples.column_iter() {
        for (y, x) in y.iter_mut().zip(sample.iter()) {
            *y += x.to_f64() / m;
        }
    }
    let tolerance = 1e-6_f64.max(8.0 * T::default_epsilon().to_f64());
    let mut x = y.clone();
    for _ in 0..STEPS {
        // R = Σ (xᵢ − y)/dᵢ over the samples that are not y, of which there are `here`.
        let (mut pull, mut weights) = (DVector::zeros(y.len()), 0.0);
        let (mut here, mut distances) = (0.0, 0.0);
        for sample in samples.column_iter() {
            x.iter_mut()
                .zip(sample.iter())
                .for_each(|(x, s)| *x = s.to_f64());
            let distance = kernel::distance_squared(x.as_slice(), y.as_slice()).sqrt();
            if distance > 0.0 {
                kernel::add_scaled(pull.as_mut_slice(), distance.recip(), x.as_slice());
                weights += distance.recip();
                distances += distance;
            } else {
                here += 1.0;
            }
        }
        if weights <= 0.0 || !weights.is_finite() {
            break; // every sample is y
        }
        // T(y) − y = R/Σ(1/dᵢ), shortened by how much the samples at y hold it there.
        pull.axpy(-weights, &y, 1.0);
        let strength = pull.norm();
        if strength <= here {
            break; // y is a sample, and the median
        }
        pull *= (1.0 - here / strength) / weights;
        y += &pull;
        if pull.norm() <= tolerance * distances / m {
            break;
        }
    }
    Ok(y.map(T::of))
}
