//! What the metrics refuse, and that it leaves no trace.

use super::*;

/// A reconstruction that is refused, and leaves no trace.
fn refused(samples: &DMatrix<f64>, reconstructions: &DMatrix<f64>) -> Error {
    let mut metrics = reconstruction(&random(2, 3, 17), &random(2, 3, 18), 3);
    let before = metrics.clone();
    let error = metrics.add(samples, reconstructions).unwrap_err();
    assert_eq!(metrics, before);
    error
}

/// Activations that are refused, and leave no trace.
fn refused_hidden(hidden: &DMatrix<f32>) -> Error {
    let mut metrics = sparsity(&random_hidden(2, 3, 19), 3);
    let before = metrics.clone();
    let error = metrics.add(hidden).unwrap_err();
    assert_eq!(metrics, before);
    error
}

#[test]
fn wrong_dimensions_are_refused() {
    let mismatch = |what, expected, actual| Error::DimensionMismatch {
        what,
        expected,
        actual,
    };
    assert_eq!(
        refused(&random(3, 4, 0), &random(2, 4, 0)),
        mismatch("rows of the samples", 2, 3)
    );
    assert_eq!(
        refused(&random(2, 4, 0), &random(3, 4, 0)),
        mismatch("rows of the reconstructions", 2, 3)
    );
    assert_eq!(
        refused(&random(2, 4, 0), &random(2, 5, 0)),
        mismatch("columns of the reconstructions", 4, 5)
    );
    assert_eq!(
        refused_hidden(&DMatrix::zeros(1, 4)),
        mismatch("rows of the hidden activations", 2, 1)
    );
}

#[test]
fn empty_batches_are_refused() {
    assert_eq!(
        refused(&DMatrix::zeros(2, 0), &DMatrix::zeros(2, 0)),
        Error::EmptyBatch { what: "samples" }
    );
    assert_eq!(
        refused_hidden(&DMatrix::zeros(2, 0)),
        Error::EmptyBatch {
            what: "hidden activations"
        }
    );
}

#[test]
fn nan_and_infinities_are_refused() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        // Debug, because NaN differs from itself.
        let expected = |what| {
            format!(
                "{:?}",
                Error::NonFinite {
                    what,
                    row: 1,
                    column: 2,
                    value
                }
            )
        };
        let good = random(2, 4, 20);
        let mut bad = good.clone();
        bad[(1, 2)] = value;
        assert_eq!(format!("{:?}", refused(&bad, &good)), expected("samples"));
        assert_eq!(
            format!("{:?}", refused(&good, &bad)),
            expected("reconstructions")
        );
        assert_eq!(
            format!("{:?}", refused_hidden(&bad.cast())),
            expected("hidden activations")
        );
    }
}

#[test]
fn sparse_activations_that_do_not_fit_are_refused() {
    let mut metrics = SparsityMetrics::new(3);
    metrics.add(random_hidden(3, 5, 1)).unwrap();
    let before = metrics.clone();
    let other = SparseHidden::from_parts(2, vec![0, 1], vec![1], vec![1.0_f32]).unwrap();
    let expected = Error::DimensionMismatch {
        what: "units of sparse hidden activations",
        expected: 3,
        actual: 2,
    };
    assert_eq!(metrics.add_sparse(&other), Err(expected));
    let none = SparseHidden::<f64>::from_parts(3, vec![0], vec![], vec![]).unwrap();
    let expected = Error::EmptyBatch {
        what: "sparse hidden activations",
    };
    assert_eq!(metrics.add_sparse(&none), Err(expected));
    assert_eq!(metrics, before);
}

#[test]
fn thresholds_out_of_range_are_refused() {
    for threshold in [-0.1, f64::NAN, f64::INFINITY] {
        let error = SparsityMetrics::with_threshold(2, threshold).unwrap_err();
        assert!(
            matches!(
                error,
                Error::InvalidParameter {
                    name: "threshold",
                    ..
                }
            ),
            "{error}"
        );
    }
}
