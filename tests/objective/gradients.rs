//! Every analytic gradient against central differences.
//!
//! Tolerance: central differences in f64 with step h ≈ ε^⅓ ≈ 6e-6 have a truncation error of about
//! h² ≈ 4e-11 and a rounding error of about ε/h ≈ 4e-11, relative to derivatives of order one; sums
//! over the batch and a norm over all parameters leave room for 1e-7 with two digits to spare.

use crate::common::fractions::fractions;
use crate::common::variants::{ACTIVATIONS, blocks, outputs};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, KlDivergence, L1, Layer, Parameters, Penalty, Proportion, Real, ReconstructionLoss,
    SparseAutoencoder, SquaredDeviation, Workspace, gradient_check,
};

const TOLERANCE: f64 = 1e-7;

fn samples<T: Real>(input_size: usize, count: usize) -> DMatrix<T> {
    // Irrational steps: no two entries coincide, and no unit sits on a kink.
    fractions(input_size, count, |phase| 0.05 + 0.9 * phase)
}

/// Moves every parameter a little: biases of exactly 0 would put a ReLU above a dead layer on its
/// kink, where the two sides of a central difference differ by nature.
pub(crate) fn off_the_kinks<T: Real>(model: &mut SparseAutoencoder<T>) {
    let theta: Vec<T> = model
        .parameters()
        .as_slice()
        .iter()
        .enumerate()
        .map(|(k, &theta)| {
            let phase = (k * 29 + 5) as f64 * 0.414_213_562_373_095;
            theta + T::of(0.2 * (phase.fract() - 0.4))
        })
        .collect();
    model.set_theta(&theta).unwrap();
}

#[allow(clippy::type_complexity)]
fn penalties<T: Real>() -> Vec<(&'static str, Box<dyn Fn() -> Box<dyn Penalty<T>>>)> {
    vec![
        ("none", Box::new(|| Box::new(()))),
        ("KL", Box::new(|| Box::new(KlDivergence))),
        ("L1", Box::new(|| Box::new(L1))),
        ("Proportion", Box::new(|| Box::new(Proportion))),
        ("SquaredDeviation", Box::new(|| Box::new(SquaredDeviation))),
        (
            "SquaredDeviation + Proportion/3",
            Box::new(|| Box::new((SquaredDeviation, Scaled::new(1.0 / 3.0, Proportion)))),
        ),
    ]
}

/// Every activation whose gradient is a derivative. Others have parameters in each unit, and tests of their
/// own.
fn activations() -> Vec<Activation> {
    let own = |f: &Activation| blocks(*f, 7).contains(&7);
    let (others, activations): (Vec<_>, Vec<_>) = ACTIVATIONS.iter().copied().partition(own);
    // By a pseudo-derivative (`jump.rs`), and through a decoder that is held constant (`gated.rs`).
    assert_eq!(others, [Activation::JumpRelu, Activation::Gated]);
    activations
}

#[test]
fn every_combination_agrees_with_central_differences() {
    let (activations, outputs) = (activations(), outputs());
    let mut checked = 0;
    for layers in [vec![5, 7], vec![5, 6, 4], vec![5, 6, 4, 3]] {
        for tied in [false, true] {
            for &hidden in &activations {
                for output in &outputs {
                    for reconstruction in [
                        ReconstructionLoss::SquaredError,
                        ReconstructionLoss::BinaryCrossEntropy,
                    ] {
                        let cross_entropy =
                            reconstruction == ReconstructionLoss::BinaryCrossEntropy;
                        if cross_entropy && *output != Activation::Sigmoid {
                            continue; // refused, as tests/api/errors shows
                        }
                        for (name, penalty) in penalties::<f64>() {
                            if name == "KL" && hidden.range().is_none() {
                                continue; // refused, as tests/api/errors shows
                            }
                            let mut model = SparseAutoencoder::<f64>::builder()
                                .layers(layers.clone())
                                .tied(tied)
                                .hidden_activation(hidden)
                                .output_activation(*output)
                                .reconstruction_loss(reconstruction)
                                .penalty(penalty())
                                .sparsity_target(0.3)
                                .penalty_weight(0.7)
                                .weight_decay(0.01)
                                .seed(3)
                                .build()
                                .unwrap();
                            off_the_kinks(&mut model);
                            let check = gradient_check::model(&model, samples(5, 6)).unwrap();
                            let error = check.relative_error();
                            assert!(
                                error < TOLERANCE,
                                "{layers:?} tied {tied} {hidden:?} {output:?} {reconstruction:?} {name}: \
                                 {error:e}, worst {:?}",
                                check.worst()
                            );
                            checked += 1;
                        }
                    }
                }
            }
        }
    }
    // KL needs a range, and cross-entropy one of the outputs.
    let bounded = activations.iter().filter(|f| f.range().is_some()).count();
    let penalties = activations.len() * 5 + bounded;
    assert_eq!(checked, 3 * 2 * (outputs.len() + 1) * penalties);
}

#[test]
fn a_pre_encoder_bias_is_met_twice() {
    // More units: on the sparse path.
    for layers in [vec![5, 7], vec![5, 80], vec![5, 6, 4]] {
        for tied in [false, true] {
            for hidden in activations() {
                let mut model = SparseAutoencoder::<f64>::builder()
                    .layers(layers.clone())
                    .tied(tied)
                    .hidden_activation(hidden)
                    .output_activation(Activation::Identity)
                    .pre_encoder_bias(true)
                    .penalty(L1)
                    .penalty_weight(0.1)
                    .weight_decay(0.01)
                    .seed(3)
                    .build()
                    .unwrap();
                assert_agrees(&mut model, &format!("{layers:?} tied {tied} {hidden:?}"));
            }
        }
    }
}

/// The gradient of a model, away from its kinks, with central differences.
fn assert_agrees(model: &mut SparseAutoencoder<f64>, name: &str) {
    off_the_kinks(model);
    let check = gradient_check::model(model, samples(5, 6)).unwrap();
    let error = check.relative_error();
    assert!(
        error < TOLERANCE,
        "{name}: {error:e}, worst {:?}",
        check.worst()
    );
}

#[test]
fn every_sequence_of_activations_agrees_with_central_differences() {
    let all = activations();
    for &first in &all {
        for &second in &all {
            for &third in &all {
                let activations = [first, second, third];
                let mut model = SparseAutoencoder::<f64>::builder()
                    .layers([5, 6, 4, 3])
                    .hidden_activations(activations)
                    .output_activation(Activation::Identity)
                    .penalty(SquaredDeviation)
                    .sparsity_target(0.3)
                    .penalty_weight(0.7)
                    .weight_decay(0.01)
                    .seed(3)
                    .build()
                    .unwrap();
                assert_agrees(&mut model, &format!("{activations:?}"));
            }
        }
    }
}

#[test]
fn nested_units_meet_the_residuals_of_every_prefix_that_has_them() {
    // More units: on the sparse path.
    for (units, prefixes) in [(7, vec![1, 4]), (80, vec![10]), (80, vec![3, 20, 70])] {
        for tied in [false, true] {
            for hidden in activations() {
                let outputs = [Activation::Identity, Activation::Sigmoid];
                for output in &outputs[..if units > 7 { 1 } else { 2 }] {
                    let mut model = SparseAutoencoder::<f64>::builder()
                        .layers([5, units])
                        .tied(tied)
                        .hidden_activation(hidden)
                        .output_activation(*output)
                        .matryoshka(prefixes.clone())
                        .penalty(L1)
                        .penalty_weight(0.1)
                        .weight_decay(0.01)
                        .seed(3)
                        .build()
                        .unwrap();
                    let name = format!("{prefixes:?} tied {tied} {hidden:?} {output:?}");
                    assert_agrees(&mut model, &name);
                }
            }
        }
    }
}

#[test]
fn the_norm_of_a_column_of_zeros_counts_as_flat() {
    let builder = SparseAutoencoder::<f64>::builder()
        .layers([5, 7])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(L1);
    let mut gradients = [true, false].map(|norm_weighted| {
        let builder = builder.clone().norm_weighted(norm_weighted).seed(3);
        let mut model = builder.build().unwrap();
        let mut theta = model.parameters().as_slice().to_vec();
        theta[35..42].fill(2.0); // all units are active
        let column = 42..47;
        theta[column.clone()].fill(0.0);
        model.set_theta(&theta).unwrap();
        let mut gradient = vec![0.0; theta.len()];
        let workspace = &mut Workspace::new();
        model
            .loss_and_gradient(samples(5, 6), &mut gradient, workspace)
            .unwrap();
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        gradient.drain(column).collect::<Vec<_>>()
    });
    let [weighted, plain] = &mut gradients;
    assert_eq!(weighted, plain); // what the penalty adds to that column is nothing
}

#[test]
fn a_norm_weighted_penalty_reaches_the_decoder() {
    // More units: on the sparse path.
    for layers in [vec![5, 7], vec![5, 80], vec![5, 6, 4]] {
        for tied in [false, true] {
            for hidden in activations() {
                if hidden.range().is_some() {
                    continue; // refused, as tests/api/errors shows
                }
                for (name, penalty) in penalties::<f64>() {
                    if name == "KL" {
                        continue;
                    }
                    let mut model = SparseAutoencoder::<f64>::builder()
                        .layers(layers.clone())
                        .tied(tied)
                        .hidden_activation(hidden)
                        .output_activation(Activation::Identity)
                        .penalty(penalty())
                        .norm_weighted(true)
                        .penalty_weight(0.7)
                        .weight_decay(0.01)
                        .seed(3)
                        .build()
                        .unwrap();
                    assert_agrees(
                        &mut model,
                        &format!("{layers:?} tied {tied} {hidden:?} {name}"),
                    );
                }
            }
        }
    }
}

/// `ℓ(z, x) = ℓ(−z, 1 − x)`, and so is its derivative but for the sign, where the output saturates, too.
fn cross_entropy_is_as_exact_at_1_as_at_0<T: Real>() {
    let of = |z: f64, x: f64| {
        let layer = Layer {
            encoder_weights: DMatrix::zeros(1, 1),
            encoder_bias: DVector::zeros(1),
            decoder_weights: Some(DMatrix::zeros(1, 1)),
            decoder_bias: DVector::from_element(1, T::of(z)),
        };
        let model = SparseAutoencoder::builder()
            .parameters(Parameters::from_layers(&[layer]).unwrap())
            .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
            .penalty(())
            .build()
            .unwrap();
        let mut gradient = vec![T::zero(); 4];
        let x = DMatrix::from_element(1, 1, T::of(x));
        let loss = model.loss_and_gradient(&x, &mut gradient, &mut Workspace::new());
        [loss.unwrap().reconstruction.to_f64(), gradient[3].to_f64()]
    };
    let epsilon = 4.0 * T::default_epsilon().to_f64();
    for z in (1..80).map(f64::from) {
        let [[loss, slope], [mirrored, its_slope]] = [of(z, 1.0), of(-z, 0.0)];
        assert!(loss > 0.0 && slope < 0.0, "{z}");
        assert!(
            (loss / mirrored - 1.0).abs() < epsilon,
            "{z}: {loss} {mirrored}"
        );
        assert!((slope / its_slope + 1.0).abs() < epsilon, "{z}");
        let exact = (-z).exp().ln_1p();
        assert!(
            (loss / exact - 1.0).abs() < 4.0 * epsilon,
            "{z}: {loss} {exact}"
        );
    }
}

#[test]
fn cross_entropy_is_as_exact_at_1_as_at_0_in_both_scalars() {
    cross_entropy_is_as_exact_at_1_as_at_0::<f32>();
    cross_entropy_is_as_exact_at_1_as_at_0::<f64>();
}

/// The gradient of the norm of a column is a unit vector, however short the column is.
#[test]
fn the_norm_of_a_tiny_column_has_a_finite_gradient() {
    for size in [1e-20, 1e-38, 1e-42] {
        let mut model = SparseAutoencoder::<f32>::builder()
            .layers([2, 3])
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .penalty(L1)
            .penalty_weight(1.0)
            .norm_weighted(true)
            .build()
            .unwrap();
        let mut theta = model.parameters().as_slice().to_vec();
        theta[..6].fill(0.0);
        theta[6..9].fill(1.0); // all activations are 1
        theta[9..15].fill(0.0);
        theta[9] = size;
        model.set_theta(&theta).unwrap();
        let mut gradient = vec![0.0; theta.len()];
        let x = DMatrix::<f32>::zeros(2, 4); // no residual but the tiny one
        model
            .loss_and_gradient(&x, &mut gradient, &mut Workspace::new())
            .unwrap();
        assert!((gradient[9] - 1.0).abs() < 1e-5, "{size}: {gradient:?}");
    }
}
