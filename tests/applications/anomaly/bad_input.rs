//! Refused input.

use super::*;
use sparse_autoencoder::FittedDetector;

#[test]
fn rules_outside_0_and_1() {
    for value in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        for (rule, name) in [
            (Threshold::Quantile(value), "quantile"),
            (Threshold::Contamination(value), "contamination"),
            (Threshold::FalseAlarmRate(value), "false-alarm rate"),
        ] {
            assert_eq!(name_of(&with_scores(&[1.0, 2.0], rule).unwrap_err()), name);
            assert_eq!(
                name_of(&calibrated(30).threshold_by(rule).unwrap_err()),
                name
            );
        }
    }
}

#[test]
fn too_few_calibration_samples() {
    let rule = Threshold::Quantile(0.5);
    for count in [0, 1] {
        let expected = Error::TooFewSamples {
            what: "calibration samples",
            needed: 2,
            actual: count,
        };
        let samples = random(4, count, 0);
        let (model, scaler) = (model(4), identity(4));
        let error = AnomalyDetector::calibrate(&model, &scaler, &samples, rule).unwrap_err();
        assert_eq!(error, expected);
        assert_eq!(with_scores(&vec![1.0; count], rule).unwrap_err(), expected);
        assert_eq!(calibrated(5).recalibrate(&samples).unwrap_err(), expected);
    }
    with_scores(&[1.0, 1.0], rule).unwrap();
}

#[test]
fn samples_that_do_not_fit() {
    let detector = calibrated(20);
    let error = detector.scores(random(5, 3, 0)).unwrap_err();
    assert_eq!(name_of(&error), "rows of the samples");
    let error = detector.is_anomaly(DMatrix::zeros(4, 0)).unwrap_err();
    assert_eq!(error, Error::EmptyBatch { what: "samples" });
    let mut samples = random(4, 3, 0);
    samples[(2, 1)] = f64::NAN;
    for error in [
        detector.scores(&samples).unwrap_err(),
        detector.p_values(&samples).unwrap_err(),
        detector.contributions(&samples).unwrap_err(),
        detector.reconstruct(&samples).unwrap_err(),
    ] {
        assert!(matches!(
            error,
            Error::NonFinite {
                row: 2,
                column: 1,
                ..
            }
        ));
    }
    let rule = Threshold::Quantile(0.5);
    let error = AnomalyDetector::calibrate(&model(4), &identity(3), &samples, rule).unwrap_err();
    assert_eq!(name_of(&error), "features of the scaler");
    for bad in [f64::NAN, f64::NEG_INFINITY] {
        let error = with_scores(&[1.0, bad], rule).unwrap_err();
        assert_eq!(name_of(&error), "calibration scores");
    }
}

/// An error that overflows is an infinite score, also of a calibration sample.
#[test]
fn infinite_calibration_scores_count_as_the_largest() {
    let scores = [f64::INFINITY, 1.0, 2.0, 3.0, 4.0];
    for (q, threshold) in [(0.5, 3.0), (0.75, 4.0), (0.9, f64::INFINITY)] {
        let detector = with_scores(&scores, Threshold::Quantile(q)).unwrap();
        assert_eq!(
            detector.threshold().to_bits(),
            f64::to_bits(threshold),
            "{q}"
        );
    }
}

/// The index of a sample is that in the caller's data, wherever the fit splits and shuffles them.
#[test]
fn errors_of_a_fit_name_the_sample_in_the_data() {
    let place = |error: Error| match error {
        Error::NonFinite { row, column, .. } | Error::OutOfRange { row, column, .. } => {
            (row, column)
        }
        error => panic!("{error}"),
    };
    for sample in [3, 37, 71] {
        let mut bounded = random::<f64>(4, 100, 1).map(|x| x.clamp(0.0, 1.0));
        bounded[(1, sample)] = 1.5;
        let mut refused = 0;
        for seed in 0..4 {
            let mut sae = SparseAutoencoder::builder()
                .layers([4, 6])
                .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
                .build()
                .unwrap();
            let fitted = AnomalyDetector::builder(&mut sae)
                .scaling(Scaling::identity())
                .seed(seed)
                .fit(&mut Trainer::new(Adam::new(1e-2).unwrap()), &bounded);
            match fitted {
                Err(error) => {
                    assert_eq!(place(error), (1, sample));
                    refused += 1;
                }
                // Held out, the sample only scores.
                Ok(FittedDetector { detector, .. }) => {
                    let score = detector.scores(bounded.columns(sample, 1)).unwrap()[0];
                    assert!(detector.calibration_scores().contains(&score));
                }
            }
        }
        assert!(refused > 0, "{sample}");
        let mut wide = random::<f64>(4, 100, 1);
        wide[(1, sample)] = f64::MAX;
        wide[(1, sample + 1)] = f64::MIN;
        let expected = place(Scaling::standard().fit(&wide).unwrap_err());
        assert_eq!(expected.0, 1);
        // The ensemble drops a constant feature, and limits single gross values.
        let mut wider = wide.clone();
        wider.row_mut(0).fill(1.0);
        for (index, x) in wider.row_mut(1).iter_mut().enumerate() {
            *x = if index % 2 == 0 { f64::MAX } else { f64::MIN };
        }
        let found = place(AnomalyEnsemble::fit(&wider).unwrap_err());
        assert_eq!(found.0, expected.0);
        let mut sae = SparseAutoencoder::builder()
            .layers([4, 6])
            .output_activation(Activation::Identity)
            .build()
            .unwrap();
        wide.row_mut(0).copy_from(&random::<f64>(4, 100, 2).row(0));
        let mut refused = 0;
        for seed in 0..4 {
            let fitted = AnomalyDetector::builder(&mut sae)
                .seed(seed)
                .fit(&mut Trainer::new(Adam::new(1e-2).unwrap()), &wide);
            // The spread overflows if neither is held out.
            if let Err(error) = fitted {
                let (row, column) = place(error);
                assert!(
                    row == 1 && (column == sample || column == sample + 1),
                    "{column}"
                );
                refused += 1;
            }
        }
        assert!(refused > 0, "{sample}");
    }
}

/// All that can be known before the training is refused before it.
#[test]
fn the_builder_refuses_before_it_trains() {
    let mut constant = random::<f64>(4, 40, 1);
    constant.row_mut(2).fill(0.5);
    let normal = random::<f64>(4, 40, 1);
    let original = model::<f64>(4);
    let refused = |samples: &DMatrix<f64>, rule, split| {
        let mut model = original.clone();
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(3);
        let error = AnomalyDetector::builder(&mut model)
            .threshold(rule)
            .calibration_split(split)
            .fit(&mut trainer, samples)
            .unwrap_err();
        assert_eq!(model.parameters(), original.parameters());
        error
    };
    let rule = Threshold::Quantile(0.9);
    let error = refused(&constant, rule, 0.25);
    assert_eq!(
        error,
        Error::ConstantFeature {
            feature: 2,
            value: 0.5
        }
    );
    for split in [-0.1, 1.0, f64::NAN] {
        assert_eq!(name_of(&refused(&normal, rule, split)), "calibration_split");
    }
    let error = refused(&normal, rule, 0.99);
    assert_eq!(name_of(&error), "samples left to train on");
    assert_eq!(
        name_of(&refused(&normal, rule, 0.02)),
        "calibration samples"
    );
    let error = refused(&normal, Threshold::FalseAlarmRate(0.01), 0.5);
    assert_eq!(
        name_of(&error),
        "calibration samples for this false-alarm rate"
    );
    let error = refused(&random(3, 40, 0), rule, 0.25);
    assert_eq!(name_of(&error), "rows of the samples");
    assert_eq!(
        name_of(&refused(&normal, Threshold::Quantile(0.0), 0.25)),
        "quantile"
    );
}

#[test]
fn rankings() {
    type Refusal = fn(&[f64], &[bool]) -> Option<Error>;
    let metrics: [Refusal; 3] = [
        |scores, labels| roc_auc(scores, labels).err(),
        |scores, labels| average_precision(scores, labels).err(),
        |scores, labels| roc_curve(scores, labels).err(),
    ];
    for metric in metrics {
        for class in [false, true] {
            let error = metric(&[1.0, 2.0, 3.0], &[class; 3]).unwrap();
            assert_eq!(error, Error::OneClass { class, samples: 3 });
        }
        assert_eq!(name_of(&metric(&[1.0, 2.0], &[true]).unwrap()), "labels");
        assert_eq!(
            metric(&[], &[]).unwrap(),
            Error::EmptyBatch { what: "scores" }
        );
        assert_eq!(metric(&[0.0, f64::INFINITY], &[true, false]), None);
        let error = metric(&[0.0, f64::NAN], &[true, false]).unwrap();
        assert!(matches!(
            error,
            Error::NonFinite {
                what: "scores",
                row: 1,
                ..
            }
        ));
    }
}

#[test]
fn a_transcoder_has_no_anomalies() {
    let mut model = SparseAutoencoder::<f64>::builder()
        .layers([4, 3])
        .output_size(4)
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let before = model.parameters().clone();
    let mut trainer = Trainer::new(Adam::new(0.01).unwrap());
    let builder = AnomalyDetector::builder(&mut model);
    let error = builder.fit(&mut trainer, random(4, 60, 1)).unwrap_err();
    let what = "anomaly detection";
    assert!(
        matches!(error, Error::Incompatible { what: refused, .. } if refused == what),
        "{error}"
    );
    assert_eq!(model.parameters(), &before);
}
