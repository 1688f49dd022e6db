//! Laws of each penalty.

#![allow(clippy::float_cmp)] // where equality is the law

use super::*;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::evaluate;
use sparse_autoencoder::{Activation, KlDivergence, L0, L1, Penalty, Proportion, Real, TargetL0};

#[test]
fn the_divergence_is_zero_at_the_target_and_nowhere_else() {
    fn check<T: Real>() {
        for p in 1..64 {
            for q in 1..64 {
                let (p, q) = (f64::from(p) / 64.0, f64::from(q) / 64.0);
                for (activation, mean) in
                    [(Activation::Sigmoid, q), (Activation::Tanh, 2.0 * q - 1.0)]
                {
                    let hidden = DMatrix::from_element(1, 1, T::of(mean));
                    let (value, gradient) =
                        evaluate(&KlDivergence, activation, p, &hidden).unwrap();
                    let (value, slope) = (value.to_f64(), gradient[0].to_f64());
                    if p == q {
                        assert_eq!((value, slope), (0.0, 0.0), "{p}");
                    } else {
                        // Pinsker's inequality; the two terms, below 4, are off by 2 u each.
                        let least = 2.0 * (p - q) * (p - q);
                        assert!(
                            value >= least - 16.0 * T::default_epsilon().to_f64(),
                            "{p} {q}"
                        );
                        assert!(value > 0.0 && slope * (q - p) > 0.0, "{p} {q}");
                    }
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_divergence_is_clamped_where_a_unit_is_silent_or_saturated() {
    fn check<T: Real>() {
        let (one, epsilon) = (T::one(), T::default_epsilon());
        let rho = T::of(0.3);
        let at = |q: T| rho * (rho / q).ln() + (one - rho) * ((one - rho) / (one - q)).ln();
        for (activation, low, high) in [
            (Activation::Sigmoid, 0.0, 1.0),
            (Activation::SaturatingLinear, 0.0, 1.0),
            (Activation::Tanh, -1.0, 1.0),
        ] {
            for (end, clamped) in [(low, epsilon), (high, one - epsilon)] {
                // Of many counts of samples, so that 1/m is rounded this way and that.
                for samples in 1..200 {
                    let hidden = DMatrix::from_element(1, samples, T::of(end));
                    let (value, gradient) =
                        evaluate(&KlDivergence, activation, 0.3, &hidden).unwrap();
                    assert_eq!(value, at(clamped), "{activation:?}, {samples} times {end}");
                    assert!(value.is_finite() && value > one);
                    // The derivative of the clamped function, which is constant here.
                    assert!(gradient.iter().all(|&g| g == T::zero()));
                }
            }
            // Inside, the derivative is steep and points to the target.
            for (q, sign) in [
                (T::of(2.0) * epsilon, -1.0),
                (one - T::of(4.0) * epsilon, 1.0),
            ] {
                let mean = T::of(low) + T::of(high - low) * q;
                let hidden = DMatrix::from_element(1, 1, mean);
                let (_, gradient) = evaluate(&KlDivergence, activation, 0.3, &hidden).unwrap();
                assert!(
                    gradient[0].to_f64() * sign > 1e4,
                    "{activation:?} at {mean}: {gradient}"
                );
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_proportion_is_zero_exactly_where_few_units_are_active() {
    // 0.4 of 5 units: two may be active.
    let few = rows(&[
        [0.0, 3.0, 0.0],
        [-2.0, 0.0, 0.0],
        [0.0, 1e-9, 0.0],
        [0.5, 0.0, 0.0],
        [0.0, 0.0, 0.0],
    ]);
    let (value, gradient) = evaluate(&Proportion, Activation::Identity, 0.4, &few).unwrap();
    assert_eq!(value, 0.0);
    assert!(gradient.iter().all(|&g| g == 0.0));

    // The third active unit is the weakest, whatever its sign; the mean is over four samples.
    let mut more = few.insert_column(3, 0.0);
    more[(4, 0)] = -0.25;
    let (value, gradient) = evaluate(&Proportion, Activation::Identity, 0.4, &more).unwrap();
    assert_eq!(value, 0.25 / 4.0);
    for (k, &g) in gradient.iter().enumerate() {
        assert_eq!(g, if k == 4 { -0.25 } else { 0.0 });
    }
    // A larger share, and it is zero again.
    assert_eq!(
        evaluate(&Proportion, Activation::Identity, 0.6, &more)
            .unwrap()
            .0,
        0.0
    );
}

#[test]
fn the_number_of_active_units_is_the_mean_over_the_samples() {
    // Three and one of five units: two in the mean, where a fifth of five is one.
    let hidden = rows(&[[0.5, 0.0], [2.0, 0.0], [0.0, 1e-9], [1.0, 0.0], [0.0, 0.0]]);
    let of = |penalty: &dyn Penalty<f64>, target| {
        evaluate(penalty, Activation::JumpRelu, target, &hidden)
            .unwrap()
            .0
    };
    assert_eq!(of(&L0, 0.2), 2.0);
    assert_eq!(of(&TargetL0, 0.2), 1.0);
    assert_eq!(of(&TargetL0, 0.1), 9.0);
    assert_eq!(of(&TargetL0, 0.4), 0.0);
}

#[test]
fn of_equal_magnitudes_the_proportion_spares_the_first() {
    let tied = rows(&[
        [-1.0, 0.5],
        [1.0, 1.0],
        [-1.0, -1.0],
        [1.0, 1.0],
        [0.5, 0.5],
    ]);
    let (value, gradient) = evaluate(&Proportion, Activation::Identity, 0.4, &tied).unwrap();
    assert_eq!(value, (2.5 + 2.0) / 2.0);
    assert_eq!(
        gradient,
        rows(&[[0.0, 0.5], [0.0, 0.0], [-0.5, 0.0], [0.5, 0.5], [0.5, 0.5]])
    );
}

#[test]
fn the_two_ways_to_the_l1_norm_agree() {
    fn check<T: Real>() {
        let mut hidden = hidden::<T>(Activation::Sigmoid);
        // The first asks only for means, as activations of ReLU are never negative.
        let (by_mean, per_unit) = evaluate(&L1, Activation::Relu, 0.3, &hidden).unwrap();
        let (by_entry, per_entry) = evaluate(&L1, Activation::Identity, 0.3, &hidden).unwrap();
        let means = hidden
            .column_mean()
            .iter()
            .map(|mean| mean.to_f64())
            .sum::<f64>();
        // 54 positive terms, a rounding each for their sum, their mean, and their conversion
        let bound = 60.0 * T::default_epsilon().to_f64() * means;
        assert!((by_mean.to_f64() - means).abs() <= bound);
        assert!((by_entry.to_f64() - means).abs() <= bound);
        assert_eq!(per_unit, per_entry);

        // They differ at 0, where the derivative of the activation is 0 and hides it.
        hidden[(2, 3)] = T::zero();
        let (_, per_unit) = evaluate(&L1, Activation::Relu, 0.3, &hidden).unwrap();
        let (_, per_entry) = evaluate(&L1, Activation::Identity, 0.3, &hidden).unwrap();
        assert_eq!(per_entry[(2, 3)], T::zero());
        assert_eq!(per_unit[(2, 3)], per_unit[(0, 0)]);
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_l1_norm_has_the_sign_as_its_gradient_and_zero_at_zero() {
    let hidden = rows(&[[0.5, -0.25], [0.0, -0.0], [-3.0, 1e-300]]);
    let (value, gradient) = evaluate(&L1, Activation::Tanh, 0.3, &hidden).unwrap();
    assert_eq!(value, 3.75 / 2.0);
    assert_eq!(gradient, rows(&[[0.5, -0.5], [0.0, 0.0], [-0.5, 0.5]]));
}
