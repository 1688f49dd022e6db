//! The same seed gives the same bits, whatever the number of threads and whoever looks on.

use crate::common::fractions::fractions;
use std::ops::ControlFlow;

use crate::common::variants::ACTIVATIONS;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Corruption, Initialization, L1, Lbfgs, Loss, Optimizer, Parameters,
    Proportion, Real, ReconstructionLoss, Report, Schedule, Sgd, SparseAutoencoder,
    SparseAutoencoderBuilder, SquaredDeviation, Trainer, Workspace,
};

fn samples<T: Real>(input_size: usize, count: usize) -> DMatrix<T> {
    fractions(input_size, count, |phase| phase)
}

fn bits<T: Real>(values: &[T]) -> Vec<u64> {
    values
        .iter()
        .map(|value| value.to_f64().to_bits())
        .collect()
}

fn theta<T: Real>(model: &SparseAutoencoder<T>) -> Vec<u64> {
    bits(model.parameters().as_slice())
}

fn adam<T: Real>() -> Trainer<T> {
    Trainer::new(Adam::new(0.01).unwrap())
        .epochs(3)
        .batch_size(16)
}

#[test]
fn the_same_seeds_give_the_same_parameters_and_others_do_not() {
    let x = samples::<f32>(20, 100);
    let train = |model_seed, trainer_seed| {
        let builder = SparseAutoencoder::builder()
            .layers([20, 30])
            .seed(model_seed);
        let mut model = builder.build().unwrap();
        let report = adam()
            .seed(trainer_seed)
            .validation_split(0.2)
            .corruption(Corruption::Masking { fraction: 0.3 })
            .fit(&mut model, &x)
            .unwrap();
        (model.into_parameters(), report)
    };
    let first = train(1, 2);
    assert_eq!(first, train(1, 2));
    assert_ne!(first.0, train(1, 3).0); // order, split, and noise
    assert_ne!(first.0, train(4, 2).0);
}

#[test]
fn a_trainer_with_settings_is_the_trainer_of_the_setters() {
    let x = samples::<f32>(12, 80);
    let set = adam()
        .seed(5)
        .validation_split(0.2)
        .patience(2)
        .schedule(Schedule::cosine(0.1))
        .clip_gradient(0.5)
        .corruption(Corruption::Masking { fraction: 0.3 });
    let adam = Adam::new(0.01).unwrap();
    let given = Trainer::with_settings(adam, set.settings().clone());
    assert_eq!(given.settings(), set.settings());
    let fit = |mut trainer: Trainer<f32>| {
        let mut model = SparseAutoencoder::builder()
            .layers([12, 20])
            .build()
            .unwrap();
        let report = trainer.fit(&mut model, &x).unwrap();
        (model.into_parameters(), report)
    };
    assert_eq!(fit(given), fit(set));
}

#[test]
fn each_use_of_the_seed_of_a_trainer_changes_the_result() {
    let x = samples::<f64>(20, 96);
    let train = |trainer: Trainer<f64>, seed| {
        let mut model = SparseAutoencoder::builder()
            .layers([20, 12])
            .build()
            .unwrap();
        trainer.seed(seed).fit(&mut model, &x).unwrap();
        theta(&model)
    };
    let whole = || adam().batch_size(96);
    let noise = Corruption::Gaussian {
        standard_deviation: 0.1,
    };
    assert_eq!(train(whole(), 1), train(whole(), 2)); // nothing is drawn
    assert_ne!(train(adam(), 1), train(adam(), 2)); // the order
    assert_ne!(
        train(whole().corruption(noise), 1),
        train(whole().corruption(noise), 2)
    );
    assert_ne!(
        train(whole().validation_split(0.5), 1),
        train(whole().validation_split(0.5), 2)
    );
}

// ---- threads

/// The bits of everything a model computes, after some steps.
fn everything<T: Real>(
    builder: &SparseAutoencoderBuilder<T>,
    trainer: Trainer<T>,
    x: &DMatrix<T>,
    threads: Option<usize>,
) -> Vec<Vec<u64>> {
    let (mut trainer, mut workspace) = (trainer, Workspace::new());
    if let Some(threads) = threads {
        trainer = trainer.threads(threads);
        workspace = workspace.with_threads(threads);
    }
    let mut model = builder.build().unwrap();
    let report = trainer.fit(&mut model, x).unwrap();
    let mut gradient = vec![T::zero(); model.layout().len()];
    let loss = model
        .loss_and_gradient(x, &mut gradient, &mut workspace)
        .unwrap();
    let mut hidden = DMatrix::zeros(model.layout().hidden_size(), x.ncols());
    model.encode_into(x, &mut hidden, &mut workspace).unwrap();
    let mut decoded = DMatrix::zeros(model.layout().input_size(), x.ncols());
    model
        .decode_into(&hidden, &mut decoded, &mut workspace)
        .unwrap();
    let losses = report
        .losses
        .iter()
        .chain(&report.validation_losses)
        .chain([&loss]);
    let losses: Vec<T> = losses
        .flat_map(|loss| {
            let data = [loss.reconstruction, loss.auxiliary];
            [data, [loss.weight_decay, loss.sparsity]]
        })
        .flatten()
        .collect();
    let errors = model.reconstruction_errors(x).unwrap();
    vec![
        theta(&model),
        bits(&losses),
        bits(&gradient),
        bits(hidden.as_slice()),
        bits(decoded.as_slice()),
        bits(errors.as_slice()),
    ]
}

fn pools() -> [ThreadPool; 3] {
    [1, 2, 4].map(|threads| {
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    })
}

fn assert_same_for_any_number_of_threads<T: Real>(
    builder: &SparseAutoencoderBuilder<T>,
    trainer: &(dyn Fn() -> Trainer<T> + Sync),
    x: &DMatrix<T>,
) {
    let alone = everything(builder, trainer(), x, Some(1));
    assert!(
        alone
            .iter()
            .flatten()
            .all(|&bits| f64::from_bits(bits).is_finite())
    );
    let mut others = vec![(
        "no pool".to_string(),
        everything(builder, trainer(), x, None),
    )];
    for pool in pools() {
        for threads in [None, Some(1), Some(2), Some(4)] {
            let name = format!("{threads:?} in a pool of {}", pool.current_num_threads());
            let result = pool.install(|| everything(builder, trainer(), x, threads));
            others.push((name, result));
        }
    }
    let kinds = [
        "parameters",
        "losses",
        "gradient",
        "hidden",
        "decoded",
        "errors",
    ];
    for (name, other) in others {
        for ((kind, alone), other) in kinds.iter().zip(&alone).zip(&other) {
            assert!(alone == other, "{kind} with {name}: {builder:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_of_large_batches() {
    // 256 · 784 · 300 multiplications a product, and 256 · 300 activations: both far above the
    // sizes from which a second thread is used.
    let x = samples::<f32>(784, 512);
    let builder = SparseAutoencoder::builder()
        .layers([784, 300])
        .weight_decay(1e-3)
        .penalty_weight(0.1);
    let trainer = || {
        Trainer::new(Adam::new(1e-3).unwrap())
            .epochs(1)
            .batch_size(256)
    };
    assert_same_for_any_number_of_threads(&builder, &trainer, &x);
}

#[test]
fn the_number_of_threads_changes_no_bit_of_a_few_samples() {
    // Products with matrices of 2.1 million entries, read by several threads.
    let x = samples::<f32>(1031, 3);
    let builder = SparseAutoencoder::builder()
        .layers([1031, 2053])
        .weight_decay(1e-3);
    let trainer = || adam().epochs(2).batch_size(1);
    assert_same_for_any_number_of_threads(&builder, &trainer, &x);
}

#[test]
fn the_number_of_threads_changes_no_bit_of_ragged_shapes() {
    // No size is a multiple of a vector, a tile, or a panel; products of 2.7 million. The second
    // has passes over 70 000 entries too.
    for (input_size, hidden, count) in [(130, 97, 211), (211, 333, 317)] {
        let x = samples::<f64>(input_size, count);
        let builder = SparseAutoencoder::builder()
            .layers([input_size, hidden])
            .tied(input_size == 130)
            .penalty((Proportion, SquaredDeviation))
            .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
        let trainer = || {
            Trainer::new(Sgd::new(0.01).unwrap().momentum(0.9).unwrap())
                .epochs(2)
                .batch_size(count)
                .clip_gradient(1.0)
        };
        assert_same_for_any_number_of_threads(&builder, &trainer, &x);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_of_deep_models() {
    let x = samples::<f32>(257, 600);
    let builder = SparseAutoencoder::builder()
        .layers([257, 190, 131])
        .hidden_activation(Activation::Tanh)
        .output_activation(Activation::Identity)
        .weight_decay(1e-3);
    let noise = Corruption::Gaussian {
        standard_deviation: 0.1,
    };
    let trainer = || {
        adam()
            .epochs(1)
            .batch_size(500)
            .corruption(noise)
            .validation_split(0.1)
    };
    assert_same_for_any_number_of_threads(&builder, &trainer, &x);
}

#[test]
fn the_number_of_threads_changes_no_bit_of_any_activation() {
    let x = samples::<f32>(100, 300);
    let more = [
        Activation::TopK(20),
        Activation::WinnerTakeAll(0.03), // by the sparse passes
        Activation::BatchTopK(20),
        Activation::BatchTopK(100),
    ];
    for hidden in ACTIVATIONS.iter().copied().chain(more) {
        let builder = SparseAutoencoder::builder()
            .layers([100, 500])
            .hidden_activation(hidden)
            .penalty(())
            .output_activation(Activation::Identity)
            .pre_encoder_bias(hidden.kept(500).is_none())
            .initialization(Initialization::TransposedDecoder { norm: 1.0 });
        let trainer = || adam().epochs(2).batch_size(300).unit_norm_decoder(true);
        assert_same_for_any_number_of_threads(&builder, &trainer, &x);
    }
    for hidden in ACTIVATIONS.iter().filter(|f| f.range().is_none()) {
        let weighted = SparseAutoencoder::builder()
            .layers([100, 800])
            .hidden_activation(*hidden)
            .output_activation(Activation::Identity)
            .penalty((L1, Proportion)) // both channels
            .penalty_weight(0.01)
            .norm_weighted(true);
        let trainer = || adam().epochs(1).batch_size(300).unit_norm_decoder(true);
        assert_same_for_any_number_of_threads(&weighted, &trainer, &x);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_of_lbfgs() {
    let x = samples::<f64>(64, 1100); // more than go through inference at a time
    let builder = SparseAutoencoder::builder()
        .layers([64, 81])
        .penalty_weight(0.5);
    let trainer = || Trainer::new(Lbfgs::new()).epochs(3);
    assert_same_for_any_number_of_threads(&builder, &trainer, &x);
}

// ---- the loop

#[test]
fn an_observer_changes_nothing() {
    let x = samples::<f32>(20, 100);
    let train = |observed: bool| {
        let mut model = SparseAutoencoder::builder()
            .layers([20, 30])
            .build()
            .unwrap();
        let mut trainer = adam()
            .validation_split(0.1)
            .corruption(Corruption::Masking { fraction: 0.2 });
        let report = if observed {
            trainer.fit_with(&mut model, &x, |epoch| {
                // Whatever it does with the model.
                epoch.model.encode(&x).unwrap();
                epoch.model.loss(&x).unwrap();
                ControlFlow::Continue(())
            })
        } else {
            trainer.fit(&mut model, &x)
        };
        (model.into_parameters(), report.unwrap())
    };
    assert_eq!(train(true), train(false));
}

#[test]
fn partial_fit_is_the_loop_that_one_would_write() {
    let x = samples::<f64>(20, 90);
    let batches = || (0..3).cycle().take(12).map(|b| x.columns(30 * b, 30));
    let builder = SparseAutoencoder::<f64>::builder()
        .layers([20, 30, 10])
        .weight_decay(0.01);

    let mut trained = builder.build().unwrap();
    let mut trainer = Trainer::new(Adam::new(0.01).unwrap());
    let losses: Vec<Loss<f64>> = batches()
        .map(|batch| trainer.partial_fit(&mut trained, batch).unwrap())
        .collect();

    let mut model = builder.build().unwrap();
    let mut adam = Adam::new(0.01).unwrap();
    let mut workspace = Workspace::new();
    let mut theta = model.parameters().as_slice().to_vec();
    for (batch, expected) in batches().zip(losses) {
        let mut met = None;
        adam.step(&mut theta, &mut |theta, gradient| {
            model.set_theta(theta).unwrap();
            let loss = model
                .loss_and_gradient(batch, gradient, &mut workspace)
                .unwrap();
            met = Some(loss);
            loss.total()
        });
        assert_eq!(met, Some(expected));
    }
    model.set_theta(&theta).unwrap();
    assert_eq!(model.parameters(), trained.parameters());
}

#[test]
fn fit_on_one_batch_is_partial_fit_again_and_again() {
    let x = samples::<f32>(20, 50);
    let builder = SparseAutoencoder::<f32>::builder().layers([20, 30]);
    let noise = Corruption::Gaussian {
        standard_deviation: 0.2,
    };
    let trainer = || adam().batch_size(50).corruption(noise).seed(9);
    let (mut fitted, mut stepped) = (builder.build().unwrap(), builder.build().unwrap());
    trainer().epochs(5).fit(&mut fitted, &x).unwrap();
    let mut trainer = trainer();
    for _ in 0..5 {
        trainer.partial_fit(&mut stepped, &x).unwrap();
    }
    assert_eq!(fitted.parameters(), stepped.parameters());
}

#[test]
fn a_trainer_that_is_reset_or_fits_again_repeats_itself() {
    let x = samples::<f32>(20, 100);
    let builder = SparseAutoencoder::<f32>::builder().layers([20, 30]);
    let noise = Corruption::Gaussian {
        standard_deviation: 0.2,
    };
    let mut trainer = adam().epochs(2).corruption(noise).seed(4);
    let fit = |trainer: &mut Trainer<f32>| -> (Parameters<f32>, Report<f32>) {
        let mut model = builder.build().unwrap();
        let report = trainer.fit(&mut model, &x).unwrap();
        (model.into_parameters(), report)
    };
    let steps = |trainer: &mut Trainer<f32>| {
        let mut model = builder.build().unwrap();
        trainer.partial_fit(&mut model, x.columns(0, 30)).unwrap();
        trainer.partial_fit(&mut model, x.columns(30, 30)).unwrap();
        model.into_parameters()
    };

    let fitted = fit(&mut trainer);
    trainer.reset();
    assert_eq!(fit(&mut trainer), fitted);
    assert_eq!(fit(&mut trainer), fitted); // a fit starts afresh by itself

    trainer.reset();
    let stepped = steps(&mut trainer);
    assert_ne!(steps(&mut trainer), stepped); // moments and noise go on
    trainer.reset();
    assert_eq!(steps(&mut trainer), stepped);
    fit(&mut trainer);
    trainer.reset();
    assert_eq!(steps(&mut trainer), stepped);
}

#[test]
fn the_schedule_of_a_fit_plays_no_part_in_the_steps_after_it() {
    let x = samples::<f64>(20, 40);
    let builder = SparseAutoencoder::<f64>::builder().layers([20, 30]);
    let step = |trainer: &mut Trainer<f64>| {
        let mut model = builder.build().unwrap();
        trainer.partial_fit(&mut model, &x).unwrap();
        model.into_parameters()
    };
    let plain = step(&mut adam());
    let mut scheduled = adam().schedule(Schedule::linear(0.0).warm_up(0.5));
    assert_eq!(step(&mut scheduled), plain);
    scheduled.fit(&mut builder.build().unwrap(), &x).unwrap();
    scheduled.reset();
    assert_eq!(step(&mut scheduled), plain);
}
