//! Anomaly detection: the guarantee, the laws of thresholds and scalings, and every refusal.

use std::sync::Arc;
use std::thread;

use approx::{assert_relative_eq, assert_ulps_eq};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::metrics::{average_precision, roc_auc, roc_curve};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, Error, Real, Scaler, Scaling, SparseAutoencoder, Threshold,
    Trainer,
};

fn random<T: Real>(rows: usize, columns: usize, seed: u64) -> DMatrix<T> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| T::of(rng.random_range(-1.0..1.0)))
}

fn model<T: Real>(visible: usize) -> SparseAutoencoder<T> {
    SparseAutoencoder::builder()
        .layers([visible, visible + 2])
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(3)
        .build()
        .unwrap()
}

fn identity(visible: usize) -> Scaler<f64> {
    Scaling::identity()
        .fit(&DMatrix::zeros(visible, 1))
        .unwrap()
}

/// A detector whose calibration scores are known.
fn with_scores(scores: &[f64], rule: Threshold) -> Result<AnomalyDetector<f64>, Error> {
    AnomalyDetector::from_scores(&model(4), &identity(4), scores, rule)
}

#[test]
fn a_detector_scales_as_it_is_told() {
    let normal = random::<f64>(4, 60, 5).map(|x| 10.0 * x + 3.0);
    let scaling = Scaling::mean_norm(2.0);
    let detector = AnomalyDetector::builder(&mut model(4))
        .scaling(scaling)
        .calibration_split(0.0) // so that the scaling sees all samples
        .threshold(Threshold::Contamination(0.1))
        .fit(
            &mut Trainer::new(Adam::new(1e-2).unwrap()).epochs(1),
            &normal,
        )
        .unwrap();
    assert_eq!(*detector.scaler(), scaling.fit(&normal).unwrap());
}

#[test]
fn a_sample_beyond_all_numbers_is_an_anomaly() {
    // Two units that overflow, and their difference: no number.
    let mut model = SparseAutoencoder::<f64>::builder()
        .layers([1, 2])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    let theta = [1e200, 1e200, 0.0, 0.0, 1.0, -1.0, 0.0];
    model.set_theta(&theta).unwrap();
    let scores = [1.0, 2.0, 3.0];
    let rule = Threshold::Quantile(0.9);
    let detector = AnomalyDetector::from_scores(&model, &identity(1), &scores, rule).unwrap();
    let beyond = DMatrix::from_element(1, 1, 1e200);
    assert!(model.reconstruct(&beyond).unwrap()[0].is_nan());
    let infinity = DVector::from_element(1, f64::INFINITY);
    assert_eq!(detector.scores(&beyond).unwrap(), infinity);
    assert_eq!(detector.contributions(&beyond).unwrap(), infinity);
    assert_eq!(detector.is_anomaly(&beyond).unwrap(), [true]);
    assert_eq!(detector.p_values(&beyond).unwrap().as_slice(), [0.25]);
}

fn calibrated(samples: usize) -> AnomalyDetector<f64> {
    let normal = random(4, samples, 1);
    let scaler = Scaling::standard().fit(&normal).unwrap();
    let rule = Threshold::Contamination(0.1);
    AnomalyDetector::calibrate(&model(4), &scaler, &normal, rule).unwrap()
}

fn name_of(error: &Error) -> &'static str {
    match error {
        Error::InvalidParameter { name, .. } => name,
        Error::DimensionMismatch { what, .. }
        | Error::EmptyBatch { what }
        | Error::TooFewSamples { what, .. }
        | Error::NonFinite { what, .. }
        | Error::OutOfRange { what, .. } => what,
        other => panic!("{other}"),
    }
}

mod guarantee {
    use super::*;

    /// With n calibration samples and one more, all exchangeable and without ties, the p-value is
    /// uniform on {1/(n+1), …, 1}, so P(p ≤ α) = ⌊α(n+1)⌋/(n+1) ≤ α. Each draw is a fresh
    /// calibration and one sample, so the draws are independent, and their share has the standard
    /// deviation √(P(1−P)/draws): five of them are exceeded once in 3.5 million times.
    #[test]
    fn p_values_are_uniform_on_exchangeable_samples() {
        const DRAWS: usize = 20_000;
        let n = 19;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let (model, scaler) = (model::<f64>(4), identity(4));
        let mut counts = vec![0_usize; n + 2];
        for _ in 0..DRAWS {
            let samples = DMatrix::from_fn(4, n + 1, |_, _| rng.random_range(-1.0..1.0));
            let (calibration, last) = (samples.columns(0, n), samples.columns(n, 1));
            let rule = Threshold::FalseAlarmRate(0.1);
            let detector = AnomalyDetector::calibrate(&model, &scaler, calibration, rule).unwrap();
            let p = detector.p_values(last).unwrap()[0];
            assert_eq!(detector.is_anomaly(last).unwrap()[0], p <= 0.1);
            let rank = p * f64::of_count(n + 1);
            assert_ulps_eq!(rank, rank.round(), max_ulps = 4);
            counts[rank.round() as usize] += 1;
        }
        let mut at_most = 0;
        for (rank, count) in counts.iter().enumerate().skip(1) {
            at_most += count;
            let alpha = f64::of_count(rank) / f64::of_count(n + 1);
            let share = f64::of_count(at_most) / f64::of_count(DRAWS);
            let deviation = (alpha * (1.0 - alpha) / f64::of_count(DRAWS)).sqrt();
            assert!(
                (share - alpha).abs() <= 5.0 * deviation,
                "{share} at {alpha}"
            );
        }
        assert_eq!(counts[0], 0);
    }

    /// Binary data has few different samples, so that most scores are equal. Calibration takes them
    /// all at once, an alarm comes one by one. The rarest pattern has a probability of 0.045, so that an
    /// exact p-value is at most 0.05 for it in about half of the splits, and for no other.
    #[test]
    #[allow(clippy::float_cmp)] // the same bits
    fn p_values_of_tied_scores_are_valid_one_by_one() {
        const PATTERNS: [[f32; 6]; 4] = [
            [1.0, 1.0, 0.0, 0.0, 1.0, 0.0],
            [0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
            [1.0, 0.0, 1.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
        ];
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut draw = |count: usize| {
            let of_rank = |x: f64| [0.5, 0.8, 0.955].iter().filter(|&&end| x > end).count();
            let chosen: Vec<usize> = (0..count).map(|_| of_rank(rng.random())).collect();
            DMatrix::from_fn(6, count, |i, j| PATTERNS[chosen[j]][i])
        };
        let mut model = SparseAutoencoder::builder()
            .layers([6, 3])
            .output_activation(Activation::Sigmoid)
            .build()
            .unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(30);
        trainer.fit(&mut model, draw(400)).unwrap();
        let scaler = Scaling::identity().fit(&draw(400)).unwrap();
        let (mut alarms, mut normal) = (0, 0);
        for _ in 0..200 {
            let rule = Threshold::FalseAlarmRate(0.05);
            let detector = AnomalyDetector::calibrate(&model, &scaler, &draw(399), rule).unwrap();
            let unseen = draw(50);
            let together = detector.p_values(&unseen).unwrap();
            for (sample, &p) in unseen.column_iter().zip(&together) {
                let alone = detector.p_values(&sample.into_owned()).unwrap()[0];
                assert_eq!(alone, p);
                alarms += usize::from(alone <= 0.05);
                normal += 1;
            }
        }
        let rate = alarms as f64 / normal as f64;
        assert!(rate > 0.0 && rate <= 0.05, "{rate}");
    }

    #[test]
    fn ties_are_counted_against_the_alarm() {
        let detector = with_scores(&[1.0; 9], Threshold::FalseAlarmRate(0.1)).unwrap();
        let samples = random(4, 50, 2);
        for (p, score) in detector
            .p_values(&samples)
            .unwrap()
            .iter()
            .zip(&detector.scores(&samples).unwrap())
        {
            assert_relative_eq!(*p, if *score <= 1.0 { 1.0 } else { 0.1 });
        }
        assert_relative_eq!(detector.threshold(), 1.0);
    }

    /// An alarm at a rate α is a p-value of at most α, to the last bit, for any α and n.
    #[test]
    fn the_threshold_of_a_false_alarm_rate_is_a_bound_on_p_values() {
        let samples = random(4, 300, 8);
        for n in [9, 10, 99, 100, 337] {
            let detector = calibrated(n);
            let p_values = detector.p_values(&samples).unwrap();
            let scores = detector.scores(&samples).unwrap();
            for k in 1..=n {
                for rate in [k as f64 / (n + 1) as f64, (k as f64 + 0.5) / (n + 1) as f64] {
                    let threshold = detector
                        .threshold_by(Threshold::FalseAlarmRate(rate))
                        .unwrap();
                    for (&p, &score) in p_values.iter().zip(&scores) {
                        assert_eq!(score > threshold, p <= rate, "{p} at {rate}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_rate_out_of_reach_says_how_many_samples_it_takes() {
        let scores: Vec<f64> = (0..98).map(f64::from).collect();
        let rule = Threshold::FalseAlarmRate(0.01);
        let error = with_scores(&scores, rule).unwrap_err();
        let Error::TooFewSamples { needed, actual, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((needed, actual), (99, 98));
        let scores: Vec<f64> = (0..99).map(f64::from).collect();
        assert_relative_eq!(with_scores(&scores, rule).unwrap().threshold(), 98.0);
    }
}

mod thresholds {
    use super::*;

    /// numpy.quantile([1, 2, 4, 8, 16], [0.1, 0.5, 0.9, 0.99])
    #[test]
    fn quantiles_are_those_of_numpy() {
        let mut detector =
            with_scores(&[16.0, 1.0, 8.0, 2.0, 4.0], Threshold::Quantile(0.5)).unwrap();
        assert_eq!(detector.calibration_scores(), [1.0, 2.0, 4.0, 8.0, 16.0]);
        for (q, expected) in [(0.1, 1.4), (0.5, 4.0), (0.9, 12.8), (0.99, 15.68)] {
            detector.set_threshold(Threshold::Quantile(q)).unwrap();
            assert_relative_eq!(detector.threshold(), expected, max_relative = 1e-12);
            let contamination = Threshold::Contamination(1.0 - q);
            let same = detector.threshold_by(contamination).unwrap();
            assert_relative_eq!(same, expected, max_relative = 1e-12);
        }
    }

    #[test]
    fn contamination_flags_its_share_of_the_calibration_samples() {
        let normal = random::<f64>(4, 200, 1);
        let mut detector = calibrated(200);
        for percent in [1, 5, 10, 50] {
            detector
                .set_threshold(Threshold::Contamination(f64::from(percent) / 100.0))
                .unwrap();
            let alarms = detector.is_anomaly(&normal).unwrap();
            assert_eq!(
                alarms.iter().filter(|&&alarm| alarm).count(),
                2 * percent as usize
            );
        }
    }

    #[test]
    fn changing_the_threshold_changes_nothing_else() {
        let samples = random(4, 100, 4);
        let mut detector = calibrated(50);
        let before = (
            detector.scores(&samples).unwrap(),
            detector.p_values(&samples).unwrap(),
            detector.calibration_scores().to_vec(),
            detector.model().parameters().clone(),
        );
        let old = detector.threshold();
        detector.set_threshold(Threshold::Quantile(0.2)).unwrap();
        assert!(detector.threshold() < old);
        assert_eq!(detector.rule(), Threshold::Quantile(0.2));
        let after = (
            detector.scores(&samples).unwrap(),
            detector.p_values(&samples).unwrap(),
            detector.calibration_scores().to_vec(),
            detector.model().parameters().clone(),
        );
        assert_eq!(before, after);
    }

    #[test]
    fn a_refused_change_leaves_the_detector_as_it_was() {
        let mut detector = calibrated(20);
        let (threshold, rule) = (detector.threshold(), detector.rule());
        detector
            .set_threshold(Threshold::Quantile(1.0))
            .unwrap_err();
        detector.recalibrate(&DMatrix::zeros(4, 1)).unwrap_err();
        detector.recalibrate(&random(3, 9, 0)).unwrap_err();
        assert_eq!(detector.rule(), rule);
        assert_ulps_eq!(detector.threshold(), threshold, max_ulps = 0);
        assert_eq!(detector.calibration_scores().len(), 20);

        detector.recalibrate(&random(4, 30, 9)).unwrap();
        assert_eq!(detector.calibration_scores().len(), 30);
        assert_eq!(detector.rule(), rule);
    }
}

mod scores {
    use super::*;

    fn contributions_sum_to_the_score<T: Real>() {
        let normal = random::<T>(4, 100, 1).map(|x| T::of(7.0) * x + T::of(100.0));
        let scaler = Scaling::standard().fit(&normal).unwrap();
        let rule = Threshold::Quantile(0.9);
        let detector = AnomalyDetector::calibrate(&model(4), &scaler, &normal, rule).unwrap();
        // More than one chunk.
        let samples = random::<T>(4, 2500, 2).map(|x| T::of(9.0) * x + T::of(100.0));
        let scores = detector.scores(&samples).unwrap();
        let contributions = detector.contributions(&samples).unwrap();
        assert_eq!(contributions.shape(), samples.shape());
        let epsilon = T::default_epsilon().to_f64();
        for (parts, score) in contributions.column_iter().zip(&scores) {
            assert!(parts.iter().all(|&part| part >= T::zero()));
            let (sum, score) = (parts.sum().to_f64(), score.to_f64());
            assert!((sum - score).abs() <= 8.0 * epsilon * score);
        }
        // By hand: in scaled units, and back again.
        let scaled = scaler.apply(&samples).unwrap();
        let errors = detector.model().reconstruction_errors(&scaled).unwrap();
        assert_eq!(errors, scores);
        let expected = detector.model().reconstruct(&scaled).unwrap();
        let expected = scaler.invert(&expected).unwrap();
        assert_eq!(detector.reconstruct(&samples).unwrap(), expected);
    }

    #[test]
    fn contributions_sum_to_the_score_in_both_precisions() {
        contributions_sum_to_the_score::<f32>();
        contributions_sum_to_the_score::<f64>();
    }

    #[test]
    fn a_sample_beyond_all_numbers_is_an_anomaly() {
        let normal = random::<f32>(4, 100, 1).map(|x| 1e-3 * x);
        let scaler = Scaling::standard().fit(&normal).unwrap();
        let rule = Threshold::FalseAlarmRate(0.05);
        let detector = AnomalyDetector::calibrate(&model(4), &scaler, &normal, rule).unwrap();
        let sample = DVector::from_vec(vec![f32::MAX, -f32::MAX, f32::MAX, 1.0]);
        assert!(detector.scores(&sample).unwrap()[0].is_infinite());
        assert_eq!(detector.is_anomaly(&sample).unwrap(), [true]);
        assert_relative_eq!(detector.p_values(&sample).unwrap()[0], 1.0 / 101.0);
        assert!(detector.contributions(&sample).unwrap()[0].is_infinite());
    }

    #[test]
    fn threads_share_a_detector() {
        fn shared<T: Send + Sync + Clone>(_: &T) {}
        let detector = Arc::new(calibrated(100));
        shared(&*detector);
        let samples = Arc::new(random::<f64>(4, 400, 6));
        let whole = detector.scores(&*samples).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|part| {
                let (detector, samples) = (Arc::clone(&detector), Arc::clone(&samples));
                thread::spawn(move || detector.scores(samples.columns(100 * part, 100)).unwrap())
            })
            .collect();
        for (part, thread) in threads.into_iter().enumerate() {
            let scores = thread.join().unwrap();
            assert_eq!(scores, whole.rows(100 * part, 100));
        }
    }

    #[test]
    fn a_detector_fits_calibrates_and_detects() {
        // Normal samples have two degrees of freedom of six.
        let mixing = random::<f32>(6, 2, 11);
        let normal = &mixing * random::<f32>(2, 800, 12) + 0.02 * random::<f32>(6, 800, 13);
        let mut model = SparseAutoencoder::builder()
            .layers([6, 3])
            .hidden_activation(Activation::Tanh)
            .output_activation(Activation::Identity)
            .penalty(())
            .build()
            .unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(60)
            .batch_size(50);
        let mut epochs = 0;
        let detector = AnomalyDetector::builder(&mut model)
            .threshold(Threshold::FalseAlarmRate(0.05))
            .calibration_split(0.25)
            .seed(4)
            .fit_with(&mut trainer, &normal, |_| {
                epochs += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(epochs, 60);
        assert_eq!(detector.calibration_scores().len(), 200);
        assert_eq!(detector.model().parameters(), model.parameters());

        let (unseen, strange) = (
            &mixing * random::<f32>(2, 500, 14) + 0.02 * random::<f32>(6, 500, 15),
            random::<f32>(6, 500, 16),
        );
        let samples = DMatrix::from_fn(6, 1000, |i, j| {
            if j < 500 {
                unseen[(i, j)]
            } else {
                strange[(i, j - 500)]
            }
        });
        let labels: Vec<bool> = (0..1000).map(|j| j >= 500).collect();
        let scores = detector.scores(&samples).unwrap();
        assert!(roc_auc(scores.as_slice(), &labels).unwrap() > 0.97);
        // The rate over a calibration of 200 and a test of 500 deviates by
        // √(0.05 · 0.95 (1/200 + 1/500)) = 0.018: four of them.
        let alarms = detector.is_anomaly(&unseen).unwrap();
        let alarms = alarms.iter().filter(|&&alarm| alarm).count();
        assert!(alarms <= 61, "{alarms} of 500");
    }

    #[test]
    fn without_a_split_the_training_samples_calibrate() {
        let normal = random::<f64>(3, 40, 1);
        let mut model = model(3);
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(2);
        let detector = AnomalyDetector::builder(&mut model)
            .threshold(Threshold::Contamination(0.1))
            .calibration_split(0.0)
            .fit(&mut trainer, &normal)
            .unwrap();
        let mut scores = detector.scores(&normal).unwrap().as_slice().to_vec();
        scores.sort_by(f64::total_cmp);
        assert_eq!(detector.calibration_scores(), scores);
    }
}

mod scaling {
    use super::*;

    fn round_trip<T: Real>(scaling: Scaling) {
        let samples = random::<T>(5, 60, 3).map(|x| T::of(30.0) * x - T::of(4.0));
        let scaler = scaling.fit(&samples).unwrap();
        let scaled = scaler.apply(&samples).unwrap();
        let back = scaler.invert(&scaled).unwrap();
        // Two roundings each way, of numbers up to about 60.
        let tolerance = 60.0 * 8.0 * T::default_epsilon().to_f64();
        for (x, y) in samples.iter().zip(&back) {
            assert!((x.to_f64() - y.to_f64()).abs() <= tolerance);
        }
        let stored = Scaler::new(scaler.centers(), scaler.factors(), scaler.offsets()).unwrap();
        assert_eq!(stored, scaler);
        assert_eq!(stored.features(), 5);
    }

    #[test]
    fn inverting_gives_the_samples_back() {
        for scaling in [
            Scaling::identity(),
            Scaling::standard(),
            Scaling::min_max(0.0, 1.0),
            Scaling::to_range_of(Activation::Tanh, 0.1).unwrap(),
        ] {
            round_trip::<f32>(scaling);
            round_trip::<f64>(scaling);
        }
    }

    #[test]
    fn standard_scaling_gives_mean_0_and_variance_1() {
        // Far from 0: the textbook formula for the variance would give nonsense.
        let samples = random::<f64>(3, 500, 1).map(|x| x + 1e8);
        let scaler = Scaling::standard().fit(&samples).unwrap();
        let scaled = scaler.apply(&samples).unwrap();
        for row in scaled.row_iter() {
            assert!(row.mean().abs() < 1e-7);
            assert_relative_eq!(row.variance(), 1.0, max_relative = 1e-7);
        }
    }

    #[test]
    fn a_mean_norm_is_reached_by_one_factor() {
        let samples = random::<f64>(6, 50, 2).map(|x| 30.0 * x - 4.0);
        let scaler = Scaling::mean_norm(2.5).fit(&samples).unwrap();
        let scaled = scaler.apply(&samples).unwrap();
        let norms = scaled.column_iter().map(|x| x.norm());
        assert_relative_eq!(norms.sum::<f64>() / 50.0, 2.5, max_relative = 1e-12);
        let factor = scaler.factors()[0];
        assert_relative_eq!(scaled, samples * factor, max_relative = 1e-15);

        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Scaling::mean_norm(bad).fit(&random::<f64>(2, 5, 0));
            assert_eq!(name_of(&error.unwrap_err()), "mean norm");
        }
        let zeros = DMatrix::<f64>::zeros(2, 3);
        let error = Scaling::mean_norm(1.0).fit(&zeros).unwrap_err();
        assert!(matches!(error, Error::ConstantFeature { .. }));
        let kept = Scaling::mean_norm(1.0).keep_constant_features();
        assert_eq!(kept.fit(&zeros).unwrap().factors(), [1.0, 1.0]);
        let wide = DMatrix::from_element(1, 2, 1e300);
        let scaler = Scaling::mean_norm(1.0).fit(&wide).unwrap();
        assert_relative_eq!(scaler.factors()[0], 1e-300, max_relative = 1e-15);
        let error = Scaling::mean_norm(1e-20).fit(&wide).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }));
    }

    #[test]
    fn the_fitted_samples_fill_the_range_and_never_leave_it() {
        for seed in 0..200 {
            let (low, high) = [(0.0, 1.0), (0.1, 0.9), (-1.0, 1.0), (-3.0, 1e-3)][seed % 4];
            let samples = random::<f32>(8, 20, seed as u64).map(|x| (9.0 * x).powi(5) + 1e4);
            let scaler = Scaling::min_max(low, high).fit(&samples).unwrap();
            let scaled = scaler.apply(&samples).unwrap();
            for row in scaled.row_iter() {
                assert!(row.min() >= low as f32 && row.max() <= high as f32);
                assert_relative_eq!(row.min(), low as f32, epsilon = 1e-6);
                assert_relative_eq!(row.max(), high as f32, epsilon = 1e-6);
            }
        }
    }

    #[test]
    fn ranges_follow_the_activation() {
        let range = |activation, margin| Scaling::to_range_of(activation, margin).unwrap();
        assert_eq!(range(Activation::Sigmoid, 0.0), Scaling::min_max(0.0, 1.0));
        assert_eq!(range(Activation::Sigmoid, 0.1), Scaling::min_max(0.1, 0.9));
        assert_eq!(range(Activation::Tanh, 0.1), Scaling::min_max(-0.8, 0.8));
        for activation in [Activation::Relu, Activation::Identity, Activation::TopK(2)] {
            let error = Scaling::to_range_of(activation, 0.0).unwrap_err();
            assert!(matches!(error, Error::UnsupportedActivation { .. }));
        }
        for margin in [-0.1, 0.5, f64::NAN] {
            let error = Scaling::to_range_of(Activation::Sigmoid, margin).unwrap_err();
            assert_eq!(name_of(&error), "margin of the scaling");
        }
    }

    #[test]
    fn constant_features_are_named_or_kept() {
        let mut samples = random::<f64>(3, 10, 1);
        samples.row_mut(1).fill(5.0);
        for scaling in [Scaling::standard(), Scaling::min_max(0.0, 1.0)] {
            let error = scaling.fit(&samples).unwrap_err();
            assert_eq!(
                error,
                Error::ConstantFeature {
                    feature: 1,
                    value: 5.0
                }
            );
            assert!(
                error
                    .to_string()
                    .starts_with("feature 1 is 5 in every sample")
            );

            let scaler = scaling.keep_constant_features().fit(&samples).unwrap();
            let mut changed = samples.clone();
            changed[(1, 0)] = 7.5;
            let scaled = scaler.apply(&changed).unwrap();
            let middle = if scaling == Scaling::standard() {
                0.0
            } else {
                0.5
            };
            assert_relative_eq!(scaled[(1, 1)], middle);
            assert_relative_eq!(scaled[(1, 0)], middle + 2.5);
        }
        Scaling::identity().fit(&samples).unwrap();
        // One sample has no spread at all.
        let error = Scaling::standard().fit(samples.columns(0, 1)).unwrap_err();
        assert!(matches!(error, Error::ConstantFeature { feature: 0, .. }));
        // 1/spread is no f32.
        let tiny = DMatrix::from_row_slice(1, 2, &[0.0_f32, 1e-42]);
        let error = Scaling::min_max(0.0, 1.0).fit(&tiny).unwrap_err();
        assert!(matches!(error, Error::ConstantFeature { .. }));
    }

    #[test]
    fn bad_scalings_are_refused() {
        let samples = random::<f64>(2, 5, 0);
        for (low, high) in [
            (1.0, 1.0),
            (1.0, 0.0),
            (0.0, f64::NAN),
            (0.0, f64::INFINITY),
        ] {
            let error = Scaling::min_max(low, high).fit(&samples).unwrap_err();
            assert_eq!(name_of(&error), "high end of the scaling");
        }
        for low in [f64::NAN, f64::NEG_INFINITY] {
            let error = Scaling::min_max(low, 1.0).fit(&samples).unwrap_err();
            assert_eq!(name_of(&error), "low end of the scaling");
        }
        let standard = Scaling::standard();
        let error = standard.fit(&DMatrix::<f64>::zeros(2, 0)).unwrap_err();
        assert_eq!(error, Error::EmptyBatch { what: "samples" });
        let wide = DMatrix::from_row_slice(1, 2, &[f32::MAX, -f32::MAX]);
        let error = standard.fit(&wide).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { row: 0, .. }));
        for bad in [f64::NAN, f64::INFINITY] {
            let mut samples = samples.clone();
            samples[(1, 3)] = bad;
            for error in [
                standard.fit(&samples).unwrap_err(),
                identity(2).apply(&samples).unwrap_err(),
                identity(2).invert(&samples).unwrap_err(),
            ] {
                assert!(matches!(
                    error,
                    Error::NonFinite {
                        row: 1,
                        column: 3,
                        ..
                    }
                ));
            }
        }
        let error = identity(3).apply(&samples).unwrap_err();
        assert_eq!(name_of(&error), "rows of the samples");
        let new = |centers: &[f64], factors: &[f64], offsets: &[f64]| {
            name_of(&Scaler::new(centers, factors, offsets).unwrap_err())
        };
        assert_eq!(new(&[0.0], &[], &[0.0]), "factors of the scaler");
        assert_eq!(new(&[0.0], &[1.0], &[]), "offsets of the scaler");
        assert_eq!(new(&[f64::NAN], &[1.0], &[0.0]), "centers");
        assert_eq!(new(&[0.0], &[1.0], &[f64::INFINITY]), "offsets");
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(new(&[0.0], &[factor], &[0.0]), "factors");
        }
    }
}

mod bad_input {
    use super::*;

    #[test]
    fn rules_outside_0_and_1() {
        for value in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            for (rule, name) in [
                (Threshold::Quantile(value), "quantile"),
                (Threshold::Contamination(value), "contamination"),
                (Threshold::FalseAlarmRate(value), "false-alarm rate"),
            ] {
                assert_eq!(name_of(&with_scores(&[1.0, 2.0], rule).unwrap_err()), name);
                assert_eq!(
                    name_of(&calibrated(30).threshold_by(rule).unwrap_err()),
                    name
                );
            }
        }
    }

    #[test]
    fn too_few_calibration_samples() {
        let rule = Threshold::Quantile(0.5);
        for count in [0, 1] {
            let expected = Error::TooFewSamples {
                what: "calibration samples",
                needed: 2,
                actual: count,
            };
            let samples = random(4, count, 0);
            let (model, scaler) = (model(4), identity(4));
            let error = AnomalyDetector::calibrate(&model, &scaler, &samples, rule).unwrap_err();
            assert_eq!(error, expected);
            assert_eq!(with_scores(&vec![1.0; count], rule).unwrap_err(), expected);
            assert_eq!(calibrated(5).recalibrate(&samples).unwrap_err(), expected);
        }
        with_scores(&[1.0, 1.0], rule).unwrap();
    }

    #[test]
    fn samples_that_do_not_fit() {
        let detector = calibrated(20);
        let error = detector.scores(&random(5, 3, 0)).unwrap_err();
        assert_eq!(name_of(&error), "rows of the samples");
        let error = detector.is_anomaly(&DMatrix::zeros(4, 0)).unwrap_err();
        assert_eq!(error, Error::EmptyBatch { what: "samples" });
        let mut samples = random(4, 3, 0);
        samples[(2, 1)] = f64::NAN;
        for error in [
            detector.scores(&samples).unwrap_err(),
            detector.p_values(&samples).unwrap_err(),
            detector.contributions(&samples).unwrap_err(),
            detector.reconstruct(&samples).unwrap_err(),
        ] {
            assert!(matches!(
                error,
                Error::NonFinite {
                    row: 2,
                    column: 1,
                    ..
                }
            ));
        }
        let rule = Threshold::Quantile(0.5);
        let error =
            AnomalyDetector::calibrate(&model(4), &identity(3), &samples, rule).unwrap_err();
        assert_eq!(name_of(&error), "features of the scaler");
        for bad in [f64::NAN, f64::INFINITY] {
            let error = with_scores(&[1.0, bad], rule).unwrap_err();
            assert_eq!(name_of(&error), "calibration scores");
        }
    }

    /// All that can be known before the training is refused before it.
    #[test]
    fn the_builder_refuses_before_it_trains() {
        let mut constant = random::<f64>(4, 40, 1);
        constant.row_mut(2).fill(0.5);
        let normal = random::<f64>(4, 40, 1);
        let original = model::<f64>(4);
        let refused = |samples: &DMatrix<f64>, rule, split| {
            let mut model = original.clone();
            let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(3);
            let error = AnomalyDetector::builder(&mut model)
                .threshold(rule)
                .calibration_split(split)
                .fit(&mut trainer, samples)
                .unwrap_err();
            assert_eq!(model.parameters(), original.parameters());
            error
        };
        let rule = Threshold::Quantile(0.9);
        let error = refused(&constant, rule, 0.25);
        assert_eq!(
            error,
            Error::ConstantFeature {
                feature: 2,
                value: 0.5
            }
        );
        for split in [-0.1, 1.0, f64::NAN] {
            assert_eq!(name_of(&refused(&normal, rule, split)), "calibration_split");
        }
        let error = refused(&normal, rule, 0.99);
        assert_eq!(name_of(&error), "samples left to train on");
        assert_eq!(
            name_of(&refused(&normal, rule, 0.02)),
            "calibration samples"
        );
        let error = refused(&normal, Threshold::FalseAlarmRate(0.01), 0.5);
        assert_eq!(
            name_of(&error),
            "calibration samples for this false-alarm rate"
        );
        let error = refused(&random(3, 40, 0), rule, 0.25);
        assert_eq!(name_of(&error), "rows of the samples");
        assert_eq!(
            name_of(&refused(&normal, Threshold::Quantile(0.0), 0.25)),
            "quantile"
        );
    }

    #[test]
    fn rankings() {
        type Refusal = fn(&[f64], &[bool]) -> Option<Error>;
        let metrics: [Refusal; 3] = [
            |scores, labels| roc_auc(scores, labels).err(),
            |scores, labels| average_precision(scores, labels).err(),
            |scores, labels| roc_curve(scores, labels).err(),
        ];
        for metric in metrics {
            for class in [false, true] {
                let error = metric(&[1.0, 2.0, 3.0], &[class; 3]).unwrap();
                assert_eq!(error, Error::OneClass { class, samples: 3 });
            }
            assert_eq!(name_of(&metric(&[1.0, 2.0], &[true]).unwrap()), "labels");
            assert_eq!(
                metric(&[], &[]).unwrap(),
                Error::EmptyBatch { what: "scores" }
            );
            for bad in [f64::NAN, f64::INFINITY] {
                let error = metric(&[0.0, bad], &[true, false]).unwrap();
                assert!(matches!(
                    error,
                    Error::NonFinite {
                        what: "scores",
                        row: 1,
                        ..
                    }
                ));
            }
        }
    }
}

mod ranking {
    use super::*;

    /// 60 scores with many ties, and labels; the expected numbers are those of scikit-learn 1.9.1.
    #[test]
    fn golden_values() {
        let scores: Vec<f64> = (0..60).map(|i| f64::from((i * 37) % 101 % 13)).collect();
        let labels: Vec<bool> = (0..60)
            .map(|i| (i * i + 3 * i) % 7 < 2 || scores[i] > 11.0)
            .collect();
        assert_relative_eq!(
            roc_auc(&scores, &labels).unwrap(),
            0.424_908_424_908_424_84,
            max_relative = 1e-14
        );
        assert_relative_eq!(
            average_precision(&scores, &labels).unwrap(),
            0.468_090_761_569_022_4,
            max_relative = 1e-14
        );
        let curve = roc_curve(&scores, &labels).unwrap();
        assert_eq!(curve.len(), 14);
        assert_relative_eq!(curve[3].threshold, 10.0);
        assert_relative_eq!(curve[3].false_positive_rate, 0.256_410_256_410_256_4);
        assert_relative_eq!(curve[3].true_positive_rate, 0.190_476_190_476_190_47);
    }

    /// By hand: 3 positives, 2 negatives; 5 of the 6 pairs in order, one tied.
    #[test]
    fn ties_count_half() {
        let scores = [0.2_f32, 0.2, 0.9, 0.1, 0.5];
        let labels = [false, true, true, false, true];
        assert_relative_eq!(roc_auc(&scores, &labels).unwrap(), 5.5 / 6.0);
        let precision = (1.0 + 1.0 + 0.75) / 3.0;
        assert_relative_eq!(average_precision(&scores, &labels).unwrap(), precision);
        let zeros = [0.0, -0.0];
        assert_relative_eq!(roc_auc(&zeros, &[true, false]).unwrap(), 0.5);
    }

    #[test]
    fn the_area_is_that_under_the_curve_and_knows_only_the_order() {
        for seed in 0..50 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let scores: Vec<f64> = (0..80)
                .map(|_| f64::from(rng.random_range(-9..9)))
                .collect();
            let labels: Vec<bool> = (0..80).map(|i| i < 2 || rng.random_bool(0.3)).collect();
            let auc = roc_auc(&scores, &labels).unwrap();
            let curve = roc_curve(&scores, &labels).unwrap();
            let area: f64 = curve
                .windows(2)
                .map(|pair| {
                    let width = pair[1].false_positive_rate - pair[0].false_positive_rate;
                    0.5 * width * (pair[0].true_positive_rate + pair[1].true_positive_rate)
                })
                .sum();
            assert_relative_eq!(area, auc, max_relative = 1e-12);
            let grown: Vec<f64> = scores.iter().map(|s| s.exp()).collect();
            assert_ulps_eq!(roc_auc(&grown, &labels).unwrap(), auc, max_ulps = 0);
            let reversed: Vec<f64> = scores.iter().map(|s| -s).collect();
            let opposite = roc_auc(&reversed, &labels).unwrap();
            assert_relative_eq!(opposite, 1.0 - auc, max_relative = 1e-12);
        }
    }
}
