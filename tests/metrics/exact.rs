//! The metrics against their formulas in rational arithmetic, on data that make sums cancel, overflow,
//! or vanish. The expected values, and those of other libraries on the same data, are printed by
//! `peers.py`.

#![allow(clippy::float_cmp)] // what is exact, or the same bits

use approx::assert_relative_eq;
use sparse_autoencoder::SparseHidden;
use sparse_autoencoder::metrics::{
    ReconstructionMetrics, SparsityIndex, SparsityMetrics, UnitStatistics, average_precision,
    hoyer, roc_auc, treves_rolls, vinje_gallant,
};
use sparse_autoencoder::nalgebra::DMatrix;

use crate::compressed::compress;

const SAMPLES: usize = 16;
const EQUAL: &[usize] = &[4, 4, 4, 4];
const UNEQUAL: &[usize] = &[1, 7, 2, 6];

fn entry(i: usize, j: usize) -> f64 {
    ((37 * i + 101 * j) % 64) as f64 / 16.0 - 2.0
}

fn error(i: usize, j: usize) -> f64 {
    (((13 * i + 7 * j) % 8) as f64 - 3.0) / 32.0
}

/// Samples and reconstructions.
type Data = [DMatrix<f64>; 2];

fn with_errors(samples: DMatrix<f64>, scale: f64) -> Data {
    let errors = DMatrix::from_fn(samples.nrows(), samples.ncols(), |j, i| scale * error(i, j));
    [samples.clone(), samples + errors]
}

fn scaled(scale: f64, shift: f64) -> Data {
    with_errors(
        DMatrix::from_fn(3, SAMPLES, |j, i| shift + scale * entry(i, j)),
        scale,
    )
}

fn measure([samples, reconstructions]: &Data, batches: &[usize]) -> ReconstructionMetrics {
    let mut metrics = ReconstructionMetrics::new(3);
    let mut start = 0;
    for &count in batches {
        let part = |matrix: &DMatrix<f64>| matrix.columns(start, count).into_owned();
        metrics.add(part(samples), part(reconstructions)).unwrap();
        start += count;
    }
    assert_eq!(start, samples.ncols());
    metrics
}

fn columns(data: &Data, chosen: impl Iterator<Item = usize> + Clone) -> Data {
    [0, 1].map(|k| data[k].select_columns(chosen.clone().collect::<Vec<_>>().iter()))
}

/// Explained variance, the centered one, squared error by entry, and normalized squared error.
type Expected = [Option<f64>; 4];

#[test]
fn reconstructions_of_hostile_data() {
    let plain = scaled(1.0, 0.0);
    let of_plain = [
        0.995898583146905,
        0.996085011185682,
        0.00537109375,
        0.00422727189458286,
    ];
    let of_plain = of_plain.map(Some);
    let with = |k: usize, value: f64| {
        let mut expected = of_plain;
        expected[k] = Some(value);
        expected
    };
    let (large, small) = (scaled(1e200, 0.0), scaled(1e-200, 0.0));
    let mixed =
        [0, 1].map(|k| DMatrix::from_fn(3, SAMPLES, |j, i| [&small, &large][i % 2][k][(j, i)]));
    let constant = |keep: fn(usize) -> bool| {
        let samples = DMatrix::from_fn(3, SAMPLES, |j, i| if keep(j) { 0.1 } else { entry(i, j) });
        with_errors(samples, 1.0)
    };
    let cases: [(&str, Data, &[usize], Expected); 11] = [
        ("plain", plain.clone(), EQUAL, of_plain),
        ("unequal batches", plain.clone(), UNEQUAL, of_plain),
        (
            "mean 1e8",
            scaled(1.0, 1e8),
            EQUAL,
            with(3, 5.37109376078288e-19),
        ),
        (
            "constant column",
            constant(|j| j == 1),
            EQUAL,
            [
                0.994060475161987,
                0.994330453563715,
                0.00537109375,
                0.0163437665817445,
            ]
            .map(Some),
        ),
        (
            "all constant",
            constant(|_| true),
            EQUAL,
            [None, None, Some(0.00537109375), Some(0.537109375)],
        ),
        (
            "one sample",
            columns(&plain, 0..1),
            &[1],
            [
                None,
                None,
                Some(0.0110677083333333),
                Some(0.00554468362687541),
            ],
        ),
        ("1e200", large, EQUAL, with(2, f64::INFINITY)),
        ("1e-200", small, EQUAL, with(2, 0.0)),
        (
            "1e200 and 1e-200",
            mixed,
            UNEQUAL,
            [
                0.99556135770235,
                0.995822454308094,
                f64::INFINITY,
                0.00422727189458286,
            ]
            .map(Some),
        ),
        (
            "duplicates",
            columns(&plain, (0..SAMPLES).chain(0..4)),
            &[20],
            [
                0.995674956749568,
                0.995922459224592,
                0.00563151041666667,
                0.00431404795449016,
            ]
            .map(Some),
        ),
        (
            "duplicates only",
            columns(&plain, [3; 4].into_iter()),
            &[4],
            [
                None,
                None,
                Some(0.00944010416666667),
                Some(0.00729376257545272),
            ],
        ),
    ];
    for (name, data, batches, expected) in cases {
        let metrics = measure(&data, batches);
        let measured = [
            metrics.explained_variance(),
            metrics.centered_explained_variance(),
            metrics.mean_squared_error(),
            metrics.normalized_mean_squared_error(),
        ];
        for (k, (measured, expected)) in measured.into_iter().zip(expected).enumerate() {
            assert_eq!(
                measured.is_some(),
                expected.is_some(),
                "{name} {k}: {measured:?}"
            );
            let [measured, expected] = [measured, expected].map(Option::unwrap_or_default);
            // Printed with 15 digits. Of a mean of 1e8 the errors keep those behind the sixteenth.
            let tolerance = if name == "mean 1e8" { 1e-8 } else { 4e-15 };
            assert_relative_eq!(measured, expected, max_relative = tolerance);
        }
        assert_eq!(metrics, measure(&data, &vec![1; data[0].ncols()]), "{name}");
    }
}

#[test]
fn no_size_of_the_data_makes_a_metric_nan() {
    for scale in [5e-324, 1e-310, 1e-200, 1e-160, 1.0, 1e150, 1e200, 4e307] {
        let data = scaled(scale, 0.0);
        let metrics = measure(&data, UNEQUAL);
        let values = [
            metrics.explained_variance(),
            metrics.centered_explained_variance(),
            metrics.fraction_of_variance_unexplained(),
            metrics.mean_squared_error(),
            metrics.mean_squared_error_norm(),
            metrics.normalized_mean_squared_error(),
            metrics.psnr(scale.max(1e-300)).unwrap(),
        ];
        assert!(
            values.iter().flatten().all(|value| !value.is_nan()),
            "{scale:e}: {values:?}"
        );
        if scale > 1e-300 {
            let explained = metrics.explained_variance().unwrap();
            assert_relative_eq!(explained, 0.995898583146905, max_relative = 4e-15);
            // 10 log₁₀(1/0.00537109375), whatever the unit.
            assert_relative_eq!(
                metrics.psnr(scale).unwrap().unwrap(),
                -10.0 * 0.00537109375_f64.log10(),
                max_relative = 1e-12
            );
        }
    }
    // The difference of two samples overflows, and so does the error.
    let apart = DMatrix::from_row_slice(1, 2, &[f64::MAX, -f64::MAX]);
    let mut metrics = ReconstructionMetrics::new(1);
    metrics.add(&apart, &-&apart).unwrap();
    assert_eq!(metrics.explained_variance(), Some(-3.0));
    assert_eq!(metrics.centered_explained_variance(), Some(-3.0));
    assert_eq!(metrics.normalized_mean_squared_error(), Some(4.0));
}

#[test]
fn sparsity_does_not_depend_on_the_size_of_the_activations() {
    let shape = |i: usize, j: usize| {
        if j == 4 {
            0
        } else {
            ((5 * i + 11 * j) % 13).saturating_sub(7)
        }
    };
    let hidden =
        |scale: f64| DMatrix::from_fn(5, SAMPLES, |j, i| scale * (shape(i, j) as f64 / 4.0));
    let indices = [
        SparsityIndex::Hoyer,
        SparsityIndex::TrevesRolls,
        SparsityIndex::VinjeGallant,
    ];
    let plain = hidden(1.0);
    let mut expected = SparsityMetrics::new(5);
    expected.add(&plain).unwrap();
    for scale in [
        2_f64.powi(-1000),
        2_f64.powi(-700),
        2_f64.powi(700),
        2_f64.powi(1023),
    ] {
        let hidden = hidden(scale);
        let (mut metrics, mut sparse) = (SparsityMetrics::new(5), SparsityMetrics::new(5));
        metrics.add(&hidden).unwrap();
        sparse.add_sparse(&compress(hidden.as_view())).unwrap();
        assert_eq!(metrics, sparse);
        assert_eq!(metrics.l0(), Some(1.5625));
        let frequency = metrics.activation_frequency().unwrap();
        assert_eq!(frequency.as_slice(), [0.375, 0.4375, 0.375, 0.375, 0.0]);
        assert_eq!(metrics.dead_units(), [4]);
        for index in indices {
            assert_eq!(
                metrics.population_sparsity(index),
                expected.population_sparsity(index)
            );
            assert_eq!(
                metrics.lifetime_sparsity(index),
                expected.lifetime_sparsity(index)
            );
        }
        let means = expected.mean_activation().unwrap() * scale;
        assert_eq!(metrics.mean_activation().unwrap(), means);
        let mut units = UnitStatistics::new(5, 2);
        units.add(&hidden).unwrap();
        assert_eq!(units.mean_activation().unwrap(), means);
        assert_eq!(units.activation_frequency().unwrap(), frequency);
        assert!(
            units
                .mean_when_active()
                .iter()
                .flatten()
                .all(|mean| mean.is_finite())
        );
    }
}

/// An index of a sample, of a unit, and of a slice is the same number.
#[test]
fn an_index_is_the_same_however_it_is_asked_for() {
    for value in [5e-324, 1e-310, 1e-200, 0.3, 1e200, f64::MAX] {
        for shape in [
            [1.0, 0.0, 0.0, 0.0],
            [1.0, -1.0, 1.0, 1.0],
            [1.0, 0.0, 1.0, 0.0],
        ] {
            let values = shape.map(|share| share * value);
            let by_slice = [
                hoyer(&values),
                treves_rolls(&values),
                vinje_gallant(&values),
            ];
            let mut of_sample = SparsityMetrics::new(4);
            of_sample
                .add(DMatrix::from_column_slice(4, 1, &values))
                .unwrap();
            let mut of_unit = SparsityMetrics::new(1);
            of_unit.add(DMatrix::from_row_slice(1, 4, &values)).unwrap();
            let indices = [
                SparsityIndex::Hoyer,
                SparsityIndex::TrevesRolls,
                SparsityIndex::VinjeGallant,
            ];
            for (index, expected) in indices.into_iter().zip(by_slice) {
                assert!(expected.is_some_and(f64::is_finite), "{index:?} {values:?}");
                assert_eq!(
                    of_sample.population_sparsity(index),
                    expected,
                    "{index:?} {values:?}"
                );
                assert_eq!(
                    of_unit.lifetime_sparsity(index),
                    [expected],
                    "{index:?} {values:?}"
                );
            }
        }
        assert_eq!(hoyer(&[value, 0.0]), Some(1.0));
    }
}

#[test]
fn means_of_activations_near_the_largest_number() {
    let near = |mean: f64| (mean / 1.7e308 - 1.0).abs() < 1e-15;
    let hidden = DMatrix::from_element(2, 3, 1.7e308);
    let mut metrics = SparsityMetrics::new(2);
    metrics.add(&hidden).unwrap();
    assert!(metrics.mean_activation().unwrap().iter().copied().all(near));
    let even = metrics
        .population_sparsity(SparsityIndex::TrevesRolls)
        .unwrap();
    assert!((even - 1.0).abs() < 1e-15);
    let mut units = UnitStatistics::new(2, 1);
    units.add(&hidden).unwrap();
    assert!(units.mean_activation().unwrap().iter().copied().all(near));
    assert!(
        units
            .mean_when_active()
            .into_iter()
            .all(|mean| mean.is_some_and(near))
    );
}

/// Sizes that no machine can hold are no panic, but an error once there are samples.
#[test]
fn accumulators_of_any_size_can_be_made() {
    const HUGE: usize = usize::MAX / 2;
    let batch = DMatrix::from_element(3, 2, 0.5);
    let memory = |added: Result<(), sparse_autoencoder::Error>| {
        let message = added.unwrap_err().to_string();
        let expected = "small enough to fit into memory";
        assert!(message.contains(expected), "{message}");
    };
    for (count, top) in [(HUGE, 4), (HUGE, 0), (usize::MAX, usize::MAX)] {
        let mut units = UnitStatistics::new(count, top);
        units.add(&batch).unwrap_err(); // of another number of units
        let sparse = SparseHidden::from_parts(count, vec![0, 1], vec![2], vec![1.0]).unwrap();
        memory(units.add_sparse(&sparse));
        memory(SparsityMetrics::new(count).add_sparse(&sparse));
        assert_eq!(units.dead_units(), [0; 0]);
        assert_eq!(
            (units.mean_activation(), units.top_samples(7)),
            (None, Some(&[][..]))
        );
        let mut sparsity = SparsityMetrics::new(count);
        sparsity.add(&batch).unwrap_err();
        assert_eq!((sparsity.l0(), sparsity.dead_units().len()), (None, 0));
        let mut reconstruction = ReconstructionMetrics::new(count);
        reconstruction.add(&batch, &batch).unwrap_err();
        assert_eq!(reconstruction.mean_squared_error(), None);
    }
    let mut units = UnitStatistics::new(3, HUGE);
    memory(units.add(&batch));
    assert_eq!((units.samples(), units.dead_units().len()), (0, 3));
}

/// A name, scores, and their AUC and average precision.
type Case = (&'static str, fn(usize) -> f64, f64, f64);

#[test]
fn rankings_with_ties_and_at_the_ends_of_the_range() {
    let labels: Vec<bool> = (0..12).map(|i| i * i % 7 < 3).collect();
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let cases: [Case; 6] = [
        ("ties", |i| (5 * i % 4) as f64, 5.0 / 9.0, 91.0 / 108.0),
        ("all equal", |_| 0.1, 0.5, 0.75),
        (
            "infinite",
            |i| [f64::NEG_INFINITY, -1.0, 1.0, f64::INFINITY][i % 4],
            5.0 / 9.0,
            91.0 / 108.0,
        ),
        (
            "ends of the range",
            |i| ((i % 4) as f64 - 1.5) * 1e308,
            5.0 / 9.0,
            91.0 / 108.0,
        ),
        (
            "1 and the next number",
            |i| 1.0 + f64::EPSILON * (7 * i % 3) as f64,
            19.0 / 54.0,
            25.0 / 36.0,
        ),
        (
            "0 and -0",
            |i| if i.is_multiple_of(2) { -0.0 } else { 0.0 },
            0.5,
            0.75,
        ),
    ];
    let check = |name: &str, scores: &[f64], labels: &[bool], auc: f64, precision: f64| {
        assert_eq!(roc_auc(scores, labels).unwrap(), auc, "{name}");
        let measured = average_precision(scores, labels).unwrap();
        assert_relative_eq!(measured, precision, max_relative = 1e-15);
    };
    for (name, score, auc, precision) in cases {
        check(
            name,
            &(0..12).map(score).collect::<Vec<_>>(),
            &labels,
            auc,
            precision,
        );
    }
    let sizes =
        |i: usize| sign(i) * if i.is_multiple_of(2) { 1e200 } else { 1e-200 } * (i % 5) as f64;
    let scores: Vec<f64> = (0..12).map(sizes).collect();
    check(
        "1e200 and 1e-200",
        &scores,
        &labels,
        5.0 / 9.0,
        101_903.0 / 124_740.0,
    );
    let scores: Vec<f64> = (0..12).map(|i| (i % 6) as f64).collect();
    let one: Vec<bool> = (0..12).map(|i| i == 4).collect();
    check("one positive", &scores, &one, 17.0 / 22.0, 0.25);
}
