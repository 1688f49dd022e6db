//! Several processes that train one model: threads here, which add up in the order of their ranks.
//!
//! Tolerance: the sums over samples are those of one process in another order, so the gradients differ by
//! some ε, 2e-16 times terms of order one. A few steps of gradient descent with a rate below 1 add up such
//! differences: 1e-12 has three digits to spare, and a term that is forgotten or counted twice is off by
//! 1e-3 and more.

use std::ops::ControlFlow;
use std::sync::Arc;

use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Adam, DeadUnits, Error, Event, Initialization, KlDivergence, L1, Lbfgs, Proportion,
    Report, SetPoint, Sgd, SparseAutoencoder, SquaredDeviation, StopReason, TargetL0, Trainer,
};

use super::all_reduce::{Process, together};
use crate::common::variants;

const INPUT: usize = 6;
const SAMPLES: usize = 40;
const TOLERANCE: f64 = 1e-12;

fn samples() -> DMatrix<f64> {
    DMatrix::from_fn(INPUT, SAMPLES, |i, j| {
        0.5 + 0.4 * ((i * 5 + j * 3) as f64 * 0.7).sin() * ((j / 4 + i) as f64).cos()
    })
}

/// What process `rank` of `count` has: more or fewer than the others.
fn share(samples: &DMatrix<f64>, rank: usize, count: usize) -> DMatrix<f64> {
    let cut = |rank: usize| (rank * rank + rank) * samples.ncols() / (count * count + count);
    samples
        .columns(cut(rank), cut(rank + 1) - cut(rank))
        .into_owned()
}

fn models() -> Vec<(&'static str, SparseAutoencoder<f64>)> {
    let builder = || {
        SparseAutoencoder::builder()
            .initialization(Initialization::Glorot)
            .layers([INPUT, 9])
            .weight_decay(1e-2)
            .seed(3)
    };
    let linear = || {
        builder()
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
    };
    [
        ("KL", builder().penalty(KlDivergence).penalty_weight(0.4)),
        (
            "deep",
            builder()
                .layers([INPUT, 7, 5])
                .penalty(SquaredDeviation)
                .penalty_weight(2.0)
                .penalized_layers([0, 1]),
        ),
        (
            "L1",
            linear().penalty(L1).penalty_weight(0.1).norm_weighted(true),
        ),
        (
            "proportion",
            linear()
                .penalty(Proportion)
                .sparsity_target(0.3)
                .penalty_weight(0.2),
        ),
        (
            "TopK",
            linear()
                .hidden_activation(Activation::TopK(2))
                .pre_encoder_bias(true)
                .initialization(Initialization::TransposedDecoder { norm: 1.0 })
                .penalty(()),
        ),
        (
            "thresholds",
            linear()
                .hidden_activation(Activation::JumpRelu)
                .bandwidth(0.5)
                .penalty(TargetL0)
                .sparsity_target(0.2)
                .penalty_weight(0.5),
        ),
        (
            "gated",
            linear()
                .hidden_activation(Activation::Gated)
                .penalty(L1)
                .penalty_weight(0.1),
        ),
        (
            "nested",
            linear().matryoshka([3]).penalty(L1).penalty_weight(0.1),
        ),
    ]
    .into_iter()
    .map(|(name, builder)| (name, builder.build().unwrap()))
    .collect()
}

fn trainer(name: &str) -> Trainer<f64> {
    let trainer = Trainer::new(Sgd::new(0.1).unwrap().momentum(0.5).unwrap());
    match name {
        "TopK" => trainer
            .bias_rate(2.0)
            .unit_norm_decoder(true)
            .dead_units(DeadUnits::after(SAMPLES).auxiliary(2, 0.5)),
        "L1" => trainer
            .set_point(SetPoint::active_units(3.0))
            .clip_gradient(0.3),
        _ => trainer,
    }
}

fn assert_close(name: &str, a: &SparseAutoencoder<f64>, b: &SparseAutoencoder<f64>, bound: f64) {
    let theta =
        |model: &SparseAutoencoder<f64>| DVector::from_column_slice(model.parameters().as_slice());
    let difference = (theta(a) - theta(b)).amax();
    assert!(difference <= bound, "{name}: {difference}");
}

#[test]
fn steps_are_those_of_one_process_with_all_samples() {
    let samples = samples();
    for (name, model) in models() {
        let mut one = model.clone();
        let mut alone = trainer(name);
        let mut loss = 0.0;
        for _ in 0..6 {
            loss = alone.partial_fit(&mut one, &samples).unwrap().total();
        }
        assert_ne!(model.parameters(), one.parameters());
        for count in [1, 2, 4] {
            let results = together(count, |process| {
                let own = share(&samples, process.rank, count);
                let mut model = model.clone();
                let mut trainer = trainer(name).all_reduce(process);
                let mut loss = 0.0;
                for _ in 0..6 {
                    loss = trainer.partial_fit(&mut model, &own).unwrap().total();
                }
                (model, loss)
            });
            for (model, total) in &results {
                assert_close(name, model, &one, TOLERANCE);
                assert!((total - loss).abs() <= TOLERANCE, "{name}: {total} {loss}");
                assert_eq!(model.parameters(), results[0].0.parameters(), "{name}");
            }
        }
    }
}

/// As above, of every variant, or a refusal in every process.
#[test]
fn the_steps_of_every_variant_are_those_of_one_process() {
    let samples = variants::samples(12);
    for variant in variants::variants() {
        let start = variant.model();
        let mut one = start.clone();
        let mut alone = trainer("");
        for _ in 0..3 {
            alone.partial_fit(&mut one, &samples).unwrap();
        }
        let results = together(2, |process| {
            let own = share(&samples, process.rank, 2);
            let mut model = start.clone();
            let mut trainer = trainer("").all_reduce(process);
            for _ in 0..3 {
                trainer.partial_fit(&mut model, &own)?;
            }
            Ok(model)
        });
        let over_batch = matches!(
            variant.hidden,
            Activation::WinnerTakeAll(_) | Activation::BatchTopK(_)
        );
        for result in results {
            match result {
                Ok(model) if !over_batch => {
                    assert_close(&format!("{variant:?}"), &model, &one, TOLERANCE);
                }
                Err(Error::Incompatible { .. }) if over_batch => {}
                other => panic!("{variant:?}: {other:?}"),
            }
        }
    }
}

/// The auxiliary loss of dead units, whose weight depends on the samples of all processes.
#[test]
fn dead_units_learn_as_in_one_process() {
    let (first, x) = (
        variants::samples(6),
        variants::samples(18).columns(6, 12).into_owned(),
    );
    let (mut learned, mut refused) = (0, 0);
    for variant in variants::variants() {
        let name = format!("{variant:?}");
        let start = variant.model();
        let trainer = |weight| {
            let dead = DeadUnits::after(6).auxiliary(3, weight);
            Trainer::new(Sgd::new(0.1).unwrap()).dead_units(dead)
        };
        let alone = |weight| {
            let (mut model, mut trainer) = (start.clone(), trainer(weight));
            trainer.partial_fit(&mut model, &first)?;
            let loss = trainer.partial_fit(&mut model, &x)?;
            Ok::<_, Error>((loss, model))
        };
        let Ok((loss, one)) = alone(0.5) else {
            refused += 1;
            continue;
        };
        for count in [2, 3] {
            let results = together(count, |process| {
                let [first, x] = [&first, &x].map(|x| share(x, process.rank, count));
                let (mut model, trainer) = (start.clone(), trainer(0.5));
                let mut trainer = trainer.all_reduce(process);
                trainer.partial_fit(&mut model, &first)?;
                let loss = trainer.partial_fit(&mut model, &x)?;
                Ok::<_, Error>((loss, model))
            });
            for result in results {
                let over_batch = matches!(
                    variant.hidden,
                    Activation::WinnerTakeAll(_) | Activation::BatchTopK(_)
                );
                match result {
                    Ok((own, model)) if !over_batch => {
                        assert_close(&name, &model, &one, TOLERANCE);
                        let difference = (own.auxiliary - loss.auxiliary).abs();
                        assert!(difference <= TOLERANCE, "{name}: {own:?} {loss:?}");
                    }
                    Err(Error::Incompatible { .. }) if over_batch => {}
                    other => panic!("{name}: {other:?}"),
                }
            }
        }
        learned += usize::from(loss.auxiliary > alone(0.0).unwrap().0.auxiliary);
    }
    assert!(learned > 50 && refused > 50, "{learned} {refused}");
}

/// 400 iterations amplify differences of rounding; at the optimum they vanish again.
#[test]
fn a_line_search_decides_the_same_everywhere() {
    let samples = samples();
    let (_, model) = models().swap_remove(0);
    let mut one = model.clone();
    Trainer::new(Lbfgs::new())
        .epochs(20)
        .fit(&mut one, &samples)
        .unwrap();
    let results = together(3, |process| {
        let own = share(&samples, process.rank, 3);
        let mut model = model.clone();
        let mut trainer = Trainer::new(Lbfgs::new()).epochs(20).all_reduce(process);
        trainer.fit(&mut model, &own).unwrap();
        model
    });
    for model in &results {
        assert_close("L-BFGS", model, &one, 1e-8);
        assert_eq!(model.parameters(), results[0].parameters());
    }
}

fn fit(
    process: Arc<Process<f64>>,
    samples: &DMatrix<f64>,
) -> (SparseAutoencoder<f64>, Report<f64>) {
    let (_, mut model) = models().swap_remove(0);
    let mut trainer = Trainer::new(Adam::new(0.05).unwrap())
        .epochs(60)
        .batch_size(5)
        .validation_split(0.25)
        .patience(3)
        .all_reduce(process);
    let report = trainer.fit(&mut model, samples).unwrap();
    (model, report)
}

#[test]
fn a_whole_fit_ends_alike_everywhere() {
    let samples = samples();
    let half = |rank: usize| samples.columns(rank * 20, 20).into_owned();
    let results = together(2, |process| {
        let own = half(process.rank);
        fit(process, &own)
    });
    let [(model, report), (other, other_report)] = &results[..] else {
        panic!("two processes");
    };
    assert_eq!(model.parameters(), other.parameters());
    assert_eq!(report.stop, StopReason::NoImprovement, "{}", report.epochs);
    assert_eq!(report.epochs, other_report.epochs);
    assert_eq!(report.validation_losses, other_report.validation_losses);
    // It has learned something that neither half alone teaches.
    let alone = together(1, |process| fit(process, &half(0)))
        .swap_remove(0)
        .0;
    assert_ne!(alone.parameters(), model.parameters());
}

#[test]
fn an_observer_stops_all() {
    let samples = samples();
    let epochs = together(3, |process| {
        let (_, mut model) = models().swap_remove(0);
        let rank = process.rank;
        let mut trainer = Trainer::new(Adam::new(0.01).unwrap())
            .epochs(50)
            .all_reduce(process);
        let report = trainer.fit_with(&mut model, &samples, |epoch| {
            if rank == 1 && epoch.number == 4 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        });
        report.unwrap().epochs
    });
    assert_eq!(epochs, [4; 3]);
}

#[test]
fn an_observer_of_steps_stops_all_within_an_epoch() {
    let samples = samples();
    for stop in [2, 6, 7] {
        let results = together(3, |process| {
            let (_, mut model) = models().swap_remove(0);
            let rank = process.rank;
            let own = share(&samples, rank, 3);
            let mut trainer = Trainer::new(Adam::new(0.01).unwrap())
                .batch_size([2, 5, 7][rank]) // three batches of each
                .all_reduce(process);
            // The first process sees epochs, the second stops, the third sees steps.
            let report = match rank {
                0 => trainer.fit(&mut model, &own),
                _ => trainer.fit_with_steps(&mut model, &own, |event| match event {
                    Event::Step(step) if rank == 1 && step.number == stop => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }),
            };
            (report.unwrap(), model.parameters().clone())
        });
        assert_eq!(results[0].0.stop, StopReason::Observer);
        assert_eq!(
            (results[0].0.steps, results[0].0.epochs),
            (stop, stop as usize / 3)
        );
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }
}

#[test]
fn an_error_of_one_ends_all() {
    let samples = samples();
    let mut broken = samples.clone();
    broken[(2, 7)] = f64::NAN;
    for stream in [true, false] {
        let errors = together(2, |process| {
            let own = if process.rank == 0 { &samples } else { &broken };
            let (_, mut model) = models().swap_remove(0);
            let before = model.parameters().clone();
            let mut trainer = trainer("").epochs(2).all_reduce(process);
            let error = if stream {
                trainer.partial_fit(&mut model, own).map(drop)
            } else {
                trainer.fit(&mut model, own).map(drop)
            };
            assert_eq!(model.parameters(), &before);
            error.unwrap_err()
        });
        assert!(
            matches!(errors[0], Error::Incompatible { .. }),
            "{errors:?}"
        );
        assert!(matches!(errors[1], Error::NonFinite { .. }), "{errors:?}");
    }
}

#[test]
fn what_processes_cannot_do_together_is_refused() {
    let samples = samples();
    let refused = |hidden, dead_units: DeadUnits, what| {
        let results = together(1, |process| {
            let builder = SparseAutoencoder::<f64>::builder().layers([INPUT, 9]);
            let builder = builder.hidden_activation(hidden).penalty(());
            let builder = builder.output_activation(Activation::Identity);
            let trainer = trainer("").dead_units(dead_units).all_reduce(process);
            { trainer }.fit(&mut builder.build().unwrap(), &samples)
        });
        let error = results[0].as_ref().unwrap_err().to_string();
        let both = [what, "several processes"];
        assert!(both.iter().all(|what| error.contains(what)), "{error}");
    };
    let counted = DeadUnits::after(10);
    refused(Activation::BatchTopK(2), counted, "selects over a batch");
    refused(Activation::Relu, counted.resampled(1), "resampled units");
}
