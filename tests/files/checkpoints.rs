//! What goes on from a checkpoint ends with the same bits as what was never interrupted.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{Objective, State, Step};
use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient, Scaled};
use sparse_autoencoder::training::Settings;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Every, Initialization, KlDivergence, L0, L1,
    Lbfgs, Optimizer, Penalty, Proportion, Real, Report, Schedule, SetPoint, Sgd,
    SparseAutoencoder, SparseAutoencoderBuilder, SquaredDeviation, Stack, StopReason, TargetL0,
    Trainer, format,
};

use crate::variants::for_each_in_threads;

/// A folder of one test's own, which is gone when the test ends.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!(
            "sparse-autoencoder-checkpoint-{name}-{}",
            std::process::id()
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("run.ckpt")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const VISIBLE: usize = 5;
const HIDDEN: usize = 8;
const SAMPLES: usize = 23;
const BATCH: usize = 6; // four batches of an epoch, not all of one size
const EPOCHS: usize = 3;
const STEPS: u64 = 12;

fn samples<T: Real>() -> DMatrix<T> {
    DMatrix::from_fn(VISIBLE, SAMPLES, |i, j| {
        T::of(((i * 31 + j * 17 + 1) as f64 * 0.618_033_988_749_895).fract())
    })
}

fn bits<T: Real>(model: &SparseAutoencoder<T>) -> Vec<u64> {
    let theta = model.parameters().as_slice().iter();
    theta.map(|value| value.to_f64().to_bits()).collect()
}

/// Any optimizer, which stops the training by a loss that is not finite after some steps. To a
/// checkpoint it is the optimizer itself.
#[derive(Debug)]
struct Interrupted<T> {
    optimizer: Box<dyn Optimizer<T>>,
    left: u64,
}

impl<T: Real> Optimizer<T> for Interrupted<T> {
    fn reset(&mut self, len: usize) {
        self.optimizer.reset(len);
    }

    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        if self.left == 0 {
            return Step::moved(T::of(f64::NAN));
        }
        self.left -= 1;
        self.optimizer.step(theta, objective)
    }

    fn scale_learning_rate(&mut self, factor: T) -> Result<(), Error> {
        self.optimizer.scale_learning_rate(factor)
    }

    fn forget(&mut self, parameters: Range<usize>) {
        self.optimizer.forget(parameters);
    }

    fn needs_full_batch(&self) -> bool {
        self.optimizer.needs_full_batch()
    }

    fn state(&self) -> Result<State<'_, T>, Error> {
        self.optimizer.state()
    }

    fn restore(&mut self, len: usize, state: State<'_, T>) -> Result<(), Error> {
        self.optimizer.restore(len, state)
    }
}

/// How a program builds its training.
struct Program<'a, T> {
    name: &'a str,
    model: SparseAutoencoderBuilder<T>,
    optimizer: &'a dyn Fn() -> Box<dyn Optimizer<T>>,
    trainer: &'a dyn Fn(Trainer<T>) -> Trainer<T>,
}

impl<T: Real> Program<'_, T> {
    fn start(&self, steps: u64) -> (SparseAutoencoder<T>, Trainer<T>) {
        let optimizer = Interrupted {
            optimizer: (self.optimizer)(),
            left: steps,
        };
        let mut trainer = Trainer::new(optimizer).epochs(EPOCHS).seed(3);
        if !(self.optimizer)().needs_full_batch() {
            trainer = trainer.batch_size(BATCH);
        }
        (self.model.build().unwrap(), (self.trainer)(trainer))
    }

    /// What comes of it without an interruption.
    fn straight(&self) -> (SparseAutoencoder<T>, Trainer<T>, Report<T>) {
        let (mut model, mut trainer) = self.start(u64::MAX);
        let report = trainer.fit(&mut model, samples()).unwrap();
        (model, trainer, report)
    }

    /// Interrupts it after each of these steps, and compares what comes of it then.
    fn check(&self, scratch: &Scratch, boundaries: impl IntoIterator<Item = u64>) {
        let (expected, mut other, expected_report) = self.straight();
        for boundary in boundaries {
            let at = format!("{} after step {boundary}", self.name);
            let path = scratch.file();
            let _ = fs::remove_file(&path);
            let (mut model, trainer) = self.start(boundary);
            let result = trainer
                .checkpoint(&path, Every::Steps(boundary))
                .fit(&mut model, samples());
            if boundary < other.steps_taken() {
                assert!(matches!(result, Err(Error::Diverged { .. })), "{at}");
            }

            let (mut model, mut trainer) = self.start(u64::MAX);
            trainer.resume(&mut model, &path).unwrap();
            assert_eq!(
                trainer.steps_taken(),
                boundary.min(other.steps_taken()),
                "{at}"
            );
            let report = trainer.fit(&mut model, samples()).unwrap();
            assert_eq!(report, expected_report, "{at}");
            assert_eq!(bits(&model), bits(&expected), "{at}");
            assert_eq!(trainer.set_point_state(), other.set_point_state(), "{at}");
            assert_eq!(trainer.steps_taken(), other.steps_taken(), "{at}");

            // What the optimizer and the counters remember is the same too, if it shows in the next
            // step.
            if boundary == 1 && !(self.optimizer)().needs_full_batch() {
                let mut expected = expected.clone();
                other.partial_fit(&mut expected, &samples()).unwrap();
                trainer.partial_fit(&mut model, &samples()).unwrap();
                assert_eq!(bits(&model), bits(&expected), "{at}");
                other.reset();
                (_, other, _) = self.straight();
            }
        }
    }
}

fn builder<T: Real>() -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder()
        .layers([VISIBLE, HIDDEN])
        .seed(5)
}

fn relu<T: Real>() -> SparseAutoencoderBuilder<T> {
    builder()
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(0.05)
}

fn adam<T: Real>() -> Box<dyn Optimizer<T>> {
    Box::new(Adam::new(0.01).unwrap().weight_decay(0.01).unwrap())
}

type Named<T> = (&'static str, fn() -> Box<dyn Optimizer<T>>);

fn optimizers<T: Real>() -> [Named<T>; 5] {
    [
        ("Adam", adam),
        ("Sgd", || Box::new(Sgd::new(0.05).unwrap())),
        ("momentum", || {
            Box::new(Sgd::new(0.02).unwrap().momentum(0.9).unwrap())
        }),
        ("Nesterov", || {
            Box::new(Sgd::new(0.02).unwrap().momentum(0.9).unwrap().nesterov())
        }),
        ("Lbfgs", || Box::new(Lbfgs::new().history(3).unwrap())),
    ]
}

/// Every activation and every penalty, and what else a model can be.
fn models<T: Real>() -> Vec<(&'static str, SparseAutoencoderBuilder<T>)> {
    let with = |f| {
        builder()
            .hidden_activation(f)
            .output_activation(Activation::Identity)
    };
    vec![
        (
            "sigmoid, KL",
            builder().penalty_weight(0.3).weight_decay(1e-3),
        ),
        ("tanh, KL", builder().hidden_activation(Activation::Tanh)),
        (
            "identity, SquaredDeviation",
            with(Activation::Identity).penalty(SquaredDeviation),
        ),
        (
            "saturating linear, a pair",
            with(Activation::SaturatingLinear).penalty((KlDivergence, Scaled::new(0.1, L1))),
        ),
        ("relu, L1", relu()),
        ("relu, L1 by norms", relu().norm_weighted(true)),
        ("relu, Proportion", relu().penalty(Proportion).tied(true)),
        ("relu, none", relu().penalty(())),
        ("TopK", with(Activation::TopK(2)).matryoshka([3])),
        ("TopK, few", with(Activation::TopK(2)).layers([VISIBLE, 40])),
        ("TopProportion", with(Activation::TopProportion(0.3))),
        ("WinnerTakeAll", with(Activation::WinnerTakeAll(0.3))),
        (
            "BatchTopK",
            with(Activation::BatchTopK(2)).pre_encoder_bias(true),
        ),
        ("JumpRelu, L0", with(Activation::JumpRelu).penalty(L0)),
        (
            "JumpRelu, TargetL0",
            with(Activation::JumpRelu)
                .penalty(TargetL0)
                .sparsity_target(0.2),
        ),
        ("Gated, L1", with(Activation::Gated).penalty(L1)),
        (
            "deep",
            builder().layers([VISIBLE, HIDDEN, 4]).penalized_layers([1]),
        ),
    ]
}

fn every_pair<T: Real>(name: &str) {
    let scratch = Scratch::new(name);
    for (optimizer_name, optimizer) in optimizers::<T>() {
        for (index, (model_name, model)) in models::<T>().into_iter().enumerate() {
            // Within an epoch, at its end, and at the end of all; another one for each model.
            let middle = 1 + index as u64 % (STEPS - 1);
            Program {
                name: &format!("{optimizer_name}, {model_name}"),
                model,
                optimizer: &optimizer,
                trainer: &|trainer| trainer,
            }
            .check(&scratch, [middle, STEPS]);
        }
    }
}

#[test]
fn every_optimizer_goes_on_with_every_model_in_f64() {
    every_pair::<f64>("pairs-f64");
}

#[test]
fn every_optimizer_goes_on_with_every_model_in_f32() {
    every_pair::<f32>("pairs-f32");
}

#[test]
fn every_variant_goes_on() {
    for_each_in_threads(|thread, index, variant| {
        Program::<f64> {
            name: &format!("{variant:?}"),
            model: variant.builder(),
            optimizer: &adam,
            trainer: &|trainer| trainer,
        }
        .check(
            &Scratch::new(&format!("variants-{thread}")),
            [STEPS / 2 + index as u64 % (STEPS / 2)],
        );
    });
}

#[test]
fn every_setting_of_a_trainer_goes_on_from_every_batch() {
    let scratch = Scratch::new("settings");
    let noise = Corruption::Gaussian {
        standard_deviation: 0.1,
    };
    type Setting = fn(Trainer<f32>) -> Trainer<f32>;
    let settings: [(&str, SparseAutoencoderBuilder<f32>, Setting); 10] = [
        ("nothing", relu(), |t| t),
        ("schedule", relu(), |t| {
            t.schedule(Schedule::cosine(0.1).warm_up(0.2))
                .clip_gradient(0.3)
        }),
        ("patience", relu(), |t| t.validation_split(0.2).patience(1)),
        // The best epoch is the first: the loss rises with β.
        ("best epoch", relu().penalty_weight(50.0), |t| {
            t.patience(5).sparsity_warm_up(1.0)
        }),
        ("unit norm", relu(), |t| t.unit_norm_decoder(true)),
        ("warm-up", relu(), |t| t.sparsity_warm_up(0.7)),
        ("set point", relu(), |t| {
            t.set_point(SetPoint::active_units(2.0).gain(0.2))
        }),
        ("resampling", relu().layers([VISIBLE, 30]), |t| {
            t.dead_units(DeadUnits::after(5).resampled(1))
        }),
        (
            "k and auxiliary loss",
            relu()
                .hidden_activation(Activation::BatchTopK(1))
                .penalty(())
                .layers([VISIBLE, 30])
                .initialization(Initialization::TransposedDecoder),
            |t| {
                t.anneal_k(3, 0.5)
                    .dead_units(DeadUnits::after(20).auxiliary(2, 0.1))
            },
        ),
        ("noise", relu(), |t| t),
    ];
    for (name, model, trainer) in settings {
        let program = Program {
            name,
            model,
            optimizer: &adam,
            trainer: &|t| {
                let t = trainer(t);
                if name == "noise" {
                    t.corruption(noise)
                } else {
                    t
                }
            },
        };
        if name == "best epoch" {
            assert_eq!(program.straight().2.best_epoch, 1);
        }
        program.check(&scratch, 1..=STEPS);
    }
}

#[test]
fn line_searches_go_on_from_every_iteration() {
    let scratch = Scratch::new("line-searches");
    let [.., (name, lbfgs)] = optimizers::<f64>();
    let model = builder::<f64>().penalty_weight(0.3);
    let trainer = |trainer: Trainer<f64>| trainer.epochs(20_000);
    let program = Program {
        name,
        model,
        optimizer: &lbfgs,
        trainer: &trainer,
    };
    let (_, _, report) = program.straight();
    assert_eq!(report.stop, StopReason::Converged);
    // More than there are pairs; and behind the end, where nothing is left to be learned.
    program.check(&scratch, [1, 2, 3, 4, 5, 17, report.epochs as u64, 1000]);
}

#[test]
fn a_fit_that_is_done_is_given_more_epochs() {
    let scratch = Scratch::new("more");
    let path = scratch.file();
    type Setting = fn(Trainer<f64>) -> Trainer<f64>;
    let settings: [Setting; 3] = [
        |t| t,
        |t| t.dead_units(DeadUnits::after(5).resampled(1)),
        |t| t.validation_split(0.2).patience(3),
    ];
    for setting in settings {
        let fit = |epochs, resume, observer: &mut dyn FnMut(usize) -> ControlFlow<()>| {
            let mut model = relu::<f64>().layers([VISIBLE, 30]).build().unwrap();
            let trainer = Trainer::new(Adam::new(0.02).unwrap()).batch_size(BATCH);
            let mut trainer = setting(trainer)
                .epochs(epochs)
                .checkpoint(&path, Every::Epochs(100)); // that is, at the end
            if resume {
                trainer.resume(&mut model, &path).unwrap();
            }
            let report = trainer.fit_with(&mut model, samples(), |e| observer(e.number));
            (bits(&model), report.unwrap())
        };
        let mut on = |_| ControlFlow::Continue(());
        let expected = fit(8, false, &mut on);
        fit(4, false, &mut on);
        assert_eq!(fit(8, true, &mut on), expected);
        // What is done is not done again, and told as it was.
        assert_eq!(fit(8, true, &mut |_| unreachable!()), expected);

        // An observer that stops, for good or for now, is asked again by a fit that goes on.
        let mut seen = Vec::new();
        let mut stop = |epoch| {
            seen.push(epoch);
            if epoch == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        assert_eq!(fit(8, false, &mut stop).1.stop, StopReason::Observer);
        assert_eq!(fit(8, true, &mut stop), expected);
        assert_eq!(seen, (1..=expected.1.epochs).collect::<Vec<_>>());
    }
}

#[test]
fn a_stream_goes_on_from_every_batch() {
    let scratch = Scratch::new("stream");
    let x = samples::<f32>();
    let start = || {
        let model = relu::<f32>().build().unwrap();
        let trainer = Trainer::new(Adam::new(0.01).unwrap())
            .corruption(Corruption::Masking { fraction: 0.2 })
            .dead_units(DeadUnits::after(10))
            .set_point(SetPoint::active_units(2.0));
        (model, trainer)
    };
    let learn = |(mut model, mut trainer): (SparseAutoencoder<f32>, Trainer<f32>), count| {
        for batch in trainer.steps_taken() as usize..count {
            let batch = x.columns(batch * 2, 2);
            trainer.partial_fit(&mut model, batch).unwrap();
        }
        (model, trainer)
    };
    let (expected, other) = learn(start(), 10);
    for boundary in 0..=10 {
        let (model, trainer) = learn(start(), boundary);
        trainer.save(&model, scratch.file()).unwrap();
        let (mut model, mut trainer) = start();
        trainer.resume(&mut model, scratch.file()).unwrap();
        assert_eq!(trainer.steps_taken(), boundary as u64);
        let (model, trainer) = learn((model, trainer), 10);
        assert_eq!(bits(&model), bits(&expected), "after batch {boundary}");
        assert!(trainer.set_point_state().is_some());
        assert_eq!(trainer.set_point_state(), other.set_point_state());
        assert_eq!(model.penalty_weight(), expected.penalty_weight());
        assert_eq!(trainer.steps_taken(), 10);
    }
}

#[test]
fn a_checkpoint_is_a_model_file_too() {
    let scratch = Scratch::new("model");
    let mut model = relu::<f32>().build().unwrap();
    Trainer::new(Adam::new(0.01).unwrap())
        .epochs(1)
        .checkpoint(scratch.file(), Every::Epochs(1))
        .fit(&mut model, samples())
        .unwrap();
    let loaded = format::load::<f32>(scratch.file()).unwrap();
    assert_eq!(loaded.notes, []);
    assert_eq!(loaded.model.parameters(), model.parameters());
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "no drafts");
}

#[test]
fn a_checkpoint_that_cannot_be_written_loses_nothing() {
    let scratch = Scratch::new("unwritten");
    let folder = scratch.0.join("later");
    let path = folder.join("run.ckpt");
    let start = || {
        let trainer = Trainer::new(Adam::new(0.01).unwrap())
            .epochs(EPOCHS)
            .batch_size(BATCH);
        (relu::<f64>().build().unwrap(), trainer)
    };
    let (mut expected, mut trainer) = start();
    let expected_report = trainer.fit(&mut expected, samples()).unwrap();

    for every in [Every::Steps(2), Every::Steps(4), Every::Epochs(3)] {
        let (mut model, trainer) = start();
        let before = bits(&model);
        let mut trainer = trainer.checkpoint(&path, every);
        let result = trainer.fit(&mut model, samples());
        assert!(matches!(result, Err(Error::Io { path: p, .. }) if p == path));
        assert_ne!(bits(&model), before);
        let steps = trainer.steps_taken();
        assert_eq!(
            steps,
            match every {
                Every::Steps(steps) => steps,
                _ => STEPS,
            }
        );
        // It can be saved elsewhere,
        trainer.save(&model, scratch.file()).unwrap();
        let (mut again, mut other) = start();
        other.resume(&mut again, scratch.file()).unwrap();
        assert_eq!(other.fit(&mut again, samples()).unwrap(), expected_report);
        assert_eq!(bits(&again), bits(&expected));
        // or go on in place.
        fs::create_dir(&folder).unwrap();
        assert_eq!(trainer.fit(&mut model, samples()).unwrap(), expected_report);
        assert_eq!(bits(&model), bits(&expected));
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn other_settings_are_refused_by_name() {
    let scratch = Scratch::new("other");
    let path = scratch.file();
    let trainer = |optimizer: Box<dyn Optimizer<f64>>| {
        let left = u64::MAX;
        Trainer::new(Interrupted { optimizer, left }).batch_size(BATCH)
    };
    let ours = || trainer(adam());
    let mut model = relu::<f64>().build().unwrap();
    let schedule = Schedule::linear(0.0);
    ours()
        .epochs(2)
        .schedule(schedule)
        .checkpoint(&path, Every::Epochs(1))
        .fit(&mut model, samples())
        .unwrap();

    let refused = |builder: SparseAutoencoderBuilder<f64>, trainer: Trainer<f64>| {
        let mut trainer = trainer.schedule(schedule);
        let mut model = builder.build().unwrap();
        let before = bits(&model);
        let error = trainer.resume(&mut model, &path).unwrap_err();
        assert_eq!(bits(&model), before);
        assert_eq!(trainer.steps_taken(), 0);
        match error {
            Error::OtherSetting {
                setting,
                saved,
                given,
                ..
            } => {
                assert_ne!(saved, given);
                setting
            }
            other => panic!("{other}"),
        }
    };
    let ok = || ours().epochs(2);
    let noise = Corruption::Masking { fraction: 0.1 };
    let boxed =
        |adam: Result<Adam<f64>, Error>| -> Box<dyn Optimizer<f64>> { Box::new(adam.unwrap()) };
    for (setting, given) in [
        ("epochs", ours().epochs(3)),
        ("batch_size", ok().batch_size(5)),
        ("seed", ok().seed(1)),
        ("validation_split", ok().validation_split(0.2)),
        ("patience", ok().patience(2)),
        ("clip_gradient", ok().clip_gradient(1.0)),
        ("unit_norm_decoder", ok().unit_norm_decoder(true)),
        ("sparsity_warm_up", ok().sparsity_warm_up(0.5)),
        ("anneal_k", ok().anneal_k(3, 0.5)),
        ("set_point", ok().set_point(SetPoint::active_units(1.0))),
        ("dead_units", ok().dead_units(DeadUnits::after(10))),
        ("corruption", ok().corruption(noise)),
        (
            "optimizer.name",
            trainer(Box::new(Sgd::new(0.01).unwrap())).epochs(2),
        ),
        (
            "optimizer.learning_rate",
            trainer(boxed(Adam::new(0.011))).epochs(2),
        ),
        (
            "optimizer.beta2",
            trainer(boxed(
                Adam::new(0.01)
                    .and_then(|adam| adam.weight_decay(0.01))
                    .and_then(|adam| adam.betas(0.9, 0.99)),
            ))
            .epochs(2),
        ),
    ] {
        let named = refused(relu(), given);
        // Of several the first is named.
        assert!(
            named == setting || setting == "optimizer.name" && named.starts_with("optimizer."),
            "{named}, not {setting}"
        );
    }
    for (setting, given) in [
        ("model.layers", relu().layers([VISIBLE, 9])),
        ("model.tied", relu().tied(true)),
        (
            "model.hidden_activations",
            relu().hidden_activation(Activation::Identity),
        ),
        ("model.penalty", relu().penalty(Proportion)),
        ("model.penalty", relu().penalty(Own(1.0))),
        ("model.penalty_weight", relu().penalty_weight(0.06)),
        ("model.weight_decay", relu().weight_decay(0.06)),
        ("model.sparsity_target", relu().sparsity_target(0.06)),
        ("model.norm_weighted", relu().norm_weighted(true)),
        ("model.matryoshka", relu().matryoshka([3])),
        ("model.pre_encoder_bias", relu().pre_encoder_bias(true)),
        ("model.bandwidth", relu().bandwidth(0.1)),
    ] {
        assert_eq!(refused(given, ok()), setting);
    }
    let mut narrow = relu::<f32>().build().unwrap();
    let optimizer = Adam::new(0.01).unwrap().weight_decay(0.01).unwrap();
    let error = Trainer::new(optimizer)
        .batch_size(BATCH)
        .epochs(2)
        .schedule(schedule)
        .resume(&mut narrow, &path)
        .unwrap_err();
    assert!(matches!(error, Error::OtherSetting { setting, .. } if setting == "scalar"));

    // Other samples are found where they are given, and the fit can still go on.
    let mut trainer = ok().epochs(2).schedule(schedule).threads(1);
    trainer.resume(&mut model, &path).unwrap();
    let few = samples::<f64>().columns(0, 20).into_owned();
    let error = trainer.fit(&mut model, &few).unwrap_err();
    assert!(matches!(
        error,
        Error::DimensionMismatch {
            expected: SAMPLES,
            actual: 20,
            ..
        }
    ));
    assert_eq!(trainer.fit(&mut model, samples()).unwrap().epochs, 2);
}

/// A penalty of this test's own.
#[derive(Debug)]
struct Own(f64);

impl<T: Real> Penalty<T> for Own {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        Scaled::new(self.0, L1).accumulate(hidden, scale, gradient)
    }
}

#[test]
fn penalties_of_others_come_from_the_program() {
    let scratch = Scratch::new("penalty");
    Program {
        name: "own penalty",
        model: relu::<f64>().penalty(Own(0.3)),
        optimizer: &adam,
        trainer: &|trainer| trainer,
    }
    .check(&scratch, [5]);
    let mut model = relu::<f64>().penalty(Own(0.4)).build().unwrap();
    let mut trainer = Trainer::new(Interrupted {
        optimizer: adam(),
        left: 0,
    })
    .batch_size(BATCH)
    .seed(3);
    let error = trainer.resume(&mut model, scratch.file()).unwrap_err();
    assert!(matches!(
        error,
        Error::OtherSetting { setting, saved, given, .. }
            if setting == "model.penalty" && saved.contains("0.3") && given.contains("0.4")
    ));
}

/// The method of Robbins and Monro, whose state is a number and a vector.
#[derive(Debug, Default)]
struct Averaged<T> {
    steps: f64,
    mean: Vec<T>,
}

impl<T: Real> Optimizer<T> for Averaged<T> {
    fn reset(&mut self, len: usize) {
        self.steps = 0.0;
        self.mean = vec![T::zero(); len];
    }

    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        let mut gradient = vec![T::zero(); theta.len()];
        let loss = objective(theta, &mut gradient);
        if loss.is_finite() {
            self.steps += 1.0;
            let rate = T::of(0.1 / self.steps);
            for ((theta, mean), g) in theta.iter_mut().zip(&mut self.mean).zip(gradient) {
                *mean += g;
                *theta -= rate * *mean;
            }
        }
        Step::moved(loss)
    }

    fn state(&self) -> Result<State<'_, T>, Error> {
        Ok(State::new("Averaged")
            .number("steps", self.steps)
            .vector("mean", &self.mean))
    }

    fn restore(&mut self, len: usize, mut state: State<'_, T>) -> Result<(), Error> {
        let steps = state.take_number("steps")?;
        self.mean = state.take_vector("mean", len)?;
        self.steps = steps;
        Ok(())
    }
}

/// One that does not say what it remembers.
#[derive(Debug)]
struct Silent;

impl<T: Real> Optimizer<T> for Silent {
    fn reset(&mut self, _: usize) {}

    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        let mut gradient = vec![T::zero(); theta.len()];
        Step::moved(objective(theta, &mut gradient))
    }
}

#[test]
fn optimizers_of_others_take_part_or_are_named() {
    let scratch = Scratch::new("optimizer");
    Program {
        name: "own optimizer",
        model: relu::<f32>(),
        optimizer: &|| Box::new(Averaged::default()),
        trainer: &|trainer| trainer,
    }
    .check(&scratch, 1..=STEPS);

    let mut model = relu::<f32>().build().unwrap();
    let before = bits(&model);
    let mut trainer = Trainer::new(Silent).checkpoint(scratch.file(), Every::Epochs(1));
    let resumed = trainer.resume(&mut model, scratch.file());
    let saved = trainer.save(&model, scratch.file());
    let fitted = trainer.fit(&mut model, samples()).map(|_| ());
    for result in [resumed, saved, fitted] {
        let named =
            matches!(result, Err(Error::Incompatible { other, .. }) if other.contains("Silent"));
        assert!(named, "{result:?}");
    }
    assert_eq!(bits(&model), before);
}

#[test]
fn what_no_checkpoint_is_for_is_refused() {
    let scratch = Scratch::new("refused");
    let trainer = || Trainer::new(Adam::new(0.01).unwrap());
    let mut model = relu::<f64>().build().unwrap();
    for every in [Every::Steps(0), Every::Epochs(0)] {
        let error = trainer()
            .checkpoint(scratch.file(), every)
            .fit(&mut model, samples())
            .unwrap_err();
        assert!(matches!(error, Error::InvalidParameter { name, .. } if name.ends_with("Every")));
    }
    let mut trainer = trainer().checkpoint(scratch.file(), Every::Epochs(1));
    let mut stack = Stack::new(vec![
        builder::<f64>().build().unwrap(),
        builder().layers([HIDDEN, 3]).build().unwrap(),
    ])
    .unwrap();
    let incompatible = |error| {
        matches!(
            error,
            Error::Incompatible {
                what: "a checkpoint",
                ..
            }
        )
    };
    assert!(incompatible(
        stack.fit(&mut trainer, &samples()).unwrap_err()
    ));
    let missing = trainer
        .resume(&mut model, scratch.0.join("none"))
        .unwrap_err();
    assert!(matches!(
        missing,
        Error::Io {
            kind: std::io::ErrorKind::NotFound,
            ..
        }
    ));
    // A model is no checkpoint.
    format::save(&model, scratch.file()).unwrap();
    let error = trainer.resume(&mut model, scratch.file()).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }));
}

#[test]
fn settings_and_reports_are_the_same_after_json() {
    fn there_and_back<V>(value: &V) -> String
    where
        V: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<V>(&text).unwrap(), value);
        text
    }
    // As in the files of models.
    assert_eq!(
        there_and_back(&Activation::BatchTopK(3)),
        r#"{"batch_top_k":3}"#
    );
    assert_eq!(there_and_back(&Activation::JumpRelu), r#""jump_relu""#);
    let pair = (KlDivergence, Scaled::new(0.1, L1));
    assert_eq!(
        there_and_back(&Penalty::<f64>::description(&pair)),
        r#"{"sum":["kl_divergence",{"scaled":[0.1,"l1"]}]}"#
    );
    there_and_back(&Schedule::cosine(0.1).warm_up(0.2));
    there_and_back(&Corruption::Masking { fraction: 0.3 });
    there_and_back(&DeadUnits::after(9).auxiliary(2, 0.1));
    there_and_back(&SetPoint::mean_activation(0.1));
    there_and_back(&Initialization::TransposedDecoder);
    there_and_back(&Every::Steps(5));
    let trainer: Trainer<f32> = Trainer::new(Adam::new(0.01).unwrap())
        .batch_size(7)
        .anneal_k(5, 0.5)
        .dead_units(DeadUnits::after(9));
    there_and_back(trainer.settings());
    let few: Settings = serde_json::from_str(r#"{"epochs": 3}"#).unwrap();
    assert_eq!((few.epochs, few.batch_size), (3, None));
    let misspelled = serde_json::from_str::<Settings>(r#"{"epoch": 3}"#);
    assert!(misspelled.unwrap_err().to_string().contains("epoch"));
    let mut model = relu::<f32>().build().unwrap();
    let report = Trainer::new(Adam::new(0.01).unwrap())
        .epochs(2)
        .set_point(SetPoint::active_units(2.0))
        .fit(&mut model, samples())
        .unwrap();
    there_and_back(&report);
}
