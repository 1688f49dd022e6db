//! JumpReLU: the gradient of everything but the thresholds against central differences, and the
//! pseudo-gradient of the thresholds against its formula, written out in loops.
//!
//! Tolerance of both: see `gradients.rs`. The loops add a few hundred terms of order one, so 1e-12 of
//! their norm would do for them.

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Initialization, L0, L1, Layer, Parameters, Penalty, Proportion, SparseAutoencoder,
    SparseAutoencoderBuilder, TargetL0, Workspace, gradient_check,
};

const TOLERANCE: f64 = 1e-7;
const BANDWIDTH: f64 = 0.3;
const WEIGHT: f64 = 0.4;
const TARGET: f64 = 0.1;

fn samples(input_size: usize, count: usize) -> DMatrix<f64> {
    fractions(input_size, count, |phase| phase - 0.4)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    None,
    L0,
    TargetL0,
    L1,
    Proportion,
    Both,
}

impl Kind {
    fn penalty(self) -> Box<dyn Penalty<f64>> {
        match self {
            Self::None => Box::new(()),
            Self::L0 => Box::new(L0),
            Self::TargetL0 => Box::new(TargetL0),
            Self::L1 => Box::new(L1),
            Self::Proportion => Box::new(Proportion),
            Self::Both => Box::new((Scaled::new(0.5, L0), L1)),
        }
    }
}

const KINDS: [Kind; 6] = [
    Kind::None,
    Kind::L0,
    Kind::TargetL0,
    Kind::L1,
    Kind::Proportion,
    Kind::Both,
];

fn builder(layers: &[usize], kind: Kind) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .initialization(Initialization::Glorot)
        .layers(layers)
        .hidden_activation(Activation::JumpRelu)
        .output_activation(Activation::Identity)
        .bandwidth(BANDWIDTH)
        .weight_decay(0.01)
        .penalty(kind.penalty())
        .penalty_weight(WEIGHT)
        .sparsity_target(TARGET)
        .seed(3)
}

/// Moves the parameters of a model. `low` takes the encoder's biases so far down that few units are active.
fn moved(builder: &SparseAutoencoderBuilder<f64>, low: f64) -> SparseAutoencoder<f64> {
    let mut model = builder.build().unwrap();
    let layers = model.layout().sizes().to_vec();
    let mut theta = model.parameters().as_slice().to_vec();
    let phase = |k: usize| (k * 29 + 5) as f64 * 0.414_213_562_373_095;
    for (k, theta) in theta.iter_mut().enumerate() {
        *theta += 0.4 * (phase(k).fract() - 0.5);
    }
    let above: usize = layers[1..].iter().sum();
    let first = theta.len() - above;
    for (k, t) in theta[first..].iter_mut().enumerate() {
        *t = 0.4 * phase(k).fract() - 0.05; // some below 0, which count as 0
    }
    let mut start = 0;
    for pair in layers.windows(2) {
        let bias = start + pair[0] * pair[1];
        start = bias + pair[1];
        theta[bias..start].iter_mut().for_each(|b| *b -= low);
    }
    model.set_theta(&theta).unwrap();
    model
}

fn gradient(model: &SparseAutoencoder<f64>, x: &DMatrix<f64>) -> Vec<f64> {
    let mut gradient = vec![f64::NAN; model.layout().len()];
    model
        .loss_and_gradient(x, &mut gradient, &mut Workspace::new())
        .unwrap();
    gradient
}

fn close(actual: &[f64], expected: &[f64]) -> bool {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut actual.iter().zip(expected).map(|(a, b)| a - b));
    difference <= TOLERANCE * norm(&mut expected.iter().copied()).max(1e-3)
}

/// The pseudo-gradient of a model of one hidden layer, from its formula.
fn pseudo_gradient(model: &SparseAutoencoder<f64>, kind: Kind, x: &DMatrix<f64>) -> Vec<f64> {
    let layer = model.parameters().layer(0).unwrap();
    let (units, m) = (layer.encoder_bias.len(), x.ncols());
    let mut seen = x.clone();
    if model.has_pre_encoder_bias() {
        seen.column_iter_mut()
            .for_each(|mut x| x -= layer.decoder_bias);
    }
    let mut z = layer.encoder_weights.transpose() * seen;
    z.column_iter_mut()
        .for_each(|mut z| z += layer.encoder_bias);
    let threshold = |j: usize| layer.block("thresholds").unwrap()[j].max(0.0);
    let h = DMatrix::from_fn(units, m, |j, i| {
        if z[(j, i)] > threshold(j) {
            z[(j, i)]
        } else {
            0.0
        }
    });
    let mut residual = layer.decoder_weights * &h - x;
    residual
        .column_iter_mut()
        .for_each(|mut e| e += layer.decoder_bias);
    if model.output_activation() == Activation::Sigmoid {
        residual = (residual + x).zip_map(x, |z, x| {
            let x_hat = 1.0 / (1.0 + (-z).exp());
            (x_hat - x) * x_hat * (1.0 - x_hat)
        });
    }
    let norm = |j: usize| match model.is_norm_weighted() {
        true => layer.decoder_weights.column(j).norm(),
        false => 1.0,
    };
    let reach = layer.decoder_weights.transpose() * residual / m as f64;

    let active = h.iter().filter(|&&h| h > 0.0).count() as f64 / m as f64;
    let wanted = TARGET * units as f64;
    let of_frequency = WEIGHT
        * match kind {
            Kind::L0 => 1.0,
            Kind::TargetL0 => 2.0 * (active / wanted - 1.0) / wanted,
            Kind::Both => 0.5,
            _ => 0.0,
        };
    let of_activation = |j: usize, i: usize| match kind {
        // An activation is never negative, so L1 is the sum of the means: its derivative is 1/m
        // also where the activation is 0.
        Kind::L1 | Kind::Both => WEIGHT * norm(j) / m as f64,
        Kind::Proportion => {
            let allowed = wanted.ceil() as usize;
            let seen = |j: usize| h[(j, i)] * norm(j);
            let rank = (0..units)
                .filter(|&other| (seen(other), j) > (seen(j), other))
                .count();
            if h[(j, i)] > 0.0 && rank >= allowed {
                WEIGHT * norm(j) / m as f64
            } else {
                0.0
            }
        }
        _ => 0.0,
    };
    (0..units)
        .map(|j| {
            let t = threshold(j);
            let near = (0..m).filter(|&i| ((z[(j, i)] - t) / BANDWIDTH).abs() < 0.5);
            let term =
                |i: usize| t * (reach[(j, i)] + of_activation(j, i)) + of_frequency / m as f64;
            -near.map(term).sum::<f64>() / BANDWIDTH
        })
        .collect()
}

#[test]
fn thresholds_follow_their_formula_and_the_rest_the_loss() {
    for (layers, low, count) in [([5, 12], 0.0, 40), ([4, 96], 0.25, 24)] {
        let x = samples(layers[0], count);
        for kind in KINDS {
            // A bias before the encoder takes a linear output.
            let outputs = [
                (false, Activation::Identity),
                (true, Activation::Identity),
                (false, Activation::Sigmoid),
            ];
            for ([tied, norm_weighted], (centered, output)) in
                [[false, false], [false, true], [true, false], [true, true]]
                    .into_iter()
                    .flat_map(|flags| outputs.map(|output| (flags, output)))
            {
                if low > 0.0 && norm_weighted != tied {
                    continue; // they meet in small layers
                }
                let name = format!("{kind:?} {tied} {norm_weighted} {centered} {output:?}");
                let builder = builder(&layers, kind)
                    .tied(tied)
                    .norm_weighted(norm_weighted)
                    .pre_encoder_bias(centered)
                    .output_activation(output);
                let model = moved(&builder, low);
                let hidden = model.encode(&x).unwrap();
                let active = hidden.iter().filter(|&&h| h > 0.0).count() as f64;
                let sparse = active <= hidden.len() as f64 / 16.0;
                assert_eq!(sparse, low > 0.0, "{active} of {}", hidden.len());

                let gradient = gradient(&model, &x);
                let first = gradient.len() - layers[1];
                let expected = pseudo_gradient(&model, kind, &x);
                assert!(expected.iter().filter(|g| **g != 0.0).count() >= 5);
                assert!(
                    close(&gradient[first..], &expected),
                    "{name}: {:?} {expected:?}",
                    &gradient[first..]
                );
                let check = gradient_check::model(&model, &x).unwrap();
                assert!(
                    close(&check.analytic[..first], &check.numeric[..first]),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn deep_models_learn_all_but_the_thresholds_by_their_derivative() {
    let x = samples(5, 20);
    for kind in KINDS {
        let model = moved(&builder(&[5, 7, 6], kind).pre_encoder_bias(true), -0.3);
        let check = gradient_check::model(&model, &x).unwrap();
        let first = check.analytic.len() - 13;
        assert!(
            close(&check.analytic[..first], &check.numeric[..first]),
            "{kind:?}"
        );
        for layer in [first..first + 7, first + 7..first + 13] {
            let learns = check.analytic[layer].iter().any(|&g| g != 0.0);
            assert!(learns, "{kind:?}: thresholds of both layers");
        }
    }
}

/// One unit, whose decoder is 0, so that only the penalty reaches the threshold: by `−β t / (ε m)` for each
/// activation within ε/2 of it, above or below.
#[test]
fn thresholds_see_l1_from_inactive_units_just_below_them() {
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: DMatrix::identity(1, 1),
        encoder_bias: DVector::zeros(1),
        decoder_weights: Some(DMatrix::zeros(1, 1)),
        decoder_bias: DVector::zeros(1),
    }]);
    let threshold = DVector::from_element(1, 0.5);
    let model = SparseAutoencoder::builder()
        .parameters(
            parameters
                .and_then(|p| p.for_activations(&[Activation::JumpRelu]))
                .and_then(|p| p.with_block(0, "thresholds", &threshold))
                .unwrap(),
        )
        .hidden_activation(Activation::JumpRelu)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(WEIGHT)
        .bandwidth(BANDWIDTH)
        .build()
        .unwrap();
    for (z, near) in [
        (0.3, 0.0),
        (0.36, 1.0),
        (0.45, 1.0),
        (0.55, 1.0),
        (0.64, 1.0),
        (0.7, 0.0),
    ] {
        // Beside three samples that are far below.
        let x = DMatrix::from_row_slice(1, 4, &[z, 0.0, -1.0, 0.1]);
        let by_threshold = gradient(&model, &x)[model.layout().len() - 1];
        let expected = -near * WEIGHT * 0.5 / (BANDWIDTH * 4.0);
        assert!(
            (by_threshold - expected).abs() < 1e-12,
            "{z}: {by_threshold}"
        );
    }
}
