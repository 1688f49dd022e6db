//! A penalty, a weight β, and a sparsity target ρ of each hidden layer.

#![allow(clippy::float_cmp)] // what is the same

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, KlDivergence, L1, Penalty, SetPoint, SparseAutoencoder,
    SparseAutoencoderBuilder, SquaredDeviation, Stack, Trainer, Workspace, gradient_check,
};

const WEIGHTS: [f64; 3] = [0.4, 0.03, 0.7];
const TARGETS: [f64; 3] = [0.1, 0.3, 0.2];

fn samples() -> DMatrix<f64> {
    fractions(4, 9, |phase| 0.05 + 0.9 * phase)
}

fn penalties() -> Vec<Box<dyn Penalty<f64>>> {
    vec![
        Box::new(KlDivergence),
        Box::new(L1),
        Box::new(SquaredDeviation),
    ]
}

fn without_penalties() -> SparseAutoencoderBuilder<f64> {
    let builder = SparseAutoencoder::builder().layers([4, 6, 5, 3]).seed(2);
    builder.hidden_activations([Activation::Sigmoid, Activation::Relu, Activation::Tanh])
}

fn builder() -> SparseAutoencoderBuilder<f64> {
    let builder = without_penalties().penalties(penalties());
    builder.penalty_weights(WEIGHTS).sparsity_targets(TARGETS)
}

/// The model in which layer `l` alone is penalized.
fn alone(l: usize) -> SparseAutoencoder<f64> {
    let penalty = penalties().swap_remove(l);
    let builder = without_penalties().penalty(penalty).penalized_layers([l]);
    let builder = builder
        .penalty_weight(WEIGHTS[l])
        .sparsity_target(TARGETS[l]);
    builder.build().unwrap()
}

fn gradient(model: &SparseAutoencoder<f64>) -> Vec<f64> {
    let mut gradient = vec![0.0; model.layout().len()];
    let workspace = &mut Workspace::new();
    model
        .loss_and_gradient(samples(), &mut gradient, workspace)
        .unwrap();
    gradient
}

#[test]
fn the_sparsity_term_is_the_sum_of_those_of_the_layers() {
    let model = builder().build().unwrap();
    let check = gradient_check::model(&model, samples()).unwrap();
    assert!(check.relative_error() < 1e-7, "{}", check.relative_error());

    let sparsity = |model: &SparseAutoencoder<f64>| model.loss(samples()).unwrap().sparsity;
    let parts: Vec<f64> = (0..3).map(|l| sparsity(&alone(l))).collect();
    assert!(parts.iter().all(|&part| part > 1e-3), "{parts:?}");
    let sum: f64 = parts.iter().sum();
    assert!((sparsity(&model) - sum).abs() < 1e-12);

    let plain = gradient(&without_penalties().penalty(()).build().unwrap());
    let of_layers: Vec<_> = (0..3).map(|l| gradient(&alone(l))).collect();
    for (k, slope) in gradient(&model).into_iter().enumerate() {
        let added: f64 = of_layers
            .iter()
            .map(|of_layer| of_layer[k] - plain[k])
            .sum();
        assert!((slope - plain[k] - added).abs() < 1e-12, "{k}");
    }
}

#[test]
fn equal_values_are_those_of_all_layers() {
    let each =
        without_penalties().penalties((0..3).map(|_| Box::new(SquaredDeviation) as _).collect());
    let each = each
        .penalty_weights([0.3; 3])
        .sparsity_targets([0.2; 3])
        .build()
        .unwrap();
    let one = without_penalties().penalty(SquaredDeviation);
    let one = one
        .penalty_weight(0.3)
        .sparsity_target(0.2)
        .build()
        .unwrap();
    assert_eq!(each.settings(), one.settings());
    assert_eq!(gradient(&each), gradient(&one));
}

/// β of each layer in a step is what its part of the loss says.
#[test]
fn warm_up_and_set_point_move_the_weights_of_all_layers_by_one_factor() {
    let part = |model: &SparseAutoencoder<f64>, l: usize| {
        let mut alone = alone(l);
        alone.set_theta(model.parameters().as_slice()).unwrap();
        alone.loss(samples()).unwrap().sparsity
    };
    let expected = |model: &SparseAutoencoder<f64>, factor: f64| {
        factor * (0..3).map(|l| part(model, l)).sum::<f64>()
    };
    let mut model = builder().build().unwrap();
    let mut trainer = Trainer::new(Adam::new(0.01).unwrap())
        .stream_steps(8)
        .sparsity_warm_up(1.0);
    for step in 0..8 {
        let expected = expected(&model, f64::from(step) / 8.0);
        let loss = trainer.partial_fit(&mut model, samples()).unwrap();
        assert!((loss.sparsity - expected).abs() < 1e-12, "{step}");
    }

    let relu =
        builder().hidden_activations([Activation::Sigmoid, Activation::Relu, Activation::Sigmoid]);
    let mut model = relu.build().unwrap();
    let part = |model: &SparseAutoencoder<f64>, l: usize| {
        let relu = alone(l).settings().clone();
        let alone = SparseAutoencoder::builder().settings(relu);
        let alone = alone.hidden_activations(model.hidden_activations());
        let alone = alone
            .parameters(model.parameters().clone())
            .build()
            .unwrap();
        alone.loss(samples()).unwrap().sparsity
    };
    let set_point = SetPoint::mean_activation(0.05).gain(1.0);
    let mut trainer = Trainer::new(Adam::new(0.01).unwrap()).set_point(set_point);
    let mut factors = Vec::new();
    for _ in 0..6 {
        let state = trainer.set_point_state();
        let factor = state.map_or(1.0, |state| state.penalty_weight / WEIGHTS[2]);
        let expected = factor * (0..3).map(|l| part(&model, l)).sum::<f64>();
        let loss = trainer.partial_fit(&mut model, samples()).unwrap();
        assert!((loss.sparsity / expected - 1.0).abs() < 1e-12);
        factors.push(factor);
    }
    assert!(factors[5] > 1.1, "{factors:?}");
}

#[test]
fn an_unrolled_stack_keeps_the_penalty_of_each_layer() {
    let layer = |l: usize, sizes: [usize; 2]| {
        let activations = [Activation::Sigmoid, Activation::Relu, Activation::Tanh];
        let builder = SparseAutoencoder::builder().layers(sizes);
        let builder = builder.hidden_activation(activations[l]);
        let builder = builder.penalty(penalties().swap_remove(l));
        let builder = builder
            .penalty_weight(WEIGHTS[l])
            .sparsity_target(TARGETS[l]);
        builder.build().unwrap()
    };
    let layers = vec![layer(0, [4, 6]), layer(1, [6, 5]), layer(2, [5, 3])];
    let stack = Stack::new(layers.clone()).unwrap();
    let deep = stack.unroll_with_penalties().unwrap();
    assert_eq!(deep.penalty_weights(), WEIGHTS);
    assert_eq!(deep.sparsity_targets(), TARGETS);
    let names: Vec<String> = deep.penalties().map(|of| format!("{of:?}")).collect();
    assert_eq!(names, ["KlDivergence", "L1", "SquaredDeviation"]);

    let (mut hidden, mut sum) = (samples(), 0.0);
    for layer in &layers {
        sum += layer.loss(&hidden).unwrap().sparsity;
        hidden = layer.encode(&hidden).unwrap();
    }
    assert!((deep.loss(samples()).unwrap().sparsity - sum).abs() < 1e-12);
    assert_eq!(stack.unroll().unwrap().sparsity_targets(), TARGETS);
    assert_eq!(
        stack.unroll().unwrap().loss(samples()).unwrap().sparsity,
        0.0
    );
}
