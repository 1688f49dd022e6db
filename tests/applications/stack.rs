//! Stacks: greedy training, unrolling, and what they refuse.

#![allow(clippy::float_cmp, reason = "exact where it is asked for")]

use crate::common::fractions::fractions;
use std::ops::ControlFlow;

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, ClassifierTrainer, Error, KlDivergence, L1, Lbfgs, ReconstructionLoss,
    SoftmaxClassifier, SparseAutoencoder, SparseAutoencoderBuilder, Stack, Trainer, gradient_check,
};

use crate::common::variants::{self, Shape, Variant, variants};

fn samples(input_size: usize, count: usize) -> DMatrix<f64> {
    fractions(input_size, count, |phase| 0.05 + 0.9 * phase)
}

fn builder(layers: &[usize], seed: u64) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers(layers.to_vec())
        .seed(seed)
}

/// Three autoencoders, the second of them deep, with different activations and penalties.
fn layers(tied: [bool; 3]) -> Vec<SparseAutoencoder<f64>> {
    let outer = builder(&[6, 7], 1).hidden_activation(Activation::Tanh);
    let middle = builder(&[7, 5, 4], 2)
        .hidden_activation(Activation::TopK(2))
        .output_activation(Activation::Tanh);
    let inner = builder(&[4, 3], 3)
        .hidden_activation(Activation::Identity)
        .output_activation(Activation::Relu)
        .penalty(L1);
    [outer, middle, inner]
        .into_iter()
        .zip(tied)
        .map(|(builder, tied)| builder.tied(tied).weight_decay(0.01).build().unwrap())
        .collect()
}

#[test]
fn an_unrolled_stack_encodes_and_decodes_as_the_stack_does() {
    for tied in [[false; 3], [true; 3], [true, false, true]] {
        let stack = Stack::new(layers(tied)).unwrap();
        let deep = stack.unroll().unwrap();
        assert_eq!(deep.layout().sizes(), [6, 7, 5, 4, 3]);
        assert_eq!(deep.layout().is_tied(), tied == [true; 3]);
        let x = samples(6, 9);
        let hidden = stack.encode(&x).unwrap();
        // The same products in the same order: the same bits.
        assert_eq!(deep.encode(&x).unwrap(), hidden);
        assert_eq!(
            deep.decode(&hidden).unwrap(),
            stack.decode(&hidden).unwrap()
        );
        assert_eq!(
            deep.reconstruct(&x).unwrap(),
            stack.reconstruct(&x).unwrap()
        );
        assert_eq!(deep.weight_decay(), 0.01);
        assert_eq!(deep.loss(&x).unwrap().sparsity, 0.0);
        let mut by_hand = x.clone();
        for layer in stack.layers() {
            by_hand = layer.encode(&by_hand).unwrap();
        }
        assert_eq!(by_hand, hidden);
    }
}

#[test]
fn a_deep_autoencoder_with_the_activations_of_a_stack_is_the_unrolled_stack() {
    use Activation::{Identity, Relu, Sigmoid, Tanh, TopK};
    let unrolled = Stack::new(layers([false; 3])).unwrap().unroll().unwrap();
    let deep = SparseAutoencoder::builder()
        .parameters(unrolled.parameters().clone())
        .hidden_activations([Tanh, TopK(2), TopK(2), Identity])
        .penalty(())
        .weight_decay(0.01)
        .build()
        .unwrap();
    assert_eq!(deep.hidden_activations(), unrolled.hidden_activations());
    // A selection is mirrored by its positive part, and the innermost activation not at all.
    assert_eq!(deep.decoder_activations(), [Sigmoid, Tanh, Relu, Relu]);
    assert_eq!(deep.decoder_activations(), unrolled.decoder_activations());
    assert_eq!(deep.output_activation(), Sigmoid);
    let x = samples(6, 9);
    assert_eq!(deep.loss(&x).unwrap(), unrolled.loss(&x).unwrap());
    let decoded = deep.reconstruct(&x).unwrap();
    assert_eq!(decoded, unrolled.reconstruct(&x).unwrap());
}

#[test]
fn an_unrolled_stack_has_the_gradient_of_its_loss_and_can_be_fine_tuned() {
    let stack = Stack::new(vec![
        builder(&[6, 7], 1).build().unwrap(),
        builder(&[7, 4], 2)
            .hidden_activation(Activation::Tanh)
            .build()
            .unwrap(),
    ])
    .unwrap();
    let x = samples(6, 12);
    for mut deep in [
        stack.unroll().unwrap(),
        stack.unroll_penalized(KlDivergence, 0.3, 0.2).unwrap(),
    ] {
        let error = gradient_check::model(&deep, &x).unwrap().relative_error();
        assert!(error < 1e-7, "{error:e}");
        let before = deep.loss(&x).unwrap().total();
        Trainer::new(Lbfgs::new())
            .epochs(20)
            .fit(&mut deep, &x)
            .unwrap();
        assert!(deep.loss(&x).unwrap().total() < before);
    }
}

#[test]
fn a_penalty_is_kept_to_the_layers_that_were_penalized() {
    let outer = builder(&[6, 5], 1).penalized_layers([]).build().unwrap();
    let inner = builder(&[5, 4], 2).build().unwrap();
    let x = samples(6, 8);
    let hidden = inner.encode(outer.encode(&x).unwrap()).unwrap();
    let deep = Stack::new(vec![outer, inner]).unwrap();
    let deep = deep.unroll_penalized(L1, 1.0, 0.05).unwrap();
    let expected = hidden.abs().sum() / 8.0;
    assert!((deep.loss(&x).unwrap().sparsity - expected).abs() < 1e-12);
}

#[test]
fn fitting_the_stack_is_fitting_its_layers_in_turn() {
    let fresh = || {
        vec![
            builder(&[6, 7], 1).build().unwrap(),
            builder(&[7, 4], 2).build().unwrap(),
        ]
    };
    let x = samples(6, 40);
    let trainer = || {
        Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(5)
            .batch_size(16)
    };

    let mut by_hand = fresh();
    trainer().fit(&mut by_hand[0], &x).unwrap();
    let hidden = by_hand[0].encode(&x).unwrap();
    let report = trainer().fit(&mut by_hand[1], &hidden).unwrap();

    let mut whole = Stack::new(fresh()).unwrap();
    let mut seen = Vec::new();
    let reports = trainer()
        .fit_stack_with(&mut whole, &x, |layer, epoch| {
            seen.push((layer, epoch.number));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(reports[1], report);
    let expected: Vec<_> = (0..2).flat_map(|l| (1..6).map(move |n| (l, n))).collect();
    assert_eq!(seen, expected);

    let mut single = Stack::new(fresh()).unwrap();
    trainer().fit_layer(&mut single, 0, &x).unwrap();
    let report = trainer()
        .fit_layer_with(&mut single, 1, &x, |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(reports[1], report);
    for ((whole, single), by_hand) in whole.layers().iter().zip(single.layers()).zip(&by_hand) {
        assert_eq!(whole.parameters(), by_hand.parameters());
        assert_eq!(single.parameters(), by_hand.parameters());
    }
    assert_eq!(whole.into_layers().len(), 2);
}

#[test]
fn sizes_must_chain_and_there_must_be_a_layer() {
    let sae = |layers: &[usize]| builder(layers, 1).build().unwrap();
    let error = Stack::<f64>::new(Vec::new()).unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
    let error = Stack::new(vec![sae(&[6, 7]), sae(&[5, 4])]).unwrap_err();
    assert_eq!(
        error,
        Error::DimensionMismatch {
            what: "input size of a stacked autoencoder",
            expected: 7,
            actual: 5
        }
    );
}

#[test]
fn samples_and_indices_must_fit() {
    let mut stack = Stack::new(layers([false; 3])).unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap());
    let x = samples(6, 5);
    for index in [3, usize::MAX] {
        let error = trainer.fit_layer(&mut stack, index, &x).unwrap_err();
        assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
    }
    let mut with_nan = x.clone();
    with_nan[(2, 3)] = f64::NAN;
    type Refused = fn(&Error) -> bool;
    let mismatch: Refused = |error| matches!(error, Error::DimensionMismatch { .. });
    let invalid: Refused = |error| {
        matches!(
            error,
            Error::NonFinite {
                row: 2,
                column: 3,
                ..
            }
        )
    };
    let empty: Refused = |error| matches!(error, Error::EmptyBatch { .. });
    for (x, decodable, [of_x, of_code]) in [
        (samples(7, 5), samples(4, 5), [mismatch, mismatch]),
        (with_nan, DMatrix::zeros(3, 0), [invalid, empty]),
    ] {
        for error in [
            trainer.fit_stack(&mut stack, &x).unwrap_err(),
            trainer.fit_layer(&mut stack, 0, &x).unwrap_err(),
            trainer.fit_layer(&mut stack, 1, &x).unwrap_err(),
            stack.encode(&x).unwrap_err(),
            stack.reconstruct(&x).unwrap_err(),
        ] {
            assert!(of_x(&error), "{error}");
        }
        let error = stack.decode(&decodable).unwrap_err();
        assert!(of_code(&error), "{error}");
    }
    for (kept, before) in stack.layers().iter().zip(layers([false; 3])) {
        assert_eq!(kept.parameters(), before.parameters());
    }
}

#[test]
fn a_layer_that_fails_leaves_those_below_fitted() {
    // What a tanh layer encodes is not data in [0, 1].
    let outer = builder(&[6, 7], 1).hidden_activation(Activation::Tanh);
    let inner = builder(&[7, 4], 2).reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    let start = vec![outer.build().unwrap(), inner.build().unwrap()];
    let mut stack = Stack::new(start.clone()).unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(2);
    let error = trainer.fit_stack(&mut stack, samples(6, 30)).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    assert_ne!(stack.layers()[0].parameters(), start[0].parameters());
    assert_eq!(stack.layers()[1].parameters(), start[1].parameters());
}

#[test]
fn a_penalty_must_be_defined_for_every_layer_and_its_settings_in_range() {
    let stack = Stack::new(layers([false; 3])).unwrap();
    let error = stack.unroll_penalized(KlDivergence, 1.0, 0.1).unwrap_err();
    assert!(
        matches!(error, Error::UnsupportedActivation { .. }),
        "{error}"
    );
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let error = stack.unroll_penalized(L1, weight, 0.1).unwrap_err();
        assert!(matches!(
            error,
            Error::InvalidParameter {
                name: "penalty_weight",
                ..
            }
        ));
    }
    for target in [0.0, 1.0, f64::NAN] {
        let error = stack.unroll_penalized(L1, 1.0, target).unwrap_err();
        assert!(matches!(
            error,
            Error::InvalidParameter {
                name: "sparsity_target",
                ..
            }
        ));
    }
}

/// Of the outermost variants, one for each way to encode and to be penalized.
fn of_one_layer() -> Vec<Variant> {
    let mut variants = variants();
    variants.retain(|variant| {
        variant.shape == Shape::Small
            && !variant.tied
            && !variant.pre_encoder_bias
            && variant.output == Activation::Identity
    });
    variants
}

/// What an autoencoder was fitted with is no reason to refuse it in a model without a penalty.
#[test]
fn every_pair_of_variants_is_unrolled_but_for_gates() {
    let x = variants::samples::<f64>(6);
    let outer = of_one_layer();
    let inner: Vec<_> = outer
        .iter()
        .map(|variant| (variant, variant.builder::<f64>().layers([9, 6])))
        .map(|(variant, builder)| (variant, builder.build().unwrap()))
        .collect();
    for below in &outer {
        let bottom = below.trained::<f64>(&x);
        for (above, top) in &inner {
            let stack = Stack::new(vec![bottom.clone(), top.clone()]).unwrap();
            let gated = [below, above].map(|variant| variant.hidden == Activation::Gated);
            match stack.unroll() {
                Ok(deep) if gated == [false; 2] => {
                    let hidden = stack.encode(&x);
                    assert_eq!(deep.encode(&x), hidden, "{below:?} {above:?}");
                    let decoded = stack.decode(hidden.unwrap());
                    assert_eq!(deep.reconstruct(&x), decoded, "{below:?} {above:?}");
                    assert_eq!(deep.loss(&x).unwrap().sparsity, 0.0);
                }
                Err(Error::UnsupportedActivation { .. }) if gated != [false; 2] => {}
                other => panic!("{below:?} {above:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn thresholds_learn_by_the_bandwidth_of_the_outermost_that_have_some() {
    let layer = |sizes, activation, bandwidth| {
        let builder = builder(sizes, 1).hidden_activation(activation);
        builder.penalty(()).bandwidth(bandwidth).build().unwrap()
    };
    let outer = layer(&[6, 5], Activation::Relu, 0.1);
    let inner = layer(&[5, 4], Activation::JumpRelu, 0.7);
    let stack = Stack::new(vec![outer, inner]).unwrap();
    assert_eq!(stack.unroll().unwrap().bandwidth(), 0.7);
}

/// Tolerance: a pre-encoder bias is added up in another order, to pre-activations of about one.
#[test]
fn a_classifier_on_top_of_every_variant_sees_what_it_encodes() {
    let x = variants::samples::<f64>(20);
    for variant in variants() {
        let model = variant.trained::<f64>(&x);
        let x = variants::inputs(&model, &x);
        let hidden = model.encode(&x).unwrap();
        let mut head = SoftmaxClassifier::new(hidden.nrows(), 3).unwrap();
        let labels: Vec<usize> = (0..20).map(|i| i % 3).collect();
        let mut trainer = ClassifierTrainer::new(Adam::new(1e-1).unwrap()).epochs(2);
        trainer.fit(&mut head, &hidden, &labels).unwrap();
        let has_parameters = matches!(
            variant.hidden,
            Activation::BatchTopK(_) | Activation::JumpRelu | Activation::Gated
        );
        match head.on_top_of(&[model]) {
            Ok(deep) if !has_parameters => {
                let expected = head.probabilities(&hidden).unwrap();
                let difference = (deep.probabilities(&x).unwrap() - expected).amax();
                assert!(difference < 1e-13, "{variant:?}: {difference:e}");
            }
            Err(Error::Incompatible { .. }) if has_parameters => {}
            other => panic!("{variant:?}: {other:?}"),
        }
    }
}
