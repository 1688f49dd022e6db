//! Settings of a builder that do not go together.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use super::*;
use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::penalty::{self, Scaled};
use sparse_autoencoder::{
    Activation, Error, KlDivergence, L0, L1, Penalty, Proportion, ReconstructionLoss,
    SparseAutoencoder, Stack, TargetL0, gradient_check,
};
use std::sync::Arc;

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
}

/// No default is refused.
#[test]
fn the_default_penalty_suits_the_activation_of_each_layer() {
    use Activation::{Gated, Identity, JumpRelu, Relu, SaturatingLinear, Sigmoid, Tanh, TopK};
    let penalties = |activations: &[Activation]| {
        let layers = vec![3; activations.len() + 1];
        let builder = SparseAutoencoder::<f32>::builder().layers(layers);
        let sae = builder.hidden_activations(activations).build().unwrap();
        sae.penalties()
            .map(|of| format!("{of:?}"))
            .collect::<Vec<_>>()
    };
    for (activation, penalty) in [
        (Sigmoid, "KlDivergence"),
        (Tanh, "KlDivergence"),
        (SaturatingLinear, "KlDivergence"),
        (Relu, "SquaredDeviation"),
        (Identity, "()"),
        (TopK(2), "()"),
        (JumpRelu, "()"),
        (Gated, "()"),
    ] {
        assert_eq!(penalties(&[activation]), [penalty], "{activation:?}");
    }
    let deep = penalties(&[Sigmoid, TopK(2), Relu, Identity]);
    assert_eq!(deep, ["KlDivergence", "()", "SquaredDeviation", "()"]);
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
            .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
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
    for &activation in ACTIVATIONS {
        let with_blocks = parameters().for_activations(&[activation]).unwrap();
        let names: Vec<_> = with_blocks.layer(0).unwrap().block_names().collect();
        for &name in &names {
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
            let requirement = "below the number of hidden layers";
            let index = "index of a layer";
            let beyond = Error::InvalidParameter {
                name: index,
                requirement,
                value: 1.0,
            };
            assert_eq!(absent.unwrap_err(), beyond, "{name}");

            let values = DVector::from_fn(len, |j, _| 0.5 + j as f64);
            let changed = with(0, &values).unwrap();
            assert_eq!(changed.layer(0).unwrap().block(name).unwrap(), values);
            let builder = SparseAutoencoder::builder().parameters(changed.clone());
            let same = builder.clone().penalty(()).hidden_activation(activation);
            assert_eq!(same.build().unwrap().parameters(), &changed);
            for other in ACTIVATIONS.iter().copied() {
                let blocks = |f| parameters().for_activations(&[f]).unwrap();
                let other_blocks = blocks(other).layout() != blocks(activation).layout();
                let build = builder.clone().penalty(()).hidden_activation(other).build();
                let refused = matches!(build, Err(Error::Incompatible { .. }));
                assert_eq!(refused, other_blocks, "{activation:?} as {other:?}");
            }
        }
        let unknown = with_blocks.with_block(0, "none of this name", &DVector::zeros(1));
        let expected = Error::UnknownName {
            what: "block of the units",
            name: "none of this name".to_owned(),
            of: names.len(),
            known: names.into_iter().map(str::to_owned).collect(),
        };
        assert_eq!(unknown.unwrap_err(), expected);
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
fn a_penalty_may_refuse_a_target() {
    // Reached only from outside a model, whose builder refuses such targets for any penalty.
    for value in NEVER.into_iter().chain([0.0, -0.5, 1.0, 1.5]) {
        let evaluated = penalty::evaluate(
            &Proportion,
            Activation::Relu,
            value,
            DMatrix::from_element(1, 1, 1.0),
        );
        let requirement = "a proportion in (0, 1) for Proportion";
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
