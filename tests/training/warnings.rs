//! What a report says of a training that succeeded and is of no use.

#![allow(clippy::float_cmp)] // what is copied

use sparse_autoencoder::metrics::ReconstructionMetrics;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, L1, ReconstructionLoss, Report, SparseAutoencoder, SparseAutoencoderBuilder,
    Trainer, Warning,
};

fn samples() -> DMatrix<f64> {
    DMatrix::from_fn(6, 200, |i, j| {
        ((i + 1) as f64 * j as f64 * 0.037).sin() + ((i * j) as f64 * 0.011).cos()
    })
}

fn linear() -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([6, 12])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(1e-3)
}

fn fit(
    builder: &SparseAutoencoderBuilder<f64>,
    rate: f64,
    epochs: usize,
    samples: &DMatrix<f64>,
) -> (Report<f64>, f64) {
    let mut model = builder.build().unwrap();
    let report = Trainer::new(Adam::new(rate).unwrap())
        .epochs(epochs)
        .batch_size(50)
        .fit(&mut model, samples)
        .unwrap();
    let mut metrics = ReconstructionMetrics::new(samples.nrows());
    metrics
        .add(samples, &model.reconstruct(samples).unwrap())
        .unwrap();
    (report, metrics.explained_variance().unwrap())
}

#[test]
fn a_model_that_learned_gives_no_warning() {
    let (report, explained) = fit(&linear(), 1e-2, 100, &samples());
    assert!(explained > 0.5, "{explained}");
    assert_eq!(report.warnings, []);
    let in_range = samples().map(|x| 0.2 * x + 0.5);
    let entropy = SparseAutoencoder::builder()
        .layers([6, 12])
        .penalty(())
        .reconstruction(ReconstructionLoss::BinaryCrossEntropy);
    // Close to the entropy of the entries themselves, which is not far below that of their mean.
    let binary = in_range.map(|x| f64::from(u8::from(x > 0.5)));
    let (report, explained) = fit(&entropy, 1e-2, 100, &binary);
    assert!(explained > 0.5, "{explained}");
    assert_eq!(report.warnings, []);
}

#[test]
fn a_model_worse_than_the_mean_says_so() {
    let unscaled = samples().map(|x| 60.0 * (x + 2.0));
    let sigmoid = SparseAutoencoder::builder().layers([6, 12]).penalty(());
    let entropy = sigmoid
        .clone()
        .reconstruction(ReconstructionLoss::BinaryCrossEntropy);
    let nested = linear()
        .hidden_activation(Activation::BatchTopK(2))
        .penalty(())
        .matryoshka([3, 6]);
    let cases = [
        ("a learning rate of 10", linear(), 10.0, samples()),
        (
            "a penalty of 100",
            linear().penalty_weight(100.0),
            1e-2,
            samples(),
        ),
        ("0 to 255, sigmoid", sigmoid.clone(), 1e-2, unscaled),
        (
            "around 0, sigmoid",
            sigmoid,
            1e-2,
            samples().map(|x| x - 1.0),
        ),
        (
            "cross-entropy",
            entropy,
            10.0,
            samples().map(|x| 0.2 * x + 0.5),
        ),
        ("nested", nested, 10.0, samples()),
    ];
    for (name, builder, rate, samples) in cases {
        let (report, explained) = fit(&builder, rate, 60, &samples);
        assert!(explained < 0.05, "{name}: {explained}");
        let [Warning::NoBetterThanMean { loss, loss_of_mean }] = report.warnings[..] else {
            panic!("{name}: {:?} at {explained}", report.warnings);
        };
        assert_eq!(
            loss,
            report.history.last().unwrap().reconstruction,
            "{name}"
        );
        assert!(loss > 0.99 * loss_of_mean && loss_of_mean > 0.0, "{name}");
        let text = report.warnings[0].to_string();
        assert!(
            text.contains("Scaling") && text.contains("learning rate"),
            "{text}"
        );
    }
}

#[test]
fn the_loss_of_the_mean_is_half_the_variance() {
    let samples = samples();
    let (report, _) = fit(&linear().penalty_weight(100.0), 1e-2, 3, &samples);
    let [Warning::NoBetterThanMean { loss_of_mean, .. }] = report.warnings[..] else {
        panic!("{:?}", report.warnings);
    };
    let variance = samples.column_variance().sum();
    assert!(
        (loss_of_mean - 0.5 * variance).abs() < 1e-12 * variance,
        "{loss_of_mean} {variance}"
    );
}
