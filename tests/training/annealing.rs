//! An objective that changes over a fit.

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Adam, Error, L1, Lbfgs, Penalty, Sgd, SparseAutoencoder, SparseAutoencoderBuilder,
    TargetL0, Trainer,
};

fn samples() -> DMatrix<f64> {
    fractions(6, 40, |phase| phase - 0.4)
}

fn builder(hidden: Activation) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([6, 20])
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(0.3)
        .seed(1)
}

fn trainer() -> Trainer<f64> {
    Trainer::new(Sgd::new(0.1).unwrap())
}

/// Ten steps on all samples are ten steps of models that have the weight, or the k, of each.
#[test]
fn a_fit_that_anneals_is_the_loop_that_one_would_write() {
    // Half of the steps: the factors are 0, 0.2, …, and k falls by 1.2 a step from 8 to 2.
    let ks = [8, 7, 6, 4, 3, 2, 2, 2, 2, 2];
    for hidden in [
        Activation::Relu,
        Activation::TopK(2),
        Activation::AbsTopK(2),
        Activation::BatchTopK(2),
    ] {
        let selects = hidden != Activation::Relu;
        let mut annealed = builder(hidden).build().unwrap();
        let mut by_fit = trainer().epochs(10).sparsity_warm_up(0.5);
        if selects {
            by_fit = by_fit.anneal_k(8, 0.5);
        }
        let report = by_fit.fit(&mut annealed, samples()).unwrap();
        assert_eq!(annealed.hidden_activations(), [hidden]);

        let mut parameters = builder(hidden).build().unwrap().into_parameters();
        let mut by_hand = trainer();
        for (step, k) in ks.into_iter().enumerate() {
            let weight = 0.3 * f64::min(step as f64 / 5.0, 1.0);
            let now = match hidden {
                Activation::TopK(_) => Activation::TopK(k),
                Activation::AbsTopK(_) => Activation::AbsTopK(k),
                Activation::BatchTopK(_) => Activation::BatchTopK(k),
                other => other,
            };
            let mut model = builder(now)
                .parameters(parameters)
                .penalty_weight(weight)
                .build()
                .unwrap();
            let loss = by_hand.partial_fit(&mut model, samples()).unwrap();
            let difference = (loss.total() - report.losses[step].total()).abs();
            assert!(difference < 1e-12, "{hidden:?} {step}: {difference:e}");
            parameters = model.into_parameters();
        }
        let mut by_hand = builder(hidden).parameters(parameters).build().unwrap();
        if let Activation::BatchTopK(k) = hidden {
            by_hand.calibrate_thresholds(samples(), k as f64).unwrap();
        }
        let theta = by_hand.parameters().as_slice().iter();
        for (annealed, by_hand) in annealed.parameters().as_slice().iter().zip(theta) {
            assert!((annealed - by_hand).abs() < 1e-12, "{hidden:?}");
        }
        // Steps after the fit are of the model as it is.
        let loss = by_fit
            .partial_fit(&mut annealed.clone(), samples())
            .unwrap();
        let plain = annealed.loss(samples()).unwrap();
        assert!((loss.total() - plain.total()).abs() < 1e-12);
    }
}

/// While k falls, thresholds and bandwidth are those of a calibration before each step. Then they learn.
#[test]
fn thresholds_follow_a_falling_k() {
    let x = samples();
    let model = || {
        let mut builder = builder(Activation::JumpRelu).penalty(TargetL0);
        builder = builder.sparsity_target(0.1);
        builder.build().unwrap()
    };
    let (mut annealed, mut by_hand) = (model(), model());
    let adam = || Trainer::new(Adam::new(0.01).unwrap());
    let mut by_fit = adam().epochs(10).anneal_k(8, 0.5);
    by_fit.fit(&mut annealed, &x).unwrap();
    let mut steps = adam();
    let mut bandwidths = Vec::new();
    for step in 0..10 {
        if step < 5 {
            let k = 2.0 + 6.0 * (1.0 - step as f64 / 5.0);
            by_hand.calibrate_thresholds(&x, k).unwrap();
        }
        bandwidths.push(by_hand.bandwidth().to_bits());
        steps.partial_fit(&mut by_hand, &x).unwrap();
    }
    assert_eq!(annealed.parameters(), by_hand.parameters());
    assert_eq!(
        annealed.bandwidth().to_bits(),
        by_hand.bandwidth().to_bits()
    );
    assert_ne!(bandwidths[0], bandwidths[4]);
    assert_eq!(bandwidths[4], bandwidths[9]);
    let thresholds = |sae: &SparseAutoencoder<f64>| {
        let layer = sae.parameters().layer(0).unwrap();
        layer.block("thresholds").unwrap().into_owned()
    };
    let learned = thresholds(&annealed);
    assert!(learned.iter().any(|&t| (t - learned[0]).abs() > 1e-3));

    // The builder's bandwidth stays.
    let mut fixed = builder(Activation::JumpRelu)
        .penalty(TargetL0)
        .bandwidth(0.3);
    fixed = fixed.sparsity_target(0.1);
    let mut fixed = fixed.build().unwrap();
    by_fit.fit(&mut fixed, &x).unwrap();
    assert_eq!(fixed.bandwidth().to_bits(), 0.3_f64.to_bits());
}

/// Pre-activations of such samples are finite, and their squared errors are not.
#[test]
fn a_step_that_fails_leaves_thresholds_and_bandwidth() {
    let mut model = builder(Activation::JumpRelu)
        .penalty(TargetL0)
        .sparsity_target(0.1)
        .build()
        .unwrap();
    let mut trainer = Trainer::new(Adam::new(0.01).unwrap())
        .stream_steps(10)
        .anneal_k(8, 0.5);
    let state = |sae: &SparseAutoencoder<f64>| {
        let theta = sae.parameters().as_slice().to_vec();
        (theta, sae.bandwidth().to_bits())
    };
    let huge = samples() * 1e200;
    let fresh = model.clone();
    let error = trainer.partial_fit(&mut model, &huge).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert_eq!(state(&model), state(&fresh));

    trainer.partial_fit(&mut model, samples()).unwrap();
    let before = model.clone();
    assert_ne!(before.bandwidth().to_bits(), fresh.bandwidth().to_bits());
    assert!(trainer.partial_fit(&mut model, &huge).is_err());
    assert_eq!(state(&model), state(&before));
    model.calibrate_thresholds(samples(), 5.0).unwrap(); // still chooses the bandwidth
    assert_ne!(model.bandwidth().to_bits(), before.bandwidth().to_bits());
}

/// A single batch is never shuffled, and its first samples may differ from the others.
#[test]
fn thresholds_are_set_by_samples_spread_over_the_batch() {
    let x = DMatrix::from_fn(6, 4096, |i, j| {
        let phase = ((i * 31 + j * 17 + 1) as f64 * 0.618_033_988_749_895).fract() - 0.4;
        if j < 1024 { 0.2 * phase } else { phase }
    });
    let builder = builder(Activation::JumpRelu).penalty(TargetL0);
    let mut model = builder.sparsity_target(3.0 / 20.0).build().unwrap();
    let mut trainer = Trainer::new(Sgd::new(1e-9).unwrap())
        .batch_size(4096)
        .epochs(2)
        .anneal_k(3, 1.0);
    trainer.fit(&mut model, &x).unwrap();
    let mut calibrated = model.clone();
    calibrated.calibrate_thresholds(&x, 3.0).unwrap();
    let l0 = |model: &SparseAutoencoder<f64>| {
        let hidden = model.encode(&x).unwrap();
        hidden.iter().filter(|&&h| h != 0.0).count() as f64 / 4096.0
    };
    assert!((l0(&calibrated) - 3.0).abs() < 0.01);
    assert!((l0(&model) - 3.0).abs() < 0.1, "{}", l0(&model));
}

/// `TargetL0` may be a part of the penalty, and scaled.
#[test]
fn thresholds_follow_k_under_a_sum_and_a_multiple() {
    let x = samples();
    let fit = |penalty: Box<dyn Penalty<f64>>| {
        let builder = builder(Activation::JumpRelu).penalty(penalty);
        let mut model = builder.sparsity_target(0.1).build().unwrap();
        model.start_at(&x).unwrap();
        let layer = model.parameters().layer(0).unwrap();
        let threshold = layer.block("thresholds").unwrap()[0];
        assert!(threshold > 0.0);
        // At this rate, thresholds move by calibration alone.
        let trainer = Trainer::new(Sgd::new(1e-12).unwrap()).epochs(10);
        let report = trainer.anneal_k(8, 0.5).fit(&mut model, &x).unwrap();
        let l0 = &report.l0;
        assert!((l0[0] - 8.0).abs() < 0.5, "{l0:?}");
        assert!(l0[4] > 2.5 && l0[4] < 4.0, "{l0:?}"); // k is 3.2
    };
    fit(Box::new(TargetL0));
    fit(Box::new((TargetL0, L1)));
    fit(Box::new(Scaled::new(1000.0, TargetL0)));
}

#[test]
fn what_cannot_be_annealed_is_refused() {
    let x = samples();
    let fit = |mut trainer: Trainer<f64>, hidden| {
        let mut model = builder(hidden).build().unwrap();
        let before = model.clone();
        let error = trainer.fit(&mut model, &x).unwrap_err();
        assert_eq!(model.parameters(), before.parameters());
        error
    };
    let (relu, top_k) = (Activation::Relu, Activation::TopK(4));
    for (trainer, hidden, parameter) in [
        (
            trainer().sparsity_warm_up(0.0),
            relu,
            "fraction of sparsity_warm_up",
        ),
        (
            trainer().sparsity_warm_up(1.5),
            relu,
            "fraction of sparsity_warm_up",
        ),
        (
            trainer().sparsity_warm_up(f64::NAN),
            relu,
            "fraction of sparsity_warm_up",
        ),
        (trainer().anneal_k(8, 0.0), top_k, "fraction of anneal_k"),
        (
            trainer().anneal_k(8, f64::NAN),
            top_k,
            "fraction of anneal_k",
        ),
        (trainer().anneal_k(3, 0.5), top_k, "first k of anneal_k"),
        (trainer().anneal_k(21, 0.5), top_k, "first k of anneal_k"),
    ] {
        let error = fit(trainer, hidden);
        assert!(
            matches!(error, Error::InvalidParameter { name, .. } if name == parameter),
            "{error}"
        );
    }
    for (trainer, hidden) in [
        (trainer().anneal_k(8, 0.5), relu),
        (trainer().anneal_k(8, 0.5), Activation::JumpRelu), // under L1
        (trainer().anneal_k(8, 0.5), Activation::TopProportion(0.1)),
        (Trainer::new(Lbfgs::new()).sparsity_warm_up(0.5), relu),
    ] {
        let error = fit(trainer, hidden);
        assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    }
}

#[test]
fn a_warm_up_of_no_penalty_is_refused() {
    for builder in [
        builder(Activation::TopK(4)).penalty(()),
        builder(Activation::Relu).penalty_weight(0.0),
        builder(Activation::Relu).penalized_layers([]),
    ] {
        let mut model = builder.build().unwrap();
        let mut trainer = trainer().sparsity_warm_up(0.5);
        let error = trainer.fit(&mut model, samples()).unwrap_err();
        let expected = "sparsity_warm_up cannot be used with a model without a penalty";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let mut model = builder(Activation::TopK(4)).build().unwrap();
    let fitted = trainer().sparsity_warm_up(0.5).epochs(1);
    assert!({ fitted }.fit(&mut model, samples()).is_ok());
}

#[test]
fn what_is_annealed_is_the_objective_of_the_model_at_hand() {
    let model = |decay| {
        builder(Activation::Relu)
            .weight_decay(decay)
            .build()
            .unwrap()
    };
    let after_three_of = |mut other: SparseAutoencoder<f64>| {
        let mut trainer = trainer().stream_steps(10).sparsity_warm_up(0.5);
        for _ in 0..3 {
            trainer.partial_fit(&mut other, samples()).unwrap();
        }
        let mut model = model(0.1);
        trainer.partial_fit(&mut model, samples()).unwrap();
        model.parameters().as_slice().to_vec()
    };
    assert_eq!(after_three_of(model(0.0)), after_three_of(model(0.1)));
}
