//! Scores of samples and the contribution of each feature.

use super::*;

fn contributions_sum_to_the_score<T: Real>() {
    let normal = random::<T>(4, 100, 1).map(|x| T::of(7.0) * x + T::of(100.0));
    let scaler = Scaling::standard().fit(&normal).unwrap();
    let rule = Threshold::Quantile(0.9);
    let detector = AnomalyDetector::calibrate(&model(4), &scaler, &normal, rule).unwrap();
    // More than one chunk.
    let samples = random::<T>(4, 2500, 2).map(|x| T::of(9.0) * x + T::of(100.0));
    let scores = detector.scores(&samples).unwrap();
    let contributions = detector.contributions(&samples).unwrap();
    assert_eq!(contributions.shape(), samples.shape());
    let epsilon = T::default_epsilon().to_f64();
    for (parts, score) in contributions.column_iter().zip(&scores) {
        assert!(parts.iter().all(|&part| part >= T::zero()));
        let (sum, score) = (parts.sum().to_f64(), score.to_f64());
        assert!((sum - score).abs() <= 8.0 * epsilon * score);
    }
    // By hand: in scaled units, and back again.
    let scaled = scaler.apply(&samples).unwrap();
    let errors = detector.model().reconstruction_errors(&scaled).unwrap();
    assert_eq!(errors, scores);
    let expected = detector.model().reconstruct(&scaled).unwrap();
    let expected = scaler.invert(&expected).unwrap();
    assert_eq!(detector.reconstruct(&samples).unwrap(), expected);
}

#[test]
fn contributions_sum_to_the_score_in_both_precisions() {
    contributions_sum_to_the_score::<f32>();
    contributions_sum_to_the_score::<f64>();
}

/// An error that overflows, and one that is no number.
#[test]
fn a_sample_beyond_all_numbers_is_an_anomaly() {
    let normal = random(4, 3, 1).map(|x: f64| 1e-3 * x);
    let scaler = Scaling::standard().fit(&normal).unwrap();
    let rule = Threshold::Quantile(0.9);
    let of_large = AnomalyDetector::calibrate(&model(4), &scaler, &normal, rule).unwrap();
    let large = DMatrix::from_column_slice(4, 1, &[f64::MAX, -f64::MAX, f64::MAX, 1.0]);
    // Two units that overflow, and their difference.
    let mut apart = SparseAutoencoder::builder()
        .layers([1, 2])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    let theta = [1e200, 1e200, 0.0, 0.0, 1.0, -1.0, 0.0];
    apart.set_theta(&theta).unwrap();
    let of_apart = AnomalyDetector::from_scores(&apart, &identity(1), &[1.0, 2.0, 3.0], rule);
    let beyond = DMatrix::from_element(1, 1, 1e200);
    assert!(apart.reconstruction_errors(&beyond).unwrap()[0].is_nan());
    assert!(apart.reconstruct(&beyond).is_err());
    for (detector, sample) in [(of_large, large), (of_apart.unwrap(), beyond)] {
        assert!(detector.scores(&sample).unwrap()[0] == f64::INFINITY);
        assert!(detector.contributions(&sample).unwrap()[0] == f64::INFINITY);
        assert_eq!(detector.is_anomaly(&sample).unwrap(), [true]);
        assert_eq!(detector.p_values(&sample).unwrap().as_slice(), [0.25]);
    }
}

#[test]
fn threads_share_a_detector() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let detector = Arc::new(calibrated(100));
    shared(&*detector);
    let samples = Arc::new(random::<f64>(4, 400, 6));
    let whole = detector.scores(&*samples).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|part| {
            let (detector, samples) = (Arc::clone(&detector), Arc::clone(&samples));
            thread::spawn(move || detector.scores(samples.columns(100 * part, 100)).unwrap())
        })
        .collect();
    for (part, thread) in threads.into_iter().enumerate() {
        let scores = thread.join().unwrap();
        assert_eq!(scores, whole.rows(100 * part, 100));
    }
}

#[test]
fn a_detector_fits_calibrates_and_detects() {
    // Normal samples have two degrees of freedom of six.
    let mixing = random::<f32>(6, 2, 11);
    let normal = &mixing * random::<f32>(2, 800, 12) + 0.02 * random::<f32>(6, 800, 13);
    let mut model = SparseAutoencoder::builder()
        .layers([6, 3])
        .hidden_activation(Activation::Tanh)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(60)
        .batch_size(50);
    let mut epochs = 0;
    let fitted = AnomalyDetector::builder(&mut model)
        .threshold(Threshold::FalseAlarmRate(0.05))
        .calibration_split(0.25)
        .seed(4)
        .fit_with(&mut trainer, &normal, |_| {
            epochs += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((epochs, fitted.report.epochs), (60, 60));
    let detector = fitted.detector;
    assert_eq!(detector.calibration_scores().len(), 200);
    assert_eq!(detector.model().parameters(), model.parameters());

    let (unseen, strange) = (
        &mixing * random::<f32>(2, 500, 14) + 0.02 * random::<f32>(6, 500, 15),
        random::<f32>(6, 500, 16),
    );
    let samples = DMatrix::from_fn(6, 1000, |i, j| {
        if j < 500 {
            unseen[(i, j)]
        } else {
            strange[(i, j - 500)]
        }
    });
    let labels: Vec<bool> = (0..1000).map(|j| j >= 500).collect();
    let scores = detector.scores(&samples).unwrap();
    assert!(roc_auc(scores.as_slice(), &labels).unwrap() > 0.97);
    // The rate over a calibration of 200 and a test of 500 deviates by
    // √(0.05 · 0.95 (1/200 + 1/500)) = 0.018: four of them.
    let alarms = detector.is_anomaly(&unseen).unwrap();
    let alarms = alarms.iter().filter(|&&alarm| alarm).count();
    assert!(alarms <= 61, "{alarms} of 500");
}

#[test]
fn without_a_split_the_training_samples_calibrate() {
    let normal = random::<f64>(3, 40, 1);
    let mut model = model(3);
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(2);
    let detector = AnomalyDetector::builder(&mut model)
        .threshold(Threshold::Contamination(0.1))
        .calibration_split(0.0)
        .fit(&mut trainer, &normal)
        .unwrap()
        .detector;
    let mut scores = detector.scores(&normal).unwrap().as_slice().to_vec();
    scores.sort_by(f64::total_cmp);
    assert_eq!(detector.calibration_scores(), scores);
}
