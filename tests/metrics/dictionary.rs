//! Learned features against known ones: small known answers, and the definitions taken literally.

#![allow(clippy::float_cmp)] // where the same numbers are divided

use approx::assert_relative_eq;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use sparse_autoencoder::Error;
use sparse_autoencoder::metrics::DictionaryMetrics;
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};

use crate::common::cases::{Rng, check};
use crate::compressed::compress;

fn normal(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| rng.sample(StandardNormal))
}

/// About a third of the entries other than 0.
fn sparse(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    normal(rows, columns, seed).map(|x| if x > 0.4 { x } else { 0.0 })
}

#[test]
fn permuted_turned_and_stretched_features_are_found() {
    for (input_size, count) in [(8, 20), (30, 30), (5, 1)] {
        let features = normal(input_size, count, 1);
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(2));
        let decoder = DMatrix::from_fn(input_size, count, |row, unit| {
            let factor = [3.0, -0.5, -1e-3, 1e160][unit % 4];
            factor * features[(row, order[unit])]
        });
        let metrics = DictionaryMetrics::new(&features, &decoder).unwrap();
        assert_relative_eq!(metrics.mean_correlation_coefficient(), 1.0, epsilon = 1e-14);
        assert_eq!(metrics.nearest_features(), order);
        assert_eq!(metrics.uniqueness(), 1.0);
        let matched = metrics.matches().iter().map(|m| (m.unit, m.feature));
        assert!(matched.eq(order.into_iter().enumerate()));
    }
}

/// Angles of 0 and 90 degrees, and a unit at 30 degrees; 0.866 is cos 30°.
#[test]
fn known_answers() {
    let features = DMatrix::from_column_slice(2, 2, &[1.0, 0.0, 0.0, 1.0]);
    let thirty = [3.0_f64.sqrt() / 2.0, 0.5];
    let decoder = DMatrix::from_column_slice(2, 2, &[1.0, 0.0, thirty[0], thirty[1]]);
    let metrics = DictionaryMetrics::new(&features, &decoder).unwrap();
    // Both are nearest to feature 0, but only one can be matched with it.
    assert_eq!(metrics.nearest_features(), [0, 0]);
    assert_eq!(metrics.uniqueness(), 0.5);
    assert_relative_eq!(
        metrics.mean_correlation_coefficient(),
        0.75,
        epsilon = 1e-15
    );

    // A unit without a direction is next to nothing, and detects nothing.
    let decoder = DMatrix::from_column_slice(2, 2, &[0.0, 0.0, 0.0, -2.0]);
    let metrics = DictionaryMetrics::new(&features, &decoder).unwrap();
    assert_eq!(metrics.mean_correlation_coefficient(), 0.5);

    // More units than features, and the other way round.
    let decoder = DMatrix::from_column_slice(2, 3, &[1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    for (a, b) in [(&features, &decoder), (&decoder, &features)] {
        let metrics = DictionaryMetrics::new(a, b).unwrap();
        assert_eq!(metrics.matches().len(), 2);
        assert_eq!(metrics.mean_correlation_coefficient(), 1.0);
    }
    let metrics = DictionaryMetrics::new(&features, &decoder).unwrap();
    assert_eq!(metrics.uniqueness(), 2.0 / 3.0);
}

/// A mean over features whose cosines with the best units add up to no more, by trying every
/// matching: the matching itself is tested beside the algorithm, on whole numbers.
#[test]
fn no_matching_has_a_larger_mean() {
    fn best(cosines: &DMatrix<f64>, unit: usize, taken: &mut Vec<usize>) -> f64 {
        if unit == cosines.ncols() {
            return 0.0;
        }
        let mut largest = 0.0_f64;
        for feature in 0..cosines.nrows() {
            if !taken.contains(&feature) {
                taken.push(feature);
                largest = largest.max(cosines[(feature, unit)] + best(cosines, unit + 1, taken));
                taken.pop();
            }
        }
        largest
    }
    for seed in 0..20 {
        let (features, decoder) = (normal(3, 6, 2 * seed), normal(3, 5, 2 * seed + 1));
        let cosines = DMatrix::from_fn(6, 5, |f, u| {
            let (d, t) = (features.column(f), decoder.column(u));
            d.dot(&t).abs() / (d.norm() * t.norm())
        });
        let metrics = DictionaryMetrics::new(&features, &decoder).unwrap();
        let expected = best(&cosines, 0, &mut Vec::new()) / 5.0;
        assert_relative_eq!(
            metrics.mean_correlation_coefficient(),
            expected,
            epsilon = 1e-14
        );
        for pair in metrics.matches() {
            assert_relative_eq!(
                pair.cosine,
                cosines[(pair.feature, pair.unit)],
                epsilon = 1e-14
            );
        }
    }
}

#[test]
fn as_many_units_as_in_practice_are_matched() {
    let features = normal(64, 512, 1);
    let noise = normal(64, 1024, 2);
    let decoder = DMatrix::from_fn(64, 1024, |row, unit| {
        features[(row, unit % 512)] + if unit < 512 { 0.0 } else { noise[(row, unit)] }
    });
    let metrics = DictionaryMetrics::new(&features, &decoder).unwrap();
    assert_relative_eq!(metrics.mean_correlation_coefficient(), 1.0, epsilon = 1e-14);
    // Without those that are exact, a matching of noisy ones and no better than that.
    let noisy = DictionaryMetrics::new(&features, decoder.columns(512, 512)).unwrap();
    let mean = noisy.mean_correlation_coefficient();
    assert!(mean > 0.6 && mean < 0.8, "{mean}"); // 1/√2 and what chance adds
}

#[test]
fn detections_are_counted() {
    let draw = |rng: &mut Rng| {
        let sizes = [6, 6, 30, 10].map(|end| rng.random_range(1..end));
        (sizes, rng.random_range(0..1000))
    };
    check(256, draw, |([features, units, samples, batch], seed)| {
        let dictionary = normal(4, features, seed);
        let decoder = normal(4, units, seed + 1);
        let activations = sparse(features, samples, seed + 2);
        let hidden = sparse(units, samples, seed + 3);

        let empty = DictionaryMetrics::new(&dictionary, &decoder).unwrap();
        assert!(empty.f1().is_none() && empty.f1_per_unit().is_none());
        let mut metrics = empty.clone();
        for start in (0..samples).step_by(batch) {
            let count = batch.min(samples - start);
            metrics
                .add(
                    activations.columns(start, count),
                    hidden.columns(start, count),
                )
                .unwrap();
        }
        let mut by_sparse = empty;
        by_sparse
            .add_sparse(&activations, &compress(hidden.as_view()))
            .unwrap();
        assert_eq!(by_sparse, metrics);

        let mut sums = [0.0; 3];
        for (unit, &feature) in metrics.nearest_features().iter().enumerate() {
            let count = |active: bool, present: bool| {
                let pairs = hidden.row(unit).into_owned();
                let pairs = pairs
                    .iter()
                    .zip(activations.row(feature).into_owned().iter())
                    .filter(|&(h, a)| (*h != 0.0) == active && (*a != 0.0) == present)
                    .count();
                f64::from(u32::try_from(pairs).unwrap())
            };
            let (hits, alarms, misses) =
                (count(true, true), count(true, false), count(false, true));
            let or_0 = |x: f64| if x.is_nan() { 0.0 } else { x };
            let (precision, recall) = (or_0(hits / (hits + alarms)), or_0(hits / (hits + misses)));
            let f1 = or_0(2.0 * precision * recall / (precision + recall));
            assert!((metrics.f1_per_unit().unwrap()[unit] - f1).abs() < 1e-14);
            for (sum, score) in sums.iter_mut().zip([precision, recall, f1]) {
                *sum += score;
            }
        }
        let scores = [metrics.precision(), metrics.recall(), metrics.f1()];
        #[allow(clippy::cast_precision_loss)]
        for (score, sum) in scores.into_iter().zip(sums) {
            assert!((score.unwrap() - sum / units as f64).abs() < 1e-14);
        }
        assert_eq!(metrics.samples(), samples);
    });
}

#[test]
fn what_is_wrong_is_named() {
    let matrix = |rows, columns| DMatrix::from_element(rows, columns, 1.0_f64);
    let new = |features: &DMatrix<f64>, decoder: &DMatrix<f64>| {
        DictionaryMetrics::new(features, decoder).unwrap_err()
    };
    let none = |name| Error::InvalidParameter {
        name,
        requirement: "at least 1",
        value: 0.0,
    };
    assert_eq!(new(&matrix(3, 0), &matrix(3, 2)), none("features"));
    assert_eq!(new(&matrix(3, 2), &matrix(3, 0)), none("units"));
    let error = new(&matrix(3, 2), &matrix(4, 2));
    assert!(matches!(
        error,
        Error::DimensionMismatch {
            what: "rows of the decoder",
            expected: 3,
            actual: 4
        }
    ));
    let mut spoilt = matrix(3, 2);
    spoilt[(1, 0)] = f64::NAN;
    let not_finite = |error, name| matches!(error, Error::NonFinite { what, .. } if what == name);
    assert!(not_finite(new(&spoilt, &matrix(3, 2)), "features"));
    assert!(not_finite(new(&matrix(3, 2), &spoilt), "decoder"));

    let mut metrics = DictionaryMetrics::new(matrix(3, 2), matrix(3, 4)).unwrap();
    let before = metrics.clone();
    let mut add = |activations: DMatrixView<'_, f64>, hidden: DMatrixView<'_, f64>| {
        let error = metrics.add(activations, hidden).unwrap_err();
        assert_eq!(metrics, before);
        error
    };
    let mismatch =
        |error, name| matches!(error, Error::DimensionMismatch { what, .. } if what == name);
    let (activations, hidden) = (matrix(2, 5), matrix(4, 5));
    let error = add(activations.rows(0, 1), hidden.as_view());
    assert!(mismatch(error, "rows of the true activations"));
    let error = add(activations.as_view(), hidden.rows(0, 1));
    assert!(mismatch(error, "rows of the hidden activations"));
    let error = add(activations.columns(0, 2), hidden.as_view());
    assert!(mismatch(error, "columns of the hidden activations"));
    let error = add(activations.columns(0, 0), hidden.columns(0, 0));
    assert!(matches!(error, Error::EmptyBatch { .. }));
    let mut spoilt = hidden.clone();
    spoilt[(0, 4)] = f64::INFINITY;
    let error = add(activations.as_view(), spoilt.as_view());
    assert!(not_finite(error, "hidden activations"));
    let mut spoilt = activations;
    spoilt[(0, 4)] = f64::NAN;
    let error = add(spoilt.as_view(), hidden.as_view());
    assert!(not_finite(error, "true activations"));
}
