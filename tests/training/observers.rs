//! What an observer of steps sees, and what its answers leave.

#![allow(clippy::float_cmp)] // what is copied

use std::io;
use std::ops::ControlFlow;
use std::sync::Mutex;

use crate::common::on_read::OnRead;
use crate::common::variants::{INPUT, inputs, samples, variants};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{Objective, Step};
use sparse_autoencoder::{
    Activation, Adam, DeadUnits, Error, Event, L1, Lbfgs, Loss, Optimizer, Report, Samples,
    Schedule, SetPoint, SetPointState, Sgd, SparseAutoencoder, SparseAutoencoderBuilder,
    StopReason, Trainer, Warning,
};

const BATCHES: usize = 4;
const EPOCHS: usize = 3;
const STEPS: u64 = 12;

type Named = (&'static str, fn() -> Box<dyn Optimizer<f64>>);

const OPTIMIZERS: [Named; 5] = [
    ("Adam", || Box::new(Adam::new(0.01).unwrap())),
    ("Sgd", || Box::new(Sgd::new(0.05).unwrap())),
    ("momentum", || {
        Box::new(Sgd::new(0.02).unwrap().momentum(0.9).unwrap())
    }),
    ("Nesterov", || {
        Box::new(Sgd::new(0.02).unwrap().momentum(0.9).unwrap().nesterov())
    }),
    ("L-BFGS", || Box::new(Lbfgs::new().history(3).unwrap())),
];

fn trainer(optimizer: Box<dyn Optimizer<f64>>) -> Trainer<f64> {
    let full = optimizer.needs_full_batch();
    let trainer = Trainer::new(optimizer).seed(3).threads(1);
    if full {
        trainer.epochs(STEPS as usize)
    } else {
        trainer.epochs(EPOCHS).batch_size(6) // of 23 samples: batches of 5 and 6
    }
}

fn adam() -> Trainer<f64> {
    trainer(OPTIMIZERS[0].1())
}

fn relu() -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([INPUT, 9])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(0.05)
}

fn bits(model: &SparseAutoencoder<f64>) -> Vec<u64> {
    let theta = model.parameters().as_slice().iter();
    theta.map(|value| value.to_bits()).collect()
}

fn break_if(stops: bool) -> ControlFlow<()> {
    if stops {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn zero(loss: Loss<f64>) -> Loss<f64> {
    let mut zero = loss;
    (zero.reconstruction, zero.weight_decay) = (0.0, 0.0);
    (zero.sparsity, zero.auxiliary) = (0.0, 0.0);
    zero
}

fn plus(sum: Loss<f64>, loss: Loss<f64>, share: f64) -> Loss<f64> {
    let mut sum = sum;
    sum.reconstruction += share * loss.reconstruction;
    sum.weight_decay += share * loss.weight_decay;
    sum.sparsity += share * loss.sparsity;
    sum.auxiliary += share * loss.auxiliary;
    sum
}

/// A mean of losses and the sum of their shares differ by rounding.
fn assert_same_mean(name: &str, mean: Loss<f64>, sum: Loss<f64>) {
    let terms = |of: Loss<f64>| {
        [
            of.reconstruction,
            of.weight_decay,
            of.sparsity,
            of.auxiliary,
        ]
    };
    for (mean, sum) in terms(mean).into_iter().zip(terms(sum)) {
        assert!(
            (mean - sum).abs() <= 1e-12 * sum.abs(),
            "{name}: {mean} {sum}"
        );
    }
}

/// Compares the steps and epochs of a fit with each other and with its report.
fn check_numbers(name: &str, model: &mut SparseAutoencoder<f64>, mut trainer: Trainer<f64>) {
    let x = samples::<f64>(23);
    let built = model.penalty_weight();
    let settings = trainer.settings().clone();
    let plain = settings.sparsity_warm_up.is_none() && settings.set_point.is_none();
    let (mut number, mut seen, mut epochs) = (0, 0, 0);
    let (mut sum, mut active) = (None, 0.0);
    let (mut dead, mut rate) = (Vec::new(), None);
    let mut last: Option<Option<SetPointState<f64>>> = None;
    let (mut history, mut l0s) = (Vec::new(), Vec::new());
    let of = |epochs: usize, batches: u64| epochs as u64 * batches;
    let full = settings.batch_size.is_none();
    let batches = if full { 1 } else { BATCHES as u64 };
    let report = trainer.fit_with_steps(model, &x, |event| match event {
        Event::Step(step) => {
            number += 1;
            assert_eq!((step.number, step.epoch), (number, epochs + 1), "{name}");
            assert_eq!(step.of, of(settings.epochs, batches));
            let in_batch = step.samples - seen;
            seen = step.samples;
            assert!(if full {
                in_batch == 23
            } else {
                (5..=6).contains(&in_batch)
            });
            let share = in_batch as f64 / 23.0;
            sum = Some(plus(sum.unwrap_or(zero(step.loss)), step.loss, share));
            active += (step.l0.unwrap_or(0.0) * in_batch as f64).round();
            assert_eq!(step.dead_units.is_some(), step.l0.is_some());
            if plain {
                assert_eq!(step.penalty_weight, built, "{name}");
            } else if let Some(before) = last.flatten() {
                assert_eq!(step.penalty_weight, before.penalty_weight, "{name}");
            }
            rate = step.learning_rate;
            last = Some(step.set_point);
        }
        Event::Epoch(epoch) => {
            epochs += 1;
            assert_eq!(
                (epoch.number, epoch.of),
                (epochs, settings.epochs),
                "{name}"
            );
            assert_eq!((epoch.steps, epoch.samples), (number, seen), "{name}");
            assert_eq!(epoch.samples, 23 * epochs as u64);
            assert_same_mean(name, epoch.loss, sum.take().unwrap());
            if let Some(of_epoch) = epoch.l0 {
                assert_eq!(of_epoch, std::mem::take(&mut active) / 23.0, "{name}");
                l0s.push(of_epoch);
            }
            assert_eq!((Some(epoch.set_point), epoch.learning_rate), (last, rate));
            dead.extend(epoch.dead_units);
            history.push(epoch.loss);
        }
        _ => unreachable!(),
    });
    let report = report.unwrap();
    assert_eq!((report.steps, report.epochs), (number, epochs), "{name}");
    assert_eq!(trainer.steps_taken(), number);
    assert_eq!((&report.losses, &report.l0), (&history, &l0s), "{name}");
    assert_eq!((report.dead_units, Some(report.set_point)), (dead, last));
}

#[test]
fn steps_add_up_to_epochs_and_to_the_report_for_every_variant() {
    for variant in variants() {
        check_numbers(&format!("{variant:?}"), &mut variant.model(), adam());
    }
}

#[test]
fn steps_add_up_for_every_optimizer_and_every_setting() {
    for (name, optimizer) in OPTIMIZERS {
        check_numbers(name, &mut relu().build().unwrap(), trainer(optimizer()));
    }
    type Setting = fn(Trainer<f64>) -> Trainer<f64>;
    let settings: [(&str, Setting); 4] = [
        ("set point", |t| {
            t.set_point(SetPoint::active_units(2.0).gain(0.2))
        }),
        ("warm-up", |t| t.sparsity_warm_up(0.7)),
        ("dead units", |t| {
            t.dead_units(DeadUnits::after(5).resampled(1))
        }),
        ("schedule", |t| t.schedule(Schedule::cosine(0.1))),
    ];
    for (name, setting) in settings {
        let mut model = relu().layers([INPUT, 30]).build().unwrap();
        check_numbers(name, &mut model, setting(adam()));
    }
}

#[test]
fn a_step_has_the_learning_rate_and_the_penalty_weight_of_the_schedules() {
    let x = samples::<f64>(23);
    let schedule = Schedule::linear(0.2).warm_up(0.3);
    let mut steps = 0;
    adam()
        .schedule(schedule)
        .sparsity_warm_up(0.5)
        .fit_with_steps(&mut relu().build().unwrap(), &x, |event| {
            let Event::Step(step) = event else { return };
            let before = steps as f64 / STEPS as f64;
            assert_eq!(step.learning_rate, Some(0.01 * schedule.factor(before)));
            assert_eq!(step.penalty_weight, (before / 0.5).min(1.0) * 0.05);
            steps += 1;
        })
        .unwrap();
    assert_eq!(steps, STEPS);
    let mut rates = Vec::new();
    let mut lbfgs = trainer(OPTIMIZERS[4].1());
    let mut model = relu().build().unwrap();
    let fit = lbfgs.fit_with(&mut model, &x, |epoch| rates.push(epoch.learning_rate));
    assert_eq!(rates, vec![None; fit.unwrap().epochs]);
}

/// A fit that an observer stops after step `stop`.
fn stopped(
    trainer: &mut Trainer<f64>,
    model: &mut SparseAutoencoder<f64>,
    x: impl Samples<f64>,
    stop: u64,
) -> Report<f64> {
    let mut epochs = 0;
    let fit = trainer.fit_with_steps(model, x, |event| match event {
        Event::Step(step) => break_if(step.number == stop),
        _ => {
            epochs += 1;
            ControlFlow::Continue(())
        }
    });
    let report = fit.unwrap();
    assert_eq!((report.steps, report.epochs), (stop, epochs));
    assert_eq!(report.losses.len(), epochs);
    assert_eq!(report.stop, StopReason::Observer);
    assert_eq!(trainer.steps_taken(), stop);
    report
}

/// Compares a fit stopped after `stop` steps with as many steps on the same batches.
fn check_stop(
    name: &str,
    builder: &SparseAutoencoderBuilder<f64>,
    start: &dyn Fn() -> Trainer<f64>,
    stop: u64,
) {
    let batches = Mutex::new(Vec::new());
    let x = OnRead(samples(23), |indices: &[usize], batch: &mut [f64]| {
        let batch = DMatrix::from_column_slice(INPUT, indices.len(), batch);
        batches.lock().unwrap().push(batch);
        Ok(())
    });
    let (mut model, mut trainer) = (builder.build().unwrap(), start());
    // The first read of all is that of the figures of the samples.
    let mut first = None;
    let mut whole = start();
    whole
        .fit_with_steps(&mut builder.build().unwrap(), &x, |_| {
            first.get_or_insert_with(|| batches.lock().unwrap().len() - 1);
        })
        .unwrap();
    let of_fit = batches.lock().unwrap().split_off(first.unwrap());
    stopped(&mut trainer, &mut model, &x, stop);

    let (mut other, mut steps) = (
        builder.build().unwrap(),
        start().stream_steps(STEPS as usize),
    );
    for batch in &of_fit[..stop as usize] {
        steps.partial_fit(&mut other, batch).unwrap();
    }
    // As a fit does at its end.
    if let Some(&Activation::BatchTopK(k)) = other.hidden_activations().last() {
        let inputs = inputs(&other, &x.0);
        other.calibrate_thresholds(inputs, k as f64).unwrap();
    }
    assert_eq!(bits(&model), bits(&other), "{name} after step {stop}");
    // What the optimizer and the counters remember shows in the next step.
    let mut trainer = trainer.stream_steps(STEPS as usize);
    for (model, trainer) in [(&mut model, &mut trainer), (&mut other, &mut steps)] {
        trainer.partial_fit(model, &of_fit[0]).unwrap();
    }
    assert_eq!(bits(&model), bits(&other), "{name} after step {stop}");
    assert_eq!(trainer.set_point_state(), steps.set_point_state(), "{name}");
}

#[test]
fn a_stop_leaves_what_so_many_steps_leave() {
    for (index, variant) in variants().iter().enumerate() {
        let stop = 1 + index as u64 % STEPS;
        let name = format!("{variant:?}");
        check_stop(&name, &variant.builder(), &adam, stop);
    }
    for (name, optimizer) in &OPTIMIZERS[..4] {
        for stop in 1..=STEPS {
            check_stop(name, &relu(), &|| trainer(optimizer()), stop);
        }
    }
    type Setting = fn(Trainer<f64>) -> Trainer<f64>;
    let settings: [Setting; 5] = [
        |t| t.set_point(SetPoint::active_units(2.0).gain(0.2)),
        |t| t.sparsity_warm_up(0.7).schedule(Schedule::cosine(0.1)),
        |t| t.dead_units(DeadUnits::after(5)).clip_gradient(0.3),
        |t| t.bias_rate(4.0),
        |t| t.unit_norm_decoder(true),
    ];
    for setting in settings {
        for stop in 1..=STEPS {
            check_stop("a setting", &relu(), &|| setting(adam()), stop);
        }
    }
}

/// Compares a fit stopped at the end of an epoch with a fit of so many epochs, apart from the reason.
fn check_epochs(name: &str, model: &SparseAutoencoder<f64>, start: &dyn Fn() -> Trainer<f64>) {
    let x = samples::<f64>(23);
    let steps_of_epoch = if start().settings().batch_size.is_some() {
        BATCHES
    } else {
        1
    };
    for epochs in 1..=EPOCHS {
        let (mut cut, mut fit) = (model.clone(), model.clone());
        let steps = (epochs * steps_of_epoch) as u64;
        let (mut trainer, mut other) = (start(), start().epochs(epochs));
        let mut report = stopped(&mut trainer, &mut cut, &x, steps);
        let expected = other.fit(&mut fit, &x).unwrap();
        assert_eq!(expected.stop, StopReason::EpochLimit, "{name}");
        report.stop = expected.stop;
        assert_eq!(report, expected, "{name}");
        assert_eq!(bits(&cut), bits(&fit), "{name}");
    }
}

#[test]
fn a_stop_at_the_end_of_an_epoch_is_a_fit_of_so_many_epochs() {
    for (name, optimizer) in OPTIMIZERS {
        let start = || trainer(optimizer());
        check_epochs(name, &relu().build().unwrap(), &start);
        let validated = || start().validation_split(0.1).patience(2);
        check_epochs(name, &relu().build().unwrap(), &validated);
    }
    let mut by_lbfgs = 0;
    for variant in variants() {
        let lbfgs = || trainer(OPTIMIZERS[4].1());
        let allowed = lbfgs()
            .epochs(EPOCHS + 1)
            .fit(&mut variant.model(), samples(23));
        if allowed.is_ok_and(|report| report.stop == StopReason::EpochLimit) {
            check_epochs(&format!("{variant:?}"), &variant.model(), &lbfgs);
            by_lbfgs += 1;
        }
        check_epochs(&format!("{variant:?}"), &variant.model(), &adam);
    }
    assert!(by_lbfgs > 500, "{by_lbfgs}");
}

#[test]
fn an_observer_of_steps_changes_no_bit() {
    let x = samples::<f64>(23);
    for (name, optimizer) in OPTIMIZERS {
        let fit = |seen: Option<&mut u64>| {
            let (mut model, mut trainer) = (relu().build().unwrap(), trainer(optimizer()));
            let report = match seen {
                None => trainer.fit(&mut model, &x),
                Some(seen) => trainer.fit_with_steps(&mut model, &x, |_| *seen += 1),
            };
            (bits(&model), report.unwrap())
        };
        let mut events = 0;
        let seen = fit(Some(&mut events));
        assert_eq!(events, seen.1.steps + seen.1.epochs as u64);
        assert_eq!(fit(None), seen, "{name}");
    }
}

/// Raises the objective.
#[derive(Debug)]
struct Ascent;

impl Optimizer<f64> for Ascent {
    fn reset(&mut self, _len: usize) {}

    fn step(&mut self, theta: &mut [f64], objective: &mut Objective<'_, f64>) -> Step<f64> {
        let mut gradient = vec![0.0; theta.len()];
        let loss = objective(theta, &mut gradient);
        let pairs = theta.iter_mut().zip(gradient);
        pairs.for_each(|(parameter, g)| *parameter += 0.01 * g);
        Step::moved(loss)
    }
}

#[test]
fn with_patience_a_stop_leaves_the_best_epoch() {
    let x = samples::<f64>(23);
    let model = || relu().build().unwrap();
    // The first epoch is the best.
    let start = || trainer(Box::new(Ascent)).patience(10);
    let mut first = Vec::new();
    let fit = start().fit_with(&mut model(), &x, |epoch| {
        if epoch.number == 1 {
            first = bits(epoch.model);
        }
    });
    assert_eq!(fit.unwrap().best_epoch, 1);
    for stop in 1..=STEPS {
        let mut model = model();
        let report = stopped(&mut start(), &mut model, &x, stop);
        let epochs = stop as usize / BATCHES;
        assert_eq!(report.best_epoch, epochs.min(1));
        assert_eq!(bits(&model) == first, epochs > 0, "{stop}");
    }
}

/// No two epochs could be compared.
#[test]
fn patience_is_refused_where_the_objective_changes_to_the_end() {
    let x = samples::<f64>(23);
    let top_k = || {
        relu()
            .hidden_activation(Activation::TopK(2))
            .penalty(())
            .build()
            .unwrap()
    };
    for (epochs, fraction, accepted) in [
        (4, 0.75, true),
        (4, 0.76, false),
        (4, 1.0, false),
        (1, 0.1, false),
    ] {
        let fit = trainer(Box::new(Ascent))
            .epochs(epochs)
            .patience(2)
            .anneal_k(4, fraction);
        let mut fit = fit;
        let done = fit.fit(&mut top_k(), &x);
        let refused = matches!(
            done,
            Err(Error::Incompatible {
                what: "patience",
                ..
            })
        );
        assert_eq!(refused, !accepted, "{epochs} {fraction}: {done:?}");
    }
}

#[test]
fn an_error_of_the_observer_ends_the_fit_and_leaves_the_last_step() {
    let x = samples::<f64>(23);
    let error = || Error::EmptyBatch { what: "a test" };
    for stop in 1..=STEPS {
        let (mut expected, mut model) = (relu().build().unwrap(), relu().build().unwrap());
        stopped(&mut adam(), &mut expected, &x, stop);
        let mut trainer = adam();
        let mut fit = |model: &mut SparseAutoencoder<f64>| {
            trainer.fit_with_steps(model, &x, |event| match event {
                Event::Step(step) if step.number == stop => Err(error()),
                _ => Ok(()),
            })
        };
        assert_eq!(fit(&mut model).unwrap_err(), error());
        assert_eq!(bits(&model), bits(&expected), "{stop}");
        // The next fit starts afresh.
        let mut again = relu().build().unwrap();
        assert_eq!(fit(&mut again).unwrap_err(), error());
        assert_eq!(bits(&again), bits(&model), "{stop}");
    }
    let epochs = |model: &mut SparseAutoencoder<f64>| {
        adam().fit_with(model, &x, |epoch| {
            if epoch.number == 2 {
                return Err(error());
            }
            Ok(ControlFlow::Continue(()))
        })
    };
    let (mut expected, mut model) = (relu().build().unwrap(), relu().build().unwrap());
    stopped(&mut adam(), &mut expected, &x, 2 * BATCHES as u64);
    assert_eq!(epochs(&mut model).unwrap_err(), error());
    assert_eq!(bits(&model), bits(&expected));
}

/// A fit stopped before its first epoch ends warns of what its steps show.
#[test]
fn a_stop_in_the_first_epoch_warns_too() {
    let x = samples::<f64>(23);
    let mut model = relu().build().unwrap();
    let mut trainer = trainer(Box::new(Adam::new(5.0).unwrap()));
    let report = stopped(&mut trainer, &mut model, &x, 3);
    assert_eq!((report.epochs, report.best_epoch), (0, 0));
    let of_steps = |warning: &Warning| matches!(warning, Warning::NoBetterThanMean { .. });
    assert!(
        report.warnings.iter().any(of_steps),
        "{:?}",
        report.warnings
    );
}

#[test]
fn variants_of_the_observer_agree() {
    let x = samples::<f64>(23);
    let variant = |trainer: &mut Trainer<f64>, way| {
        let mut model = relu().build().unwrap();
        let stops = |number| number == 2;
        match way {
            0 => trainer.fit_with(&mut model, &x, |epoch| break_if(stops(epoch.number))),
            1 => trainer.fit_with(&mut model, &x, |epoch| Ok(break_if(stops(epoch.number)))),
            _ => trainer.fit_with_steps(&mut model, &x, |event| match event {
                Event::Epoch(epoch) => break_if(stops(epoch.number)),
                _ => ControlFlow::Continue(()),
            }),
        }
        .unwrap()
    };
    let reports = [0, 1, 2].map(|way| variant(&mut adam(), way));
    assert_eq!(reports[0], reports[1]);
    assert_eq!(reports[0], reports[2]);
    assert_eq!(
        (reports[0].epochs, reports[0].stop),
        (2, StopReason::Observer)
    );
}

#[test]
fn an_error_of_input_or_output_in_an_observer_says_what_failed() {
    let x = samples::<f64>(23);
    let full = || io::Error::new(io::ErrorKind::StorageFull, "no space left");
    let expected = Error::InputOutput {
        kind: io::ErrorKind::StorageFull,
        message: "no space left".to_owned(),
    };
    assert_eq!(
        expected.to_string(),
        "input or output failed: no space left"
    );
    let of_steps = adam().fit_with_steps(&mut relu().build().unwrap(), &x, |_| {
        Err::<(), _>(full())?;
        Ok(())
    });
    let of_epochs = adam().fit_with(&mut relu().build().unwrap(), &x, |_| {
        Err::<(), _>(full())?;
        Ok(())
    });
    assert_eq!(of_steps.unwrap_err(), expected);
    assert_eq!(of_epochs.unwrap_err(), expected);
}

/// A sum of a million shares in `f32` would be off by a percent.
#[test]
fn the_mean_of_equal_losses_is_exact() {
    let samples = DMatrix::from_fn(1, 20_000, |_, j| if j % 2 == 0 { 1.0_f32 } else { -1.0 });
    let mut model = SparseAutoencoder::builder()
        .layers([1, 1])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    model.set_theta(&vec![0.0; model.layout().len()]).unwrap();
    let mut trainer = Trainer::new(Sgd::new(1e-30).unwrap())
        .epochs(1)
        .batch_size(1);
    let report = trainer.fit(&mut model, &samples).unwrap();
    assert_eq!(report.losses[0].reconstruction, 0.5);
    assert_eq!(report.explained_variance, [0.0]);
}
