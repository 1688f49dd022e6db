//! Softmax classifiers: their gradients, a value by hand, what they learn, and what they refuse.

#![allow(clippy::float_cmp, reason = "exact where it is asked for")]

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, ClassifierTrainer, ClassifierWorkspace, Error, Lbfgs, Schedule, Sgd,
    SoftmaxClassifier, SparseAutoencoder, Stack, StopReason, Trainer,
};
use std::ops::ControlFlow;

use crate::common::digits;

pub(crate) fn samples(features: usize, count: usize) -> DMatrix<f64> {
    fractions(features, count, |phase| 2.0 * phase - 1.0)
}

pub(crate) fn scattered(len: usize) -> Vec<f64> {
    (0..len)
        .map(|k| ((k * 29 + 5) as f64 * 0.414_213_562_373_095).fract() - 0.5)
        .collect()
}

#[test]
fn a_pre_encoder_bias_goes_into_the_bias_of_the_first_layer() {
    let mut sae = SparseAutoencoder::builder()
        .layers([5, 8])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .pre_encoder_bias(true)
        .build()
        .unwrap();
    sae.set_theta(&scattered(sae.layout().len())).unwrap();
    let mut head = SoftmaxClassifier::new(8, 3).unwrap();
    head.set_theta(&scattered(head.theta().len())).unwrap();
    let deep = head.on_top_of(std::slice::from_ref(&sae)).unwrap();
    let x = samples(5, 20);
    let expected = head.probabilities(sae.encode(&x).unwrap()).unwrap();
    // Two orders of the same sums of at most ten terms of order one.
    assert!((deep.probabilities(&x).unwrap() - expected).amax() < 1e-13);
}

#[test]
fn a_tiny_softmax_agrees_with_values_by_hand() {
    // z = (x, −x) + (0, ln 2) at x = 0 and at x = ln 2: P(0) = 1/3, and 2/(2 + 1) = 2/3.
    let mut classifier = SoftmaxClassifier::<f64>::new(1, 2)
        .unwrap()
        .with_weight_decay(0.5)
        .unwrap();
    let ln2 = std::f64::consts::LN_2;
    classifier.set_theta(&[1.0, -1.0, 0.0, ln2]).unwrap();
    let x = DMatrix::from_row_slice(1, 2, &[0.0, ln2]);
    let p = classifier.probabilities(&x).unwrap();
    let expected = [1.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0];
    for (p, expected) in p.iter().zip(expected) {
        assert!((p - expected).abs() < 1e-15);
    }
    let mut gradient = [0.0; 4];
    let labels = [0, 0];
    let loss = classifier
        .loss_and_gradient(&x, &labels, &mut gradient, &mut ClassifierWorkspace::new())
        .unwrap();
    // −½ (ln 1/3 + ln 2/3), and ½ · ½ · (1 + 1)
    assert!((loss.cross_entropy - 0.5 * 4.5_f64.ln()).abs() < 1e-15);
    assert!((loss.weight_decay - 0.5).abs() < 1e-15);
    // Δ(z₀) = ½ (−2/3, −1/3); ∂w₀ = −ln 2/6 + ½, ∂c₀ = −½, and the opposite for the other class.
    let w = 0.5 - ln2 / 6.0;
    for (g, expected) in gradient.iter().zip([w, -w, -0.5, 0.5]) {
        assert!((g - expected).abs() < 1e-15, "{gradient:?}");
    }
    assert_eq!(classifier.predict(&x).unwrap(), [1, 0]);
    assert_eq!(classifier.accuracy(&x, &labels).unwrap(), 0.5);
}

#[test]
fn large_activations_overflow_nothing() {
    let mut classifier = SoftmaxClassifier::<f32>::new(1, 3).unwrap();
    classifier
        .set_theta(&[1e30, -1e30, 0.0, 0.0, 0.0, 0.0])
        .unwrap();
    let x = DMatrix::from_row_slice(1, 2, &[1e8, -1e8]);
    let p = classifier.probabilities(&x).unwrap();
    assert_eq!(p.as_slice(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let loss = classifier.loss(&x, &[0, 0]).unwrap();
    assert_eq!(loss.cross_entropy, 1e38);

    // What does overflow is refused.
    let x = DMatrix::from_row_slice(1, 3, &[1e8, 3e38, 1.0]);
    for error in [
        classifier.probabilities(&x).unwrap_err(),
        classifier.predict(&x).unwrap_err(),
        classifier.accuracy(&x, &[0, 0, 0]).unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::NonFinite { column: 1, .. }),
            "{error}"
        );
    }
}

#[test]
fn of_equally_probable_classes_the_first_is_predicted() {
    let classifier = SoftmaxClassifier::<f64>::new(2, 4).unwrap();
    assert_eq!(classifier.predict(samples(2, 3)).unwrap(), [0, 0, 0]);
}

#[test]
fn many_samples_are_classified_like_each_alone() {
    let mut classifier = SoftmaxClassifier::<f32>::new(3, 4).unwrap();
    let theta: Vec<f32> = scattered(16).iter().map(|&v| v as f32).collect();
    classifier.set_theta(&theta).unwrap();
    let x = samples(3, 2500).cast::<f32>();
    let all = classifier.probabilities(&x).unwrap();
    for i in [0, 1023, 1024, 2499] {
        let alone = classifier.probabilities(x.columns(i, 1)).unwrap();
        // Sums of the same terms, but for one sample in another order.
        approx::assert_relative_eq!(
            alone,
            all.columns(i, 1).into_owned(),
            max_relative = 1e-6,
            epsilon = 0.0
        );
    }
}

fn blobs() -> (DMatrix<f64>, Vec<usize>) {
    let labels: Vec<usize> = (0..90).map(|i| i % 3).collect();
    let noise = samples(2, 90);
    let x = DMatrix::from_fn(2, 90, |row, i| {
        let angle = labels[i] as f64 * 2.1;
        [angle.cos(), angle.sin()][row] + 0.3 * noise[(row, i)]
    });
    (x, labels)
}

#[test]
fn every_optimizer_fits_and_any_number_of_threads_gives_the_same_bits() {
    let (x, labels) = blobs();
    let trainers: [fn() -> ClassifierTrainer<f64>; 3] = [
        || ClassifierTrainer::new(Lbfgs::new()),
        || {
            ClassifierTrainer::new(Adam::new(0.1).unwrap())
                .batch_size(16)
                .schedule(Schedule::cosine(0.0))
                .clip_gradient(1.0)
        },
        || ClassifierTrainer::new(Sgd::new(0.5).unwrap()).batch_size(40),
    ];
    for trainer in trainers {
        let fit = |threads| {
            let mut classifier = SoftmaxClassifier::new(2, 3)
                .unwrap()
                .with_weight_decay(1e-3)
                .unwrap();
            let mut trainer = trainer().seed(3).threads(threads);
            let report = trainer.fit(&mut classifier, &x, &labels).unwrap();
            assert_eq!(report.losses.len(), report.epochs);
            assert!(report.losses[report.epochs - 1].total() < report.losses[0].total());
            assert_eq!(classifier.accuracy(&x, &labels).unwrap(), 1.0);
            classifier
        };
        assert_eq!(fit(1), fit(2));
    }
}

#[test]
fn an_observer_sees_the_epochs_and_may_stop() {
    let (x, labels) = blobs();
    let mut classifier = SoftmaxClassifier::new(2, 3).unwrap();
    let mut trainer = ClassifierTrainer::new(Adam::new(0.1).unwrap());
    let report = trainer
        .fit_with(&mut classifier, &x, &labels, |epoch| {
            assert_eq!(epoch.model.classes(), 3);
            if epoch.number == 4 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!((report.stop, report.epochs), (StopReason::Observer, 4));
}

#[test]
fn a_fit_does_not_go_on_from_the_state_of_the_one_before() {
    let (x, labels) = blobs();
    let mut trainer = adam().epochs(3);
    let mut fit = || {
        let mut classifier = SoftmaxClassifier::new(2, 3).unwrap();
        trainer.fit(&mut classifier, &x, &labels).unwrap();
        assert_eq!(trainer.steps_taken(), 3);
        classifier
    };
    assert_eq!(fit(), fit());
}

#[test]
fn the_best_epoch_on_samples_held_out_is_kept() {
    // Labels that say nothing about the samples: what is learned of some is wrong for the others.
    let few = samples(8, 30);
    let labels: Vec<usize> = (0..30).map(|i| (i * 7 + i / 3) % 3).collect();
    let mut seen = Vec::new();
    let mut classifier = SoftmaxClassifier::new(8, 3).unwrap();
    let mut trainer = ClassifierTrainer::new(Sgd::new(1.0).unwrap())
        .epochs(500)
        .seed(2)
        .validation_split(0.5)
        .patience(4);
    let report = trainer
        .fit_with(&mut classifier, &few, &labels, |epoch| {
            seen.push((epoch.validation_loss.unwrap(), epoch.model.theta().to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    let losses: Vec<_> = seen.iter().map(|(loss, _)| *loss).collect();
    assert_eq!(report.validation_losses, losses);
    assert_eq!(report.stop, StopReason::NoImprovement);
    assert_eq!(report.epochs, report.best_epoch + 4);
    let best = losses.iter().map(|loss| loss.total());
    let lowest = best.fold(f64::INFINITY, f64::min);
    let (loss, theta) = &seen[report.best_epoch - 1];
    assert_eq!(loss.total(), lowest);
    assert_eq!(classifier.theta(), theta);
}

#[test]
fn pretrained_and_fine_tuned_layers_beat_softmax_on_pixels() {
    let ((training, known), (test, unseen)) = digits::split(497);
    let lbfgs = || ClassifierTrainer::new(Lbfgs::new()).epochs(200);
    let softmax = |features| {
        SoftmaxClassifier::<f32>::new(features, 10)
            .unwrap()
            .with_weight_decay(1e-4)
            .unwrap()
    };
    let mut raw = softmax(64);
    lbfgs().fit(&mut raw, &training, &known).unwrap();
    let raw = raw.accuracy(&test, &unseen).unwrap();

    let mut sae = SparseAutoencoder::builder()
        .layers([64, 64])
        .sparsity_target(0.1)
        .penalty_weight(0.3)
        .weight_decay(1e-3)
        .seed(1)
        .build()
        .unwrap();
    Trainer::new(Lbfgs::new())
        .epochs(200)
        .fit(&mut sae, &training)
        .unwrap();
    let mut head = softmax(64);
    let features = sae.encode(&training).unwrap();
    lbfgs().fit(&mut head, &features, &known).unwrap();
    let mut deep = head.on_top_of(&[sae]).unwrap();
    let before = deep.accuracy(&test, &unseen).unwrap();
    lbfgs().fit(&mut deep, &training, &known).unwrap();
    let after = deep.accuracy(&test, &unseen).unwrap();
    println!("raw {raw:.4}, before {before:.4}, after {after:.4}");
    assert!(before > 0.85 && after > before && after > raw && after > 0.965);
}

#[test]
fn weights_go_out_as_matrices() {
    let sae = SparseAutoencoder::<f64>::builder()
        .layers([4, 3])
        .build()
        .unwrap();
    let deep = SoftmaxClassifier::new(3, 2).unwrap();
    let deep = deep.on_top_of(std::slice::from_ref(&sae)).unwrap();
    let layers: Vec<_> = deep.layers().collect();
    assert_eq!(layers.len(), 2);
    let encoder = sae.parameters().layer(0).unwrap();
    assert_eq!(layers[0].weights, encoder.encoder_weights);
    assert_eq!(layers[0].bias, encoder.encoder_bias);
    assert_eq!(layers[0].activation, Activation::Sigmoid);
    assert_eq!(
        (layers[1].weights.shape(), layers[1].bias.len()),
        ((3, 2), 2)
    );
}

#[test]
fn classifiers_and_stacks_are_shared_between_threads() {
    fn shared<S: Clone + Send + Sync + 'static>() {}
    shared::<SoftmaxClassifier<f32>>();
    shared::<Stack<f64>>();
    shared::<ClassifierWorkspace<f64>>();
}

// What is refused.

const LABELS: [usize; 4] = [0, 1, 2, 0];

fn regression() -> SoftmaxClassifier<f64> {
    SoftmaxClassifier::new(2, 3).unwrap()
}

/// The error of a fit, which must have left the classifier as it was.
fn refused(mut trainer: ClassifierTrainer<f64>, x: &DMatrix<f64>, labels: &[usize]) -> Error {
    let mut classifier = regression();
    classifier.set_theta(&scattered(9)).unwrap();
    let before = classifier.clone();
    let error = trainer.fit(&mut classifier, x, labels).unwrap_err();
    assert_eq!(classifier, before);
    error
}

fn adam() -> ClassifierTrainer<f64> {
    ClassifierTrainer::new(Adam::new(0.1).unwrap())
}

#[test]
fn labels_must_be_classes_one_for_each_sample_and_name_every_class() {
    let x = samples(2, 4);
    let error = refused(adam(), &x, &[0, 1, 3, 2]);
    assert!(
        matches!(
            error,
            Error::OutOfRange {
                what: "labels",
                column: 2,
                value: 3.0,
                ..
            }
        ),
        "{error}"
    );
    let error = refused(adam(), &x, &[0, 1, 2]);
    let mismatch = |what, expected, actual| Error::DimensionMismatch {
        what,
        expected,
        actual,
    };
    assert_eq!(error, mismatch("labels", 4, 3));
    assert_eq!(
        refused(adam(), &x, &[0, 2, 2, 0]),
        Error::EmptyClass { class: 1 }
    );
    assert_eq!(refused(adam(), &x, &[0; 4]), Error::EmptyClass { class: 1 });
    // To evaluate, a class may be missing.
    assert!(regression().loss(&x, &[0; 4]).is_ok());
    let mut gradient = [0.0; 9];
    let mut workspace = ClassifierWorkspace::new();
    for labels in [&[0, 1, 2][..], &[0, 1, 2, 3]] {
        assert!(regression().loss(&x, labels).is_err());
        assert!(regression().accuracy(&x, labels).is_err());
        let error = regression().loss_and_gradient(&x, labels, &mut gradient, &mut workspace);
        assert!(error.is_err());
    }
}

#[test]
fn samples_must_fit_and_be_finite() {
    let none = DMatrix::zeros(2, 0);
    assert_eq!(
        refused(adam(), &none, &[]),
        Error::EmptyBatch { what: "samples" }
    );
    assert_eq!(
        regression().probabilities(&none).unwrap_err(),
        Error::EmptyBatch { what: "samples" }
    );
    assert!(regression().accuracy(&none, &[]).is_err());
    let wide = samples(3, 4);
    let error = refused(adam(), &wide, &LABELS);
    assert!(
        matches!(
            error,
            Error::DimensionMismatch {
                expected: 2,
                actual: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(regression().predict(&wide).unwrap_err(), error);
    assert_eq!(regression().accuracy(&wide, &LABELS).unwrap_err(), error);
    for value in [f64::NAN, f64::INFINITY] {
        let mut x = samples(2, 4);
        x[(1, 2)] = value;
        let error = refused(adam(), &x, &LABELS);
        assert!(
            matches!(
                error,
                Error::NonFinite {
                    what: "samples",
                    row: 1,
                    column: 2,
                    ..
                }
            ),
            "{error}"
        );
        assert!(regression().predict(&x).is_err());
    }
}

#[test]
fn sizes_and_parameters_must_fit() {
    for (features, classes) in [(0, 3), (2, 0), (2, 1), (usize::MAX, 2), (1 << 40, 1 << 40)] {
        let error = SoftmaxClassifier::<f64>::new(features, classes).unwrap_err();
        assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
    }
    for decay in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(regression().with_weight_decay(decay).is_err());
    }
    let too_large_for_f32 = SoftmaxClassifier::<f32>::new(2, 3)
        .unwrap()
        .with_weight_decay(1e300);
    assert!(too_large_for_f32.is_err());

    let mut classifier = regression();
    assert!(classifier.set_theta(&[0.0; 8]).is_err());
    let mut theta = [1.0; 9];
    theta[4] = f64::NAN;
    let error = classifier.set_theta(&theta).unwrap_err();
    assert!(matches!(error, Error::NonFinite { row: 4, .. }), "{error}");
    assert_eq!(classifier, regression());
    let error = classifier
        .loss_and_gradient(
            samples(2, 4),
            &LABELS,
            &mut [0.0; 8],
            &mut ClassifierWorkspace::new(),
        )
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::DimensionMismatch {
                what: "gradient",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_head_must_fit_onto_the_layers_and_they_onto_each_other() {
    let sae = |layers: [usize; 2]| {
        SparseAutoencoder::<f64>::builder()
            .layers(layers)
            .build()
            .unwrap()
    };
    let mismatch = |what, expected, actual| Error::DimensionMismatch {
        what,
        expected,
        actual,
    };
    let error = regression().on_top_of(&[sae([5, 4])]).unwrap_err();
    assert_eq!(error, mismatch("features of the classifier", 4, 2));
    let error = regression()
        .on_top_of(&[sae([5, 4]), sae([3, 2])])
        .unwrap_err();
    assert_eq!(error, mismatch("input size of a stacked autoencoder", 4, 3));
    // On nothing it is itself.
    assert_eq!(regression().on_top_of(&[]).unwrap(), regression());
}

#[test]
fn settings_must_suit_the_samples_and_the_optimizer() {
    let x = samples(2, 4);
    let trainers = [
        adam().validation_split(0.1), // of no sample
        ClassifierTrainer::new(Lbfgs::new()).batch_size(2),
        ClassifierTrainer::new(Lbfgs::new()).schedule(Schedule::cosine(0.0)),
    ];
    for trainer in trainers {
        let error = refused(trainer, &x, &LABELS);
        assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    }
    // One side must have all classes.
    let error = refused(adam().validation_split(0.5), &x, &LABELS);
    assert!(matches!(error, Error::EmptyClass { .. }), "{error}");
    let error = refused(adam().epochs(0), &x, &LABELS);
    assert!(
        matches!(error, Error::InvalidParameter { name: "epochs", .. }),
        "{error}"
    );
}

#[test]
fn a_fit_that_diverges_keeps_the_last_finite_parameters() {
    let x = samples(2, 4).map(|v| v * 1e200);
    let mut classifier = regression().with_weight_decay(1.0).unwrap();
    let mut trainer = ClassifierTrainer::new(Sgd::new(1e200).unwrap());
    let error = trainer.fit(&mut classifier, &x, &LABELS).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert!(classifier.theta().iter().all(|value| value.is_finite()));
}

/// The bias of a deep classifier takes in the pre-encoder bias, and may overflow.
#[test]
fn a_bias_that_overflows_is_refused() {
    let mut sae = SparseAutoencoder::<f32>::builder()
        .layers([4, 4])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .pre_encoder_bias(true)
        .build()
        .unwrap();
    let theta = vec![1e20; sae.parameters().as_slice().len()];
    sae.set_theta(&theta).unwrap();
    let head = SoftmaxClassifier::new(4, 2).unwrap();
    let error = head.on_top_of([sae]).unwrap_err();
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
}
