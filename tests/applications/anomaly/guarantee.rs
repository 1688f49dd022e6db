//! The bound on false alarms of calibrated p-values.

use std::collections::BTreeSet;
use std::mem::take;
use std::sync::Mutex;

use super::*;
use crate::common::on_read::OnRead;
use sparse_autoencoder::Event;

#[test]
fn what_calibrates_a_detector_is_neither_scaled_by_nor_learned() {
    let read = Mutex::new(BTreeSet::new());
    let normal = OnRead(random(4, 100, 1), |indices: &[usize], _: &mut [f64]| {
        read.lock().unwrap().extend(indices.iter().copied());
        Ok(())
    });
    let read_since = || -> Vec<usize> { take(&mut *read.lock().unwrap()).into_iter().collect() };
    let scaling = Scaling::min_max(-0.9, 0.9); // exact in any order of the samples
    let mut model = model::<f64>(4);
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(3)
        .batch_size(10);
    let mut learned = Vec::new();
    let fitted = AnomalyDetector::builder(&mut model)
        .scaling(scaling)
        .calibration_split(0.3)
        .fit_with_steps(&mut trainer, &normal, |event| match event {
            Event::Step(step) if step.number == 1 => drop(read_since()),
            Event::Step(step) if step.number == step.of => learned = read_since(),
            _ => {}
        });
    let detector = fitted.unwrap().detector;
    let calibration = read_since();
    assert_eq!((learned.len(), calibration.len()), (70, 30));
    let mut all = [&learned[..], &calibration].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100));

    let scores = detector
        .scores(normal.0.select_columns(&calibration))
        .unwrap();
    let mut scores = scores.as_slice().to_vec();
    scores.sort_by(f64::total_cmp);
    assert_eq!(detector.calibration_scores(), scores);
    let learned = scaling.fit(normal.0.select_columns(&learned)).unwrap();
    assert_eq!(*detector.scaler(), learned);
    assert_ne!(learned, scaling.fit(&normal.0).unwrap());
}

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
    let scaler = Scaling::identity().fit(draw(400)).unwrap();
    let (mut alarms, mut normal) = (0, 0);
    for _ in 0..200 {
        let rule = Threshold::FalseAlarmRate(0.05);
        let detector = AnomalyDetector::calibrate(&model, &scaler, draw(399), rule).unwrap();
        let unseen = draw(50);
        let together = detector.p_values(&unseen).unwrap();
        for (sample, &p) in unseen.column_iter().zip(&together) {
            let alone = detector.p_values(sample.into_owned()).unwrap()[0];
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
