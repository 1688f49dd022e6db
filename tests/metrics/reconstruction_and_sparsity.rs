//! The metrics against numbers computed elsewhere, and the laws that they must keep.

use approx::assert_relative_eq;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::metrics::{
    ReconstructionMetrics, SparsityIndex, SparsityMetrics, hoyer, treves_rolls, vinje_gallant,
};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Error, Real, SparseHidden};

use crate::compressed::compress;

const INDICES: [SparsityIndex; 3] = [
    SparsityIndex::Hoyer,
    SparsityIndex::TrevesRolls,
    SparsityIndex::VinjeGallant,
];

/// A bound for the rounding of a sum of `terms` numbers of one sign.
#[allow(clippy::cast_precision_loss)]
fn rounding(terms: usize) -> f64 {
    terms as f64 * f64::EPSILON
}

fn random(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

/// Activations of which about two thirds are zeros; the last unit is silent.
fn random_hidden(units: usize, samples: usize, seed: u64) -> DMatrix<f64> {
    let mut hidden = random(units, samples, seed).map(|h| (h - 1.0 / 3.0).max(0.0));
    hidden.row_mut(units - 1).fill(0.0);
    hidden
}

fn reconstruction<T: Real>(
    samples: &DMatrix<T>,
    reconstructions: &DMatrix<T>,
    batch: usize,
) -> ReconstructionMetrics {
    let mut metrics = ReconstructionMetrics::new(samples.nrows());
    for start in (0..samples.ncols()).step_by(batch) {
        let count = batch.min(samples.ncols() - start);
        metrics
            .add(
                samples.columns(start, count),
                reconstructions.columns(start, count),
            )
            .unwrap();
    }
    metrics
}

fn sparsity<T: Real>(hidden: &DMatrix<T>, batch: usize) -> SparsityMetrics {
    let mut metrics = SparsityMetrics::new(hidden.nrows());
    for start in (0..hidden.ncols()).step_by(batch) {
        let count = batch.min(hidden.ncols() - start);
        metrics.add(hidden.columns(start, count)).unwrap();
    }
    metrics
}

/// A ReLU autoencoder of 3 input and 4 hidden units on three samples (the columns), and all its
/// metrics, in plain Python.
mod relu_fixture {
    use super::DMatrix;

    pub(crate) fn samples() -> DMatrix<f64> {
        DMatrix::from_column_slice(3, 3, &[1.0, -0.5, 2.0, 0.3, 1.2, -0.7, -1.0, 0.8, 0.4])
    }

    pub(crate) fn reconstructions() -> DMatrix<f64> {
        DMatrix::from_column_slice(
            3,
            3,
            &[
                2.3985, -1.8305, 2.695, 0.4825, 1.096, -0.715, 0.0635, 0.925, 0.15,
            ],
        )
    }

    pub(crate) fn hidden() -> DMatrix<f64> {
        DMatrix::from_column_slice(
            4,
            3,
            &[
                2.82, 0.315, 0.0, 1.78, 0.0, 1.035, 1.215, 0.0, 0.0, 1.205, 0.195, 0.03,
            ],
        )
    }
}

#[test]
fn golden_reconstruction() {
    let metrics = reconstruction(
        &relu_fixture::samples(),
        &relu_fixture::reconstructions(),
        3,
    );
    // The inputs above are decimal, and a little off what the reference computed with.
    let close = |value: Option<f64>, expected: f64| {
        assert_relative_eq!(value.unwrap(), expected, max_relative = 1e-14);
    };
    close(metrics.mean_squared_error(), 0.606_951_333_333_333_3);
    close(metrics.mean_squared_norm(), 1.820_853_999_999_999_8);
    close(
        metrics.fraction_of_variance_unexplained(),
        0.745_572_611_464_968_1,
    );
    close(metrics.explained_variance(), 0.254_427_388_535_031_9);
    close(
        metrics.centered_explained_variance(),
        0.659_025_682_438_580_6,
    );
    close(
        metrics.normalized_mean_squared_error(),
        0.498_477_783_343_810_5,
    );
    assert_eq!(metrics.samples(), 3);
}

#[test]
fn psnr_is_in_decibels_of_the_peak() {
    let clean = DMatrix::from_column_slice(2, 2, &[0.0, 1.0, 0.5, 0.25]);
    let noisy = DMatrix::from_column_slice(2, 2, &[0.25, 0.75, 0.75, 0.0]);
    let metrics = reconstruction(&clean, &noisy, 1);
    // The squared error is 1/16 per entry, and 40 log₁₀ 2 = 12.04….
    let close = |peak: f64, expected: f64| {
        let psnr = metrics.psnr(peak).unwrap().unwrap();
        assert_relative_eq!(psnr, expected, max_relative = 8.0 * f64::EPSILON);
    };
    close(1.0, 12.041_199_826_559_248);
    close(0.25, 0.0);
    close(255.0, 60.172_003_435_238_35); // as 8-bit gray values would have it
    close(1e200, 4_012.041_199_826_559); // the square overflows

    // A tenth of the error is a hundredth of its square: 20 dB more.
    let closer = reconstruction(&clean, &(&clean + (&noisy - &clean) * 0.1), 2);
    let gain = closer.psnr(1.0).unwrap().unwrap() - metrics.psnr(1.0).unwrap().unwrap();
    assert_relative_eq!(gain, 20.0, max_relative = 1e-14);

    assert_eq!(ReconstructionMetrics::new(2).psnr(1.0), Ok(None));
    assert_eq!(reconstruction(&clean, &clean, 1).psnr(1.0), Ok(None));
    for peak in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        let Err(Error::InvalidParameter { name, value, .. }) = metrics.psnr(peak) else {
            panic!("a peak of {peak} must be refused");
        };
        assert_eq!((name, value.to_bits()), ("peak", peak.to_bits()));
    }
}

#[test]
fn explained_variance_is_none_of_the_lookalikes() {
    let (samples, reconstructions) = (relu_fixture::samples(), relu_fixture::reconstructions());
    let errors = &reconstructions - &samples;
    let mean = samples.column_mean();
    let deviations = DMatrix::from_fn(3, 3, |row, column| samples[(row, column)] - mean[row]);
    let scalar_mean = samples.mean();

    let mean_of_ratios = (0..3)
        .map(|i| 1.0 - errors.column(i).norm_squared() / deviations.column(i).norm_squared())
        .sum::<f64>()
        / 3.0;
    let about_scalar_mean =
        1.0 - errors.norm_squared() / samples.map(|x| x - scalar_mean).norm_squared();
    let about_zero = 1.0 - errors.norm_squared() / samples.norm_squared();
    // The plain Python agrees, so these are the formulas that are meant.
    assert_relative_eq!(
        mean_of_ratios,
        0.326_461_789_200_422_1,
        max_relative = 1e-13
    );
    assert_relative_eq!(
        about_scalar_mean,
        0.291_394_378_783_511,
        max_relative = 1e-13
    );

    let metrics = reconstruction(&samples, &reconstructions, 1);
    let ours = metrics.explained_variance().unwrap();
    let centered = metrics.centered_explained_variance().unwrap();
    for other in [mean_of_ratios, about_scalar_mean, about_zero, centered] {
        assert!((ours - other).abs() > 0.03, "{ours} {other}");
    }
}

#[test]
fn golden_sparsity_indices() {
    let values = [0.0, 3.0, 0.0, -4.0, 0.0];
    let close = |index: Option<f64>, expected: f64| {
        assert_relative_eq!(index.unwrap(), expected, max_relative = 4.0 * f64::EPSILON);
    };
    close(hoyer(&values), 0.676_393_202_250_021); // (√5 − 7/5) / (√5 − 1)
    close(treves_rolls(&values), 0.392); // (7/5)² / (25/5)
    close(vinje_gallant(&values), 0.76); // 0.608 / 0.8
    close(vinje_gallant(&[0.0_f32, 3.0, 0.0, 4.0, 0.0]), 0.76);
}

#[test]
fn golden_sparsity() {
    let metrics = sparsity(&relu_fixture::hidden(), 2);
    assert_relative_eq!(metrics.l0().unwrap(), 8.0 / 3.0);
    let frequency = metrics.activation_frequency().unwrap();
    assert_eq!(frequency.as_slice(), [1.0, 3.0, 2.0, 2.0].map(|n| n / 3.0));
    // The mean L1 norm, from the sum over the units.
    assert_relative_eq!(
        metrics.mean_activation().unwrap().sum(),
        2.865,
        max_relative = rounding(12)
    );
    assert!(metrics.dead_units().is_empty());
    assert_eq!(metrics.samples(), 3);
}

#[test]
fn streaming_indices_are_those_of_rows_and_columns() {
    let (units, samples) = (9, 40);
    let hidden = random_hidden(units, samples, 3);
    let metrics = sparsity(&hidden, 7);
    for (index, of) in INDICES
        .into_iter()
        .zip([hoyer, treves_rolls, vinje_gallant])
    {
        let columns = hidden
            .column_iter()
            .filter_map(|sample| of(sample.as_slice()))
            .collect::<Vec<_>>();
        #[allow(clippy::cast_precision_loss)]
        let mean = columns.iter().sum::<f64>() / columns.len() as f64;
        // Hoyer's index divides the rounding of a sum of `n` terms by √n − 1, twice at most here.
        assert_relative_eq!(
            metrics.population_sparsity(index).unwrap(),
            mean,
            max_relative = rounding(4 * samples)
        );
        for (unit, streamed) in metrics.lifetime_sparsity(index).into_iter().enumerate() {
            let row = hidden.row(unit).iter().copied().collect::<Vec<_>>();
            assert_eq!(streamed.is_none(), unit == units - 1);
            assert_relative_eq!(
                streamed.unwrap_or(0.0),
                of(&row).unwrap_or(0.0),
                max_relative = rounding(4 * samples)
            );
        }
    }
    assert_eq!(metrics.dead_units(), [units - 1]);
}

#[test]
fn batches_change_no_bit() {
    let (samples, reconstructions) = (random(5, 200, 1), random(5, 200, 2));
    let hidden = random_hidden(11, 200, 3);
    let whole = reconstruction(&samples, &reconstructions, 200);
    let whole_sparsity = sparsity(&hidden, 200);
    for batch in [1, 7, 64] {
        // Samples are added one by one in either case: 1e-12 would be allowed, 0 is reached.
        assert_eq!(reconstruction(&samples, &reconstructions, batch), whole);
        assert_eq!(sparsity(&hidden, batch), whole_sparsity);
    }
}

#[test]
fn the_order_of_samples_changes_only_rounding() {
    let (samples, reconstructions) = (random(5, 200, 4), random(5, 200, 5));
    let hidden = random_hidden(11, 200, 6);
    let reverse = |matrix: &DMatrix<f64>| {
        let columns = matrix.ncols();
        matrix.select_columns(&(0..columns).rev().collect::<Vec<_>>())
    };
    let one = reconstruction(&samples, &reconstructions, 64);
    let other = reconstruction(&reverse(&samples), &reverse(&reconstructions), 64);
    for metric in [
        ReconstructionMetrics::mean_squared_error,
        ReconstructionMetrics::fraction_of_variance_unexplained,
        ReconstructionMetrics::normalized_mean_squared_error,
    ] {
        assert_relative_eq!(
            metric(&one).unwrap(),
            metric(&other).unwrap(),
            max_relative = rounding(1000)
        );
    }
    let (one, other) = (sparsity(&hidden, 64), sparsity(&reverse(&hidden), 64));
    assert_eq!(one.l0(), other.l0());
    assert_eq!(one.activation_frequency(), other.activation_frequency());
    assert_eq!(one.dead_units(), other.dead_units());
    assert_relative_eq!(
        one.mean_activation().unwrap(),
        other.mean_activation().unwrap(),
        max_relative = rounding(200)
    );
}

#[test]
fn the_mean_sample_explains_nothing() {
    let samples = random(4, 300, 7);
    let mean = samples.column_mean();
    let answers = DMatrix::from_fn(4, 300, |row, _| mean[row]);
    let metrics = reconstruction(&samples, &answers, 64);
    // Both sums are about the minimum of the same parabola: an error of the mean enters squared.
    let tolerance = rounding(4 * 300);
    assert_relative_eq!(
        metrics.fraction_of_variance_unexplained().unwrap(),
        1.0,
        max_relative = tolerance
    );
    assert!(metrics.explained_variance().unwrap().abs() <= tolerance);
}

#[test]
fn a_constant_offset_is_forgiven_by_the_centered_variant_only() {
    let samples = random(4, 100, 8);
    let shifted = samples.add_scalar(0.5);
    let metrics = reconstruction(&samples, &shifted, 100);
    assert_relative_eq!(
        metrics.centered_explained_variance().unwrap(),
        1.0,
        max_relative = rounding(4)
    );
    assert!(metrics.explained_variance().unwrap() < 0.5);
    assert_relative_eq!(
        metrics.mean_squared_error().unwrap(),
        0.25,
        max_relative = rounding(400)
    );
}

#[test]
fn perfect_reconstructions_have_no_error() {
    let samples = random(4, 10, 9);
    let metrics = reconstruction(&samples, &samples, 3);
    assert_eq!(metrics.mean_squared_norm(), Some(0.0));
    assert_eq!(metrics.explained_variance(), Some(1.0));
}

#[test]
fn data_far_from_zero_keep_their_variance() {
    // Multiples of 2⁻¹⁰ below 1, moved by 2³⁰: the move itself rounds nothing.
    let dyadic = |seed| random(3, 500, seed).map(|x| (x * 1024.0).round() / 1024.0);
    let (samples, reconstructions) = (dyadic(10), dyadic(11));
    let far = 2.0_f64.powi(30);
    let near = reconstruction(&samples, &reconstructions, 64);
    let moved = reconstruction(
        &samples.add_scalar(far),
        &reconstructions.add_scalar(far),
        64,
    );
    // The mean is good to 2³⁰ · 2⁻⁵³ ≈ 1e-7 per step; Σx² − m·x̄² would be good to about 100.
    assert_relative_eq!(
        near.explained_variance().unwrap(),
        moved.explained_variance().unwrap(),
        epsilon = 1e-5
    );
}

#[test]
fn f32_and_f64_samples_are_summed_alike() {
    let narrow = [12, 13].map(|seed| random(5, 50, seed).cast::<f32>());
    let wide = narrow.clone().map(DMatrix::cast::<f64>);
    assert_eq!(
        reconstruction(&narrow[0], &narrow[1], 7),
        reconstruction(&wide[0], &wide[1], 7)
    );
    assert_eq!(sparsity(&narrow[0], 7), sparsity(&wide[0], 7));
}

#[test]
fn the_threshold_decides_what_is_active() {
    let hidden = DMatrix::from_column_slice(3, 2, &[0.01, 0.5, -0.6, 0.02, 0.1, 0.0]);
    let mut metrics = SparsityMetrics::with_threshold(3, 0.1).unwrap();
    metrics.add(&hidden).unwrap();
    assert_eq!(metrics.l0(), Some(1.0)); // 0.1 itself does not exceed the threshold
    assert_eq!(metrics.dead_units(), [0]);
    assert_eq!(sparsity(&hidden, 2).l0(), Some(2.5));
    assert!(sparsity(&hidden, 2).dead_units().is_empty());
}

#[test]
fn the_ends_of_the_indices() {
    let close = |index: Option<f64>, expected: f64| {
        assert_relative_eq!(index.unwrap(), expected, epsilon = 1e-15);
    };
    for scale in [1.0, 1e-200, 1e200, f64::MIN_POSITIVE / 4.0] {
        let (one, equal) = ([0.0, scale, 0.0], [scale, -scale, scale]);
        close(hoyer(&one), 1.0);
        close(hoyer(&equal), 0.0);
        close(treves_rolls(&one), 1.0 / 3.0);
        close(treves_rolls(&equal), 1.0);
        close(vinje_gallant(&one), 1.0);
        close(vinje_gallant(&equal), 0.0);
    }
}

#[test]
fn undefined_numbers_are_none() {
    for of in [hoyer::<f64>, treves_rolls, vinje_gallant] {
        for values in [
            &[] as &[f64],
            &[0.0, 0.0],
            &[1.0, f64::NAN],
            &[f64::INFINITY, 1.0],
        ] {
            assert_eq!(of(values), None);
        }
    }
    assert_eq!((hoyer(&[2.0]), vinje_gallant(&[2.0])), (None, None));
    assert_eq!(treves_rolls(&[2.0]), Some(1.0));

    let empty = ReconstructionMetrics::new(2);
    assert_eq!(empty.mean_squared_error(), None);
    assert_eq!(empty.mean_squared_norm(), None);
    assert_eq!(empty.explained_variance(), None);
    assert_eq!(empty.normalized_mean_squared_error(), None);

    // Not a binary fraction: its running mean must not drift.
    let constant = DMatrix::from_element(2, 50, 0.1);
    let metrics = reconstruction(&constant, &random(2, 50, 14), 7);
    assert_eq!(metrics.fraction_of_variance_unexplained(), None);
    assert_eq!(metrics.explained_variance(), None);
    assert_eq!(metrics.centered_explained_variance(), None);

    let mut with_zeros = random(2, 3, 15);
    with_zeros.column_mut(1).fill(0.0);
    let metrics = reconstruction(&with_zeros, &random(2, 3, 16), 3);
    assert_eq!(metrics.normalized_mean_squared_error(), None);
    assert!(metrics.explained_variance().is_some());

    let silent = SparsityMetrics::new(2);
    assert_eq!(silent.l0(), None);
    assert_eq!(silent.mean_activation(), None);
    assert_eq!(silent.activation_frequency(), None);
    assert_eq!(silent.dead_units(), [0, 1]);
    let zeros = sparsity(&DMatrix::<f32>::zeros(2, 3), 3);
    assert_eq!(zeros.l0(), Some(0.0));
    for index in INDICES {
        assert_eq!(silent.population_sparsity(index), None);
        assert_eq!(zeros.population_sparsity(index), None);
        assert_eq!(zeros.lifetime_sparsity(index), [None, None]);
    }
}

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
fn sparse_activations_count_as_dense_ones() {
    let mut hidden = random_hidden(7, 90, 11);
    hidden.column_mut(40).fill(0.0);
    for threshold in [0.0, 0.2] {
        let empty = SparsityMetrics::with_threshold(7, threshold).unwrap();
        let [mut dense, mut mixed] = [empty.clone(), empty];
        dense.add(&hidden).unwrap();
        mixed.add(hidden.columns(0, 20)).unwrap();
        mixed.add_sparse(&compress(hidden.columns(20, 70))).unwrap();
        assert_eq!(mixed, dense);
    }
}

#[test]
fn sparse_activations_that_do_not_fit_are_refused() {
    let mut metrics = SparsityMetrics::new(3);
    metrics.add(&random_hidden(3, 5, 1)).unwrap();
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
