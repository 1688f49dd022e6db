//! Laws that hold for any parameters: symmetries, combinations of penalties, and choices at kinks and ties.
//!
//! Equality is exact where the same operations act on the same numbers, or on twice the numbers. Where a law
//! reorders a sum, both sides lie in the balls of the [naive twin](crate::twin). They differ by at most the
//! sum of the two radii.

#![allow(clippy::float_cmp)] // where equality is the law

mod combined_penalties;
mod cross_entropy;
mod kinks;
mod penalties;
mod symmetries;

use crate::twin::{Omega, Stream, Twin, matrix};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, KlDivergence, L1, Loss, Penalty, Proportion, Real, ReconstructionLoss,
    SparseAutoencoder, SparseAutoencoderBuilder, SquaredDeviation, Workspace,
};
use std::sync::Arc;

const PENALTIES: [Omega; 4] = [
    Omega::Kl,
    Omega::L1,
    Omega::Proportion,
    Omega::SquaredDeviation,
];

fn twin(sizes: &[usize], tied: bool, hidden: Activation, omega: Omega) -> Twin {
    let mut stream = Stream(7);
    Twin {
        theta: (0..Twin::parameters(sizes, tied))
            .map(|_| stream.signed())
            .collect(),
        sizes: sizes.to_vec(),
        tied,
        hidden: vec![hidden; sizes.len() - 1],
        output: Activation::Sigmoid,
        reconstruction: ReconstructionLoss::SquaredError,
        omega,
        target: 0.3125,
        penalty_weight: 0.75,
        penalized: (0..sizes.len() - 1).collect(),
        weight_decay: 0.015_625,
    }
}

fn samples(input_size: usize, count: usize) -> Vec<Vec<f64>> {
    let mut stream = Stream(23);
    (0..count)
        .map(|_| (0..input_size).map(|_| stream.unit()).collect())
        .collect()
}

fn gradient<T: Real>(model: &SparseAutoencoder<T>, samples: &DMatrix<T>) -> (Loss<T>, Vec<T>) {
    let mut gradient = vec![T::of(f64::NAN); model.layout().len()];
    let loss = model.loss_and_gradient(samples, &mut gradient, &mut Workspace::new());
    (loss.unwrap(), gradient)
}

/// A small model with whatever penalty the test brings.
fn model<T: Real>(penalty: impl Penalty<T> + 'static) -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder()
        .layers([5, 6, 4])
        .hidden_activation(Activation::Tanh)
        .penalty(penalty)
        .sparsity_target(0.3)
        .penalty_weight(0.7)
        .weight_decay(0.01)
        .seed(1)
}

/// What two batches that must mean the same give: every term of the loss, then the gradient.
fn assert_same_objective<T: Real>(twin: &Twin, a: &[Vec<f64>], b: &[Vec<f64>]) {
    let [a, b] = [a, b].map(|samples| {
        let (loss, gradient) = gradient(&twin.build::<T>(), &matrix(samples));
        let expected = twin.evaluate::<T>(samples);
        assert!(
            expected.sure,
            "a kink within rounding says nothing: choose other samples"
        );
        assert!(expected.looseness() < 4096.0 * T::default_epsilon().to_f64());
        let mut values = vec![loss.reconstruction, loss.weight_decay, loss.sparsity];
        values.extend(gradient);
        let mut balls = vec![
            expected.reconstruction,
            expected.weight_decay,
            expected.sparsity,
        ];
        balls.extend(expected.gradient);
        (values, balls)
    });
    for k in 0..a.0.len() {
        let difference = (a.0[k].to_f64() - b.0[k].to_f64()).abs();
        assert!(
            difference <= a.1[k].radius + b.1[k].radius,
            "{k}: {} and {}",
            a.0[k],
            b.0[k]
        );
    }
}

fn rows<const N: usize>(rows: &[[f64; N]]) -> DMatrix<f64> {
    DMatrix::from_fn(rows.len(), N, |i, j| rows[i][j])
}

fn every_penalty<T: Real>() -> Vec<Arc<dyn Penalty<T>>> {
    vec![
        Arc::new(()),
        Arc::new(KlDivergence),
        Arc::new(L1),
        Arc::new(Proportion),
        Arc::new(SquaredDeviation),
        Arc::new((KlDivergence, Scaled::new(0.5, Proportion))),
    ]
}

/// Activations in (0, 1) for Sigmoid, in (−1, 1) for Tanh.
fn hidden<T: Real>(activation: Activation) -> DMatrix<T> {
    let mut stream = Stream(3);
    let (low, high) = activation.range().unwrap();
    DMatrix::from_fn(6, 9, |_, _| T::of(low + (high - low) * stream.unit()))
}
