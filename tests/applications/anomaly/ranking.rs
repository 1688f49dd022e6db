//! Ranking metrics: ROC curve, its area, and average precision.

use super::*;

/// 60 scores with many ties, and labels; the expected numbers are those of scikit-learn 1.9.1.
#[test]
fn golden_values() {
    let scores: Vec<f64> = (0..60).map(|i| f64::from((i * 37) % 101 % 13)).collect();
    let labels: Vec<bool> = (0..60)
        .map(|i| (i * i + 3 * i) % 7 < 2 || scores[i] > 11.0)
        .collect();
    assert_relative_eq!(
        roc_auc(&scores, &labels).unwrap(),
        0.424_908_424_908_424_84,
        max_relative = 1e-14
    );
    assert_relative_eq!(
        average_precision(&scores, &labels).unwrap(),
        0.468_090_761_569_022_4,
        max_relative = 1e-14
    );
    let curve = roc_curve(&scores, &labels).unwrap();
    assert_eq!(curve.len(), 14);
    assert_relative_eq!(curve[3].threshold, 10.0);
    assert_relative_eq!(curve[3].false_positive_rate, 0.256_410_256_410_256_4);
    assert_relative_eq!(curve[3].true_positive_rate, 0.190_476_190_476_190_47);
}

/// By hand: 3 positives, 2 negatives; 5 of the 6 pairs in order, one tied.
#[test]
fn ties_count_half() {
    let scores = [0.2_f32, 0.2, 0.9, 0.1, 0.5];
    let labels = [false, true, true, false, true];
    assert_relative_eq!(roc_auc(&scores, &labels).unwrap(), 5.5 / 6.0);
    let precision = (1.0 + 1.0 + 0.75) / 3.0;
    assert_relative_eq!(average_precision(&scores, &labels).unwrap(), precision);
    let zeros = [0.0, -0.0];
    assert_relative_eq!(roc_auc(&zeros, &[true, false]).unwrap(), 0.5);
}

#[test]
fn the_area_is_that_under_the_curve_and_knows_only_the_order() {
    for seed in 0..50 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let scores: Vec<f64> = (0..80)
            .map(|_| f64::from(rng.random_range(-9..9)))
            .collect();
        let labels: Vec<bool> = (0..80).map(|i| i < 2 || rng.random_bool(0.3)).collect();
        let auc = roc_auc(&scores, &labels).unwrap();
        let curve = roc_curve(&scores, &labels).unwrap();
        let area: f64 = curve
            .windows(2)
            .map(|pair| {
                let width = pair[1].false_positive_rate - pair[0].false_positive_rate;
                0.5 * width * (pair[0].true_positive_rate + pair[1].true_positive_rate)
            })
            .sum();
        assert_relative_eq!(area, auc, max_relative = 1e-12);
        let grown: Vec<f64> = scores.iter().map(|s| s.exp()).collect();
        assert_ulps_eq!(roc_auc(&grown, &labels).unwrap(), auc, max_ulps = 0);
        let reversed: Vec<f64> = scores.iter().map(|s| -s).collect();
        let opposite = roc_auc(&reversed, &labels).unwrap();
        assert_relative_eq!(opposite, 1.0 - auc, max_relative = 1e-12);
    }
}
