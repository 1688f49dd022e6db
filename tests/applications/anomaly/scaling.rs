//! Scalers of features.

use super::*;
use sparse_autoencoder::geometric_median;

fn round_trip<T: Real>(scaling: Scaling) {
    let samples = random::<T>(5, 60, 3).map(|x| T::of(30.0) * x - T::of(4.0));
    let scaler = scaling.fit(&samples).unwrap();
    let scaled = scaler.apply(&samples).unwrap();
    let back = scaler.invert(&scaled).unwrap();
    // Two roundings each way, of numbers up to about 60.
    let tolerance = 60.0 * 8.0 * T::default_epsilon().to_f64();
    for (x, y) in samples.iter().zip(&back) {
        assert!((x.to_f64() - y.to_f64()).abs() <= tolerance);
    }
    let stored = Scaler::new(scaler.centers(), scaler.factors(), scaler.offsets()).unwrap();
    assert_eq!(stored, scaler);
    assert_eq!(stored.features(), 5);
}

#[test]
fn inverting_gives_the_samples_back() {
    for scaling in [
        Scaling::identity(),
        Scaling::standard(),
        Scaling::min_max(0.0, 1.0),
        Scaling::to_range_of(Activation::Tanh, 0.1).unwrap(),
        Scaling::mean_norm(2.0),
        Scaling::mean_distance(2.0),
    ] {
        round_trip::<f32>(scaling);
        round_trip::<f64>(scaling);
    }
}

#[test]
fn standard_scaling_gives_mean_0_and_variance_1() {
    // Far from 0: the textbook formula for the variance would give nonsense.
    let samples = random::<f64>(3, 500, 1).map(|x| x + 1e8);
    let scaler = Scaling::standard().fit(&samples).unwrap();
    let scaled = scaler.apply(&samples).unwrap();
    for row in scaled.row_iter() {
        assert!(row.mean().abs() < 1e-7);
        assert_relative_eq!(row.variance(), 1.0, max_relative = 1e-7);
    }
}

#[test]
fn a_mean_norm_is_reached_by_one_factor() {
    let samples = random::<f64>(6, 50, 2).map(|x| 30.0 * x - 4.0);
    let scaler = Scaling::mean_norm(2.5).fit(&samples).unwrap();
    let scaled = scaler.apply(&samples).unwrap();
    let norms = scaled.column_iter().map(|x| x.norm());
    assert_relative_eq!(norms.sum::<f64>() / 50.0, 2.5, max_relative = 1e-12);
    let factor = scaler.factors()[0];
    assert_relative_eq!(scaled, samples * factor, max_relative = 1e-15);

    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Scaling::mean_norm(bad).fit(random::<f64>(2, 5, 0));
        assert_eq!(name_of(&error.unwrap_err()), "mean norm");
    }
    let zeros = DMatrix::<f64>::zeros(2, 3);
    let error = Scaling::mean_norm(1.0).fit(&zeros).unwrap_err();
    assert!(matches!(error, Error::ConstantFeature { .. }));
    let kept = Scaling::mean_norm(1.0).keep_constant_features();
    assert_eq!(kept.fit(&zeros).unwrap().factors(), [1.0, 1.0]);
    let wide = DMatrix::from_element(1, 2, 1e300);
    let scaler = Scaling::mean_norm(1.0).fit(&wide).unwrap();
    assert_relative_eq!(scaler.factors()[0], 1e-300, max_relative = 1e-15);
    let error = Scaling::mean_norm(1e-20).fit(&wide).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }));
}

#[test]
fn a_mean_distance_is_reached_from_the_geometric_median() {
    let samples = random::<f64>(6, 50, 2).map(|x| 30.0 * x - 4.0);
    let scaler = Scaling::mean_distance(2.5).fit(&samples).unwrap();
    let scaled = scaler.apply(&samples).unwrap();
    let norms = scaled.column_iter().map(|x| x.norm());
    assert_relative_eq!(norms.sum::<f64>() / 50.0, 2.5, max_relative = 1e-12);
    let median = geometric_median(&scaled).unwrap();
    assert!(median.norm() < 1e-5, "{median}");
    let far = samples.map(|x| x + 1e4);
    let of_far = Scaling::mean_distance(2.5).fit(&far).unwrap();
    let moved = (of_far.apply(&far).unwrap() - &scaled).amax();
    assert!(moved < 1e-5, "{moved:e}");

    let error = Scaling::mean_distance(0.0).fit(&samples).unwrap_err();
    assert_eq!(name_of(&error), "mean distance");
    let same = DMatrix::<f64>::from_element(2, 3, 7.0);
    let error = Scaling::mean_distance(1.0).fit(&same).unwrap_err();
    assert!(matches!(error, Error::ConstantFeature { value: 7.0, .. }));
    let kept = Scaling::mean_distance(1.0).keep_constant_features();
    let kept = kept.fit(&same).unwrap().apply(&same).unwrap();
    assert_eq!(kept, DMatrix::zeros(2, 3));
}

#[test]
fn the_fitted_samples_fill_the_range_and_never_leave_it() {
    for seed in 0..200 {
        let (low, high) = [(0.0, 1.0), (0.1, 0.9), (-1.0, 1.0), (-3.0, 1e-3)][seed % 4];
        let samples = random::<f32>(8, 20, seed as u64).map(|x| (9.0 * x).powi(5) + 1e4);
        let scaler = Scaling::min_max(low, high).fit(&samples).unwrap();
        let scaled = scaler.apply(&samples).unwrap();
        for row in scaled.row_iter() {
            assert!(row.min() >= low as f32 && row.max() <= high as f32);
            assert_relative_eq!(row.min(), low as f32, epsilon = 1e-6);
            assert_relative_eq!(row.max(), high as f32, epsilon = 1e-6);
        }
    }
}

#[test]
fn ranges_follow_the_activation() {
    let range = |activation, margin| Scaling::to_range_of(activation, margin).unwrap();
    assert_eq!(range(Activation::Sigmoid, 0.0), Scaling::min_max(0.0, 1.0));
    assert_eq!(range(Activation::Sigmoid, 0.1), Scaling::min_max(0.1, 0.9));
    assert_eq!(range(Activation::Tanh, 0.1), Scaling::min_max(-0.8, 0.8));
    for activation in [Activation::Relu, Activation::Identity, Activation::TopK(2)] {
        let error = Scaling::to_range_of(activation, 0.0).unwrap_err();
        assert!(matches!(error, Error::UnsupportedActivation { .. }));
    }
    for margin in [-0.1, 0.5, f64::NAN] {
        let error = Scaling::to_range_of(Activation::Sigmoid, margin).unwrap_err();
        assert_eq!(name_of(&error), "margin of the scaling");
    }
}

#[test]
fn constant_features_are_named_or_kept() {
    let mut samples = random::<f64>(3, 10, 1);
    samples.row_mut(1).fill(5.0);
    for scaling in [Scaling::standard(), Scaling::min_max(0.0, 1.0)] {
        let error = scaling.fit(&samples).unwrap_err();
        assert_eq!(
            error,
            Error::ConstantFeature {
                feature: 1,
                value: 5.0
            }
        );
        assert!(
            error
                .to_string()
                .starts_with("feature 1 is 5 in every sample")
        );

        let scaler = scaling.keep_constant_features().fit(&samples).unwrap();
        let mut changed = samples.clone();
        changed[(1, 0)] = 7.5;
        let scaled = scaler.apply(&changed).unwrap();
        let middle = if scaling == Scaling::standard() {
            0.0
        } else {
            0.5
        };
        assert_relative_eq!(scaled[(1, 1)], middle);
        assert_relative_eq!(scaled[(1, 0)], middle + 2.5);
    }
    Scaling::identity().fit(&samples).unwrap();
    // One sample has no spread at all.
    let error = Scaling::standard().fit(samples.columns(0, 1)).unwrap_err();
    assert!(matches!(error, Error::ConstantFeature { feature: 0, .. }));
    // 1/spread is no f32.
    let tiny = DMatrix::from_row_slice(1, 2, &[0.0_f32, 1e-42]);
    let error = Scaling::min_max(0.0, 1.0).fit(&tiny).unwrap_err();
    assert!(matches!(error, Error::ConstantFeature { .. }));
}

#[test]
fn bad_scalings_are_refused() {
    let samples = random::<f64>(2, 5, 0);
    for (low, high) in [
        (1.0, 1.0),
        (1.0, 0.0),
        (0.0, f64::NAN),
        (0.0, f64::INFINITY),
    ] {
        let error = Scaling::min_max(low, high).fit(&samples).unwrap_err();
        assert_eq!(name_of(&error), "high end of the scaling");
    }
    for low in [f64::NAN, f64::NEG_INFINITY] {
        let error = Scaling::min_max(low, 1.0).fit(&samples).unwrap_err();
        assert_eq!(name_of(&error), "low end of the scaling");
    }
    let standard = Scaling::standard();
    let error = standard.fit(DMatrix::<f64>::zeros(2, 0)).unwrap_err();
    assert_eq!(error, Error::EmptyBatch { what: "samples" });
    let wide = DMatrix::from_row_slice(1, 2, &[f32::MAX, -f32::MAX]);
    let error = standard.fit(&wide).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { row: 0, .. }));
    let mut far = DMatrix::from_element(2, 20, -3e38_f32);
    far[(1, 17)] = 3e38;
    far.row_mut(0).copy_from_slice(&[0.5; 20]);
    for scaling in [
        standard.keep_constant_features(),
        Scaling::min_max(0.0, 1.0).keep_constant_features(),
    ] {
        let error = scaling.fit(&far).unwrap_err();
        assert!(
            matches!(error, Error::OutOfRange { row: 1, column: 17, value, .. } if value > 2.9e38),
            "{error}"
        );
    }
    for bad in [f64::NAN, f64::INFINITY] {
        let mut samples = samples.clone();
        samples[(1, 3)] = bad;
        for error in [
            standard.fit(&samples).unwrap_err(),
            identity(2).apply(&samples).unwrap_err(),
            identity(2).invert(&samples).unwrap_err(),
        ] {
            assert!(matches!(
                error,
                Error::NonFinite {
                    row: 1,
                    column: 3,
                    ..
                }
            ));
        }
    }
    let error = identity(3).apply(&samples).unwrap_err();
    assert_eq!(name_of(&error), "rows of the samples");
    let new = |centers: &[f64], factors: &[f64], offsets: &[f64]| {
        name_of(&Scaler::new(centers, factors, offsets).unwrap_err())
    };
    assert_eq!(new(&[0.0], &[], &[0.0]), "factors of the scaler");
    assert_eq!(new(&[0.0], &[1.0], &[]), "offsets of the scaler");
    assert_eq!(new(&[f64::NAN], &[1.0], &[0.0]), "centers");
    assert_eq!(new(&[0.0], &[1.0], &[f64::INFINITY]), "offsets");
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(new(&[0.0], &[factor], &[0.0]), "factors");
    }
}
