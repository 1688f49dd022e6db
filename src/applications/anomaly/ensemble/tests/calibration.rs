//! What calibrates, and the numbers that follow from it, by their formulas.

#![allow(clippy::float_cmp)] // the same bits

use nalgebra::DVector;

use super::super::fitting::splits;
use super::*;

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
