//! A trainer whose encoder biases learn at a rate of their own.

use crate::common::variants::{for_each_in_threads, samples};
use sparse_autoencoder::nalgebra::DVector;
use sparse_autoencoder::{Activation, Adam, SparseAutoencoder, Trainer};

fn encoder_biases(model: &SparseAutoencoder<f64>) -> Vec<DVector<f64>> {
    let mut biases = Vec::new();
    for layer in model.parameters().layers() {
        biases.push(layer.encoder_bias.into_owned());
        biases.extend(layer.block(MAGNITUDE_BIAS).map(|b| b.into_owned()));
    }
    biases
}

/// The second bias of `Gated` units.
const MAGNITUDE_BIAS: &str = "magnitude_bias";

fn other_parameters(model: &SparseAutoencoder<f64>) -> Vec<f64> {
    let mut others = Vec::new();
    for layer in model.parameters().layers() {
        others.extend(layer.encoder_weights.iter());
        others.extend(layer.decoder_weights.iter());
        others.extend(layer.decoder_bias.iter());
        for name in layer.block_names().filter(|&name| name != MAGNITUDE_BIAS) {
            others.extend(layer.block(name).unwrap());
        }
    }
    others
}

#[test]
fn the_biases_of_every_encoder_move_by_the_factor_and_nothing_else_does() {
    for_each_in_threads(|_, _, variant| {
        let start = variant.builder::<f64>().build().unwrap();
        let step = |set: fn(Trainer<f64>) -> Trainer<f64>| {
            let mut trainer = set(Trainer::new(Adam::new(1e-2).unwrap()));
            let mut model = start.clone();
            trainer.partial_fit(&mut model, samples::<f64>(20)).unwrap();
            model
        };
        let once = step(|trainer| trainer);
        let (never, thrice) = (step(|t| t.bias_rate(0.0)), step(|t| t.bias_rate(3.0)));

        let from = encoder_biases(&start);
        let tripled = from.iter().zip(encoder_biases(&once));
        let tripled: Vec<_> = tripled
            .map(|(from, to)| from.zip_map(&to, |from, to| from + 3.0 * (to - from)))
            .collect();
        assert_eq!(encoder_biases(&never), from, "{variant:?}");
        assert_eq!(encoder_biases(&thrice), tripled, "{variant:?}");
        assert_ne!(encoder_biases(&once), from, "{variant:?}");
        for other in [&never, &thrice] {
            assert_eq!(
                other_parameters(other),
                other_parameters(&once),
                "{variant:?}"
            );
        }
    });
}

#[test]
fn a_huge_rate_leaves_finite_biases() {
    for rate in [1e30, 1e38, 3e38] {
        let mut model = SparseAutoencoder::<f32>::builder()
            .layers([4, 6])
            .hidden_activation(Activation::Relu)
            .build()
            .unwrap();
        let mut trainer = Trainer::new(Adam::new(10.0).unwrap()).bias_rate(rate);
        let samples = samples::<f32>(20).rows(0, 4).into_owned();
        trainer.partial_fit(&mut model, &samples).unwrap();
        let finite = model.parameters().as_slice().iter().all(|x| x.is_finite());
        assert!(finite, "{rate:e}");
    }
}
