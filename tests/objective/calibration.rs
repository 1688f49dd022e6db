//! The thresholds that give a number of active units, counted.

#![allow(clippy::float_cmp)] // thresholds are pre-activations, bit for bit

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Error, Real, SparseAutoencoder, SparseAutoencoderBuilder, Stack, TargetL0,
    geometric_median,
};

fn samples<T: Real>(input_size: usize, count: usize) -> DMatrix<T> {
    fractions(input_size, count, |phase| phase - 0.4)
}

fn builder<T: Real>(layers: &[usize]) -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder()
        .layers(layers)
        .hidden_activation(Activation::JumpRelu)
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(5)
}

fn active<T: Real>(model: &SparseAutoencoder<T>, samples: &DMatrix<T>) -> usize {
    let hidden = model.encode(samples).unwrap();
    hidden.iter().filter(|h| **h != T::zero()).count()
}

fn thresholds<T: Real>(model: &SparseAutoencoder<T>) -> Vec<T> {
    let innermost = model.layout().depth() - 1;
    let layer = model.parameters().layer(innermost).unwrap();
    layer.block("thresholds").unwrap().iter().copied().collect()
}

fn assert_counts<T: Real>(layers: &[usize]) {
    let x = samples::<T>(layers[0], 1500); // more than are encoded together
    let units = layers[layers.len() - 1];
    let mut model = builder::<T>(layers).build().unwrap();
    let positive = active(&model, &x);
    for wanted in [0.001, 0.5, 1.0, 2.75, 4.0] {
        let threshold = model.calibrate_thresholds(&x, wanted).unwrap();
        assert_eq!(active(&model, &x), (wanted * 1500.0).round() as usize);
        assert!(threshold > T::zero());
        assert_eq!(thresholds(&model), vec![threshold; units]);
    }
    // Thresholds that were there make no difference, and all that are positive is the most.
    let all = positive as f64 / 1500.0;
    assert_eq!(model.calibrate_thresholds(&x, all), Ok(T::zero()));
    assert_eq!(active(&model, &x), positive);
}

#[test]
fn so_many_units_are_active() {
    assert_counts::<f32>(&[6, 20]);
    assert_counts::<f64>(&[6, 20]);
    assert_counts::<f64>(&[6, 9, 20]);
}

/// Of more samples, so many are read, by the seed of the model.
#[test]
fn many_samples_are_calibrated_by_some() {
    let x = samples::<f64>(6, 40_000);
    let calibrated = |seed| {
        let mut model = builder(&[6, 20]).seed(seed).build().unwrap();
        let start = builder(&[6, 20]).build().unwrap();
        model.set_theta(start.parameters().as_slice()).unwrap();
        model.calibrate_thresholds(&x, 3.0).unwrap();
        model
    };
    let [one, again, other] = [5, 5, 6].map(calibrated);
    assert_eq!(one.parameters(), again.parameters());
    assert_ne!(one.parameters(), other.parameters());
    for model in [one, other] {
        let active = active(&model, &x) as f64 / 40_000.0;
        assert!((active / 3.0 - 1.0).abs() < 0.05, "{active}");
    }
}

#[test]
fn of_equal_pre_activations_none_is_active() {
    let mut model = builder::<f64>(&[3, 8]).build().unwrap();
    let x = samples(3, 1);
    let twice = DMatrix::from_fn(3, 2, |i, _| x[i]);
    model.calibrate_thresholds(&twice, 1.5).unwrap(); // 3 of values that come in pairs
    assert_eq!(active(&model, &twice), 2);
}

#[test]
fn what_cannot_be_reached_is_refused_and_changes_nothing() {
    let x = samples::<f64>(6, 200);
    let mut model = builder(&[6, 20]).build().unwrap();
    model.calibrate_thresholds(&x, 3.0).unwrap();
    let before = model.parameters().clone();
    let mut refused = |x: &DMatrix<f64>, active_units: f64| {
        let error = model.calibrate_thresholds(x, active_units).unwrap_err();
        assert_eq!(model.parameters(), &before);
        error
    };
    for wanted in [f64::NAN, 0.0, -1.0, 20.1, f64::INFINITY] {
        let error = refused(&x, wanted).to_string();
        assert!(
            error.contains("at most the number of hidden units"),
            "{error}"
        );
    }
    let expected = Error::InvalidParameter {
        name: "active_units",
        requirement: "at most the mean number of positive pre-activations, about half of the units before training: \
                      ask for fewer, or take more units",
        value: 20.0,
    };
    assert_eq!(refused(&x, 20.0), expected);
    // However many samples there are, 4096 are read at most.
    let too_few = Error::InvalidParameter {
        name: "active_units",
        requirement: "at least 1/8192 and at most the number of hidden units",
        value: 1e-4,
    };
    assert_eq!(refused(&samples(6, 6000), 1e-4), too_few);
    let expected = Error::TooFewSamples {
        what: "samples for so few active units",
        needed: 500,
        actual: 200,
    };
    assert_eq!(refused(&x, 0.001), expected);
    let other = refused(&samples(5, 200), 3.0);
    assert!(
        matches!(other, Error::DimensionMismatch { .. }),
        "{other:?}"
    );
    let none = refused(&DMatrix::zeros(6, 0), 3.0);
    assert!(matches!(none, Error::EmptyBatch { .. }), "{none:?}");
    let nan = refused(&DMatrix::from_element(6, 9, f64::NAN), 3.0);
    assert!(matches!(nan, Error::NonFinite { .. }), "{nan:?}");
}

#[test]
fn pre_activations_that_overflow_are_refused() {
    let mut model = builder::<f64>(&[2, 3]).build().unwrap();
    let theta = vec![1e200; model.layout().len()];
    model.set_theta(&theta).unwrap();
    let error = model.calibrate_thresholds(DMatrix::from_element(2, 4, 1e200), 1.0);
    let Err(Error::NonFinite { what, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(what, "hidden activations");
    assert_eq!(model.parameters().as_slice(), theta);
}

#[test]
fn other_units_have_no_thresholds_to_calibrate() {
    for activation in [Activation::Relu, Activation::TopK(2), Activation::Gated] {
        let builder = builder::<f64>(&[6, 20]).hidden_activation(activation);
        let mut model = builder.build().unwrap();
        let error = model.calibrate_thresholds(samples(6, 9), 2.0).unwrap_err();
        let Error::UnsupportedActivation { activation: of, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(of, activation);
    }
}

#[test]
fn only_the_innermost_layer_is_calibrated() {
    let x = samples::<f64>(6, 300);
    let parameters = builder::<f64>(&[6, 9, 20])
        .build()
        .unwrap()
        .into_parameters();
    let outer = DVector::from_element(9, 0.05);
    let parameters = parameters.for_activations(&[Activation::JumpRelu; 2]);
    let parameters = parameters.unwrap().with_block(0, "thresholds", &outer);
    let builder = builder(&[6, 9, 20]);
    let mut model = builder.parameters(parameters.unwrap()).build().unwrap();
    model.calibrate_thresholds(&x, 1.0).unwrap();
    assert_eq!(active(&model, &x), 300);
    let kept = model
        .parameters()
        .layer(0)
        .unwrap()
        .block("thresholds")
        .unwrap();
    assert_eq!(kept, outer);
}

#[test]
fn a_bandwidth_that_is_not_set_is_the_distance_of_two_thresholds() {
    let x = samples::<f64>(6, 1500);
    let build = |bandwidth: Option<f64>| {
        let builder = builder::<f64>(&[6, 20]);
        bandwidth.map_or(builder.clone(), |width| builder.bandwidth(width))
    };
    let threshold = |wanted| {
        let mut model = build(None).build().unwrap();
        model.calibrate_thresholds(&x, wanted).unwrap()
    };
    let mut model = build(None).build().unwrap();
    assert_eq!(model.bandwidth(), 0.05);
    for wanted in [20.0, f64::NAN] {
        model.calibrate_thresholds(&x, wanted).unwrap_err();
        assert_eq!(model.settings(), build(None).build().unwrap().settings());
    }
    model.calibrate_thresholds(&x, 2.0).unwrap();
    let expected = threshold(1.0) - threshold(3.0);
    assert!(expected > 0.0 && expected != 0.05);
    assert_eq!(model.bandwidth(), expected);
    // It is now that of the model, and of its clones.
    model.clone().calibrate_thresholds(&x, 4.0).unwrap();
    assert_eq!(model.clone().bandwidth(), expected);

    // Another calibration replaces it, in a model built of the same settings and in an unrolled stack, too.
    let mut again = SparseAutoencoder::builder()
        .settings(model.settings().clone())
        .build()
        .unwrap();
    let mut unrolled = Stack::new(vec![model.clone()]).unwrap().unroll().unwrap();
    for other in [&mut again, &mut unrolled] {
        assert_eq!(other.bandwidth(), expected);
        other.calibrate_thresholds(&(100.0 * &x), 2.0).unwrap();
        assert!(other.bandwidth() > 50.0 * expected);
    }

    let mut set = build(Some(0.3)).build().unwrap();
    set.calibrate_thresholds(&x, 2.0).unwrap();
    assert_eq!(set.bandwidth(), 0.3);
    assert_eq!(thresholds(&set), thresholds(&model));

    // No distance: all samples are equal, and so are the pre-activations of each unit.
    let mut one = build(None).layers([6, 1]).build().unwrap();
    let x = DMatrix::from_fn(6, 8, |i, _| [1.0, -1.0][i % 2]);
    let x = if active(&one, &x) > 0 { x } else { -x };
    one.calibrate_thresholds(&x, 0.25).unwrap();
    assert_eq!(one.bandwidth(), 0.05);
}

#[test]
fn a_start_at_the_data_calibrates_thresholds_only_where_there_are_some() {
    let x = samples::<f64>(6, 300);
    let build = |hidden, weight| {
        let builder = builder::<f64>(&[6, 20]).hidden_activation(hidden);
        let builder = builder.penalty(TargetL0).penalty_weight(weight);
        builder.sparsity_target(0.1).build().unwrap()
    };
    let mut model = build(Activation::JumpRelu, 1.0);
    model.start_at(&x).unwrap();
    assert_eq!(active(&model, &x), 600);
    // A penalty without effect is never refused.
    let mut model = build(Activation::Relu, 0.0);
    model.start_at(&x).unwrap();
    let bias = model
        .parameters()
        .layer(0)
        .unwrap()
        .decoder_bias
        .into_owned();
    assert_eq!(bias, geometric_median(&x).unwrap());
}

/// More equal values than a call keeps: 16 units, of which four are always 3 and the others 2. The middle between them
/// is nearer to one active unit than none, whatever the number of samples is.
#[test]
fn equal_pre_activations_of_many_samples_are_those_of_few() {
    let of = |count: usize| {
        let mut model = SparseAutoencoder::<f64>::builder()
            .layers([2, 16])
            .hidden_activation(Activation::BatchTopK(1))
            .output_activation(Activation::Identity)
            .penalty(())
            .build()
            .unwrap();
        let mut theta = vec![0.0; model.parameters().as_slice().len()];
        theta[2 * 16..3 * 16].fill(2.0); // b
        theta[2 * 16..2 * 16 + 4].fill(3.0);
        model.set_theta(&theta).unwrap();
        model
            .calibrate_thresholds(DMatrix::zeros(2, count), 1.0)
            .unwrap();
        thresholds(&model)[0]
    };
    for count in [1, 10, 64, 100, 1000, 1024, 3000, 5000] {
        assert_eq!(of(count), 2.5, "{count}");
    }
}
