//! Activations whose winners are chosen over a batch: what the objective sees, and what inference
//! sees.

#![allow(clippy::float_cmp)] // small whole numbers, whose sums and squares are exact

use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Adam, Layer, Parameters, Sgd, SparseAutoencoder, Trainer, Workspace,
};

/// Two units that copy the two entries of a sample, and a linear output.
fn copying(hidden: Activation) -> SparseAutoencoder<f64> {
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: DMatrix::identity(2, 2),
        encoder_bias: DVector::zeros(2),
        decoder_weights: Some(DMatrix::identity(2, 2)),
        decoder_bias: DVector::zeros(2),
    }]);
    SparseAutoencoder::builder()
        .parameters(parameters.unwrap())
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .build()
        .unwrap()
}

/// The hidden activations that the objective sees. An entry that is copied has no error, and one
/// that is not is its own: `∂D = 1/m E Hᵀ` would hide which, the loss of one entry does not.
fn kept_in_training(model: &SparseAutoencoder<f64>, x: &DMatrix<f64>) -> f64 {
    model.loss(x).unwrap().reconstruction * x.ncols() as f64 * 2.0
}

#[test]
fn winners_take_all_in_training_and_every_positive_part_in_inference() {
    let model = copying(Activation::WinnerTakeAll(0.5));
    let x = DMatrix::from_row_slice(2, 4, &[3.0, 1.0, 2.0, -1.0, -4.0, -2.0, 8.0, -16.0]);
    // Of each unit the two largest, if they are positive: 3 and 2; 8. Lost: 1, and what is negative.
    let lost = [1.0, -1.0, -4.0, -2.0, -16.0];
    let expected: f64 = lost.iter().map(|x| x * x).sum();
    assert_eq!(kept_in_training(&model, &x), expected);

    let positive = x.map(|x| x.max(0.0));
    assert_eq!(model.encode(&x).unwrap(), positive);
    assert_eq!(model.reconstruct(&x).unwrap(), positive);
    let errors = model.reconstruction_errors(&x).unwrap();
    assert_eq!(errors.as_slice(), [16.0, 4.0, 0.0, 257.0]);
}

#[test]
fn of_equal_activations_of_a_unit_the_earlier_sample_wins() {
    let model = copying(Activation::WinnerTakeAll(0.5));
    let x = DMatrix::from_row_slice(2, 4, &[1.0, 2.0, 2.0, 2.0, 5.0, 5.0, 5.0, 5.0]);
    let mut gradient = vec![0.0; model.layout().len()];
    model
        .loss_and_gradient(&x, &mut gradient, &mut Workspace::new())
        .unwrap();
    // The winners are copied without error, the others are missed entirely: ∂c = −1/m Σ x.
    assert_eq!(gradient[10..], [-(1.0 + 2.0) / 4.0, -(5.0 + 5.0) / 4.0]);
    assert_eq!(
        kept_in_training(&model, &x),
        1.0 + 4.0 + 25.0 + 25.0 // the first and the last of unit 0, the last two of unit 1
    );
}

#[test]
fn every_sample_wins_where_the_proportion_is_one() {
    let x = DMatrix::from_fn(6, 50, |i, j| ((i * 31 + j * 17) as f64 * 0.618).fract());
    let loss = |hidden| {
        let model = SparseAutoencoder::<f64>::builder()
            .layers([6, 20])
            .hidden_activation(hidden)
            .penalty(())
            .build()
            .unwrap();
        model.loss(&x).unwrap()
    };
    let (all, relu) = (loss(Activation::WinnerTakeAll(1.0)), loss(Activation::Relu));
    assert_eq!(all, relu);
    assert!(loss(Activation::WinnerTakeAll(0.1)) != relu);
}

#[test]
fn a_batch_keeps_as_many_as_its_samples_may_have_on_average() {
    let model = copying(Activation::BatchTopK(1));
    let x = DMatrix::from_row_slice(2, 3, &[3.0, 0.5, -1.0, 4.0, 1.0, 0.25]);
    // Three of the batch: 3, 4, 1, of which the first sample has two and the last none.
    let lost = [0.5, -1.0, 0.25];
    let expected: f64 = lost.iter().map(|x| x * x).sum();
    assert_eq!(kept_in_training(&model, &x), expected);
    // Its threshold has seen nothing yet.
    assert_eq!(model.encode(&x).unwrap(), x.map(|x| x.max(0.0)));

    // Equal: the earlier sample wins, and then the lower unit.
    let x = DMatrix::from_element(2, 2, 2.0);
    let mut gradient = vec![0.0; model.layout().len()];
    let loss = model.loss_and_gradient(&x, &mut gradient, &mut Workspace::new());
    assert_eq!(loss.unwrap().reconstruction, 2.0);
    assert_eq!(gradient[10..], [-1.0, -1.0, 0.0]); // both units of the second sample, and θ

    let x = DMatrix::from_row_slice(2, 2, &[2.0, 3.0, 2.0, -1.0]);
    let loss = model.loss_and_gradient(&x, &mut gradient, &mut Workspace::new());
    assert_eq!(loss.unwrap().reconstruction, (4.0 + 1.0) / 4.0);
    assert_eq!(gradient[10..], [0.0, (-2.0 + 1.0) / 2.0, 0.0]);
}

#[test]
fn the_threshold_of_inference_follows_the_batches() {
    // A rate so small that the weights stay as they are to the last bit but one.
    let mut model = copying(Activation::BatchTopK(1));
    let mut trainer = Trainer::new(Sgd::new(1e-300).unwrap());
    let threshold = |model: &SparseAutoencoder<f64>| {
        let layer = model.parameters().layer(0).unwrap();
        layer.block("thresholds").unwrap()[0]
    };
    assert_eq!(threshold(&model), 0.0);
    let first = DMatrix::from_row_slice(2, 2, &[3.0, 0.5, 4.0, 1.0]);
    trainer.partial_fit(&mut model, &first).unwrap();
    assert_eq!(threshold(&model), 3.0);
    let second = DMatrix::from_row_slice(2, 2, &[1.0, 0.5, 1.0, 0.25]);
    trainer.partial_fit(&mut model, &second).unwrap();
    assert_eq!(threshold(&model), 3.0 + 0.01 * (1.0 - 3.0));
    // A batch in which nothing is active says nothing.
    trainer
        .partial_fit(&mut model, DMatrix::from_element(2, 2, -1.0))
        .unwrap();
    assert_eq!(threshold(&model), 2.98);

    let hidden = model.encode(&first).unwrap();
    assert_eq!(hidden.as_slice(), [3.0, 4.0, 0.0, 0.0]);

    // An optimizer that decays all parameters leaves it alone.
    let decaying = Adam::new(1e-3).unwrap().weight_decay(0.5).unwrap();
    let mut trainer = Trainer::new(decaying);
    trainer
        .partial_fit(&mut model, DMatrix::from_element(2, 2, -1.0))
        .unwrap();
    assert_eq!(threshold(&model), 2.98);
}
