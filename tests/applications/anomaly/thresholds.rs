//! Thresholds of a detector.

use super::*;

/// numpy.quantile([1, 2, 4, 8, 16], [0.1, 0.5, 0.9, 0.99])
#[test]
fn quantiles_are_those_of_numpy() {
    let mut detector = with_scores(&[16.0, 1.0, 8.0, 2.0, 4.0], Threshold::Quantile(0.5)).unwrap();
    assert_eq!(detector.calibration_scores(), [1.0, 2.0, 4.0, 8.0, 16.0]);
    for (q, expected) in [(0.1, 1.4), (0.5, 4.0), (0.9, 12.8), (0.99, 15.68)] {
        detector.set_threshold(Threshold::Quantile(q)).unwrap();
        assert_relative_eq!(detector.threshold(), expected, max_relative = 1e-12);
        let contamination = Threshold::Contamination(1.0 - q);
        let same = detector.threshold_by(contamination).unwrap();
        assert_relative_eq!(same, expected, max_relative = 1e-12);
    }
}

#[test]
fn contamination_flags_its_share_of_the_calibration_samples() {
    let normal = random::<f64>(4, 200, 1);
    let mut detector = calibrated(200);
    for percent in [1, 5, 10, 50] {
        detector
            .set_threshold(Threshold::Contamination(f64::from(percent) / 100.0))
            .unwrap();
        let alarms = detector.is_anomaly(&normal).unwrap();
        assert_eq!(
            alarms.iter().filter(|&&alarm| alarm).count(),
            2 * percent as usize
        );
    }
}

#[test]
fn changing_the_threshold_changes_nothing_else() {
    let samples = random(4, 100, 4);
    let mut detector = calibrated(50);
    let before = (
        detector.scores(&samples).unwrap(),
        detector.p_values(&samples).unwrap(),
        detector.calibration_scores().to_vec(),
        detector.model().parameters().clone(),
    );
    let old = detector.threshold();
    detector.set_threshold(Threshold::Quantile(0.2)).unwrap();
    assert!(detector.threshold() < old);
    assert_eq!(detector.rule(), Threshold::Quantile(0.2));
    let after = (
        detector.scores(&samples).unwrap(),
        detector.p_values(&samples).unwrap(),
        detector.calibration_scores().to_vec(),
        detector.model().parameters().clone(),
    );
    assert_eq!(before, after);
}

#[test]
fn a_refused_change_leaves_the_detector_as_it_was() {
    let mut detector = calibrated(20);
    let (threshold, rule) = (detector.threshold(), detector.rule());
    detector
        .set_threshold(Threshold::Quantile(1.0))
        .unwrap_err();
    detector.recalibrate(DMatrix::zeros(4, 1)).unwrap_err();
    detector.recalibrate(random(3, 9, 0)).unwrap_err();
    assert_eq!(detector.rule(), rule);
    assert_ulps_eq!(detector.threshold(), threshold, max_ulps = 0);
    assert_eq!(detector.calibration_scores().len(), 20);

    detector.recalibrate(random(4, 30, 9)).unwrap();
    assert_eq!(detector.calibration_scores().len(), 30);
    assert_eq!(detector.rule(), rule);
}
