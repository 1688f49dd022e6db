//! Checkpoints: what resumes, what is refused, and parts from outside the crate.

mod foreign_parts;
mod refusals;
mod resuming;

use crate::common::fractions::fractions;
use crate::common::scratch::Scratch;
use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{Objective, State, Step};
use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient, Scaled};
use sparse_autoencoder::{
    Activation, Adam, Error, Event, Every, KlDivergence, L0, L1, Lbfgs, LogWriter, Optimizer,
    Penalty, Proportion, Real, Report, Sgd, SparseAutoencoder, SparseAutoencoderBuilder,
    SquaredDeviation, StopReason, TargetL0, Trainer,
};
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::Path;

const INPUT: usize = 5;
const HIDDEN: usize = 8;
const SAMPLES: usize = 23;
const BATCH: usize = 6; // four batches of an epoch, not all of one size
const EPOCHS: usize = 3;
const STEPS: u64 = 12;

fn samples<T: Real>() -> DMatrix<T> {
    fractions(INPUT, SAMPLES, |phase| phase)
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

#[warn(clippy::missing_trait_methods)] // a missing method would fall back to its default
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

    fn learning_rate(&self) -> Option<f64> {
        self.optimizer.learning_rate()
    }

    fn forget(&mut self, parameters: Range<usize>) {
        self.optimizer.forget(parameters);
    }

    fn limit_threads(&mut self, threads: usize) {
        self.optimizer.limit_threads(threads);
    }

    fn memory(&self, len: usize) -> usize {
        self.optimizer.memory(len)
    }

    fn needs_full_batch(&self) -> bool {
        self.optimizer.needs_full_batch()
    }

    fn description(&self) -> sparse_autoencoder::optimizer::Description {
        self.optimizer.description()
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

    /// Fits, and logs what an observer sees.
    fn logged(
        &self,
        model: &mut SparseAutoencoder<T>,
        trainer: &mut Trainer<T>,
    ) -> (Report<T>, String) {
        let mut log = LogWriter::json_lines(Vec::new());
        let fit = trainer.fit_with_steps(model, samples(), |event| log.write(event));
        (fit.unwrap(), String::from_utf8(log.into_inner()).unwrap())
    }

    /// Stops it by an observer after `boundary` steps, and writes a checkpoint only then.
    fn stop(&self, path: &Path, boundary: u64) {
        let (mut model, trainer) = self.start(u64::MAX);
        let mut trainer = trainer.checkpoint(path, Every::Steps(1 << 40));
        let report = trainer.fit_with_steps(&mut model, samples(), |event| match event {
            Event::Step(step) if step.number == boundary => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        let report = report.unwrap();
        assert_eq!(report.steps, trainer.steps_taken());
        if report.steps == boundary {
            assert_eq!(report.stop, StopReason::Observer);
        }
    }

    /// Interrupts it after each of these steps, by an error and by an observer, and compares what comes of it
    /// then.
    fn check(&self, scratch: &Scratch, boundaries: impl IntoIterator<Item = u64>) {
        let (expected, mut other, expected_report) = self.straight();
        let (_, log) = self.logged(
            &mut self.model.build().unwrap(),
            &mut self.start(u64::MAX).1,
        );
        let boundaries = boundaries
            .into_iter()
            .flat_map(|at| [(at, false), (at, true)]);
        for (boundary, by_observer) in boundaries {
            let at = format!("{} after step {boundary}, {by_observer}", self.name);
            let path = scratch.file();
            let _ = fs::remove_file(&path);
            if by_observer {
                self.stop(&path, boundary);
            } else {
                let (mut model, trainer) = self.start(boundary);
                let result = trainer
                    .checkpoint(&path, Every::Steps(boundary))
                    .fit(&mut model, samples());
                if boundary < other.steps_taken() {
                    assert!(matches!(result, Err(Error::Diverged { .. })), "{at}");
                }
            }

            let (mut model, mut trainer) = self.start(u64::MAX);
            trainer.resume(&mut model, &path).unwrap();
            assert_eq!(
                trainer.steps_taken(),
                boundary.min(other.steps_taken()),
                "{at}"
            );
            let (report, rest) = self.logged(&mut model, &mut trainer);
            assert_eq!(report, expected_report, "{at}");
            assert!(log.ends_with(&rest), "{at}: {rest}");
            let left = rest.matches("\"kind\":\"step\"").count() as u64;
            assert_eq!(left, report.steps.saturating_sub(boundary), "{at}");
            assert_eq!(bits(&model), bits(&expected), "{at}");
            assert_eq!(model.settings(), expected.settings(), "{at}");
            assert_eq!(trainer.set_point_state(), other.set_point_state(), "{at}");
            assert_eq!(trainer.steps_taken(), other.steps_taken(), "{at}");

            // What the optimizer and the counters remember is the same too, if it shows in the next
            // step.
            if boundary == 1 && !(self.optimizer)().needs_full_batch() {
                let mut expected = expected.clone();
                other.partial_fit(&mut expected, samples()).unwrap();
                trainer.partial_fit(&mut model, samples()).unwrap();
                assert_eq!(bits(&model), bits(&expected), "{at}");
                other.reset();
                (_, other, _) = self.straight();
            }
        }
    }
}

fn builder<T: Real>() -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder().layers([INPUT, HIDDEN]).seed(5)
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
fn models<T: Real>() -> Vec<(String, SparseAutoencoderBuilder<T>)> {
    let with = |f| {
        builder()
            .hidden_activation(f)
            .output_activation(Activation::Identity)
    };
    let more = [
        (
            "sigmoid, KL",
            builder().penalty_weight(0.3).weight_decay(1e-3),
        ),
        ("tanh, KL", builder().hidden_activation(Activation::Tanh)),
        (
            "saturating linear, a pair",
            with(Activation::SaturatingLinear).penalty((KlDivergence, Scaled::new(0.1, L1))),
        ),
        ("relu, L1", relu()),
        ("relu, L1 by norms", relu().norm_weighted(true)),
        ("relu, Proportion", relu().penalty(Proportion).tied(true)),
        ("TopK", with(Activation::TopK(2)).matryoshka([3])),
        ("TopK, few", with(Activation::TopK(2)).layers([INPUT, 40])),
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
            builder().layers([INPUT, HIDDEN, 4]).penalized_layers([1]),
        ),
    ];
    let plain = |&f: &Activation| (format!("{f:?}"), with(f).penalty(SquaredDeviation));
    let more = more.map(|(name, builder)| (name.to_owned(), builder));
    ACTIVATIONS.iter().map(plain).chain(more).collect()
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
