//! Cross-entropy against its formula.

#![allow(clippy::float_cmp)] // where equality is the law

use super::*;
use crate::twin::matrix;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Layer, Parameters, Real, ReconstructionLoss, SparseAutoencoder};

fn cross_entropy<T: Real>(biases: &[f64]) -> SparseAutoencoder<T> {
    // No weights: the output's pre-activations are its biases.
    let input_size = biases.len();
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: DMatrix::zeros(input_size, 1),
        encoder_bias: vec![T::zero()].into(),
        decoder_weights: Some(DMatrix::zeros(input_size, 1)),
        decoder_bias: biases.iter().map(|&b| T::of(b)).collect::<Vec<_>>().into(),
    }]);
    SparseAutoencoder::builder()
        .parameters(parameters.unwrap())
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
        .penalty(())
        .build()
        .unwrap()
}

#[test]
fn cross_entropy_is_its_formula() {
    let biases = [-3.0, -0.5, 0.0, 0.25, 2.0];
    let plain = samples(5, 33);
    let (loss, gradient) = gradient(&cross_entropy::<f64>(&biases), &matrix(&plain));
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let mut expected = 0.0;
    let mut bias_gradient = [0.0; 5];
    for sample in &plain {
        for (k, (&x, z)) in sample.iter().zip(biases).enumerate() {
            let x_hat = sigmoid(z);
            expected -= (x * x_hat.ln() + (1.0 - x) * (1.0 - x_hat).ln()) / 33.0;
            bias_gradient[k] += (x_hat - x) / 33.0;
        }
    }
    // 165 terms below 0.1, and each has two logarithms of numbers off by 4 u of at most 1/(1 − x̂),
    // which is below 21: some 100 u of the term
    assert!((loss.reconstruction - expected).abs() < 300.0 * f64::EPSILON);
    for (actual, expected) in gradient[gradient.len() - 5..].iter().zip(bias_gradient) {
        assert!((actual - expected).abs() < 40.0 * f64::EPSILON);
    }
}

#[test]
fn cross_entropy_stays_finite_where_the_output_saturates() {
    fn check<T: Real>() {
        let biases = [1e4, -1e4, 1e4, -1e4, 200.0];
        let model = cross_entropy::<T>(&biases);
        // Wrong, wrong, right, right, and in between.
        let x = DMatrix::from_column_slice(5, 1, &[0.0, 1.0, 1.0, 0.0, 0.5].map(T::of));
        let (loss, gradient) = gradient(&model, &x);
        assert_eq!(loss.reconstruction.to_f64(), 1e4 + 1e4 + 0.0 + 0.0 + 100.0);
        let of_biases: Vec<f64> = gradient[gradient.len() - 5..]
            .iter()
            .map(|g| g.to_f64())
            .collect();
        // 0 to the smallest normal number: the exponential does not go below it.
        for (actual, expected) in of_biases.into_iter().zip([1.0, -1.0, 0.0, 0.0, 0.5]) {
            assert!(
                (actual - expected).abs() <= 2e-38,
                "{actual} is not {expected}"
            );
        }
    }
    check::<f32>();
    check::<f64>();
}
