//! Dead units that samples with a large reconstruction error replace.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::on_read::OnRead;

use super::dead_units::{INPUT, UNITS, builder, samples};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{Objective, Step};
use sparse_autoencoder::{Activation, Adam, DeadUnits, Error, L1, Optimizer, Sgd, Trainer};

/// A trainer of two epochs that replaces units after the first, if no sample of the last `after` activates them.
fn replacing(
    optimizer: impl Optimizer<f64> + 'static,
    batch_size: usize,
    after: usize,
) -> Trainer<f64> {
    Trainer::new(optimizer)
        .epochs(2)
        .batch_size(batch_size)
        .dead_units(DeadUnits::after(after).resampled(1))
}

/// Half of the samples have a squared error of 1 and half one of 2. These are drawn four times as often, not twice:
/// 1600 of 2000 times, with a standard deviation of √(2000 · 0.8 · 0.2) = 18. Five of them are allowed.
#[test]
fn samples_are_drawn_in_proportion_to_the_square_of_their_error() {
    const DEAD: usize = 2000;
    let mut model = builder(Activation::Relu).layers([2, DEAD]).build().unwrap();
    let mut theta = vec![0.0; model.layout().len()];
    theta[2 * DEAD..3 * DEAD].fill(-1.0);
    model.set_theta(&theta).unwrap();
    let x = DMatrix::from_fn(2, 20, |i, j| match (i, j % 2) {
        (0, 0) => 1.0,
        (1, 1) => 2.0_f64.sqrt(),
        _ => 0.0,
    });
    let report = replacing(Sgd::new(1e-13).unwrap(), 20, 20)
        .fit(&mut model, &x)
        .unwrap();
    assert_eq!(report.dead_units[0], DEAD);
    let columns = model.parameters().layer(0).unwrap().decoder_weights;
    let of_the_second = columns.row(1).iter().filter(|&&d| d > 0.5).count();
    assert!(of_the_second.abs_diff(1600) <= 90, "{of_the_second}");
}

/// Descent that notes what it is told to forget.
#[derive(Debug)]
struct Forgetful(Sgd<f64>, Arc<Mutex<Vec<usize>>>);

impl Optimizer<f64> for Forgetful {
    fn reset(&mut self, len: usize) {
        self.0.reset(len);
    }

    fn step(&mut self, theta: &mut [f64], objective: &mut Objective<'_, f64>) -> Step<f64> {
        self.0.step(theta, objective)
    }

    fn forget(&mut self, parameters: Range<usize>) {
        self.1.lock().unwrap().extend(parameters);
    }
}

#[test]
fn the_optimizer_forgets_the_parameters_of_units_that_are_replaced_and_no_others() {
    let dead = [3, 4, 50];
    for tied in [false, true] {
        let mut model = builder(Activation::Relu).tied(tied).build().unwrap();
        let mut theta = model.parameters().as_slice().to_vec();
        theta[INPUT * UNITS..][..UNITS].fill(3.0); // active in all samples
        for j in dead {
            theta[INPUT * UNITS + j] = -1e3;
        }
        model.set_theta(&theta).unwrap();
        let forgotten = Arc::default();
        let optimizer = Forgetful(Sgd::new(1e-13).unwrap(), Arc::clone(&forgotten));
        let report = replacing(optimizer, 10, 30)
            .fit(&mut model, samples(30))
            .unwrap();
        assert_eq!(report.dead_units, [3, 0]);
        let mut expected = Vec::new();
        for j in dead {
            expected.extend(j * INPUT..(j + 1) * INPUT);
            expected.push(INPUT * UNITS + j);
            if !tied {
                let decoder = INPUT * UNITS + UNITS;
                expected.extend(decoder + j * INPUT..decoder + (j + 1) * INPUT);
            }
        }
        expected.sort_unstable();
        let mut forgotten = std::mem::take(&mut *forgotten.lock().unwrap());
        forgotten.sort_unstable();
        assert_eq!(forgotten, expected, "tied {tied}");
    }
}

#[test]
fn units_that_are_not_replaced_stay_dead() {
    // Nothing is left to reconstruct.
    let x = DMatrix::zeros(INPUT, 200);
    let mut model = builder(Activation::Relu).build().unwrap();
    let report = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(6)
        .batch_size(50)
        .dead_units(DeadUnits::after(300).resampled(2))
        .fit(&mut model, &x)
        .unwrap();
    assert_eq!(report.dead_units, [0, UNITS, UNITS, UNITS, UNITS, UNITS]);
}

/// Of samples in a single batch, which are not shuffled, only the last are badly reconstructed.
#[test]
fn units_are_replaced_by_samples_beyond_the_first_65536() {
    let last = samples(1);
    let x = DMatrix::from_fn(INPUT, 67_000, |i, j| if j < 65_536 { 0.0 } else { last[i] });
    let builder = builder(Activation::Relu).layers([INPUT, 2]);
    let mut model = builder.build().unwrap();
    let mut theta = vec![0.0; model.layout().len()];
    theta[2 * INPUT..][..2].fill(-1.0);
    model.set_theta(&theta).unwrap();
    let report = replacing(Sgd::new(1e-13).unwrap(), 67_000, 67_000)
        .fit(&mut model, &x)
        .unwrap();
    assert_eq!(report.dead_units, [2, 0]);
}

#[test]
fn resampling_names_the_sample_that_it_cannot_use() {
    let spoils = AtomicBool::new(false);
    let x = OnRead(samples(1600), |indices: &[usize], batch: &mut [f64]| {
        let place = indices.iter().position(|&index| index == 1501);
        if let Some(place) = place.filter(|_| spoils.load(Ordering::Relaxed)) {
            batch[place * INPUT + 2] = f64::NAN;
        }
        Ok(())
    });
    let mut model = builder(Activation::Relu).build().unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    theta[INPUT * UNITS..][..UNITS / 2].fill(-1e3);
    model.set_theta(&theta).unwrap();
    let error = replacing(Sgd::new(1e-6).unwrap(), 1600, 1600)
        .fit_with(&mut model, &x, |_| {
            spoils.store(true, Ordering::Relaxed);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::NonFinite {
                row: 2,
                column: 1501,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn resampled_units_start_at_samples_that_are_badly_reconstructed() {
    // Zeros but for one sample, which is all that is reconstructed badly.
    let mut x = DMatrix::zeros(INPUT, 30);
    x.set_column(11, &samples(1).column(0));
    for (tied, centered) in [(false, false), (false, true), (true, false)] {
        let builder = builder(Activation::Relu)
            .tied(tied)
            .pre_encoder_bias(centered);
        let mut model = builder.build().unwrap();
        let mut theta = model.parameters().as_slice().to_vec();
        let bias = INPUT * UNITS;
        theta[bias..bias + 40].fill(-1e3); // dead
        theta[bias + 40..bias + UNITS].fill(3e-3); // active in all samples
        let last = theta.len() - INPUT;
        theta[last..].fill(1e-3);
        model.set_theta(&theta).unwrap();
        let before = model.clone();
        let report = replacing(Sgd::new(1e-13).unwrap(), 10, 30)
            .fit(&mut model, &x)
            .unwrap();
        assert_eq!(report.dead_units, [40, 0]);

        let center = if centered { 1e-3 } else { 0.0 };
        let direction = x.column(11).add_scalar(-center).normalize();
        let (old, new) = (
            before.parameters().layer(0).unwrap(),
            model.parameters().layer(0).unwrap(),
        );
        let living = old.encoder_weights.columns(40, UNITS - 40);
        let norm = living.column_iter().map(|w| w.norm()).sum::<f64>() / living.ncols() as f64;
        for j in 0..UNITS {
            let (w, d) = if j < 40 {
                (&direction * (0.2 * norm), direction.clone())
            } else {
                (
                    old.encoder_weights.column(j).into_owned(),
                    old.decoder_weights.column(j).into_owned(),
                )
            };
            let d = if tied { w.clone() } else { d };
            assert!((new.encoder_weights.column(j) - w).norm() < 1e-9, "{j}");
            assert!((new.decoder_weights.column(j) - d).norm() < 1e-9, "{j}");
            let b = if j < 40 { 0.0 } else { 3e-3 };
            assert!((new.encoder_bias[j] - b).abs() < 1e-9, "{j}");
        }
    }
}

#[test]
fn resampling_lowers_the_loss_of_a_model_with_dead_units() {
    let x = samples(400);
    let fit = |dead_units: DeadUnits| {
        let mut model = builder(Activation::Relu)
            .penalty(L1)
            .penalty_weight(0.01)
            .build()
            .unwrap();
        let mut theta = model.parameters().as_slice().to_vec();
        theta[INPUT * UNITS..INPUT * UNITS + UNITS - 3].fill(-1e3);
        model.set_theta(&theta).unwrap();
        let report = Trainer::new(Adam::new(3e-3).unwrap())
            .epochs(30)
            .batch_size(50)
            .dead_units(dead_units)
            .fit(&mut model, &x)
            .unwrap();
        (report.dead_units[29], report.losses[29].total())
    };
    let without = fit(DeadUnits::after(400));
    let with = fit(DeadUnits::after(400).resampled(10));
    assert_eq!(without.0, UNITS - 3);
    assert!(with.0 < UNITS / 2, "{with:?}");
    assert!(2.0 * with.1 < without.1, "{with:?} {without:?}");
}
