//! The metrics against numbers computed elsewhere.

use super::*;

/// A ReLU autoencoder of 3 input and 4 hidden units on three samples (the columns), and all its
/// metrics, in plain Python.
mod relu_fixture {
    use super::DMatrix;

    pub(crate) fn samples() -> DMatrix<f64> {
        DMatrix::from_column_slice(3, 3, &[1.0, -0.5, 2.0, 0.3, 1.2, -0.7, -1.0, 0.8, 0.4])
    }

    pub(crate) fn reconstructions() -> DMatrix<f64> {
        DMatrix::from_column_slice(
            3,
            3,
            &[
                2.3985, -1.8305, 2.695, 0.4825, 1.096, -0.715, 0.0635, 0.925, 0.15,
            ],
        )
    }

    pub(crate) fn hidden() -> DMatrix<f64> {
        DMatrix::from_column_slice(
            4,
            3,
            &[
                2.82, 0.315, 0.0, 1.78, 0.0, 1.035, 1.215, 0.0, 0.0, 1.205, 0.195, 0.03,
            ],
        )
    }
}

#[test]
fn golden_reconstruction() {
    let metrics = reconstruction(
        &relu_fixture::samples(),
        &relu_fixture::reconstructions(),
        3,
    );
    // The inputs above are decimal, and a little off what the reference computed with.
    let close = |value: Option<f64>, expected: f64| {
        assert_relative_eq!(value.unwrap(), expected, max_relative = 1e-14);
    };
    close(metrics.mean_squared_error(), 0.606_951_333_333_333_3);
    close(metrics.mean_squared_error_norm(), 1.820_853_999_999_999_8);
    close(
        metrics.fraction_of_variance_unexplained(),
        0.745_572_611_464_968_1,
    );
    close(metrics.explained_variance(), 0.254_427_388_535_031_9);
    close(
        metrics.centered_explained_variance(),
        0.659_025_682_438_580_6,
    );
    close(
        metrics.normalized_mean_squared_error(),
        0.498_477_783_343_810_5,
    );
    assert_eq!(metrics.samples(), 3);
}

#[test]
fn psnr_is_in_decibels_of_the_peak() {
    let clean = DMatrix::from_column_slice(2, 2, &[0.0, 1.0, 0.5, 0.25]);
    let noisy = DMatrix::from_column_slice(2, 2, &[0.25, 0.75, 0.75, 0.0]);
    let metrics = reconstruction(&clean, &noisy, 1);
    // The squared error is 1/16 per entry, and 40 log₁₀ 2 = 12.04….
    let close = |peak: f64, expected: f64| {
        let psnr = metrics.psnr(peak).unwrap().unwrap();
        assert_relative_eq!(psnr, expected, max_relative = 8.0 * f64::EPSILON);
    };
    close(1.0, 12.041_199_826_559_248);
    close(0.25, 0.0);
    close(255.0, 60.172_003_435_238_35); // as 8-bit gray values would have it
    close(1e200, 4_012.041_199_826_559); // the square overflows

    // A tenth of the error is a hundredth of its square: 20 dB more.
    let closer = reconstruction(&clean, &(&clean + (&noisy - &clean) * 0.1), 2);
    let gain = closer.psnr(1.0).unwrap().unwrap() - metrics.psnr(1.0).unwrap().unwrap();
    assert_relative_eq!(gain, 20.0, max_relative = 1e-14);

    assert_eq!(ReconstructionMetrics::new(2).psnr(1.0), Ok(None));
    assert_eq!(reconstruction(&clean, &clean, 1).psnr(1.0), Ok(None));
    for peak in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        let Err(Error::InvalidParameter { name, value, .. }) = metrics.psnr(peak) else {
            panic!("a peak of {peak} must be refused");
        };
        assert_eq!((name, value.to_bits()), ("peak", peak.to_bits()));
    }
}

#[test]
fn explained_variance_is_none_of_the_lookalikes() {
    let (samples, reconstructions) = (relu_fixture::samples(), relu_fixture::reconstructions());
    let errors = &reconstructions - &samples;
    let mean = samples.column_mean();
    let deviations = DMatrix::from_fn(3, 3, |row, column| samples[(row, column)] - mean[row]);
    let scalar_mean = samples.mean();

    let mean_of_ratios = (0..3)
        .map(|i| 1.0 - errors.column(i).norm_squared() / deviations.column(i).norm_squared())
        .sum::<f64>()
        / 3.0;
    let about_scalar_mean =
        1.0 - errors.norm_squared() / samples.map(|x| x - scalar_mean).norm_squared();
    let about_zero = 1.0 - errors.norm_squared() / samples.norm_squared();
    // The plain Python agrees, so these are the formulas that are meant.
    assert_relative_eq!(
        mean_of_ratios,
        0.326_461_789_200_422_1,
        max_relative = 1e-13
    );
    assert_relative_eq!(
        about_scalar_mean,
        0.291_394_378_783_511,
        max_relative = 1e-13
    );

    let metrics = reconstruction(&samples, &reconstructions, 1);
    let ours = metrics.explained_variance().unwrap();
    let centered = metrics.centered_explained_variance().unwrap();
    for other in [mean_of_ratios, about_scalar_mean, about_zero, centered] {
        assert!((ours - other).abs() > 0.03, "{ours} {other}");
    }
}

#[test]
fn golden_sparsity_indices() {
    let values = [0.0, 3.0, 0.0, -4.0, 0.0];
    let close = |index: Option<f64>, expected: f64| {
        assert_relative_eq!(index.unwrap(), expected, max_relative = 4.0 * f64::EPSILON);
    };
    close(hoyer(&values), 0.676_393_202_250_021); // (√5 − 7/5) / (√5 − 1)
    close(treves_rolls(&values), 0.392); // (7/5)² / (25/5)
    close(vinje_gallant(&values), 0.76); // 0.608 / 0.8
    close(vinje_gallant(&[0.0_f32, 3.0, 0.0, 4.0, 0.0]), 0.76);
}

#[test]
fn golden_sparsity() {
    let metrics = sparsity(&relu_fixture::hidden(), 2);
    assert_relative_eq!(metrics.l0().unwrap(), 8.0 / 3.0);
    let frequency = metrics.activation_frequency().unwrap();
    assert_eq!(frequency.as_slice(), [1.0, 3.0, 2.0, 2.0].map(|n| n / 3.0));
    // The mean L1 norm, from the sum over the units.
    assert_relative_eq!(
        metrics.mean_activation().unwrap().sum(),
        2.865,
        max_relative = rounding(12)
    );
    assert!(metrics.dead_units().is_empty());
    assert_eq!(metrics.samples(), 3);
}
