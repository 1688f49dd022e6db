//! Data at the ends of what a scalar holds, and of what a data set is: a fit learns something finite, or
//! says why not, and the model is never left with NaN.

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, KlDivergence, L1, Lbfgs, Proportion, Real, SparseAutoencoder,
    SparseAutoencoderBuilder, Trainer, geometric_median,
};

fn data<T: Real>() -> Vec<(&'static str, DMatrix<T>)> {
    let of = |rows, columns, entry: fn(usize, usize) -> f64| {
        DMatrix::from_fn(rows, columns, |i, j| T::of(entry(i, j)))
    };
    let wave = |i: usize, j: usize| ((i * 3 + j * 7) as f64).sin();
    vec![
        ("zeros", of(5, 40, |_, _| 0.0)),
        ("ones", of(5, 40, |_, _| 1.0)),
        ("1e30", of(5, 40, |i, j| 1e30 * ((i + 2 * j) as f64).sin())),
        (
            "one sample of 1e30",
            of(5, 40, |i, j| if j == 7 { 1e30 } else { (i as f64).cos() }),
        ),
        ("denormals", of(5, 40, |i, j| 1e-40 * ((i + j) as f64))),
        (
            "a constant entry",
            of(
                5,
                40,
                |i, j| if i == 2 { 0.3 } else { ((i * j) as f64).sin() },
            ),
        ),
        ("one sample, 40 times", of(5, 40, |i, _| (i as f64).sin())),
        ("one sample", of(5, 1, |i, _| (i as f64).sin())),
        ("one entry", of(1, 40, |_, j| (j as f64).sin())),
        ("one entry of one sample", of(1, 1, |_, _| 0.7)),
        ("plain", DMatrix::from_fn(5, 40, |i, j| T::of(wave(i, j)))),
    ]
}

fn models<T: Real>() -> Vec<(&'static str, SparseAutoencoderBuilder<T>)> {
    let linear = || {
        SparseAutoencoder::builder()
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true)
            .weight_decay(1e-3)
    };
    vec![
        ("KL", SparseAutoencoder::builder().penalty(KlDivergence)),
        (
            "L1",
            linear()
                .hidden_activation(Activation::Relu)
                .penalty(L1)
                .norm_weighted(true),
        ),
        (
            "proportion",
            linear()
                .hidden_activation(Activation::Tanh)
                .penalty(Proportion),
        ),
        (
            "TopK",
            linear().hidden_activation(Activation::TopK(2)).penalty(()),
        ),
        (
            "BatchTopK",
            linear()
                .hidden_activation(Activation::BatchTopK(2))
                .penalty(()),
        ),
        (
            "thresholds",
            linear().hidden_activation(Activation::JumpRelu).penalty(()),
        ),
        (
            "gated",
            linear().hidden_activation(Activation::Gated).penalty(L1),
        ),
        (
            "nested",
            linear()
                .hidden_activation(Activation::TopK(2))
                .penalty(())
                .matryoshka([2]),
        ),
    ]
}

fn check<T: Real>() {
    let (mut fitted, mut refused) = (0, 0);
    for (name, samples) in data::<T>() {
        for (kind, builder) in models::<T>() {
            let start = builder.layers([samples.nrows(), 7]).build().unwrap();
            let optimizers = [
                Trainer::new(Adam::new(1e-2).unwrap()).batch_size(16),
                Trainer::new(Lbfgs::new()),
            ];
            for trainer in optimizers {
                let mut model = start.clone();
                let at = format!("{name}, {kind}, {trainer:?}");
                match trainer.epochs(4).fit(&mut model, &samples) {
                    Ok(_) => fitted += 1,
                    Err(Error::Diverged { .. }) => {
                        assert!(name.contains("1e30"), "{at}");
                        refused += 1;
                    }
                    Err(other) => panic!("{at}: {other}"),
                }
                let theta = model.parameters().as_slice();
                assert!(theta.iter().all(|value| value.is_finite()), "{at}");
                // What it says of huge samples may overflow.
                let encoded = model.encode(&samples);
                assert!(
                    encoded.is_ok() || name.contains("1e30"),
                    "{at}: {encoded:?}"
                );
            }
        }
        let median = geometric_median(&samples).unwrap();
        assert!(median.iter().all(|value| value.is_finite()), "{name}");
    }
    assert!(fitted > 100, "{fitted} fitted, {refused} diverged");
}

#[test]
fn whatever_the_data_the_model_stays_finite() {
    check::<f32>();
    check::<f64>();
}

#[test]
fn a_million_samples_of_one_entry_are_learned() {
    let samples = DMatrix::from_fn(1, 1_000_000, |_, j| (j % 1000) as f32 / 1000.0);
    let mut model = SparseAutoencoder::builder()
        .layers([1, 8])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    let before = model.loss(&samples).unwrap().total();
    Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(1)
        .batch_size(4096)
        .fit(&mut model, &samples)
        .unwrap();
    let after = model.loss(&samples).unwrap().total();
    assert!(after < 0.05 * before, "{before} {after}"); // 0.0022 of it was measured
}
