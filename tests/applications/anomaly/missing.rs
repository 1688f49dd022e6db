//! Missing values: the laws of detectors that impute them.

use std::sync::LazyLock;

use sparse_autoencoder::{
    AnomalyDetectorSettings, AnomalyEnsemble, Imputer, MissingValues, Samples, Subset,
};

use super::*;

/// Samples on a parabola; a third feature follows the first two.
fn complete(count: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut samples = DMatrix::zeros(3, count);
    for mut sample in samples.column_iter_mut() {
        let (t, noise): (f64, f64) = (rng.random_range(-1.0..1.0), rng.random_range(-0.1..0.1));
        sample.copy_from_slice(&[t, t * t + noise, 10.0 * t + 5.0]);
    }
    samples
}

/// Takes this share of the values of the first two features away.
fn with_holes(mut samples: DMatrix<f64>, share: f64, seed: u64) -> DMatrix<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    for value in samples.rows_mut(0, 2).iter_mut() {
        if rng.random_bool(share) {
            *value = f64::NAN;
        }
    }
    samples
}

fn fitted(
    inputs: usize,
    samples: impl Samples<f64>,
    settings: AnomalyDetectorSettings,
) -> Result<AnomalyDetector<f64>, Error> {
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(10);
    AnomalyDetector::builder(&mut model(inputs))
        .settings(settings)
        .fit(&mut trainer, samples)
}

fn imputing() -> AnomalyDetectorSettings {
    let mut settings = AnomalyDetectorSettings::default();
    settings.missing_values = MissingValues::Impute;
    settings
}

static TABLE: LazyLock<DMatrix<f64>> = LazyLock::new(|| with_holes(complete(400, 1), 0.1, 2));
static DETECTOR: LazyLock<AnomalyDetector<f64>> =
    LazyLock::new(|| fitted(5, &*TABLE, imputing()).unwrap());
static ENSEMBLE: LazyLock<AnomalyEnsemble<f64>> = LazyLock::new(|| {
    let few = TABLE.columns(0, 60);
    AnomalyEnsemble::fit_missing(few, MissingValues::Impute, 0).unwrap()
});

#[test]
fn without_missing_values_the_rule_changes_no_bit() {
    let (samples, unseen) = (complete(200, 3), complete(50, 4));
    let plain = fitted(3, &samples, AnomalyDetectorSettings::default()).unwrap();
    let imputing = fitted(3, &samples, imputing()).unwrap();
    assert_eq!(imputing.model().parameters(), plain.model().parameters());
    assert_eq!(imputing.scores(&unseen), plain.scores(&unseen));
    assert_eq!(
        imputing.contributions(&unseen),
        plain.contributions(&unseen)
    );
    assert_eq!(imputing.reconstruct(&unseen), plain.reconstruct(&unseen));
    assert!(imputing.imputer().is_some() && plain.imputer().is_none());

    let few = samples.columns(0, 30);
    let plain = AnomalyEnsemble::fit(few).unwrap();
    let imputing = AnomalyEnsemble::fit_missing(few, MissingValues::Impute, 0).unwrap();
    assert_eq!(imputing.scores(&unseen), plain.scores(&unseen));
    assert_eq!(
        imputing.contributions(&unseen),
        plain.contributions(&unseen)
    );
    assert_eq!(plain.missing_values(), MissingValues::Refuse);
    assert_eq!(imputing.missing_values(), MissingValues::Impute);
}

#[test]
fn a_detector_imputes_by_the_training_samples_alone() {
    let imputer = DETECTOR.imputer().unwrap();
    assert_eq!(imputer.marked(), [0, 1]);
    assert_ne!(imputer.means(), Imputer::fit(&*TABLE).unwrap().means());
    // All samples train it if none is held out.
    let mut settings = imputing();
    settings.calibration_split = 0.0;
    let detector = fitted(5, &*TABLE, settings).unwrap();
    assert_eq!(detector.imputer(), Some(&Imputer::fit(&*TABLE).unwrap()));
}

#[test]
fn a_detector_is_its_parts_one_after_the_other() {
    let imputed = DETECTOR.imputer().unwrap().apply(&*TABLE).unwrap();
    let scaled = DETECTOR.scaler().apply(&imputed).unwrap();
    let errors = DETECTOR.model().reconstruction_errors(&scaled).unwrap();
    assert_eq!(DETECTOR.scores(&*TABLE).unwrap(), errors);

    // The same table elsewhere than in memory, in the fit and later.
    let all: Vec<usize> = (0..TABLE.ncols()).collect();
    let elsewhere = Subset::new(&*TABLE, all).unwrap();
    let of_elsewhere = fitted(5, &elsewhere, imputing()).unwrap();
    assert_eq!(of_elsewhere.scores(&elsewhere), Ok(errors));
    let [calibrated, again] = [&of_elsewhere, &*DETECTOR].map(|d| d.calibration_scores());
    assert_eq!(calibrated, again);

    // Put together by hand.
    let parts = (DETECTOR.model(), DETECTOR.scaler(), DETECTOR.rule());
    let own = AnomalyDetector::from_scores(parts.0, parts.1, calibrated, parts.2).unwrap();
    let own = own
        .with_imputer(DETECTOR.imputer().unwrap().clone())
        .unwrap();
    assert_eq!(own.p_values(&*TABLE), DETECTOR.p_values(&*TABLE));
    let mut own = own;
    own.recalibrate(TABLE.columns(0, 100)).unwrap();
    assert_eq!(own.calibration_scores().len(), 100);
}

#[test]
fn contributions_of_features_and_their_marks_sum_to_the_score() {
    let scores = DETECTOR.scores(&*TABLE).unwrap();
    let contributions = DETECTOR.contributions(&*TABLE).unwrap();
    assert_eq!(contributions.shape(), TABLE.shape());
    let sums = contributions.row_sum().transpose();
    assert_relative_eq!(sums, scores, max_relative = 1e-12);
    assert_eq!(
        DETECTOR.reconstruct(&*TABLE).unwrap().shape(),
        TABLE.shape()
    );

    let scores = ENSEMBLE.scores(&*TABLE).unwrap();
    let contributions = ENSEMBLE.contributions(&*TABLE).unwrap();
    assert_eq!(contributions.shape(), TABLE.shape());
    let sums = contributions.row_sum().transpose();
    assert_relative_eq!(sums, scores, max_relative = 1e-12);
}

#[test]
fn a_value_that_was_never_missing_before_is_the_mean() {
    let mean = DETECTOR.imputer().unwrap().means()[2];
    let mut sample = complete(1, 9);
    sample[2] = f64::NAN;
    let score = DETECTOR.scores(&sample).unwrap();
    assert!(ENSEMBLE.scores(&sample).unwrap()[0].is_finite());
    sample[2] = mean;
    assert_eq!(DETECTOR.scores(&sample).unwrap(), score);
}

/// Only one value is missing, and its sample is held out from the scaling.
#[test]
fn a_mark_may_be_constant_in_the_training_samples() {
    let complete = complete(40, 5);
    let mut settings = imputing();
    settings.threshold = Threshold::Quantile(0.9);
    let mut constant = 0;
    for hole in 0..40 {
        let mut table = complete.clone();
        table[(1, hole)] = f64::NAN;
        let detector = fitted(4, &table, settings).unwrap();
        constant += usize::from(detector.scaler().centers()[3] == 0.0);
        assert!(
            detector
                .scores(&table)
                .unwrap()
                .iter()
                .all(|s| s.is_finite())
        );
    }
    assert_eq!(constant, 10); // the quarter that is held out

    // A constant feature is still refused by its index, and kept if told so.
    let mut table = TABLE.clone();
    table.row_mut(2).fill(7.0);
    let error = fitted(5, &table, imputing()).unwrap_err();
    assert!(matches!(error, Error::ConstantFeature { feature: 2, .. }));
    settings.scaling = Some(Scaling::standard().keep_constant_features());
    assert!(fitted(5, &table, settings).is_ok());
}

#[test]
fn an_ensemble_drops_what_carries_nothing() {
    let mut table = with_holes(complete(40, 6), 0.2, 7).insert_rows(3, 3, 1.0);
    table.row_mut(3).fill(f64::NAN); // no value
    table[(5, 11)] = f64::NAN; // constant, but missing once
    let ensemble = AnomalyEnsemble::fit_missing(&table, MissingValues::Impute, 0).unwrap();
    assert_eq!(ensemble.dropped_features().collect::<Vec<_>>(), [3, 4]);
    let scores = ensemble.scores(&table).unwrap();
    let mut other = table.clone();
    other.row_mut(3).fill(3.0);
    other.row_mut(4).fill(f64::NAN);
    assert_eq!(ensemble.scores(&other).unwrap(), scores);
}

#[test]
fn what_is_refused_names_the_remedy() {
    let nan = |error: Error| {
        assert!(matches!(error, Error::NonFinite { what: "samples", value, .. } if value.is_nan()));
        let says = error.to_string();
        assert!(
            says.contains("`Imputer`") && says.contains("`missing_values`"),
            "{says}"
        );
    };
    nan(fitted(3, &*TABLE, AnomalyDetectorSettings::default()).unwrap_err());
    nan(AnomalyEnsemble::fit(&*TABLE).unwrap_err());
    nan(calibrated(50)
        .scores(DMatrix::from_element(4, 1, f64::NAN))
        .unwrap_err());
    nan(model(3).encode(&*TABLE).unwrap_err());
    nan(Scaling::standard().fit(&*TABLE).unwrap_err());

    let mut infinite = TABLE.clone();
    infinite[(2, 7)] = f64::INFINITY;
    for error in [
        fitted(5, &infinite, imputing()).unwrap_err(),
        DETECTOR.scores(&infinite).unwrap_err(),
        DETECTOR.contributions(&infinite).unwrap_err(),
        AnomalyEnsemble::fit_missing(&infinite, MissingValues::Impute, 0).unwrap_err(),
        ENSEMBLE.scores(&infinite).unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::NonFinite {
                    row: 2,
                    column: 7,
                    ..
                }
            ),
            "{error}"
        );
        assert!(!error.to_string().contains("Imputer"), "{error}");
    }

    let mut empty = TABLE.clone();
    empty.row_mut(1).fill(f64::NAN);
    let error = fitted(5, &empty, imputing()).unwrap_err();
    assert_eq!(error, Error::MissingFeature { feature: 1 });
    let all_empty = DMatrix::from_element(2, 30, f64::NAN);
    let error = AnomalyEnsemble::fit_missing(all_empty, MissingValues::Impute, 0).unwrap_err();
    assert!(matches!(error, Error::ConstantFeature { .. }));

    let error = fitted(3, &*TABLE, imputing()).unwrap_err();
    let expected = Error::DimensionMismatch {
        what: "input size of the model, for features and marks of missing values",
        expected: 5,
        actual: 3,
    };
    assert_eq!(error, expected);
    let other = Imputer::new(&[0.0; 3], &[0]).unwrap();
    let error = DETECTOR.clone().with_imputer(other).unwrap_err();
    assert_eq!(name_of(&error), "outputs of the imputer");
    let wide = DMatrix::zeros(5, 1);
    assert!(DETECTOR.scores(&wide).is_err() && ENSEMBLE.scores(&wide).is_err());
    assert!(DETECTOR.clone().recalibrate(&wide).is_err());
}
