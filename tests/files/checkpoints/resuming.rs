//! Training that resumes from a checkpoint ends with the same bits as uninterrupted training.

use super::*;
use crate::common::variants::for_each_in_threads;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Event, Every, Initialization, Real, Schedule,
    SetPoint, SparseAutoencoder, SparseAutoencoderBuilder, StopReason, Trainer, files,
};
use std::fs;
use std::ops::ControlFlow;

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
    let settings: [(&str, SparseAutoencoderBuilder<f32>, Setting); 13] = [
        ("nothing", relu(), |t| t),
        ("schedule", relu(), |t| {
            t.schedule(Schedule::cosine(0.1).warm_up(0.2))
                .clip_gradient(0.3)
        }),
        ("patience", relu(), |t| t.validation_split(0.2).patience(1)),
        // Linear units, whose biases move too far: the best epoch is not the last.
        (
            "best epoch",
            relu().hidden_activation(Activation::Identity).penalty(()),
            |t| t.validation_split(0.2).patience(5).bias_rate(300.0),
        ),
        ("bias rate", relu(), |t| t.bias_rate(3.0)),
        ("unit norm", relu(), |t| t.unit_norm_decoder(true)),
        ("warm-up", relu(), |t| t.sparsity_warm_up(0.7)),
        ("set point", relu(), |t| {
            t.set_point(SetPoint::active_units(2.0).gain(0.2))
        }),
        ("resampling", relu().layers([INPUT, 30]), |t| {
            t.dead_units(DeadUnits::after(5).resampled(1))
        }),
        (
            "k and auxiliary loss",
            relu()
                .hidden_activation(Activation::BatchTopK(1))
                .penalty(())
                .layers([INPUT, 30])
                .initialization(Initialization::TransposedDecoder { norm: 1.0 }),
            |t| {
                t.anneal_k(3, 0.5)
                    .dead_units(DeadUnits::after(20).auxiliary(2, 0.1))
            },
        ),
        ("thresholds of a falling k", jump_relu(), |t| {
            t.anneal_k(6, 0.7)
        }),
        // Its warnings come from the last batches, not from the epoch.
        ("long epoch", relu().penalty_weight(50.0), |t| {
            t.batch_size(1).epochs(1)
        }),
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
            let report = program.straight().2;
            assert!(report.best_epoch < report.epochs, "{report:?}");
        }
        if name == "long epoch" {
            let (_, trainer, report) = program.straight();
            assert!(trainer.steps_taken() > 20 && !report.warnings.is_empty());
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
            let mut model = relu::<f64>().layers([INPUT, 30]).build().unwrap();
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

fn jump_relu<T: Real>() -> SparseAutoencoderBuilder<T> {
    relu()
        .hidden_activation(Activation::JumpRelu)
        .penalty(TargetL0)
        .sparsity_target(0.25)
}

#[test]
fn a_stream_goes_on_from_every_batch() {
    let scratch = Scratch::new("stream");
    let x = samples::<f32>();
    type Setting = fn(Trainer<f32>) -> Trainer<f32>;
    let settings: [(SparseAutoencoderBuilder<f32>, Setting); 3] = [
        (relu(), |t| {
            t.corruption(Corruption::Masking { fraction: 0.2 })
                .dead_units(DeadUnits::after(10))
                .set_point(SetPoint::active_units(2.0))
        }),
        // Of a known number of steps, of which the last two are beyond the end.
        (relu(), |t| {
            t.stream_steps(8)
                .schedule(Schedule::linear(0.1).warm_up(0.2))
                .sparsity_warm_up(0.7)
        }),
        (jump_relu(), |t| t.stream_steps(8).anneal_k(6, 0.6)),
    ];
    let learn = |(mut model, mut trainer): (SparseAutoencoder<f32>, Trainer<f32>), count| {
        for batch in trainer.steps_taken() as usize..count {
            let batch = x.columns(batch * 2, 2);
            trainer.partial_fit(&mut model, batch).unwrap();
        }
        (model, trainer)
    };
    for (index, (builder, setting)) in settings.into_iter().enumerate() {
        let start = || {
            let trainer = setting(Trainer::new(Adam::new(0.01).unwrap()));
            (builder.build().unwrap(), trainer)
        };
        let (expected, other) = learn(start(), 10);
        for boundary in 0..=10 {
            let (model, trainer) = learn(start(), boundary);
            trainer.save(&model, scratch.file()).unwrap();
            let (mut model, mut trainer) = start();
            trainer.resume(&mut model, scratch.file()).unwrap();
            assert_eq!(trainer.steps_taken(), boundary as u64);
            let (model, trainer) = learn((model, trainer), 10);
            let at = format!("{index} after batch {boundary}");
            assert_eq!(bits(&model), bits(&expected), "{at}");
            assert_eq!(trainer.set_point_state().is_some(), index == 0);
            assert_eq!(trainer.set_point_state(), other.set_point_state());
            assert_eq!(trainer.warnings(&model), other.warnings(&expected), "{at}");
            assert_eq!(model.settings(), expected.settings(), "{at}");
            assert_eq!(trainer.steps_taken(), 10);
        }
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
    let loaded = files::load::<SparseAutoencoder<f32>>(scratch.file()).unwrap();
    assert_eq!(loaded.notes, []);
    assert_eq!(loaded.model.parameters(), model.parameters());
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "no drafts");
}

/// Calibrates a model whose bandwidth is not set, and steps on from a checkpoint.
#[test]
fn a_model_without_a_bandwidth_takes_over_that_of_the_checkpoint() {
    let scratch = Scratch::new("bandwidth");
    let x = samples::<f64>();
    let builder = || {
        let builder = SparseAutoencoder::<f64>::builder().layers([INPUT, HIDDEN]);
        let builder = builder.output_activation(Activation::Identity);
        let builder = builder.hidden_activation(Activation::JumpRelu);
        builder.penalty(TargetL0).sparsity_target(0.25)
    };
    let trainer = || Trainer::new(Adam::new(0.01).unwrap());
    let (mut model, mut before) = (builder().build().unwrap(), trainer());
    model.start_at(&x).unwrap();
    before.partial_fit(&mut model, &x).unwrap();
    let width = model.bandwidth().to_bits();
    assert_ne!(width, 0.05_f64.to_bits());

    files::save(&model, scratch.file()).unwrap();
    let loaded = files::load::<SparseAutoencoder<f64>>(scratch.file())
        .unwrap()
        .model;
    assert_eq!(loaded.bandwidth().to_bits(), width);
    assert_eq!(loaded.settings(), model.settings());

    before.save(&model, scratch.file()).unwrap();
    let loaded = files::load::<SparseAutoencoder<f64>>(scratch.file())
        .unwrap()
        .model;
    assert_eq!(loaded.bandwidth().to_bits(), width);
    before.partial_fit(&mut model, &x).unwrap();
    let again = builder().bandwidth(f64::from_bits(width));
    for builder in [builder(), again] {
        let (mut resumed, mut after) = (builder.build().unwrap(), trainer());
        after.resume(&mut resumed, scratch.file()).unwrap();
        assert_eq!(resumed.bandwidth().to_bits(), width);
        after.partial_fit(&mut resumed, &x).unwrap();
        assert_eq!(bits(&resumed), bits(&model));
    }

    // Another bandwidth is another setting, in both directions.
    let refused = |bandwidth: f64| {
        let mut other = builder().bandwidth(bandwidth).build().unwrap();
        let start = bits(&other);
        let error = trainer().resume(&mut other, scratch.file()).unwrap_err();
        assert_eq!((bits(&other), other.bandwidth()), (start, bandwidth));
        assert!(
            matches!(&error, Error::OtherSetting { setting, .. } if setting == "model.bandwidth"),
            "{error}"
        );
    };
    refused(0.3);
    let start = builder().build().unwrap();
    trainer().save(&start, scratch.file()).unwrap();
    refused(0.05);
}

/// Calibration draws samples by the seed of the model, and may choose the bandwidth.
#[test]
fn a_checkpoint_decides_what_later_calibrations_do() {
    let scratch = Scratch::new("calibrations");
    let path = scratch.file();
    let x = DMatrix::from_fn(INPUT, 5000, |i, j| {
        ((i * 31 + j * 17) as f64 * 0.618).fract()
    });
    let builder = |activation| {
        let builder = SparseAutoencoder::<f64>::builder().layers([INPUT, HIDDEN]);
        let builder = builder.hidden_activation(activation);
        builder.output_activation(Activation::Identity)
    };
    let selecting = builder(Activation::BatchTopK(2)).seed(1);
    let threshold = builder(Activation::JumpRelu)
        .penalty(TargetL0)
        .sparsity_target(0.25);
    for (straight, other, anneals) in [
        (selecting.clone(), selecting.clone().seed(2), false),
        (threshold.clone().bandwidth(0.3), threshold.clone(), true),
        (threshold.clone(), threshold.clone().seed(9), true),
    ] {
        let trainer = || {
            let trainer = Trainer::new(Adam::new(0.01).unwrap())
                .epochs(1)
                .batch_size(1000);
            if anneals {
                trainer.anneal_k(4, 0.8)
            } else {
                trainer
            }
        };
        let mut expected = straight.build().unwrap();
        trainer().fit(&mut expected, &x).unwrap();
        let mut stopped = straight.build().unwrap();
        let report = trainer().checkpoint(&path, Every::Steps(1)).fit_with_steps(
            &mut stopped,
            &x,
            |event| match event {
                Event::Step(step) if step.number == 2 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            },
        );
        assert_eq!(report.unwrap().steps, 2);
        let (mut model, mut resumed) = (other.build().unwrap(), trainer());
        resumed.resume(&mut model, &path).unwrap();
        assert_eq!(resumed.fit(&mut model, &x).unwrap().steps, 5);
        assert_eq!(bits(&model), bits(&expected), "{anneals}");
        assert_eq!(model.bandwidth().to_bits(), expected.bandwidth().to_bits());
    }
}

#[test]
fn validation_samples_of_the_callers_own_go_on() {
    let scratch = Scratch::new("own_validation");
    let path = scratch.file();
    let start = |count| {
        let trainer = Trainer::new(Adam::new(0.01).unwrap())
            .epochs(EPOCHS)
            .batch_size(BATCH);
        let trainer = match count {
            0 => trainer,
            count => trainer.validation(samples::<f64>().columns(0, count).into_owned()),
        };
        (relu::<f64>().build().unwrap(), trainer.patience(9))
    };
    let (mut expected, mut trainer) = start(5);
    let report = trainer.fit(&mut expected, samples()).unwrap();
    for steps in 1..STEPS {
        let (mut model, trainer) = start(5);
        let stopped = trainer
            .checkpoint(&path, Every::Steps(steps))
            .fit_with_steps(&mut model, samples(), |event| match event {
                Event::Step(step) if step.number == steps => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
        stopped.unwrap();
        for another in [0, 4] {
            let (mut model, mut trainer) = start(another);
            match trainer.resume(&mut model, &path).unwrap_err() {
                Error::OtherSetting { setting, .. } => assert_eq!(setting, "validation"),
                error => panic!("{error}"),
            }
        }
        let (mut model, mut trainer) = start(5);
        trainer.resume(&mut model, &path).unwrap();
        assert_eq!(
            trainer.fit(&mut model, samples()).unwrap(),
            report,
            "{steps}"
        );
        assert_eq!(bits(&model), bits(&expected), "{steps}");
    }
}
