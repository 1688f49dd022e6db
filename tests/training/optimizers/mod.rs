//! Optimizers: their formulas, their contract, and the ranges of their parameters.

mod contract;
mod first_order;
mod lbfgs;
mod ranges;

use sparse_autoencoder::optimizer::Step;
use sparse_autoencoder::{Adam, Lbfgs, Optimizer, Real, Sgd};

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
fn minimize(
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

fn all<T: Real>() -> Vec<Box<dyn Optimizer<T>>> {
    vec![
        Box::new(Sgd::new(0.1).unwrap()),
        Box::new(Sgd::new(0.05).unwrap().momentum(0.5).unwrap()),
        Box::new(Sgd::new(0.05).unwrap().momentum(0.5).unwrap().nesterov()),
        Box::new(Adam::new(0.02).unwrap()),
        Box::new(Lbfgs::new()),
    ]
}
