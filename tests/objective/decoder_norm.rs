//! The norms of the decoder's columns, folded into the units.

use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Activation, Error, Real, SparseAutoencoder};

fn model<T: Real>(
    hidden: Activation,
    layers: &[usize],
    centered: bool,
    tied: bool,
) -> Result<SparseAutoencoder<T>, Error> {
    let mut model = SparseAutoencoder::builder()
        .layers(layers)
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .pre_encoder_bias(centered)
        .tied(tied)
        .penalty(())
        .build()?;
    let mut theta = model.parameters().as_slice().to_vec();
    for (index, value) in theta.iter_mut().enumerate() {
        let phase = f64::of_count(index * 17 + 1) * 0.618_033_988_749_895;
        *value += T::of(0.6 * (phase.fract() - 0.4));
    }
    model.set_theta(&theta)?;
    Ok(model)
}

fn samples<T: Real>() -> DMatrix<T> {
    DMatrix::from_fn(5, 40, |i, j| {
        T::of((f64::of_count(i * 40 + j) * 1.3).sin() * 2.0)
    })
}

/// The column norms of the innermost decoder.
fn norms<T: Real>(model: &SparseAutoencoder<T>) -> Vec<f64> {
    let innermost = model.layout().depth() - 1;
    let decoder = model.parameters().layer(innermost).unwrap().decoder_weights;
    let column = |j| -> f64 { decoder.column(j).iter().map(|d| d.to_f64().powi(2)).sum() };
    (0..decoder.ncols()).map(|j| column(j).sqrt()).collect()
}

/// Tolerance: values of order one, by a hundred roundings of f64 or f32.
fn check<T: Real>(hidden: Activation, tolerance: f64) -> usize {
    let mut folded = 0;
    for layers in [&[5, 9][..], &[5, 7, 9]] {
        for (centered, tied) in [(false, false), (true, false), (false, true), (true, true)] {
            let Ok(mut model) = model::<T>(hidden, layers, centered, tied) else {
                continue;
            };
            let case = format!("{hidden:?} {layers:?} {centered} {tied}");
            let before = model.clone();
            let result = model.fold_decoder_norm();
            let scales = matches!(
                hidden,
                Activation::Relu | Activation::Identity | Activation::JumpRelu | Activation::Gated
            );
            if tied || !scales {
                match result.unwrap_err() {
                    Error::UnsupportedActivation { activation, .. } if !scales => {
                        assert_eq!(activation, hidden);
                    }
                    Error::Incompatible { other, .. } if scales => {
                        assert_eq!(other, "tied weights");
                    }
                    error => panic!("{case}: {error}"),
                }
                assert_eq!(model.parameters(), before.parameters(), "{case}");
                continue;
            }
            result.unwrap();
            let x = samples();
            let of_units = norms(&before);
            assert!(
                norms(&model)
                    .iter()
                    .all(|norm| (norm - 1.0).abs() < tolerance)
            );
            let mut expected = before.encode(&x).unwrap();
            for (mut row, norm) in expected.row_iter_mut().zip(of_units) {
                row.iter_mut().for_each(|h| *h = T::of(h.to_f64() * norm));
            }
            let active = expected.iter().filter(|h| **h != T::zero()).count();
            assert!(active > expected.len() / 10, "{case}: {active} are active");
            let error = |a: DMatrix<T>, b: &DMatrix<T>| (a - b).amax().to_f64();
            let difference = error(model.encode(&x).unwrap(), &expected);
            assert!(difference < tolerance, "{case}: {difference:e}");
            let reconstructed = before.reconstruct(&x).unwrap();
            let difference = error(model.reconstruct(&x).unwrap(), &reconstructed);
            assert!(difference < tolerance, "{case}: {difference:e}");
            folded += 1;
        }
    }
    folded
}

#[test]
fn units_take_over_the_norms_of_the_decoder_or_are_refused() {
    let mut folded = 0;
    for &hidden in ACTIVATIONS {
        folded += check::<f64>(hidden, 1e-12);
        folded += check::<f32>(hidden, 1e-4);
    }
    assert!(folded >= 4 * 2 * 3, "{folded}");
}

#[test]
fn columns_of_any_length_become_one() {
    let mut model = model::<f64>(Activation::Relu, &[5, 9], false, false).unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    let first = theta.len() - 5 - 5 * 9;
    let decoder = &mut theta[first..first + 5 * 9];
    decoder[..5].fill(0.0);
    decoder[5..10].fill(1e-200);
    decoder[10..15].fill(1e150);
    model.set_theta(&theta).unwrap();
    let before = norms(&model);
    let encoder = |model: &SparseAutoencoder<f64>| model.parameters().as_slice()[..5].to_vec();
    let unused = encoder(&model);
    assert!(before[0] <= 0.0, "{before:?}");
    model.fold_decoder_norm().unwrap();
    let after = norms(&model);
    assert!(
        after[0] <= 0.0 && after[1..].iter().all(|norm| (norm - 1.0).abs() < 1e-12),
        "{after:?}"
    );
    assert_eq!(encoder(&model), unused);

    // Weights that would be too large.
    let mut theta = model.parameters().as_slice().to_vec();
    theta[..5 * 9].fill(1e200);
    theta[first..first + 5 * 9].fill(1e200);
    model.set_theta(&theta).unwrap();
    assert!(matches!(
        model.fold_decoder_norm(),
        Err(Error::NonFinite { .. })
    ));
    assert_eq!(model.parameters().as_slice(), theta);
}
