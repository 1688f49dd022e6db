//! SGD and Adam against their formulas.

use super::*;
use sparse_autoencoder::optimizer::Step;
use sparse_autoencoder::{Adam, Optimizer, Sgd};

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
