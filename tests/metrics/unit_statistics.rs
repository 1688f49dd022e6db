//! What each unit does over a stream, against the definitions taken literally.

#![allow(clippy::float_cmp)] // the same sums, in the same order

use rand::RngExt;
use sparse_autoencoder::metrics::UnitStatistics;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Error, Real, SparseHidden};

use crate::common::cases::{Rng, check, list};
use crate::compressed::compress;

fn assert_naive<T: Real>(statistics: &UnitStatistics, hidden: &DMatrix<T>, top: usize) {
    let m = hidden.ncols() as f64;
    assert_eq!(statistics.samples(), hidden.ncols());
    let mut dead = Vec::new();
    for (unit, row) in hidden.row_iter().enumerate() {
        let row: Vec<f64> = row.iter().map(|h| h.to_f64()).collect();
        let mut active: Vec<usize> = (0..row.len()).filter(|&i| row[i] != 0.0).collect();
        let (count, sum) = (active.len() as f64, row.iter().sum::<f64>());
        let defined = |value: f64| (count > 0.0).then_some(value);
        assert_eq!(statistics.activation_frequency().unwrap()[unit], count / m);
        assert_eq!(statistics.mean_activation().unwrap()[unit], sum / m);
        assert_eq!(statistics.mean_when_active()[unit], defined(sum / count));
        active.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        let maximum = active.first().map(|&i| row[i]);
        assert_eq!(statistics.maximum()[unit], maximum);
        let expected = active.iter().take(top).map(|&i| (i, row[i]));
        let actual = statistics.top_samples(unit).unwrap().iter();
        assert!(actual.map(|top| (top.sample, top.activation)).eq(expected));
        if active.is_empty() {
            dead.push(unit);
        }
    }
    assert_eq!(statistics.dead_units(), dead);
}

/// Few different values, so that many are equal; about half of them 0.
fn activation(rng: &mut Rng) -> f32 {
    match rng.random_range(0..8) {
        0..3 => 0.0,
        3 => -0.0,
        4..7 => f32::from(rng.random_range(1_u8..5)) * 0.3,
        _ => rng.random_range(-2.0..2.0),
    }
}

#[test]
fn agrees_with_its_definitions_however_the_stream_is_divided() {
    let draw = |rng: &mut Rng| {
        let (units, count) = (rng.random_range(1..7), rng.random_range(1..40));
        let hidden = DMatrix::from_fn(units, count, |_, _| activation(rng));
        let batch = |rng: &mut Rng| (rng.random_range(1..9), rng.random());
        (hidden, list(rng, 40..41, batch), rng.random_range(0..6))
    };
    check(128, draw, |(hidden, batches, top)| {
        let units = hidden.nrows();
        let mut whole = UnitStatistics::new(units, top);
        whole.add(&hidden).unwrap();
        assert_naive(&whole, &hidden, top);

        let mut divided = UnitStatistics::new(units, top);
        for (size, sparse) in batches {
            let batch = hidden.columns_range(divided.samples()..);
            let batch = batch.columns(0, size.min(batch.ncols()));
            if batch.ncols() == 0 {
                break;
            } else if sparse {
                divided.add_sparse(&compress(batch)).unwrap();
            } else {
                divided.add(batch).unwrap();
            }
        }
        assert_eq!(divided, whole);
    });
}

#[test]
fn the_earlier_of_equal_samples_wins() {
    let mut statistics = UnitStatistics::new(1, 2);
    let samples = |statistics: &UnitStatistics| -> Vec<usize> {
        let top = statistics.top_samples(0).unwrap();
        top.iter().map(|top| top.sample).collect()
    };
    let stream = [
        (1.0, vec![0]),
        (1.0, vec![0, 1]),
        (1.0, vec![0, 1]),
        (2.0, vec![3, 0]),
        (2.0, vec![3, 4]),
        (0.0, vec![3, 4]),
        (-1.0, vec![3, 4]),
    ];
    for (activation, expected) in stream {
        statistics
            .add(DMatrix::from_element(1, 1, activation))
            .unwrap();
        assert_eq!(samples(&statistics), expected);
    }
}

#[test]
fn before_any_sample_nothing_is_defined() {
    let statistics = UnitStatistics::new(3, 2);
    assert_eq!(statistics.samples(), 0);
    assert_eq!(statistics.activation_frequency(), None);
    assert_eq!(statistics.mean_activation(), None);
    assert_eq!(statistics.mean_when_active(), [None; 3]);
    assert_eq!(statistics.maximum(), [None; 3]);
    assert_eq!(statistics.dead_units(), [0, 1, 2]);
    assert_eq!(statistics.top_samples(2), Some(&[][..]));
    assert_eq!(statistics.top_samples(3), None);
}

#[test]
fn what_is_refused_adds_nothing() {
    let mut statistics = UnitStatistics::new(3, 2);
    statistics.add(DMatrix::from_element(3, 2, 0.5)).unwrap();
    let before = statistics.clone();
    let mismatch = |what, actual| {
        Err(Error::DimensionMismatch {
            what,
            expected: 3,
            actual,
        })
    };
    let rows = "rows of the hidden activations";
    assert_eq!(
        statistics.add(DMatrix::from_element(4, 2, 0.5)),
        mismatch(rows, 4)
    );
    assert_eq!(
        statistics.add(DMatrix::<f32>::zeros(0, 1 << 62)),
        mismatch(rows, 0)
    );
    let empty = |what| Err(Error::EmptyBatch { what });
    assert_eq!(
        statistics.add(DMatrix::<f64>::zeros(3, 0)),
        empty("hidden activations")
    );
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut hidden = DMatrix::from_element(3, 4, 9.0);
        hidden[(1, 3)] = value;
        let refused = statistics.add(&hidden).unwrap_err().to_string();
        let expected = "hidden activations must be finite, got ";
        assert_eq!(refused, format!("{expected}{value} at row 1, column 3"));
    }

    let units = "units of sparse hidden activations";
    let other = SparseHidden::from_parts(2, vec![0, 1], vec![1], vec![1.0_f32]).unwrap();
    assert_eq!(statistics.add_sparse(&other), mismatch(units, 2));
    let none = SparseHidden::<f64>::from_parts(3, vec![0], vec![], vec![]).unwrap();
    assert_eq!(
        statistics.add_sparse(&none),
        empty("sparse hidden activations")
    );
    assert_eq!(statistics, before);
}
