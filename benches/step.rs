//! Times one evaluation of the loss with its gradient, and one epoch of training.
//!
//! ```text
//! cargo bench -p benches --bench step
//! cargo bench -p benches --bench step -- 'gradient/top_k'
//! cargo bench -p benches --bench step -- options
//! cargo bench -p benches --bench step -- units
//! ```
//!
//! A size is `samples in a batch x input x hidden`. An epoch is 8 batches.

#![allow(missing_docs, reason = "criterion's macros write functions without")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, DeadUnits, Initialization, KlDivergence, L0, L1, SparseAutoencoder,
    SparseAutoencoderBuilder, Trainer, Workspace,
};

/// Samples in a batch, input, and hidden.
const SHAPES: [(usize, usize, usize); 3] = [(100, 64, 196), (128, 784, 256), (256, 784, 1000)];
const BATCHES: usize = 8;

fn models() -> [(&'static str, SparseAutoencoderBuilder<f32>); 3] {
    let builder = SparseAutoencoder::builder().weight_decay(1e-4).seed(1);
    let linear = builder
        .clone()
        .output_activation(Activation::Identity)
        .initialization(Initialization::TransposedDecoder { norm: 1.0 });
    [
        ("sigmoid_kl", builder.penalty(KlDivergence)),
        (
            "relu_l1",
            linear
                .clone()
                .hidden_activation(Activation::Relu)
                .penalty(L1)
                .penalty_weight(0.01),
        ),
        ("top_k_32", linear.hidden_activation(Activation::TopK(32))),
    ]
}

fn samples(input_size: usize, count: usize) -> DMatrix<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    DMatrix::from_fn(input_size, count, |_, _| rng.random())
}

fn gradient(criterion: &mut Criterion) {
    for (name, builder) in models() {
        let mut group = criterion.benchmark_group(format!("gradient/{name}"));
        for (batch, input_size, hidden) in SHAPES {
            let sae = builder
                .clone()
                .layers([input_size, hidden])
                .build()
                .unwrap();
            let samples = samples(input_size, batch);
            let mut gradient = vec![0.0; sae.layout().len()];
            let mut workspace = Workspace::new();
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(size(batch, input_size, hidden), |bencher| {
                bencher.iter(|| {
                    sae.loss_and_gradient(black_box(&samples), &mut gradient, &mut workspace)
                        .unwrap()
                });
            });
        }
    }
}

fn epoch(criterion: &mut Criterion) {
    for (name, builder) in models() {
        let mut group = criterion.benchmark_group(format!("epoch/{name}"));
        for (batch, input_size, hidden) in SHAPES {
            let mut sae = builder
                .clone()
                .layers([input_size, hidden])
                .build()
                .unwrap();
            let samples = samples(input_size, BATCHES * batch);
            // The rate is so small that the activations, and with them the work, stay the same.
            let mut trainer = Trainer::new(Adam::new(1e-6).unwrap())
                .epochs(1)
                .batch_size(batch);
            group.throughput(Throughput::Elements((BATCHES * batch) as u64));
            group.bench_function(size(batch, input_size, hidden), |bencher| {
                bencher.iter(|| trainer.fit(&mut sae, black_box(&samples)).unwrap());
            });
        }
    }
}

/// Times a step of `TopK` with its usual options, and with the given number of dead units per thousand.
fn options(criterion: &mut Criterion) {
    for (batch, input_size, hidden) in [(256, 784, 1000), (1024, 784, 2048)] {
        let mut group = criterion.benchmark_group(format!("options/{batch}x{input_size}x{hidden}"));
        group.throughput(Throughput::Elements(batch as u64));
        let samples = samples(input_size, batch).add_scalar(-0.5);
        let [_, _, (_, top_k)] = models();
        let builder = top_k.layers([input_size, hidden]).weight_decay(0.0);
        let trainer = || Trainer::new(Adam::new(1e-9).unwrap());
        let mut step = |name: &str, mut sae: SparseAutoencoder<f32>, mut trainer: Trainer<f32>| {
            for _ in 0..6 {
                trainer.partial_fit(&mut sae, &samples).unwrap(); // until units count as dead
            }
            group.bench_function(name, |bencher| {
                bencher.iter(|| trainer.partial_fit(&mut sae, black_box(&samples)).unwrap());
            });
        };
        step("none", builder.build().unwrap(), trainer());
        for dead in [0, 10, 50] {
            let mut sae = builder.clone().pre_encoder_bias(true).build().unwrap();
            // The columns are so small that the unit never wins.
            let mut theta = sae.parameters().as_slice().to_vec();
            for w in &mut theta[..hidden * dead / 1000 * input_size] {
                *w *= 0.1;
            }
            sae.set_theta(&theta).unwrap();
            let dead_units = DeadUnits::after(4 * batch).auxiliary(input_size / 2, 1.0 / 32.0);
            let all = trainer().unit_norm_decoder(true).dead_units(dead_units);
            step(&format!("all, {dead} dead"), sae, all);
        }
    }
}

/// Times a step of each kind of units. Units that learn to be sparse are timed at the start, with about half
/// of them active, and with 2 % active.
fn units(criterion: &mut Criterion) {
    for (batch, input_size, hidden) in [(256, 784, 1000), (1024, 784, 2048)] {
        let mut group = criterion.benchmark_group(format!("units/{batch}x{input_size}x{hidden}"));
        group.throughput(Throughput::Elements(batch as u64));
        let samples = samples(input_size, batch).add_scalar(-0.5);
        let linear = SparseAutoencoder::builder()
            .layers([input_size, hidden])
            .output_activation(Activation::Identity)
            .initialization(Initialization::TransposedDecoder { norm: 1.0 })
            .penalty_weight(0.01)
            .seed(1);
        let of = |activation| linear.clone().hidden_activation(activation);
        let learned = [
            ("relu", of(Activation::Relu).penalty(L1)),
            ("jump_relu", of(Activation::JumpRelu).penalty(L0)),
            ("gated", of(Activation::Gated).penalty(L1)),
        ];
        let batch_top_k = of(Activation::BatchTopK(32));
        let nested = batch_top_k.clone().matryoshka([hidden / 8, hidden / 2]);
        let selected = [
            ("top_k", of(Activation::TopK(32))),
            ("batch_top_k", batch_top_k),
            ("batch_top_k, nested", nested),
            ("winner_take_all", of(Activation::WinnerTakeAll(0.02))),
        ];
        let mut step = |name: String, mut sae: SparseAutoencoder<f32>| {
            let mut trainer = Trainer::new(Adam::new(1e-9).unwrap());
            group.bench_function(name, |bencher| {
                bencher.iter(|| trainer.partial_fit(&mut sae, black_box(&samples)).unwrap());
            });
        };
        for (name, builder) in selected {
            step(name.to_owned(), builder.build().unwrap());
        }
        for (name, builder) in learned {
            let mut sae = builder.build().unwrap();
            step(name.to_owned(), sae.clone());
            // Pre-activations have a standard deviation of √(1/12) = 0.29.
            let mut theta = sae.parameters().as_slice().to_vec();
            if name == "jump_relu" {
                let thresholds = theta.len() - hidden;
                theta[thresholds..].fill(0.6);
            } else {
                theta[input_size * hidden..(input_size + 1) * hidden].fill(-0.6);
            }
            sae.set_theta(&theta).unwrap();
            step(format!("{name}, sparse"), sae);
        }
    }
}

fn size(batch: usize, input_size: usize, hidden: usize) -> BenchmarkId {
    BenchmarkId::from_parameter(format!("{batch}x{input_size}x{hidden}"))
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = gradient, epoch, options, units
}
criterion_main!(benches);
