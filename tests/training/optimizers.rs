//! The update rules against their formulas, and L-BFGS against problems that are known to be hard.

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::optimizer::Step;
use sparse_autoencoder::{
    Activation, Adam, Error, Lbfgs, Optimizer, Real, Schedule, Sgd, SparseAutoencoder, StopReason,
    Trainer, Workspace,
};

/// `f(x) = x₀² + 3 x₁²`
fn bowl<T: Real>(x: &[T], gradient: &mut [T]) -> T {
    gradient[0] = T::of(2.0) * x[0];
    gradient[1] = T::of(6.0) * x[1];
    x[0] * x[0] + T::of(3.0) * x[1] * x[1]
}

/// The extended Rosenbrock function `Σ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²`.
fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
    gradient.fill(0.0);
    let mut value = 0.0;
    for i in 0..x.len() - 1 {
        let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
        value += a * a + 100.0 * b * b;
        gradient[i] -= 2.0 * a + 400.0 * x[i] * b;
        gradient[i + 1] += 200.0 * b;
    }
    value
}

/// What a run of L-BFGS took.
struct Run {
    theta: Vec<f64>,
    evaluations: usize,
    steps: usize,
    last: Step<f64>,
}

/// Steps until convergence, and checks on the way that no step ends at a larger loss.
fn minimise(
    mut lbfgs: Lbfgs<f64>,
    start: &[f64],
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Run {
    let mut theta = start.to_vec();
    let (mut evaluations, mut steps) = (0, 0);
    let mut best = f64::INFINITY;
    loop {
        let last = lbfgs.step(&mut theta, &mut |x, gradient| {
            evaluations += 1;
            f(x, gradient)
        });
        steps += 1;
        assert!(last.loss <= best, "step {steps}: {} > {best}", last.loss);
        best = last.loss;
        if last.converged || steps == 20_000 {
            return Run {
                theta,
                evaluations,
                steps,
                last,
            };
        }
    }
}

fn gradient_norm(x: &[f64], f: impl Fn(&[f64], &mut [f64]) -> f64) -> f64 {
    let mut gradient = vec![0.0; x.len()];
    f(x, &mut gradient);
    gradient.iter().map(|g| g * g).sum::<f64>().sqrt()
}

fn strict() -> Lbfgs<f64> {
    Lbfgs::new()
        .tolerance(1e-9)
        .and_then(|lbfgs| lbfgs.relative_change(0.0))
        .unwrap()
}

fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() <= tolerance, "{actual:?} is not {expected:?}");
    }
}

// First-order rules

#[test]
fn sgd_descends_by_the_learning_rate_times_the_gradient() {
    let mut theta = [1.0, -2.0];
    let step = Sgd::new(0.1).unwrap().step(&mut theta, &mut bowl);
    assert_eq!(step, Step::moved(13.0));
    assert_close(&theta, &[0.8, -0.8], 1e-15);
}

#[test]
fn momentum_adds_the_velocity_of_the_steps_before() {
    let mut sgd = Sgd::new(0.1).unwrap().momentum(0.5).unwrap();
    let mut theta = [1.0, -2.0];
    sgd.step(&mut theta, &mut bowl);
    assert_close(&theta, &[0.8, -0.8], 1e-15);
    sgd.step(&mut theta, &mut bowl);
    // v = 0.5·(2, −12) + (1.6, −4.8)
    assert_close(&theta, &[0.8 - 0.26, -0.8 + 1.08], 1e-15);
}

#[test]
fn nesterov_looks_ahead_along_the_velocity() {
    let mut sgd = Sgd::new(0.1).unwrap().momentum(0.5).unwrap().nesterov();
    let mut theta = [1.0, -2.0];
    sgd.step(&mut theta, &mut bowl);
    // v = g, so the step is 1.5 g
    assert_close(&theta, &[0.7, -0.2], 1e-15);
    sgd.step(&mut theta, &mut bowl);
    // g = (1.4, −1.2), v = (2.4, −7.2), step g + 0.5 v = (2.6, −4.8)
    assert_close(&theta, &[0.44, 0.28], 1e-15);
}

#[test]
fn nesterov_without_momentum_is_plain_descent() {
    let (mut plain, mut ahead) = ([1.0, -2.0], [1.0, -2.0]);
    Sgd::new(0.1).unwrap().step(&mut plain, &mut bowl);
    Sgd::new(0.1)
        .unwrap()
        .nesterov()
        .step(&mut ahead, &mut bowl);
    assert_close(&plain, &ahead, 0.0);
}

/// `½ Σ λᵢ (xᵢ − 1)²`: convex and smooth, so that two roundings of one rule stay together.
fn valley(x: &[f64], gradient: &mut [f64]) -> f64 {
    let mut value = 0.0;
    for (i, (g, x)) in gradient.iter_mut().zip(x).enumerate() {
        let lambda = (1 + i % 5) as f64;
        *g = lambda * (x - 1.0);
        value += 0.5 * lambda * (x - 1.0).powi(2);
    }
    value
}

/// Adam as it is printed in the paper.
fn naive_adam(theta: &mut [f64], steps: i32, [rate, b1, b2, epsilon, decay]: [f64; 5]) {
    let n = theta.len();
    let (mut m, mut v, mut g) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    for t in 1..=steps {
        valley(theta, &mut g);
        for i in 0..n {
            m[i] = b1 * m[i] + (1.0 - b1) * g[i];
            v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
            let m_hat = m[i] / (1.0 - b1.powi(t));
            let v_hat = v[i] / (1.0 - b2.powi(t));
            theta[i] -= rate * m_hat / (v_hat.sqrt() + epsilon) + rate * decay * theta[i];
        }
    }
}

#[test]
fn adam_agrees_with_the_paper_over_fifty_steps() {
    let start: Vec<f64> = (0..37).map(|i| f64::from(i).sin()).collect();
    for settings in [
        [1e-2, 0.9, 0.999, 1e-8, 0.0],
        [1e-2, 0.9, 0.999, 1e-8, 0.1],
        [3e-3, 0.0, 0.9, 1e-3, 0.0],
        [3e-3, 0.5, 0.0, 1e-1, 2.0],
    ] {
        let [rate, b1, b2, epsilon, decay] = settings;
        let mut adam = Adam::new(rate)
            .and_then(|adam| adam.betas(b1, b2)?.epsilon(epsilon)?.weight_decay(decay))
            .unwrap();
        let (mut fused, mut naive) = (start.clone(), start.clone());
        for _ in 0..50 {
            adam.step(&mut fused, &mut valley);
        }
        naive_adam(&mut naive, 50, settings);
        assert_close(&fused, &naive, 1e-12);
    }
}

#[test]
fn the_first_step_of_adam_has_the_size_of_the_learning_rate() {
    let mut theta = [1.0, -2.0];
    Adam::new(0.1).unwrap().step(&mut theta, &mut bowl);
    assert_close(&theta, &[0.9, -1.9], 1e-8);
}

#[test]
fn weight_decay_acts_where_the_gradient_vanishes() {
    let mut adam = Adam::new(0.1).unwrap().weight_decay(0.5).unwrap();
    let mut theta = [4.0];
    adam.step(&mut theta, &mut |_, gradient| {
        gradient[0] = 0.0;
        1.0
    });
    assert_close(&theta, &[3.8], 1e-15);
}

#[test]
fn a_factor_replaces_the_one_before_and_survives_a_reset() {
    let mut sgd = Sgd::<f64>::new(0.1).unwrap();
    let mut adam = Adam::<f64>::new(0.1).unwrap();
    for optimizer in [&mut sgd as &mut dyn Optimizer<f64>, &mut adam] {
        optimizer.scale_learning_rate(0.25).unwrap();
        optimizer.scale_learning_rate(0.5).unwrap();
        optimizer.reset(1);
        let mut theta = [1.0];
        optimizer.step(&mut theta, &mut |_, gradient| {
            gradient[0] = 1.0;
            0.0
        });
        assert_close(&theta, &[0.95], 1e-8);
        optimizer.scale_learning_rate(0.0).unwrap();
        let before = theta;
        optimizer.step(&mut theta, &mut |_, gradient| {
            gradient[0] = 1.0;
            0.0
        });
        assert_close(&theta, &before, 0.0);
    }
}

// L-BFGS

#[test]
fn lbfgs_minimises_rosenbrock() {
    let run = minimise(strict(), &[-1.2, 1.0], rosenbrock);
    assert!(gradient_norm(&run.theta, rosenbrock) < 1e-8);
    assert_close(&run.theta, &[1.0; 2], 1e-8);
    assert!(run.evaluations <= 60, "{} evaluations", run.evaluations);

    let start: Vec<f64> = (0..20)
        .map(|i| if i % 2 == 0 { -1.2 } else { 1.0 })
        .collect();
    let run = minimise(strict(), &start, rosenbrock);
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
fn lbfgs_minimises_an_ill_conditioned_quadratic() {
    let run = minimise(strict(), &[1.0; 100], ill_conditioned);
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
    let run = minimise(lbfgs.relative_change(1e-15).unwrap(), &[0.0; 30], logistic);
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
    let run = minimise(strict(), &[30.0, 0.01, 5.0], barrier);
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
    assert_close(&minimise(strict(), &[-40.0], wall).theta, &[0.8], 1e-6);
}

#[test]
fn lbfgs_ends_at_the_best_point_of_a_slope_that_falls_off_a_cliff() {
    let cliff = |x: &[f64], gradient: &mut [f64]| {
        gradient[0] = -1.0;
        if x[0] <= 3.0 { -x[0] } else { f64::NAN }
    };
    let run = minimise(strict(), &[0.0], cliff);
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

// The contract of every optimizer

fn all<T: Real>() -> Vec<Box<dyn Optimizer<T>>> {
    vec![
        Box::new(Sgd::new(0.1).unwrap()),
        Box::new(Sgd::new(0.05).unwrap().momentum(0.5).unwrap()),
        Box::new(Sgd::new(0.05).unwrap().momentum(0.5).unwrap().nesterov()),
        Box::new(Adam::new(0.02).unwrap()),
        Box::new(Lbfgs::new()),
    ]
}

fn assert_minimises_the_bowl<T: Real>() {
    for mut optimizer in all::<T>() {
        let mut theta = [T::of(1.0), T::of(-2.0)];
        optimizer.reset(2);
        for _ in 0..600 {
            optimizer.step(&mut theta, &mut bowl);
        }
        for x in theta {
            assert!(x.to_f64().abs() < 1e-4, "{optimizer:?}: {theta:?}");
        }
    }
}

#[test]
fn every_optimizer_minimises_a_bowl_in_both_scalars() {
    assert_minimises_the_bowl::<f32>();
    assert_minimises_the_bowl::<f64>();
}

#[test]
fn lbfgs_in_f32_reaches_the_precision_of_f32() {
    // 1 + ‖x − c‖² / n over many elements, where the loss has lost the last digits of x
    let n = 10_001;
    let center = |i: usize| (i % 17) as f32 / 17.0;
    let mut lbfgs = Lbfgs::<f32>::new().tolerance(1e-9).unwrap();
    let mut theta = vec![3.0_f32; n];
    let mut steps = 0;
    while !lbfgs
        .step(&mut theta, &mut |x, gradient| {
            let mut value = 0.0_f64;
            for (i, (g, &x)) in gradient.iter_mut().zip(x).enumerate() {
                let weight = (1 + i % 7) as f32;
                let distance = x - center(i);
                *g = 2.0 * weight * distance / n as f32;
                value += f64::from(weight * distance * distance) / n as f64;
            }
            (1.0 + value) as f32
        })
        .converged
    {
        steps += 1;
        assert!(steps < 100);
    }
    for (i, x) in theta.iter().enumerate() {
        assert!((x - center(i)).abs() < 2e-3, "{i}: {x}");
    }
}

#[test]
fn what_is_forgotten_of_some_parameters_moves_them_no_more() {
    let first_order: [Box<dyn Optimizer<f64>>; 2] = [
        Box::new(Adam::new(0.1).unwrap()),
        Box::new(Sgd::new(0.1).unwrap().momentum(0.9).unwrap()),
    ];
    for mut optimizer in first_order {
        let mut theta = [1.0; 4];
        optimizer.reset(4);
        let mut slope = 1.0;
        for forgotten in [None, Some(1..3), Some(7..9)] {
            let before = theta;
            if let Some(range) = forgotten.clone() {
                optimizer.forget(range);
            }
            optimizer.step(&mut theta, &mut |_, gradient| {
                gradient.fill(slope);
                0.0
            });
            slope = 0.0; // from now on, only what is remembered moves
            let moved = [0, 1, 2, 3].map(|k| theta[k].to_bits() != f64::to_bits(before[k]));
            let stays = forgotten.is_some();
            assert_eq!(moved, [true, !stays, !stays, true], "{optimizer:?}");
        }
    }
}

#[test]
fn a_start_that_is_not_finite_leaves_theta_as_it_is() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for mut optimizer in all::<f64>() {
            let start = [1.0, -0.0, f64::MIN_POSITIVE / 4.0];
            let mut theta = start;
            let step = optimizer.step(&mut theta, &mut |_, gradient| {
                gradient.fill(f64::NAN);
                bad
            });
            assert_eq!(step.loss.to_bits(), bad.to_bits());
            assert!(!step.converged);
            assert_eq!(theta.map(f64::to_bits), start.map(f64::to_bits));

            // and leaves no trace in the optimizer
            let mut again = [1.0, -2.0];
            for _ in 0..600 {
                optimizer.step(&mut again, &mut bowl);
            }
            assert_close(&again, &[0.0, 0.0], 1e-4);
        }
    }
}

#[test]
fn lbfgs_does_not_take_a_gradient_of_nan_for_convergence() {
    let mut theta = [1.0, 2.0];
    let step = Lbfgs::new().step(&mut theta, &mut |_, gradient| {
        gradient.fill(f64::NAN);
        1.0
    });
    assert!(step.loss.is_nan() && !step.converged);
    assert_close(&theta, &[1.0, 2.0], 0.0);
}

fn assert_stays_finite<T: Real>(largest: T) {
    let extreme = |factor: T| -> Vec<Box<dyn Optimizer<T>>> {
        let mut list: Vec<Box<dyn Optimizer<T>>> = vec![
            Box::new(Sgd::new(1e300).unwrap()),
            Box::new(Sgd::new(1e300).unwrap().momentum(0.999).unwrap()),
            Box::new(Sgd::new(10.0).unwrap().momentum(0.999).unwrap().nesterov()),
            Box::new(Adam::new(1e300).unwrap().weight_decay(1e300).unwrap()),
            Box::new(Adam::new(1e-3).unwrap().epsilon(1e-320).unwrap()),
            Box::new(Adam::new(1e-3).unwrap().epsilon(1e300).unwrap()),
        ];
        for optimizer in &mut list {
            optimizer.scale_learning_rate(factor).unwrap();
        }
        list.push(Box::new(Lbfgs::new()));
        list
    };
    for factor in [0.0, 1e-30, 1.0, 1e30] {
        for mut optimizer in extreme(T::of(factor)) {
            let mut theta = vec![largest, -largest, T::zero(), T::one()];
            for t in 0..20 {
                let sign = if t % 3 == 0 { T::one() } else { -T::one() };
                optimizer.step(&mut theta, &mut |_, gradient| {
                    gradient.copy_from_slice(&[
                        -largest * sign,
                        largest * sign,
                        T::zero(),
                        T::of(1e-30) * sign,
                    ]);
                    T::one()
                });
                assert!(
                    theta.iter().all(|x| x.is_finite()),
                    "{factor} {t} {theta:?} {optimizer:?}"
                );
            }
        }
    }
}

#[test]
fn theta_stays_finite_whatever_the_finite_gradient() {
    assert_stays_finite(f32::MAX);
    assert_stays_finite(f64::MAX);
}

#[test]
fn another_length_of_theta_starts_anew() {
    for (mut used, mut fresh) in all::<f64>().into_iter().zip(all()) {
        let mut long = [1.0; 5];
        used.step(&mut long, &mut |x, gradient| {
            gradient.copy_from_slice(x);
            x.iter().map(|x| 0.5 * x * x).sum()
        });
        let (mut theta, mut expected) = ([1.0, -2.0], [1.0, -2.0]);
        for _ in 0..3 {
            used.step(&mut theta, &mut bowl);
            fresh.step(&mut expected, &mut bowl);
        }
        assert_close(&theta, &expected, 0.0);
    }
}

#[test]
fn no_parameters_are_no_problem() {
    for mut optimizer in all::<f64>() {
        assert_close(
            &[optimizer.step(&mut [], &mut |_, _| 2.0).loss],
            &[2.0],
            0.0,
        );
    }
}

// Ranges

#[track_caller]
fn assert_refused<R: std::fmt::Debug>(expected: &str, result: Result<R, Error>) {
    match result {
        Err(Error::InvalidParameter { name, .. }) => assert_eq!(name, expected),
        other => panic!("{expected} was not refused: {other:?}"),
    }
}

#[test]
fn every_parameter_out_of_range_is_refused_by_name() {
    let sgd = || Sgd::<f64>::new(0.1).unwrap();
    let adam = || Adam::<f64>::new(0.1).unwrap();
    let lbfgs = Lbfgs::<f64>::new;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert_refused("learning_rate", Sgd::<f32>::new(bad));
        assert_refused("learning_rate", Adam::<f32>::new(bad));
        assert_refused("momentum", sgd().momentum(bad));
        assert_refused("beta1", adam().betas(bad, 0.9));
        assert_refused("beta2", adam().betas(0.9, bad));
        assert_refused("epsilon", adam().epsilon(bad));
        assert_refused("weight_decay", adam().weight_decay(bad));
        assert_refused("factor", sgd().scale_learning_rate(bad));
        assert_refused("factor", adam().scale_learning_rate(bad));
        assert_refused("tolerance", lbfgs().tolerance(bad));
        assert_refused("relative_change", lbfgs().relative_change(bad));
    }
    assert_refused("learning_rate", Sgd::<f32>::new(0.0));
    assert_refused("learning_rate", Adam::<f32>::new(0.0));
    assert_refused("epsilon", adam().epsilon(0.0));
    assert_refused("momentum", sgd().momentum(1.0));
    assert_refused("beta1", adam().betas(1.0, 0.9));
    assert_refused("beta2", adam().betas(0.9, 1.0));
    assert_refused("history", lbfgs().history(0));
    assert_refused("history", lbfgs().history(1001));
}

#[test]
fn the_ends_of_the_ranges_are_accepted() {
    assert!(Sgd::<f32>::new(0.1).unwrap().momentum(0.0).is_ok());
    assert!(Adam::<f32>::new(0.1).unwrap().betas(0.0, 0.0).is_ok());
    assert!(Adam::<f32>::new(0.1).unwrap().weight_decay(0.0).is_ok());
    assert!(Lbfgs::<f32>::new().tolerance(0.0).is_ok());
    assert!(Lbfgs::<f32>::new().relative_change(0.0).is_ok());
    assert!(Lbfgs::<f32>::new().history(1).is_ok());
    assert!(Lbfgs::<f32>::new().history(1000).is_ok());
}

#[test]
fn a_longer_history_set_on_a_used_optimizer_takes_effect() {
    let mut lbfgs = Lbfgs::new();
    let mut theta = [1.0, 1.0];
    lbfgs.step(&mut theta, &mut bowl);
    let mut lbfgs = lbfgs.history(3).unwrap();
    while !lbfgs.step(&mut theta, &mut bowl).converged {}
    assert_close(&theta, &[0.0, 0.0], 1e-5);
}

/// A fit by full batches is nothing but the steps of its optimizer, whatever else the units have that moves
/// with the batches, such as the threshold of `BatchTopK`. Noticing that θ is not what it was, L-BFGS would
/// start again with each step, and take slow ones for convergence.
#[test]
fn a_fit_takes_the_steps_of_its_optimizer_for_every_kind_of_units() {
    let samples = DMatrix::from_fn(6, 40, |i, j| {
        ((i * 31 + j * 17 + 1) as f64 * 0.618_033_988_749_895).fract() - 0.3
    });
    for activation in [
        Activation::Sigmoid,
        Activation::Relu,
        Activation::TopK(2),
        Activation::WinnerTakeAll(0.2),
        Activation::BatchTopK(2),
        Activation::JumpRelu,
        Activation::Gated,
    ] {
        for (index, mut by_hand) in all::<f64>().into_iter().enumerate() {
            let builder = SparseAutoencoder::builder()
                .layers([6, 12])
                .hidden_activation(activation)
                .output_activation(Activation::Identity)
                .penalty(())
                .seed(2);
            let mut fitted = builder.build().unwrap();
            let mut model = fitted.clone();
            let mut trainer = Trainer::new(all::<f64>().swap_remove(index))
                .batch_size(40)
                .epochs(200);
            let report = trainer.fit(&mut fitted, &samples).unwrap();

            let mut theta = model.parameters().as_slice().to_vec();
            let mut workspace = Workspace::new();
            let mut last = Step::moved(0.0);
            for _ in 0..report.epochs {
                last = by_hand.step(&mut theta, &mut |theta, gradient| {
                    model.set_theta(theta).unwrap();
                    let loss = model.loss_and_gradient(&samples, gradient, &mut workspace);
                    loss.unwrap().total()
                });
            }
            let learned = match activation {
                Activation::BatchTopK(_) => theta.len() - 1,
                _ => theta.len(),
            };
            let name = format!("{activation:?}, {by_hand:?}");
            assert_eq!(
                fitted.parameters().as_slice()[..learned],
                theta[..learned],
                "{name}"
            );
            assert_eq!(
                last.converged,
                report.stop == StopReason::Converged,
                "{name}"
            );
        }
    }
}

#[test]
fn an_optimizer_chosen_at_run_time_is_the_same_one() {
    let samples = DMatrix::from_fn(4, 30, |i, j| 0.5 + 0.4 * ((i * 3 + j) as f64).sin());
    let fit = |mut trainer: Trainer<f64>| {
        let mut model = SparseAutoencoder::builder().layers([4, 6]).build().unwrap();
        trainer.fit(&mut model, &samples).unwrap();
        model.parameters().clone()
    };
    let boxed = |name: &str| -> Box<dyn Optimizer<f64>> {
        match name {
            "Adam" => Box::new(Adam::new(1e-2).unwrap()),
            _ => Box::new(Lbfgs::new()),
        }
    };
    let cosine = Schedule::cosine(0.1);
    let adam = |trainer: Trainer<f64>| fit(trainer.epochs(5).batch_size(8).schedule(cosine));
    assert_eq!(
        adam(Trainer::new(boxed("Adam"))),
        adam(Trainer::new(Adam::new(1e-2).unwrap()))
    );
    let full = |trainer: Trainer<f64>| fit(trainer.epochs(5));
    assert_eq!(
        full(Trainer::new(boxed(""))),
        full(Trainer::new(Lbfgs::new()))
    );
}
