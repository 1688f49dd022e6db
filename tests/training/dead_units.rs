//! Units that have not been active for long, and the loss by which they learn from the residual.

use crate::common::fractions::fractions;
use crate::common::variants::{ACTIVATIONS, blocks};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, DeadUnits, Error, Initialization, Lbfgs, Real, ReconstructionLoss, Sgd,
    SparseAutoencoder, SparseAutoencoderBuilder, Trainer, Warning, Workspace,
};

pub(crate) const INPUT: usize = 6;
pub(crate) const UNITS: usize = 96;
const WEIGHT: f64 = 0.25;

pub(crate) fn samples(count: usize) -> DMatrix<f64> {
    fractions(INPUT, count, |phase| phase - 0.4)
}

pub(crate) fn builder(hidden: Activation) -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([INPUT, UNITS])
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .initialization(Initialization::TransposedDecoder { norm: 1.0 })
        .penalty(())
        .seed(4)
}

/// Whether dead units learn through negative pre-activations, too.
fn both_signs(hidden: Activation) -> bool {
    matches!(
        hidden,
        Activation::Relu
            | Activation::Gated
            | Activation::AbsTopK(_)
            | Activation::WinnerTakeAll(_)
    )
}

/// A, where `kept` of these dead units learn from this residual with these biases: the formula, in loops.
fn auxiliary(
    (model, biases): (&SparseAutoencoder<f64>, &[f64]),
    (dead, kept): (&[usize], usize),
    residual: &DMatrix<f64>,
    x: &DMatrix<f64>,
) -> f64 {
    let layer = model.parameters().layer(0).unwrap();
    let mut sum = 0.0;
    for (sample, e) in x.column_iter().zip(residual.column_iter()) {
        let mut input = sample.into_owned();
        if model.has_pre_encoder_bias() {
            input -= layer.decoder_bias;
        }
        let of = |&j: &usize| {
            let z = layer.encoder_weights.column(j).dot(&input) + biases[j];
            (z, j)
        };
        let mut z: Vec<(f64, usize)> = dead.iter().map(of).collect();
        let both_signs = both_signs(model.hidden_activations()[0]);
        let counted = |z: f64| if both_signs { z.abs() } else { z };
        z.sort_by(|a, b| counted(b.0).total_cmp(&counted(a.0)));
        let mut e_hat = e * 0.0;
        for &(z, j) in z.iter().take(kept) {
            let h = if both_signs { z } else { z.max(0.0) };
            e_hat += layer.decoder_weights.column(j) * h;
        }
        sum += 0.5 * (e_hat - e).norm_squared();
    }
    let share = variance(x) / variance(residual);
    WEIGHT * share * sum / x.ncols() as f64
}

/// The mean squared distance from the mean sample.
fn variance(samples: &DMatrix<f64>) -> f64 {
    samples.row_iter().map(|row| row.variance()).sum()
}

/// The hidden activations of samples that are one batch of training.
fn hidden_of_batch(model: &SparseAutoencoder<f64>, x: &DMatrix<f64>) -> DMatrix<f64> {
    let of_batch = match model.hidden_activations()[0] {
        Activation::BatchTopK(k) => Some((k * x.ncols(), false)),
        Activation::WinnerTakeAll(p) => Some(((p * x.ncols() as f64).ceil() as usize, true)),
        _ => None,
    };
    let Some((kept, of_each_unit)) = of_batch else {
        return model.encode(x).unwrap();
    };
    let layer = model.parameters().layer(0).unwrap();
    let mut hidden = x.clone();
    if model.has_pre_encoder_bias() {
        hidden
            .column_iter_mut()
            .for_each(|mut x| x -= layer.decoder_bias);
    }
    hidden = layer.encoder_weights.transpose() * hidden;
    hidden
        .column_iter_mut()
        .for_each(|mut z| z += layer.encoder_bias);
    hidden.apply(|z| *z = z.max(0.0));
    let keep = |values: &mut dyn Iterator<Item = &mut f64>| {
        let mut values: Vec<&mut f64> = values.collect();
        values.sort_by(|a, b| b.total_cmp(a));
        values.into_iter().skip(kept).for_each(|value| *value = 0.0);
    };
    if of_each_unit {
        hidden
            .row_iter_mut()
            .for_each(|mut row| keep(&mut row.iter_mut()));
    } else {
        keep(&mut hidden.iter_mut());
    }
    hidden
}

/// What a batch of training leaves of the samples.
fn residual_of_batch(model: &SparseAutoencoder<f64>, x: &DMatrix<f64>) -> DMatrix<f64> {
    x - model.decode(hidden_of_batch(model, x)).unwrap()
}

#[test]
fn the_auxiliary_loss_is_its_formula_and_its_gradient_that_of_a_constant_residual() {
    let each = |&hidden| {
        [
            (hidden, true, false, 10, &[][..]),
            (hidden, false, true, 3, &[]),
        ]
    };
    let nested = &[10, 50][..];
    let more = [
        (Activation::TopK(2), false, false, 4, &[][..]),
        (Activation::TopK(2), true, true, 20, &[]),
        (Activation::TopK(20), false, true, 1000, &[]),
        (Activation::TopK(2), false, true, 4, nested),
        (Activation::BatchTopK(2), true, false, 4, nested),
        (Activation::Relu, false, false, 4, nested),
        (Activation::JumpRelu, false, true, 4, nested),
    ];
    let (mut checked, mut refused, mut fallen) = (0, 0, 0);
    for (hidden, tied, centered, kept, prefixes) in ACTIVATIONS.iter().flat_map(each).chain(more) {
        let name = format!("{hidden:?} tied {tied} centered {centered} kept {kept} {prefixes:?}");
        let builder = builder(hidden).tied(tied).pre_encoder_bias(centered);
        let builder = builder.matryoshka(prefixes);
        let mut start = builder.build().unwrap();
        let mut theta = start.parameters().as_slice().to_vec();
        for (k, theta) in theta.iter_mut().enumerate() {
            let phase = (k * 29 + 5) as f64 * 0.414_213_562_373_095;
            *theta += 0.2 * (phase.fract() - 0.5);
        }
        start.set_theta(&theta).unwrap();

        let (first, x) = (samples(2), samples(40).columns(20, 20).into_owned());
        let mut trainer = Trainer::new(Sgd::new(1.0).unwrap())
            .dead_units(DeadUnits::after(2).auxiliary(kept, WEIGHT));
        if let Err(error) = trainer.partial_fit(&mut start.clone(), &first) {
            assert!(
                matches!(error, Error::Incompatible { .. }),
                "{name}: {error}"
            );
            let hidden = start.encode(&first).unwrap();
            assert!(
                start.hidden_activations()[0].range().is_some() || hidden.iter().all(|&h| h != 0.0),
                "{name}"
            );
            refused += 1;
            continue;
        }
        checked += 1;
        let residual = residual_of_batch(&start, &x);
        if prefixes.is_empty() {
            let of_residual = 0.5 * residual.norm_squared() / x.ncols() as f64;
            let loss = start.loss(&x).unwrap().reconstruction;
            assert!((loss - of_residual).abs() < 1e-12, "{name}");
        }

        // Dead are the units that the first batch does not need: nothing depends on their bias.
        let mut gradient = vec![0.0; theta.len()];
        start
            .loss_and_gradient(&first, &mut gradient, &mut Workspace::new())
            .unwrap();
        let of_biases = &gradient[INPUT * UNITS..][..UNITS];
        let dead: Vec<usize> = (0..UNITS).filter(|&j| of_biases[j] == 0.0).collect();
        assert!(dead.len() > 10 && dead.len() < UNITS, "{name}");
        // An active unit that were taken for dead would be one here.
        let active = hidden_of_batch(&start, &first);
        assert!(
            dead.iter()
                .all(|&j| active.row(j).iter().all(|&h| h == 0.0)),
            "{name}"
        );

        let mut trained = start.clone();
        let loss = trainer.partial_fit(&mut trained, &x).unwrap();

        // A negative bias counts as 0, where the other sign tells nothing.
        let floor = if both_signs(hidden) { f64::MIN } else { 0.0 };
        let biases = start.parameters().layer(0).unwrap().encoder_bias;
        let biases: Vec<f64> = biases.iter().map(|b| b.max(floor)).collect();
        let of = |model: &_, biases: &_| auxiliary((model, biases), (&dead, kept), &residual, &x);
        let expected = of(&start, &biases) + start.loss(&x).unwrap().auxiliary;
        assert!((loss.auxiliary - expected).abs() < 1e-12, "{name}");

        start
            .loss_and_gradient(&x, &mut gradient, &mut Workspace::new())
            .unwrap();
        let (mut difference, mut size) = (0.0, 0.0);
        // A threshold of all units follows the batch, and has no gradient.
        let blocks = blocks(hidden, UNITS);
        let followed = blocks.iter().filter(|&&len| len == 1).count();
        let learned = &trained.parameters().as_slice()[..theta.len() - followed];
        for (k, trained) in learned.iter().enumerate() {
            let bias = k.checked_sub(INPUT * UNITS).filter(|&j| j < UNITS);
            let at = |step: f64| {
                if let Some(j) = bias {
                    let mut biases = biases.clone();
                    biases[j] += step;
                    return of(&start, &biases);
                }
                let mut moved = theta.clone();
                moved[k] += step;
                let mut model = start.clone();
                model.set_theta(&moved).unwrap();
                of(&model, &biases)
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            let only_rises = bias.is_some() && theta[k] < floor;
            fallen += usize::from(only_rises && numeric != 0.0);
            let numeric = if only_rises {
                numeric.min(0.0)
            } else {
                numeric
            };
            let analytic = theta[k] - trained - gradient[k];
            difference += (analytic - numeric).powi(2);
            size += (analytic + numeric).powi(2);
        }
        let error = (difference / size).sqrt();
        assert!(error < 1e-7, "{name}: {error:e}");
    }
    // Four are never 0 or bounded.
    assert_eq!(refused, 2 * 4);
    assert_eq!(checked + refused, 2 * ACTIVATIONS.len() + more.len());
    assert!(fallen > 20, "{fallen}");
}

/// Takes a step with these samples, after one that leaves most units dead, with and without an auxiliary
/// loss. Returns whether there was a residual to learn.
fn learns(start: &SparseAutoencoder<f64>, first: &DMatrix<f64>, x: &DMatrix<f64>) -> bool {
    let step = |weight| {
        let mut trained = start.clone();
        let mut trainer = Trainer::new(Sgd::new(1.0).unwrap())
            .dead_units(DeadUnits::after(first.ncols()).auxiliary(20, weight));
        // A step of rate 1 on dead units only; the others stay.
        trainer.partial_fit(&mut trained, first).unwrap();
        trained.set_theta(start.parameters().as_slice()).unwrap();
        let loss = trainer.partial_fit(&mut trained, x).unwrap();
        (loss, trained)
    };
    let ((loss, with), (without_loss, without)) = (step(WEIGHT), step(0.0));
    let learned = with.parameters() != without.parameters();
    assert_eq!(learned, loss != without_loss);
    assert!(loss.auxiliary.is_finite() && loss.auxiliary >= without_loss.auxiliary);
    learned
}

#[test]
fn no_unit_learns_from_rounding() {
    let (first, mut checked) = (samples(2), 0);
    for &hidden in ACTIVATIONS {
        for (tied, centered) in [(false, false), (true, false), (false, true)] {
            let builder = builder(hidden).tied(tied).pre_encoder_bias(centered);
            let start = builder.build().unwrap();
            let mut trainer = Trainer::new(Sgd::new(1.0).unwrap())
                .dead_units(DeadUnits::after(2).auxiliary(1, 0.1));
            if trainer.partial_fit(&mut start.clone(), &first).is_err() {
                continue;
            }
            checked += 1;
            let name = format!("{hidden:?} {tied} {centered}");
            let x = samples(40).columns(20, 20).into_owned();
            assert!(learns(&start, &first, &x), "{name}");
            for column in 0..20 {
                // A single sample has no variance, and so have equal ones.
                let one = x.columns(column, 1).into_owned();
                assert!(!learns(&start, &first, &one), "{name}");
                let equal = DMatrix::from_fn(INPUT, 7, |i, _| one[i]);
                assert!(!learns(&start, &first, &equal), "{name}");
            }
        }
    }
    assert!(checked >= 3 * 7, "{checked}");

    // The first units reconstruct everything, up to rounding. The others look the same way, but lose.
    let mut start = builder(Activation::TopK(INPUT)).build().unwrap();
    let mut theta = start.parameters().as_slice().to_vec();
    let (encoder, decoder) = (0, INPUT * UNITS + UNITS);
    for j in 0..UNITS {
        let size = if j < 2 * INPUT { 3.0 } else { 1e-3 };
        for i in 0..INPUT {
            let sign = if (j / INPUT).is_multiple_of(2) {
                size
            } else {
                -size
            };
            let here = if j % INPUT == i { sign } else { 0.0 };
            theta[encoder + j * INPUT + i] = here;
            theta[decoder + j * INPUT + i] = here / 9.0;
        }
    }
    start.set_theta(&theta).unwrap();
    let x = samples(40);
    let residual = &x - start.reconstruct(&x).unwrap();
    assert!(residual.amax() > 0.0 && residual.amax() < 1e-15);
    assert!(!learns(&start, &x, &x));
}

#[test]
fn units_die_after_so_many_samples_and_live_again() {
    let x = samples(40);
    let mut model = builder(Activation::TopK(2)).build().unwrap();
    let mut counts = Vec::new();
    let report = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(4)
        .batch_size(10)
        .dead_units(DeadUnits::after(80))
        .fit_with(&mut model, &x, |epoch| {
            counts.extend(epoch.dead_units);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(counts, report.dead_units);
    assert_eq!(counts[0], 0); // nobody has been idle for so long
    // 40 samples have room for 80 active units, and choose fewer.
    assert!(counts[3] > UNITS - 80, "{counts:?}");
}

#[test]
fn a_fit_counts_units_that_were_inactive_for_an_epoch() {
    let x = samples(40);
    let mut checked = 0;
    for &hidden in ACTIVATIONS {
        let trainer = || {
            Trainer::new(Adam::new(1e-2).unwrap())
                .epochs(4)
                .batch_size(10)
        };
        let fit = |mut trainer: Trainer<f64>| {
            let mut model = builder(hidden).build().unwrap();
            let report = trainer.fit(&mut model, &x)?;
            Ok::<_, Error>((report.dead_units, report.warnings))
        };
        let (dead, warnings) = fit(trainer()).unwrap();
        let Ok(counted) = fit(trainer().dead_units(DeadUnits::after(40))) else {
            assert!(dead.is_empty(), "{hidden:?} is never 0");
            continue;
        };
        checked += usize::from(dead[3] > UNITS / 10);
        assert_eq!((&dead, &warnings), (&counted.0, &counted.1), "{hidden:?}");
        let warned = |warning: &Warning| matches!(warning, Warning::DeadUnits { .. });
        assert_eq!(warnings.iter().any(warned), dead[3] > UNITS / 10);

        // A stream counts only if `dead_units` is set.
        let mut stream = trainer();
        let mut model = builder(hidden).build().unwrap();
        stream.fit(&mut model, &x).unwrap();
        stream.partial_fit(&mut model, &x).unwrap();
        assert!(!stream.warnings(&model).iter().any(warned), "{hidden:?}");
    }
    assert!(checked > 2, "{checked}");
}

#[test]
fn dead_units_come_back_by_the_auxiliary_loss_and_the_reconstruction_gains() {
    // Two of 40 directions in each sample, and a model whose decoder's bias drowns them at first: the
    // few units that look that way win every sample.
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut normal = || rng.sample::<f64, _>(StandardNormal);
    let directions = DMatrix::from_fn(16, 40, |_, _| normal() / 4.0);
    let x = DMatrix::from_fn(16, 1000, |i, n| {
        1.0 + directions[(i, (n * 7 + n / 40) % 40)] + directions[(i, (n * 11 + 3) % 40)]
    });
    let fit = |dead_units: DeadUnits| {
        let builder = builder(Activation::TopK(2)).layers([16, 80]);
        let mut model = builder.build().unwrap();
        let report = Trainer::new(Adam::new(3e-3).unwrap())
            .epochs(60)
            .batch_size(100)
            .dead_units(dead_units)
            .fit(&mut model, &x)
            .unwrap();
        (report.dead_units[59], report.losses[59].reconstruction)
    };
    let without = fit(DeadUnits::after(1000));
    let with = fit(DeadUnits::after(1000).auxiliary(8, 1.0 / 32.0));
    assert!(with.0 < without.0, "{with:?} {without:?}");
    assert!(with.1 < without.1, "{with:?} {without:?}");
}

/// A `Relu` or `Gated` unit without a positive pre-activation learns from the others.
#[test]
fn units_that_open_at_zero_come_back_from_below_it() {
    let x = samples(200);
    for hidden in [Activation::Relu, Activation::Gated] {
        let mut start = builder(hidden).build().unwrap();
        let mut theta = start.parameters().as_slice().to_vec();
        theta[INPUT * UNITS..][..UNITS / 2].fill(-1.0);
        start.set_theta(&theta).unwrap();
        let dead = |dead_units: DeadUnits| {
            let mut model = start.clone();
            let report = Trainer::new(Adam::new(1e-2).unwrap())
                .epochs(60)
                .batch_size(50)
                .dead_units(dead_units)
                .fit(&mut model, &x)
                .unwrap();
            report.dead_units[59]
        };
        let without = dead(DeadUnits::after(200));
        let with = dead(DeadUnits::after(200).auxiliary(INPUT / 2, 1e-3));
        assert!(with < without / 4, "{hidden:?}: {with} of {without}");
    }
}

/// The auxiliary loss of two steps, for samples around `offset`.
fn auxiliary_far_from_0<T: Real>(offset: f64) -> f64 {
    let x = samples(200).map(|x| T::of(x + offset));
    let mut model = SparseAutoencoder::<T>::builder()
        .layers([INPUT, UNITS])
        .hidden_activation(Activation::TopK(2))
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let mut trainer = Trainer::new(Sgd::new(1e-9).unwrap())
        .dead_units(DeadUnits::after(200).auxiliary(INPUT, WEIGHT));
    trainer.partial_fit(&mut model, &x).unwrap();
    let loss = trainer.partial_fit(&mut model, &x).unwrap();
    loss.auxiliary.to_f64()
}

#[test]
fn dead_units_learn_in_single_precision_far_from_0() {
    for offset in [0.0, 200.0, 1000.0] {
        let (single, double) = (
            auxiliary_far_from_0::<f32>(offset),
            auxiliary_far_from_0::<f64>(offset),
        );
        assert!(double > 0.0, "{offset}");
        let ratio = single / double;
        assert!((ratio - 1.0).abs() < 0.01, "{offset}: {ratio}");
    }
}

/// Units of either sign learn from pre-activations of both.
#[test]
fn a_dead_unit_of_signs_learns_from_a_negative_pre_activation() {
    let x = DMatrix::from_element(1, 20, 1.0) + samples(20).rows(0, 1) * 0.1;
    let mut start = SparseAutoencoder::<f64>::builder()
        .layers([1, 2])
        .hidden_activation(Activation::AbsTopK(1))
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    start
        .set_theta(&[1.0, -0.1, 0.0, 0.0, 0.5, 0.5, 0.0])
        .unwrap();
    let mut trainer =
        Trainer::new(Sgd::new(1e-3).unwrap()).dead_units(DeadUnits::after(20).auxiliary(1, WEIGHT));
    let mut model = start.clone();
    for _ in 0..2 {
        trainer.partial_fit(&mut model, &x).unwrap();
    }
    let weight = |model: &SparseAutoencoder<f64>| model.parameters().as_slice()[1];
    let moved = weight(&model) - weight(&start);
    assert!(moved.abs() > 1e-9, "{moved}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let x = DMatrix::from_fn(64, 600, |i, j| ((i * 7 + j * 13) % 31) as f64 / 31.0 - 0.3);
    let theta = |threads| {
        let mut model = SparseAutoencoder::<f64>::builder()
            .layers([64, 512])
            .hidden_activation(Activation::TopK(4))
            .output_activation(Activation::Identity)
            .build()
            .unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(3)
            .batch_size(300)
            .threads(threads)
            .dead_units(DeadUnits::after(300).auxiliary(16, 0.1));
        let report = trainer.fit(&mut model, &x).unwrap();
        assert!(report.losses[2].auxiliary > 0.0);
        model.parameters().as_slice().to_vec()
    };
    let one = theta(1);
    for threads in [2, 3] {
        assert!(
            one.iter()
                .zip(theta(threads))
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
    }
}

#[test]
fn a_trainer_that_meets_another_model_counts_afresh() {
    // As many parameters: 6 · 8 + 8 + 6 = 62 = 2 · 3 · 8 + 8 + 6 is tied and is not.
    let dead_units = DeadUnits::after(1).auxiliary(2, 0.1);
    let mut trainer = Trainer::new(Sgd::new(0.1).unwrap()).dead_units(dead_units);
    let build = |layers: [usize; 2], tied| {
        SparseAutoencoder::<f64>::builder()
            .layers(layers)
            .tied(tied)
            .hidden_activation(Activation::TopK(1))
            .output_activation(Activation::Identity)
            .build()
            .unwrap()
    };
    let (mut tied, mut free) = (build([6, 8], true), build([2, 12], false));
    assert_eq!(tied.layout().len(), free.layout().len());
    for _ in 0..3 {
        let loss = trainer.partial_fit(&mut tied, samples(9)).unwrap();
        assert!(loss.auxiliary <= 0.0); // no unit can be dead in the first step
        let loss = trainer.partial_fit(&mut free, samples(9).rows(0, 2).into_owned());
        assert!(loss.unwrap().auxiliary <= 0.0);
    }
}

#[test]
fn what_has_no_dead_units_or_no_residual_refuses_them() {
    let x = samples(20);
    let fit = |dead_units, builder: SparseAutoencoderBuilder<f64>| {
        let mut model = builder.build().unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).dead_units(dead_units);
        let before = model.clone();
        let error = trainer.fit(&mut model, &x).unwrap_err();
        assert_eq!(model.parameters(), before.parameters());
        let streamed = trainer.partial_fit(&mut model, &x).unwrap_err();
        assert_eq!(error.to_string(), streamed.to_string());
        error
    };
    let relu = || builder(Activation::Relu);
    let auxiliary = |units, weight| DeadUnits::after(10).auxiliary(units, weight);
    for (dead_units, parameter) in [
        (DeadUnits::after(0), "samples of DeadUnits"),
        (
            DeadUnits::after(1).resampled(0),
            "epochs of DeadUnits::resampled",
        ),
        (auxiliary(0, 0.1), "units of DeadUnits::auxiliary"),
        (auxiliary(1, f64::NAN), "weight of DeadUnits::auxiliary"),
        (auxiliary(1, -0.1), "weight of DeadUnits::auxiliary"),
        (
            auxiliary(1, f64::INFINITY),
            "weight of DeadUnits::auxiliary",
        ),
    ] {
        let error = fit(dead_units, relu());
        assert!(
            matches!(error, Error::InvalidParameter { name, .. } if name == parameter),
            "{error}"
        );
    }
    for (dead_units, builder) in [
        (DeadUnits::after(10), builder(Activation::Sigmoid)),
        (auxiliary(1, 0.1), builder(Activation::SaturatingLinear)),
        (
            DeadUnits::after(1).resampled(1),
            builder(Activation::TopK(2)),
        ),
        (
            DeadUnits::after(1).resampled(1),
            relu().layers([INPUT, 9, 4]),
        ),
        (auxiliary(1, 0.1), relu().layers([INPUT, 9, 4])),
        (
            auxiliary(1, 0.1),
            relu().output_activation(Activation::Sigmoid),
        ),
        (
            auxiliary(1, 0.1),
            relu()
                .output_activation(Activation::Sigmoid)
                .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy),
        ),
    ] {
        let error = fit(dead_units, builder);
        assert!(matches!(error, Error::Incompatible { .. }), "{error}");
    }

    let mut model = relu().build().unwrap();
    let full_batch = Trainer::new(Lbfgs::new())
        .dead_units(DeadUnits::after(10))
        .fit(&mut model, &x);
    assert!(matches!(full_batch, Err(Error::Incompatible { .. })));
}

/// Units that are dead because no pre-activation is positive have nothing to learn from but negative ones.
#[test]
fn units_that_open_at_zero_learn_below_it() {
    for activation in [
        Activation::Relu,
        Activation::Gated,
        Activation::WinnerTakeAll(0.2),
    ] {
        let mut model = builder(activation).build().unwrap();
        let mut theta = model.parameters().as_slice().to_vec();
        let biases = INPUT * UNITS..INPUT * UNITS + UNITS;
        theta[biases.clone()].fill(-10.0);
        model.set_theta(&theta).unwrap();
        let x = samples(40);
        let dead_units = DeadUnits::after(1).auxiliary(UNITS, WEIGHT);
        let mut trainer = Trainer::new(Sgd::new(1.0).unwrap()).dead_units(dead_units);
        trainer.partial_fit(&mut model, &x).unwrap(); // finds them dead
        let before = model.parameters().as_slice().to_vec();
        let loss = trainer.partial_fit(&mut model, &x).unwrap();
        assert!(loss.auxiliary > 0.0, "{activation:?}");
        let after = &model.parameters().as_slice()[biases.clone()];
        let moved = after
            .iter()
            .zip(&before[biases])
            .all(|(a, b)| (a - b).abs() > 0.0);
        assert!(moved, "{activation:?}");
    }
}
