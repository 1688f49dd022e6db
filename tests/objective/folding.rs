//! A model that has learned from scaled samples, made one of samples as they are.

#![allow(clippy::float_cmp, reason = "a factor of exactly 1 scales nothing")]

use crate::common::variants::{self, INPUT, Variant, inputs, variants};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Error, Layer, Parameters, Scaler, Scaling, SparseAutoencoder,
};

/// Features of different means, up to 130, and spreads.
fn samples() -> DMatrix<f64> {
    let mut samples = variants::samples(40);
    for (i, mut row) in samples.row_iter_mut().enumerate() {
        row.apply(|x| *x = 40.0 * i as f64 - 30.0 + (3.0 + i as f64) * *x);
    }
    samples
}

fn scalers(x: &DMatrix<f64>) -> [Scaler<f64>; 6] {
    [
        Scaling::standard().fit(x).unwrap(),
        Scaling::min_max(0.1, 0.9).fit(x).unwrap(),
        Scaling::mean_norm((INPUT as f64).sqrt()).fit(x).unwrap(),
        Scaling::mean_distance(3.0).fit(x).unwrap(),
        Scaler::new(
            &[1.0, -2.0, 30.0, 4.0, 0.0],
            &[0.1, 2.0, 0.3, 0.04, 0.5],
            &[0.3; 5],
        )
        .unwrap(),
        // What only moves the samples is no problem for tied weights.
        Scaler::new(&[-28.0, 12.0, 53.0, 94.0, 135.0], &[1.0; 5], &[0.5; 5]).unwrap(),
    ]
}

/// What a model cannot be folded for: an output in a range of its own, and weights that would be scaled
/// in opposite ways.
fn is_refused(variant: &Variant, scaler: &Scaler<f64>) -> bool {
    let scales = scaler.factors().iter().any(|&f| f != 1.0);
    variant.output != Activation::Identity || variant.tied && scales
}

/// Learned from scaled samples and folded is the scaler and the model.
///
/// Tolerance: the products of five features of up to 200, in units of the spreads, and weights of about one
/// have rounding errors of 1e-13, and add up to activations below ten in each of at most two layers: 1e-11
/// has a digit to spare. Reconstructions are scaled back, by up to 25. What is forgotten is off by a
/// hundredth and more, as every parameter is.
#[test]
fn a_folded_model_gives_what_the_model_of_scaled_samples_gave() {
    let x = samples();
    let mut folded = 0;
    for scaler in scalers(&x) {
        let scaled = scaler.apply(&x).unwrap();
        for variant in variants() {
            if variant.output != Activation::Identity {
                let mut model = variant.model::<f64>();
                let before = model.clone();
                let error = model.fold(&scaler).unwrap_err();
                assert!(matches!(error, Error::Incompatible { .. }), "{error}");
                assert_eq!(model.parameters(), before.parameters());
                continue;
            }
            let mut model = variant.trained::<f64>(&scaled);
            let before = model.clone();
            let result = model.fold(&scaler);
            if is_refused(&variant, &scaler) {
                let error = result.unwrap_err();
                assert!(matches!(error, Error::Incompatible { .. }), "{error}");
                assert_eq!(model.parameters(), before.parameters());
                continue;
            }
            result.unwrap();
            folded += 1;
            let (input, scaled_input) = (inputs(&model, &x), inputs(&model, &scaled));
            let hidden = before.encode(&scaled_input).unwrap();
            let difference = (model.encode(&input).unwrap() - &hidden).amax();
            assert!(difference < 1e-11, "{variant:?}: {difference:e}");
            // Below the targets of a transcoder, any values.
            let first = model.layout().sample_entries() - model.layout().output_size();
            let output = before.reconstruct(&scaled_input).unwrap();
            let inverted = scaler.invert(output.insert_rows(0, first, 0.0)).unwrap();
            let expected = inverted.remove_rows(0, first);
            let difference = (model.reconstruct(&input).unwrap() - expected).amax();
            assert!(difference < 1e-9, "{variant:?}: {difference:e}");
        }
    }
    assert!(folded > 2000, "{folded}");
}

#[test]
fn a_scaler_that_changes_nothing_folds_into_every_model() {
    let scaler = Scaler::new(&[0.5; INPUT], &[1.0; INPUT], &[0.5; INPUT]).unwrap();
    for variant in variants() {
        let mut model = variant.model::<f64>();
        let before = model.clone();
        model.fold(&scaler).unwrap();
        assert_eq!(model.parameters(), before.parameters());
    }
}

/// One gated unit that has learned of (x − 5)/1.22: its gate and its magnitude both see what is scaled.
#[test]
fn both_biases_of_a_gated_unit_are_shifted() {
    let layer = Layer {
        encoder_weights: DMatrix::from_element(1, 1, 1.0),
        encoder_bias: DVector::from_element(1, 0.5),
        decoder_weights: Some(DMatrix::from_element(1, 1, 1.0)),
        decoder_bias: DVector::from_element(1, 0.0),
    };
    let parameters = Parameters::from_layers(&[layer])
        .unwrap()
        .for_activations(&[Activation::Gated])
        .and_then(|p| p.with_block(0, "log_magnitude", &DVector::from_element(1, 2.0_f64.ln())))
        .and_then(|p| p.with_block(0, "magnitude_bias", &DVector::from_element(1, -0.25)))
        .unwrap();
    let mut model = SparseAutoencoder::builder()
        .parameters(parameters)
        .hidden_activation(Activation::Gated)
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let scaler = Scaler::new(&[5.0], &[2.0], &[0.0]).unwrap();
    model.fold(&scaler).unwrap();
    // u = 2 (x − 5) is −2, −0.4, 0.2, and 2, and h is 2 u − 0.25 where u > −0.5, if that is above 0.
    let hidden = model
        .encode(DMatrix::from_row_slice(1, 4, &[4.0, 4.8, 5.1, 6.0]))
        .unwrap();
    let expected = DMatrix::from_row_slice(1, 4, &[0.0, 0.0, 0.15, 3.75]);
    assert!((&hidden - expected).amax() < 1e-14, "{hidden}");
}

#[test]
fn what_cannot_be_folded_leaves_the_model_alone() {
    let x = samples();
    let refused = |input_size, scaler: &Scaler<f64>| {
        let mut model = SparseAutoencoder::builder()
            .layers([input_size, 9])
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .penalty(())
            .build()
            .unwrap();
        let before = model.clone();
        let error = model.fold(scaler).unwrap_err();
        assert_eq!(model.parameters(), before.parameters());
        error
    };
    let error = refused(6, &Scaling::standard().fit(&x).unwrap());
    let expected = Error::DimensionMismatch {
        what: "features of the scaler",
        expected: 6,
        actual: 5,
    };
    assert_eq!(error, expected);
    let far = Scaler::new(&[f64::MAX; 5], &[2.0; 5], &[0.0; 5]).unwrap();
    let error = refused(5, &far);
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");
}
