//! A model that has learned from scaled samples, made one of samples as they are.

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, L1, Scaler, Scaling, SparseAutoencoder, SparseAutoencoderBuilder,
    Trainer,
};

fn samples() -> DMatrix<f64> {
    DMatrix::from_fn(5, 80, |i, j| {
        let phase = (i * 31 + j * 17 + 1) as f64 * 0.618_033_988_749_895;
        40.0 * i as f64 - 30.0 + (3.0 + i as f64) * phase.fract()
    })
}

fn builder(hidden: Activation) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .penalty(())
}

/// A trained model of samples that are scaled so.
fn trained(
    builder: &SparseAutoencoderBuilder<f64>,
    scaler: &Scaler<f64>,
) -> SparseAutoencoder<f64> {
    let mut model = builder.build().unwrap();
    Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(20)
        .batch_size(20)
        .fit(&mut model, scaler.apply(&samples()).unwrap())
        .unwrap();
    model
}

/// Tolerance: activations of order one, of numbers of order a hundred.
#[test]
fn a_folded_model_gives_what_the_model_of_scaled_samples_gave() {
    let x = samples();
    let odd = Scaler::new(
        &[1.0, -2.0, 30.0, 4.0, 0.0],
        &[0.1, 2.0, 0.3, 4.0, 0.5],
        &[0.3; 5],
    );
    for scaler in [
        Scaling::standard().fit(&x).unwrap(),
        Scaling::min_max(0.1, 0.9).fit(&x).unwrap(),
        Scaling::mean_norm(5.0_f64.sqrt()).fit(&x).unwrap(),
        odd.unwrap(),
    ] {
        for (hidden, layers, centred) in [
            (Activation::Relu, &[5, 9][..], false),
            (Activation::Relu, &[5, 9], true),
            (Activation::Sigmoid, &[5, 9, 4], true),
            (Activation::TopK(3), &[5, 90], true),
            (Activation::BatchTopK(3), &[5, 9], false),
            (Activation::JumpRelu, &[5, 9], true),
            (Activation::Gated, &[5, 9], true),
        ] {
            let builder = builder(hidden).layers(layers).pre_encoder_bias(centred);
            let mut model = trained(&builder, &scaler);
            let scaled = scaler.apply(&x).unwrap();
            let hidden_before = model.encode(&scaled).unwrap();
            let before = scaler.invert(&model.reconstruct(&scaled).unwrap()).unwrap();
            model.fold(&scaler).unwrap();
            let difference = (model.encode(&x).unwrap() - hidden_before).amax();
            assert!(difference < 1e-11, "{hidden:?} {centred}: {difference:e}");
            let difference = (model.reconstruct(&x).unwrap() - before).amax();
            assert!(difference < 1e-9, "{hidden:?} {centred}: {difference:e}");
        }
    }
}

#[test]
fn what_cannot_be_folded_is_refused_and_left_alone() {
    let x = samples();
    let standard = Scaling::standard().fit(&x).unwrap();
    let refused = |builder: SparseAutoencoderBuilder<f64>, scaler: &Scaler<f64>| {
        let mut model = builder.penalty(L1).build().unwrap();
        let before = model.clone();
        let error = model.fold(scaler).unwrap_err();
        assert_eq!(model.parameters(), before.parameters());
        error
    };
    let relu = |layers| builder(Activation::Relu).layers(layers);
    let error = refused(relu([6, 9]), &standard);
    assert!(
        matches!(
            error,
            Error::DimensionMismatch {
                expected: 6,
                actual: 5,
                ..
            }
        ),
        "{error}"
    );
    for builder in [
        relu([5, 9]).output_activation(Activation::Sigmoid),
        relu([5, 9]).tied(true),
    ] {
        let error = refused(builder, &standard);
        assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    }
    let far = Scaler::new(&[f64::MAX; 5], &[2.0; 5], &[0.0; 5]).unwrap();
    let error = refused(relu([5, 9]), &far);
    assert!(matches!(error, Error::NonFinite { .. }), "{error}");

    // What only moves the samples is no problem for tied weights.
    let moved = Scaler::new(&[1.0; 5], &[1.0; 5], &[0.5; 5]).unwrap();
    let mut tied = relu([5, 9]).tied(true).build().unwrap();
    let before = tied.encode(&moved.apply(&x).unwrap()).unwrap();
    tied.fold(&moved).unwrap();
    assert!((tied.encode(&x).unwrap() - before).amax() < 1e-11);
}
