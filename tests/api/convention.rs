//! The objectives of other systems, written out in loops over their own matrices, against ours with
//! the weights that they are translated to.
//!
//! A few hundred terms of order one: 1e-12 has three digits to spare.

use approx::assert_relative_eq;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Convention, Error, L1, Parameters, ReconstructionLoss, SparseAutoencoder,
};

const INPUT: usize = 5;
const HIDDEN: usize = 7;
const SAMPLES: usize = 6;
/// Their weight decay and penalty weight.
const LAMBDA: f64 = 0.3;
const BETA: f64 = 0.7;

const ALL: [Convention; 7] = [
    Convention::Ufldl,
    Convention::Matlab,
    Convention::SaeLens,
    Convention::Keras(ReconstructionLoss::SquaredError),
    Convention::PyTorch(ReconstructionLoss::SquaredError),
    Convention::Keras(ReconstructionLoss::BinaryCrossEntropy),
    Convention::PyTorch(ReconstructionLoss::BinaryCrossEntropy),
];

fn entry(i: usize, j: usize, phase: f64) -> f64 {
    ((i * 7 + j * 3) as f64 + phase).sin()
}

/// Whether a unit is a row of the encoder's weights, as the documentation of each system has it.
fn unit_rows(convention: Convention) -> bool {
    !matches!(convention, Convention::Keras(_) | Convention::SaeLens)
}

fn reconstruction(convention: Convention) -> ReconstructionLoss {
    match convention {
        Convention::Keras(reconstruction) | Convention::PyTorch(reconstruction) => reconstruction,
        _ => ReconstructionLoss::SquaredError,
    }
}

struct Theirs {
    encoder: DMatrix<f64>,
    encoder_bias: Vec<f64>,
    decoder: DMatrix<f64>,
    decoder_bias: Vec<f64>,
    samples: DMatrix<f64>,
}

impl Theirs {
    fn new(convention: Convention) -> Self {
        let shape = if unit_rows(convention) {
            (HIDDEN, INPUT)
        } else {
            (INPUT, HIDDEN)
        };
        Self {
            encoder: DMatrix::from_fn(shape.0, shape.1, |i, j| entry(i, j, 0.1)),
            encoder_bias: (0..HIDDEN).map(|i| entry(i, 0, 0.2)).collect(),
            decoder: DMatrix::from_fn(shape.1, shape.0, |i, j| entry(i, j, 0.3)),
            decoder_bias: (0..INPUT).map(|i| entry(i, 0, 0.4)).collect(),
            samples: DMatrix::from_fn(INPUT, SAMPLES, |i, j| 0.5 + 0.4 * entry(i, j, 0.5)),
        }
    }

    /// `1/m Σ (error of a sample) + c λ Σ W² + β/m Σ |h|`
    fn objective(&self, convention: Convention) -> f64 {
        let rows = unit_rows(convention);
        let w = |j: usize, k: usize| self.encoder[if rows { (j, k) } else { (k, j) }];
        let d = |k: usize, j: usize| self.decoder[if rows { (k, j) } else { (j, k) }];
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (mut error, mut penalty) = (0.0, 0.0);
        for x in self.samples.column_iter() {
            let h: Vec<f64> = (0..HIDDEN)
                .map(|j| (0..INPUT).fold(self.encoder_bias[j], |z, k| z + w(j, k) * x[k]))
                .map(sigmoid)
                .collect();
            penalty += h.iter().sum::<f64>();
            for k in 0..INPUT {
                let y = sigmoid((0..HIDDEN).fold(self.decoder_bias[k], |z, j| z + d(k, j) * h[j]));
                error += match reconstruction(convention) {
                    ReconstructionLoss::SquaredError => (y - x[k]).powi(2),
                    _ => -x[k] * y.ln() - (1.0 - x[k]) * (1.0 - y).ln(),
                };
            }
        }
        let data = match convention {
            Convention::Ufldl => 0.5,
            Convention::Keras(_) | Convention::PyTorch(_) => 1.0 / INPUT as f64,
            _ => 1.0,
        };
        let decay = match convention {
            Convention::Keras(_) => 1.0,
            _ => 0.5,
        };
        let squares = self.encoder.norm_squared() + self.decoder.norm_squared();
        data * error / SAMPLES as f64 + decay * LAMBDA * squares + BETA * penalty / SAMPLES as f64
    }

    fn model(&self, convention: Convention) -> SparseAutoencoder<f64> {
        let layer = convention.layer(
            &self.encoder,
            &self.encoder_bias,
            &self.decoder,
            &self.decoder_bias,
        );
        SparseAutoencoder::builder()
            .parameters(Parameters::from_layers(&[layer.unwrap()]).unwrap())
            .hidden_activation(Activation::Sigmoid)
            .output_activation(Activation::Sigmoid)
            .reconstruction_loss(reconstruction(convention))
            .penalty(L1)
            .penalty_weight(convention.penalty_weight(BETA, INPUT))
            .weight_decay(convention.weight_decay(LAMBDA, INPUT))
            .build()
            .unwrap()
    }
}

#[test]
fn every_objective_is_a_multiple_of_ours() {
    for convention in ALL {
        let theirs = Theirs::new(convention);
        let ours = theirs.model(convention).loss(&theirs.samples).unwrap();
        assert_relative_eq!(
            theirs.objective(convention),
            convention.scale(INPUT) * ours.total(),
            max_relative = 1e-12
        );
    }
}

#[test]
fn weights_go_out_as_they_came_in() {
    for convention in ALL {
        let theirs = Theirs::new(convention);
        let model = theirs.model(convention);
        let layer = model.parameters().layer(0).unwrap();
        let (encoder, decoder) = convention.weights(&layer);
        assert_eq!((&encoder, &decoder), (&theirs.encoder, &theirs.decoder));
        assert_eq!(layer.encoder_bias.as_slice(), theirs.encoder_bias);
        assert_eq!(layer.decoder_bias.as_slice(), theirs.decoder_bias);
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let convention = Convention::Matlab;
    let w = DMatrix::<f64>::zeros(HIDDEN, INPUT);
    let (b, c) = ([0.0; HIDDEN], [0.0; INPUT]);
    convention.layer(&w, &b, w.transpose(), &c).unwrap();
    for (result, actual) in [
        (convention.layer(&w, &b, &w, &c), HIDDEN),
        (convention.layer(&w, &c, w.transpose(), &c), INPUT),
        (convention.layer(&w, &b, w.transpose(), &b), HIDDEN),
    ] {
        match result.unwrap_err() {
            Error::DimensionMismatch { actual: other, .. } => assert_eq!(other, actual),
            other => panic!("{other}"),
        }
    }
}
