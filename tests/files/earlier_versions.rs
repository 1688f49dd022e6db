//! Files written by earlier versions of the format still load: the same settings, the same parameters.
//!
//! `written_by_draft/` holds what the code before 0.1.0 wrote, in version 1 of the format.

#![allow(clippy::float_cmp)] // read as written

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use sparse_autoencoder::files::{self, Note};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Initialization, L0, L1, Lbfgs, Real,
    ReconstructionLoss, Schedule, SetPoint, Sgd, SparseAutoencoder, SparseAutoencoderBuilder,
    SquaredDeviation, Stack, TargetL0, Trainer,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files/written_by_draft")
        .join(name)
}

fn builder<T: Real>() -> SparseAutoencoderBuilder<T> {
    let builder = SparseAutoencoder::builder().layers([3, 4]).seed(3);
    builder.initialization(Initialization::Glorot)
}

/// What a model says of its settings, except how its parameters started.
fn settings<T: Real>(model: &SparseAutoencoder<T>) -> impl PartialEq + Debug + use<T> {
    let mut settings = serde_json::to_value(model.settings()).unwrap();
    for key in ["initialization", "seed", "bandwidth"] {
        settings.as_object_mut().unwrap().remove(key);
    }
    (settings, model.bandwidth())
}

fn assert_loads<T: Real>(name: &str, model: &SparseAutoencoder<T>) {
    let loaded = files::load::<SparseAutoencoder<T>>(file(name)).unwrap();
    assert_eq!(loaded.notes, [], "{name}");
    assert_eq!(loaded.model.parameters(), model.parameters(), "{name}");
    assert_eq!(settings(&loaded.model), settings(model), "{name}");
}

/// The file of a model whose parameters are the initial ones and 1/64 more.
fn assert_built<T: Real>(name: &str, builder: SparseAutoencoderBuilder<T>) {
    let mut model = builder.build().unwrap();
    let theta = model.parameters().as_slice().iter();
    let theta: Vec<T> = theta.map(|&x| x + T::of(1.0 / 64.0)).collect();
    model.set_theta(&theta).unwrap();
    assert_loads(&format!("{name}.safetensors"), &model);
}

#[test]
fn models_of_version_1_are_loaded() {
    use Activation::{
        BatchTopK, Gated, Identity, JumpRelu, Relu, Tanh, TopProportion, WinnerTakeAll,
    };
    let weighted = || {
        builder::<f64>()
            .sparsity_target(0.1)
            .penalty_weight(0.3)
            .weight_decay(1e-3)
    };
    assert_built("classic", weighted());
    let single = builder::<f32>().sparsity_target(0.1).penalty_weight(0.3);
    assert_built("f32", single.weight_decay(1e-3).tied(true));
    let cross_entropy =
        builder::<f64>().reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    assert_built("cross_entropy", cross_entropy.penalty(SquaredDeviation));
    let deep = builder::<f64>()
        .layers([3, 5, 4, 4])
        .hidden_activations([JumpRelu, Tanh, BatchTopK(2)])
        .penalty(SquaredDeviation)
        .penalized_layers([1])
        .bandwidth(0.2);
    assert_built("deep", deep.output_activation(Identity));
    let linear = |activation| {
        builder::<f64>()
            .hidden_activation(activation)
            .output_activation(Identity)
    };
    let gated = builder::<f32>()
        .hidden_activation(Gated)
        .output_activation(Identity)
        .pre_encoder_bias(true);
    assert_built("gated", gated.penalty(L1).penalty_weight(0.4));
    let jump_relu = linear(JumpRelu).penalty((TargetL0, Scaled::new(1.0 / 3.0, L0)));
    assert_built("jump_relu", jump_relu.penalized_layers([]));
    let nested = linear(Relu).penalty(L1).norm_weighted(true);
    assert_built("matryoshka", nested.matryoshka([1, 2]));
    let winners = builder::<f64>()
        .layers([3, 4, 4])
        .hidden_activations([WinnerTakeAll(1.0 / 3.0), TopProportion(0.3)])
        .tied(true);
    assert_built("winner_take_all", winners);
}

#[test]
fn a_deep_model_of_version_1_keeps_the_activations_of_its_decoder() {
    let inner = builder::<f64>()
        .layers([4, 3])
        .hidden_activation(Activation::TopK(2))
        .output_activation(Activation::Identity);
    let outer = builder().penalty(());
    let stack = Stack::new(vec![outer.build().unwrap(), inner.build().unwrap()]).unwrap();
    let deep = stack.unroll_penalized(SquaredDeviation, 0.2, 0.1).unwrap();
    assert_loads("stack.safetensors", &deep);
}

#[test]
fn a_penalty_of_another_crate_in_version_1_is_noted() {
    let loaded =
        files::load::<SparseAutoencoder<f64>>(file("another_penalty.safetensors")).unwrap();
    let [Note::UnknownPenalty { description }] = loaded.notes.as_slice() else {
        panic!("{:?}", loaded.notes);
    };
    assert!(description.contains("Odd(0.5)"), "{description}");
    let without = builder().penalty(()).build().unwrap();
    assert_eq!(settings(&loaded.model), settings(&without));
}

/// Resumes what an earlier version has written, and goes on.
fn resumed(
    name: &str,
    builder: SparseAutoencoderBuilder<f32>,
    mut trainer: Trainer<f32>,
    steps: u64,
) -> (SparseAutoencoder<f32>, Trainer<f32>) {
    let mut model = builder.build().unwrap();
    trainer.resume(&mut model, file(name)).unwrap();
    assert_eq!(trainer.steps_taken(), steps, "{name}");
    let as_model = files::load::<SparseAutoencoder<f32>>(file(name))
        .unwrap()
        .model;
    assert_eq!(as_model.parameters(), model.parameters(), "{name}");
    (model, trainer)
}

fn samples() -> DMatrix<f32> {
    DMatrix::from_fn(3, 20, |i, j| ((i * 7 + j * j) % 5) as f32 / 4.0)
}

#[test]
fn a_fit_goes_on_from_a_checkpoint_of_version_1() {
    let model = builder()
        .hidden_activation(Activation::Relu)
        .penalty(L1)
        .penalty_weight(0.1);
    let trainer = |seed| {
        Trainer::new(Adam::new(1e-2).unwrap().betas(0.9, 0.99).unwrap())
            .epochs(4)
            .batch_size(5)
            .seed(seed)
            .validation_split(0.2)
            .patience(9)
            .schedule(Schedule::cosine(0.1).warm_up(0.05))
            .clip_gradient(1.0)
            .dead_units(DeadUnits::after(3).resampled(1))
            .corruption(Corruption::Masking { fraction: 0.2 })
    };
    let (mut model_of_then, mut trainer_of_then) =
        resumed("fit.checkpoint", model.clone(), trainer(7), 6);
    let report = trainer_of_then.fit(&mut model_of_then, samples()).unwrap();
    assert_eq!(report.history.len(), 4);
    // That version did not measure them.
    assert!(report.l0.is_empty() && report.explained_variance.is_empty());
    assert_eq!(trainer_of_then.steps_taken(), 16);

    let mut model = model.build().unwrap();
    let other = trainer(8).resume(&mut model, file("fit.checkpoint"));
    assert!(
        matches!(other, Err(Error::OtherSetting { .. })),
        "{other:?}"
    );
}

#[test]
fn a_set_point_goes_on_from_a_checkpoint_of_version_1() {
    let model = builder()
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(0.01);
    let trainer = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(4)
        .batch_size(5)
        .set_point(SetPoint::active_units(1.5));
    let (mut model, mut trainer) = resumed("set_point.checkpoint", model, trainer, 8);
    let report = trainer.fit(&mut model, samples()).unwrap();
    // As the earlier version went on itself.
    let reached = report.set_point.unwrap();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * b, "{a} {b}");
    close(reached.penalty_weight.into(), 0.010_093_156);
    close(reached.measured, 1.597_924_619);
    close(model.penalty_weight().into(), 0.01);
}

#[test]
fn every_optimizer_goes_on_from_a_checkpoint_of_version_1() {
    let lbfgs = Trainer::new(Lbfgs::new().history(3).unwrap()).epochs(6);
    // The only layer, by its index and by default, is the same.
    let (mut model, mut trainer) = resumed("lbfgs.checkpoint", builder(), lbfgs, 4);
    let report = trainer.fit(&mut model, samples()).unwrap();
    assert_eq!(report.history.len(), 6);

    let sgd = Sgd::new(0.1).unwrap().momentum(0.9).unwrap().nesterov();
    let sgd = Trainer::new(sgd).steps(10).anneal_k(4, 0.5);
    let top_k = builder().hidden_activation(Activation::TopK(2));
    let (mut model, mut trainer) = resumed("stream.checkpoint", top_k, sgd, 3);
    trainer.partial_fit(&mut model, samples()).unwrap();
    assert_eq!(trainer.steps_taken(), 4);
}
