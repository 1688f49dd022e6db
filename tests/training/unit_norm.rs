//! A trainer that keeps the columns of the decoder at norm 1.

use crate::common::fractions::fractions;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Initialization, L1, Sgd, SparseAutoencoder, Trainer, Workspace,
};

fn samples(input_size: usize, count: usize) -> DMatrix<f64> {
    fractions(input_size, count, |phase| phase)
}

fn model(layers: &[usize], tied: bool) -> SparseAutoencoder<f64> {
    SparseAutoencoder::builder()
        .layers(layers)
        .tied(tied)
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .initialization(Initialization::TransposedDecoder { norm: 1.0 })
        .penalty(L1)
        .penalty_weight(0.05)
        .seed(2)
        .build()
        .unwrap()
}

#[test]
fn every_column_has_norm_one_after_every_step() {
    for (layers, tied) in [(&[6, 40][..], false), (&[6, 40], true), (&[6, 9, 4], false)] {
        let mut model = model(layers, tied);
        let before = model.loss(samples(6, 60)).unwrap().total();
        Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(20)
            .batch_size(20)
            .unit_norm_decoder(true)
            .fit_with(&mut model, samples(6, 60), |epoch| {
                for layer in epoch.model.parameters().layers() {
                    for d in layer.decoder_weights.column_iter() {
                        // The square root and six quotients are rounded.
                        assert!((d.norm() - 1.0).abs() < 1e-14);
                    }
                }
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert!(model.loss(samples(6, 60)).unwrap().total() < before);
    }
}

#[test]
fn a_step_is_that_of_the_part_of_the_gradient_that_turns_the_columns() {
    let (rate, x) = (0.1, samples(5, 30));
    let mut model = model(&[5, 7], false);
    // Columns of another norm: what lengthens them is still what lies along them.
    let mut theta = model.parameters().as_slice().to_vec();
    for theta in &mut theta[35 + 7..35 + 7 + 35] {
        *theta *= 1.5;
    }
    model.set_theta(&theta).unwrap();
    let mut gradient = vec![0.0; theta.len()];
    model
        .loss_and_gradient(&x, &mut gradient, &mut Workspace::new())
        .unwrap();
    let mut expected: Vec<f64> = theta
        .iter()
        .zip(&gradient)
        .map(|(theta, g)| theta - rate * g)
        .collect();
    for j in 0..7 {
        let column = 42 + 5 * j..42 + 5 * (j + 1);
        let (d, g) = (&theta[column.clone()], &gradient[column.clone()]);
        let along =
            d.iter().zip(g).map(|(d, g)| d * g).sum::<f64>() / d.iter().map(|d| d * d).sum::<f64>();
        let moved: Vec<f64> = d
            .iter()
            .zip(g)
            .map(|(d, g)| d - rate * (g - along * d))
            .collect();
        let norm = moved.iter().map(|d| d * d).sum::<f64>().sqrt();
        for (to, moved) in expected[column].iter_mut().zip(&moved) {
            *to = moved / norm;
        }
    }
    Trainer::new(Sgd::new(rate).unwrap())
        .unit_norm_decoder(true)
        .partial_fit(&mut model, &x)
        .unwrap();
    for (actual, expected) in model.parameters().as_slice().iter().zip(&expected) {
        assert!((actual - expected).abs() < 1e-14, "{actual} {expected}");
    }
}

/// The squares of such columns vanish, or overflow.
#[test]
fn columns_of_any_length_are_brought_to_norm_one() {
    for size in [1e-40_f32, 1e-25, 1e-20, 1.0, 1e20, 1e30, 1e37] {
        let mut model = SparseAutoencoder::<f32>::builder()
            .layers([6, 4])
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .penalty(())
            .build()
            .unwrap();
        let mut theta = model.parameters().as_slice().to_vec();
        if size > 1e18 {
            theta[..24].fill(0.0); // no unit is active, so that the loss does not overflow
            theta[24..28].fill(-1.0);
        }
        for theta in &mut theta[24 + 4..24 + 4 + 24] {
            *theta = theta.signum() * size;
        }
        model.set_theta(&theta).unwrap();
        let rate = if size < 1.0 {
            f64::from(size) * 1e-3
        } else {
            1e-6
        };
        let x = samples(6, 30).map(|x| x as f32 / size.max(1.0));
        Trainer::new(Sgd::new(rate.max(1e-30)).unwrap())
            .unit_norm_decoder(true)
            .partial_fit(&mut model, &x)
            .unwrap();
        for d in model
            .parameters()
            .layers()
            .next()
            .unwrap()
            .decoder_weights
            .column_iter()
        {
            assert!((d.norm() - 1.0).abs() < 1e-6, "{size:e}: {}", d.norm());
        }
    }
}
