//! The gradients of classifiers: against central differences, and on any number of threads.

use rayon::ThreadPoolBuilder;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, ClassifierTrainer, ClassifierWorkspace, Error, SoftmaxClassifier,
    SparseAutoencoder,
};

use crate::classifier::{samples, scattered};
use crate::common::variants::{ACTIVATIONS, blocks};

/// Whether layers of these units can be fine-tuned.
fn has_no_blocks(f: Activation) -> bool {
    blocks(f, 6).is_empty()
}

/// `‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖)` by central differences with h ≈ ε^⅓.
fn gradient_error(classifier: &SoftmaxClassifier<f64>, x: &DMatrix<f64>, labels: &[usize]) -> f64 {
    let mut analytic = vec![f64::NAN; classifier.theta().len()]; // must be overwritten
    let mut workspace = ClassifierWorkspace::new();
    let loss = classifier
        .loss_and_gradient(x, labels, &mut analytic, &mut workspace)
        .unwrap();
    assert_eq!(loss, classifier.loss(x, labels).unwrap());
    let mut moved = classifier.clone();
    let mut theta = classifier.theta().to_vec();
    let (mut difference, mut a, mut n) = (0.0_f64, 0.0_f64, 0.0_f64);
    for k in 0..theta.len() {
        let (start, h) = (theta[k], 6e-6);
        let mut at = |value| {
            theta[k] = value;
            moved.set_theta(&theta).unwrap();
            moved.loss(x, labels).unwrap().total()
        };
        let numeric = (at(start + h) - at(start - h)) / (2.0 * h);
        theta[k] = start;
        difference += (analytic[k] - numeric).powi(2);
        a += analytic[k].powi(2);
        n += numeric.powi(2);
    }
    difference.sqrt() / (a.sqrt() + n.sqrt())
}

#[test]
fn softmax_regression_has_the_gradient_of_its_loss() {
    for (features, classes, count) in [(1, 2, 3), (4, 3, 7), (5, 10, 40)] {
        for decay in [0.0, 0.3] {
            let mut classifier = SoftmaxClassifier::new(features, classes)
                .unwrap()
                .with_weight_decay(decay)
                .unwrap();
            classifier
                .set_theta(&scattered(classifier.theta().len()))
                .unwrap();
            let labels: Vec<usize> = (0..count).map(|i| i * i % classes).collect();
            let error = gradient_error(&classifier, &samples(features, count), &labels);
            assert!(error < 1e-7, "{features} {classes} λ {decay}: {error:e}");
        }
    }
}

#[test]
fn deep_classifiers_have_the_gradient_of_their_loss() {
    // Piecewise some of them, but smooth at these points.
    let activations = ACTIVATIONS.iter().copied().filter(|&f| has_no_blocks(f));
    for hidden in [vec![6], vec![6, 5], vec![6, 5, 4]] {
        for activation in activations.clone() {
            for decay in [0.0, 0.1] {
                let mut sizes = vec![5];
                sizes.extend(&hidden);
                let encoder = SparseAutoencoder::builder()
                    .layers(sizes)
                    .hidden_activation(activation)
                    .penalty(())
                    .build()
                    .unwrap();
                let mut deep = SoftmaxClassifier::new(hidden[hidden.len() - 1], 3)
                    .unwrap()
                    .with_weight_decay(decay)
                    .unwrap()
                    .on_top_of(&[encoder])
                    .unwrap();
                assert_eq!(deep.depth(), hidden.len() + 1);
                deep.set_theta(&scattered(deep.theta().len())).unwrap();
                let labels = [0, 2, 1, 1, 0, 2, 2, 0];
                let error = gradient_error(&deep, &samples(5, 8), &labels);
                assert!(
                    error < 1e-7,
                    "{hidden:?} {activation:?} λ {decay}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn units_with_thresholds_or_gates_are_refused_below_a_classifier() {
    for &activation in ACTIVATIONS.iter().filter(|&&f| !has_no_blocks(f)) {
        let encoder = SparseAutoencoder::<f64>::builder()
            .layers([5, 6])
            .hidden_activation(activation)
            .penalty(());
        let head = SoftmaxClassifier::new(6, 3).unwrap();
        let refused = head.on_top_of(&[encoder.build().unwrap()]);
        assert!(
            matches!(refused, Err(Error::Incompatible { .. })),
            "{activation:?}"
        );
    }
}

/// 20 million multiplications for each product, of which every 4 million are worth a thread.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let [features, units, count] = [120, 100, 1750];
    let x = samples(features, count);
    let labels: Vec<usize> = (0..count).map(|i| i * 7 % 5 % 3).collect();
    let pool = ThreadPoolBuilder::new().num_threads(5).build().unwrap();
    for activation in [Activation::Sigmoid, Activation::TopK(4)] {
        let encoder = SparseAutoencoder::builder()
            .layers([features, units])
            .hidden_activation(activation)
            .penalty(());
        let mut head = SoftmaxClassifier::new(units, 3).unwrap();
        head.set_theta(&scattered(head.theta().len())).unwrap();
        let head = head.with_weight_decay(1e-3).unwrap();
        let start = head.on_top_of(&[encoder.build().unwrap()]).unwrap();
        let learn = |threads| {
            let mut gradient = vec![f64::NAN; start.theta().len()];
            let workspace = &mut ClassifierWorkspace::new().with_threads(threads);
            let loss = start
                .loss_and_gradient(&x, &labels, &mut gradient, workspace)
                .unwrap();
            let mut classifier = start.clone();
            let trainer = ClassifierTrainer::new(Adam::new(0.01).unwrap());
            let mut trainer = trainer.batch_size(count).epochs(2).threads(threads);
            let report = trainer.fit(&mut classifier, &x, &labels).unwrap();
            (loss, gradient, report, classifier.theta().to_vec())
        };
        let one = learn(1);
        for threads in [2, 5] {
            let several = pool.install(|| learn(threads));
            assert!(several == one, "{activation:?}: {threads} threads");
        }
    }
}
