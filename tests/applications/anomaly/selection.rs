//! The bound on false discoveries.

use sparse_autoencoder::benjamini_hochberg;

use super::*;

/// The example of Benjamini & Hochberg 1995, section 3.2: 15 hypotheses, of which 4 are rejected at 0.05.
#[test]
fn the_example_of_benjamini_and_hochberg() {
    let p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
        0.5719, 0.6528, 0.7590, 1.0,
    ];
    let selected = benjamini_hochberg(&p_values, 0.05).unwrap();
    assert_eq!(selected.iter().filter(|&&selected| selected).count(), 4);
    assert_eq!(selected[..4], [true; 4]);
}

#[test]
fn a_selection_steps_up_over_p_values_above_their_own_limit() {
    // 0.09 is above 0.1 · 1/2, but 0.1 = 0.1 · 2/2 takes both.
    assert_eq!(benjamini_hochberg(&[0.1, 0.09], 0.1), Ok(vec![true; 2]));
    assert_eq!(benjamini_hochberg(&[0.11, 0.09], 0.1), Ok(vec![false; 2]));
    assert_eq!(benjamini_hochberg(&[], 0.1), Ok(vec![]));
}

/// `p₍ₖ₎ = rate · k/m` is selected, also where both sides are rounded.
#[test]
fn equality_is_not_lost_to_rounding() {
    let mut p_values = vec![1.0; 10];
    p_values[..7].fill(0.07);
    let selected = benjamini_hochberg(&p_values, 0.1).unwrap();
    assert_eq!(selected.iter().filter(|&&selected| selected).count(), 7);
    // Conformal p-values of k anomalies among m samples, with n calibration samples: m/(n + 1) = k · rate.
    for per_cent in [1, 5, 10, 20, 25, 30] {
        for (m, k) in (1..200).flat_map(|m| [1, 2, 3, 7].map(|k| (m, k))) {
            let (samples, share) = (100 * m, per_cent * k);
            if k > m || samples % share != 0 {
                continue;
            }
            let smallest = 1.0 / f64::from(samples / share);
            let mut p_values = vec![1.0; m as usize];
            p_values[..k as usize].fill(smallest);
            let selected = benjamini_hochberg(&p_values, f64::from(per_cent) / 100.0).unwrap();
            let count = selected.iter().filter(|&&selected| selected).count();
            assert_eq!(count, k as usize, "{per_cent} % of {m}");
        }
    }
}

#[test]
fn rates_and_p_values_out_of_range() {
    for rate in [0.0, 1.0, -0.5, f64::NAN] {
        let error = benjamini_hochberg(&[0.5], rate).unwrap_err();
        assert_eq!(name_of(&error), "false discovery rate");
        let error = calibrated(20).select(random(4, 2, 0), rate).unwrap_err();
        assert_eq!(name_of(&error), "false discovery rate");
    }
    for p in [-0.1, 1.1, f64::NAN] {
        let error = benjamini_hochberg(&[0.5, p], 0.1).unwrap_err();
        assert_eq!(name_of(&error), "p-value");
    }
}

#[test]
fn too_few_calibration_samples_to_select_anything_are_refused() {
    let far = random(4, 3, 0) * 1e6;
    for (rate, needed) in [(0.5, 1), (0.2, 4), (0.1, 9), (1.0 / 49.0, 48), (0.03, 33)] {
        for n in [needed, needed + 1].into_iter().filter(|&n| n >= 2) {
            let selected = calibrated(n).select(&far, rate).unwrap();
            assert_eq!(selected, [true; 3], "{rate}: {n}");
        }
        for actual in 2..needed {
            let expected = Error::TooFewSamples {
                what: "calibration samples for this false discovery rate",
                needed,
                actual,
            };
            let error = calibrated(actual).select(&far, rate).unwrap_err();
            assert_eq!(error, expected);
        }
    }
}

/// k anomalies among m samples are found if n + 1 ≥ m/(k · rate), and not with fewer calibration samples.
#[test]
fn the_number_of_calibration_samples_that_k_anomalies_need() {
    let (m, rate) = (40, 0.25);
    for (k, needed) in [(1, 159), (2, 79), (5, 31), (40, 3)] {
        let mut tested = DMatrix::zeros(4, m);
        tested.columns_mut(0, k).copy_from(&(random(4, k, 1) * 1e6));
        let found = |n: usize| {
            let selected = calibrated(n).select(&tested, rate).unwrap();
            selected.iter().filter(|&&selected| selected).count()
        };
        assert_eq!(found(needed), k, "{k}");
        if needed > 3 {
            assert_eq!(found(needed - 1), 0, "{k}");
        }
    }
}

/// Ten of 100 samples are anomalies. The share of normal samples among the selected ones is at most the rate
/// times the share of normal samples, on average over calibrations (Bates et al. 2023, theorem 2).
#[test]
fn the_share_of_false_discoveries_is_bounded() {
    const DRAWS: usize = 400;
    const RATE: f64 = 0.2;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
    let (model, scaler) = (model::<f64>(4), identity(4));
    let (mut shares, mut found) = (Vec::new(), 0);
    for _ in 0..DRAWS {
        let normal = DMatrix::from_fn(4, 200, |_, _| rng.random_range(-1.0..1.0));
        let rule = Threshold::FalseAlarmRate(0.1);
        let detector = AnomalyDetector::calibrate(&model, &scaler, &normal, rule).unwrap();
        let tested = DMatrix::from_fn(4, 100, |_, j| {
            rng.random_range(-1.0..1.0) * if j < 10 { 8.0 } else { 1.0 }
        });
        let selected = detector.select(&tested, RATE).unwrap();
        let right = selected[..10].iter().filter(|&&selected| selected).count();
        let wrong = selected[10..].iter().filter(|&&selected| selected).count();
        found += right;
        shares.push(f64::of_count(wrong) / f64::of_count((right + wrong).max(1)));
    }
    let (draws, bound) = (f64::of_count(DRAWS), RATE * 0.9);
    let mean = shares.iter().sum::<f64>() / draws;
    let squares: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
    let deviation = squares.sqrt() / draws;
    assert!(mean <= bound + 5.0 * deviation, "{mean} ± {deviation}");
    // Not because nothing is selected: the bound is nearly reached, and most anomalies are found.
    assert!(mean >= 0.5 * bound, "{mean}");
    assert!(found >= DRAWS * 10 / 2, "{found}");
}
