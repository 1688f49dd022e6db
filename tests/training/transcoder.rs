//! The training of transcoders.

use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::recipe::{Recipe, Variant};
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, Imputer, Initialization, L1, Pairs, Penalty,
    Samples, Scaling, SetPoint, Shards, SparseAutoencoder, Trainer,
};

use crate::common::digits;
use crate::common::recipes::RECIPES;

/// The left half of each digit, and the right half.
fn halves(digits: &DMatrix<f32>) -> [DMatrix<f32>; 2] {
    let is_left = |pixel: &usize| pixel % 8 < 4;
    let (left, right): (Vec<usize>, Vec<usize>) = (0..64).partition(is_left);
    [left, right].map(|rows| digits.select_rows(&rows))
}

fn trainer() -> Trainer<f32> {
    Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(4)
        .batch_size(30)
}

/// With its input as the target, a transcoder learns what the autoencoder does, bit for bit.
#[test]
fn a_transcoder_to_its_input_learns_as_the_autoencoder() {
    type Setting = fn(Trainer<f32>) -> Trainer<f32>;
    let l1 = || Box::new(L1) as Box<dyn Penalty<f32>>;
    let none = || Box::new(()) as Box<dyn Penalty<f32>>;
    type Case = (Activation, fn() -> Box<dyn Penalty<f32>>, Setting);
    let cases: [Case; 12] = [
        (Activation::Sigmoid, l1, |t| t),
        (Activation::TopK(3), none, |t| {
            t.corruption(Corruption::Masking { fraction: 0.3 })
        }),
        (Activation::TopK(3), none, |t| t.anneal_k(9, 0.5)),
        (Activation::TopK(3), none, |t| {
            t.dead_units(DeadUnits::after(40).auxiliary(8, 0.5))
        }),
        (Activation::BatchTopK(3), none, |t| {
            t.dead_units(DeadUnits::after(40).auxiliary(8, 0.5))
        }),
        (Activation::Relu, l1, |t| {
            t.dead_units(DeadUnits::after(40).resampled(1))
        }),
        (Activation::Relu, l1, |t| {
            t.set_point(SetPoint::active_units(5.0).gain(0.1))
        }),
        (Activation::Relu, l1, |t| {
            t.unit_norm_decoder(true).bias_rate(3.0)
        }),
        (Activation::Gated, l1, |t| {
            t.dead_units(DeadUnits::after(40).auxiliary(8, 0.5))
        }),
        (Activation::JumpRelu, none, |t| t.clip_gradient(0.1)),
        (Activation::WinnerTakeAll(0.1), none, |t| t),
        (Activation::Tanh, none, |t| {
            t.validation_split(0.2).patience(1)
        }),
    ];
    let ((digits, _), _) = digits::split(1500);
    for (hidden, penalty, setting) in cases {
        let builder = SparseAutoencoder::builder()
            .layers([64, 80])
            .hidden_activation(hidden)
            .output_activation(Activation::Identity)
            .penalty(penalty())
            .penalty_weight(0.3)
            .seed(1);
        let mut model = builder.build().unwrap();
        let mut transcoder = builder.output_size(64).build().unwrap();
        transcoder.set_theta(model.parameters().as_slice()).unwrap();
        let report = setting(trainer()).fit(&mut model, &digits).unwrap();
        let pairs = Pairs::new(&digits, &digits).unwrap();
        let of_pairs = setting(trainer()).fit(&mut transcoder, &pairs).unwrap();
        let (theta, of_transcoder) = (model.parameters(), transcoder.parameters());
        assert_eq!(theta.as_slice(), of_transcoder.as_slice(), "{hidden:?}");
        assert_eq!(report, of_pairs, "{hidden:?}");
    }
}

/// Sources outside memory, and pairs in shards, give the same bits.
#[test]
fn pairs_may_come_from_anywhere() {
    let ((digits, _), _) = digits::split(1500);
    let [left, right] = halves(&digits);
    let fit = |samples: &dyn Samples<f32>| {
        let recipe = Recipe::new(Variant::BatchTopK, 48, 4).output_size(32);
        recipe
            .samples(3000)
            .batch_size(64)
            .fit(samples)
            .unwrap()
            .model
    };
    let pairs = Pairs::new(&left, &right).unwrap();
    let expected = fit(&pairs);
    let whole = pairs.to_matrix().unwrap();
    let rows = Pairs::new(whole.rows(0, 32), whole.rows(32, 32)).unwrap();
    assert_eq!(fit(&rows).parameters(), expected.parameters());
    let parts = [(0, 100), (100, digits.ncols() - 100)].map(|(first, count)| {
        let part = |of: &DMatrix<f32>| of.columns(first, count).into_owned();
        Pairs::new(part(&left), part(&right)).unwrap()
    });
    let shards = Shards::new(parts.to_vec()).unwrap();
    assert_eq!(fit(&shards).parameters(), expected.parameters());
}

/// Every recipe reaches its number of active units, with and without a skip connection. From one half of a digit it
/// predicts more of the other than the best linear map of the same samples does: 0.32.
#[test]
fn recipes_learn_what_no_linear_map_can() {
    let ((digits, _), _) = digits::split(300);
    let [x, y] = halves(&digits);
    let pairs = Pairs::new(&x, &y).unwrap();
    let centered = |of: &DMatrix<f32>| {
        let mean = of.column_mean();
        DMatrix::from_columns(&of.column_iter().map(|x| x - &mean).collect::<Vec<_>>())
    };
    let (a, b) = (centered(&x), centered(&y));
    let svd = a.transpose().svd(true, true);
    let residual = &a.transpose() * svd.solve(&b.transpose(), 1e-3).unwrap() - b.transpose();
    let linear = 1.0 - f64::from(residual.norm_squared() / b.norm_squared());
    assert!((linear - 0.32).abs() < 0.01, "{linear}");
    for (_, variant) in RECIPES {
        for skip in [false, true] {
            let recipe = Recipe::new(variant, 128, 8)
                .samples(60_000)
                .batch_size(64)
                .output_size(32)
                .skip(skip);
            let fitted = recipe.fit(&pairs).unwrap();
            let mut metrics = ReconstructionMetrics::new(32);
            metrics
                .add(&y, fitted.model.reconstruct(&x).unwrap())
                .unwrap();
            let explained = metrics.explained_variance().unwrap();
            let mut sparsity = SparsityMetrics::new(128);
            sparsity.add(fitted.model.encode(&x).unwrap()).unwrap();
            let (l0, dead) = (sparsity.l0().unwrap(), sparsity.dead_units().len());
            let found = format!(
                "{variant:?}, skip {skip}: L0 {l0:.2}, explained {explained:.3}, {dead} dead"
            );
            println!("{found}");
            assert!((l0 / 8.0 - 1.0).abs() < 0.1, "{found}");
            // With a skip connection, L1 loses 26 to 52 of 128 units over seeds: the linear part goes first.
            let most = if skip && variant == Variant::L1 {
                64
            } else {
                32
            };
            assert!(explained > 0.6 && dead < most, "{found}");
        }
    }
}

#[test]
fn samples_that_are_no_pairs_are_refused() {
    let ((digits, _), _) = digits::split(1500);
    let [left, right] = halves(&digits);
    let pairs = Pairs::new(&left, &right).unwrap();
    for refused in [
        Pairs::new(&pairs, &right).map(drop),
        Pairs::new(&left, &pairs).map(drop),
    ] {
        let says = refused.unwrap_err().to_string();
        assert!(says.contains("Joined"), "{says}");
    }
    let mut transcoder = SparseAutoencoder::builder()
        .layers([32, 40])
        .hidden_activation(Activation::TopK(4))
        .output_activation(Activation::Identity)
        .output_size(32)
        .build()
        .unwrap();
    let error = trainer().fit(&mut transcoder, &left).unwrap_err();
    let what = "rows of the pairs of a transcoder";
    let expected = Error::DimensionMismatch {
        what,
        expected: 64,
        actual: 32,
    };
    assert_eq!(error, expected);
    let error = trainer().partial_fit(&mut transcoder, &right).unwrap_err();
    assert_eq!(error, expected);
    let recipe = Recipe::new(Variant::TopK, 40, 4).output_size(32);
    assert!(recipe.fit(&left).is_err());
    let mut broken = right.clone();
    broken[(3, 17)] = f32::NAN;
    let pairs = Pairs::new(&left, &broken).unwrap();
    // Sources that check what they read.
    let scaler = Scaling::identity().fit(Pairs::new(&left, &right).unwrap());
    let scaler = scaler.unwrap();
    let scaled = scaler.apply_on_read(&pairs).unwrap();
    let (of_inputs, of_targets) = scaler.split_at(32).unwrap();
    let inputs = of_inputs.apply_on_read(&left).unwrap();
    let parts = Pairs::new(inputs, of_targets.apply_on_read(&broken).unwrap()).unwrap();
    let errors = [
        trainer().fit(&mut transcoder, &pairs).unwrap_err(),
        transcoder.start_at(&pairs).unwrap_err(),
        recipe.fit(&pairs).unwrap_err(),
        trainer().fit(&mut transcoder, &scaled).unwrap_err(),
        transcoder.start_at(&scaled).unwrap_err(),
        trainer().fit(&mut transcoder, &parts).unwrap_err(),
        transcoder.start_at(&parts).unwrap_err(),
        recipe.fit(&parts).unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(
                error,
                Error::NonFinite {
                    row: 35,
                    column: 17,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    // The inputs alone, or the pairs.
    let inputs = transcoder.encode(pairs.to_matrix().unwrap().map(|x| x.max(0.0)));
    assert!(
        inputs
            .unwrap_err()
            .to_string()
            .ends_with("(without the target)")
    );
    let folded = transcoder.fold(
        &Scaling::standard()
            .keep_constant_features()
            .fit(&left)
            .unwrap(),
    );
    assert!(
        folded
            .unwrap_err()
            .to_string()
            .contains("Scaler::with_targets")
    );
}

/// What divides a sample elsewhere than the model would teach it to predict other entries.
#[test]
fn pairs_of_other_sizes_are_refused() {
    let table = DMatrix::from_fn(22, 60, |i, j| ((i * 31 + j * 17) as f32).sin());
    let (inputs, targets) = (table.rows(0, 16), table.rows(16, 6));
    let pairs = Pairs::new(inputs, targets).unwrap();
    let swapped = Pairs::new(targets, inputs).unwrap();
    let recipe = |output_size| {
        let recipe = Recipe::new(Variant::TopK, 12, 3).samples(60).batch_size(20);
        recipe.output_size(output_size)
    };
    assert!(recipe(6).fit(&pairs).is_ok());
    let all: Vec<usize> = (0..60).collect();
    let shards = Shards::new(vec![&pairs, &pairs]).unwrap();
    assert!(recipe(6).fit(&shards).is_ok());
    let says = |error: Error, text: &str| assert!(error.to_string().contains(text), "{error}");
    says(recipe(6).fit(&table).unwrap_err(), "Pairs::new");
    says(recipe(6).begin(&table).unwrap_err(), "Pairs::new");
    says(recipe(16).fit(&pairs).unwrap_err(), "a target in Pairs");
    says(recipe(6).fit(&swapped).unwrap_err(), "a target in Pairs");
    let autoencoder = Recipe::new(Variant::TopK, 12, 3);
    says(autoencoder.fit(&pairs).unwrap_err(), "set output_size");

    let builder = SparseAutoencoder::builder()
        .hidden_activation(Activation::TopK(3))
        .output_activation(Activation::Identity);
    let mut transcoder = builder
        .clone()
        .layers([16, 12])
        .output_size(6)
        .build()
        .unwrap();
    let scaler = Scaling::standard().fit(&swapped).unwrap();
    let scaled = scaler.apply_on_read(&swapped).unwrap();
    for swapped in [
        &swapped as &dyn Samples<f32>,
        &swapped.subset(&*all).unwrap(),
        &scaled,
        &Shards::new(vec![&swapped]).unwrap(),
    ] {
        let input = "an input in Pairs";
        says(trainer().fit(&mut transcoder, swapped).unwrap_err(), input);
        says(trainer().memory(&transcoder, swapped).unwrap_err(), input);
        says(transcoder.start_at(swapped).unwrap_err(), input);
    }
    let mut autoencoder = builder.layers([22, 12]).build().unwrap();
    let error = trainer().fit(&mut autoencoder, &pairs).unwrap_err();
    says(error, "set output_size");
    says(
        Shards::new(vec![&pairs as &dyn Samples<f32>, &swapped])
            .err()
            .unwrap(),
        "of a shard",
    );

    // Marks of missing values would follow the targets.
    let mut missing = table.clone();
    missing[(1, 0)] = f32::NAN;
    let imputer = Imputer::fit(&missing).unwrap();
    let missing = Pairs::new(missing.rows(0, 16).into_owned(), targets).unwrap();
    says(
        imputer.apply_on_read(&missing).unwrap_err(),
        "and then pair them",
    );
    let of_inputs = Imputer::new(&imputer.means()[..16], &[1]).unwrap();
    let imputed = of_inputs.apply_on_read(missing.inputs()).unwrap();
    let imputed = Pairs::new(imputed, targets).unwrap();
    assert_eq!(
        recipe(6).fit(&imputed).unwrap().model.layout().input_size(),
        17
    );
}

/// A deep transcoder with decoder columns like those of its encoder: only those of the output start at 0.
#[test]
fn a_deep_transcoder_learns_from_every_start() {
    let ((digits, _), _) = digits::split(1500);
    let [left, right] = halves(&digits);
    let pairs = Pairs::new(&left, &right).unwrap();
    for initialization in [
        Initialization::Glorot,
        Initialization::TransposedDecoder { norm: 1.0 },
    ] {
        let mut model = SparseAutoencoder::builder()
            .layers([32, 24, 12])
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .penalty(())
            .output_size(32)
            .initialization(initialization)
            .build()
            .unwrap();
        let report = trainer().epochs(60).fit(&mut model, &pairs).unwrap();
        let explained = report.explained_variance.last().copied().unwrap();
        assert!(explained > 0.5, "{initialization:?}: {explained}");
    }
}

/// A transcoder of a stream is calibrated on pairs, and used through the two parts of its scaler until it is finished.
#[test]
fn a_stream_of_pairs_is_learned_as_the_recipe_says() {
    let ((digits, _), _) = digits::split(1500);
    let [left, right] = halves(&digits);
    let pairs = Pairs::new(&left, &right).unwrap();
    for (_, variant) in RECIPES {
        let recipe = Recipe::new(variant, 48, 4).output_size(32).skip(true);
        let recipe = recipe.samples(3000).batch_size(100);
        let [mut training, mut begun] = [0, 1].map(|_| recipe.begin(&pairs).unwrap());
        let scaled = begun.scaler.apply_on_read(&pairs).unwrap();
        for (batch, unscaled) in scaled.batches(100).zip(pairs.batches(100)) {
            let (model, batch) = (&mut begun.model, batch.unwrap());
            let loss = begun.trainer.partial_fit(model, batch).unwrap();
            assert_eq!(training.partial_fit(unscaled.unwrap()), Ok(loss));
        }
        if matches!(variant, Variant::BatchTopK | Variant::Matryoshka) {
            begun.model.calibrate_thresholds(&scaled, 4.0).unwrap();
        }
        let finished = training.finish(&pairs).unwrap();
        let (of_inputs, of_targets) = begun.scaler.split_at(32).unwrap();
        let predicted = begun.model.reconstruct(of_inputs.apply(&left).unwrap());
        let expected = of_targets.invert(predicted.unwrap()).unwrap();
        begun.model.fold(&begun.scaler).unwrap();
        assert_eq!(
            finished.parameters(),
            begun.model.parameters(),
            "{variant:?}"
        );
        let difference = (begun.model.reconstruct(&left).unwrap() - expected).amax();
        assert!(difference < 1e-4, "{variant:?}: {difference:e}");
    }
}
