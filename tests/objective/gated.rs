//! Gated units: the model in loops, and the gradient against central differences of an objective whose
//! gates are seen through a decoder of their own that stands still.
//!
//! Tolerance of the gradient: see `gradients.rs`. The loops add a few hundred terms of order one, so
//! 1e-12 would do for the values.

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Initialization, L1, Loss, Penalty, Proportion, ReconstructionLoss,
    SparseAutoencoder, SparseAutoencoderBuilder, SquaredDeviation, Workspace, gradient_check,
    penalty,
};

const TOLERANCE: f64 = 1e-7;
const WEIGHT: f64 = 0.4;
const TARGET: f64 = 0.1;
const DECAY: f64 = 0.01;

fn samples(input_size: usize, count: usize) -> DMatrix<f64> {
    fractions(input_size, count, |phase| 0.05 + 0.9 * phase)
}

const PENALTIES: usize = 5;

fn penalty(kind: usize) -> Box<dyn Penalty<f64>> {
    match kind {
        0 => Box::new(()),
        1 => Box::new(L1),
        2 => Box::new(Proportion),
        3 => Box::new(SquaredDeviation),
        _ => Box::new((Scaled::new(0.5, Proportion), L1)),
    }
}

fn builder(layers: [usize; 2]) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .initialization(Initialization::Glorot)
        .layers(layers)
        .hidden_activation(Activation::Gated)
        .output_activation(Activation::Identity)
        .weight_decay(DECAY)
        .penalty_weight(WEIGHT)
        .sparsity_target(TARGET)
        .seed(3)
}

/// The model with every parameter moved a little, the gates shut by `shut`, and every other unit with
/// such a magnitude that some of what is open lets nothing through.
fn moved(builder: &SparseAutoencoderBuilder<f64>, shut: f64) -> SparseAutoencoder<f64> {
    let mut model = builder.build().unwrap();
    let [input_size, units] = *model.layout().sizes() else {
        panic!("one hidden layer");
    };
    let mut theta = model.parameters().as_slice().to_vec();
    for (k, theta) in theta.iter_mut().enumerate() {
        let phase = (k * 29 + 5) as f64 * 0.414_213_562_373_095;
        *theta += 0.5 * (phase.fract() - 0.5);
    }
    let (bias, end) = (input_size * units, theta.len());
    let (gates, magnitudes) = (bias..bias + units, end - units..end);
    theta[gates].iter_mut().for_each(|b| *b -= shut);
    let every_other = theta[magnitudes].iter_mut().step_by(2);
    every_other.for_each(|b| *b -= 0.4 + shut.max(0.0));
    model.set_theta(&theta).unwrap();
    model
}

/// What the formulas say, in matrices: H, G, and the terms of the loss, the gates being seen through
/// the decoder of `frozen`.
struct Naive {
    hidden: DMatrix<f64>,
    gates: DMatrix<f64>,
    loss: [f64; 4],
}

fn naive(
    model: &SparseAutoencoder<f64>,
    frozen: &SparseAutoencoder<f64>,
    x: &DMatrix<f64>,
) -> Naive {
    let layer = model.parameters().layer(0).unwrap();
    let still = frozen.parameters().layer(0).unwrap();
    let (units, m) = (layer.encoder_bias.len(), x.ncols());
    let mut seen = x.clone();
    if model.has_pre_encoder_bias() {
        seen.column_iter_mut()
            .for_each(|mut x| x -= layer.decoder_bias);
    }
    let u = layer.encoder_weights.transpose() * seen;
    let pi = DMatrix::from_fn(units, m, |j, i| u[(j, i)] + layer.encoder_bias[j]);
    let gates = pi.map(|pi| pi.max(0.0));
    let (r, b_mag) = (
        layer.block("log_magnitude").unwrap(),
        layer.block("magnitude_bias").unwrap(),
    );
    let hidden = DMatrix::from_fn(units, m, |j, i| {
        if pi[(j, i)] > 0.0 {
            (r[j].exp() * u[(j, i)] + b_mag[j]).max(0.0)
        } else {
            0.0
        }
    });
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let cost = |h: &DMatrix<f64>, d: &DMatrix<f64>, c: &DVector<f64>| {
        let z = d * h;
        let mut sum = 0.0;
        for i in 0..m {
            for k in 0..x.nrows() {
                let (z, x) = (z[(k, i)] + c[k], x[(k, i)]);
                let x_hat = match model.output_activation() {
                    Activation::Identity => z,
                    Activation::Sigmoid => sigmoid(z),
                    other => panic!("{other:?}"),
                };
                sum += match model.reconstruction_loss() {
                    ReconstructionLoss::SquaredError => 0.5 * (x_hat - x).powi(2),
                    _ => -x * x_hat.ln() - (1.0 - x) * (1.0 - x_hat).ln(),
                };
            }
        }
        sum / m as f64
    };
    let [d, d_still] = [layer, still].map(|layer| layer.decoder_weights.into_owned());
    let [c, c_still] = [layer, still].map(|layer| layer.decoder_bias.into_owned());
    let mut weighed = gates.clone();
    if model.is_norm_weighted() {
        for j in 0..units {
            let norm = d.column(j).norm();
            weighed.row_mut(j).iter_mut().for_each(|g| *g *= norm);
        }
    }
    let (omega, _) =
        penalty::evaluate(model.penalty(), Activation::Gated, TARGET, &weighed).unwrap();
    let squares = layer.encoder_weights.norm_squared()
        + if model.layout().is_tied() {
            0.0
        } else {
            d.norm_squared()
        };
    Naive {
        loss: [
            cost(&hidden, &d, &c),
            0.5 * DECAY * squares,
            WEIGHT * omega,
            cost(&gates, &d_still, &c_still),
        ],
        hidden,
        gates,
    }
}

fn close(actual: f64, expected: f64) -> bool {
    (actual - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

fn check(model: &SparseAutoencoder<f64>, x: &DMatrix<f64>, name: &str) -> Naive {
    let expected = naive(model, model, x);
    let hidden = model.encode(x).unwrap();
    assert!(
        (&hidden - &expected.hidden).amax() < 1e-12,
        "{name}: hidden"
    );
    let mut gradient = vec![f64::NAN; model.layout().len()];
    let mut workspace = Workspace::new();
    let loss = model
        .loss_and_gradient(x, &mut gradient, &mut workspace)
        .unwrap();
    assert_eq!(loss, model.loss(x).unwrap());
    let terms = |loss: Loss<f64>| {
        [
            loss.reconstruction,
            loss.weight_decay,
            loss.sparsity,
            loss.auxiliary,
        ]
    };
    for (actual, expected) in terms(loss).into_iter().zip(expected.loss) {
        assert!(close(actual, expected), "{name}: {actual} {expected}");
    }
    assert!(close(loss.total(), expected.loss.iter().sum()));

    let theta = model.parameters().as_slice();
    let numeric: Vec<f64> = (0..theta.len())
        .map(|k| {
            let h = f64::EPSILON.cbrt() * theta[k].abs().max(1.0);
            let at = |step: f64| {
                let mut moved = theta.to_vec();
                moved[k] += step;
                let mut other = model.clone();
                other.set_theta(&moved).unwrap();
                naive(&other, model, x).loss.iter().sum::<f64>()
            };
            (at(h) - at(-h)) / (2.0 * h)
        })
        .collect();
    let numeric = DVector::from_vec(numeric);
    let gradient = DVector::from_vec(gradient);
    let error = (&gradient - &numeric).norm() / (gradient.norm() + numeric.norm());
    assert!(error < TOLERANCE, "{name}: {error:e} {gradient} {numeric}");
    expected
}

#[test]
fn the_objective_and_its_gradient_with_a_decoder_that_stands_still() {
    let mut checked = 0;
    for (layers, count, shut) in [([5, 12], 40, 0.0), ([4, 24], 9, 0.2), ([3, 2], 70, -0.2)] {
        let x = samples(layers[0], count);
        for kind in 0..PENALTIES {
            for tied in [false, true] {
                for pre_encoder_bias in [false, true] {
                    for norm_weighted in [false, true] {
                        let builder = builder(layers)
                            .tied(tied)
                            .penalty(penalty(kind))
                            .pre_encoder_bias(pre_encoder_bias)
                            .norm_weighted(norm_weighted);
                        let model = moved(&builder, shut);
                        let name = format!(
                            "{layers:?} penalty {kind} tied {tied} {pre_encoder_bias} {norm_weighted}"
                        );
                        let Naive { hidden, gates, .. } = check(&model, &x, &name);
                        let count = |values: &DMatrix<f64>| {
                            values.iter().filter(|&&value| value > 0.0).count()
                        };
                        let (active, open) = (count(&hidden), count(&gates));
                        // Some gates are shut, and some that are open let nothing through.
                        assert!(
                            0 < active && active < open && open < gates.len(),
                            "{name}: {active} {open} of {}",
                            gates.len()
                        );
                        checked += 1;
                    }
                }
            }
        }
    }
    assert_eq!(checked, 3 * PENALTIES * 8);
}

/// The passes over few open gates.
#[test]
fn the_same_where_few_gates_are_open() {
    let x = samples(4, 14);
    for kind in 0..PENALTIES {
        for [tied, pre_encoder_bias, norm_weighted] in
            [0, 1, 2, 3, 4, 5, 6, 7].map(|bits| [bits & 1, bits & 2, bits & 4].map(|bit| bit > 0))
        {
            let builder = builder([4, 64])
                .tied(tied)
                .penalty(penalty(kind))
                .pre_encoder_bias(pre_encoder_bias)
                .norm_weighted(norm_weighted);
            let name = format!("penalty {kind} {tied} {pre_encoder_bias} {norm_weighted}");
            let mut shut = (0..40).map(|k| moved(&builder, 0.025 * f64::from(k)));
            let model = shut.find(|model| is_sparse(model, &x));
            check(&model.expect(&name), &x, &name);
        }
    }
}

/// Whether so few units are active, and so few gates open, that a step works on these alone; some let
/// nothing through.
fn is_sparse(model: &SparseAutoencoder<f64>, x: &DMatrix<f64>) -> bool {
    let Naive { hidden, gates, .. } = naive(model, model, x);
    let count = |values: &[f64]| values.iter().filter(|&&value| value > 0.0).count();
    let (active, open) = (count(hidden.as_slice()), count(gates.as_slice()));
    let few = |gates: &[f64]| count(gates) * 8 <= gates.len();
    0 < active
        && active < open
        && active * 16 <= hidden.len()
        && gates.column_iter().all(|gates| few(gates.as_slice()))
}

#[test]
fn other_losses_of_the_output() {
    let x = samples(5, 33);
    for tied in [false, true] {
        for reconstruction in [
            ReconstructionLoss::SquaredError,
            ReconstructionLoss::BinaryCrossEntropy,
        ] {
            let builder = builder([5, 12])
                .tied(tied)
                .output_activation(Activation::Sigmoid)
                .reconstruction_loss(reconstruction)
                .penalty(L1);
            check(&moved(&builder, 0.0), &x, &format!("{reconstruction:?}"));
        }
    }
}

/// Only the decoder tells a gradient of J from that with a decoder that stands still.
#[test]
fn all_but_the_decoder_follows_the_loss() {
    let x = samples(5, 40);
    let model = moved(&builder([5, 12]).penalty(L1), 0.0);
    let check = gradient_check::model(&model, &x).unwrap();
    let layer = model.parameters().layer(0).unwrap();
    let encoder = layer.encoder_weights.len() + layer.encoder_bias.len();
    let decoder = encoder..encoder + layer.decoder_weights.len() + layer.decoder_bias.len();
    let mut apart = 0;
    for (k, (analytic, numeric)) in check.analytic.iter().zip(&check.numeric).enumerate() {
        if decoder.contains(&k) {
            apart += usize::from((analytic - numeric).abs() > 1e-3);
        } else {
            assert!((analytic - numeric).abs() < TOLERANCE, "{k}");
        }
    }
    assert!(apart > decoder.len() / 2, "{apart} of {}", decoder.len());
}

/// With `r = 0` and `b_mag = b` a gated unit is a ReLU, which its penalty does not shrink.
#[test]
fn equal_biases_make_relu_units() {
    let x = samples(5, 40);
    let relu = builder([5, 12])
        .hidden_activation(Activation::Relu)
        .penalty(L1)
        .build()
        .unwrap();
    let bias = DVector::from_fn(12, |j, _| 0.02 * (j as f64 - 6.0));
    let mut theta = relu.parameters().as_slice().to_vec();
    theta[60..72].copy_from_slice(bias.as_slice());
    let mut relu = relu;
    relu.set_theta(&theta).unwrap();
    let parameters = relu.parameters().clone();
    let gated = builder([5, 12])
        .parameters(
            parameters
                .for_activations(&[Activation::Gated])
                .and_then(|parameters| parameters.with_block(0, "magnitude_bias", &bias))
                .unwrap(),
        )
        .penalty(L1)
        .build()
        .unwrap();
    let hidden = [&relu, &gated].map(|model| model.encode(&x).unwrap());
    assert!((&hidden[0] - &hidden[1]).amax() < 1e-15);
    let [relu, gated] = [relu, gated].map(|model| model.loss(&x).unwrap());
    assert!(close(gated.reconstruction, relu.reconstruction));
    assert!(close(gated.auxiliary, relu.reconstruction));
    assert!(close(gated.sparsity, relu.sparsity));
    assert!(relu.auxiliary == 0.0);
}
