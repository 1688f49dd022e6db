//! Where models start: the distribution of the first weights, and which one the activations choose.

use sparse_autoencoder::nalgebra::DMatrixView;
use sparse_autoencoder::{
    Activation, Initialization, Parameters, Real, SparseAutoencoder, SparseAutoencoderBuilder,
};

use crate::common::variants::{ACTIVATIONS, outputs};

#[test]
fn models_of_both_scalars_start_equal_up_to_one_rounding() {
    for initialization in [
        Initialization::Glorot,
        Initialization::TransposedDecoder { norm: 1.0 },
    ] {
        for tied in [false, true] {
            fn start<T: Real>(initialization: Initialization, tied: bool) -> Parameters<T> {
                let builder = SparseAutoencoder::builder().layers([7, 9, 4]).seed(5);
                let builder = builder.initialization(initialization).tied(tied);
                builder.build().unwrap().into_parameters()
            }
            let single = start::<f32>(initialization, tied);
            let double = start::<f64>(initialization, tied);
            assert_eq!(single.layout(), double.layout());
            assert!(double.as_slice().iter().filter(|&&w| w != 0.0).count() > 90);
            for (&s, &d) in single.as_slice().iter().zip(double.as_slice()) {
                assert_eq!(s.to_bits(), (d as f32).to_bits(), "{s} {d}");
            }
        }
    }
}

/// Returns the initialization that suits a model of these activations and layer sizes, as documented.
fn suited(
    [hidden, output]: [Activation; 2],
    layers: &[usize],
    is_transcoder: bool,
) -> Initialization {
    use Activation::{
        AbsTopK, BatchTopK, Gated, Identity, JumpRelu, Relu, TopK, TopProportion, WinnerTakeAll,
    };
    let &[inputs, units] = layers else {
        return Initialization::Glorot;
    };
    let norm = match hidden {
        Relu | JumpRelu | Gated if is_transcoder => 0.6,
        Relu | JumpRelu | Gated => (2.0 * inputs as f64 / units as f64).sqrt().min(1.0),
        TopK(_) | AbsTopK(_) | TopProportion(_) | BatchTopK(_) | WinnerTakeAll(_) => {
            if is_transcoder {
                0.6
            } else {
                0.1
            }
        }
        _ => return Initialization::Glorot,
    };
    match output {
        Identity => Initialization::TransposedDecoder { norm },
        _ => Initialization::Glorot,
    }
}

fn builder([hidden, output]: [Activation; 2], layers: &[usize]) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers(layers)
        .hidden_activation(hidden)
        .output_activation(output)
        .penalty(())
        .seed(5)
}

fn start(builder: SparseAutoencoderBuilder<f64>) -> Parameters<f64> {
    builder.build().unwrap().into_parameters()
}

/// Every hidden activation under every output.
fn activations() -> impl Iterator<Item = [Activation; 2]> {
    let of = |&hidden: &Activation| outputs().into_iter().map(move |output| [hidden, output]);
    ACTIVATIONS.iter().flat_map(of)
}

/// Asserts that a builder without an initialization chooses this one, and that a setting wins. Returns the start.
fn assert_chosen(
    builder: &SparseAutoencoderBuilder<f64>,
    suited: Initialization,
) -> Parameters<f64> {
    let chosen = start(builder.clone());
    let with = |initialization| start(builder.clone().initialization(initialization));
    assert_eq!(chosen, with(suited), "{builder:?}");
    let set = with(Initialization::TransposedDecoder { norm: 0.7 });
    assert_ne!(set, chosen);
    assert_ne!(with(Initialization::Glorot), set);
    chosen
}

/// Asserts that the columns, one for each unit, have this norm.
fn assert_norms(columns: DMatrixView<'_, f64>, norm: f64) {
    let off = |norm_of: f64| (norm_of - norm).abs() > 1e-12;
    assert!(!columns.column_iter().any(|column| off(column.norm())));
}

#[test]
fn the_activations_choose_an_initialization_that_is_not_set() {
    // The norm of ReLU units is at most 1, and below with many units.
    let below = suited([Activation::Relu, Activation::Identity], &[4, 64], false);
    let norm = 0.125_f64.sqrt();
    assert_eq!(below, Initialization::TransposedDecoder { norm });
    for activations in activations() {
        for (layers, tied) in [
            (&[5, 9][..], false),
            (&[5, 9], true),
            (&[4, 64], false),
            (&[4, 64], true),
            (&[5, 9, 40], false),
        ] {
            let builder = builder(activations, layers).tied(tied);
            if builder.clone().build().is_err() {
                assert!(layers.len() > 2, "{activations:?}");
                continue;
            }
            let suited = suited(activations, layers, false);
            let chosen = assert_chosen(&builder, suited);
            if let Initialization::TransposedDecoder { norm } = suited {
                let layer = chosen.layer(0).unwrap();
                assert_norms(layer.decoder_weights, norm);
                assert_eq!(layer.decoder_weights, layer.encoder_weights);
            }
        }
    }
}

/// Whose output is elsewhere: it starts at 0, however many units there are.
#[test]
fn the_activations_choose_the_initialization_of_a_transcoder() {
    for activations in activations() {
        for layers in [&[5, 9][..], &[4, 64], &[5, 9, 40]] {
            let builder = builder(activations, layers).output_size(3);
            if builder.clone().build().is_err() {
                assert!(layers.len() > 2, "{activations:?}");
                continue;
            }
            let suited = suited(activations, layers, true);
            let chosen = assert_chosen(&builder, suited);
            let layer = chosen.layer(0).unwrap();
            if let Initialization::TransposedDecoder { norm } = suited {
                assert_norms(layer.encoder_weights, norm);
                assert!(layer.decoder_weights.iter().all(|&w| w == 0.0));
            } else {
                assert!(layer.decoder_weights.iter().any(|&w| w != 0.0));
            }
        }
    }
}
