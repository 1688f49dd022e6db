//! Training that diverges.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use super::*;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::{Objective, Step};
use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient};
use sparse_autoencoder::{
    Activation, Error, Layout, Optimizer, Parameters, Penalty, Real, Sgd, SparseAutoencoderBuilder,
    Trainer,
};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

fn unbounded<T: Real>() -> SparseAutoencoderBuilder<T> {
    small()
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
}

/// Returns the loss.
#[track_caller]
fn assert_diverged<R: Debug>(result: Result<R, Error>, expected_step: u64) -> f64 {
    let error = result.expect_err("divergence");
    let Error::Diverged { step, loss } = error else {
        panic!("{error:?} instead of divergence");
    };
    assert_eq!(step, expected_step);
    display(
        &error,
        &["diverged", &format!("step {step}"), &loss.to_string()],
    );
    loss
}

#[test]
fn a_learning_rate_that_is_far_too_large_leaves_finite_parameters() {
    let x = samples(40);
    let sgd = || Sgd::<f32>::new(1e30).unwrap();
    for (mut trainer, step) in [
        (Trainer::new(sgd()).batch_size(40), 2), // the first step is still from a finite loss
        (Trainer::new(sgd()).batch_size(8), 2),
        (
            Trainer::new(sgd().momentum(0.9).unwrap())
                .batch_size(8)
                .patience(3),
            2,
        ),
        // Found on the samples held out, before another step is made.
        (Trainer::new(sgd()).validation_split(0.25), 1),
    ] {
        let mut model = unbounded::<f32>().build().unwrap();
        let loss = assert_diverged(trainer.fit(&mut model, &x), step);
        assert!(!loss.is_finite(), "{loss}");
        assert!(
            model
                .parameters()
                .as_slice()
                .iter()
                .all(|theta| theta.is_finite())
        );
    }
}

/// Walks into the optimum of data that are all 0, and then away from it for good.
#[derive(Debug, Default)]
struct Wanderer {
    steps: usize,
    gradient: Vec<f32>,
}

impl Optimizer<f32> for Wanderer {
    fn reset(&mut self, len: usize) {
        self.gradient = vec![0.0; len];
    }

    fn step(&mut self, theta: &mut [f32], objective: &mut Objective<'_, f32>) -> Step<f32> {
        let loss = objective(theta, &mut self.gradient);
        if loss.is_finite() {
            let factor = if self.steps < 3 { 0.5 } else { 100.0 };
            theta.iter_mut().for_each(|theta| *theta *= factor);
            self.steps += 1;
        }
        Step::moved(loss)
    }
}

#[test]
fn with_patience_divergence_leaves_the_best_epoch() {
    let mut model = unbounded::<f32>()
        .parameters(Parameters::new(Layout::new(&[3, 4], false).unwrap(), vec![0.5; 31]).unwrap())
        .build()
        .unwrap();
    let mut seen = Vec::new();
    let fit = Trainer::new(Wanderer::default())
        .batch_size(usize::MAX)
        .validation_split(0.5)
        .patience(50)
        .fit_with(&mut model, DMatrix::zeros(3, 10), |epoch| {
            seen.push((epoch.validation_loss.unwrap().total(), bits(epoch.model)));
            ControlFlow::Continue(())
        });
    assert_diverged(fit, seen.len() as u64 + 1);
    let best = seen
        .iter()
        .map(|(loss, _)| *loss)
        .fold(f32::INFINITY, f32::min);
    assert_eq!(seen.iter().position(|(loss, _)| *loss == best), Some(2));
    assert!(seen.len() > 3);
    assert_eq!(bits(&model), seen[2].1);
}

/// Gives `value` and adds `slope` to the gradient, from the call after `calls` on; else nothing.
#[derive(Debug)]
struct Failing {
    calls: usize,
    value: f64,
    slope: f64,
    seen: AtomicUsize,
}

impl Failing {
    fn after(calls: usize, value: f64, slope: f64) -> Self {
        let seen = AtomicUsize::new(0);
        Self {
            calls,
            value,
            slope,
            seen,
        }
    }
}

impl<T: Real> Penalty<T> for Failing {
    fn accumulate(
        &self,
        _: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        if self.seen.fetch_add(1, Ordering::Relaxed) < self.calls {
            return T::zero();
        }
        gradient.per_unit()[0] += scale * T::of(self.slope);
        T::of(self.value)
    }
}

#[test]
fn a_penalty_that_fails_leaves_the_last_parameters() {
    let x = samples::<f64>(20);
    for (value, slope) in [
        (f64::NAN, 0.0),
        (f64::INFINITY, 0.0),
        (f64::NEG_INFINITY, 0.0),
        (0.0, f64::NAN),
        (0.0, f64::INFINITY),
    ] {
        let build = |calls| {
            small::<f64>()
                .penalty(Failing::after(calls, value, slope))
                .build()
        };

        let mut model = build(3).unwrap();
        let mut last = Vec::new();
        let fit = trainer()
            .epochs(10)
            .batch_size(20)
            .fit_with(&mut model, &x, |epoch| {
                last = bits(epoch.model);
                ControlFlow::Continue(())
            });
        let loss = assert_diverged(fit, 4);
        assert_eq!(loss.is_finite(), value == 0.0, "the gradient alone");
        assert_eq!(bits(&model), last);

        // Within an epoch: two of the four steps of the second were made.
        let mut model = build(6).unwrap();
        let mut twin = build(usize::MAX).unwrap();
        let mut ended = Vec::new();
        assert_diverged(trainer().batch_size(5).fit(&mut model, &x), 7);
        let fit = trainer()
            .epochs(1)
            .batch_size(5)
            .fit_with(&mut twin, &x, |epoch| {
                ended = bits(epoch.model);
                ControlFlow::Continue(())
            });
        assert!(fit.is_ok());
        assert_ne!(bits(&model), ended);
        assert!(
            model
                .parameters()
                .as_slice()
                .iter()
                .all(|theta| theta.is_finite())
        );

        let mut model = build(2).unwrap();
        let mut trainer = trainer();
        assert!(trainer.partial_fit(&mut model, &x).is_ok());
        assert!(trainer.partial_fit(&mut model, &x).is_ok());
        let before = bits(&model);
        assert_diverged(trainer.partial_fit(&mut model, &x), 3);
        assert_eq!(bits(&model), before);
    }
}

#[test]
fn a_validation_loss_that_is_not_finite_is_divergence() {
    // Four steps of the first epoch, its validation, four steps, and the validation that fails.
    for patience in [None, Some(5)] {
        let penalty = Failing::after(9, f64::NAN, 0.0);
        let mut model = small::<f64>().penalty(penalty).build().unwrap();
        let mut first = Vec::new();
        let mut trainer = trainer().epochs(10).batch_size(5).validation_split(0.2);
        if let Some(patience) = patience {
            trainer = trainer.patience(patience);
        }
        let fit = trainer.fit_with(&mut model, samples(25), |epoch| {
            first = bits(epoch.model);
            ControlFlow::Continue(())
        });
        assert_diverged(fit, 8);
        assert_eq!(bits(&model) == first, patience.is_some());
    }
}

#[test]
fn clipping_keeps_the_direction_of_a_gradient_whose_square_overflows() {
    let penalty = Failing::after(0, 0.0, 1e30);
    let mut model = small::<f32>().penalty(penalty).build().unwrap();
    let before = model.parameters().as_slice().to_vec();
    let mut trainer = Trainer::new(Sgd::new(1.0).unwrap()).clip_gradient(0.5);
    trainer.partial_fit(&mut model, samples(20)).unwrap();
    let after = model.parameters().as_slice().iter();
    let moved = after
        .zip(&before)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f32>();
    assert!((moved.sqrt() - 0.5).abs() < 1e-5, "{moved}");
}
