//! The detector without settings. A fit trains many models, so that tests share them, with fewer steps.

mod calibration;

use std::f32::consts::TAU;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use approx::assert_relative_eq;
use nalgebra::DMatrix;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::{AnomalyEnsemble, AnomalyEnsembleBuilder, EnsembleStep};
use crate::metrics::roc_auc;
use crate::{Error, MissingValues, Real, Samples, Shards, Subset};

/// Fewer steps miss what lies inside the circle.
const STEPS: usize = 2000;

fn builder<T: Real>(steps: usize) -> AnomalyEnsembleBuilder<T> {
    AnomalyEnsemble::builder().steps(steps)
}

fn fit<T: Real>(samples: impl Samples<T>) -> Result<AnomalyEnsemble<T>, Error> {
    builder(STEPS).fit(&samples)
}

/// Samples on a noisy circle, after a constant feature.
fn circle(count: usize, seed: u64) -> DMatrix<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut samples = DMatrix::from_element(3, count, 7.0);
    for mut sample in samples.column_iter_mut() {
        let (angle, radius): (f32, f32) = (rng.random_range(0.0..TAU), rng.random_range(0.9..1.1));
        sample[1] = radius * angle.cos();
        sample[2] = 1000.0 * radius * angle.sin();
    }
    samples
}

/// Inside the circle, outside, and on it.
fn three() -> DMatrix<f32> {
    DMatrix::from_column_slice(3, 3, &[7.0, 0.0, 0.0, 7.0, 2.0, 0.0, 7.0, 0.0, 1000.0])
}

static MANY: LazyLock<AnomalyEnsemble<f32>> = LazyLock::new(|| fit(circle(1000, 1)).unwrap());
static FEW: LazyLock<AnomalyEnsemble<f32>> = LazyLock::new(|| fit(circle(60, 2)).unwrap());

#[test]
fn anomalies_inside_and_outside_are_found() {
    for detector in [&*MANY, &*FEW] {
        assert_eq!(
            detector.is_anomaly(three(), 0.05).unwrap(),
            [true, true, false]
        );
        assert_eq!(detector.select(three(), 0.2).unwrap(), [true, true, false]);
    }
}

#[test]
fn contributions_sum_to_the_score_and_name_the_feature() {
    for detector in [&*MANY, &*FEW] {
        let samples = circle(1100, 3); // more than a chunk
        let scores = detector.scores(&samples).unwrap();
        let contributions = detector.contributions(&samples).unwrap();
        assert_relative_eq!(
            contributions.row_sum().transpose(),
            scores,
            max_relative = 1e-4
        );
        assert!(contributions.row(0).iter().all(|&part| part == 0.0));
        let far = DMatrix::from_column_slice(3, 2, &[7.0, 5.0, 0.0, 7.0, 0.0, 5000.0]);
        let contributions = detector.contributions(&far).unwrap();
        assert_eq!(
            [0, 1].map(|sample| contributions.column(sample).imax()),
            [1, 2]
        );
    }
}

/// Given n calibration samples, the share of normal samples with p ≤ α has a standard deviation of about
/// √(α(1 − α)/n) over calibrations. Five of them are allowed.
#[test]
fn alarms_on_normal_samples_keep_their_rate() {
    let normal = circle(4000, 4);
    for (detector, calibration) in [(&*MANY, 200), (&*FEW, 60)] {
        assert_eq!(detector.calibration_samples(), calibration);
        for rate in [0.1, 0.3] {
            let alarms = detector.is_anomaly(&normal, rate).unwrap();
            let share = f64::of_count(alarms.iter().filter(|&&alarm| alarm).count()) / 4000.0;
            let deviation = (rate * (1.0 - rate) / f64::of_count(calibration)).sqrt();
            assert!((share - rate).abs() <= 5.0 * deviation, "{share} at {rate}");
        }
    }
}

/// Some of the samples lie together outside, where models at small noise learn them.
#[test]
fn anomalies_among_the_training_samples_are_found() {
    let mut samples = circle(1000, 5);
    for mut sample in samples.columns_mut(0, 40).column_iter_mut() {
        sample[1] = 3.0 + 0.1 * sample[1];
        sample[2] = 3000.0 + 0.1 * sample[2];
    }
    let detector = fit(&samples).unwrap();
    let scores = detector.scores(&samples).unwrap();
    let labels: Vec<bool> = (0..1000).map(|index| index < 40).collect();
    assert!(roc_auc(scores.as_slice(), &labels).unwrap() > 0.99);
}

/// Without limits, each standard deviation would be hundreds of times that of the circle.
#[test]
fn gross_errors_among_the_training_samples_hide_nothing() {
    let mut samples = circle(1000, 1);
    for (row, column) in [(1, 10), (1, 700), (2, 333), (2, 810)] {
        samples[(row, column)] *= 1e4;
    }
    let detector = fit(&samples).unwrap();
    assert_eq!(
        detector.is_anomaly(three(), 0.05).unwrap(),
        [true, true, false]
    );
    let gross = samples.select_columns(&[10, 810]);
    assert_eq!(detector.is_anomaly(&gross, 0.01).unwrap(), [true, true]);
    // With missing values, too, of which the mean would be that of the errors.
    for index in (0..1000).step_by(31) {
        samples[(1 + index % 2, index)] = f32::NAN;
    }
    let imputing = builder(STEPS).missing_values(MissingValues::Impute);
    let detector = imputing.fit(&samples).unwrap();
    assert_eq!(
        detector.is_anomaly(three(), 0.05).unwrap(),
        [true, true, false]
    );
}

#[test]
#[allow(clippy::float_cmp)] // the same sums
fn another_value_of_a_constant_feature_is_an_anomaly_of_any_size() {
    assert_eq!(MANY.constant_features().collect::<Vec<_>>(), [0]);
    let usual = MANY.scores(three()).unwrap();
    let changed_to = |value: f32| {
        let mut changed = three();
        changed[(0, 1)] = value;
        let contributions = MANY.contributions(&changed).unwrap();
        let scores = MANY.scores(&changed).unwrap();
        for (column, &score) in contributions.column_iter().zip(scores.iter()) {
            assert_relative_eq!(column.sum(), score, max_relative = 1e-5);
        }
        assert_eq!(scores[0], usual[0]);
        assert_eq!(scores[2], usual[2]);
        scores[1]
    };
    let score = changed_to(7.01);
    assert_eq!(score, changed_to(-1e30));
    assert_eq!(score, changed_to(f32::MAX));
    assert_eq!(changed_to(7.0), usual[1]);
}

/// The square of √n standard deviations, in units of the scale of each level of each fold.
#[test]
fn another_value_of_a_constant_feature_counts_as_that_of_one_among_the_calibration_samples() {
    for (detector, n) in [(&*MANY, 200.0), (&*FEW, 60.0)] {
        let mut changed = three();
        changed[(0, 1)] = -1.0;
        let levels = detector.denoisers.iter().flat_map(|fold| &fold.levels);
        let of_levels: Vec<f32> = levels.map(|level| n / level.scale).collect();
        let expected = of_levels.iter().sum::<f32>() / of_levels.len() as f32;
        let contributions = detector.contributions(&changed).unwrap();
        assert_relative_eq!(contributions[(0, 1)], expected, max_relative = 1e-5);
        let more = detector.scores(&changed).unwrap() - detector.scores(three()).unwrap();
        assert_relative_eq!(more[1], expected, max_relative = 1e-4);
        assert_eq!((contributions[(0, 0)], more[0]), (0.0, 0.0));
    }
}

#[cfg(feature = "rayon")]
#[test]
fn fits_repeat_on_any_number_of_threads() {
    let fit = || builder(100).fit(circle(60, 1)).unwrap();
    let [one, four] = [1, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(fit)
    });
    assert_eq!(one.scores(three()), four.scores(three()));
}

#[test]
fn numbers_beyond_all_bounds_score_infinity() {
    let samples = DMatrix::from_column_slice(3, 1, &[7.0, f32::MAX, f32::MIN]);
    assert!(MANY.scores(&samples).unwrap()[0] > f32::MAX);
    assert!(MANY.p_values(&samples).unwrap()[0] <= 1.0 / 201.0);
    assert!(MANY.contributions(&samples).unwrap().column(0).sum() > f32::MAX);
}

#[test]
fn refused_samples() {
    let fit = |samples: &DMatrix<f32>| fit(samples).unwrap_err();
    assert!(matches!(
        fit(&circle(19, 0)),
        Error::TooFewSamples {
            needed: 20,
            actual: 19,
            ..
        }
    ));
    let constant = DMatrix::from_element(2, 30, 4.0);
    let error = fit(&constant).to_string();
    assert!(error.contains("samples that are all equal"), "{error}");
    let mut samples = circle(30, 0);
    samples[(1, 2)] = f32::NAN;
    assert!(matches!(
        fit(&samples),
        Error::NonFinite {
            row: 1,
            column: 2,
            ..
        }
    ));
    assert!(matches!(
        MANY.scores(&samples),
        Err(Error::NonFinite { .. })
    ));
    assert!(matches!(
        MANY.scores(DMatrix::zeros(2, 1)),
        Err(Error::DimensionMismatch {
            expected: 3,
            actual: 2,
            ..
        })
    ));
    assert!(matches!(
        MANY.is_anomaly(three(), 0.001),
        Err(Error::TooFewSamples {
            needed: 999,
            actual: 200,
            ..
        })
    ));
    for rate in [0.0, 1.0, f64::NAN] {
        assert!(MANY.is_anomaly(three(), rate).is_err());
        assert!(MANY.select(three(), rate).is_err());
    }
}

/// The samples outside memory: in parts, and chosen from others.
fn elsewhere(samples: &DMatrix<f32>) -> [Box<dyn Samples<f32> + '_>; 2] {
    let count = samples.ncols();
    let parts = [0..1, 1..count / 3, count / 3..count];
    let parts = parts.map(|part| samples.columns_range(part).into_owned());
    let turned: Vec<usize> = (0..count).rev().collect();
    let backwards = samples.select_columns(&turned);
    [
        Box::new(Shards::new(parts.into()).unwrap()),
        Box::new(Subset::new(backwards, turned).unwrap()),
    ]
}

#[test]
fn the_same_samples_have_the_same_bits_wherever_they_are() {
    for count in [60, 1100] {
        // More than a chunk, and features at both ends and in the middle that are constant in all samples.
        let mut samples = circle(count, 6).resize_vertically(4, 1.5);
        samples.swap_rows(1, 2);
        // A feature that is constant in most folds.
        samples = samples.insert_row(2, 0.0);
        samples[(2, 7)] = 1.0;
        let learned = |samples: &dyn Samples<f32>| {
            let detector = builder(40).seed(3).fit(samples).unwrap();
            let mut learned = vec![];
            for denoiser in &detector.denoisers {
                learned.extend_from_slice(denoiser.input.scaler.factors());
                learned.extend_from_slice(&denoiser.calibration_scores);
                for level in &denoiser.levels {
                    learned.extend_from_slice(level.model.parameters().as_slice());
                    learned.push(level.scale);
                }
            }
            learned.extend(detector.scores(samples).unwrap().iter());
            let p_values = detector.p_values(samples).unwrap();
            let alarms = detector.is_anomaly(samples, 0.05).unwrap();
            let selected = detector.select(samples, 0.2).unwrap();
            (learned, detector.kept, p_values, alarms, selected)
        };
        let expected = learned(&samples);
        assert_eq!(expected.1, [1, 2, 3]);
        for source in elsewhere(&samples) {
            assert!(source.in_memory().is_none());
            assert!(learned(&*source) == expected, "{count}");
        }
    }
}

/// Samples with one that cannot be read.
struct Failing(DMatrix<f32>, usize);

impl Samples<f32> for Failing {
    fn count(&self) -> usize {
        self.0.ncols()
    }

    fn entries(&self) -> usize {
        self.0.nrows()
    }

    fn read(&self, indices: &[usize], batch: &mut [f32]) -> Result<(), Error> {
        if indices.contains(&self.1) {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the disk is gone"))?;
        }
        self.0.read(indices, batch)
    }
}

#[test]
fn a_source_that_fails_gives_its_error() {
    for fails in [0, 1400, 2499] {
        let samples = Failing(circle(2500, 1), fails);
        for error in [
            fit(&samples).unwrap_err(),
            MANY.scores(&samples).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unreadable { .. }), "{error}");
        }
        let mut samples = circle(2500, 1);
        samples[(2, fails)] = f32::INFINITY;
        let expected = fit(&samples).unwrap_err();
        assert_eq!(MANY.scores(&samples).unwrap_err(), expected);
        for source in elsewhere(&samples) {
            assert_eq!(fit(&source).unwrap_err(), expected);
            assert_eq!(MANY.scores(&source).unwrap_err(), expected);
        }
    }
}

/// Samples that count how many are read.
struct Counting(DMatrix<f32>, AtomicUsize);

impl Samples<f32> for Counting {
    fn count(&self) -> usize {
        self.0.ncols()
    }

    fn entries(&self) -> usize {
        self.0.nrows()
    }

    fn read(&self, indices: &[usize], batch: &mut [f32]) -> Result<(), Error> {
        self.1.fetch_add(indices.len(), Ordering::Relaxed);
        self.0.read(indices, batch)
    }
}

/// An epoch of each model would read 5 more.
#[test]
fn many_samples_are_read_in_ten_passes() {
    let samples = Counting(circle(20_000, 1), AtomicUsize::new(0));
    builder(4).fit(&samples).unwrap();
    let passes = samples.1.into_inner() / 20_000;
    assert!((5..10).contains(&passes), "{passes}");
}

#[test]
#[allow(clippy::float_cmp)] // what is copied
fn an_observer_sees_every_step_and_changes_none() {
    let samples = circle(60, 1);
    let seen = Mutex::new(Vec::new());
    let observer = |step: EnsembleStep| {
        seen.lock().unwrap().push(step);
        Ok(())
    };
    let observed = builder(8).fit_with_steps(&samples, observer).unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_by_key(|step| step.number);
    let steps = 5 * 9 * 8; // folds, models, and steps of each
    assert!(seen.iter().map(|step| step.number).eq(1..=steps));
    assert!(seen.iter().all(|step| step.of == steps));
    // Models that see more noise explain less.
    let last = |noise: f64| {
        let mut of_noise = seen.iter().rev().filter(|step| step.noise == noise);
        of_noise.next().unwrap().loss
    };
    assert!(last(0.125) < last(2.0) && last(2.0) < last(4.0));

    let alone = builder(8).fit(&samples).unwrap();
    assert_eq!(observed.scores(&samples), alone.scores(&samples));

    let stop = |_| Err::<(), _>(Error::EmptyBatch { what: "patience" });
    let error = builder(8).fit_with_steps(&samples, stop).unwrap_err();
    assert_eq!(error, Error::EmptyBatch { what: "patience" });
    let stop = |_| ControlFlow::<()>::Break(());
    let error = builder(8).fit_with_steps(&samples, stop).unwrap_err();
    let interrupted = |error: &Error| match error {
        Error::InputOutput { kind, .. } => *kind == io::ErrorKind::Interrupted,
        _ => false,
    };
    assert!(interrupted(&error), "{error}");
}
