//! Models and checkpoints.

use sparse_autoencoder::files::{self, Note};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient, Penalty, Scaled};
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Event, Every, Initialization, L0, L1, Lbfgs,
    Real, ReconstructionLoss, Schedule, SetPoint, Sgd, SparseAutoencoder, SparseAutoencoderBuilder,
    SquaredDeviation, Stack, TargetL0, Trainer,
};

use super::{assert_written_so, header, path};
use crate::common::scratch::Scratch;

fn builder<T: Real>() -> SparseAutoencoderBuilder<T> {
    let builder = SparseAutoencoder::builder().layers([3, 4]).seed(3);
    builder.initialization(Initialization::Glorot)
}

/// The file holds this model, and the model would be written so again.
fn assert_file<T: Real>(name: &str, model: &SparseAutoencoder<T>) {
    let loaded = files::load::<SparseAutoencoder<T>>(path(name)).unwrap();
    assert_eq!(loaded.notes, [], "{name}");
    assert_eq!(loaded.model.parameters(), model.parameters(), "{name}");
    assert_eq!(loaded.model.settings(), model.settings(), "{name}");
    assert_written_so(name, model);
}

/// The file of a model whose parameters are the initial ones and 1/64 more.
fn assert_built<T: Real>(name: &str, builder: SparseAutoencoderBuilder<T>) {
    let mut model = builder.build().unwrap();
    let theta = model.parameters().as_slice().iter();
    let theta: Vec<T> = theta.map(|&x| x + T::of(1.0 / 64.0)).collect();
    model.set_theta(&theta).unwrap();
    assert_file(name, &model);
}

#[test]
fn models_are_loaded_and_written_so_again() {
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
    let transcoder = linear(Activation::TopK(2)).output_size(2).skip(true);
    assert_built("transcoder", transcoder);
    let winners = builder::<f64>()
        .layers([3, 4, 4])
        .hidden_activations([WinnerTakeAll(1.0 / 3.0), TopProportion(0.3)])
        .tied(true);
    assert_built("winner_take_all", winners);
}

#[test]
fn a_deep_model_keeps_the_activations_of_its_decoder() {
    let inner = builder::<f64>()
        .layers([4, 3])
        .hidden_activation(Activation::TopK(2))
        .output_activation(Activation::Identity);
    let outer = builder().penalty(());
    let stack = Stack::new(vec![outer.build().unwrap(), inner.build().unwrap()]).unwrap();
    let deep = stack.unroll_penalized(SquaredDeviation, 0.2, 0.1).unwrap();
    assert_file("unrolled_stack", &deep);
}

/// A penalty that no file can hold.
#[derive(Debug)]
struct Odd(#[allow(dead_code)] f64); // in the Debug text

impl<T: Real> Penalty<T> for Odd {
    fn accumulate(&self, _: &HiddenBatch<'_, T>, _: T, _: &mut HiddenGradient<'_, T>) -> T {
        T::zero()
    }
}

#[test]
fn a_penalty_of_another_crate_is_noted() {
    let odd = builder::<f64>().penalty(Odd(0.5)).build().unwrap();
    assert_written_so("another_penalty", &odd);
    let loaded = files::load::<SparseAutoencoder<f64>>(path("another_penalty")).unwrap();
    let [Note::UnknownPenalty { description }] = loaded.notes.as_slice() else {
        panic!("{:?}", loaded.notes);
    };
    assert!(description.contains("Odd(0.5)"), "{description}");
    let without = builder::<f64>().penalty(()).build().unwrap();
    assert_eq!(loaded.model.settings(), without.settings());
}

fn samples() -> DMatrix<f32> {
    DMatrix::from_fn(3, 20, |i, j| ((i * 7 + j * j) % 5) as f32 / 4.0)
}

/// A fit goes on from the file as from a checkpoint written now, and both have the same header.
fn assert_goes_on(
    name: &str,
    builder: &SparseAutoencoderBuilder<f32>,
    trainer: impl Fn() -> Trainer<f32>,
    steps: u64,
) {
    let scratch = Scratch::new(name);
    let mut model = builder.clone().build().unwrap();
    let stopped = trainer()
        .checkpoint(scratch.file(), Every::Steps(steps))
        .fit_with_steps(&mut model, samples(), |event| match event {
            Event::Step(step) if step.number > steps => Err(Error::EmptyBatch { what: "stop" }),
            _ => Ok(()),
        });
    assert!(stopped.is_err(), "{name}");
    let [now, then] = [scratch.file(), path(name)].map(|file| {
        let mut model = builder.clone().build().unwrap();
        let mut trainer = trainer();
        trainer.resume(&mut model, &file).unwrap();
        assert_eq!(trainer.steps_taken(), steps, "{name}");
        let as_model = files::load::<SparseAutoencoder<f32>>(&file).unwrap().model;
        assert_eq!(as_model.parameters(), model.parameters(), "{name}");
        let report = trainer.fit(&mut model, samples()).unwrap();
        (header(&file), model, report)
    });
    assert_eq!(now.0, then.0, "{name}");
    assert_eq!(now.2.losses.len(), then.2.losses.len(), "{name}");
    // Another processor may add in another order.
    let [now, then] = [now.1, then.1].map(|model| {
        DMatrix::from_row_slice(
            1,
            model.parameters().as_slice().len(),
            model.parameters().as_slice(),
        )
    });
    assert!((&now - &then).norm() < 1e-4 * now.norm(), "{name}");
}

#[test]
fn fits_go_on_from_their_checkpoints() {
    let model = builder()
        .hidden_activation(Activation::Relu)
        .penalty(L1)
        .penalty_weight(0.1);
    let trainer = || {
        Trainer::new(Adam::new(1e-2).unwrap().betas(0.9, 0.99).unwrap())
            .epochs(4)
            .batch_size(5)
            .seed(7)
            .validation_split(0.2)
            .patience(9)
            .schedule(Schedule::cosine(0.1).warm_up(0.05))
            .clip_gradient(1.0)
            .dead_units(DeadUnits::after(3).resampled(1))
            .corruption(Corruption::Masking { fraction: 0.2 })
    };
    assert_goes_on("fit", &model, trainer, 6);

    let set_point = model.output_activation(Activation::Identity);
    let trainer = || {
        Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(4)
            .batch_size(5)
            .set_point(SetPoint::active_units(1.5))
    };
    assert_goes_on("set_point", &set_point.penalty_weight(0.01), trainer, 8);

    let lbfgs = || Trainer::new(Lbfgs::new().history(3).unwrap()).epochs(6);
    assert_goes_on("lbfgs", &builder(), lbfgs, 4);
}

#[test]
fn a_stream_goes_on_from_its_checkpoint() {
    let top_k = builder().hidden_activation(Activation::TopK(2));
    let start = || {
        let sgd = Sgd::new(0.1).unwrap().momentum(0.9).unwrap().nesterov();
        let trainer = Trainer::new(sgd).stream_steps(10).anneal_k(4, 0.5);
        (top_k.clone().build().unwrap(), trainer)
    };
    let (mut model, mut trainer) = start();
    for _ in 0..3 {
        trainer.partial_fit(&mut model, samples()).unwrap();
    }
    let scratch = Scratch::new("stream");
    trainer.save(&model, scratch.file()).unwrap();
    assert_eq!(header(&scratch.file()), header(&path("stream")));

    let (mut model, mut trainer) = start();
    trainer.resume(&mut model, path("stream")).unwrap();
    trainer.partial_fit(&mut model, samples()).unwrap();
    assert_eq!(trainer.steps_taken(), 4);
}
