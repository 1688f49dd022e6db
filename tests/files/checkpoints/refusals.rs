//! Checkpoints that cannot be written or resumed.

use super::*;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Every, Optimizer, Proportion, Schedule,
    SetPoint, Sgd, SparseAutoencoderBuilder, Stack, Trainer, files,
};
use std::fs;

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
        assert_eq!(bits(&model), before, "the folder is missing from the start");
        fs::create_dir(&folder).unwrap();
        let result = trainer.fit_with_steps(&mut model, samples(), |_| {
            let _ = fs::remove_dir_all(&folder);
        });
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
        // Another model cannot take its place.
        let (mut another, _) = start();
        let error = trainer.fit(&mut another, samples()).unwrap_err();
        assert!(error.to_string().contains("Trainer::reset"), "{error}");
        assert_eq!(trainer.fit(&mut model, samples()).unwrap(), expected_report);
        assert_eq!(bits(&model), bits(&expected));
        // The checkpoint that could not be written is there now.
        let (mut resumed, other) = start();
        let mut other = other.checkpoint(&path, every);
        other.resume(&mut resumed, &path).unwrap();
        let error = other.fit(&mut start().0, samples()).unwrap_err();
        assert!(error.to_string().contains("Trainer::reset"), "{error}");
        assert_eq!(other.fit(&mut resumed, samples()).unwrap(), expected_report);
        assert_eq!(bits(&resumed), bits(&expected));
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
        ("bias_rate", ok().bias_rate(2.0)),
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
        ("model.layers", relu().layers([INPUT, 9])),
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
        trainer.fit_stack(&mut stack, samples()).unwrap_err()
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
    files::save(&model, scratch.file()).unwrap();
    let error = trainer.resume(&mut model, scratch.file()).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }));
}
