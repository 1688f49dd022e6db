//! What observers of a classifier's fit see and leave, and that its validation and patience are those of an
//! autoencoder.

#![allow(clippy::float_cmp, reason = "what is copied")]

use crate::common::fractions::fractions;
use std::ops::{ControlFlow, Range};

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{Objective, Step};
use sparse_autoencoder::{
    Adam, ClassifierEvent, ClassifierReport, ClassifierTrainer, Error, Lbfgs, Optimizer, Report,
    Schedule, Sgd, SoftmaxClassifier, SparseAutoencoder, StopReason, Trainer, TrainerSettings,
};

const FEATURES: usize = 4;
const SAMPLES: usize = 23;
const EPOCHS: usize = 3;
const BATCHES: u64 = 4;

fn samples() -> DMatrix<f64> {
    fractions(FEATURES, SAMPLES, |phase| phase)
}

fn labels() -> Vec<usize> {
    (0..SAMPLES).map(|i| i * i % 3).map(|l| l.min(1)).collect()
}

/// Softmax regression, and a deep classifier.
fn classifiers() -> [SoftmaxClassifier<f64>; 2] {
    let head = |features| {
        let head = SoftmaxClassifier::new(features, 2).unwrap();
        head.with_weight_decay(1e-3).unwrap()
    };
    let builder = SparseAutoencoder::builder().layers([FEATURES, 6]);
    let deep = head(6).on_top_of(&[builder.build().unwrap()]).unwrap();
    [head(FEATURES), deep]
}

type Start = fn() -> ClassifierTrainer<f64>;

/// Every optimizer, with the number of its steps per epoch.
const TRAINERS: [(&str, u64, Start); 5] = [
    ("Adam", BATCHES, || mini(Adam::new(0.05).unwrap())),
    ("Sgd", BATCHES, || mini(Sgd::new(0.1).unwrap())),
    ("Nesterov", BATCHES, || {
        mini(Sgd::new(0.1).unwrap().momentum(0.9).unwrap().nesterov())
    }),
    ("schedule", BATCHES, || {
        mini(Adam::new(0.05).unwrap())
            .schedule(Schedule::cosine(0.1))
            .clip_gradient(0.1)
    }),
    ("L-BFGS", 1, || {
        ClassifierTrainer::new(Lbfgs::new()).epochs(EPOCHS)
    }),
];

fn mini(optimizer: impl Optimizer<f64> + 'static) -> ClassifierTrainer<f64> {
    ClassifierTrainer::new(optimizer)
        .epochs(EPOCHS)
        .batch_size(6)
        .seed(3)
}

fn bits(model: &SoftmaxClassifier<f64>) -> Vec<u64> {
    model.theta().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn steps_add_up_to_epochs_and_to_the_report() {
    let (x, labels) = (samples(), labels());
    for (name, batches, start) in TRAINERS {
        for mut model in classifiers() {
            let (mut number, mut seen, mut rate) = (0, 0, None);
            let (mut entropy, mut decay) = (0.0, 0.0);
            let (mut history, mut rates) = (Vec::new(), Vec::new());
            let mut trainer = start();
            let fit = trainer.fit_with_steps(&mut model, &x, &labels, |event| match event {
                ClassifierEvent::Step(step) => {
                    number += 1;
                    assert_eq!((step.number, step.of), (number, EPOCHS as u64 * batches));
                    assert_eq!(step.epoch, history.len() + 1);
                    let share = (step.samples - seen) as f64 / SAMPLES as f64;
                    seen = step.samples;
                    entropy += share * step.loss.cross_entropy;
                    decay += share * step.loss.weight_decay;
                    rate = step.learning_rate;
                    rates.extend(rate);
                }
                ClassifierEvent::Epoch(epoch) => {
                    assert_eq!((epoch.number, epoch.of), (history.len() + 1, EPOCHS));
                    assert_eq!((epoch.steps, epoch.samples), (number, seen), "{name}");
                    assert_eq!(seen, (SAMPLES * epoch.number) as u64);
                    let sums = [&mut entropy, &mut decay].map(std::mem::take);
                    let means = [epoch.loss.cross_entropy, epoch.loss.weight_decay];
                    for (mean, sum) in means.into_iter().zip(sums) {
                        assert!((mean - sum).abs() <= 1e-12 * sum, "{name}: {mean} {sum}");
                    }
                    assert_eq!(epoch.learning_rate, rate);
                    history.push(epoch.loss);
                }
                _ => unreachable!(),
            });
            let report = fit.unwrap();
            assert_eq!(report.losses, history, "{name}");
            assert_eq!((report.steps, trainer.steps_taken()), (number, number));
            match name {
                "L-BFGS" => assert!(rates.is_empty()),
                "schedule" => assert!(rates.is_sorted_by(|a, b| a > b)),
                _ => assert!(rates.iter().all(|&rate| rate == 0.05 || rate == 0.1)),
            }
        }
    }
}

/// Any optimizer, which fails after so many steps.
#[derive(Debug)]
struct Interrupted(Box<dyn Optimizer<f64>>, u64);

impl Optimizer<f64> for Interrupted {
    fn reset(&mut self, len: usize) {
        self.0.reset(len);
    }

    fn step(&mut self, theta: &mut [f64], objective: &mut Objective<'_, f64>) -> Step<f64> {
        if self.1 == 0 {
            return Step::moved(f64::NAN);
        }
        self.1 -= 1;
        self.0.step(theta, objective)
    }

    fn scale_learning_rate(&mut self, factor: f64) -> Result<(), Error> {
        self.0.scale_learning_rate(factor)
    }

    fn forget(&mut self, parameters: Range<usize>) {
        self.0.forget(parameters);
    }

    fn needs_full_batch(&self) -> bool {
        self.0.needs_full_batch()
    }
}

#[test]
fn a_stop_leaves_what_so_many_steps_leave() {
    let (x, labels) = (samples(), labels());
    type Made = fn() -> Box<dyn Optimizer<f64>>;
    let optimizers: [(u64, Made); 3] = [
        (BATCHES, || Box::new(Adam::new(0.05).unwrap())),
        (BATCHES, || {
            Box::new(Sgd::new(0.1).unwrap().momentum(0.9).unwrap())
        }),
        (1, || Box::new(Lbfgs::new())),
    ];
    for (batches, optimizer) in optimizers {
        let start = |steps| {
            let trainer = ClassifierTrainer::new(Interrupted(optimizer(), steps)).epochs(EPOCHS);
            let trainer: ClassifierTrainer<f64> = trainer.seed(3);
            if batches == 1 {
                trainer
            } else {
                trainer.batch_size(6)
            }
        };
        for model in classifiers() {
            for stop in 1..=EPOCHS as u64 * batches {
                let (mut cut, mut expected) = (model.clone(), model.clone());
                let mut trainer = start(u64::MAX);
                let fit = trainer.fit_with_steps(&mut cut, &x, &labels, |event| match event {
                    ClassifierEvent::Step(step) if step.number == stop => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                });
                let report = fit.unwrap();
                assert_eq!((report.stop, report.steps), (StopReason::Observer, stop));
                assert_eq!(report.epochs as u64, stop / batches);
                assert_eq!(report.losses.len(), report.epochs);
                let other = start(stop).fit(&mut expected, &x, &labels);
                assert_eq!(other.is_err(), stop < EPOCHS as u64 * batches);
                assert_eq!(bits(&cut), bits(&expected), "{stop}");

                let mut failed = model.clone();
                let fit =
                    start(u64::MAX).fit_with_steps(&mut failed, &x, &labels, |event| match event {
                        ClassifierEvent::Step(step) if step.number == stop => {
                            Err(Error::EmptyBatch { what: "a test" })
                        }
                        _ => Ok(()),
                    });
                assert_eq!(fit.unwrap_err(), Error::EmptyBatch { what: "a test" });
                assert_eq!(bits(&failed), bits(&expected), "{stop}");
            }
        }
    }
}

/// Sets every parameter to the next of these numbers, so that with much weight decay the loss follows them.
#[derive(Debug)]
struct Scripted(Vec<f64>, usize);

impl Optimizer<f64> for Scripted {
    fn reset(&mut self, _: usize) {
        self.1 = 0;
    }

    fn step(&mut self, theta: &mut [f64], objective: &mut Objective<'_, f64>) -> Step<f64> {
        let loss = objective(theta, &mut vec![0.0; theta.len()]);
        theta.fill(self.0[self.1]);
        self.1 += 1;
        Step::moved(loss)
    }
}

/// What both reports have.
#[derive(Debug, PartialEq)]
struct Outcome {
    stop: StopReason,
    epochs: usize,
    steps: u64,
    best_epoch: usize,
    lengths: [usize; 2],
    /// The number that the parameters have at the end.
    parameter: f64,
}

fn of_autoencoder(trainer: Trainer<f64>) -> Outcome {
    let builder = SparseAutoencoder::builder().layers([FEATURES, 6]);
    let mut model = builder.penalty(()).weight_decay(1e6).build().unwrap();
    model.set_theta(&vec![9.0; model.layout().len()]).unwrap();
    let mut trainer = trainer;
    let report: Report<f64> = trainer.fit(&mut model, samples()).unwrap();
    Outcome {
        stop: report.stop,
        epochs: report.epochs,
        steps: report.steps,
        best_epoch: report.best_epoch,
        lengths: [report.losses.len(), report.validation_losses.len()],
        parameter: model.parameters().as_slice()[0],
    }
}

fn of_classifier(trainer: ClassifierTrainer<f64>) -> Outcome {
    let mut trainer = trainer;
    let model = SoftmaxClassifier::new(FEATURES, 2).unwrap();
    let mut model = model.with_weight_decay(1e6).unwrap();
    model.set_theta(&[9.0; FEATURES * 2 + 2]).unwrap();
    let report: ClassifierReport<f64> = trainer.fit(&mut model, samples(), &labels()).unwrap();
    Outcome {
        stop: report.stop,
        epochs: report.epochs,
        steps: report.steps,
        best_epoch: report.best_epoch,
        lengths: [report.losses.len(), report.validation_losses.len()],
        parameter: model.theta()[0],
    }
}

#[test]
fn validation_and_patience_are_those_of_autoencoders() {
    let scripts: [[f64; 8]; 5] = [
        [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
        [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 2.0, 1.0],
        [3.0, 4.0, 2.0, 4.0, 4.0, 1.0, 4.0, 4.0],
        [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.5],
        [6.0, 6.0, 5.0, 6.0, 5.0, 5.0, 4.0, 6.0],
    ];
    let (mut stopped, mut ended) = (0, 0);
    for script in scripts {
        for patience in [None, Some(1), Some(2), Some(3), Some(8)] {
            for split in [0.0, 0.2] {
                let optimizer = || Scripted(script.into(), 0);
                let mut settings = TrainerSettings::default();
                settings.epochs = 8;
                settings.batch_size = Some(SAMPLES);
                settings.validation_split = split;
                settings.patience = patience;
                let one = of_autoencoder(Trainer::with_settings(optimizer(), settings.clone()));
                let other = of_classifier(ClassifierTrainer::with_settings(optimizer(), settings));
                let settings = (script, patience, split);
                assert_eq!(one, other, "{settings:?}");
                let by_hand = by_hand(settings);
                assert_eq!(
                    (one.epochs, one.best_epoch, one.stop),
                    by_hand,
                    "{settings:?}"
                );
                assert_eq!(one.parameter, script[one.best_epoch - 1], "{settings:?}");
                match one.stop {
                    StopReason::NoImprovement => stopped += 1,
                    _ => ended += 1,
                }
            }
        }
    }
    assert!(stopped > 10 && ended > 10, "{stopped} {ended}");
}

/// The epochs, the best of them, and why it stopped. Without validation, an epoch has the loss before its step.
fn by_hand(
    (script, patience, split): ([f64; 8], Option<usize>, f64),
) -> (usize, usize, StopReason) {
    let Some(patience) = patience else {
        return (8, 8, StopReason::EpochLimit);
    };
    let mut losses = script.to_vec();
    if split == 0.0 {
        losses.insert(0, 9.0);
    }
    let (mut best, mut lowest) = (0, f64::INFINITY);
    for epoch in 1..=8 {
        if losses[epoch - 1] < lowest {
            (best, lowest) = (epoch, losses[epoch - 1]);
        }
        if epoch - best >= patience {
            return (epoch, best, StopReason::NoImprovement);
        }
    }
    (8, best, StopReason::EpochLimit)
}
