//! Noise is distributed as asked for, and no part of it is a copy of another.

use std::collections::HashSet;

use sparse_autoencoder::{Corruption, Real};

const COUNT: usize = 200_000;

fn noise<T: Real>(corruption: Corruption, of: f64, seed: u64) -> Vec<f64> {
    let mut values = vec![T::of(of); COUNT];
    corruption.apply(&mut values, seed).unwrap();
    values.into_iter().map(Real::to_f64).collect()
}

/// The share of the values that `counts`.
fn share(values: &[f64], counts: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|&&value| counts(value)).count() as f64 / values.len() as f64
}

#[allow(clippy::float_cmp)] // values are replaced, not computed
fn is_distributed_as_asked_for<T: Real>() {
    // Six standard errors of a share, of a mean, and of a standard deviation.
    let error = 6.0 / (COUNT as f64).sqrt();
    let standard_deviation = 2.0;
    let gaussian = noise::<T>(Corruption::Gaussian { standard_deviation }, 1.0, 3);
    let mean = gaussian.iter().sum::<f64>() / COUNT as f64;
    let square = gaussian.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / COUNT as f64;
    assert!((mean - 1.0).abs() < 2.0 * error, "mean {mean}");
    assert!(
        (square.sqrt() - 2.0).abs() < 2.0 * error,
        "variance {square}"
    );
    for (deviations, expected) in [(1.0, 0.682_689), (2.0, 0.954_500), (3.0, 0.997_300)] {
        let within = share(&gaussian, |v| (v - 1.0).abs() < 2.0 * deviations);
        assert!(
            (within - expected).abs() < error,
            "{within} within {deviations}"
        );
    }

    for fraction in [0.0, 0.3, 1.0] {
        let masked = noise::<T>(Corruption::Masking { fraction }, 1.0, 3);
        let zeros = share(&masked, |v| v == 0.0);
        assert!(
            (zeros - fraction).abs() <= error * fraction,
            "{zeros} of {fraction}"
        );
        assert_eq!(zeros + share(&masked, |v| v == 1.0), 1.0);

        let salt_and_pepper = Corruption::SaltAndPepper {
            fraction,
            low: -1.0,
            high: 2.0,
        };
        let replaced = noise::<T>(salt_and_pepper, 1.0, 3);
        for end in [-1.0, 2.0] {
            let share = share(&replaced, |v| v == end);
            assert!(
                (share - fraction / 2.0).abs() <= error * fraction,
                "{share} at {end}"
            );
        }
        assert_eq!(share(&replaced, |v| v == 1.0) == 0.0, fraction == 1.0);
    }
}

#[test]
fn noise_is_distributed_as_asked_for() {
    is_distributed_as_asked_for::<f32>();
    is_distributed_as_asked_for::<f64>();
}

/// Generators that were seeded alike would repeat each other's values.
#[test]
fn no_part_of_the_noise_repeats_another() {
    let gaussian = Corruption::Gaussian {
        standard_deviation: 1.0,
    };
    let mut seen = HashSet::new();
    for seed in [0, 1, 2, u64::MAX] {
        for value in noise::<f64>(gaussian, 0.0, seed) {
            assert!(seen.insert(value.to_bits()), "{value} for seed {seed}");
        }
    }
}

#[test]
fn the_first_values_do_not_depend_on_how_many_follow() {
    let masking = Corruption::Masking { fraction: 0.5 };
    let all = noise::<f32>(masking, 1.0, 5);
    for count in [0, 1, 63, 64, 2048, 2049, 70_001] {
        let mut values = vec![1.0_f32; count];
        masking.apply(&mut values, 5).unwrap();
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        assert_eq!(values, all[..count]);
    }
}
