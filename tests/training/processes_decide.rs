//! Whatever one of several processes decides by what it alone has, all of them do: they end in the same
//! step with the same parameters, and none waits for another.
//!
//! The configurations are random: processes with unequal numbers of samples, and everything that may end a
//! training, or change it, in one of them or in all.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::Optimizer;
use sparse_autoencoder::{
    Activation, Adam, DeadUnits, Error, Event, Initialization, KlDivergence, L1, Lbfgs, Report,
    Samples, Schedule, SetPoint, Sgd, SparseAutoencoder, SquaredDeviation, TargetL0, Trainer,
};

use super::all_reduce::{Process, try_together};

pub(crate) const INPUT: usize = 4;
const EPOCHS: usize = 8;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

pub(crate) fn samples(first: usize, count: usize) -> DMatrix<f64> {
    DMatrix::from_fn(INPUT, count, |i, j| {
        let phase =
            (i * 31 + (first + j) * 17 + (first + j) * i + 1) as f64 * 0.618_033_988_749_895;
        0.1 + 0.8 * phase.fract()
    })
}

/// Samples that are not in memory, and end with an error, or with NaN, after so many reads.
struct Stream {
    samples: DMatrix<f64>,
    reads: AtomicUsize,
    nan: bool,
}

impl Samples<f64> for Stream {
    fn count(&self) -> usize {
        self.samples.ncols()
    }

    fn entries(&self) -> usize {
        INPUT
    }

    fn read(&self, indices: &[usize], batch: &mut [f64]) -> Result<(), Error> {
        self.samples.read(indices, batch)?;
        let left = self.reads.load(Ordering::Relaxed);
        self.reads.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 && !self.nan {
            return Err(std::io::Error::other("the disk is gone").into());
        }
        if left == 0 {
            batch[1] = f64::NAN;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Of a stream after so many reads.
    Read {
        after: usize,
        nan: bool,
    },
    /// In memory, so it is found at once.
    Nan,
    /// Of the observer at its first event after so many steps.
    Observer {
        after: u64,
    },
    /// A folder that is not there.
    #[cfg_attr(not(feature = "files"), allow(dead_code))]
    Checkpoint {
        steps: bool,
        every: usize,
    },
}

/// A training, and what each process has of it.
#[derive(Debug)]
struct Run {
    name: usize,
    model: usize,
    optimizer: usize,
    rate: f64,
    batch_size: usize,
    /// Of each process.
    samples: Vec<usize>,
    /// The epoch in which the observer of each process says stop.
    stops: Vec<usize>,
    /// The step after which it does, of the processes that see steps.
    steps: Vec<Option<u64>>,
    faulty: usize,
    fault: Fault,
    streams: bool,
    validation: f64,
    patience: Option<usize>,
    dead_units: bool,
    set_point: bool,
    anneal: bool,
    schedule: bool,
    clip: bool,
    unit_norm: bool,
}

impl Run {
    fn random(name: usize) -> Self {
        let r = &mut Random(name as u64);
        let model = r.below(6);
        let optimizer = if r.one_in(4) { 2 } else { r.below(2) };
        let full = optimizer == 2;
        let processes = 1 + r.below(4);
        let (batches, batch_size) = (1 + r.below(4), 4 + r.below(5));
        let validation = if r.one_in(2) { 0.25 } else { 0.0 };
        // Sets that differ in size, but not in batches.
        let mut samples = Vec::new();
        while samples.len() < processes {
            let count = 4 + r.below(40);
            let left = count - (validation * count as f64).round() as usize;
            if full || left.div_ceil(batch_size) == batches {
                samples.push(count);
            }
        }
        let stops = (0..processes)
            .map(|_| {
                if r.one_in(3) {
                    1 + r.below(EPOCHS)
                } else {
                    usize::MAX
                }
            })
            .collect();
        let streams = !full && r.one_in(2);
        let fault = match r.below(8) {
            0 if streams => Fault::Read {
                after: r.below(EPOCHS * batches),
                nan: r.one_in(2),
            },
            1 if !streams => Fault::Nan,
            2 | 3 => Fault::Checkpoint {
                steps: r.one_in(2),
                every: 1 + r.below(12),
            },
            _ => Fault::None,
        };
        let mut run = Self {
            name,
            model,
            optimizer,
            rate: [0.03, 0.3, 1.5][r.below(3)],
            batch_size: if full { 100 } else { batch_size },
            samples,
            stops,
            steps: vec![None; processes],
            faulty: r.below(processes),
            fault,
            streams,
            validation,
            patience: (!r.one_in(3)).then(|| 1 + r.below(3)),
            dead_units: !full && (1..=4).contains(&model) && r.one_in(2),
            set_point: !full && [2, 3, 4].contains(&model) && r.one_in(2),
            anneal: !full && r.one_in(3),
            schedule: !full && r.one_in(3),
            clip: !full && r.one_in(3),
            unit_norm: !full && r.one_in(4),
        };
        if r.one_in(2) {
            for (steps, stop) in run.steps.iter_mut().zip(&mut run.stops) {
                if r.one_in(2) {
                    *stop = usize::MAX;
                    *steps = Some(1 + r.below(EPOCHS * batches) as u64);
                }
            }
        }
        if matches!(run.fault, Fault::None) && r.one_in(4) {
            run.fault = Fault::Observer {
                after: 1 + r.below(EPOCHS * batches) as u64,
            };
        }
        run
    }

    /// The number of batches in an epoch.
    fn batches(&self) -> usize {
        let held_out = (self.validation * self.samples[0] as f64).round() as usize;
        (self.samples[0] - held_out).div_ceil(self.batch_size)
    }

    fn model(&self) -> SparseAutoencoder<f64> {
        let builder = SparseAutoencoder::builder()
            .weight_decay(1e-3)
            .seed(self.name as u64);
        let linear = |activation| {
            SparseAutoencoder::builder()
                .layers([INPUT, 7])
                .hidden_activation(activation)
                .output_activation(Activation::Identity)
                .bandwidth(0.5)
                .initialization(Initialization::Glorot)
        };
        match self.model {
            0 => builder
                .layers([INPUT, 6])
                .penalty(KlDivergence)
                .penalty_weight(0.3),
            1 => linear(Activation::TopK(2)).penalty(()),
            2 => linear(Activation::Relu)
                .penalty(L1)
                .penalty_weight(0.05)
                .norm_weighted(true),
            3 => linear(Activation::JumpRelu)
                .penalty(TargetL0)
                .sparsity_target(0.2)
                .penalty_weight(0.1),
            4 => linear(Activation::Gated).penalty(L1).penalty_weight(0.05),
            _ => builder
                .layers([INPUT, 5, 3])
                .penalty(SquaredDeviation)
                .penalty_weight(0.5)
                .penalized_layers([0, 1]),
        }
        .build()
        .unwrap()
    }

    fn trainer(&self, process: &Arc<Process<f64>>) -> Trainer<f64> {
        let optimizer: Box<dyn Optimizer<f64>> = match self.optimizer {
            0 => Box::new(Sgd::new(self.rate).unwrap().momentum(0.5).unwrap()),
            1 => Box::new(Adam::new(self.rate).unwrap()),
            _ => Box::new(Lbfgs::new()),
        };
        let mut trainer = Trainer::new(optimizer)
            .epochs(EPOCHS)
            .batch_size(self.batch_size)
            .validation_split(self.validation)
            .unit_norm_decoder(self.unit_norm)
            .threads(1)
            .all_reduce(Arc::clone(process));
        if let Some(patience) = self.patience {
            trainer = trainer.patience(patience);
        }
        if self.dead_units {
            // Of gated units, and of several layers, there is no such loss.
            let dead = DeadUnits::after(12);
            let dead = if self.model == 4 {
                dead
            } else {
                dead.auxiliary(2, 0.1)
            };
            trainer = trainer.dead_units(dead);
        }
        if self.set_point {
            trainer = trainer.set_point(SetPoint::active_units(2.0).gain(0.3));
        }
        if self.anneal && matches!(self.model, 1 | 3) {
            trainer = trainer.anneal_k(5, 0.6);
        } else if self.anneal && !self.set_point {
            trainer = trainer.sparsity_warm_up(0.7);
        }
        if self.schedule {
            trainer = trainer.schedule(Schedule::cosine(0.1).warm_up(0.2));
        }
        if self.clip {
            trainer = trainer.clip_gradient(0.2);
        }
        trainer
    }

    fn samples(&self, rank: usize) -> Stream {
        let first = self.samples[..rank].iter().sum();
        let mut samples = samples(first, self.samples[rank]);
        let mut stream = (usize::MAX, false);
        if rank == self.faulty {
            match self.fault {
                Fault::Read { after, nan } => stream = (after, nan),
                Fault::Nan => samples[(2, 3)] = f64::NAN,
                Fault::None | Fault::Observer { .. } | Fault::Checkpoint { .. } => {}
            }
        }
        Stream {
            samples,
            reads: AtomicUsize::new(stream.0),
            nan: stream.1,
        }
    }

    /// A fit, and another one of the same trainer where the first ended with an error.
    fn train(&self, process: &Arc<Process<f64>>) -> Vec<Ending> {
        let rank = process.rank;
        let (mut model, mut trainer) = (self.model(), self.trainer(process));
        let folder = std::env::temp_dir().join(format!(
            "processes-decide-{}-{}",
            std::process::id(),
            self.name
        ));
        if rank == self.faulty {
            trainer = self.with_checkpoints(trainer, &folder);
        }
        let mut endings = Vec::new();
        for _ in 0..2 {
            let verdict = |steps: u64, stops: bool| {
                let failed = matches!(self.fault, Fault::Observer { after } if steps >= after);
                if failed && rank == self.faulty {
                    return Err(std::io::Error::other("the log is gone").into());
                }
                Ok::<_, Error>(if stops {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            };
            let by_epoch = |epoch: &sparse_autoencoder::Epoch<'_, f64>| {
                verdict(epoch.steps, epoch.number == self.stops[rank])
            };
            let by_step = |event: &Event<'_, f64>| match event {
                Event::Step(step) => verdict(step.number, Some(step.number) == self.steps[rank]),
                _ => verdict(0, false),
            };
            let stream = self.samples(rank);
            let samples: &dyn Samples<f64> = if self.streams {
                &stream
            } else {
                &stream.samples
            };
            let report = if self.steps[rank].is_some() {
                trainer.fit_with_steps(&mut model, samples, by_step)
            } else {
                trainer.fit_with(&mut model, samples, by_epoch)
            };
            let parameters = model.parameters().as_slice();
            endings.push(Ending {
                bits: parameters.iter().map(|value| value.to_bits()).collect(),
                weight: trainer.set_point_state().map(|state| state.penalty_weight),
                steps: trainer.steps_taken(),
                report,
            });
            if endings[0].report.is_ok() {
                break;
            }
            if rank == self.faulty && matches!(self.fault, Fault::Checkpoint { .. }) {
                std::fs::create_dir_all(&folder).unwrap();
            }
        }
        if rank == self.faulty {
            let _ = std::fs::remove_dir_all(&folder);
        }
        endings
    }

    #[cfg(feature = "files")]
    fn with_checkpoints(&self, trainer: Trainer<f64>, folder: &std::path::Path) -> Trainer<f64> {
        use sparse_autoencoder::Every;
        let Fault::Checkpoint { steps, every } = self.fault else {
            return trainer;
        };
        let every = if steps {
            Every::Steps(every as u64)
        } else {
            Every::Epochs(every)
        };
        trainer.checkpoint(folder.join("checkpoint"), every)
    }

    #[cfg(not(feature = "files"))]
    fn with_checkpoints(&self, trainer: Trainer<f64>, _: &std::path::Path) -> Trainer<f64> {
        trainer
    }
}

#[derive(Debug)]
struct Ending {
    bits: Vec<u64>,
    weight: Option<f64>,
    steps: u64,
    report: Result<Report<f64>, Error>,
}

#[test]
fn all_processes_end_alike() {
    let (mut ends, mut errors, mut failures) = ([0; 4], [0; 2], Vec::new());
    let (mut within, mut observers) = (0, 0); // epochs, and errors of observers
    for name in 0..400 {
        let run = Run::random(name);
        let results = try_together(run.samples.len(), |process| run.train(&process));
        let Some(results) = results.into_iter().collect::<Option<Vec<_>>>() else {
            failures.push((run, "one process waits for another".to_owned()));
            continue;
        };
        for (attempt, first) in results[0].iter().enumerate() {
            match &first.report {
                Ok(report) => {
                    ends[report.stop as usize] += 1;
                    let batches = run.batches();
                    within += usize::from(report.steps as usize > report.epochs * batches);
                }
                Err(_) => {
                    errors[attempt] += 1;
                    observers += usize::from(matches!(run.fault, Fault::Observer { .. }));
                }
            }
        }
        let alike = results.iter().all(|result| {
            result.len() == results[0].len()
                && result.iter().zip(&results[0]).all(|(ending, first)| {
                    let reports = match (&ending.report, &first.report) {
                        (Ok(own), Ok(other)) => own == other,
                        (Err(_), Err(_)) => true,
                        _ => false,
                    };
                    reports
                        && (&ending.bits, ending.steps) == (&first.bits, first.steps)
                        && ending.weight.map(f64::to_bits) == first.weight.map(f64::to_bits)
                })
        });
        if !alike {
            failures.push((run, format!("{results:?}")));
        }
    }
    let count = failures.len();
    assert!(
        count == 0,
        "{count} of 400, the first of them {:#?}",
        failures[0]
    );
    // All ways to end are among them.
    assert!(ends.iter().all(|&count| count >= 5), "{ends:?} {errors:?}");
    assert!(errors[0] >= 30, "{ends:?} {errors:?}");
    assert!(within >= 20 && observers >= 20, "{within} {observers}");
}
