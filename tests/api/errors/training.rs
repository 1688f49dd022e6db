//! Refused settings of training.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use super::*;
use sparse_autoencoder::{Corruption, Lbfgs, Real, Schedule, Trainer};
use std::ops::ControlFlow;

/// Both ways to train refuse the settings of `trainer`, and neither touches the model.
#[track_caller]
fn assert_refused_settings<T: Real>(
    mut trainer: Trainer<T>,
    name: &str,
    requirement: &str,
    value: f64,
) {
    let mut model = small::<T>().build().unwrap();
    let before = bits(&model);
    let (x, mut observed) = (samples(20), 0);
    let fit = trainer.fit_with(&mut model, &x, |_| {
        observed += 1;
        ControlFlow::Continue(())
    });
    assert_invalid(fit, name, requirement, value);
    let partial_fit = trainer.partial_fit(&mut model, &x);
    assert_invalid(partial_fit, name, requirement, value);
    assert_eq!(observed, 0);
    assert_eq!(bits(&model), before);
}

fn assert_numeric_settings_of_training<T: Real>() {
    let is_f32 = !T::of(TOO_LARGE_FOR_F32).is_finite();
    let beyond_scalar: &[f64] = if is_f32 { &[TOO_LARGE_FOR_F32] } else { &[] };

    assert_refused_settings(trainer::<T>().epochs(0), "epochs", "at least 1", 0.0);
    assert_refused_settings(
        trainer::<T>().batch_size(0),
        "batch_size",
        "at least 1",
        0.0,
    );
    assert_refused_settings(trainer::<T>().patience(0), "patience", "at least 1", 0.0);
    assert_refused_settings(
        trainer::<T>().stream_steps(0),
        "stream_steps",
        "at least 1",
        0.0,
    );
    for value in [&NEVER[..], &[-0.1, 1.0, 1.5]].concat() {
        let trainer = trainer::<T>().validation_split(value);
        assert_refused_settings(trainer, "validation_split", "in [0, 1)", value);
    }
    let lost: &[f64] = if is_f32 { &[1e-300] } else { &[] }; // 0 as the model sees it
    for value in [&NEVER[..], &[0.0, -1.0], beyond_scalar, lost].concat() {
        let trainer = trainer::<T>().clip_gradient(value);
        assert_refused_settings(trainer, "clip_gradient", "finite and above 0", value);
    }
    for value in [&NEVER[..], &[-1.0], beyond_scalar].concat() {
        let trainer = trainer::<T>().bias_rate(value);
        assert_refused_settings(trainer, "bias_rate", "finite and at least 0", value);
    }

    for value in [&NEVER[..], &[-0.1, 1.0, 2.0]].concat() {
        let trainer = trainer::<T>().schedule(Schedule::constant().warm_up(value));
        assert_refused_settings(trainer, "warm_up of the schedule", "in [0, 1)", value);
    }
    for value in [&NEVER[..], &[-0.1, 1.1, TOO_LARGE_FOR_F32]].concat() {
        let name = "floor of the schedule";
        let with = |schedule| trainer::<T>().schedule(schedule);
        assert_refused_settings(with(Schedule::linear(value)), name, "in [0, 1]", value);
        assert_refused_settings(with(Schedule::cosine(value)), name, "in [0, 1]", value);
        assert_refused_settings(with(Schedule::exponential(value)), name, "in (0, 1]", value);
    }
    let trainer_to_0 = trainer::<T>().schedule(Schedule::exponential(0.0));
    assert_refused_settings(trainer_to_0, "floor of the schedule", "in (0, 1]", 0.0);

    let refused = |corruption: Corruption, name, requirement, value: f64| {
        let trainer = trainer::<T>().corruption(corruption);
        assert_refused_settings(trainer, name, requirement, value);
        let mut samples = [T::of(0.5); 4];
        assert_invalid(corruption.apply(&mut samples, 1), name, requirement, value);
        assert_eq!(samples, [T::of(0.5); 4]);
    };
    for value in [&NEVER[..], &[-0.1], beyond_scalar].concat() {
        let corruption = Corruption::Gaussian {
            standard_deviation: value,
        };
        let name = "standard_deviation of Gaussian";
        refused(corruption, name, "finite and at least 0", value);
    }
    for fraction in [&NEVER[..], &[-0.1, 1.1]].concat() {
        let name = "fraction of Masking";
        refused(
            Corruption::Masking { fraction },
            name,
            "in [0, 1]",
            fraction,
        );
        let corruption = Corruption::SaltAndPepper {
            fraction,
            low: 0.0,
            high: 1.0,
        };
        refused(
            corruption,
            "fraction of SaltAndPepper",
            "in [0, 1]",
            fraction,
        );
    }
    for end in [&NEVER[..], beyond_scalar].concat() {
        let corruption = Corruption::SaltAndPepper {
            fraction: 0.1,
            low: end,
            high: 1.0,
        };
        refused(corruption, "low of SaltAndPepper", "finite", end);
        let corruption = Corruption::SaltAndPepper {
            fraction: 0.1,
            low: 0.0,
            high: end,
        };
        refused(corruption, "high of SaltAndPepper", "finite", end);
    }
}

#[test]
fn settings_of_training_out_of_range_are_refused_in_both_scalars() {
    assert_numeric_settings_of_training::<f32>();
    assert_numeric_settings_of_training::<f64>();
}

#[test]
fn the_ends_of_the_ranges_of_training_are_accepted() {
    let accepted: [Trainer<f32>; 11] = [
        trainer()
            .epochs(1)
            .batch_size(usize::MAX)
            .patience(usize::MAX),
        trainer().batch_size(1).threads(0),
        trainer().validation_split(0.0).threads(usize::MAX),
        trainer().clip_gradient(f64::from(f32::MAX)),
        trainer().clip_gradient(f64::from(f32::MIN_POSITIVE)),
        trainer().schedule(Schedule::exponential(1.0).warm_up(0.0)),
        trainer().schedule(Schedule::linear(0.0).warm_up(1.0 - f64::EPSILON)),
        trainer().corruption(Corruption::Gaussian {
            standard_deviation: 0.0,
        }),
        trainer().corruption(Corruption::Masking { fraction: 1.0 }),
        trainer().corruption(Corruption::SaltAndPepper {
            fraction: 1.0,
            low: 1.0,
            high: 0.0,
        }),
        trainer().validation_split(0.99).patience(1),
    ];
    for mut trainer in accepted {
        let mut model = small::<f32>().build().unwrap();
        let fit = trainer.fit(&mut model, samples(60));
        assert!(fit.is_ok(), "{fit:?} of {trainer:?}");
    }
}

#[test]
fn epochs_without_end_are_ended_by_the_observer() {
    // Their number of steps overflows.
    let mut model = small::<f64>().build().unwrap();
    let mut trainer = trainer()
        .epochs(usize::MAX)
        .batch_size(4)
        .schedule(Schedule::cosine(0.1).warm_up(0.5));
    let report = trainer.fit_with(&mut model, samples(20), |epoch| {
        if epoch.number == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(report.unwrap().epochs, 3);
}

#[test]
fn a_validation_split_that_leaves_one_side_empty_is_refused() {
    for (count, split) in [(1, 0.5), (3, 0.1), (3, 0.9), (20, 1e-9), (20, 1.0 - 1e-9)] {
        let mut model = small::<f64>().build().unwrap();
        let before = bits(&model);
        let fit = trainer()
            .validation_split(split)
            .fit(&mut model, samples(count));
        let other = "so few samples: one side would be empty";
        assert_incompatible(fit, "a validation split", other);
        assert_eq!(bits(&model), before);
    }
}

#[test]
fn a_full_batch_optimizer_refuses_what_changes_from_step_to_step() {
    let full = "a full-batch optimizer";
    let trainer = || Trainer::new(Lbfgs::<f64>::new()).epochs(2);
    let mut model = small::<f64>().build().unwrap();
    let before = bits(&model);
    let x = samples(20);
    let mut assert_refused = |mut trainer: Trainer<f64>, what, other| {
        assert_incompatible(trainer.fit(&mut model, &x), what, other);
        assert_eq!(bits(&model), before);
    };
    let what = "a batch size below the number of samples";
    assert_refused(trainer().batch_size(19), what, full);
    let what = "a learning-rate schedule";
    let other = "an optimizer without a learning rate";
    assert_refused(trainer().schedule(Schedule::linear(0.0)), what, other);
    let masking = Corruption::Masking { fraction: 0.5 };
    assert_refused(trainer().corruption(masking), "corruption", full);
    assert_refused(trainer().clip_gradient(1.0), "a clipped gradient", full);
    assert_refused(trainer().bias_rate(2.0), "a rate of biases", full);

    let partial_fit = trainer().partial_fit(&mut model, &x);
    assert_incompatible(partial_fit, "partial_fit", full);
    assert_eq!(bits(&model), before);
    assert!(trainer().batch_size(20).fit(&mut model, &x).is_ok());
}
