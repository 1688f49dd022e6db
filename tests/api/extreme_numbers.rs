//! Numbers near the ends of what a scalar holds, sizes that no machine has, and tables that lie on
//! their side: the right value, or an error that says what to do.

#![allow(clippy::float_cmp)] // what is exact

use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, Error, KlDivergence, L1, Penalty, Proportion, Real, Samples,
    Scaler, Scaling, SparseAutoencoder, SparseHidden, SquaredDeviation, Stack, Subset, TargetL0,
    Threshold, Trainer, Workspace, geometric_median, penalty,
};

fn row<T: Real>(values: &[f64]) -> DMatrix<T> {
    DMatrix::from_iterator(1, values.len(), values.iter().map(|&x| T::of(x)))
}

/// Either the samples are mapped where they belong, or the error names the feature.
fn scales_or_says_why<T: Real>(values: &[f64], scaling: Scaling, check: impl Fn(&[f64])) {
    let samples = row::<T>(values);
    match scaling.fit(&samples) {
        Ok(scaler) => {
            let scaled = scaler.apply(&samples).unwrap();
            check(&scaled.iter().map(|x| x.to_f64()).collect::<Vec<_>>());
        }
        Err(error) => {
            let spread = "of a smaller spread (divide them first, or use f64)";
            assert!(
                matches!(error, Error::OutOfRange { requirement, row: 0, .. } if requirement == spread),
                "{values:?}: {error}"
            );
        }
    }
}

fn min_max_ends<T: Real>(cases: &[([f64; 2], [f64; 2])]) {
    let epsilon = 4.0 * T::default_epsilon().to_f64();
    for &([least, most], [low, high]) in cases {
        let values = [least, most, 0.5 * least + 0.5 * most];
        scales_or_says_why::<T>(&values, Scaling::min_max(low, high), |scaled| {
            let (low, high) = (T::of(low).to_f64(), T::of(high).to_f64());
            assert_eq!(scaled[0], low);
            assert!(
                scaled.iter().all(|x| (low..=high).contains(x)),
                "{values:?} {scaled:?}"
            );
            assert!(
                high - scaled[1] <= epsilon * (high - low).max(high.abs()),
                "{values:?} {scaled:?}"
            );
            assert!((scaled[2] - 0.5 * (low + high)).abs() <= epsilon * high.abs().max(low.abs()));
        });
    }
}

#[test]
fn min_max_scaling_ends_for_any_spread() {
    min_max_ends::<f32>(&[
        ([0.0, 3.2e38], [0.0, 1.0]),
        ([-1.6e38, 1.6e38], [0.0, 1.0]),
        ([0.0, 1e36], [0.0, 1e-3]),
        ([0.0, 1e38], [0.0, 1e-30]),
        ([0.0, 1e38], [0.0, 1e30]),
        ([0.0, 1e-36], [0.0, 1e-7]),
        ([0.0, 1.0], [-1e-9, 1.0]),
        ([3.0, 5.0], [0.1, 0.9]),
        ([1e8, 1.0001e8], [1e8, 1.0001e8]),
        ([-3.4e38, 3.4e38], [0.0, 1.0]),
    ]);
    min_max_ends::<f64>(&[
        ([0.0, 1.5e308], [0.0, 1.0]),
        ([-0.8e308, 0.8e308], [0.0, 1.0]),
        ([0.0, 1e300], [0.0, 1e-300]),
        ([0.0, 1e-200], [0.0, 1.0]),
        ([0.0, 3e-308], [0.0, 1e-20]),
        ([-1.7e308, 1.7e308], [0.0, 1.0]),
    ]);
    // These have a factor with all its digits, and so must be scaled.
    let spread = |most: f64| Scaling::min_max(0.0, 1.0).fit(row::<f32>(&[0.0, most]));
    assert!(spread(8e37).is_ok() && spread(3.2e38).is_err());
}

#[test]
fn standard_scaling_takes_squares_that_overflow_or_vanish() {
    for size in [1e-300, 1e-200, 1.0, 1e200, 1e307] {
        let values = [-size, size, size, -size];
        for scaling in [Scaling::standard(), Scaling::mean_norm(1.0)] {
            let scaler = scaling.fit(row::<f64>(&values)).unwrap();
            let scaled = scaler.apply(row::<f64>(&values)).unwrap();
            for (scaled, sign) in scaled.iter().zip([-1.0, 1.0, 1.0, -1.0]) {
                assert!(
                    (scaled - sign).abs() < 1e-12,
                    "{size:e} {scaling:?}: {scaled}"
                );
            }
        }
        let three = row::<f64>(&[-size, 0.0, size]);
        let scaler = Scaling::mean_distance(2.0).fit(&three).unwrap();
        let scaled = scaler.apply(&three).unwrap();
        for (scaled, expected) in scaled.iter().zip([-3.0, 0.0, 3.0]) {
            assert!((scaled - expected).abs() < 1e-12, "{size:e}: {scaled}");
        }
    }
    scales_or_says_why::<f32>(&[-1.5e38, 1.5e38], Scaling::standard(), |_| unreachable!());
    scales_or_says_why::<f64>(&[-8e307, 8e307], Scaling::standard(), |_| unreachable!());
}

#[test]
fn what_only_overflows_on_the_way_is_scaled() {
    let scaler = Scaler::new(&[-2e38_f32], &[1e-38], &[0.0]).unwrap();
    let scaled = scaler.apply(row::<f32>(&[3e38])).unwrap();
    assert!((scaled[0] - 5.0).abs() < 1e-5, "{scaled}");
    let scaler = Scaler::new(&[0.0_f32], &[2.0], &[-2e38]).unwrap();
    let samples = scaler.invert(row::<f32>(&[2e38])).unwrap();
    assert!((samples[0] / 2e38 - 1.0).abs() < 1e-6, "{samples}");
    // And what overflows for good becomes the largest number.
    let scaler = Scaler::new(&[0.0_f32], &[1e-10], &[0.0]).unwrap();
    assert_eq!(scaler.invert(row::<f32>(&[-3e38])).unwrap()[0], -f32::MAX);
    let scaler = Scaler::new(&[0.0_f32], &[1e10], &[0.0]).unwrap();
    assert_eq!(scaler.apply(row::<f32>(&[3e38])).unwrap()[0], f32::MAX);
}

#[test]
fn quantiles_are_between_the_scores() {
    let model = SparseAutoencoder::<f32>::builder()
        .layers([2, 3])
        .build()
        .unwrap();
    let scaler = Scaling::identity()
        .fit(DMatrix::from_element(2, 1, 0.5))
        .unwrap();
    let scores = [-3e38, 3e38, 3.1e38];
    let quantile = |q| {
        let rule = Threshold::Quantile(q);
        AnomalyDetector::from_scores(&model, &scaler, &scores, rule)
            .unwrap()
            .threshold()
    };
    assert_eq!(quantile(0.25), 0.0);
    for q in [0.01, 0.3, 0.49, 0.51, 0.75, 0.99] {
        let position = q * 2.0;
        let [low, high] = if q < 0.5 {
            [-3e38, 3e38]
        } else {
            [3e38, 3.1e38]
        };
        let expected = low + (high - low) * (position % 1.0);
        assert!((f64::from(quantile(q)) - expected).abs() < 1e32, "{q}");
    }
    // Rounding does not leave the interval.
    let scores = [0.000_162_5, 0.009_193, 75.824_265, 374.282_44];
    let rule = Threshold::Quantile(1.0 - f64::EPSILON / 2.0);
    let detector = AnomalyDetector::from_scores(&model, &scaler, &scores, rule).unwrap();
    assert_eq!(detector.threshold(), 374.282_44);
}

#[test]
fn far_samples_do_not_move_the_geometric_median() {
    // 5 × 5 points in [0, 4]², whose median is (2, 2), and samples far away.
    let grid = |i: usize, j: usize| [(j / 5) as f64, (j % 5) as f64][i];
    for far in [1e3, 1e6, 1e12, 1e100, 1.7e308] {
        for outliers in [1, 3] {
            let samples = DMatrix::from_fn(
                2,
                25 + outliers,
                |i, j| {
                    if j < 25 { grid(i, j) } else { far }
                },
            );
            let median = geometric_median(&samples).unwrap();
            assert!(
                (median.add_scalar(-2.0)).norm() < 0.35 * outliers as f64,
                "{far:e}: {median}"
            );
            // A shift and another unit give the same, as far as the digits go.
            if far < 1e13 {
                let moved = geometric_median(samples.map(|x| 1e-200 * x)).unwrap();
                assert!((moved / 1e-200 - median).norm() < 1e-5, "{far:e}");
            }
        }
    }
    let shifted = DMatrix::from_fn(2, 25, |i, j| 1e8 + grid(i, j));
    assert!(
        geometric_median(&shifted)
            .unwrap()
            .add_scalar(-1e8 - 2.0)
            .norm()
            < 1e-5
    );
    let narrow = DMatrix::from_fn(2, 26, |i, j| if j < 25 { grid(i, j) as f32 } else { 1e12 });
    assert!(geometric_median(&narrow).unwrap().add_scalar(-2.0).norm() < 0.35);
}

#[test]
fn a_penalty_is_not_evaluated_at_a_target_without_meaning() {
    let hidden = DMatrix::from_row_slice(1, 2, &[0.1, 0.3]);
    let penalties: [(&dyn Penalty<f64>, Activation, f64); 5] = [
        (&KlDivergence, Activation::Sigmoid, 1.0),
        (&Proportion, Activation::Relu, 1.1),
        (&TargetL0, Activation::JumpRelu, 0.0),
        (&SquaredDeviation, Activation::Tanh, f64::INFINITY),
        (&L1, Activation::Relu, f64::NEG_INFINITY),
    ];
    for (penalty, activation, target) in penalties {
        let bounded = !matches!(activation, Activation::Tanh) && target.is_finite();
        let bad: &[f64] = if bounded {
            &[target, f64::NAN, -1.0, 0.0]
        } else {
            &[target, f64::NAN]
        };
        for &target in bad {
            let error = penalty::evaluate(penalty, activation, target, &hidden).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::InvalidParameter {
                        name: "sparsity_target",
                        ..
                    }
                ),
                "{penalty:?} {target}: {error}"
            );
        }
        let (value, _) = penalty::evaluate(penalty, activation, 0.5, &hidden).unwrap();
        assert!(value.is_finite());
    }
    // The mean of these is a number, though their sum is none.
    let large = DMatrix::from_element(1, 2, 1.7e308);
    let (value, _) = penalty::evaluate(&L1, Activation::Relu, 0.5, &large).unwrap();
    assert_eq!(value, 1.7e308);
}

/// An overflow is named where it happens, with the sample.
#[test]
fn an_overflow_within_a_stack_names_its_sample() {
    let mut layers = vec![];
    for sizes in [[2, 3], [3, 2]] {
        let mut layer = SparseAutoencoder::<f32>::builder()
            .layers(sizes)
            .hidden_activation(Activation::Relu)
            .penalty(())
            .build()
            .unwrap();
        layer.set_theta(&vec![10.0; layer.layout().len()]).unwrap();
        layers.push(layer);
    }
    // The first layer makes 20 x of x, and the second overflows.
    let x = DMatrix::from_fn(2, 9, |_, j| if j == 7 { 1e37 } else { 1.0 });
    let stack = Stack::new(layers).unwrap();
    let expected = |error: Error| match error {
        Error::NonFinite { what, column, .. } => (what, column),
        error => panic!("{error}"),
    };
    let error = stack.encode(&x).unwrap_err();
    assert_eq!(expected(error), ("hidden activations", 7));
    let encoded = stack.encode_on_read(&x).unwrap();
    let some = Subset::new(encoded, [1, 7]).unwrap();
    let error = some.to_matrix().unwrap_err();
    assert_eq!(expected(error), ("hidden activations", 1)); // of the subset
}

/// Says how many samples it has, and that is all.
struct Claims(usize);

impl<T: Real> Samples<T> for Claims {
    fn count(&self) -> usize {
        self.0
    }

    fn entries(&self) -> usize {
        2
    }

    fn read(&self, _: &[usize], batch: &mut [T]) -> Result<(), Error> {
        batch.fill(T::of(0.5));
        Ok(())
    }
}

#[test]
fn more_samples_than_fit_into_memory_are_an_error() {
    let no_room = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                Error::InvalidParameter {
                    requirement: "small enough to fit into memory",
                    ..
                } | Error::Unreadable {
                    kind: std::io::ErrorKind::OutOfMemory,
                    ..
                }
            ),
            "{error}"
        );
    };
    for count in [usize::MAX, usize::MAX / 2, usize::MAX / 8, 1 << 50] {
        let mut model = SparseAutoencoder::<f32>::builder()
            .layers([2, 3])
            .build()
            .unwrap();
        for split in [0.0, 0.5] {
            let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
                .epochs(1)
                .validation_split(split);
            no_room(trainer.fit(&mut model, Claims(count)).map(|_| ()));
        }
        no_room(Samples::<f32>::to_matrix(&Claims(count)).map(|_| ()));
        no_room(geometric_median::<f32>(Claims(count)).map(|_| ()));
        let builder = AnomalyDetector::builder(&mut model).calibration_split(0.0);
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap());
        no_room(builder.fit(&mut trainer, Claims(count)).map(|_| ()));
        let rule = Threshold::FalseAlarmRate(0.1);
        let scores = [0.0; 20];
        let scaler = Scaling::identity().fit(DMatrix::zeros(2, 1)).unwrap();
        let mut detector = AnomalyDetector::from_scores(&model, &scaler, &scores, rule).unwrap();
        no_room(detector.recalibrate(Claims(count)));
        no_room(detector.scores(Claims(count)).map(|_| ()));
        let claims = Claims(count);
        let mut batches = Samples::<f32>::batches(&claims, count);
        no_room(batches.next().unwrap().map(|_| ()));
        assert!(batches.next().is_none());
    }
}

/// A table with a sample in each row: the rows are named first, with the remedy.
#[test]
fn a_transposed_table_is_recognized() {
    let table = DMatrix::from_fn(40, 3, |i, j| ((i * 3 + j * 7) % 11) as f64 / 11.0);
    let samples = table.transpose();
    let mut model = SparseAutoencoder::builder().layers([3, 4]).build().unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(1);
    let scaler = Scaling::standard().fit(&samples).unwrap();
    let rule = Threshold::FalseAlarmRate(0.1);
    let mut detector = AnomalyDetector::calibrate(&model, &scaler, &samples, rule).unwrap();
    let mut errors = vec![
        AnomalyDetector::calibrate(&model, &scaler, &table, rule).unwrap_err(),
        AnomalyDetector::calibrate(&model, &scaler, table.columns(0, 1), rule).unwrap_err(),
        detector.recalibrate(table.columns(0, 1)).unwrap_err(),
        detector.recalibrate(table.columns(0, 0)).unwrap_err(),
        detector.scores(&table).unwrap_err(),
        detector.p_values(&table).unwrap_err(),
        scaler.apply(&table).unwrap_err(),
        model.encode(&table).unwrap_err(),
        model.loss(&table).unwrap_err(),
        trainer.fit(&mut model, &table).unwrap_err(),
        trainer.partial_fit(&mut model, &table).unwrap_err(),
    ];
    for table in [table.as_view(), table.columns(0, 0), table.columns(0, 1)] {
        let builder = AnomalyDetector::builder(&mut model).threshold(rule);
        errors.push(builder.fit(&mut trainer, table).unwrap_err());
    }
    for error in errors {
        assert!(
            matches!(
                error,
                Error::DimensionMismatch {
                    expected: 3,
                    actual: 40,
                    ..
                }
            ),
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message == "rows of the samples: expected 3, got 40 (a column is a sample: transpose?)",
            "{message}"
        );
    }
}

/// Pre-activations of ∞ − ∞, with few and with many units: a loss that is not finite, and no panic.
#[test]
fn pre_activations_that_are_no_numbers_show_in_the_loss() {
    let x = DMatrix::from_fn(4, 6, |i, j| if (i + j) % 2 == 0 { 1e10 } else { -1e10 });
    for &activation in ACTIVATIONS {
        for units in [3, 48] {
            let mut model = SparseAutoencoder::<f64>::builder()
                .layers([4, units])
                .hidden_activation(activation)
                .output_activation(Activation::Identity)
                .penalty(())
                .build()
                .unwrap();
            let theta: Vec<f64> = model.parameters().as_slice().to_vec();
            let huge = |k: usize| if k.is_multiple_of(3) { 1e300 } else { -1e300 };
            let theta: Vec<f64> = (0..theta.len()).map(huge).collect();
            model.set_theta(&theta).unwrap();
            let mut gradient = vec![0.0; theta.len()];
            let loss = model.loss_and_gradient(&x, &mut gradient, &mut Workspace::new());
            assert!(!loss.unwrap().total().is_finite(), "{activation:?}");
            let bounded = activation.range().is_some();
            let hidden = model.encode_sparse(&x);
            let refused = matches!(hidden, Err(Error::NonFinite { .. }));
            assert!(refused || bounded, "{activation:?}: {hidden:?}");
            let hidden = model.encode(&x);
            let refused = matches!(hidden, Err(Error::NonFinite { .. }));
            assert!(refused || bounded, "{activation:?}: {hidden:?}");
            let one = SparseHidden::from_parts(units, vec![0, 1], vec![0], vec![1e20]).unwrap();
            let decoded = model.decode_sparse(&one);
            assert!(
                matches!(decoded, Err(Error::NonFinite { .. })),
                "{decoded:?}"
            );
            let reconstructed = model.reconstruct(&x);
            let refused = matches!(reconstructed, Err(Error::NonFinite { .. }));
            assert!(refused || bounded, "{activation:?}: {reconstructed:?}");
        }
    }
}
