//! Builds and trains a model with arbitrary settings: it stays finite or returns a typed error.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Initialization, KlDivergence, L0, L1, Lbfgs,
    Penalty, Proportion, ReconstructionLoss, Schedule, SetPoint, Sgd, SparseAutoencoder,
    SquaredDeviation, TargetL0, Trainer,
};

#[derive(Debug, Arbitrary)]
enum Unit {
    Sigmoid,
    Tanh,
    Relu,
    Identity,
    Saturating,
    TopK(u8),
    TopProportion(f64),
    WinnerTakeAll(f64),
    BatchTopK(u8),
    JumpRelu,
    Gated,
    AbsTopK(u8),
}

impl Unit {
    fn activation(&self) -> Activation {
        match *self {
            Self::Sigmoid => Activation::Sigmoid,
            Self::Tanh => Activation::Tanh,
            Self::Relu => Activation::Relu,
            Self::Identity => Activation::Identity,
            Self::Saturating => Activation::SaturatingLinear,
            Self::TopK(k) => Activation::TopK(k.into()),
            Self::TopProportion(share) => Activation::TopProportion(share),
            Self::WinnerTakeAll(share) => Activation::WinnerTakeAll(share),
            Self::BatchTopK(k) => Activation::BatchTopK(k.into()),
            Self::JumpRelu => Activation::JumpRelu,
            Self::Gated => Activation::Gated,
            Self::AbsTopK(k) => Activation::AbsTopK(k.into()),
        }
    }
}

#[derive(Debug, Arbitrary)]
struct Settings {
    layers: Vec<u8>,
    hidden: Unit,
    output: Unit,
    penalty: u8,
    numbers: [f64; 8],
    tied: bool,
    centered: bool,
    norm_weighted: bool,
    cross_entropy: bool,
    transposed: bool,
    matryoshka: Vec<u8>,
    optimizer: u8,
    batch_size: u8,
    flags: [bool; 6],
    seed: u64,
    samples: u8,
    /// The scale of the samples.
    scale: f64,
}

fn penalty(kind: u8) -> Box<dyn Penalty<f32>> {
    match kind % 7 {
        0 => Box::new(()),
        1 => Box::new(KlDivergence),
        2 => Box::new(L1),
        3 => Box::new(Proportion),
        4 => Box::new(SquaredDeviation),
        5 => Box::new(L0),
        _ => Box::new(TargetL0),
    }
}

fn run(settings: &Settings) -> Result<SparseAutoencoder<f32>, Error> {
    let [target, weight, decay, rate, share, bandwidth, clip, wanted] = settings.numbers;
    let layers: Vec<usize> = settings
        .layers
        .iter()
        .take(4)
        .map(|&n| usize::from(n % 24))
        .collect();
    let mut builder = SparseAutoencoder::<f32>::builder()
        .layers(layers)
        .hidden_activation(settings.hidden.activation())
        .output_activation(settings.output.activation())
        .penalty(penalty(settings.penalty))
        .sparsity_target(target)
        .penalty_weight(weight)
        .weight_decay(decay)
        .bandwidth(bandwidth)
        .tied(settings.tied)
        .pre_encoder_bias(settings.centered)
        .norm_weighted(settings.norm_weighted)
        .seed(settings.seed);
    if settings.cross_entropy {
        builder = builder.reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    }
    if settings.transposed {
        builder = builder.initialization(Initialization::TransposedDecoder { norm: 1.0 });
    }
    if !settings.matryoshka.is_empty() {
        builder = builder.matryoshka(
            settings
                .matryoshka
                .iter()
                .take(4)
                .map(|&n| n.into())
                .collect::<Vec<usize>>(),
        );
    }
    let mut model = builder.build()?;

    let trainer = match settings.optimizer % 4 {
        0 => Trainer::new(Sgd::new(rate)?),
        1 => Trainer::new(Sgd::new(rate)?.momentum(share)?),
        2 => Trainer::new(Adam::new(rate)?),
        _ => Trainer::new(Lbfgs::new()),
    };
    let mut trainer = trainer.epochs(3).seed(settings.seed).threads(1);
    let [small, schedule, corruption, split, dead, set_point] = settings.flags;
    if small {
        trainer = trainer.batch_size(settings.batch_size.into());
    }
    if schedule {
        trainer = trainer.schedule(Schedule::cosine(share).warm_up(decay));
    }
    if corruption {
        trainer = trainer.corruption(Corruption::Masking { fraction: share });
    }
    if split {
        trainer = trainer.validation_split(share).patience(1);
    }
    if dead {
        let dead = DeadUnits::after(settings.samples.into());
        trainer = trainer.dead_units(dead.auxiliary(settings.batch_size.into(), share));
    }
    if set_point {
        trainer = trainer.set_point(SetPoint::active_units(wanted));
    }
    if clip > 0.0 {
        trainer = trainer.clip_gradient(clip);
    }
    let samples = DMatrix::from_fn(
        model.layout().input_size(),
        settings.samples.into(),
        |i, j| (settings.scale * ((i * 7 + j * j * 3) % 11) as f64) as f32,
    );
    trainer.fit(&mut model, &samples)?;
    Ok(model)
}

fuzz_target!(|settings: Settings| {
    if let Ok(model) = run(&settings) {
        assert!(
            model
                .parameters()
                .as_slice()
                .iter()
                .all(|value| value.is_finite())
        );
    }
});
