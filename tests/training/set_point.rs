//! A trainer that is told the sparsity, and finds the weight of the penalty.

#![allow(clippy::float_cmp)] // what is copied

use crate::common::variants::ACTIVATIONS;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, Initialization, KlDivergence, L0, L1, Lbfgs, Penalty, SetPoint,
    SetPointState, SparseAutoencoder, SparseAutoencoderBuilder, TargetL0, Trainer,
};

/// Sums of a few of 48 directions in 16 dimensions.
fn samples() -> DMatrix<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let directions = DMatrix::from_fn(16, 48, |_, _| rng.sample::<f64, _>(StandardNormal) / 4.0);
    let strengths = DMatrix::from_fn(48, 2000, |_, _| {
        let (active, strength) = (rng.random::<f64>() < 0.08, rng.random::<f64>());
        if active { 0.5 + strength } else { 0.0 }
    });
    directions * strengths
}

fn builder(
    hidden: Activation,
    penalty: impl Penalty<f64> + 'static,
    weight: f64,
) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .initialization(Initialization::Glorot)
        .layers([16, 64])
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .penalty(penalty)
        .penalty_weight(weight)
}

fn fit(
    model: &mut SparseAutoencoder<f64>,
    set_point: SetPoint,
    epochs: usize,
) -> SetPointState<f64> {
    let (built, mut last) = (model.penalty_weight(), None);
    let report = Trainer::new(Adam::new(3e-3).unwrap())
        .epochs(epochs)
        .batch_size(32)
        .set_point(set_point)
        .fit_with(model, samples(), |epoch| {
            last = epoch.set_point;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(report.set_point, last);
    let state = last.unwrap();
    assert_eq!(model.penalty_weight(), built);
    state
}

fn active_units(model: &SparseAutoencoder<f64>) -> f64 {
    let hidden = model.encode(samples()).unwrap();
    let active = hidden.iter().filter(|&&h| h != 0.0).count();
    active as f64 / hidden.ncols() as f64
}

/// Batches of 32 samples with 4 active units each differ by some percent.
#[test]
fn the_weight_is_found_from_far_below_and_from_above() {
    let wanted = SetPoint::active_units(4.0);
    let first = samples().columns(0, 32).into_owned();
    for weight in [1e-3, 2.0] {
        let mut controlled = 0;
        for &hidden in ACTIVATIONS {
            // L0 needs thresholds.
            let l0 = builder(hidden, L0, weight).bandwidth(0.2);
            let l1 = builder(hidden, L1, weight).norm_weighted(hidden.range().is_none());
            let mut model = l0.build().or(l1.build()).unwrap();
            let mut trainer = Trainer::new(Adam::new(3e-3).unwrap()).set_point(wanted);
            if let Err(error) = trainer.partial_fit(&mut model.clone(), &first) {
                assert!(matches!(error, Error::Incompatible { .. }), "{error}");
                continue; // never 0, or a number that is fixed
            }
            controlled += 1;
            let state = fit(&mut model, wanted, 150);
            let found = active_units(&model);
            let name = format!("{hidden:?} from {weight}: {state:?}, {found}");
            assert!((state.measured / 4.0).ln().abs() < 0.1, "{name}");
            assert!((found / 4.0).ln().abs() < 0.15, "{name}");
            assert!(!state.exhausted, "{name}");
        }
        // Relu, SaturatingLinear, JumpRelu, and Gated at least.
        assert!(controlled >= 4, "{controlled}");
    }
}

#[test]
fn an_open_gate_that_lets_nothing_through_is_no_active_unit() {
    let mut model = builder(Activation::Gated, L1, 0.5).build().unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    let last = theta.len() - 64;
    theta[last..].fill(-1e3); // b_mag
    model.set_theta(&theta).unwrap();
    assert!(model.loss(samples()).unwrap().sparsity > 0.0); // of gates that are open
    let state = fit(&mut model, SetPoint::active_units(4.0), 2);
    assert_eq!(state.measured, 0.0);
}

#[test]
fn a_mean_activation_is_reached_as_well() {
    let mut model = builder(Activation::Sigmoid, L1, 1e-3).build().unwrap();
    let state = fit(&mut model, SetPoint::mean_activation(0.1), 100);
    let mean = model.encode(samples()).unwrap().mean();
    assert!((state.measured / 0.1).ln().abs() < 0.1, "{state:?}");
    assert!((mean / 0.1).ln().abs() < 0.15, "{mean}");
}

#[test]
fn a_weight_without_an_effect_is_held_and_said_to_be() {
    // Units so far below 0 that no weight brings one back.
    let mut model = builder(Activation::Relu, L1, 0.5).build().unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    theta[16 * 64..16 * 64 + 64].fill(-1e3);
    model.set_theta(&theta).unwrap();
    let state = fit(&mut model, SetPoint::active_units(4.0), 20);
    assert!(state.exhausted);
    assert_eq!(state.measured, 0.0);
    let factor = 0.5 / state.penalty_weight;
    assert!(factor > 9.9e3 && factor < 1.02e4, "{factor}");
}

/// Samples held out are measured at the weight that the controller has reached, not at that of the model.
#[test]
fn the_validation_loss_has_the_weight_that_is_reached() {
    let x = samples();
    let validation = x.columns(1600, 400).into_owned();
    for layers in [&[16, 64][..], &[16, 64, 32]] {
        let deep = layers.len() > 2;
        let mut model = builder(Activation::Relu, L1, 0.01)
            .layers(layers)
            .penalty_weights(if deep { vec![0.03, 0.01] } else { vec![0.01] })
            .build()
            .unwrap();
        let mut checked = 0;
        let mut trainer = Trainer::new(Adam::new(3e-3).unwrap())
            .epochs(3)
            .batch_size(32)
            .set_point(SetPoint::active_units(3.0).gain(0.2))
            .validation(validation.clone());
        trainer
            .fit_with(&mut model, x.columns(0, 1600), |epoch| {
                let reached = epoch.set_point.unwrap().penalty_weight / 0.01;
                assert!((reached - 1.0).abs() > 0.1, "{reached}");
                let built = epoch.model.loss(&validation).unwrap();
                let measured = epoch.validation_loss.unwrap();
                // The weights of the other layers keep their ratio to it.
                let ratio = measured.sparsity / (reached * built.sparsity);
                assert!((ratio - 1.0).abs() < 1e-12, "{deep}: {ratio}");
                assert_eq!(measured.reconstruction, built.reconstruction);
                checked += 1;
            })
            .unwrap();
        assert_eq!(checked, 3);
    }
}

#[test]
fn a_stream_goes_on_where_it_was() {
    let (x, set_point) = (samples(), SetPoint::active_units(6.0));
    let mut model = builder(Activation::Relu, L1, 0.01).build().unwrap();
    let mut trainer = Trainer::new(Adam::new(3e-3).unwrap()).set_point(set_point);
    let mut weights = Vec::new();
    for batch in 0..60 {
        let batch = x.columns(batch * 32, 32);
        trainer.partial_fit(&mut model, batch).unwrap();
        weights.push(trainer.set_point_state().unwrap().penalty_weight);
    }
    // More units than wanted are active at first: it rises all the time.
    assert!(
        weights.is_sorted() && weights[59] > 1.2 * weights[0],
        "{weights:?}"
    );
    assert_eq!(model.penalty_weight(), 0.01);
}

/// Biases start at 0, so that samples of zeros activate no unit.
#[test]
fn batches_without_an_active_unit_do_not_move_the_weight_away() {
    let x = samples();
    for set_point in [SetPoint::active_units(20.0), SetPoint::mean_activation(0.1)] {
        let weight_after = |batches: &[DMatrix<f64>]| {
            let mut model = builder(Activation::Relu, L1, 0.01).build().unwrap();
            let mut trainer = Trainer::new(Adam::new(1e-9).unwrap()).set_point(set_point);
            for batch in batches {
                trainer.partial_fit(&mut model, batch).unwrap();
            }
            trainer.set_point_state().unwrap().penalty_weight
        };
        let usual = x.columns(0, 32).into_owned();
        let expected = weight_after(std::slice::from_ref(&usual));
        let found = weight_after(&[DMatrix::zeros(16, 32), usual]);
        assert!((found / expected).ln().abs() < 0.1, "{expected} {found}");
    }
}

#[test]
fn a_model_with_the_weight_reached_starts_there() {
    let reach = |weight, epochs| {
        let mut model = builder(Activation::Relu, L1, weight).build().unwrap();
        fit(&mut model, SetPoint::active_units(6.0), epochs).penalty_weight
    };
    let reached = reach(1e-3, 60);
    let next = reach(reached, 1);
    assert!((next / reached).ln().abs() < 1.0, "{reached} {next}");
    assert!(reached > 10.0 * 1e-3, "{reached}");
}

#[test]
fn what_cannot_be_controlled_is_refused() {
    let x = samples();
    let fit = |set_point, builder: SparseAutoencoderBuilder<f64>| {
        let mut model = builder.build().unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-3).unwrap()).set_point(set_point);
        trainer.fit(&mut model, &x).unwrap_err()
    };
    let relu = || builder(Activation::Relu, L1, 0.1);
    let of = SetPoint::active_units;
    for (set_point, builder, parameter) in [
        (of(0.0), relu(), "set point"),
        (of(f64::NAN), relu(), "set point"),
        (of(f64::INFINITY), relu(), "set point"),
        (of(64.5), relu(), "set point"), // of 64 units
        (
            SetPoint::mean_activation(1.0),
            builder(Activation::Sigmoid, KlDivergence, 1.0),
            "set point",
        ),
        (of(4.0).gain(0.0), relu(), "gain of SetPoint"),
        (of(4.0).gain(1.5), relu(), "gain of SetPoint"),
        (of(4.0).gain(f64::NAN), relu(), "gain of SetPoint"),
        (
            of(4.0),
            relu().penalty_weight(0.0),
            "penalty_weight under a set point",
        ),
    ] {
        let error = fit(set_point, builder);
        assert!(
            matches!(error, Error::InvalidParameter { name, .. } if name == parameter),
            "{error}"
        );
    }
    let mean = SetPoint::mean_activation(0.1);
    for (set_point, builder) in [
        (of(4.0), builder(Activation::Sigmoid, KlDivergence, 1.0)),
        (of(4.0), builder(Activation::TopK(3), L1, 1.0)),
        (of(4.0), builder(Activation::BatchTopK(3), L1, 1.0)),
        (of(4.0), builder(Activation::Relu, (), 1.0)),
        (of(4.0), relu().penalized_layers([])),
        (mean, builder(Activation::Tanh, L1, 1.0)),
        (mean, builder(Activation::Gated, L1, 1.0)),
        (mean, builder(Activation::WinnerTakeAll(0.1), L1, 1.0)),
    ] {
        let error = fit(set_point, builder);
        assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    }

    let mut model = relu().build().unwrap();
    let with_warm_up = Trainer::new(Adam::new(1e-3).unwrap())
        .set_point(of(4.0))
        .sparsity_warm_up(0.1)
        .fit(&mut model, &x);
    assert!(matches!(with_warm_up, Err(Error::Incompatible { .. })));
    let mut jump = builder(Activation::JumpRelu, TargetL0, 1.0)
        .build()
        .unwrap();
    let while_k_falls = Trainer::new(Adam::new(1e-3).unwrap())
        .set_point(of(4.0))
        .anneal_k(16, 0.5)
        .fit(&mut jump, &x);
    assert!(
        matches!(
            while_k_falls,
            Err(Error::Incompatible {
                what: "annealing of k",
                ..
            })
        ),
        "{while_k_falls:?}"
    );
    let full_batch = Trainer::new(Lbfgs::new())
        .set_point(of(4.0))
        .fit(&mut model, &x);
    assert!(matches!(full_batch, Err(Error::Incompatible { .. })));
}

/// The loss of an early epoch, with little penalty, would always be the lowest.
#[test]
fn patience_is_refused_where_the_objective_changes_to_the_end() {
    let model = || {
        SparseAutoencoder::<f64>::builder()
            .layers([6, 9])
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .build()
            .unwrap()
    };
    let x = DMatrix::from_fn(6, 40, |i, j| ((i * 7 + j * 3) % 11) as f64 / 11.0);
    let start = || Trainer::new(Adam::new(1e-3).unwrap()).epochs(2).patience(1);
    for trainer in [
        start().set_point(SetPoint::active_units(3.0)),
        start()
            .set_point(SetPoint::active_units(3.0))
            .validation_split(0.2),
    ] {
        let mut trainer = trainer;
        let error = trainer.fit(&mut model(), &x).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Incompatible {
                    what: "patience",
                    ..
                }
            ),
            "{error}"
        );
    }
}
