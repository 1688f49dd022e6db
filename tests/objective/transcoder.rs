//! Transcoders: an output of its own, and a skip connection.

use crate::common::fractions::fractions;
use crate::common::variants::{
    ACTIVATIONS, INPUT, Shape, TRANSCODED, Variant, blocks, fits, samples, variants,
};
use crate::gradients::off_the_kinks;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Error, L1, Layer, Layout, Loss, Parameters, ReconstructionLoss, Samples,
    SparseAutoencoder, SparseAutoencoderBuilder, Stack, Workspace, gradient_check,
};

fn pairs(entries: usize, count: usize) -> DMatrix<f64> {
    fractions(entries, count, |phase| 0.05 + 0.9 * phase)
}

fn evaluated(model: &SparseAutoencoder<f64>, samples: &DMatrix<f64>) -> (Loss<f64>, Vec<f64>) {
    let mut gradient = vec![f64::NAN; model.layout().len()];
    let workspace = &mut Workspace::new();
    let loss = model
        .loss_and_gradient(samples, &mut gradient, workspace)
        .unwrap();
    (loss, gradient)
}

/// Tolerance: as in `gradients.rs`.
#[test]
fn every_gradient_agrees_with_central_differences() {
    let own = |f: &&Activation| !blocks(**f, 7).contains(&7); // others have pseudo-derivatives
    let mut checked = 0;
    for &hidden in ACTIVATIONS.iter().filter(own) {
        // More units: on the sparse path. Outputs smaller and larger than the input.
        for (layers, prefixes) in [
            (vec![5, 7], vec![]),
            (vec![5, 80], vec![]),
            (vec![5, 6, 4], vec![]),
            (vec![5, 7], vec![1, 4]),
            (vec![5, 80], vec![3, 20, 70]),
        ] {
            for output_size in [3, 8] {
                for skip in [false, true] {
                    for (output, loss) in [
                        (Activation::Identity, ReconstructionLoss::SquaredError),
                        (Activation::Tanh, ReconstructionLoss::SquaredError),
                        (Activation::Sigmoid, ReconstructionLoss::BinaryCrossEntropy),
                    ] {
                        let builder = SparseAutoencoder::builder()
                            .layers(layers.clone())
                            .output_size(output_size)
                            .skip(skip)
                            .hidden_activation(hidden)
                            .output_activation(output)
                            .reconstruction_loss(loss)
                            .matryoshka(prefixes.clone())
                            .penalty(L1)
                            .penalty_weight(0.1)
                            .norm_weighted(hidden.range().is_none())
                            .weight_decay(0.01)
                            .seed(3);
                        let mut model = builder.build().unwrap();
                        off_the_kinks(&mut model);
                        let x = pairs(5 + output_size, 6);
                        let check = gradient_check::model(&model, x).unwrap();
                        let error = check.relative_error();
                        assert!(
                            error < 1e-7,
                            "{layers:?} {prefixes:?} to {output_size}, skip {skip}, {hidden:?} \
                             {output:?}: {error:e}, worst {:?}",
                            check.worst()
                        );
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked >= 10 * 5 * 2 * 2 * 3, "{checked}");
}

/// With its input as the target, a transcoder computes what the autoencoder does, bit for bit.
#[test]
fn a_transcoder_to_its_input_is_an_autoencoder() {
    let x = samples::<f64>(20);
    let twice = DMatrix::from_fn(2 * INPUT, 20, |i, j| x[(i % INPUT, j)]);
    let mut compared = 0;
    for variant in variants() {
        let model = variant.trained::<f64>(&x);
        if model.layout().is_transcoder() || variant.tied || variant.pre_encoder_bias {
            continue;
        }
        let builder = variant.builder::<f64>().output_size(INPUT);
        let mut transcoder = builder.build().unwrap();
        transcoder.set_theta(model.parameters().as_slice()).unwrap();
        assert_eq!(
            evaluated(&model, &x),
            evaluated(&transcoder, &twice),
            "{variant:?}"
        );
        assert_eq!(
            model.reconstruct(&x).unwrap(),
            transcoder.reconstruct(&x).unwrap()
        );
        let errors = transcoder.reconstruction_errors(&twice).unwrap();
        assert_eq!(model.reconstruction_errors(&x).unwrap(), errors);
        compared += 1;
    }
    assert!(compared > 200, "{compared}");
}

/// The autoencoder of inputs and targets together whose encoder sees only the inputs and whose decoder gives only the
/// targets has the gradient of a transcoder, also where that is no derivative.
///
/// Tolerance: gradients are of order one, and differ by the rounding of sums of a few terms more, which are 0.
#[test]
fn a_transcoder_is_an_autoencoder_of_inputs_and_targets() {
    let x = samples::<f64>(20);
    let mut compared = 0;
    for variant in variants().iter().filter(|v| v.shape == Shape::Transcoder) {
        let mut transcoder = variant.builder::<f64>().skip(false).build().unwrap();
        off_the_kinks(&mut transcoder);
        let together = Variant {
            shape: Shape::Wide,
            ..variant.clone()
        };
        let mut model = together.builder::<f64>().build().unwrap();
        // Where each parameter of the transcoder is among those of the autoencoder, unit by unit.
        let units = model.layout().hidden_size();
        let targets = INPUT - TRANSCODED;
        let encoder = (0..units * TRANSCODED).map(|k| k / TRANSCODED * INPUT + k % TRANSCODED);
        let biases = INPUT * units..(INPUT + 1) * units;
        let start = biases.end;
        let decoder =
            (0..units * targets).map(|k| start + k / targets * INPUT + TRANSCODED + k % targets);
        let rest = start + units * INPUT + TRANSCODED..model.layout().len();
        let places: Vec<usize> = encoder.chain(biases).chain(decoder).chain(rest).collect();
        assert_eq!(places.len(), transcoder.layout().len(), "{variant:?}");
        let mut theta = vec![0.0; model.layout().len()];
        for (&place, &value) in places.iter().zip(transcoder.parameters().as_slice()) {
            theta[place] = value;
        }
        model.set_theta(&theta).unwrap();

        let (loss, gradient) = evaluated(&transcoder, &x);
        let (of_both, all) = evaluated(&model, &x);
        assert!(
            (loss.sparsity - of_both.sparsity).abs() < 1e-14,
            "{variant:?}"
        );
        assert!((loss.weight_decay - of_both.weight_decay).abs() < 1e-14);
        assert!(gradient.iter().any(|&g| g != 0.0));
        for (k, (&place, g)) in places.iter().zip(gradient).enumerate() {
            assert!(
                (g - all[place]).abs() < 1e-13,
                "{variant:?} {k}: {g} {}",
                all[place]
            );
        }
        compared += 1;
    }
    assert!(compared >= 100, "{compared}");
}

fn transcoder(hidden: Activation, prefixes: &[usize]) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([2, 40])
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .output_size(3)
        .matryoshka(prefixes)
        .penalty(L1)
        .penalty_weight(0.1)
        .bandwidth(0.5)
}

/// A skip connection does to the loss what subtracting S x from the target does. This holds for units whose gradients
/// are no derivatives, too.
///
/// Tolerance: the residuals are of about one, and differ by the rounding of a sum of two products.
#[test]
fn a_skip_connection_is_subtracted_from_the_targets() {
    let mut compared = 0;
    for &hidden in ACTIVATIONS.iter().filter(|f| fits(**f, 40)) {
        for prefixes in [&[][..], &[4, 20]] {
            let Ok(mut plain) = transcoder(hidden, prefixes).build() else {
                assert!(!prefixes.is_empty(), "{hidden:?}"); // units that cannot be nested
                continue;
            };
            off_the_kinks(&mut plain);
            let mut with_skip = transcoder(hidden, prefixes).skip(true).build().unwrap();
            // S lies before the blocks of the units.
            let (layout, mut theta) = (plain.layout(), plain.parameters().as_slice().to_vec());
            let place = Layout::transcoder(layout.sizes(), 3, false).unwrap().len();
            let s = [0.3, -0.2, 0.5, -0.7, 0.1, 0.4];
            theta.splice(place..place, s);
            with_skip.set_theta(&theta).unwrap();
            let s = DMatrix::from_column_slice(3, 2, &s);
            assert_eq!(with_skip.parameters().skip().unwrap(), s);

            let x = samples::<f64>(20);
            let mut moved = x.clone();
            let change = &s * x.rows(0, 2);
            let mut targets = moved.rows_mut(2, 3);
            targets -= &change;
            let (loss, gradient) = evaluated(&with_skip, &x);
            let (expected, mut other) = evaluated(&plain, &moved);
            other.splice(place..place, gradient[place..place + 6].to_vec());
            let name = format!("{hidden:?} {prefixes:?}");
            assert!(
                (loss.total() - expected.total()).abs() < 1e-13,
                "{name}: {loss:?} {expected:?}"
            );
            for (k, (g, expected)) in gradient.iter().zip(other).enumerate() {
                assert!((g - expected).abs() < 1e-13, "{name} {k}: {g} {expected}");
            }
            // ∂S, without the frozen decoder, which holds S constant.
            for k in place..place + 6 {
                let at = |change: f64| {
                    let mut theta = theta.clone();
                    theta[k] += change;
                    let mut model = with_skip.clone();
                    model.set_theta(&theta).unwrap();
                    model.loss(&x).unwrap().reconstruction
                };
                let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((gradient[k] - numeric).abs() < 1e-8, "{name} {k}");
            }
            let predicted = plain.reconstruct(x.rows(0, 2)).unwrap() + change;
            let difference = (with_skip.reconstruct(x.rows(0, 2)).unwrap() - predicted).amax();
            assert!(difference < 1e-14, "{name}: {difference:e}");
            compared += 1;
        }
    }
    assert!(compared >= 18, "{compared}");
}

#[test]
fn parameters_of_a_transcoder_are_what_they_are_made_of() {
    let layer = Layer {
        encoder_weights: DMatrix::from_fn(2, 4, |i, j| (i + 3 * j) as f64),
        encoder_bias: DVector::from_fn(4, |j, _| 0.25 * j as f64),
        decoder_weights: Some(DMatrix::from_fn(3, 4, |i, j| -((5 * i + j) as f64))),
        decoder_bias: DVector::from_fn(3, |i, _| 7.0 + i as f64),
    };
    let s = DMatrix::from_fn(3, 2, |i, j| (i * 10 + j) as f64);
    let parameters = Parameters::from_transcoder(&layer, Some(&s)).unwrap();
    let view = parameters.layer(0).unwrap();
    assert_eq!(view.encoder_weights, layer.encoder_weights);
    assert_eq!(
        view.decoder_weights,
        *layer.decoder_weights.as_ref().unwrap()
    );
    assert_eq!(view.decoder_bias, layer.decoder_bias);
    assert_eq!(parameters.skip().unwrap(), s);
    let build = |of: &Parameters<f64>| {
        let builder = SparseAutoencoder::builder().parameters(of.clone());
        builder
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .penalty(())
    };
    let model = build(&parameters).build().unwrap();
    let x = DMatrix::from_fn(2, 5, |i, j| (i + j) as f64 - 2.0);
    let mut z = layer.encoder_weights.tr_mul(&x);
    for mut column in z.column_iter_mut() {
        column += &layer.encoder_bias;
    }
    let mut expected = layer.decoder_weights.as_ref().unwrap() * z.map(|z| z.max(0.0)) + &s * &x;
    for mut column in expected.column_iter_mut() {
        column += &layer.decoder_bias;
    }
    assert_eq!(model.reconstruct(&x).unwrap(), expected); // of numbers that are exact

    let refused = |builder: SparseAutoencoderBuilder<f64>| builder.build().unwrap_err();
    let without = Parameters::from_transcoder(&layer, None).unwrap();
    assert!(matches!(
        refused(build(&without).skip(true)),
        Error::Incompatible { .. }
    ));
    assert!(matches!(
        refused(build(&without).output_size(2)),
        Error::DimensionMismatch {
            expected: 2,
            actual: 3,
            ..
        }
    ));
    let square = Layout::new(&[3, 4], false).unwrap();
    let autoencoder = Parameters::new(square.clone(), vec![0.0; square.len()]).unwrap();
    assert!(matches!(
        refused(build(&autoencoder).output_size(3)),
        Error::Incompatible { .. }
    ));
    let tied = Layer {
        decoder_weights: None,
        ..layer.clone()
    };
    assert!(matches!(
        Parameters::from_transcoder(&tied, None).unwrap_err(),
        Error::Incompatible { .. }
    ));
    assert!(matches!(
        Parameters::from_transcoder(&layer, Some(&s.transpose())).unwrap_err(),
        Error::DimensionMismatch { .. }
    ));
    for place in (0..s.nrows()).flat_map(|i| (0..s.ncols()).map(move |j| (i, j))) {
        let mut invalid = s.clone();
        invalid[place] = f64::NAN;
        let error = Parameters::from_transcoder(&layer, Some(&invalid)).unwrap_err();
        let Error::NonFinite { row, column, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((row, column), place);
    }
}

#[test]
fn what_a_transcoder_cannot_be_is_refused() {
    let incompatible = |builder: SparseAutoencoderBuilder<f64>| {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    };
    let builder = transcoder(Activation::Relu, &[]);
    incompatible(builder.clone().tied(true));
    incompatible(builder.clone().pre_encoder_bias(true));
    incompatible(SparseAutoencoder::builder().layers([2, 4]).skip(true));
    assert!(matches!(
        builder.clone().output_size(0).build().unwrap_err(),
        Error::InvalidParameter {
            name: "output_size",
            ..
        }
    ));
    let model = builder.build().unwrap();
    let x = samples::<f64>(4);
    let refused = model.steer(x.rows(0, 2), &[0], |_, h| h).unwrap_err();
    assert!(matches!(refused, Error::Incompatible { .. }), "{refused}");
    let refused = Stack::new(vec![model.clone()]).unwrap_err();
    assert!(matches!(refused, Error::Incompatible { .. }), "{refused}");
    for rows in [2, 3, 4] {
        let error = model.loss(x.rows(0, rows)).unwrap_err();
        assert!(matches!(
            error,
            Error::DimensionMismatch { expected: 5, actual, .. } if actual == rows
        ));
        assert!(model.reconstruction_errors(x.rows(0, rows)).is_err());
    }
    assert!(model.encode(&x).is_err());
    let hidden = model.encode_on_read(x.rows(0, 2)).unwrap();
    assert_eq!(
        hidden.to_matrix().unwrap(),
        model.encode(x.rows(0, 2)).unwrap()
    );
}
