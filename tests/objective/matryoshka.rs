//! Hidden units whose prefixes reconstruct by themselves.

#![allow(clippy::float_cmp)] // the same bits

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, L1, ReconstructionLoss, SparseAutoencoder, SparseAutoencoderBuilder,
    Stack, TargetL0, Trainer, Workspace,
};

fn samples(input_size: usize, count: usize) -> DMatrix<f64> {
    fractions(input_size, count, |phase| 0.05 + 0.9 * phase)
}

fn builder(units: usize, hidden: Activation) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([6, units])
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(7)
}

/// A reconstruction by a prefix is one by a decoder without the columns behind it: so the objective
/// is a sum of plain ones, and so is its gradient.
///
/// Tolerance: sums of some hundred terms of order one, in another order.
#[test]
fn the_objective_is_the_sum_of_those_of_the_prefixes() {
    // More units: on the sparse path.
    for units in [9, 160] {
        for hidden in [
            Activation::Relu,
            Activation::Sigmoid,
            Activation::TopK(3),
            Activation::BatchTopK(3),
            Activation::JumpRelu,
        ] {
            let prefixes = [2, 3, units / 2];
            let cross_entropy = hidden == Activation::Sigmoid;
            let builder = match cross_entropy {
                true => builder(units, hidden)
                    .output_activation(Activation::Sigmoid)
                    .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy),
                false => builder(units, hidden).pre_encoder_bias(true),
            };
            let x = samples(6, 50);
            let mut workspace = Workspace::new();
            let mut evaluate = |model: &SparseAutoencoder<f64>| {
                let mut gradient = vec![0.0; model.layout().len()];
                let loss = model
                    .loss_and_gradient(&x, &mut gradient, &mut workspace)
                    .unwrap();
                (loss, gradient)
            };
            let plain = builder.build().unwrap();
            let nested = builder.clone().matryoshka(prefixes).build().unwrap();
            let (loss, gradient) = evaluate(&nested);

            let mut sum = 0.0;
            let mut expected = vec![0.0; gradient.len()];
            let decoder = 6 * units + units..2 * 6 * units + units;
            for size in prefixes.into_iter().chain([units]) {
                let behind = decoder.start + 6 * size..decoder.end;
                let mut theta = plain.parameters().as_slice().to_vec();
                theta[behind.clone()].fill(0.0);
                let mut prefix = plain.clone();
                prefix.set_theta(&theta).unwrap();
                let (loss, mut gradient) = evaluate(&prefix);
                gradient[behind].fill(0.0); // there are no such columns
                sum += loss.reconstruction;
                expected.iter_mut().zip(gradient).for_each(|(e, g)| *e += g);
            }
            let name = format!("{units} {hidden:?}");
            assert!((loss.reconstruction - sum).abs() < 1e-12 * sum, "{name}");
            for (k, (g, e)) in gradient.iter().zip(&expected).enumerate() {
                assert!((g - e).abs() < 1e-12, "{name} {k}: {g} {e}");
            }
            // A loss alone is the same.
            assert_eq!(nested.loss(&x).unwrap().reconstruction, loss.reconstruction);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let x = samples(64, 500);
    for hidden in [Activation::TopK(4), Activation::Relu] {
        let theta = |threads| {
            let mut model = builder(512, hidden)
                .layers([64, 512])
                .matryoshka([30, 200])
                .penalty(L1)
                .penalty_weight(0.01)
                .build()
                .unwrap();
            Trainer::new(Adam::new(1e-2).unwrap())
                .epochs(2)
                .batch_size(250)
                .threads(threads)
                .fit(&mut model, &x)
                .unwrap();
            model.parameters().as_slice().to_vec()
        };
        let one = theta(1);
        for threads in [2, 3] {
            let same = |(a, b): (&f64, f64)| a.to_bits() == b.to_bits();
            assert!(one.iter().zip(theta(threads)).all(same), "{hidden:?}");
        }
    }
}

#[test]
fn the_first_units_reconstruct_more_than_without() {
    let x = samples(6, 300);
    let error_of_first = |prefixes: &[usize]| {
        let mut model = builder(24, Activation::BatchTopK(3))
            .matryoshka(prefixes)
            .build()
            .unwrap();
        Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(100)
            .batch_size(100)
            .fit(&mut model, &x)
            .unwrap();
        let mut hidden = model.encode(&x).unwrap();
        hidden.rows_mut(6, 18).fill(0.0);
        (model.decode(&hidden).unwrap() - &x).norm_squared()
    };
    assert!(2.0 * error_of_first(&[6]) < error_of_first(&[]));
}

#[test]
fn prefixes_ascend_below_the_number_of_units_of_one_layer() {
    let build = |sizes: &[usize]| builder(10, Activation::Relu).matryoshka(sizes).build();
    assert_eq!(build(&[1, 9]).unwrap().matryoshka(), [1, 9]);
    for (sizes, wrong) in [
        (&[0][..], 0.0),
        (&[3, 3], 3.0),
        (&[4, 2], 2.0),
        (&[10], 10.0),
        (&[2, 11], 11.0),
    ] {
        let error = build(sizes).unwrap_err();
        let expected = |name: &str, value: f64| name == "matryoshka" && value == wrong;
        assert!(
            matches!(error, Error::InvalidParameter { name, value, .. } if expected(name, value)),
            "{error}"
        );
    }
    let deep = builder(10, Activation::Relu)
        .layers([6, 10, 4])
        .matryoshka([2]);
    assert!(matches!(deep.build(), Err(Error::Incompatible { .. })));

    // A stack of one such model is that model; of several, a deep one without prefixes.
    let nested = builder(10, Activation::JumpRelu)
        .penalty(TargetL0)
        .matryoshka([2, 5])
        .build()
        .unwrap();
    let one = Stack::new(vec![nested.clone()]).unwrap();
    assert_eq!(one.unroll().unwrap().matryoshka(), [2, 5]);
    let above = SparseAutoencoder::builder()
        .layers([10, 4])
        .build()
        .unwrap();
    let two = Stack::new(vec![nested, above]).unwrap();
    assert_eq!(two.unroll().unwrap().matryoshka(), [0; 0]);
}
