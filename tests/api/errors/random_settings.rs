//! Random combinations of settings: each trains or is refused.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use super::*;
use crate::common::cases::{Rng, check, list, one_of, option};
use crate::common::variants::ACTIVATIONS;
use rand::RngExt;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Adam, Corruption, Error, Initialization, KlDivergence, L0, L1, LayerView, Lbfgs,
    Penalty, Proportion, Real, ReconstructionLoss, Scaler, Schedule, Sgd, SparseAutoencoder,
    SquaredDeviation, TargetL0, Trainer,
};
use std::fmt::Debug;

/// Draws a number from 0 to `end`, or any number at all.
fn number(rng: &mut Rng, end: f64) -> f64 {
    match rng.random_range(0..108) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => one_of(rng, &[0.0, -0.0, f64::MIN_POSITIVE / 2.0]),
        4 => f64::from_bits(rng.random()),
        5 => -rng.random_range(0.0..end),
        _ => rng.random_range(0.0..end),
    }
}

fn activation(rng: &mut Rng) -> Activation {
    match one_of(rng, ACTIVATIONS) {
        Activation::TopK(_) => Activation::TopK(rng.random_range(0..4)),
        Activation::TopProportion(_) => Activation::TopProportion(number(rng, 1.0)),
        Activation::WinnerTakeAll(_) => Activation::WinnerTakeAll(number(rng, 1.0)),
        Activation::BatchTopK(_) => Activation::BatchTopK(rng.random_range(0..4)),
        f => f,
    }
}

/// Which penalty, and the factor where one is scaled.
fn combined_penalty<T: Real>(which: usize, factor: f64) -> Option<Box<dyn Penalty<T>>> {
    Some(match which {
        0 => Box::new(()),
        1 => Box::new(KlDivergence),
        2 => Box::new(L1),
        3 => Box::new(Proportion),
        4 => Box::new(SquaredDeviation),
        5 => Box::new((Scaled::new(factor, Proportion), SquaredDeviation)),
        6 => Box::new(L0),
        7 => Box::new(TargetL0),
        _ => return None,
    })
}

#[derive(Debug, Clone)]
struct Model {
    layers: Vec<usize>,
    activations: (Activation, Activation),
    cross_entropy: bool,
    penalty: (usize, f64),
    target: f64,
    weights: (f64, f64),
    penalized: Option<Vec<usize>>,
    tied: bool,
    pre_encoder_bias: bool,
    norm_weighted: bool,
    prefixes: Vec<usize>,
    initialization: Initialization,
    seed: u64,
}

fn any_model(rng: &mut Rng) -> Model {
    let layers = match rng.random_range(0..10) {
        0 => list(rng, 0..3, |rng| rng.random_range(0..4)),
        _ => list(rng, 2..5, |rng| rng.random_range(1..7)),
    };
    let prefixes = match rng.random_range(0..5) {
        0 => list(rng, 1..3, |rng| rng.random_range(0..4)),
        _ => Vec::new(),
    };
    let initializations = [
        Initialization::Glorot,
        Initialization::TransposedDecoder { norm: 1.0 },
    ];
    Model {
        layers,
        activations: (activation(rng), activation(rng)),
        cross_entropy: rng.random(),
        penalty: (rng.random_range(0..9), number(rng, 2.0)),
        target: number(rng, 1.0),
        weights: (number(rng, 5.0), number(rng, 0.1)),
        penalized: option(rng, |rng| list(rng, 0..3, |rng| rng.random_range(0..3))),
        tied: rng.random(),
        pre_encoder_bias: rng.random_bool(0.3),
        norm_weighted: rng.random_bool(0.3),
        prefixes,
        initialization: one_of(rng, &initializations),
        seed: rng.random(),
    }
}

#[derive(Debug, Clone)]
struct Training {
    rate: f64,
    optimizer: usize,
    batch_size: Option<usize>,
    split: f64,
    patience: Option<usize>,
    clip: Option<f64>,
    schedule: Option<(usize, f64, f64)>,
    corruption: Option<(usize, f64, f64)>,
}

fn any_training(rng: &mut Rng) -> Training {
    let two = |rng: &mut Rng, kinds| {
        let which = rng.random_range(0..kinds);
        (which, number(rng, 1.0), number(rng, 1.0))
    };
    let largest = one_of(rng, &[1.0, 1.0, 1.0, 1.0, 1e200]);
    Training {
        rate: rng.random_range(1e-3..largest),
        optimizer: rng.random_range(0..4),
        batch_size: option(rng, |rng| rng.random_range(0..9)),
        split: number(rng, 0.5),
        patience: option(rng, |rng| rng.random_range(0..3)),
        clip: option(rng, |rng| number(rng, 2.0)),
        schedule: option(rng, |rng| two(rng, 4)),
        corruption: option(rng, |rng| two(rng, 3)),
    }
}

fn build<T: Real>(model: &Model) -> Result<SparseAutoencoder<T>, Error> {
    let mut builder = SparseAutoencoder::<T>::builder()
        .layers(model.layers.clone())
        .hidden_activation(model.activations.0)
        .output_activation(model.activations.1)
        .sparsity_target(model.target)
        .penalty_weight(model.weights.0)
        .weight_decay(model.weights.1)
        .tied(model.tied)
        .pre_encoder_bias(model.pre_encoder_bias)
        .norm_weighted(model.norm_weighted)
        .matryoshka(model.prefixes.clone())
        .initialization(model.initialization)
        .seed(model.seed);
    if model.cross_entropy {
        builder = builder.reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    }
    if let Some(penalty) = combined_penalty(model.penalty.0, model.penalty.1) {
        builder = builder.penalty(penalty);
    }
    if let Some(indices) = &model.penalized {
        builder = builder.penalized_layers(indices.clone());
    }
    builder.build()
}

fn prepare<T: Real>(training: &Training) -> Result<Trainer<T>, Error> {
    let rate = training.rate;
    let mut trainer = match training.optimizer {
        0 => Trainer::new(Sgd::new(rate)?),
        1 => Trainer::new(Sgd::new(rate)?.momentum(0.9)?.nesterov()),
        2 => Trainer::new(Adam::new(rate)?),
        _ => Trainer::new(Lbfgs::new()),
    }
    .epochs(2)
    .validation_split(training.split);
    if let Some(size) = training.batch_size {
        trainer = trainer.batch_size(size);
    }
    if let Some(patience) = training.patience {
        trainer = trainer.patience(patience);
    }
    if let Some(norm) = training.clip {
        trainer = trainer.clip_gradient(norm);
    }
    if let Some((which, floor, warm_up)) = training.schedule {
        let schedule = match which {
            0 => Schedule::constant(),
            1 => Schedule::linear(floor),
            2 => Schedule::cosine(floor),
            _ => Schedule::exponential(floor),
        };
        trainer = trainer.schedule(schedule.warm_up(warm_up));
    }
    if let Some((which, amount, end)) = training.corruption {
        trainer = trainer.corruption(match which {
            0 => Corruption::Gaussian {
                standard_deviation: amount,
            },
            1 => Corruption::Masking { fraction: amount },
            _ => Corruption::SaltAndPepper {
                fraction: amount,
                low: 0.0,
                high: end,
            },
        });
    }
    Ok(trainer)
}

/// What became of a combination: for the count of what was covered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    NotBuilt,
    NotFitted,
    Diverged,
    Fitted,
}

fn outcome<T: Real>(model: &Model, training: &Training) -> Outcome {
    let Ok(mut model) = build::<T>(model) else {
        return Outcome::NotBuilt;
    };
    let input_size = model.layout().input_size();
    let x = DMatrix::from_fn(input_size, 9, |i, j| {
        T::of(((3 * i + 2 * j) % 7) as f64 / 6.0)
    });
    let before = bits(&model);
    let fitted = prepare(training).and_then(|mut trainer| trainer.fit(&mut model, &x));
    let theta = model.parameters().as_slice();
    assert!(theta.iter().all(|theta| theta.is_finite()));
    // Where rounding is far below the bound of `folds`, and chooses nothing: a threshold of a whole
    // layer may be exactly what one of the samples has.
    let parameters = model.parameters();
    let mut layers = (0..parameters.layout().depth()).filter_map(|l| parameters.layer(l));
    let of_all = |layer: LayerView<'_, T>| {
        let mut names = layer.block_names();
        names.any(|name| layer.block(name).unwrap().len() == 1)
    };
    let decided = !layers.any(of_all);
    let small = theta.iter().all(|theta| theta.to_f64().abs() < 4.0);
    if size_of::<T>() == 8 && decided && small {
        folds(&model, &x);
    }
    match fitted {
        Ok(report) => {
            let losses = report.losses.iter().chain(&report.validation_losses);
            for loss in losses {
                assert!(loss.total().is_finite());
            }
            assert_eq!(report.losses.len(), report.epochs);
            Outcome::Fitted
        }
        Err(Error::Diverged { loss, .. }) => {
            assert!(!loss.is_finite());
            Outcome::Diverged
        }
        Err(_) => {
            assert_eq!(bits(&model), before);
            Outcome::NotFitted
        }
    }
}

/// Whatever was learned from samples is what the folded model does with those of which they are the scaled
/// ones, or it is refused by the rule. Exact to 1e-16 times numbers of at most 1e7.
fn folds<T: Real>(model: &SparseAutoencoder<T>, scaled: &DMatrix<T>) {
    let input_size = scaled.nrows();
    let vector = |f: fn(f64) -> f64| {
        (0..input_size)
            .map(|i| T::of(f(i as f64)))
            .collect::<Vec<_>>()
    };
    let scaler = Scaler::new(
        &vector(|i| 3.0 - 2.0 * i),
        &vector(|i| 0.5 + i),
        &vector(|i| 0.1 * i),
    );
    let scaler = scaler.unwrap();
    let samples = scaler.invert(scaled).unwrap();
    let mut folded = model.clone();
    match folded.fold(&scaler) {
        Ok(()) => {
            let hidden = model.encode(scaled).unwrap();
            let difference = (folded.encode(&samples).unwrap() - hidden).amax();
            assert!(difference < T::of(1e-7), "{difference}");
        }
        Err(error) => {
            assert!(matches!(error, Error::Incompatible { .. }), "{error}");
            let identity = model.output_activation() == Activation::Identity;
            assert!(!identity || model.layout().is_tied());
            assert_eq!(folded.parameters(), model.parameters());
        }
    }
}

#[test]
fn any_combination_of_settings_trains_or_is_refused() {
    let mut counts = [0; 4];
    let draw = |rng: &mut Rng| (any_model(rng), any_training(rng));
    check(6000, draw, |(model, training)| {
        counts[outcome::<f32>(&model, &training) as usize] += 1;
        counts[outcome::<f64>(&model, &training) as usize] += 1;
    });
    // Otherwise the test would show little.
    assert!(counts.iter().all(|&count| count >= 40), "{counts:?}");
}
