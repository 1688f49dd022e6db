//! What is saved is loaded again: every setting, and every bit of the parameters.

use std::fs;
use std::path::Path;

use sparse_autoencoder::files::{self, Note};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::{Description, HiddenBatch, HiddenGradient, Scaled};
use sparse_autoencoder::{
    Activation, Error, KlDivergence, L0, L1, Penalty, Proportion, Real, ReconstructionLoss,
    SparseAutoencoder, SparseAutoencoderBuilder, SquaredDeviation, Stack, TargetL0,
};

use crate::common::scratch::Scratch;
use crate::common::variants::{ACTIVATIONS, for_each_in_threads, outputs};

fn builder<T: Real>() -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder().layers([5, 7]).seed(3)
}

/// Data in (0, 1), for both losses.
fn samples<T: Real>() -> DMatrix<T> {
    DMatrix::from_fn(5, 9, |i, j| {
        T::of(0.5 + 0.4 * (f64::of_count(9 * i + j) * 0.9).sin())
    })
}

/// Everything of a model that can be seen.
fn assert_same<T: Real>(a: &SparseAutoencoder<T>, b: &SparseAutoencoder<T>) {
    assert_eq!(a.parameters(), b.parameters());
    assert_eq!(a.hidden_activations(), b.hidden_activations());
    assert_eq!(a.output_activation(), b.output_activation());
    assert_eq!(a.reconstruction_loss(), b.reconstruction_loss());
    assert_eq!(a.has_pre_encoder_bias(), b.has_pre_encoder_bias());
    assert_eq!(a.is_norm_weighted(), b.is_norm_weighted());
    assert_eq!(a.matryoshka(), b.matryoshka());
    assert_eq!(a.bandwidth(), b.bandwidth());
    assert_eq!(a.penalty().description(), b.penalty().description());
    // Terms of the objective, so that weights, targets, and penalized layers are compared too.
    let mut gradients = [a, b].map(|model| vec![T::zero(); model.layout().len()]);
    let losses = [a, b].map(|model| model.loss(samples()).unwrap());
    assert_eq!(losses[0], losses[1]);
    for (model, gradient) in [a, b].into_iter().zip(&mut gradients) {
        let mut workspace = sparse_autoencoder::Workspace::new();
        model
            .loss_and_gradient(samples(), gradient, &mut workspace)
            .unwrap();
    }
    assert_eq!(gradients[0], gradients[1]);
}

fn round_trip<T: Real>(model: &SparseAutoencoder<T>, path: &Path) {
    files::save(model, path).unwrap();
    let loaded = files::load::<SparseAutoencoder<T>>(path).unwrap();
    assert_eq!(loaded.notes, []);
    assert_same(model, &loaded.model);
    assert_eq!(model.settings(), loaded.model.settings());
}

#[test]
fn every_setting_is_kept() {
    let scratch = Scratch::new("settings");
    let path = scratch.file();
    let build = |builder: SparseAutoencoderBuilder<f64>| builder.build().unwrap();
    let plain = || builder::<f64>().penalty(());
    let mut models = vec![
        build(builder()),
        build(
            builder()
                .sparsity_target(0.1)
                .penalty_weight(0.3)
                .weight_decay(1e-3),
        ),
        build(builder().reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)),
        build(builder().tied(true)),
        build(builder().layers([5, 7, 3]).penalized_layers([1])),
        build(builder().layers([5, 7, 3]).tied(true).penalized_layers([])),
        build(plain().hidden_activation(Activation::Relu).penalty(L1)),
        build(
            plain()
                .hidden_activation(Activation::Relu)
                .penalty(Proportion),
        ),
        build(plain().penalty(SquaredDeviation)),
        build(
            plain()
                .hidden_activation(Activation::JumpRelu)
                .penalty(L0)
                .bandwidth(0.2),
        ),
        build(
            plain()
                .hidden_activation(Activation::JumpRelu)
                .penalty((TargetL0, L1)),
        ),
        build(
            plain()
                .layers([5, 7, 3])
                .hidden_activation(Activation::JumpRelu),
        ),
        build(plain().hidden_activation(Activation::Gated).penalty(L1)),
        build(
            plain()
                .layers([5, 7, 3])
                .hidden_activation(Activation::BatchTopK(2))
                .tied(true),
        ),
        build(
            plain()
                .output_activation(Activation::Identity)
                .pre_encoder_bias(true),
        ),
        build(
            plain()
                .hidden_activation(Activation::Relu)
                .penalty(L1)
                .norm_weighted(true)
                .matryoshka([2, 4]),
        ),
        build(plain().layers([5, 7, 6, 4]).hidden_activations([
            Activation::JumpRelu,
            Activation::Tanh,
            Activation::BatchTopK(2),
        ])),
        build(plain().penalty((
            KlDivergence,
            Scaled::new(0.1, (L1, Scaled::new(1.0 / 3.0, Proportion))),
        ))),
    ];
    for &activation in ACTIVATIONS {
        models.push(build(plain().hidden_activation(activation)));
    }
    let outputs = outputs().into_iter();
    models.extend(outputs.map(|output| build(plain().output_activation(output))));
    for model in &mut models {
        // Parameters that are no defaults: thresholds start at 0.
        let theta = model
            .parameters()
            .as_slice()
            .iter()
            .map(|value| value + 0.01);
        model.set_theta(&theta.collect::<Vec<_>>()).unwrap();
        round_trip(model, &path);
    }
}

#[test]
fn every_variant_gives_the_same_bits_when_it_is_loaded() {
    let x = samples();
    for_each_in_threads(|thread, _, variant| {
        let scratch = Scratch::new(&format!("variants-{thread}"));
        let path = scratch.file();
        let model = variant.trained::<f64>(&x);
        files::save(&model, &path).unwrap();
        let loaded = files::load::<SparseAutoencoder<f64>>(&path).unwrap();
        assert_eq!(loaded.notes, [], "{variant:?}");
        let loaded = loaded.model;
        assert_same(&model, &loaded);
        assert_eq!(loaded.encode(&x), model.encode(&x), "{variant:?}");
        assert_eq!(loaded.reconstruct(&x), model.reconstruct(&x), "{variant:?}");
    });
}

#[test]
fn a_stack_in_one_piece_keeps_the_activation_of_each_layer() {
    let scratch = Scratch::new("stack");
    let inner = builder::<f32>()
        .layers([7, 4])
        .hidden_activation(Activation::TopK(2));
    let inner = inner.output_activation(Activation::Identity);
    let stack = Stack::new(vec![builder().build().unwrap(), inner.build().unwrap()]).unwrap();
    let model = stack.unroll_penalized(SquaredDeviation, 0.2, 0.1).unwrap();
    assert_eq!(
        model.hidden_activations(),
        [Activation::Sigmoid, Activation::TopK(2)]
    );
    round_trip(&model, &scratch.file());
}

#[test]
fn the_scalars_convert() {
    let scratch = Scratch::new("scalars");
    let path = scratch.file();
    let single = builder::<f32>().penalty_weight(0.1).build().unwrap();
    files::save(&single, &path).unwrap();
    let double = files::load::<SparseAutoencoder<f64>>(&path).unwrap().model;
    let widened: Vec<f64> = single
        .parameters()
        .as_slice()
        .iter()
        .map(|&x| x.into())
        .collect();
    assert_eq!(double.parameters().as_slice(), widened);
    assert_eq!(
        double.penalty_weight().to_bits(),
        f64::from(0.1_f32).to_bits()
    );
    files::save(&double, &path).unwrap();
    assert_same(
        &files::load::<SparseAutoencoder<f32>>(&path).unwrap().model,
        &single,
    );
}

/// A penalty that no file knows.
#[derive(Debug)]
struct Odd(#[allow(dead_code)] f64); // read by `Debug`

impl<T: Real> Penalty<T> for Odd {
    fn accumulate(&self, _: &HiddenBatch<'_, T>, _: T, _: &mut HiddenGradient<'_, T>) -> T {
        T::one()
    }
}

#[test]
fn a_penalty_of_another_crate_is_noted() {
    let scratch = Scratch::new("penalty");
    let path = scratch.file();
    let model = builder::<f64>().penalty((L1, Odd(0.5))).build().unwrap();
    let custom = Description::Custom("Odd(0.5)".to_owned());
    let sum = Description::Sum(Box::new(Description::L1), Box::new(custom));
    assert_eq!(model.penalty().description(), sum);
    assert!(sum.penalty::<f64>().is_none());

    files::save(&model, &path).unwrap();
    let loaded = files::load::<SparseAutoencoder<f64>>(&path).unwrap();
    assert_eq!(loaded.model.penalty().description(), Description::None);
    assert_eq!(loaded.model.encode(samples()), model.encode(samples()));
    let [Note::UnknownPenalty { description }] = loaded.notes.as_slice() else {
        panic!("{:?}", loaded.notes);
    };
    assert!(description.contains("Odd(0.5)"), "{description}");
    assert!(loaded.notes[0].to_string().contains("without it"));
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let scratch = Scratch::new("atomic");
    let path = scratch.file();
    let model = builder::<f32>().build().unwrap();
    files::save(&model, &path).unwrap();
    files::save(&builder::<f32>().seed(4).build().unwrap(), &path).unwrap();
    // Replaced in one step, with nothing left beside it.
    assert_ne!(
        files::load::<SparseAutoencoder<f32>>(&path)
            .unwrap()
            .model
            .parameters(),
        model.parameters()
    );
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);

    let nowhere = scratch.0.join("nowhere").join("model.safetensors");
    let error = files::save(&model, &nowhere).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, kind: std::io::ErrorKind::NotFound, .. } if *path == nowhere),
        "{error}"
    );
    let folder = scratch.0.join("folder");
    fs::create_dir(&folder).unwrap();
    assert!(matches!(
        files::save(&model, &folder),
        Err(Error::Io { .. })
    ));
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
    assert!(matches!(
        files::load::<SparseAutoencoder<f32>>(&nowhere),
        Err(Error::Io { .. })
    ));
}

/// The file of a model, with one text replaced by another of the same length.
fn forged(old: &str, new: &str) -> Result<files::Loaded<SparseAutoencoder<f64>>, Error> {
    assert_eq!(old.len(), new.len());
    let scratch = Scratch::new(&format!(
        "forged-{}",
        new.replace(['\\', '"', '/', ':'], "")
    ));
    let path = scratch.file();
    files::save(&builder::<f64>().build().unwrap(), &path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes
        .windows(old.len())
        .position(|text| text == old.as_bytes());
    let place = place.unwrap_or_else(|| panic!("{old}"));
    bytes[place..place + old.len()].copy_from_slice(new.as_bytes());
    fs::write(&path, bytes).unwrap();
    files::load(&path)
}

#[test]
fn what_a_builder_refuses_is_refused_in_a_file() {
    let quoted = |text: &str| text.replace('\'', "\\\"");
    for (old, new) in [
        ("'penalty_weight':1.0", "'penalty_weight':-1."),
        ("'sparsity_target':0.05", "'sparsity_target':1.05"),
        ("'layers':[5,7]", "'layers':[5,0]"),
    ] {
        let result = forged(&quoted(old), &quoted(new));
        assert!(
            matches!(
                result,
                Err(Error::InvalidParameter { .. } | Error::Malformed { .. })
            ),
            "{new}: {result:?}"
        );
    }
    let relu = forged(
        &quoted("'hidden_activations':['sigmoid']"),
        &quoted("'hidden_activations':[   'relu']"),
    );
    assert!(
        matches!(relu, Err(Error::UnsupportedActivation { .. })),
        "{relu:?}"
    );
    let other = forged(&quoted("['sigmoid']"), &quoted("['sigmund']"));
    assert!(matches!(other, Err(Error::Unsupported { .. })), "{other:?}");
    let penalty = forged(
        &quoted("'penalty':'kl_divergence'"),
        &quoted("'penalty':           'l0'"),
    );
    assert!(
        matches!(penalty, Err(Error::UnsupportedActivation { .. })),
        "{penalty:?}"
    );
    let layers = forged(&quoted("'layers':[5,7]"), &quoted("'layers':[7,5]"));
    assert!(matches!(layers, Err(Error::Malformed { .. })), "{layers:?}");
}

#[test]
fn descriptions_without_sense_are_refused() {
    let quoted = |text: &str| text.replace('\'', "\\\"");
    for (old, new, says) in [
        (
            "'layers':[5,7]",
            "'layers':[{} ]",
            "layers: invalid type: map, expected usize",
        ),
        (
            "'penalty_weight':1.0",
            "'penalty_weight':{} ",
            "penalty_weight: invalid type: map, expected f64",
        ),
        (
            "'weight_decay':0.0",
            "'tied':false      ",
            "duplicate field `tied`",
        ),
        (
            ",'weight_decay':0.0",
            "                     ",
            "weight_decay is missing",
        ),
    ] {
        match forged(&quoted(old), &quoted(new)) {
            Err(Error::Malformed { reason, .. }) => assert!(reason.contains(says), "{reason}"),
            other => panic!("{new}: {other:?}"),
        }
    }
    let none = forged(
        &quoted("'hidden_activations':['sigmoid']"),
        &quoted("'hidden_activations':[           ]"),
    );
    let none = none.unwrap_err().to_string();
    assert!(
        none.contains("hidden_activations: expected 1, got 0"),
        "{none}"
    );
    // A later version may know it.
    let unknown = forged(&quoted("'matryoshka'"), &quoted("'matrioshka'"));
    let Err(Error::Unsupported { reason, .. }) = unknown else {
        panic!("{unknown:?}");
    };
    assert!(reason.contains("matrioshka: unknown field"), "{reason}");
}

#[test]
fn other_versions_and_formats_are_refused() {
    let version = forged("\"version\":\"1\"", "\"version\":\"3\"");
    assert!(version.is_err_and(|error| {
        matches!(error, Error::Unsupported { .. }) && error.to_string().contains("version 3")
    }));
    let format = forged(
        "\"format\":\"sparse-autoencoder\"",
        "\"format\":\"dense-autoencoder-\"",
    );
    assert!(matches!(format, Err(Error::Malformed { .. })));
}
