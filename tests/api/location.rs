//! The geometric median against what is known of it.

use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{Error, Real, geometric_median};

/// What the median makes smallest.
fn distances(samples: &DMatrix<f64>, y: &DVector<f64>) -> f64 {
    samples.column_iter().map(|x| (x - y).norm()).sum()
}

#[test]
fn every_step_away_makes_the_distances_larger() {
    for (input_size, count) in [(1, 4), (2, 7), (5, 200)] {
        let samples = DMatrix::from_fn(input_size, count, |i, j| {
            let phase = ((i * 31 + j * 17 + 1) as f64 * 0.618_033_988_749_895).fract();
            3.0 + phase * phase * if j == 0 { 1e3 } else { 1.0 }
        });
        let median = geometric_median(&samples).unwrap();
        let least = distances(&samples, &median);
        assert!(least < 0.9 * distances(&samples, &samples.column_mean()));
        // The sum is convex: if it is larger all around, the median is inside.
        for k in 0..input_size {
            for step in [-1e-2, 1e-2] {
                let mut beside = median.clone();
                beside[k] += step;
                // Four samples on a line have a whole interval of medians.
                let level =
                    input_size == 1 && distances(&samples, &beside) >= least * (1.0 - 1e-12);
                assert!(
                    level || distances(&samples, &beside) > least,
                    "{input_size} {k}"
                );
            }
        }
    }
}

#[test]
fn a_sample_can_be_the_median() {
    // The center of a square is a sample, and the iteration starts elsewhere: one corner is far.
    let samples = DMatrix::from_row_slice(
        2,
        5,
        &[
            1.0, -1.0, -1.0, 9.0, 0.0, //
            1.0, -1.0, 1.0, -9.0, 0.0,
        ],
    );
    let median = geometric_median(&samples).unwrap();
    assert!(median.norm() < 1e-5, "{median}");
    // Most samples are the same, and so is the mean of none of them.
    let same = DMatrix::from_row_slice(1, 5, &[2.0, 2.0, 2.0, 2.0, 7.0_f32]);
    assert!((geometric_median(&same).unwrap()[0] - 2.0).abs() < 1e-5);
    let one = DMatrix::from_element(3, 1, 0.5);
    assert_eq!(
        geometric_median(&one).unwrap(),
        DVector::from_element(3, 0.5)
    );
}

/// The iteration starts beside a sample that is not the median, and must leave it.
#[test]
fn a_sample_beside_the_start_does_not_hold_it() {
    let samples = DMatrix::from_column_slice(
        2,
        4,
        &[
            4.000_000_000_65,
            1.000_000_000_4,
            2.000_000_000_2,
            3.000_000_000_2,
            4.000_000_000_8,
            3.000_000_000_7,
            3.000_000_001,
            2.000_000_000_04,
        ],
    );
    let best = distances(&samples, &DVector::from_column_slice(&[3.0, 2.0]));
    let median = geometric_median(&samples).unwrap();
    assert!(distances(&samples, &median) < best * (1.0 + 1e-6));

    // Samples near few places: no other sample is better, and no small step.
    for seed in 0..40 {
        let places = DMatrix::from_fn(3, 41, |i, j| {
            let draw = |k: usize| {
                let phase = (seed * 1009 + i * 331 + j * 17 + k * 7 + 1) as f64;
                (phase * 0.618_033_988_749_895).fract()
            };
            (3.0 * draw(0)).floor() + 1e-7 * draw(1)
        });
        let found = geometric_median(places.map(|x| x as f32)).unwrap();
        let found = found.map(f64::from);
        let least = distances(&places, &found);
        let others = places.column_iter().map(|place| place.into_owned());
        let steps = (0..6).map(|k| {
            let mut beside = found.clone();
            beside[k / 2] += if k % 2 == 0 { 1e-2 } else { -1e-2 };
            beside
        });
        for other in others.chain(steps) {
            assert!(least <= distances(&places, &other) * (1.0 + 1e-6), "{seed}");
        }
    }
}

fn refused<T: Real>(samples: &DMatrix<T>) -> Error {
    geometric_median(samples).unwrap_err()
}

#[test]
fn what_has_no_median_is_refused() {
    assert_eq!(
        refused(&DMatrix::<f64>::zeros(3, 0)),
        Error::EmptyBatch { what: "samples" }
    );
    assert_eq!(
        refused(&DMatrix::<f32>::zeros(0, 3)),
        Error::EmptyBatch { what: "samples" }
    );
    let nan = DMatrix::from_row_slice(1, 2, &[0.0, f32::NAN]);
    assert!(matches!(
        refused(&nan),
        Error::NonFinite {
            row: 0,
            column: 1,
            ..
        }
    ));
}
