//! What one of several processes has otherwise than the rest: it is found before the first step, or ends
//! the training of all, and none waits for another.

use std::sync::Arc;

use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, DeadUnits, Error, Schedule, Sgd, SparseAutoencoder, Stack,
    Trainer,
};

use super::all_reduce::together;
use super::processes_decide::{INPUT, samples};

/// A mean over the samples of all processes, each at the parameters it was met with: here the same in all
/// steps but for 1e-9, at a rate of 1e-9 and gradients below 1. The mean of one process is off by 1e-3.
#[test]
fn the_loss_of_an_epoch_is_that_of_all_samples() {
    let counts = [11, 10];
    let all = samples(0, 21);
    let model = SparseAutoencoder::builder()
        .layers([INPUT, 6])
        .penalty(())
        .weight_decay(0.1);
    let model = model.build().unwrap();
    let reports = together(2, |process| {
        let mut trainer = Trainer::new(Sgd::new(1e-9).unwrap())
            .epochs(3)
            .batch_size(4)
            .patience(1)
            .all_reduce(Arc::clone(&process));
        let own = samples(11 * process.rank, counts[process.rank]);
        trainer.fit(&mut model.clone(), &own).unwrap()
    });
    let expected = model.loss(&all).unwrap().total();
    let of_one = model.loss(samples(0, 11)).unwrap().total();
    assert!((of_one - expected).abs() > 1e-3, "{of_one} {expected}");
    for report in &reports {
        assert_eq!(report, &reports[0]);
        for loss in &report.losses {
            assert!(
                (loss.total() - expected).abs() < 1e-8,
                "{loss:?} {expected}"
            );
        }
    }
}

fn simple() -> SparseAutoencoder<f64> {
    seeded(0)
}

fn seeded(seed: u64) -> SparseAutoencoder<f64> {
    decayed(seed, 0.0)
}

fn decayed(seed: u64, weight_decay: f64) -> SparseAutoencoder<f64> {
    let builder = SparseAutoencoder::builder().layers([INPUT, 7]).seed(seed);
    let builder = builder.weight_decay(weight_decay);
    let builder = builder.hidden_activation(Activation::TopK(2)).penalty(());
    let builder = builder.output_activation(Activation::Identity);
    builder.build().unwrap()
}

/// Each of these would be followed by another number of sums, or by another model.
#[test]
fn what_differs_is_refused_before_the_first_step() {
    type Change = fn(Trainer<f64>) -> Trainer<f64>;
    let changes: [Change; 13] = [
        |trainer| trainer, // another model
        |trainer| trainer, // another number of batches
        |trainer| trainer, // another objective
        |trainer| trainer, // another optimizer
        |trainer| trainer.patience(1),
        |trainer| trainer.validation_split(0.25),
        |trainer| trainer.dead_units(DeadUnits::after(10)),
        |trainer| trainer.clip_gradient(0.1),
        |trainer| trainer.schedule(Schedule::linear(0.1)),
        |trainer| trainer.anneal_k(4, 0.5),
        |trainer| trainer.bias_rate(2.0),
        |trainer| trainer.unit_norm_decoder(true),
        |trainer| trainer.epochs(3),
    ];
    for (index, change) in changes.iter().enumerate() {
        for stream in [false, true] {
            if stream && index == 1 {
                continue; // a stream has no number
            }
            let errors = together(3, |process| {
                let (mut model, mut own) = (simple(), samples(20 * process.rank, 20));
                match (process.rank, index) {
                    (1, 0) => model = seeded(1),
                    (1, 1) => own = samples(20, 9),
                    (1, 2) => model = decayed(0, 0.1),
                    _ => {}
                }
                let before = model.parameters().clone();
                let rate = if (process.rank, index) == (1, 3) {
                    0.02
                } else {
                    0.01
                };
                let trainer = Trainer::new(Adam::new(rate).unwrap()).epochs(2);
                let trainer = trainer.batch_size(10).all_reduce(Arc::clone(&process));
                let mut trainer = if process.rank == 1 {
                    change(trainer)
                } else {
                    trainer
                };
                let result = if stream {
                    trainer.partial_fit(&mut model, &own).map(drop)
                } else {
                    trainer.fit(&mut model, &own).map(drop)
                };
                assert_eq!(model.parameters(), &before);
                result.unwrap_err()
            });
            let refused = |error: &Error| {
                matches!(error, Error::Incompatible { .. })
                    && error.to_string().contains("another process")
            };
            assert!(errors.iter().all(refused), "{index} {errors:?}");
        }
    }
}

/// The refusal of one step leaves all where they were.
#[test]
fn a_stream_goes_on_after_an_error_of_one() {
    let models = together(3, |process| {
        let (mut model, own) = (simple(), samples(20 * process.rank, 20 + process.rank));
        let mut broken = own.clone();
        broken[(1, 1)] = f64::NAN;
        let mut trainer = Trainer::new(Adam::new(0.01).unwrap());
        trainer = trainer.all_reduce(Arc::clone(&process));
        for step in 0..9 {
            let fails = step % 3 == 0;
            let batch = if fails && process.rank == step / 3 {
                &broken
            } else {
                &own
            };
            let result = trainer.partial_fit(&mut model, batch);
            assert_eq!(result.is_err(), fails, "{step} {result:?}");
        }
        assert_eq!(trainer.steps_taken(), 6);
        model
    });
    assert!(
        models
            .iter()
            .all(|model| model.parameters() == models[0].parameters())
    );
}

/// What comes before the fits of a stack or of a detector may go wrong in one process, too.
#[test]
fn an_error_before_a_fit_ends_all() {
    let layers = || {
        let above = SparseAutoencoder::builder().layers([7, 3]).build().unwrap();
        Stack::new(vec![simple(), above]).unwrap()
    };
    let results = together(2, |process| {
        let own = samples(20 * process.rank, 20);
        let mut broken = own.clone();
        broken
            .row_mut(1)
            .fill(if process.rank == 1 { f64::NAN } else { 0.5 });
        let trainer = || {
            let trainer = Trainer::new(Adam::new(0.01).unwrap()).epochs(2);
            trainer.all_reduce(Arc::clone(&process))
        };
        let mut model = simple();
        let mut constant = own.clone();
        if process.rank == 1 {
            constant.row_mut(0).fill(0.5);
        }
        [
            trainer().fit_layer(&mut layers(), 1, &broken).map(drop),
            trainer().fit_stack(&mut layers(), &broken).map(drop),
            trainer()
                .fit_layer(&mut layers(), 1 + process.rank, &own)
                .map(drop),
            AnomalyDetector::builder(&mut model)
                .fit(&mut trainer(), &constant)
                .map(drop),
            trainer().fit_stack(&mut layers(), &own).map(drop),
        ]
    });
    for results in &results {
        let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [true, true, true, true, false], "{results:?}");
    }
}

#[cfg(feature = "files")]
mod interrupted {
    use std::ops::ControlFlow;
    use std::path::PathBuf;

    use sparse_autoencoder::nalgebra::DMatrix;
    use sparse_autoencoder::{Every, Report};

    use super::super::all_reduce::Process;
    use super::*;

    fn path(name: &str, rank: usize) -> PathBuf {
        let process = std::process::id();
        std::env::temp_dir().join(format!("processes-{name}-{process}-{rank}"))
    }

    fn trainer(process: &Arc<Process<f64>>) -> Trainer<f64> {
        Trainer::new(Adam::new(0.02).unwrap())
            .epochs(5)
            .batch_size(6)
            .patience(5)
            .validation_split(0.2)
            .dead_units(DeadUnits::after(20).auxiliary(2, 0.1))
            .all_reduce(Arc::clone(process))
    }

    fn own(rank: usize) -> DMatrix<f64> {
        samples(30 * rank, [27, 29][rank])
    }

    fn uninterrupted() -> (SparseAutoencoder<f64>, Report<f64>) {
        together(2, |process| {
            let mut model = simple();
            let report = trainer(&process)
                .fit(&mut model, own(process.rank))
                .unwrap();
            (model, report)
        })
        .swap_remove(0)
    }

    /// The first step, one within an epoch, the end of an epoch, and the end of the fit.
    #[test]
    fn a_checkpoint_that_one_cannot_write_pauses_all() {
        let (expected, expected_report) = uninterrupted();
        for every in [
            Every::Steps(1),
            Every::Steps(6),
            Every::Steps(8),
            Every::Epochs(9),
        ] {
            let results = together(2, |process| {
                let (mut model, mut trainer) = (simple(), trainer(&process));
                let folder = path("pause", process.rank);
                if process.rank == 1 {
                    trainer = trainer.checkpoint(folder.join("checkpoint"), every);
                }
                let error = trainer.fit(&mut model, own(process.rank)).unwrap_err();
                let own_fault = matches!(error, Error::Io { .. });
                assert_eq!(own_fault, process.rank == 1, "{error:?}");
                if own_fault {
                    std::fs::create_dir_all(&folder).unwrap();
                }
                let report = trainer.fit(&mut model, own(process.rank)).unwrap();
                let _ = std::fs::remove_dir_all(&folder);
                (model, report)
            });
            for (model, report) in results {
                assert_eq!(model.parameters(), expected.parameters(), "{every:?}");
                assert_eq!(report, expected_report, "{every:?}");
            }
        }
    }

    #[test]
    fn all_resume_or_none() {
        let (expected, expected_report) = uninterrupted();
        // The processes stop after two epochs, and those that resume go on: at the same place, in one of
        // them only, or in both at different places.
        for (resumed, stops) in [
            ([true, true], [2, 2]),
            ([true, false], [2, 2]),
            ([true, true], [2, 3]),
        ] {
            let name = format!("resume-{}{}", u8::from(resumed[1]), stops[1]);
            for stop in stops {
                together(2, |process| {
                    let file = path(&name, process.rank);
                    let mut trainer = trainer(&process);
                    if stops[process.rank] == stop {
                        trainer = trainer.checkpoint(file, Every::Epochs(1));
                    }
                    let observer = |epoch: &sparse_autoencoder::Epoch<'_, f64>| {
                        if epoch.number == stop {
                            ControlFlow::Break(())
                        } else {
                            ControlFlow::Continue(())
                        }
                    };
                    trainer
                        .fit_with(&mut simple(), own(process.rank), observer)
                        .unwrap();
                });
            }
            let results = together(2, |process| {
                let (mut model, mut trainer) = (simple(), trainer(&process));
                let file = path(&name, process.rank);
                if resumed[process.rank] {
                    trainer.resume(&mut model, &file).unwrap();
                }
                std::fs::remove_file(&file).unwrap();
                trainer
                    .fit(&mut model, own(process.rank))
                    .map(|report| (model, report))
            });
            for result in results {
                if name == "resume-12" {
                    let (model, report) = result.unwrap();
                    assert_eq!(model.parameters(), expected.parameters());
                    assert_eq!(report, expected_report);
                } else {
                    assert!(
                        matches!(result, Err(Error::Incompatible { .. })),
                        "{result:?}"
                    );
                }
            }
        }
    }
}
