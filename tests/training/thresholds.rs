//! What a fit reports is what the model infers: BatchTopK's threshold at the end of a fit.

use std::ops::ControlFlow;

use sparse_autoencoder::metrics::SparsityMetrics;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::recipe::{Recipe, Variant};
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Lbfgs, Samples, Schedule, SparseAutoencoder, Trainer,
    Warning,
};

const K: usize = 3;
const UNITS: usize = 48;

/// Sums of three of 32 directions in 12 dimensions.
fn samples() -> DMatrix<f64> {
    let phase = |k: usize| (k as f64 * 0.618_033_988_749_895).fract();
    let directions = DMatrix::from_fn(12, 32, |i, j| phase(1 + 37 * i + 101 * j) - 0.5);
    let mut samples = DMatrix::zeros(12, 600);
    for (j, mut sample) in samples.column_iter_mut().enumerate() {
        for part in 0..3 {
            let direction = (32.0 * phase(7 * j + 331 * part + 5)) as usize;
            let amplitude = 0.5 + phase(13 * j + 17 * part);
            sample.axpy(amplitude, &directions.column(direction), 1.0);
        }
    }
    samples
}

fn model() -> SparseAutoencoder<f64> {
    SparseAutoencoder::builder()
        .layers([12, UNITS])
        .hidden_activation(Activation::BatchTopK(K))
        .output_activation(Activation::Identity)
        .seed(1)
        .build()
        .unwrap()
}

fn l0(model: &SparseAutoencoder<f64>, samples: &DMatrix<f64>) -> f64 {
    let mut sparsity = SparsityMetrics::new(model.layout().hidden_size());
    sparsity.add(model.encode(samples).unwrap()).unwrap();
    sparsity.l0().unwrap()
}

#[test]
fn after_any_fit_batch_top_k_infers_with_its_k() {
    let samples = samples();
    let (samples, others) = (samples.columns(0, 400), samples.columns(400, 200));
    let (samples, others) = (samples.into_owned(), others.into_owned());
    let adam = || {
        Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(20)
            .batch_size(60)
    };
    let patient = || adam().validation(others.clone()).patience(2);
    let trainers = [
        ("plain", adam()),
        ("one epoch", adam().epochs(1)),
        ("annealed", adam().anneal_k(20, 0.9)),
        ("L-BFGS", Trainer::new(Lbfgs::new()).epochs(50)),
        (
            "masked",
            adam().corruption(Corruption::Masking { fraction: 0.5 }),
        ),
        (
            "noisy",
            adam().corruption(Corruption::Gaussian {
                standard_deviation: 0.5,
            }),
        ),
        ("patient", patient()),
        ("patient, annealed", patient().anneal_k(20, 0.5)),
    ];
    for (name, mut trainer) in trainers {
        let mut model = model();
        let report = trainer.fit(&mut model, &samples).unwrap();
        let of_inference = match report.validation_losses.is_empty() {
            true => &samples,
            false => &others,
        };
        let l0 = l0(&model, of_inference);
        assert!((l0 - 3.0).abs() < 0.01, "{name}: {l0}");

        // The same bits, wherever samples are stored.
        if name != "L-BFGS" {
            let all: Vec<usize> = (0..samples.ncols()).collect();
            let mut elsewhere = self::model();
            trainer.reset();
            let stored = samples.subset(all).unwrap();
            trainer.fit(&mut elsewhere, stored).unwrap();
            assert_eq!(elsewhere.parameters(), model.parameters(), "{name}");
        }
    }
    for variant in [Variant::BatchTopK, Variant::Matryoshka] {
        for recipe in [
            Recipe::new(variant, UNITS, K),
            Recipe::new(variant, UNITS, K).anneal_from(12),
        ] {
            let fitted = recipe.samples(6000).batch_size(50).fit(&samples).unwrap();
            let l0 = l0(&fitted.model, &samples);
            assert!((l0 - 3.0).abs() < 0.01, "{variant:?}: {l0}");
        }
    }
}

/// The smallest kept activation is kept, also where it is the same in every batch.
#[test]
fn a_converged_batch_top_k_keeps_its_activations() {
    let samples = DMatrix::from_column_slice(4, 2, &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0]);
    let mut sae = SparseAutoencoder::<f64>::builder()
        .layers([4, 8])
        .hidden_activation(Activation::BatchTopK(1))
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let report = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(3000)
        .schedule(Schedule::linear(0.0))
        .fit(&mut sae, &samples)
        .unwrap();
    let error = sae.reconstruct(&samples).unwrap() - &samples;
    let reported = report.losses.last().unwrap().reconstruction;
    let inferred = 0.5 * error.norm_squared() / 2.0;
    assert!((inferred - reported).abs() < 1e-3, "{inferred} {reported}");
}

#[test]
fn a_stream_calibrates_batch_top_k_itself() {
    let samples = samples();
    let mut sae = model();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap());
    for _ in 0..40 {
        trainer.partial_fit(&mut sae, &samples).unwrap();
    }
    let before = l0(&sae, &samples);
    sae.calibrate_thresholds(&samples, 3.0).unwrap();
    let after = l0(&sae, &samples);
    assert!((before - 3.0).abs() > 0.5 && (after - 3.0).abs() < 0.01);
    // A bandwidth is for thresholds that learn.
    assert_eq!(sae.settings(), model().settings());
}

#[test]
fn a_fit_that_stops_while_k_falls_says_so() {
    let samples = samples();
    for activation in [Activation::BatchTopK(K), Activation::TopK(K)] {
        for (stops_at, warns) in [(3, true), (12, false)] {
            let mut sae = SparseAutoencoder::<f64>::builder()
                .layers([12, UNITS])
                .hidden_activation(activation)
                .output_activation(Activation::Identity)
                .build()
                .unwrap();
            let report = Trainer::new(Adam::new(1e-2).unwrap())
                .epochs(20)
                .batch_size(60)
                .anneal_k(20, 0.5)
                .fit_with(&mut sae, &samples, |epoch| match epoch.number {
                    number if number == stops_at => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })
                .unwrap();
            let told = |of: &Warning| matches!(of, Warning::TargetNotReached { target: 3.0, .. });
            let warned = report.warnings.iter().any(told);
            assert_eq!(warned, warns, "{activation:?}: {:?}", report.warnings);
        }
    }
}

/// Losses with a larger k are lower, and would always be the best.
#[test]
fn patience_counts_once_k_has_fallen() {
    let samples = samples();
    for split in [0.0, 0.2] {
        let mut sae = model();
        let report = Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(40)
            .batch_size(60)
            .validation_split(split)
            .patience(3)
            .anneal_k(20, 0.5)
            .fit(&mut sae, &samples)
            .unwrap();
        assert!(report.best_epoch > 20, "{split}: {}", report.best_epoch);
    }
}

/// The auxiliary term appears when units die, and must not hide that the reconstruction improves.
#[test]
fn patience_does_not_see_the_auxiliary_term() {
    let samples = samples();
    let epochs = |weight: f64| {
        let mut sae = SparseAutoencoder::<f64>::builder()
            .layers([12, 128])
            .hidden_activation(Activation::TopK(K))
            .output_activation(Activation::Identity)
            .build()
            .unwrap();
        let report = Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(60)
            .batch_size(100)
            .patience(5)
            .dead_units(DeadUnits::after(3000).auxiliary(8, weight))
            .fit(&mut sae, &samples)
            .unwrap();
        let died = report.dead_units.iter().any(|&dead| dead > 64);
        assert!(died, "{:?}", report.dead_units);
        report.best_epoch
    };
    // So large a weight that the total rises when units die after the fifth epoch.
    let best = epochs(1.0);
    assert!(best > 10, "{best}");
}
