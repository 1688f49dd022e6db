//! What a report says of a training that succeeded and is of no use.

#![allow(clippy::float_cmp)] // what is copied

use std::ops::ControlFlow;

use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::metrics::ReconstructionMetrics;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::penalty::{Description, Scaled};
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Event, Initialization, KlDivergence, L1,
    ReconstructionLoss, Report, Scaling, Schedule, SetPoint, SparseAutoencoder,
    SparseAutoencoderBuilder, TargetL0, Trainer, Warning,
};

fn samples() -> DMatrix<f64> {
    DMatrix::from_fn(6, 200, |i, j| {
        ((i + 1) as f64 * j as f64 * 0.037).sin() + ((i * j) as f64 * 0.011).cos()
    })
}

fn linear() -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .initialization(Initialization::Glorot)
        .layers([6, 12])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(1e-3)
}

fn fit(
    builder: &SparseAutoencoderBuilder<f64>,
    rate: f64,
    epochs: usize,
    samples: &DMatrix<f64>,
) -> (Report<f64>, f64) {
    let mut model = builder.build().unwrap();
    let report = Trainer::new(Adam::new(rate).unwrap())
        .epochs(epochs)
        .batch_size(50)
        .fit(&mut model, samples)
        .unwrap();
    let mut metrics = ReconstructionMetrics::new(samples.nrows());
    metrics
        .add(samples, model.reconstruct(samples).unwrap())
        .unwrap();
    (report, metrics.explained_variance().unwrap())
}

/// The loss at the end and that of the mean sample, if the report warns of them.
fn no_better(report: &Report<f64>) -> Option<[f64; 2]> {
    report.warnings.iter().find_map(|warning| match *warning {
        Warning::NoBetterThanMean {
            loss, loss_of_mean, ..
        } => Some([loss, loss_of_mean]),
        _ => None,
    })
}

#[test]
fn a_model_that_learned_gives_no_warning() {
    let (report, explained) = fit(&linear(), 1e-2, 400, &samples());
    assert!(explained > 0.5, "{explained}");
    assert_eq!(report.warnings, []);
    let in_range = samples().map(|x| 0.2 * x + 0.5);
    let entropy = SparseAutoencoder::builder()
        .layers([6, 12])
        .penalty(())
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    // Close to the entropy of the entries themselves, which is not far below that of their mean.
    let binary = in_range.map(|x| f64::from(u8::from(x > 0.5)));
    let (report, explained) = fit(&entropy, 1e-2, 400, &binary);
    assert!(explained > 0.5, "{explained}");
    assert_eq!(report.warnings, []);
}

#[test]
fn a_model_worse_than_the_mean_says_so() {
    let unscaled = samples().map(|x| 60.0 * (x + 2.0));
    let sigmoid = SparseAutoencoder::builder().layers([6, 12]).penalty(());
    let entropy = sigmoid
        .clone()
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    let nested = linear()
        .hidden_activation(Activation::BatchTopK(2))
        .penalty(())
        .matryoshka([3, 6]);
    let cases = [
        ("a learning rate of 10", linear(), 10.0, samples()),
        (
            "a penalty of 100",
            linear().penalty_weight(100.0),
            1e-2,
            samples(),
        ),
        ("0 to 255, sigmoid", sigmoid.clone(), 1e-2, unscaled),
        (
            "around 0, sigmoid",
            sigmoid,
            1e-2,
            samples().map(|x| x - 1.0),
        ),
        (
            "cross-entropy",
            entropy,
            10.0,
            samples().map(|x| 0.2 * x + 0.5),
        ),
        ("nested", nested, 10.0, samples()),
    ];
    for (name, builder, rate, samples) in cases {
        let (report, explained) = fit(&builder, rate, 60, &samples);
        assert!(explained < 0.05, "{name}: {explained}");
        let [loss, loss_of_mean] = no_better(&report)
            .unwrap_or_else(|| panic!("{name}: {:?} at {explained}", report.warnings));
        assert_eq!(loss, report.losses.last().unwrap().reconstruction, "{name}");
        assert!(loss > 0.99 * loss_of_mean && loss_of_mean > 0.0, "{name}");
        let is_no_better = |warning: &&Warning| matches!(warning, Warning::NoBetterThanMean { .. });
        let warning = report.warnings.iter().find(is_no_better).unwrap();
        assert_says(warning, &["Scaling", "learning rate", ".penalty(())"]);
        // The cause comes first.
        let is_outside = |warning: &Warning| matches!(warning, Warning::OutsideOutputRange { .. });
        let outside = report.warnings.iter().position(is_outside);
        assert!(outside.is_none_or(|place| place == 0), "{name}");
    }
}

/// The default penalty asks for little activation, of which two units have too little for the code.
#[test]
fn a_narrow_code_under_the_default_penalty_says_to_leave_the_penalty_out() {
    let in_range = samples().map(|x| 0.2 * x + 0.5);
    let narrow = SparseAutoencoder::builder().layers([6, 4, 2]);
    let (report, explained) = fit(&narrow, 1e-2, 200, &in_range);
    assert!(explained < 0.01, "{explained}");
    assert_says(&report.warnings[0], &[".penalty(())"]);
    let (report, explained) = fit(&narrow.penalty(()), 1e-2, 200, &in_range);
    assert!(explained > 0.3, "{explained}");
    let [Warning::StillLearning { .. }] = report.warnings[..] else {
        panic!("{:?}", report.warnings);
    };
}

#[test]
fn the_loss_of_the_mean_is_half_the_variance() {
    let samples = samples();
    let (report, _) = fit(&linear().penalty_weight(100.0), 1e-2, 3, &samples);
    let [_, loss_of_mean] = no_better(&report).unwrap();
    let variance = samples.column_variance().sum();
    assert!(
        (loss_of_mean - 0.5 * variance).abs() < 1e-12 * variance,
        "{loss_of_mean} {variance}"
    );
}

/// Reports what training with these settings warns of.
fn warnings_of(
    builder: &SparseAutoencoderBuilder<f64>,
    trainer: impl Fn(Trainer<f64>) -> Trainer<f64>,
    samples: &DMatrix<f64>,
) -> Vec<Warning> {
    let trainer_of = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(100)
        .batch_size(50);
    let mut model = builder.build().unwrap();
    let report = trainer(trainer_of).fit(&mut model, samples).unwrap();
    report.warnings
}

/// Leaves out that units died: these samples need few.
fn but_dead(mut warnings: Vec<Warning>) -> Vec<Warning> {
    warnings.retain(|warning| !matches!(warning, Warning::DeadUnits { .. }));
    warnings
}

#[track_caller]
fn assert_says(warning: &Warning, words: &[&str]) {
    let text = warning.to_string();
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn no_activation_warns_of_a_model_that_learned() {
    for &hidden in ACTIVATIONS {
        for output in [Activation::Identity, Activation::Sigmoid] {
            let builder = linear()
                .layers([6, 24])
                .hidden_activation(hidden)
                .output_activation(output)
                .penalty(())
                .bandwidth(0.5);
            let samples = match output {
                Activation::Identity => samples(),
                _ => samples().map(|x| 0.2 * x + 0.5),
            };
            let mut warnings = warnings_of(&builder, |trainer| trainer.epochs(1000), &samples);
            warnings.retain(|warning| !matches!(warning, Warning::MayCopy { .. }));
            assert_eq!(but_dead(warnings), [], "{hidden:?} {output:?}");
        }
    }
}

/// Of wide layers, only those that must choose what to keep give no warning.
#[test]
fn a_model_that_may_copy_its_input_says_so() {
    let wide = linear().layers([6, 24]).penalty(());
    let sigmoid = wide.clone().hidden_activation(Activation::Sigmoid);
    let noise = Corruption::Masking { fraction: 0.3 };
    let long = |trainer: Trainer<f64>| trainer.epochs(400);
    let noisy = |trainer: Trainer<f64>| trainer.epochs(400).corruption(noise);
    let copies = |builder: &SparseAutoencoderBuilder<f64>, trainer: &dyn Fn(Trainer<f64>) -> _| {
        let warnings = warnings_of(builder, trainer, &samples());
        let copies = |warning: &&Warning| matches!(warning, Warning::MayCopy { .. });
        warnings.iter().filter(copies).count() == 1
    };
    assert!(copies(&wide, &long) && copies(&sigmoid, &long));
    assert!(copies(&wide.clone().layers([6, 8, 6]), &long));
    for as_free in [
        Activation::JumpRelu,
        Activation::Gated,
        Activation::TopK(6),
        Activation::TopProportion(0.9),
        Activation::WinnerTakeAll(0.9),
    ] {
        assert!(copies(&wide.clone().hidden_activation(as_free), &long));
    }
    let outer = wide.clone().layers([6, 12, 12]).penalty(L1);
    assert!(!copies(&outer.penalty_weights([1e-6, 0.0]), &long));
    assert!(!copies(&wide, &noisy));
    for chooses in [
        wide.clone().layers([6, 5]),
        wide.clone().layers([6, 12, 3]),
        wide.clone().hidden_activation(Activation::TopK(2)),
        wide.clone()
            .hidden_activation(Activation::TopProportion(0.1)),
        wide.clone().weight_decay(1e-6),
        wide.clone().penalty(L1).penalty_weight(1e-6),
        sigmoid.penalty(KlDivergence).penalty_weight(1e-6),
    ] {
        assert!(!copies(&chooses, &long), "{chooses:?}");
    }
    let [warning] = warnings_of(&wide, long, &samples())[..] else {
        panic!("{:?}", warnings_of(&wide, long, &samples()));
    };
    assert_says(&warning, &["TopK", "penalty", "Trainer::corruption"]);
}

#[test]
fn a_loss_that_still_falls_says_to_train_longer() {
    let of = |trainer: &dyn Fn(Trainer<f64>) -> _| {
        let narrow = linear().layers([6, 5]).penalty(());
        let warnings = warnings_of(&narrow, trainer, &samples());
        let learning = |of: &Warning| matches!(of, Warning::StillLearning { .. });
        warnings.into_iter().find(learning)
    };
    let warning = of(&|trainer: Trainer<f64>| trainer.epochs(40)).unwrap();
    let Warning::StillLearning { before, loss, .. } = warning else {
        panic!("{warning}");
    };
    assert!(loss < 0.95 * before);
    assert_says(&warning, &["more epochs", "learning rate"]);
    // At its end, too few epochs to tell, or meant to end here.
    assert_eq!(of(&|trainer| trainer.epochs(1000)), None);
    assert_eq!(of(&|trainer| trainer.epochs(19)), None);
    assert_eq!(
        of(&|trainer| trainer.epochs(40).schedule(Schedule::cosine(0.0))),
        None
    );
}

/// A loss falls of itself, or rises, while its objective changes.
#[test]
fn only_a_loss_whose_objective_is_settled_says_to_train_longer() {
    let says = |builder: &SparseAutoencoderBuilder<f64>, trainer: &dyn Fn(Trainer<f64>) -> _| {
        let warnings = warnings_of(builder, |t| trainer(t.epochs(40)), &samples());
        let learning = |of: &Warning| matches!(of, Warning::StillLearning { .. });
        warnings.iter().any(learning)
    };
    let narrow = linear().layers([6, 5]);
    let selecting = narrow.clone().hidden_activation(Activation::TopK(2));
    // The epochs compared are the last fifth.
    assert!(says(&narrow, &|t| t));
    assert!(says(&narrow, &|t| t.sparsity_warm_up(0.8)));
    assert!(!says(&narrow, &|t| t.sparsity_warm_up(0.85)));
    assert!(!says(&narrow, &|t| t.set_point(SetPoint::active_units(2.0))));
    assert!(says(&selecting.clone().penalty(()), &|t| t.anneal_k(4, 0.8)));
    assert!(!says(&selecting.penalty(()), &|t| t.anneal_k(4, 0.85)));
    // By a fit that is stopped.
    let mut model = narrow.build().unwrap();
    let report = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(41)
        .batch_size(50)
        .fit_with(&mut model, samples(), |epoch| match epoch.number {
            40 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
    assert_eq!(report.unwrap().warnings, []);
}

/// In steps too few, or at a weight too low.
#[test]
fn mean_activations_above_twice_their_target_say_so() {
    let samples = samples().map(|x| 0.2 * x + 0.5);
    for (hidden, penalty, norm_weighted) in [
        (Activation::Sigmoid, Description::KlDivergence, false),
        (Activation::Tanh, Description::KlDivergence, false),
        (Activation::Sigmoid, Description::SquaredDeviation, false),
        (Activation::Relu, Description::SquaredDeviation, false),
        (Activation::Relu, Description::SquaredDeviation, true),
    ] {
        let builder = SparseAutoencoder::builder()
            .layers([6, 24])
            .hidden_activation(hidden)
            .penalty(penalty.penalty::<f64>().unwrap())
            .norm_weighted(norm_weighted)
            .sparsity_target(0.1);
        let missed = |weight: f64| {
            let mut model = builder.clone().penalty_weight(weight).build().unwrap();
            let trainer = Trainer::new(Adam::new(1e-2).unwrap());
            let report = trainer.epochs(600).batch_size(50).fit(&mut model, &samples);
            let warnings = report.unwrap().warnings.into_iter();
            let missed = warnings.filter_map(|warning| match warning {
                Warning::TooActive {
                    measured, target, ..
                } => Some((measured, target)),
                _ => None,
            });
            let mut hidden_means = model.encode(&samples).unwrap().column_mean();
            if norm_weighted {
                let decoder = model.parameters().layer(0).unwrap().decoder_weights;
                let norms = decoder.column_iter().map(|column| column.norm());
                hidden_means.component_mul_assign(&DVector::from_iterator(24, norms));
            }
            let mean = hidden_means.mean();
            let of_range = (hidden, &penalty) == (Activation::Tanh, &Description::KlDivergence);
            let mean = if of_range { 0.5 + 0.5 * mean } else { mean };
            (missed.collect::<Vec<_>>(), mean)
        };
        let (warned, mean) = missed(1e-9);
        let [(measured, target)] = warned[..] else {
            panic!("{hidden:?}: {warned:?}");
        };
        assert!((measured - mean).abs() < 1e-12 && target == 0.1);
        let (warned, mean) = missed(10.0);
        assert!(warned.is_empty(), "{hidden:?} {mean}: {warned:?}");
    }
}

#[test]
fn a_set_point_out_of_reach_says_so() {
    let few = |wanted, epochs| {
        let trainer = |trainer: Trainer<f64>| {
            let set_point = SetPoint::active_units(wanted).gain(0.1);
            trainer.set_point(set_point).epochs(epochs)
        };
        but_dead(warnings_of(&linear().layers([6, 24]), trainer, &samples()))
    };
    assert_eq!(few(4.0, 400), []);
    let [warning] = few(4.0, 3)[..] else {
        panic!("{:?}", few(4.0, 3));
    };
    let Warning::TargetNotReached {
        measured, target, ..
    } = warning
    else {
        panic!("{warning:?}");
    };
    assert!(
        target == 4.0 && (measured - target).abs() > 0.4,
        "{measured}"
    );
    assert_says(&warning, &["target 4.0", "more steps", "gain"]);
    let start = if measured > target { "higher" } else { "lower" };
    assert_says(&warning, &[start, "penalty weight"]);

    let means = |trainer: Trainer<f64>| {
        let set_point = SetPoint::mean_activation(1e-3);
        trainer.set_point(set_point).epochs(3)
    };
    let warnings = warnings_of(&linear(), means, &samples());
    let missed = |warning: &Warning| {
        matches!(warning, Warning::TargetNotReached { measured, target, .. }
            if *measured > *target && *target == 1e-3)
    };
    assert!(warnings.iter().any(missed), "{warnings:?}");
}

/// No remedy of a fit contradicts another: units that are all inactive need a lower weight.
#[test]
fn a_set_point_from_far_below_says_to_start_at_a_lower_weight() {
    let strong = linear().penalty_weight(100.0);
    let set_point = SetPoint::active_units(4.0);
    let few = |trainer: Trainer<f64>| trainer.set_point(set_point).epochs(40);
    let warnings = warnings_of(&strong, few, &samples());
    let missed = |warning: &&Warning| {
        matches!(warning, Warning::TargetNotReached { measured, target, by_set_point: true, .. }
            if measured < target)
    };
    let missed = warnings.iter().find(missed).unwrap();
    assert_says(missed, &["lower penalty weight", "gain"]);
    let text = warnings.iter().map(ToString::to_string);
    assert!(
        !text.clone().any(|text| text.contains("raise")),
        "{warnings:?}"
    );
    assert!(text.count() > 1, "{warnings:?}");
}

#[test]
fn a_target_that_thresholds_do_not_reach_says_so() {
    let builder = |weight: f64, bandwidth| {
        linear()
            .layers([6, 24])
            .hidden_activation(Activation::JumpRelu)
            .penalty((L1, Scaled::new(weight, TargetL0)))
            .penalty_weight(1e-3)
            .sparsity_target(4.0 / 24.0)
            .bandwidth(bandwidth)
    };
    let at = |weight, bandwidth| {
        let builder = builder(weight, bandwidth);
        but_dead(warnings_of(&builder, |t| t.epochs(400), &samples()))
    };
    assert_eq!(at(1000.0, 1.0), []);
    assert_eq!(at(0.0, 1e-6), []); // no target
    let [warning] = at(1.0, 1e-6)[..] else {
        panic!("{:?}", at(1.0, 1e-6));
    };
    let Warning::TargetNotReached {
        measured, target, ..
    } = warning
    else {
        panic!("{warning:?}");
    };
    assert!(
        (target - 4.0).abs() < 1e-12 && measured > 4.4,
        "{measured} {target}"
    );
    assert_says(&warning, &["4.0000", "bandwidth", "calibrate_thresholds"]);
}

#[test]
fn a_model_without_active_units_says_so() {
    let strong = linear().penalty_weight(100.0);
    let warnings = warnings_of(&strong, |trainer| trainer, &samples());
    let silent =
        |warning: &Warning| matches!(warning, Warning::NoUnitActive { l0, .. } if *l0 < 0.01);
    let warning = warnings.iter().find(|warning| silent(warning)).unwrap();
    assert_says(warning, &["0.00 units", "penalty weight"]);

    // Most samples are 0, and need none.
    let rare = DMatrix::from_fn(6, 400, |i, j| {
        let event = j % 5 == 0 && i == (j / 5) % 6;
        f64::from(u8::from(event))
    });
    let mut model = linear().penalty_weight(0.02).build().unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(600)
        .batch_size(50);
    let report = trainer.fit(&mut model, &rare).unwrap();
    let l0 = report.l0[report.epochs - 1];
    assert!(l0 < 0.5, "{l0}");
    assert_eq!(but_dead(report.warnings), [], "{l0}");
}

#[test]
fn samples_outside_the_range_of_the_output_say_so() {
    let by = |output, samples: &DMatrix<f64>| {
        let builder = SparseAutoencoder::builder()
            .layers([6, 12])
            .penalty(())
            .output_activation(output);
        let warnings = warnings_of(&builder, |trainer| trainer, samples);
        let outside = |warning: &Warning| matches!(warning, Warning::OutsideOutputRange { .. });
        warnings.into_iter().find(outside)
    };
    let (low, high) = (samples().min(), samples().max());
    for (output, range, scaling) in [
        (Activation::Sigmoid, "from 0 to 1", "to_range_of"),
        (Activation::SaturatingLinear, "from 0 to 1", "to_range_of"),
        (Activation::Tanh, "from -1 to 1", "to_range_of"),
        (Activation::Relu, "from 0 to inf", "min_max"),
    ] {
        let warning = by(output, &samples()).unwrap();
        let of_the_samples = |warning: &Warning| {
            matches!(*warning, Warning::OutsideOutputRange { low: l, high: h, output: o, .. }
                if (l, h, o) == (low, high, output))
        };
        assert!(of_the_samples(&warning), "{warning:?}");
        assert_says(&warning, &[range, scaling]);
    }
    assert_eq!(by(Activation::Identity, &samples()), None);
    // Values at the ends and a few beyond do no harm.
    let mut scaled = samples().map(|x| (x - low) / (high - low));
    assert_eq!(by(Activation::Sigmoid, &scaled), None);
    scaled[0] = 1.2;
    assert_eq!(by(Activation::Sigmoid, &scaled), None);
}

/// Features in other units: one in grams beside others in kilograms.
#[test]
fn a_feature_that_drowns_the_others_says_so() {
    let of = |feature: usize, factor: f64| {
        let mut samples = samples();
        samples.row_mut(feature).apply(|x| *x *= factor);
        samples.row_mut(5).fill(7.0);
        samples
    };
    let dominates = |samples: &DMatrix<f64>, builder: &SparseAutoencoderBuilder<f64>| {
        let warnings = warnings_of(builder, |trainer| trainer.epochs(1), samples);
        warnings.iter().find_map(|warning| match *warning {
            Warning::FeatureDominates { feature, share, .. } => Some((feature, share, *warning)),
            _ => None,
        })
    };
    let grams = of(3, 1000.0);
    let (feature, share, warning) = dominates(&grams, &linear()).unwrap();
    let variances = grams.row_iter().map(|row| row.variance());
    let all: f64 = variances.clone().sum();
    assert_eq!(feature, 3);
    assert!((share - variances.clone().nth(3).unwrap() / all).abs() < 1e-9);
    assert_says(&warning, &["feature 3", "100.0 %", "Scaling::standard"]);

    // Scaled features, a factor of 5, and another loss give no warning; nor do two alike of six.
    let two = {
        let mut samples = of(3, 1000.0);
        let row = samples.row(3).into_owned();
        samples.row_mut(2).copy_from(&row);
        samples
    };
    let varying = grams.rows(0, 5).into_owned();
    let scaler = Scaling::standard().fit(&varying).unwrap();
    let scaled = scaler.apply(&varying).unwrap();
    assert_eq!(dominates(&scaled, &linear().layers([5, 12])), None);
    for samples in [of(3, 1.0), of(3, 5.0), two] {
        assert_eq!(dominates(&samples, &linear()), None);
    }
    let entropy = SparseAutoencoder::builder()
        .layers([6, 12])
        .penalty(())
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    let rare = DMatrix::from_fn(6, 400, |i, j| {
        f64::from(u8::from(if i == 3 { j % 2 == 0 } else { j == 7 * i }))
    });
    assert_eq!(dominates(&rare, &entropy), None);
    assert!(dominates(&rare, &linear()).is_some());
}

#[test]
fn dead_units_say_so() {
    let dead = |builder: &SparseAutoencoderBuilder<f64>| {
        let far = samples().map(|x| x + 20.0);
        warnings_of(builder, |trainer| trainer.epochs(10), &far)
    };
    let builder = |hidden| {
        linear()
            .layers([6, 60])
            .hidden_activation(hidden)
            .penalty(())
    };
    let warnings = dead(&builder(Activation::TopK(2)));
    let found = warnings.iter().find_map(|warning| match warning {
        Warning::DeadUnits { dead, of: 60, .. } => Some((*dead, warning)),
        _ => None,
    });
    let (number, warning) = found.unwrap();
    assert!(number > 6 && number < 60, "{number}");
    assert_says(
        warning,
        &[&number.to_string(), "of 60", "DeadUnits::auxiliary"],
    );
}

#[test]
fn a_fit_that_ends_within_an_epoch_counts_the_units_that_are_dead_then() {
    let builder = linear()
        .layers([6, 60])
        .hidden_activation(Activation::TopK(2))
        .penalty(());
    let far = samples().map(|x| x + 20.0);
    for (after, last) in [(100, 30), (220, 70)] {
        let mut model = builder.build().unwrap();
        let mut dead = 0;
        let report = Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(2)
            .batch_size(4)
            .dead_units(DeadUnits::after(after))
            .fit_with_steps(&mut model, &far, |event| {
                let Event::Step(step) = event else {
                    return Ok(ControlFlow::Continue(()));
                };
                dead = step.dead_units.unwrap();
                Ok(match step.number {
                    number if number == last => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })
            })
            .unwrap();
        assert!(
            dead > 6 && report.dead_units.last() != Some(&dead),
            "{dead}"
        );
        let counted = report.warnings.iter().find_map(|warning| match *warning {
            Warning::DeadUnits { dead, .. } => Some(dead),
            _ => None,
        });
        assert_eq!(counted, Some(dead), "{:?}", report.warnings);
    }
}

#[test]
fn a_stream_warns_too() {
    let builder = linear().penalty_weight(100.0);
    let mut model = builder.build().unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).dead_units(DeadUnits::after(500));
    assert_eq!(trainer.warnings(&model), []);
    for _ in 0..200 {
        trainer.partial_fit(&mut model, samples()).unwrap();
    }
    let warnings = trainer.warnings(&model);
    let [
        Warning::NoUnitActive { l0, .. },
        Warning::DeadUnits {
            dead: 12, of: 12, ..
        },
    ] = warnings[..]
    else {
        panic!("{warnings:?}");
    };
    assert!(l0 < 0.01, "{l0}");
    assert_says(&warnings[0], &[".penalty(())", "penalty weight"]);
    trainer.reset();
    assert_eq!(trainer.warnings(&model), []);
}

#[test]
fn a_stream_that_ends_while_k_falls_or_goes_on_at_a_rate_of_0_says_so() {
    for activation in [
        Activation::TopK(2),
        Activation::BatchTopK(2),
        Activation::JumpRelu,
    ] {
        let builder = linear().hidden_activation(activation);
        let builder = match activation {
            Activation::JumpRelu => builder.penalty(TargetL0).sparsity_target(2.0 / 12.0),
            _ => builder.penalty(()),
        };
        let mut model = builder.build().unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-3).unwrap())
            .stream_steps(100)
            .schedule(Schedule::linear(0.0))
            .anneal_k(6, 0.9);
        let falls = |warnings: &[Warning]| {
            let falls =
                |of: &Warning| matches!(of, Warning::TargetNotReached { k_falls: true, .. });
            warnings.iter().any(falls)
        };
        let stands = |warnings: &[Warning]| {
            let of = |of: &Warning| {
                matches!(
                    of,
                    Warning::NoLearningRate {
                        steps: 20,
                        of: 100,
                        ..
                    }
                )
            };
            warnings.iter().any(of)
        };
        for step in 0..120 {
            let warnings = trainer.warnings(&model);
            let says = falls(&warnings);
            let expected = match step {
                0 | 90.. => false,
                1..70 => true,
                _ => says, // k is 2 already, the mean over the last steps is not
            };
            assert_eq!(says, expected, "{activation:?} {step}: {warnings:?}");
            assert!(!stands(&warnings));
            trainer.partial_fit(&mut model, samples()).unwrap();
        }
        let warnings = trainer.warnings(&model);
        assert!(stands(&warnings) && !falls(&warnings), "{warnings:?}");
        assert_says(
            &warnings[0],
            &["20 steps", "ends after 100", "Trainer::reset"],
        );
    }
}

#[test]
fn a_long_epoch_warns_of_its_end() {
    // The mean over the epoch is far from 4.
    let short = samples();
    let long = DMatrix::from_fn(6, 20_000, |i, j| short[(i, j % 200)]);
    let mut model = linear().layers([6, 24]).build().unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(1)
        .batch_size(20)
        .set_point(SetPoint::active_units(4.0).gain(0.1));
    let report = trainer.fit(&mut model, &long).unwrap();
    assert_eq!(report.warnings, [], "{:?}", report.l0);
}

/// The loss of the untrained model weighs no more than that of any other step.
#[test]
fn a_short_epoch_warns_of_its_last_batches() {
    let far = samples().map(|x| x + 6.0);
    let long = DMatrix::from_fn(6, 1200, |i, j| far[(i, j % 200)]);
    let mut model = linear().penalty(()).build().unwrap();
    let (mut sum, mut weights) = (0.0, 0.0);
    let report = Trainer::new(Adam::new(0.1).unwrap())
        .epochs(1)
        .batch_size(20)
        .fit_with_steps(&mut model, &long, |event| {
            if let Event::Step(step) = event {
                sum = 0.95 * sum + step.loss.reconstruction;
                weights = 0.95 * weights + 1.0;
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let [loss, _] = no_better(&report).unwrap();
    assert!((loss - sum / weights).abs() < 1e-9 * loss, "{loss}");
}
