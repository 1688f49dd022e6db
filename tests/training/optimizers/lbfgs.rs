//! L-BFGS on problems that are known to be hard.

use super::*;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, Lbfgs, Optimizer, Sgd, SparseAutoencoder, StopReason, TargetL0,
    Trainer,
};

#[test]
fn lbfgs_minimizes_rosenbrock() {
    let run = minimize(strict(), &[-1.2, 1.0], rosenbrock);
    assert!(gradient_norm(&run.theta, rosenbrock) < 1e-8);
    assert_close(&run.theta, &[1.0; 2], 1e-8);
    assert!(run.evaluations <= 60, "{} evaluations", run.evaluations);

    let start: Vec<f64> = (0..20)
        .map(|i| if i % 2 == 0 { -1.2 } else { 1.0 })
        .collect();
    let run = minimize(strict(), &start, rosenbrock);
    assert!(gradient_norm(&run.theta, rosenbrock) < 1e-8);
    assert!(run.evaluations <= 250, "{} evaluations", run.evaluations);
}

/// `½ Σ λᵢ xᵢ²` with λ from 1 to 10⁶
fn ill_conditioned(x: &[f64], gradient: &mut [f64]) -> f64 {
    let mut value = 0.0;
    let last = (x.len() - 1) as f64;
    for (i, (g, x)) in gradient.iter_mut().zip(x).enumerate() {
        let lambda = 10f64.powf(6.0 * i as f64 / last);
        *g = lambda * x;
        value += 0.5 * lambda * x * x;
    }
    value
}

#[test]
fn lbfgs_minimizes_an_ill_conditioned_quadratic() {
    let run = minimize(strict(), &[1.0; 100], ill_conditioned);
    assert!(gradient_norm(&run.theta, ill_conditioned) < 1e-8);
    // L-BFGS-B of SciPy 1.17.1 with as long a history takes 13034.
    assert!(run.evaluations <= 15_000, "{} evaluations", run.evaluations);
}

/// A logistic regression with a ridge, smooth and convex.
fn logistic(x: &[f64], gradient: &mut [f64]) -> f64 {
    let mut value = 0.0;
    for (g, x) in gradient.iter_mut().zip(x) {
        *g = 0.01 * x;
        value += 0.005 * x * x;
    }
    for sample in 0..100 {
        let feature = |i: usize| ((sample * 31 + i * 17 + sample * i * 7) % 23) as f64 / 11.0 - 1.0;
        let label = if (sample * 13) % 29 < 14 { 1.0 } else { -1.0 };
        let margin: f64 = label * (0..x.len()).map(|i| feature(i) * x[i]).sum::<f64>();
        value += (-margin).exp().ln_1p() / 100.0;
        let pull = -label / (1.0 + margin.exp()) / 100.0;
        for (i, g) in gradient.iter_mut().enumerate() {
            *g += pull * feature(i);
        }
    }
    value
}

#[test]
fn a_typical_iteration_of_lbfgs_costs_one_evaluation() {
    let lbfgs = Lbfgs::new().tolerance(1e-7).unwrap();
    let run = minimize(lbfgs.relative_change(1e-15).unwrap(), &[0.0; 30], logistic);
    assert!(run.last.converged && gradient_norm(&run.theta, logistic) < 1e-6);
    let mean = run.evaluations as f64 / run.steps as f64;
    assert!(mean <= 1.3, "{} / {}", run.evaluations, run.steps);
}

#[test]
fn lbfgs_steps_back_from_where_the_objective_is_not_finite() {
    // x − ln x, whose minimum is at 1 and which is NaN at and below 0
    let barrier = |x: &[f64], gradient: &mut [f64]| {
        let mut value = 0.0;
        for (g, &x) in gradient.iter_mut().zip(x) {
            *g = 1.0 - 1.0 / x;
            value += if x > 0.0 { x - x.ln() } else { f64::NAN };
        }
        value
    };
    let run = minimize(strict(), &[30.0, 0.01, 5.0], barrier);
    assert_close(&run.theta, &[1.0; 3], 1e-6);

    // −ln(1 − x) − 5x, defined below 1 only, with the minimum at 0.8
    let wall = |x: &[f64], gradient: &mut [f64]| {
        gradient[0] = 1.0 / (1.0 - x[0]) - 5.0;
        if x[0] < 1.0 {
            -(1.0 - x[0]).ln() - 5.0 * x[0]
        } else {
            f64::INFINITY
        }
    };
    assert_close(&minimize(strict(), &[-40.0], wall).theta, &[0.8], 1e-6);
}

#[test]
fn lbfgs_ends_at_the_best_point_of_a_slope_that_falls_off_a_cliff() {
    let cliff = |x: &[f64], gradient: &mut [f64]| {
        gradient[0] = -1.0;
        if x[0] <= 3.0 { -x[0] } else { f64::NAN }
    };
    let run = minimize(strict(), &[0.0], cliff);
    assert!(
        run.theta[0] <= 3.0 && run.theta[0] > 2.99,
        "{:?}",
        run.theta
    );
    assert_close(&[run.last.loss], &[-run.theta[0]], 0.0);
}

#[test]
fn a_gradient_that_points_the_wrong_way_ends_lbfgs_where_it_was() {
    let mut theta = [0.3, -0.7];
    let before = theta;
    let mut lbfgs = Lbfgs::new();
    let step = lbfgs.step(&mut theta, &mut |x, gradient| {
        let value = bowl(x, gradient);
        gradient.iter_mut().for_each(|g| *g = -*g);
        value
    });
    assert!(step.converged);
    assert_close(&theta, &before, 0.0);
}

#[test]
fn lbfgs_needs_no_evaluation_to_know_that_it_is_done() {
    let mut lbfgs = Lbfgs::new();
    let mut theta = [1.0, 1.0];
    while !lbfgs.step(&mut theta, &mut bowl).converged {}
    let optimum = theta;
    let step = lbfgs.step(&mut theta, &mut |_, _| unreachable!());
    assert!(step.converged);
    assert_close(&theta, &optimum, 0.0);
}

#[test]
fn lbfgs_notices_a_theta_that_was_changed_and_a_reset() {
    let mut lbfgs = Lbfgs::new();
    let mut theta = [1.0, 1.0];
    while !lbfgs.step(&mut theta, &mut bowl).converged {}
    theta = [5.0, 1.0];
    assert!(!lbfgs.step(&mut theta, &mut bowl).converged);
    while !lbfgs.step(&mut theta, &mut bowl).converged {}

    lbfgs.reset(2);
    let mut evaluations = 0;
    lbfgs.step(&mut theta, &mut |x, gradient| {
        evaluations += 1;
        bowl(x, gradient)
    });
    assert_eq!(evaluations, 1);
}

#[test]
fn only_lbfgs_needs_full_batches_and_refuses_a_schedule() {
    let mut lbfgs = Lbfgs::<f32>::default();
    assert!(lbfgs.needs_full_batch());
    assert!(matches!(
        lbfgs.scale_learning_rate(0.5),
        Err(Error::Incompatible { .. })
    ));
    assert!(!Sgd::<f32>::new(0.1).unwrap().needs_full_batch());
    assert!(!Adam::<f32>::new(0.1).unwrap().needs_full_batch());
}

/// Thresholds have a pseudo-derivative, along which the loss may not fall.
#[test]
fn the_last_loss_of_a_fit_is_that_of_the_model_where_no_search_succeeds() {
    let x = DMatrix::from_fn(6, 60, |i, j| ((i * 7 + j * 5) % 11) as f64 / 10.0);
    let mut failed = 0;
    for seed in 0..20 {
        let mut model = SparseAutoencoder::builder()
            .layers([6, 12])
            .hidden_activation(Activation::JumpRelu)
            .output_activation(Activation::Identity)
            .penalty(TargetL0)
            .sparsity_target(2.0 / 12.0)
            .bandwidth(0.2)
            .seed(seed)
            .build()
            .unwrap();
        let mut trainer = Trainer::new(strict()).epochs(400);
        let report = trainer.fit(&mut model, &x).unwrap();
        let [.., before, last] = &report.losses[..] else {
            panic!("{report:?}");
        };
        failed += usize::from(report.stop == StopReason::Converged && before == last);
        assert_eq!(*last, model.loss(&x).unwrap(), "{seed}");
    }
    assert!(failed > 0);
}
