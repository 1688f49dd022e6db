//! Everything that is refused: with which error, under which name, and without a trace in the
//! model.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::RngExt;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::optimizer::{Objective, Step};
use sparse_autoencoder::penalty::{self, HiddenBatch, HiddenGradient, Scaled};
use sparse_autoencoder::{
    Activation, Adam, Corruption, Error, Initialization, KlDivergence, L0, L1, Layer, Layout,
    Lbfgs, Optimizer, Parameters, Penalty, Proportion, Real, Reconstruction, Scaler, Schedule, Sgd,
    SoftmaxClassifier, SparseAutoencoder, SparseAutoencoderBuilder, SparseHidden, SquaredDeviation,
    Stack, TargetL0, Trainer, Workspace, gradient_check,
};

use crate::cases::{Rng, check, list, one_of, option};

/// What no setting accepts.
const NEVER: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Finite as a setting, infinite in `f32`, where a setting must be finite as the model sees it.
const TOO_LARGE_FOR_F32: f64 = 1e300;

fn display(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[track_caller]
fn assert_invalid<R: Debug>(result: Result<R, Error>, name: &str, requirement: &str, value: f64) {
    let error = result.expect_err(name);
    let Error::InvalidParameter {
        name: actual_name,
        requirement: actual_requirement,
        value: actual_value,
    } = error
    else {
        panic!("{error:?} instead of an invalid {name}");
    };
    assert_eq!((actual_name, actual_requirement), (name, requirement));
    assert!(
        actual_value == value || actual_value.is_nan() && value.is_nan(),
        "{actual_value} instead of {value}"
    );
    display(&error, &[name, requirement, &value.to_string()]);
}

#[track_caller]
fn assert_mismatch<R: Debug>(result: Result<R, Error>, what: &str, expected: usize, actual: usize) {
    let error = result.expect_err(what);
    let Error::DimensionMismatch {
        what: actual_what,
        expected: actual_expected,
        actual: actual_actual,
    } = error
    else {
        panic!("{error:?} instead of a mismatch of {what}");
    };
    assert_eq!(
        (actual_what, actual_expected, actual_actual),
        (what, expected, actual)
    );
    display(&error, &[what, &expected.to_string(), &actual.to_string()]);
}

#[track_caller]
fn assert_incompatible<R: Debug>(
    result: Result<R, Error>,
    what: &'static str,
    other: &'static str,
) {
    let error = result.expect_err(what);
    assert_eq!(error, Error::Incompatible { what, other });
    display(&error, &[what, other]);
}

#[track_caller]
fn assert_unsupported<R: Debug>(
    result: Result<R, Error>,
    what: &str,
    activation: Activation,
    requirement: &str,
) {
    let error = result.expect_err(what);
    let Error::UnsupportedActivation {
        what: actual_what,
        activation: actual_activation,
        requirement: actual_requirement,
    } = error
    else {
        panic!("{error:?} instead of an unsupported {activation:?}");
    };
    assert_eq!((actual_what, actual_activation), (what, activation));
    assert!(
        actual_requirement.contains(requirement),
        "{actual_requirement}"
    );
    display(&error, &[what, &format!("{activation:?}"), requirement]);
}

#[track_caller]
fn assert_non_finite<R: Debug>(
    result: Result<R, Error>,
    what: &str,
    place: (usize, usize),
    value: f64,
) {
    let error = result.expect_err(what);
    let Error::NonFinite {
        what: actual_what,
        row,
        column,
        value: actual_value,
    } = error
    else {
        panic!("{error:?} instead of a non-finite value of {what}");
    };
    assert_eq!((actual_what, (row, column)), (what, place));
    assert_eq!(actual_value.to_string(), value.to_string());
    let (row, column) = (format!("row {row}"), format!("column {column}"));
    display(&error, &[what, &row, &column, &value.to_string()]);
}

#[track_caller]
fn assert_empty<R: Debug>(result: Result<R, Error>, what: &'static str) {
    let error = result.expect_err(what);
    assert_eq!(error, Error::EmptyBatch { what });
    display(&error, &[what, "none"]);
}

fn bits<T: Real>(model: &SparseAutoencoder<T>) -> Vec<u64> {
    let theta = model.parameters().as_slice().iter();
    theta.map(|theta| theta.to_f64().to_bits()).collect()
}

fn small<T: Real>() -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder().layers([3, 4])
}

fn samples<T: Real>(count: usize) -> DMatrix<T> {
    DMatrix::from_fn(3, count, |i, j| T::of(((i + 2 * j) % 5) as f64 / 4.0))
}

#[test]
fn an_error_is_an_error_that_can_be_sent_and_kept() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<Error>();
}

// ---- the builder

fn assert_numeric_settings_of_the_builder<T: Real>() {
    let beyond_scalar: &[f64] = if T::of(TOO_LARGE_FOR_F32).is_finite() {
        &[]
    } else {
        &[TOO_LARGE_FOR_F32]
    };
    let negative_or_unbounded = [&NEVER[..], &[-1.0, -f64::MIN_POSITIVE], beyond_scalar].concat();
    for value in negative_or_unbounded {
        let refused = "finite and at least 0";
        let build = small::<T>().penalty_weight(value).build();
        assert_invalid(build, "penalty_weight", refused, value);
        let build = small::<T>().weight_decay(value).build();
        assert_invalid(build, "weight_decay", refused, value);
        let build = small::<T>().penalty(Scaled::new(value, L1)).build();
        assert_invalid(build, "factor of Scaled", refused, value);
        // Wherever it is hidden in a combination.
        let inner: Box<dyn Penalty<T>> = Box::new((L1, Scaled::new(value, SquaredDeviation)));
        let build = small::<T>().penalty(Scaled::new(1.0, inner)).build();
        assert_invalid(build, "factor of Scaled", refused, value);
    }

    // In f32 the first two of the last row are 0 and 1.
    let outside = [&NEVER[..], &[0.0, 1.0, -0.1, 1.5, TOO_LARGE_FOR_F32]].concat();
    let rounded: &[f64] = if T::of(1e-300) > T::zero() {
        &[]
    } else {
        &[1e-300, 1.0 - 1e-12]
    };
    for &value in outside.iter().chain(rounded) {
        let build = small::<T>().sparsity_target(value).build();
        assert_invalid(build, "sparsity_target", "in (0, 1)", value);
    }

    for value in [NEVER.as_slice(), &[0.0, -0.1, f64::from(f32::MAX) * 2e300]].concat() {
        let build = small::<T>().bandwidth(value).build();
        assert_invalid(build, "bandwidth", "finite and above 0", value);
    }

    for value in [NEVER.as_slice(), &[0.0, -0.1, 1.0 + 1e-9, 2.0]].concat() {
        let activation = Activation::TopProportion(value);
        let build = small::<T>().hidden_activation(activation).build();
        assert_invalid(build, "proportion of TopProportion", "in (0, 1]", value);
        let activation = Activation::WinnerTakeAll(value);
        let build = small::<T>().hidden_activation(activation).build();
        assert_invalid(build, "proportion of WinnerTakeAll", "in (0, 1]", value);
    }
}

#[test]
fn numeric_settings_out_of_range_are_refused_in_both_scalars() {
    assert_numeric_settings_of_the_builder::<f32>();
    assert_numeric_settings_of_the_builder::<f64>();
}

#[test]
fn the_ends_of_the_ranges_are_accepted() {
    let builder = small::<f32>();
    let accepted = [
        builder.clone().penalty_weight(0.0),
        builder.clone().penalty_weight(f64::from(f32::MAX)),
        builder.clone().weight_decay(0.0),
        builder
            .clone()
            .sparsity_target(f64::from(f32::MIN_POSITIVE)),
        builder
            .clone()
            .sparsity_target(1.0 - f64::from(f32::EPSILON)),
        builder.clone().hidden_activation(Activation::TopK(1)),
        builder.clone().hidden_activation(Activation::TopK(4)),
        builder
            .clone()
            .hidden_activation(Activation::TopProportion(1.0)),
        builder
            .clone()
            .hidden_activation(Activation::TopProportion(1e-300)),
        builder
            .clone()
            .hidden_activation(Activation::WinnerTakeAll(1.0)),
        builder
            .clone()
            .hidden_activation(Activation::WinnerTakeAll(1e-300)),
        builder.clone().hidden_activation(Activation::BatchTopK(4)),
        builder
            .clone()
            .hidden_activation(Activation::JumpRelu)
            .bandwidth(1e-30),
        builder
            .clone()
            .hidden_activation(Activation::Gated)
            .norm_weighted(true)
            .penalty(L1),
        builder
            .clone()
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true),
        builder.clone().penalty(Scaled::new(0.0, L1)),
        builder.clone().penalized_layers([]),
        builder.clone().layers([1, 1]),
    ];
    for builder in accepted {
        assert!(builder.build().is_ok(), "{builder:?}");
    }
}

#[test]
fn a_selection_of_no_unit_or_of_more_than_there_are_is_refused() {
    let requirement = "at least 1 and at most the units of its layer";
    for (layers, k) in [
        (vec![3, 4], 0),
        (vec![3, 4], 5),
        (vec![3, 4], usize::MAX),
        (vec![3, 9, 4], 5), // fits the first hidden layer only
    ] {
        let activation = Activation::TopK(k);
        let builder = small::<f64>().layers(layers).hidden_activation(activation);
        assert_invalid(builder.clone().build(), "k of TopK", requirement, k as f64);
        let builder = builder.hidden_activation(Activation::BatchTopK(k));
        assert_invalid(builder.build(), "k of BatchTopK", requirement, k as f64);
    }
}

#[test]
fn each_hidden_layer_needs_an_activation_that_fits_it() {
    use Activation::{Identity, Relu, Sigmoid, TopK};
    let build = |activations: &[Activation]| {
        small::<f64>()
            .layers([3, 9, 4])
            .hidden_activations(activations)
            .penalty(L1)
            .build()
    };
    for activations in [&[][..], &[Relu], &[Relu, Sigmoid, Identity]] {
        let count = activations.len();
        assert_mismatch(build(activations), "hidden_activations", 2, count);
    }
    assert!(build(&[TopK(5), Relu]).is_ok());
    let requirement = "at least 1 and at most the units of its layer";
    assert_invalid(build(&[Relu, TopK(5)]), "k of TopK", requirement, 5.0);
    // The later of the two setters counts.
    let builder = small::<f64>().layers([3, 9, 4]).penalty(L1);
    let each = builder
        .hidden_activation(Sigmoid)
        .hidden_activations([Relu, Identity]);
    assert_eq!(each.build().unwrap().hidden_activations(), [Relu, Identity]);
    let same = each.hidden_activation(Sigmoid);
    assert_eq!(same.build().unwrap().hidden_activations(), [Sigmoid; 2]);
}

#[test]
fn a_penalty_must_be_defined_for_the_layers_that_it_is_on() {
    use Activation::{Identity, Sigmoid, TopK};
    let builder = small::<f64>()
        .layers([3, 5, 4])
        .hidden_activations([Sigmoid, Identity]);
    assert!(builder.clone().penalized_layers([0]).build().is_ok());
    for layers in [vec![1], vec![0, 1]] {
        let build = builder.clone().penalized_layers(layers).build();
        assert_unsupported(build, "KlDivergence", Identity, "bounded");
    }
    // No penalty is the default where units are selected, in whichever layer.
    let selecting = builder.clone().hidden_activations([Sigmoid, TopK(2)]);
    let loss = selecting.build().unwrap().loss(&samples(6)).unwrap();
    assert_eq!(loss.sparsity, 0.0);
    let build = selecting.penalty(KlDivergence).build();
    assert_unsupported(build, "KlDivergence", TopK(2), "bounded");
}

#[test]
fn layers_that_make_no_autoencoder_are_refused() {
    for tied in [false, true] {
        let build = |layers: &[usize]| {
            let from_layout = Layout::new(layers, tied).map(|_| ());
            let from_builder = SparseAutoencoder::<f32>::builder()
                .layers(layers)
                .tied(tied)
                .build()
                .map(|_| ());
            assert_eq!(from_layout, from_builder);
            from_builder
        };
        let two = "at least a visible and a hidden size";
        assert_invalid(build(&[]), "layers", two, 0.0);
        assert_invalid(build(&[5]), "layers", two, 1.0);
        for layers in [&[0, 5][..], &[5, 0], &[0, 0], &[5, 4, 0], &[5, 0, 4]] {
            assert_invalid(build(layers), "layers", "sizes of at least 1", 0.0);
        }
        // Products and sums that overflow, each in another place.
        let huge = usize::MAX;
        for layers in [
            &[huge, huge][..],
            &[1, huge],
            &[huge, 1],
            &[1 << 40, 1 << 40],
            &[2, 3, huge],
            &[1 << 32, 1 << 31, 1 << 32],
            &[huge / 2, 1, huge / 2],
        ] {
            let parameters = layers.iter().map(|&size| size as f64).product();
            let requirement = "small enough for the parameters to be addressed";
            assert_invalid(build(layers), "layers", requirement, parameters);
        }
    }
    // Fewer than a machine can address, more than any has: refused, where `vec!` would abort.
    let layers = [1 << 29, 1 << 29];
    assert!(Layout::new(&layers, false).is_ok());
    assert_invalid(
        SparseAutoencoder::<f64>::builder().layers(layers).build(),
        "layers",
        "small enough for the parameters to fit into memory",
        2.0_f64.powi(58),
    );
}

#[test]
fn penalized_layers_that_do_not_exist_are_refused() {
    for (layers, indices, bad) in [
        (vec![3, 4], vec![1], 1),
        (vec![3, 4, 2], vec![0, 1, 2], 2),
        (vec![3, 4], vec![usize::MAX], usize::MAX),
    ] {
        assert_invalid(
            small::<f64>()
                .layers(layers)
                .penalized_layers(indices)
                .build(),
            "penalized_layers",
            "indices below the number of hidden layers",
            bad as f64,
        );
    }
}

#[test]
fn kl_divergence_needs_a_bounded_activation_however_it_is_wrapped() {
    for activation in [
        Activation::Relu,
        Activation::Identity,
        Activation::TopK(2),
        Activation::TopProportion(0.5),
        Activation::WinnerTakeAll(0.5),
        Activation::BatchTopK(2),
        Activation::JumpRelu,
        Activation::Gated,
    ] {
        let builder = small::<f32>().hidden_activation(activation);
        let boxed: Box<dyn Penalty<f32>> = Box::new(KlDivergence);
        let shared: Arc<dyn Penalty<f32>> = Arc::new(KlDivergence);
        let lent: &dyn Penalty<f32> = &KlDivergence;
        for builder in [
            builder.clone().penalty(KlDivergence),
            builder.clone().penalty(lent),
            builder.clone().penalty(boxed),
            builder.clone().penalty(shared),
            builder.clone().penalty((L1, KlDivergence)),
            builder.clone().penalty((KlDivergence, L1)),
            builder.clone().penalty(Scaled::new(0.5, KlDivergence)),
        ] {
            assert_unsupported(builder.build(), "KlDivergence", activation, "bounded");
        }
    }
    // Also as the default.
    let builder = small::<f32>().hidden_activation(Activation::Relu);
    assert_unsupported(builder.build(), "KlDivergence", Activation::Relu, "bounded");
}

#[test]
fn cross_entropy_needs_a_sigmoid_output() {
    for activation in [
        Activation::Tanh,
        Activation::Relu,
        Activation::Identity,
        Activation::SaturatingLinear,
    ] {
        let build = small::<f64>()
            .reconstruction(Reconstruction::BinaryCrossEntropy)
            .output_activation(activation)
            .build();
        assert_unsupported(build, "BinaryCrossEntropy", activation, "Sigmoid");
    }
}

#[test]
fn the_output_cannot_select() {
    for activation in [
        Activation::TopK(2),
        Activation::TopK(0),
        Activation::TopProportion(f64::NAN),
        Activation::WinnerTakeAll(0.5),
        Activation::BatchTopK(2),
        Activation::JumpRelu,
        Activation::Gated,
    ] {
        let build = small::<f64>().output_activation(activation).build();
        // NaN is not equal to itself, so this is compared by what is shown.
        let error = build.expect_err("a selecting output");
        assert!(
            matches!(error, Error::UnsupportedActivation { .. }),
            "{error:?}"
        );
        display(
            &error,
            &["the output", &format!("{activation:?}"), "cannot select"],
        );
    }
}

#[test]
fn only_thresholds_learn_from_the_number_of_active_units() {
    for activation in [
        Activation::Relu,
        Activation::TopK(2),
        Activation::BatchTopK(2),
        Activation::Gated,
    ] {
        let builder = small::<f64>().hidden_activation(activation);
        let learn = "only the thresholds of JumpRelu learn";
        assert_unsupported(builder.clone().penalty(L0).build(), "L0", activation, learn);
        let build = builder.penalty((L1, TargetL0)).build();
        assert_unsupported(build, "TargetL0", activation, learn);
    }
}

#[test]
fn a_pre_encoder_bias_needs_a_linear_output() {
    let build = small::<f64>().pre_encoder_bias(true).build();
    let needed = "the output must be Identity";
    assert_unsupported(build, "pre_encoder_bias", Activation::Sigmoid, needed);
}

#[test]
fn blocks_must_fit_the_units_and_the_activation() {
    let parameters = || {
        small::<f64>()
            .penalty(())
            .build()
            .unwrap()
            .into_parameters()
    };
    let activations = include!("../variants/activations.in");
    for activation in activations {
        let with_blocks = parameters().for_activations(&[activation]).unwrap();
        let names: Vec<_> = with_blocks.layer(0).unwrap().block_names().collect();
        for name in names {
            let block = with_blocks.layer(0).unwrap().block(name).unwrap();
            assert!(block.iter().all(|&value| value == 0.0), "{name}");
            let len = block.len();
            let with =
                |index, values: &DVector<f64>| with_blocks.clone().with_block(index, name, values);
            let mismatch = Error::DimensionMismatch {
                what: "block of a layer",
                expected: len,
                actual: len + 1,
            };
            let longer = with(0, &DVector::zeros(len + 1));
            assert_eq!(longer.unwrap_err(), mismatch);
            let infinite = with(0, &DVector::from_element(len, f64::INFINITY));
            assert!(matches!(infinite, Err(Error::NonFinite { .. })), "{name}");
            let absent = with(1, &DVector::zeros(len));
            assert!(matches!(absent, Err(Error::Incompatible { .. })), "{name}");

            let values = DVector::from_fn(len, |j, _| 0.5 + j as f64);
            let changed = with(0, &values).unwrap();
            assert_eq!(changed.layer(0).unwrap().block(name).unwrap(), values);
            let builder = SparseAutoencoder::builder().parameters(changed.clone());
            let same = builder.clone().penalty(()).hidden_activation(activation);
            assert_eq!(same.build().unwrap().parameters(), &changed);
            for other in activations {
                let blocks = |f| parameters().for_activations(&[f]).unwrap();
                let other_blocks = blocks(other).layout() != blocks(activation).layout();
                let build = builder.clone().penalty(()).hidden_activation(other).build();
                let refused = matches!(build, Err(Error::Incompatible { .. }));
                assert_eq!(refused, other_blocks, "{activation:?} as {other:?}");
            }
        }
        let unknown = with_blocks.with_block(0, "none of this name", &DVector::zeros(1));
        assert!(matches!(unknown, Err(Error::Incompatible { .. })));
    }
    let refused = parameters().for_activations(&[]).unwrap_err();
    let expected = Error::DimensionMismatch {
        what: "activations of the hidden layers",
        expected: 1,
        actual: 0,
    };
    assert_eq!(refused, expected);
}

#[test]
fn gates_have_one_hidden_layer() {
    let expected = Error::UnsupportedActivation {
        what: "a model of several hidden layers",
        activation: Activation::Gated,
        requirement: "these units need to be the only hidden layer",
    };
    let deep = small::<f64>().layers([3, 4, 4]).penalty(());
    for activations in [
        [Activation::Gated, Activation::Gated],
        [Activation::Gated, Activation::Relu],
        [Activation::Relu, Activation::Gated],
    ] {
        let build = deep.clone().hidden_activations(activations).build();
        assert_eq!(build.unwrap_err(), expected);
    }
    let layer = || small::<f64>().hidden_activation(Activation::Gated);
    let nested = layer().matryoshka([2]).build().unwrap_err();
    display(&nested, &["matryoshka", "Gated"]);
    let outer = layer().build().unwrap();
    let inner = layer().layers([4, 4]).build().unwrap();
    let alone = Stack::new(vec![outer.clone()]).unwrap();
    assert_eq!(alone.unroll().unwrap().parameters(), outer.parameters());
    let stack = Stack::new(vec![outer, inner]).unwrap();
    assert_eq!(stack.unroll().unwrap_err(), expected);
}

#[test]
fn a_norm_weighted_penalty_needs_unbounded_activations() {
    let builder = small::<f64>().norm_weighted(true);
    for activation in [Activation::Sigmoid, Activation::SaturatingLinear] {
        let build = builder.clone().hidden_activation(activation).penalty(L1);
        let refused = build.build().unwrap_err();
        display(&refused, &["norm-weighted", "bounded hidden activations"]);
    }
    let relu = builder.hidden_activation(Activation::Relu).penalty(L1);
    assert!(relu.build().unwrap().is_norm_weighted());
}

#[test]
fn a_unit_norm_decoder_needs_steps() {
    let x = DMatrix::from_element(3, 6, 0.5);
    let mut model = small::<f64>().build().unwrap();
    let before = model.parameters().clone();
    let mut trainer = Trainer::new(Lbfgs::new()).unit_norm_decoder(true);
    let refused = trainer.fit(&mut model, &x).unwrap_err();
    display(&refused, &["a unit-norm decoder", "a full-batch optimizer"]);
    assert_eq!(model.parameters(), &before);
}

#[test]
fn a_decoder_bias_must_be_a_sample() {
    let mut model = small::<f64>().build().unwrap();
    let before = model.parameters().clone();
    let refused = model.set_decoder_bias(&DVector::zeros(4)).unwrap_err();
    let expected = Error::DimensionMismatch {
        what: "decoder bias",
        expected: 3,
        actual: 4,
    };
    assert_eq!(refused, expected);
    let refused = model.set_decoder_bias(&DVector::from_element(3, f64::NAN));
    assert!(matches!(refused, Err(Error::NonFinite { .. })));
    assert_eq!(model.parameters(), &before);
}

#[test]
fn what_has_no_place_in_a_network_of_several_is_refused() {
    let outer = small::<f64>()
        .hidden_activation(Activation::JumpRelu)
        .build()
        .unwrap();
    let head = SoftmaxClassifier::<f64>::new(4, 2).unwrap();
    let refused = head.on_top_of(std::slice::from_ref(&outer)).unwrap_err();
    display(&refused, &["a classifier on top", "thresholds"]);
    let gated = small::<f64>().hidden_activation(Activation::Gated).build();
    let refused = head.on_top_of(&[gated.unwrap()]).unwrap_err();
    display(&refused, &["a classifier on top", "gates"]);
    let stack = Stack::new(vec![outer.clone()]).unwrap();
    assert_eq!(stack.unroll().unwrap().parameters(), outer.parameters());

    let inner = small::<f64>()
        .layers([4, 2])
        .output_activation(Activation::Identity)
        .pre_encoder_bias(true)
        .build()
        .unwrap();
    let stack = Stack::new(vec![outer, inner]).unwrap();
    display(
        &stack.unroll().unwrap_err(),
        &["unrolling", "a pre-encoder bias above the outermost"],
    );
}

#[test]
fn a_penalty_may_refuse_a_target() {
    // Reached only from outside a model, whose builder refuses such targets for any penalty.
    for value in NEVER.into_iter().chain([0.0, -0.5, 1.5]) {
        let evaluated = penalty::evaluate(
            &Proportion,
            Activation::Relu,
            value,
            &DMatrix::from_element(1, 1, 1.0),
        );
        let requirement = "a proportion in (0, 1] for Proportion";
        assert_invalid(evaluated, "sparsity_target", requirement, value);
    }
}

#[test]
fn a_penalty_and_its_check_refuse_bad_activations() {
    let evaluate = |hidden: &DMatrix<f64>| penalty::evaluate(&L1, Activation::Tanh, 0.1, hidden);
    assert_empty(evaluate(&DMatrix::zeros(2, 0)), "hidden activations");
    assert_empty(
        evaluate(&DMatrix::zeros(0, 2)),
        "units of the hidden activations",
    );
    for value in NEVER {
        let hidden = DMatrix::from_row_slice(2, 2, &[0.1, 0.2, 0.3, value]);
        assert_non_finite(evaluate(&hidden), "hidden activations", (1, 1), value);
        let check = gradient_check::penalty(&L1, Activation::Tanh, 0.1, &hidden);
        assert_non_finite(check, "hidden activations", (1, 1), value);
    }
}

// ---- parameters

fn layer(below: usize, above: usize) -> Layer<f64> {
    Layer {
        encoder_weights: DMatrix::from_element(below, above, 0.5),
        encoder_bias: DVector::zeros(above),
        decoder_weights: Some(DMatrix::from_element(below, above, 0.25)),
        decoder_bias: DVector::zeros(below),
    }
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let layout = || Layout::new(&[3, 4], false).unwrap();
    let len = 3 * 4 + 4 + 3 * 4 + 3;
    assert_eq!(layout().len(), len);
    for wrong in [0, len - 1, len + 1] {
        let new = Parameters::new(layout(), vec![0.0_f32; wrong]);
        assert_mismatch(new, "parameters", len, wrong);
    }
    for value in NEVER {
        let mut theta = vec![0.0_f64; len];
        theta[17] = value;
        let new = Parameters::new(layout(), theta.clone());
        assert_non_finite(new, "parameters", (17, 0), value);

        let mut model = small::<f64>().build().unwrap();
        let before = bits(&model);
        assert_non_finite(model.set_theta(&theta), "parameters", (17, 0), value);
        assert_mismatch(model.set_theta(&theta[1..]), "parameters", len, len - 1);
        assert_eq!(bits(&model), before);
    }
}

#[test]
fn layers_of_parameters_that_do_not_fit_are_refused() {
    let fits = [layer(5, 4), layer(4, 2)];
    assert!(Parameters::from_layers(&fits).is_ok());
    let with = |change: &dyn Fn(&mut [Layer<f64>])| {
        let mut layers = fits.clone();
        change(&mut layers);
        Parameters::from_layers(&layers)
    };

    assert_invalid(
        Parameters::<f64>::from_layers(&[]),
        "layers",
        "at least a visible and a hidden size",
        0.0,
    );
    for (below, above) in [(0, 4), (4, 0), (0, usize::MAX), (usize::MAX, 0)] {
        let empty = Layer {
            encoder_weights: DMatrix::zeros(below, above),
            encoder_bias: DVector::zeros(0),
            decoder_weights: None,
            decoder_bias: DVector::zeros(0),
        };
        let from_layers = Parameters::<f64>::from_layers(&[empty]);
        assert_invalid(from_layers, "layers", "sizes of at least 1", 0.0);
    }
    assert_incompatible(
        with(&|layers| layers[1].decoder_weights = None),
        "a layer with tied weights",
        "a layer without",
    );
    assert_incompatible(
        with(&|layers| layers[0].decoder_weights = None),
        "a layer with tied weights",
        "a layer without",
    );
    assert_mismatch(
        with(&|layers| layers[1].encoder_weights = DMatrix::zeros(3, 2)),
        "encoder weights of a layer",
        4,
        3,
    );
    // Claims 2⁵⁰ units and has the memory of none: refused before room is made for them.
    assert_mismatch(
        with(&|layers| layers[1].encoder_weights = DMatrix::zeros(0, 1 << 50)),
        "encoder weights of a layer",
        4,
        0,
    );
    assert_mismatch(
        with(&|layers| layers[0].encoder_bias = DVector::zeros(5)),
        "encoder bias of a layer",
        4,
        5,
    );
    assert_mismatch(
        with(&|layers| layers[1].decoder_weights = Some(DMatrix::zeros(2, 4))),
        "decoder weights of a layer",
        4,
        2,
    );
    assert_mismatch(
        with(&|layers| layers[0].decoder_weights = Some(DMatrix::zeros(5, 3))),
        "decoder weights of a layer",
        4,
        3,
    );
    assert_mismatch(
        with(&|layers| layers[1].decoder_bias = DVector::zeros(1)),
        "decoder bias of a layer",
        4,
        1,
    );
    for value in NEVER {
        // b₁ begins after W₀ (20), b₀ (4), and W₁ (8).
        let from_layers = with(&|layers| layers[1].encoder_bias[1] = value);
        assert_non_finite(from_layers, "parameters", (33, 0), value);
    }
}

#[test]
fn the_builder_refuses_parameters_of_other_layers() {
    let parameters = Parameters::from_layers(&[layer(5, 4), layer(4, 2)]).unwrap();
    let build = |layers: &[usize]| {
        let builder = SparseAutoencoder::builder().parameters(parameters.clone());
        builder.layers(layers).build()
    };
    assert!(build(&[5, 4, 2]).is_ok());
    assert_mismatch(build(&[5, 4]), "layers of the parameters", 2, 3);
    assert_mismatch(build(&[5, 4, 3]), "layers of the parameters", 3, 2);
    assert_mismatch(build(&[6, 4, 2]), "layers of the parameters", 6, 5);
}

// ---- data

/// Every method of a model that reads samples, on `samples` and with results of the right shape.
fn every_method_on_samples(
    model: &SparseAutoencoder<f64>,
    samples: &DMatrix<f64>,
) -> Vec<(&'static str, Result<(), Error>)> {
    let (m, ws) = (samples.ncols(), &mut Workspace::new());
    let mut hidden = DMatrix::zeros(4, m);
    let mut visible = DMatrix::zeros(3, m);
    let mut errors = DVector::zeros(m);
    let mut gradient = vec![0.0; model.layout().len()];
    let unit = |_| ();
    let first = samples
        .column_iter()
        .next()
        .map(|column| column.into_owned());
    let mut results = vec![
        ("encode", model.encode(samples).map(unit)),
        ("encode_into", model.encode_into(samples, &mut hidden, ws)),
        ("encode_sparse", model.encode_sparse(samples).map(|_| ())),
        (
            "encode_sparse_into",
            model.encode_sparse_into(samples, &mut SparseHidden::new(), ws),
        ),
        ("reconstruct", model.reconstruct(samples).map(unit)),
        (
            "reconstruct_into",
            model.reconstruct_into(samples, &mut visible, ws),
        ),
        (
            "reconstruction_errors",
            model.reconstruction_errors(samples).map(|_| ()),
        ),
        (
            "reconstruction_errors_into",
            model.reconstruction_errors_into(samples, &mut errors, ws),
        ),
        ("loss", model.loss(samples).map(|_| ())),
        (
            "loss_and_gradient",
            model
                .loss_and_gradient(samples, &mut gradient, ws)
                .map(|_| ()),
        ),
        (
            "gradient_check",
            gradient_check::model(model, samples).map(|_| ()),
        ),
    ];
    if let Some(first) = first.filter(|_| m == 1) {
        results.push(("encode_sample", model.encode_sample(&first).map(|_| ())));
        results.push((
            "reconstruct_sample",
            model.reconstruct_sample(&first).map(|_| ()),
        ));
    }
    let mut trained = model.clone();
    let trainer = || Trainer::new(Adam::new(0.1).unwrap());
    results.push(("fit", trainer().fit(&mut trained, samples).map(|_| ())));
    results.push((
        "partial_fit",
        trainer().partial_fit(&mut trained, samples).map(|_| ()),
    ));
    if results.last().is_some_and(|(_, result)| result.is_err()) {
        assert_eq!(bits(&trained), bits(model));
    }
    results
}

#[test]
fn samples_of_the_wrong_height_are_refused_everywhere() {
    let model = small::<f64>().build().unwrap();
    // The last claims more columns than there is memory for their results.
    for (rows, columns) in [(2, 5), (4, 5), (2, 1), (0, 3), (4, 0), (0, 1 << 62)] {
        let samples = DMatrix::zeros(rows, columns);
        if columns > 5 {
            let rows_of = "rows of the samples";
            assert_mismatch(model.encode(&samples), rows_of, 3, 0);
            assert_mismatch(model.encode_sparse(&samples), rows_of, 3, 0);
            assert_mismatch(model.reconstruct(&samples), rows_of, 3, 0);
            assert_mismatch(model.reconstruction_errors(&samples), rows_of, 3, 0);
            assert_mismatch(model.loss(&samples), rows_of, 3, 0);
            assert_mismatch(
                model.decode(&samples),
                "rows of the hidden activations",
                4,
                0,
            );
            continue;
        }
        for (_, result) in every_method_on_samples(&model, &samples) {
            assert_mismatch(result, "rows of the samples", 3, rows);
        }
    }
}

#[test]
fn no_samples_are_refused_everywhere() {
    let model = small::<f64>().build().unwrap();
    for (_, result) in every_method_on_samples(&model, &DMatrix::zeros(3, 0)) {
        assert_empty(result, "samples");
    }
    assert_empty(model.decode(&DMatrix::zeros(4, 0)), "hidden activations");
}

#[test]
fn nan_and_infinity_are_refused_everywhere_with_their_place() {
    let model = small::<f64>().build().unwrap();
    for value in NEVER {
        for (row, column, count) in [(0, 0, 1), (2, 0, 1), (1, 3, 5), (2, 4, 5)] {
            let mut samples = samples::<f64>(count);
            samples[(row, column)] = value;
            for (_, result) in every_method_on_samples(&model, &samples) {
                assert_non_finite(result, "samples", (row, column), value);
            }
        }
        let mut hidden = DMatrix::from_element(4, 5, 0.5);
        hidden[(3, 2)] = value;
        assert_non_finite(model.decode(&hidden), "hidden activations", (3, 2), value);
        let mut decoded = DMatrix::zeros(3, 5);
        let decode = model.decode_into(&hidden, &mut decoded, &mut Workspace::new());
        assert_non_finite(decode, "hidden activations", (3, 2), value);
        let sample = DVector::from_element(4, value);
        assert_non_finite(
            model.decode_sample(&sample),
            "hidden activations",
            (0, 0),
            value,
        );
    }
}

#[test]
fn good_samples_are_refused_nowhere() {
    // What the tests above would miss: a method that refuses everything.
    let model = small::<f64>().build().unwrap();
    for count in [1, 5] {
        for (name, result) in every_method_on_samples(&model, &samples(count)) {
            assert_eq!(result, Ok(()), "{name}");
        }
    }
}

#[test]
fn hidden_activations_of_the_wrong_height_are_refused() {
    let model = small::<f64>().build().unwrap();
    let rows = "rows of the hidden activations";
    assert_mismatch(model.decode(&DMatrix::zeros(3, 2)), rows, 4, 3);
    let mut samples = DMatrix::zeros(3, 2);
    let decode = model.decode_into(&DMatrix::zeros(5, 2), &mut samples, &mut Workspace::new());
    assert_mismatch(decode, rows, 4, 5);
    assert_mismatch(model.decode_sample(&DVector::zeros(3)), rows, 4, 3);
}

#[test]
fn results_of_the_wrong_shape_are_refused_and_left_alone() {
    let model = small::<f64>().build().unwrap();
    let (x, ws) = (samples::<f64>(5), &mut Workspace::new());
    let h = model.encode(&x).unwrap();
    // One wrong at a time: (rows, columns), expected, actual.
    for (shape, expected, actual) in [
        ((3, 5), 4, 3),
        ((4, 4), 5, 4),
        ((5, 4), 4, 5),
        ((4, 0), 5, 0),
    ] {
        let mut hidden = DMatrix::from_element(shape.0, shape.1, 7.0);
        assert_mismatch(
            model.encode_into(&x, &mut hidden, ws),
            "hidden",
            expected,
            actual,
        );
        assert!(hidden.iter().all(|&value| value == 7.0));
    }
    for (shape, expected, actual) in [((4, 5), 3, 4), ((3, 6), 5, 6), ((5, 3), 3, 5)] {
        let mut visible = DMatrix::from_element(shape.0, shape.1, 7.0);
        assert_mismatch(
            model.decode_into(&h, &mut visible, ws),
            "samples",
            expected,
            actual,
        );
        let reconstruct = model.reconstruct_into(&x, &mut visible, ws);
        assert_mismatch(reconstruct, "reconstructions", expected, actual);
        assert!(visible.iter().all(|&value| value == 7.0));
    }
    for len in [0, 4, 6] {
        let mut errors = DVector::from_element(len, 7.0);
        let result = model.reconstruction_errors_into(&x, &mut errors, ws);
        assert_mismatch(result, "errors", 5, len);
        assert!(errors.iter().all(|&value| value == 7.0));
    }
    let parameters = model.layout().len();
    for len in [0, parameters - 1, parameters + 1] {
        let mut gradient = vec![7.0; len];
        let result = model.loss_and_gradient(&x, &mut gradient, ws);
        assert_mismatch(result, "gradient", parameters, len);
        assert!(gradient.iter().all(|&value| value == 7.0));
    }
}

#[test]
fn cross_entropy_needs_data_between_0_and_1() {
    let mut model = small::<f64>()
        .reconstruction(Reconstruction::BinaryCrossEntropy)
        .build()
        .unwrap();
    let before = bits(&model);
    for value in [-1e-300, -1.0, 1.0 + f64::EPSILON, 1e300] {
        let mut x = samples::<f64>(5);
        x[(2, 3)] = value;
        let mut gradient = vec![0.0; model.layout().len()];
        let gradient = model.loss_and_gradient(&x, &mut gradient, &mut Workspace::new());
        let mut trainer = Trainer::new(Adam::new(0.1).unwrap());
        for error in [
            model.loss(&x).unwrap_err(),
            gradient.unwrap_err(),
            gradient_check::model(&model, &x).unwrap_err(),
            trainer.fit(&mut model, &x).unwrap_err(),
            trainer.partial_fit(&mut model, &x).unwrap_err(),
        ] {
            let expected = Error::OutOfRange {
                what: "samples for BinaryCrossEntropy",
                requirement: "in [0, 1]",
                row: 2,
                column: 3,
                value,
            };
            assert_eq!(error, expected);
            let value = value.to_string();
            display(
                &error,
                &[
                    "samples for Binary",
                    "in [0, 1]",
                    "row 2",
                    "column 3",
                    &value,
                ],
            );
        }
        // What is no loss takes any data.
        assert!(model.encode(&x).is_ok());
    }
    assert_eq!(bits(&model), before);
    assert!(model.loss(&samples(5)).is_ok()); // 0 and 1 are among these
}

// ---- training

fn trainer<T: Real>() -> Trainer<T> {
    Trainer::new(Adam::new(0.1).unwrap()).epochs(2)
}

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
    assert_refused_settings(trainer::<T>().steps(0), "steps", "at least 1", 0.0);
    for value in [&NEVER[..], &[-0.1, 1.0, 1.5]].concat() {
        let trainer = trainer::<T>().validation_split(value);
        assert_refused_settings(trainer, "validation_split", "in [0, 1)", value);
    }
    let lost: &[f64] = if is_f32 { &[1e-300] } else { &[] }; // 0 as the model sees it
    for value in [&NEVER[..], &[0.0, -1.0], beyond_scalar, lost].concat() {
        let trainer = trainer::<T>().clip_gradient(value);
        assert_refused_settings(trainer, "clip_gradient", "finite and above 0", value);
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

    let partial_fit = trainer().partial_fit(&mut model, &x);
    assert_incompatible(partial_fit, "partial_fit", full);
    assert_eq!(bits(&model), before);
    assert!(trainer().batch_size(20).fit(&mut model, &x).is_ok());
}

// ---- divergence

fn unbounded<T: Real>() -> SparseAutoencoderBuilder<T> {
    small()
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
}

#[track_caller]
fn assert_diverged<R: Debug>(result: Result<R, Error>, expected_epoch: usize) {
    let error = result.expect_err("divergence");
    let Error::Diverged { epoch, loss } = error else {
        panic!("{error:?} instead of divergence");
    };
    assert_eq!(epoch, expected_epoch);
    assert!(!loss.is_finite(), "{loss}");
    display(
        &error,
        &["diverged", &format!("epoch {epoch}"), &loss.to_string()],
    );
}

#[test]
fn a_learning_rate_that_is_far_too_large_leaves_finite_parameters() {
    let x = samples(40);
    let sgd = || Sgd::<f32>::new(1e30).unwrap();
    for (mut trainer, epoch) in [
        (Trainer::new(sgd()).batch_size(40), 2), // the first step is still from a finite loss
        (Trainer::new(sgd()).batch_size(8), 1),
        (
            Trainer::new(sgd().momentum(0.9).unwrap())
                .batch_size(8)
                .patience(3),
            1,
        ),
        // Found on the samples held out, before another step is made.
        (Trainer::new(sgd()).validation_split(0.25), 1),
    ] {
        let mut model = unbounded::<f32>().build().unwrap();
        assert_diverged(trainer.fit(&mut model, &x), epoch);
        assert!(
            model
                .parameters()
                .as_slice()
                .iter()
                .all(|theta| theta.is_finite())
        );
    }
}

/// Walks into the optimum of data that are all 0, and then away from it for good.
#[derive(Debug, Default)]
struct Wanderer {
    steps: usize,
    gradient: Vec<f32>,
}

impl Optimizer<f32> for Wanderer {
    fn reset(&mut self, len: usize) {
        self.gradient = vec![0.0; len];
    }

    fn step(&mut self, theta: &mut [f32], objective: &mut Objective<'_, f32>) -> Step<f32> {
        let loss = objective(theta, &mut self.gradient);
        if loss.is_finite() {
            let factor = if self.steps < 3 { 0.5 } else { 100.0 };
            theta.iter_mut().for_each(|theta| *theta *= factor);
            self.steps += 1;
        }
        Step::moved(loss)
    }
}

#[test]
fn with_patience_divergence_leaves_the_best_epoch() {
    let mut model = unbounded::<f32>()
        .parameters(Parameters::new(Layout::new(&[3, 4], false).unwrap(), vec![0.5; 31]).unwrap())
        .build()
        .unwrap();
    let mut seen = Vec::new();
    let fit = Trainer::new(Wanderer::default())
        .batch_size(usize::MAX)
        .validation_split(0.5)
        .patience(50)
        .fit_with(&mut model, DMatrix::zeros(3, 10), |epoch| {
            seen.push((epoch.validation.unwrap().total(), bits(epoch.model)));
            ControlFlow::Continue(())
        });
    assert_diverged(fit, seen.len() + 1);
    let best = seen
        .iter()
        .map(|(loss, _)| *loss)
        .fold(f32::INFINITY, f32::min);
    assert_eq!(seen.iter().position(|(loss, _)| *loss == best), Some(2));
    assert!(seen.len() > 3);
    assert_eq!(bits(&model), seen[2].1);
}

/// Gives `value` and adds `slope` to the gradient, from the call after `calls` on; else nothing.
#[derive(Debug)]
struct Failing {
    calls: usize,
    value: f64,
    slope: f64,
    seen: AtomicUsize,
}

impl Failing {
    fn after(calls: usize, value: f64, slope: f64) -> Self {
        let seen = AtomicUsize::new(0);
        Self {
            calls,
            value,
            slope,
            seen,
        }
    }
}

impl<T: Real> Penalty<T> for Failing {
    fn accumulate(
        &self,
        _: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        if self.seen.fetch_add(1, Ordering::Relaxed) < self.calls {
            return T::zero();
        }
        gradient.per_unit()[0] += scale * T::of(self.slope);
        T::of(self.value)
    }
}

#[test]
fn a_penalty_that_fails_leaves_the_last_parameters() {
    let x = samples::<f64>(20);
    for (value, slope) in [
        (f64::NAN, 0.0),
        (f64::INFINITY, 0.0),
        (f64::NEG_INFINITY, 0.0),
        (0.0, f64::NAN),
        (0.0, f64::INFINITY),
    ] {
        let build = |calls| {
            small::<f64>()
                .penalty(Failing::after(calls, value, slope))
                .build()
        };

        let mut model = build(3).unwrap();
        let mut last = Vec::new();
        let fit = trainer()
            .epochs(10)
            .batch_size(20)
            .fit_with(&mut model, &x, |epoch| {
                last = bits(epoch.model);
                ControlFlow::Continue(())
            });
        assert_diverged(fit, 4);
        assert_eq!(bits(&model), last);

        // Within an epoch: two of the four steps of the second were made.
        let mut model = build(6).unwrap();
        let mut twin = build(usize::MAX).unwrap();
        let mut ended = Vec::new();
        assert_diverged(trainer().batch_size(5).fit(&mut model, &x), 2);
        let fit = trainer()
            .epochs(1)
            .batch_size(5)
            .fit_with(&mut twin, &x, |epoch| {
                ended = bits(epoch.model);
                ControlFlow::Continue(())
            });
        assert!(fit.is_ok());
        assert_ne!(bits(&model), ended);
        assert!(
            model
                .parameters()
                .as_slice()
                .iter()
                .all(|theta| theta.is_finite())
        );

        let mut model = build(2).unwrap();
        let mut trainer = trainer();
        assert!(trainer.partial_fit(&mut model, &x).is_ok());
        assert!(trainer.partial_fit(&mut model, &x).is_ok());
        let before = bits(&model);
        assert_diverged(trainer.partial_fit(&mut model, &x), 1);
        assert_eq!(bits(&model), before);
    }
}

#[test]
fn a_validation_loss_that_is_not_finite_is_divergence() {
    // Four steps of the first epoch, its validation, four steps, and the validation that fails.
    for patience in [None, Some(5)] {
        let penalty = Failing::after(9, f64::NAN, 0.0);
        let mut model = small::<f64>().penalty(penalty).build().unwrap();
        let mut first = Vec::new();
        let mut trainer = trainer().epochs(10).batch_size(5).validation_split(0.2);
        if let Some(patience) = patience {
            trainer = trainer.patience(patience);
        }
        let fit = trainer.fit_with(&mut model, samples(25), |epoch| {
            first = bits(epoch.model);
            ControlFlow::Continue(())
        });
        assert_diverged(fit, 2);
        assert_eq!(bits(&model) == first, patience.is_some());
    }
}

#[test]
fn clipping_keeps_the_direction_of_a_gradient_whose_square_overflows() {
    let penalty = Failing::after(0, 0.0, 1e30);
    let mut model = small::<f32>().penalty(penalty).build().unwrap();
    let before = model.parameters().as_slice().to_vec();
    let mut trainer = Trainer::new(Sgd::new(1.0).unwrap()).clip_gradient(0.5);
    trainer.partial_fit(&mut model, &samples(20)).unwrap();
    let after = model.parameters().as_slice().iter();
    let moved = after
        .zip(&before)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f32>();
    assert!((moved.sqrt() - 0.5).abs() < 1e-5, "{moved}");
}

// ---- any combination

/// Draws a number from 0 to `end`, or any number at all.
fn number(rng: &mut Rng, end: f64) -> f64 {
    match rng.random_range(0..54) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => one_of(rng, &[0.0, -0.0, f64::MIN_POSITIVE / 2.0]),
        4 => f64::from_bits(rng.random()),
        5 => -rng.random_range(0.0..end),
        _ => rng.random_range(0.0..end),
    }
}

fn activation(rng: &mut Rng) -> Activation {
    match rng.random_range(0..11) {
        0 => Activation::Sigmoid,
        1 => Activation::Tanh,
        2 => Activation::Relu,
        3 => Activation::Identity,
        4 => Activation::SaturatingLinear,
        5 => Activation::TopK(rng.random_range(0..4)),
        6 => Activation::TopProportion(number(rng, 1.0)),
        7 => Activation::WinnerTakeAll(number(rng, 1.0)),
        8 => Activation::BatchTopK(rng.random_range(0..4)),
        9 => Activation::JumpRelu,
        _ => Activation::Gated,
    }
}

/// Which penalty, and the factor where one is scaled.
fn combined_penalty<T: Real>(which: usize, factor: f64) -> Option<Box<dyn Penalty<T>>> {
    Some(match which {
        0 => Box::new(()),
        1 => Box::new(KlDivergence),
        2 => Box::new(L1),
        3 => Box::new(Proportion),
        4 => Box::new(SquaredDeviation),
        5 => Box::new((Scaled::new(factor, Proportion), SquaredDeviation)),
        6 => Box::new(L0),
        7 => Box::new(TargetL0),
        _ => return None,
    })
}

#[derive(Debug, Clone)]
struct Model {
    layers: Vec<usize>,
    activations: (Activation, Activation),
    cross_entropy: bool,
    penalty: (usize, f64),
    target: f64,
    weights: (f64, f64),
    penalized: Option<Vec<usize>>,
    tied: bool,
    pre_encoder_bias: bool,
    norm_weighted: bool,
    prefixes: Vec<usize>,
    initialization: Initialization,
    seed: u64,
}

fn any_model(rng: &mut Rng) -> Model {
    let layers = match rng.random_range(0..10) {
        0 => list(rng, 0..3, |rng| rng.random_range(0..4)),
        _ => list(rng, 2..5, |rng| rng.random_range(1..7)),
    };
    let prefixes = match rng.random_range(0..5) {
        0 => list(rng, 1..3, |rng| rng.random_range(0..4)),
        _ => Vec::new(),
    };
    let initializations = [
        Initialization::Glorot,
        Initialization::He,
        Initialization::TransposedDecoder,
    ];
    Model {
        layers,
        activations: (activation(rng), activation(rng)),
        cross_entropy: rng.random(),
        penalty: (rng.random_range(0..9), number(rng, 2.0)),
        target: number(rng, 1.0),
        weights: (number(rng, 5.0), number(rng, 0.1)),
        penalized: option(rng, |rng| list(rng, 0..3, |rng| rng.random_range(0..3))),
        tied: rng.random(),
        pre_encoder_bias: rng.random_bool(0.3),
        norm_weighted: rng.random_bool(0.3),
        prefixes,
        initialization: one_of(rng, &initializations),
        seed: rng.random(),
    }
}

#[derive(Debug, Clone)]
struct Training {
    rate: f64,
    optimizer: usize,
    batch_size: Option<usize>,
    split: f64,
    patience: Option<usize>,
    clip: Option<f64>,
    schedule: Option<(usize, f64, f64)>,
    corruption: Option<(usize, f64, f64)>,
}

fn any_training(rng: &mut Rng) -> Training {
    let two = |rng: &mut Rng, kinds| {
        let which = rng.random_range(0..kinds);
        (which, number(rng, 1.0), number(rng, 1.0))
    };
    let largest = one_of(rng, &[1.0, 1.0, 1.0, 1.0, 1e200]);
    Training {
        rate: rng.random_range(1e-3..largest),
        optimizer: rng.random_range(0..4),
        batch_size: option(rng, |rng| rng.random_range(0..9)),
        split: number(rng, 0.5),
        patience: option(rng, |rng| rng.random_range(0..3)),
        clip: option(rng, |rng| number(rng, 2.0)),
        schedule: option(rng, |rng| two(rng, 4)),
        corruption: option(rng, |rng| two(rng, 3)),
    }
}

fn build<T: Real>(model: &Model) -> Result<SparseAutoencoder<T>, Error> {
    let mut builder = SparseAutoencoder::<T>::builder()
        .layers(model.layers.clone())
        .hidden_activation(model.activations.0)
        .output_activation(model.activations.1)
        .sparsity_target(model.target)
        .penalty_weight(model.weights.0)
        .weight_decay(model.weights.1)
        .tied(model.tied)
        .pre_encoder_bias(model.pre_encoder_bias)
        .norm_weighted(model.norm_weighted)
        .matryoshka(model.prefixes.clone())
        .initialization(model.initialization)
        .seed(model.seed);
    if model.cross_entropy {
        builder = builder.reconstruction(Reconstruction::BinaryCrossEntropy);
    }
    if let Some(penalty) = combined_penalty(model.penalty.0, model.penalty.1) {
        builder = builder.penalty(penalty);
    }
    if let Some(indices) = &model.penalized {
        builder = builder.penalized_layers(indices.clone());
    }
    builder.build()
}

fn prepare<T: Real>(training: &Training) -> Result<Trainer<T>, Error> {
    let rate = training.rate;
    let mut trainer = match training.optimizer {
        0 => Trainer::new(Sgd::new(rate)?),
        1 => Trainer::new(Sgd::new(rate)?.momentum(0.9)?.nesterov()),
        2 => Trainer::new(Adam::new(rate)?),
        _ => Trainer::new(Lbfgs::new()),
    }
    .epochs(2)
    .validation_split(training.split);
    if let Some(size) = training.batch_size {
        trainer = trainer.batch_size(size);
    }
    if let Some(patience) = training.patience {
        trainer = trainer.patience(patience);
    }
    if let Some(norm) = training.clip {
        trainer = trainer.clip_gradient(norm);
    }
    if let Some((which, floor, warm_up)) = training.schedule {
        let schedule = match which {
            0 => Schedule::constant(),
            1 => Schedule::linear(floor),
            2 => Schedule::cosine(floor),
            _ => Schedule::exponential(floor),
        };
        trainer = trainer.schedule(schedule.warm_up(warm_up));
    }
    if let Some((which, amount, end)) = training.corruption {
        trainer = trainer.corruption(match which {
            0 => Corruption::Gaussian {
                standard_deviation: amount,
            },
            1 => Corruption::Masking { fraction: amount },
            _ => Corruption::SaltAndPepper {
                fraction: amount,
                low: 0.0,
                high: end,
            },
        });
    }
    Ok(trainer)
}

/// What became of a combination: for the count of what was covered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    NotBuilt,
    NotFitted,
    Diverged,
    Fitted,
}

fn outcome<T: Real>(model: &Model, training: &Training) -> Outcome {
    let Ok(mut model) = build::<T>(model) else {
        return Outcome::NotBuilt;
    };
    let visible = model.layout().visible();
    let x = DMatrix::from_fn(visible, 9, |i, j| T::of(((3 * i + 2 * j) % 7) as f64 / 6.0));
    let before = bits(&model);
    let fitted = prepare(training).and_then(|mut trainer| trainer.fit(&mut model, &x));
    let theta = model.parameters().as_slice();
    assert!(theta.iter().all(|theta| theta.is_finite()));
    // Where rounding is far below the bound of `folds`, and chooses nothing: a threshold of BatchTopK may
    // be exactly what one of the samples has.
    let mut activations = model.hidden_activations().iter();
    let decided = activations.all(|f| !matches!(f, Activation::BatchTopK(_)));
    let small = theta.iter().all(|theta| theta.to_f64().abs() < 4.0);
    if size_of::<T>() == 8 && decided && small {
        folds(&model, &x);
    }
    match fitted {
        Ok(report) => {
            let losses = report.history.iter().chain(&report.validation);
            for loss in losses {
                assert!(loss.total().is_finite());
            }
            assert_eq!(report.history.len(), report.epochs);
            Outcome::Fitted
        }
        Err(Error::Diverged { loss, .. }) => {
            assert!(!loss.is_finite());
            Outcome::Diverged
        }
        Err(_) => {
            assert_eq!(bits(&model), before);
            Outcome::NotFitted
        }
    }
}

/// Whatever was learned from samples is what the folded model does with those of which they are the scaled
/// ones, or it is refused by the rule. Exact to 1e-16 times numbers of at most 1e7.
fn folds<T: Real>(model: &SparseAutoencoder<T>, scaled: &DMatrix<T>) {
    let visible = scaled.nrows();
    let vector = |f: fn(f64) -> f64| (0..visible).map(|i| T::of(f(i as f64))).collect::<Vec<_>>();
    let scaler = Scaler::new(
        &vector(|i| 3.0 - 2.0 * i),
        &vector(|i| 0.5 + i),
        &vector(|i| 0.1 * i),
    );
    let scaler = scaler.unwrap();
    let samples = scaler.invert(scaled).unwrap();
    let mut folded = model.clone();
    match folded.fold(&scaler) {
        Ok(()) => {
            let hidden = model.encode(scaled).unwrap();
            let difference = (folded.encode(&samples).unwrap() - hidden).amax();
            assert!(difference < T::of(1e-7), "{difference}");
        }
        Err(error) => {
            assert!(matches!(error, Error::Incompatible { .. }), "{error}");
            let identity = model.output_activation() == Activation::Identity;
            assert!(!identity || model.layout().is_tied());
            assert_eq!(folded.parameters(), model.parameters());
        }
    }
}

#[test]
fn any_combination_of_settings_trains_or_is_refused() {
    let mut counts = [0; 4];
    let draw = |rng: &mut Rng| (any_model(rng), any_training(rng));
    check(4000, draw, |(model, training)| {
        counts[outcome::<f32>(&model, &training) as usize] += 1;
        counts[outcome::<f64>(&model, &training) as usize] += 1;
    });
    // Otherwise the test would show little.
    assert!(counts.iter().all(|&count| count >= 40), "{counts:?}");
}
