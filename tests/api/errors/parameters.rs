//! Parameters that do not fit a model.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use super::*;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{Layer, Layout, Parameters, SparseAutoencoder};

fn layer(below: usize, above: usize) -> Layer<f64> {
    Layer {
        encoder_weights: DMatrix::from_element(below, above, 0.5),
        encoder_bias: DVector::zeros(above),
        decoder_weights: Some(DMatrix::from_element(below, above, 0.25)),
        decoder_bias: DVector::zeros(below),
    }
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let layout = || Layout::new(&[3, 4], false).unwrap();
    let len = 3 * 4 + 4 + 3 * 4 + 3;
    assert_eq!(layout().len(), len);
    for wrong in [0, len - 1, len + 1] {
        let new = Parameters::new(layout(), vec![0.0_f32; wrong]);
        assert_mismatch(new, "parameters", len, wrong);
    }
    for value in NEVER {
        let mut theta = vec![0.0_f64; len];
        theta[17] = value;
        let new = Parameters::new(layout(), theta.clone());
        assert_non_finite(new, "parameters", (17, 0), value);

        let mut model = small::<f64>().build().unwrap();
        let before = bits(&model);
        assert_non_finite(model.set_theta(&theta), "parameters", (17, 0), value);
        assert_mismatch(model.set_theta(&theta[1..]), "parameters", len, len - 1);
        assert_eq!(bits(&model), before);
    }
}

#[test]
fn layers_of_parameters_that_do_not_fit_are_refused() {
    let fits = [layer(5, 4), layer(4, 2)];
    assert!(Parameters::from_layers(&fits).is_ok());
    let with = |change: &dyn Fn(&mut [Layer<f64>])| {
        let mut layers = fits.clone();
        change(&mut layers);
        Parameters::from_layers(&layers)
    };

    assert_invalid(
        Parameters::<f64>::from_layers(&[]),
        "layers",
        "at least an input and a hidden size",
        0.0,
    );
    for (below, above) in [(0, 4), (4, 0), (0, usize::MAX), (usize::MAX, 0)] {
        let empty = Layer {
            encoder_weights: DMatrix::zeros(below, above),
            encoder_bias: DVector::zeros(0),
            decoder_weights: None,
            decoder_bias: DVector::zeros(0),
        };
        let from_layers = Parameters::<f64>::from_layers(&[empty]);
        assert_invalid(from_layers, "layers", "sizes of at least 1", 0.0);
    }
    assert_incompatible(
        with(&|layers| layers[1].decoder_weights = None),
        "a layer with tied weights",
        "a layer without",
    );
    assert_incompatible(
        with(&|layers| layers[0].decoder_weights = None),
        "a layer with tied weights",
        "a layer without",
    );
    assert_mismatch(
        with(&|layers| layers[1].encoder_weights = DMatrix::zeros(3, 2)),
        "encoder weights of a layer",
        4,
        3,
    );
    // Claims 2⁵⁰ units and has the memory of none: refused before room is made for them.
    assert_mismatch(
        with(&|layers| layers[1].encoder_weights = DMatrix::zeros(0, 1 << 50)),
        "encoder weights of a layer",
        4,
        0,
    );
    assert_mismatch(
        with(&|layers| layers[0].encoder_bias = DVector::zeros(5)),
        "encoder bias of a layer",
        4,
        5,
    );
    assert_mismatch(
        with(&|layers| layers[1].decoder_weights = Some(DMatrix::zeros(2, 4))),
        "decoder weights of a layer",
        4,
        2,
    );
    assert_mismatch(
        with(&|layers| layers[0].decoder_weights = Some(DMatrix::zeros(5, 3))),
        "decoder weights of a layer",
        4,
        3,
    );
    assert_mismatch(
        with(&|layers| layers[1].decoder_bias = DVector::zeros(1)),
        "decoder bias of a layer",
        4,
        1,
    );
    for value in NEVER {
        // b₁ begins after W₀ (20), b₀ (4), and W₁ (8).
        let from_layers = with(&|layers| layers[1].encoder_bias[1] = value);
        assert_non_finite(from_layers, "parameters", (33, 0), value);
    }
}

#[test]
fn the_builder_refuses_parameters_of_other_layers() {
    let parameters = Parameters::from_layers(&[layer(5, 4), layer(4, 2)]).unwrap();
    let build = |layers: &[usize]| {
        let builder = SparseAutoencoder::builder().parameters(parameters.clone());
        builder.layers(layers).build()
    };
    assert!(build(&[5, 4, 2]).is_ok());
    assert_mismatch(build(&[5, 4]), "layers of the parameters", 2, 3);
    assert_mismatch(build(&[5, 4, 3]), "layers of the parameters", 3, 2);
    assert_mismatch(build(&[6, 4, 2]), "layers of the parameters", 6, 5);
}
