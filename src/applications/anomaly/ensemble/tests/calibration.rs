//! What calibrates, and the numbers that follow from it, by their formulas.

#![allow(clippy::float_cmp)] // the same bits

use nalgebra::DVector;

use super::super::denoiser::Level;
use super::super::fitting::splits;
use super::super::input::Input;
use super::*;
use crate::{Corruption, Scaling, SparseAutoencoder};

/// The samples of each fold, as the fits of `MANY` and `FEW` divided them.
fn of_folds(detector: &AnomalyEnsemble<f32>, samples: &DMatrix<f32>) -> Vec<[DMatrix<f32>; 2]> {
    let splits = splits(samples.ncols(), 0).unwrap();
    assert_eq!(splits.len(), detector.denoisers.len());
    let kept = samples.select_rows(&detector.kept);
    let parts = splits
        .iter()
        .map(|split| [&split.scale, &split.calibration]);
    parts
        .map(|parts| parts.map(|part| kept.select_columns(part)))
        .collect()
}

fn fitted() -> [(&'static AnomalyEnsemble<f32>, DMatrix<f32>); 2] {
    [(&*MANY, circle(1000, 1)), (&*FEW, circle(60, 2))]
}

fn ascending(scores: &DVector<f32>) -> Vec<f32> {
    let mut scores = scores.as_slice().to_vec();
    scores.sort_by(f32::total_cmp);
    scores
}

#[test]
fn calibration_scores_are_those_of_the_samples_held_out() {
    for (detector, samples) in fitted() {
        let folds = of_folds(detector, &samples);
        for (denoiser, [_, calibration]) in detector.denoisers.iter().zip(folds) {
            let scores = denoiser.scores(&calibration).unwrap();
            assert_eq!(denoiser.calibration_scores, ascending(&scores));
        }
    }
}

/// The median error at each noise level is 1, up to the rounding of a mean.
#[test]
fn errors_of_each_level_are_in_units_of_their_median_over_the_samples_held_out_for_it() {
    for (detector, samples) in fitted() {
        let folds = of_folds(detector, &samples);
        for (denoiser, [scale, _]) in detector.denoisers.iter().zip(folds) {
            let scaled = denoiser.input.apply(&scale).unwrap();
            for level in &denoiser.levels {
                let scores = ascending(&level.scores(&scaled, &scale).unwrap());
                let median = scores[scores.len() / 2];
                assert!((median - 1.0).abs() < 1e-5, "{median}");
                assert!(level.scale != 1.0);
            }
        }
    }
}

/// Most samples have values of the constant feature only. They score 0, whatever a model has learned.
#[test]
fn samples_without_values_do_not_set_the_unit() {
    for count in [1000, 60] {
        let mut samples = circle(count, 5);
        let empty = samples.columns_with_step_mut(0, count * 2 / 3, 0);
        { empty }.rows_mut(1, 2).fill(f32::NAN);
        let builder = builder(20).missing_values(MissingValues::Impute);
        let detector = builder.fit(&samples).unwrap();
        let (mut empty, mut all) = (0, 0);
        let folds = of_folds(&detector, &samples);
        for (denoiser, [scale, _]) in detector.denoisers.iter().zip(folds) {
            let (complete, others): (Vec<usize>, Vec<usize>) =
                (0..scale.ncols()).partition(|&sample| !scale[(0, sample)].is_nan());
            empty += others.len();
            all += scale.ncols();
            let scale = scale.select_columns(&complete);
            let scaled = denoiser.input.apply(&scale).unwrap();
            for level in &denoiser.levels {
                let scores = ascending(&level.scores(&scaled, &scale).unwrap());
                let median = scores[scores.len() / 2];
                assert!((median - 1.0).abs() < 1e-5, "{median}");
            }
        }
        assert!(2 * empty > all, "{empty} of {all}");
    }
}

/// A model that reconstructs 0.
#[test]
fn errors_that_are_all_zero_or_overflow_keep_the_unit() {
    for (x, unit) in [(0.0, 1.0), (3.0, 18.0), (1e25, 1.0)] {
        let builder = SparseAutoencoder::<f32>::builder().layers([2, 3]);
        let builder = builder.output_activation(crate::Activation::Identity);
        let mut model = builder.penalty(()).build().unwrap();
        let zeros = vec![0.0; model.layout().len()];
        model.set_theta(&zeros).unwrap();
        let samples = DMatrix::from_element(2, 9, x);
        let input = Input {
            imputer: None,
            scaler: Scaling::identity().fit(&samples).unwrap(),
        };
        let noise = Corruption::Gaussian {
            standard_deviation: 0.5,
        };
        let mut level = Level::new(model, noise, 1).unwrap();
        level.scale_by(&input, &samples).unwrap();
        assert_eq!(level.scale, unit);
    }
}

/// Counted one by one, also of samples that score as a calibration sample does.
#[test]
fn p_values_count_the_held_out_scores_that_are_as_high_in_every_fold() {
    for (detector, samples) in fitted() {
        let tested = samples.columns(0, 40).into_owned();
        let p_values = detector.p_values(&tested).unwrap();
        let kept = tested.select_rows(&detector.kept);
        let scores = detector
            .denoisers
            .iter()
            .map(|fold| fold.scores(&kept).unwrap());
        let scores: Vec<_> = scores.collect();
        let (n, mut ties) = (detector.calibration_samples(), 0);
        for (index, &p) in p_values.iter().enumerate() {
            let mut as_high = 0;
            for (fold, scores) in detector.denoisers.iter().zip(&scores) {
                let calibration = fold.calibration_scores.iter();
                as_high += calibration.clone().filter(|&&s| s >= scores[index]).count();
                ties += calibration.filter(|&&s| s == scores[index]).count();
            }
            assert_eq!(p, (1 + as_high) as f64 / (n + 1) as f64);
        }
        assert!(ties > 0, "some of these samples calibrate");
    }
}
