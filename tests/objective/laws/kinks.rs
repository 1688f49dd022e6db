//! Choices at kinks and ties of the activations.

#![allow(clippy::float_cmp)] // where equality is the law

use super::*;
use crate::twin::matrix;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Activation, L1, Layer, Parameters, Penalty, SparseAutoencoder};

/// A model whose hidden pre-activations are its hidden biases, whatever the samples.
fn with_biases(
    hidden: Activation,
    biases: &[f64],
    penalty: impl Penalty<f64> + 'static,
) -> SparseAutoencoder<f64> {
    let units = biases.len();
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: DMatrix::zeros(3, units),
        encoder_bias: biases.to_vec().into(),
        decoder_weights: Some(DMatrix::from_fn(3, units, |k, j| {
            0.5 + k as f64 - 0.25 * j as f64
        })),
        decoder_bias: vec![0.5, -0.25, 1.0].into(),
    }]);
    SparseAutoencoder::builder()
        .parameters(parameters.unwrap())
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .penalty(penalty)
        .build()
        .unwrap()
}

/// Which hidden biases have a gradient.
fn feels(model: &SparseAutoencoder<f64>) -> Vec<bool> {
    let (_, gradient) = gradient(model, &matrix(&samples(3, 4)));
    let gradient = Parameters::new(model.layout().clone(), gradient).unwrap();
    gradient
        .layer(0)
        .unwrap()
        .encoder_bias
        .iter()
        .map(|&g| g != 0.0)
        .collect()
}

#[test]
fn a_kink_counts_as_flat() {
    let tiny = f64::MIN_POSITIVE;
    let relu = with_biases(Activation::Relu, &[-1.0, -tiny, 0.0, -0.0, tiny, 1.0], L1);
    assert_eq!(feels(&relu), [false, false, false, false, true, true]);

    let below_one = 1.0 - f64::EPSILON / 2.0;
    let biases = [-1.0, 0.0, tiny, 0.5, below_one, 1.0, 2.0];
    let saturating = with_biases(Activation::SaturatingLinear, &biases, L1);
    assert_eq!(
        feels(&saturating),
        [false, false, true, true, true, false, false]
    );
    let hidden = saturating.encode(matrix(&samples(3, 1))).unwrap();
    assert_eq!(
        hidden.as_slice(),
        [0.0, 0.0, tiny, 0.5, below_one, 1.0, 1.0]
    );
}

#[test]
fn of_equal_activations_the_first_are_kept() {
    let x = matrix(&samples(3, 1));
    for activation in [Activation::TopK(2), Activation::TopProportion(0.4)] {
        let tied = with_biases(activation, &[0.5, 2.0, 1.0, 1.0, 1.0], ());
        assert_eq!(
            tied.encode(&x).unwrap().as_slice(),
            [0.0, 2.0, 1.0, 0.0, 0.0]
        );
        assert_eq!(feels(&tied), [false, true, true, false, false]);

        // Fewer than k are positive: the others are 0, not the least negative.
        let few = with_biases(activation, &[-3.0, -1.0, 0.0, 0.25, -2.0], ());
        assert_eq!(
            few.encode(&x).unwrap().as_slice(),
            [0.0, 0.0, 0.0, 0.25, 0.0]
        );
        assert_eq!(feels(&few), [false, false, false, true, false]);
    }
}
