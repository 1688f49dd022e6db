//! Refused settings of a builder.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use super::*;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Error, Initialization, KlDivergence, L1, Layout, Lbfgs, Penalty, Real,
    SoftmaxClassifier, SparseAutoencoder, SquaredDeviation, Stack, Trainer,
};

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
        let start = Initialization::TransposedDecoder { norm: value };
        let build = small::<T>().initialization(start).build();
        let name = "norm of TransposedDecoder";
        assert_invalid(build, name, "finite and above 0", value);
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
        builder
            .clone()
            .penalty(Scaled::new(0.0, Scaled::new(-1.0, L1))),
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
        let of_magnitudes = builder.clone().hidden_activation(Activation::AbsTopK(k));
        assert_invalid(of_magnitudes.build(), "k of AbsTopK", requirement, k as f64);
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
        .hidden_activations([Sigmoid, Identity])
        .penalty(KlDivergence);
    assert!(builder.clone().penalized_layers([0]).build().is_ok());
    for layers in [vec![1], vec![0, 1]] {
        let build = builder.clone().penalized_layers(layers).build();
        assert_unsupported(build, "KlDivergence", Identity, "bounded");
    }
    let selecting = builder.hidden_activations([Sigmoid, TopK(2)]);
    assert_unsupported(selecting.build(), "KlDivergence", TopK(2), "bounded");
}

#[test]
fn lists_need_a_value_for_each_hidden_layer() {
    type Builder = SparseAutoencoderBuilder<f64>;
    type Set = fn(Builder, usize) -> Builder;
    let cases: [(&str, Set); 3] = [
        ("penalty_weights", |builder, n| {
            builder.penalty_weights(vec![0.1; n])
        }),
        ("sparsity_targets", |builder, n| {
            builder.sparsity_targets(vec![0.1; n])
        }),
        ("penalties", |builder, n| {
            let penalty = |_| Box::new(L1) as Box<dyn Penalty<f64>>;
            builder.penalties((0..n).map(penalty).collect())
        }),
    ];
    for (what, set) in cases {
        let build = |n| set(small().layers([3, 5, 4]), n).build();
        assert!(build(2).is_ok());
        for actual in [0, 1, 3] {
            let expected = 2;
            let mismatch = Error::DimensionMismatch {
                what,
                expected,
                actual,
            };
            assert_eq!(build(actual).unwrap_err(), mismatch);
        }
    }
    let builder = small::<f64>().layers([3, 5, 4]);
    let error = builder.clone().penalty_weights([0.1, -1.0]).build();
    assert_eq!(
        error.unwrap_err().to_string(),
        "penalty_weight must be finite and at least 0, got -1"
    );
    let error = builder.clone().sparsity_targets([1.0, 0.1]).build();
    assert_eq!(
        error.unwrap_err().to_string(),
        "sparsity_target must be in (0, 1), got 1"
    );
    let unbounded = builder.hidden_activations([Activation::Sigmoid, Activation::Relu]);
    let swapped = unbounded
        .clone()
        .penalties(vec![Box::new(L1), Box::new(KlDivergence)]);
    assert_unsupported(swapped.build(), "KlDivergence", Activation::Relu, "bounded");
    let fitting = unbounded.penalties(vec![Box::new(KlDivergence), Box::new(L1)]);
    assert!(fitting.build().is_ok());
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
        let two = "at least an input and a hidden size";
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
