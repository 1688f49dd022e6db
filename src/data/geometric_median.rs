//! The geometric median of samples.

use nalgebra::DVector;

use super::Samples;
use super::in_order::InOrder;
use crate::linalg::reserve;
use crate::{Error, Real, linalg};

/// Returns the geometric median of any [`Samples`]: the point with the smallest sum of distances to all
/// samples.
///
/// Outliers move it less than the mean. It is a good initial
/// [pre-encoder bias](crate::SparseAutoencoderBuilder::pre_encoder_bias) (Gao et al. 2024).
///
/// Computed in `f64` by Weiszfeld's iteration from the median of each entry. The step of Vardi & Zhang
/// (2000), *The multivariate L₁-median and associated data depth*, makes it converge from every point.
/// Stops once the pull of the samples on the point is below `1e-6` (or a few roundings) of their number, or after
/// 1000 steps. The sum of distances is then at most about that fraction above the smallest.
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
/// The same samples give the same bits, wherever they are stored. Samples outside memory are read by batches,
/// once per step and once per byte of `T`. Memory holds one batch, one `f64` per sample, and 2 kB per entry.
///
/// # Errors
///
/// [`Error::EmptyBatch`] without samples or entries, [`Error::NonFinite`] for NaN and infinities,
/// [`Error::InvalidParameter`] if memory runs out, and those of [`Samples::read`].
pub fn geometric_median<T: Real>(samples: impl Samples<T>) -> Result<DVector<T>, Error> {
    median_of(&samples)
}

fn median_of<T: Real>(samples: &dyn Samples<T>) -> Result<DVector<T>, Error> {
    const STEPS: usize = 1000;
    let mut passes = InOrder::new(samples, samples.entries(), ["samples"; 2])?;
    if samples.entries() == 0 {
        return Err(Error::EmptyBatch { what: "samples" });
    }
    // Values are divided by 4, so that differences do not overflow.
    let quarter = |x: &T| 0.25 * x.to_f64();
    let mut distances = reserve::filled(0.0, passes.count(), "number of samples")?;
    let medians = medians(&mut passes)?;
    let mut y = DVector::from_iterator(medians.len(), medians.iter().map(quarter));
    let tolerance = 1e-6_f64.max(8.0 * T::default_epsilon().to_f64());
    let mut away = y.clone();
    let mut near = 0.0;
    for _ in 0..STEPS {
        // R = Σ (xᵢ − y)/dᵢ over the samples away from y; `here` counts the others.
        let (mut pull, mut weights, mut here) = (DVector::zeros(y.len()), 0.0, 0.0);
        passes.each(|first, batch| {
            for (sample, distance) in batch.column_iter().zip(&mut distances[first..]) {
                let from = y.iter().zip(sample.iter());
                away.iter_mut()
                    .zip(from)
                    .for_each(|(away, (y, x))| *away = quarter(x) - y);
                *distance = linalg::norm(away.as_slice());
                let weight = distance.recip();
                if *distance > near && weight.is_finite() {
                    linalg::axpy(weight, away.as_slice(), pull.as_mut_slice());
                    weights += weight;
                } else {
                    here += 1.0;
                }
            }
            Ok(())
        })?;
        // T(y) − y = R/Σ(1/dᵢ), shortened by the pull of the samples at y.
        let strength = linalg::norm(pull.as_slice());
        if strength - here <= tolerance * f64::of_count(passes.count()) {
            break;
        }
        y.axpy((strength - here) / weights / strength, &pull, 1.0);
        near = tolerance * median(&mut distances);
    }
    Ok(y.map(|y| T::of(4.0 * y)))
}

/// Returns the median, the upper of the two middle values. Reorders `values`.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Returns the median of each entry, the upper of the two middle values, without a copy of the samples.
///
/// Each pass finds the next byte of all medians: it counts that byte in the values that agree with the
/// median in the bytes before.
fn medians<T: Real>(passes: &mut InOrder<'_, T>) -> Result<Vec<T>, Error> {
    const BYTE: u32 = 8;
    let bytes = size_of::<T>();
    let entries = passes.entries();
    let mut counts = reserve::filled([0_usize; 1 << BYTE], entries, "entries of a sample")?;
    // The bytes found so far, and the rank of the median among the values that agree with them.
    let mut found = vec![(0_u64, passes.count() / 2); entries];
    for done in 0..bytes {
        let shift = BYTE * (bytes - 1 - done) as u32;
        counts.fill([0; 1 << BYTE]);
        passes.each(|_, batch| {
            for sample in batch.column_iter() {
                let entries = sample.iter().zip(&found).zip(&mut counts);
                for ((&x, &(before, _)), counts) in entries {
                    let bytes = ordered(x) >> shift;
                    if bytes >> BYTE == before {
                        counts[bytes as usize % counts.len()] += 1;
                    }
                }
            }
            Ok(())
        })?;
        for ((bytes, rank), counts) in found.iter_mut().zip(&counts) {
            let mut byte = 0;
            while byte + 1 < counts.len() && *rank >= counts[byte] {
                *rank -= counts[byte];
                byte += 1;
            }
            *bytes = *bytes << BYTE | byte as u64;
        }
    }
    Ok(found.iter().map(|&(bits, _)| from_ordered(bits)).collect())
}

/// Returns bits in the order of the numbers: −0 precedes 0.
fn ordered<T: Real>(x: T) -> u64 {
    let zero = 1 << (8 * size_of::<T>() - 1);
    if x.is_sign_negative() {
        zero - 1 - x.magnitude_bits()
    } else {
        zero + x.magnitude_bits()
    }
}

/// Returns the number with these [`ordered`] bits.
fn from_ordered<T: Real>(bits: u64) -> T {
    let zero = 1 << (8 * size_of::<T>() - 1);
    if bits < zero {
        -T::from_magnitude_bits(zero - 1 - bits)
    } else {
        T::from_magnitude_bits(bits - zero)
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::{InOrder, median, medians};
    use crate::Real;

    fn medians_of_entries<T: Real>() {
        let largest = T::from_magnitude_bits(T::infinity_bits() - 1);
        let smallest = T::from_magnitude_bits(1);
        for count in [1, 2, 3, 8, 101] {
            let samples = DMatrix::from_fn(6, count, |i, j| {
                let x = T::of(((31 * i + 17 * j + i * j) % 23) as f64 - 11.0);
                [
                    x,
                    x / T::of(7.0),
                    smallest * x,
                    largest * x.signum(),
                    -T::zero(),
                    x * x,
                ][i]
            });
            let found = medians(&mut InOrder::new(&samples, 6, ["samples"; 2]).unwrap()).unwrap();
            for (row, found) in samples.row_iter().zip(found) {
                let mut values: Vec<f64> = row.iter().map(|x| x.to_f64()).collect();
                assert_eq!(found.to_f64().to_bits(), median(&mut values).to_bits());
            }
        }
    }

    #[test]
    fn medians_are_found_byte_by_byte() {
        medians_of_entries::<f32>();
        medians_of_entries::<f64>();
    }
}
