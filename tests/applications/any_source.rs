//! What is fitted to the same samples has the same bits, wherever they are stored; and a source that fails
//! gives its error.

use std::io;

use crate::common::file_bytes::npy_f64;
use crate::common::on_read::OnRead;
use crate::common::recipes::RECIPES;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::recipe::{Recipe, Variant};
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, AnomalyEnsemble, ClassifierTrainer, Error, Joined, Lbfgs,
    NpyFile, Pairs, Real, Samples, Scaling, Shards, SoftmaxClassifier, SparseAutoencoder, Stack,
    Subset, TargetL0, Threshold, Trainer, geometric_median,
};

const FEATURES: usize = 64;
/// More than are read together.
const COUNT: usize = 2500;

/// Numbers of `f32`, which are the same in either scalar.
fn samples(count: usize) -> DMatrix<f64> {
    DMatrix::from_fn(FEATURES, count, |i, j| {
        let phase = (i * 31 + j * 17 + i * j + 1) as f64 * 0.618_033_988_749_895;
        f64::from((phase.fract() - 0.3) as f32)
    })
}

fn file<T: Real>(samples: &DMatrix<f64>) -> NpyFile<T> {
    NpyFile::from_bytes("samples.npy", npy_f64(samples)).unwrap()
}

/// Samples of one's own. Reading that of the index `fails` is an error.
fn own<T: Real>(samples: DMatrix<T>, fails: usize) -> impl Samples<T> {
    OnRead(samples, move |indices: &[usize], _: &mut [T]| {
        if indices.contains(&fails) {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the disk is gone"))?;
        }
        Ok(())
    })
}

/// The samples outside memory: in a file, in files of different lengths, chosen from others, of one's own.
fn elsewhere<T: Real>(samples: &DMatrix<f64>) -> Vec<Box<dyn Samples<T>>> {
    let count = samples.ncols();
    let cuts = [0, 1, count / 3, count / 3, count - 7, count];
    let parts = cuts.windows(2).map(|cut| {
        let part = samples.columns(cut[0], cut[1] - cut[0]);
        file::<T>(&part.into_owned())
    });
    let rows = [(0, 17), (17, 1), (18, FEATURES - 18)].into_iter();
    let rows = rows.map(|(start, len)| file::<T>(&samples.rows(start, len).into_owned()));
    let turned: Vec<usize> = (0..count).rev().collect();
    let backwards = samples.select_columns(&turned);
    vec![
        Box::new(file::<T>(samples)),
        Box::new(Shards::new(parts.collect()).unwrap()),
        Box::new(Subset::new(file::<T>(&backwards), turned).unwrap()),
        Box::new(Joined::new(rows.collect()).unwrap()),
        Box::new(own(samples.map(T::of), usize::MAX)),
    ]
}

fn bits<T: Real>(values: &[T]) -> Vec<u64> {
    values.iter().map(|x| x.to_f64().to_bits()).collect()
}

/// Compares `learn`, which returns numbers, on samples in memory and elsewhere.
#[track_caller]
fn assert_same_everywhere<T: Real>(
    samples: &DMatrix<f64>,
    mut learn: impl FnMut(&dyn Samples<T>) -> Result<Vec<T>, Error>,
) {
    let matrix = samples.map(T::of);
    let expected = bits(&learn(&matrix).unwrap());
    assert!(!expected.is_empty());
    for (place, source) in elsewhere::<T>(samples).iter().enumerate() {
        assert_eq!(bits(&learn(source).unwrap()), expected, "source {place}");
    }
}

fn scalings() -> [Scaling; 5] {
    [
        Scaling::identity(),
        Scaling::standard(),
        Scaling::min_max(-0.3, 0.7),
        Scaling::mean_norm(2.0),
        Scaling::mean_distance(3.0),
    ]
}

fn scale<T: Real>(scaling: Scaling, samples: &dyn Samples<T>) -> Result<Vec<T>, Error> {
    let scaler = scaling.fit(samples)?;
    Ok([scaler.centers(), scaler.factors(), scaler.offsets()].concat())
}

fn model<T: Real>(sizes: [usize; 2], activation: Activation) -> SparseAutoencoder<T> {
    SparseAutoencoder::builder()
        .layers(sizes)
        .hidden_activation(activation)
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(3)
        .build()
        .unwrap()
}

fn trainer<T: Real>() -> Trainer<T> {
    Trainer::new(Adam::new(0.01).unwrap())
        .epochs(2)
        .batch_size(100)
        .validation_split(0.1)
}

fn detect<T: Real>(split: f64, samples: &dyn Samples<T>) -> Result<Vec<T>, Error> {
    let mut model = model([FEATURES, 9], Activation::Relu);
    let mut detector = AnomalyDetector::builder(&mut model)
        .calibration_split(split)
        .threshold(Threshold::Contamination(0.1))
        .fit(&mut trainer(), samples)?
        .detector;
    let mut learned = detector.model().parameters().as_slice().to_vec();
    learned.extend_from_slice(detector.calibration_scores());
    learned.push(detector.threshold());
    detector.recalibrate(samples)?;
    learned.extend_from_slice(detector.calibration_scores());
    learned.extend(detector.scores(samples)?.iter());
    learned.extend(detector.p_values(samples)?.iter().map(|&p| T::of(p)));
    let alarms = detector.is_anomaly(samples)?;
    learned.push(T::of_count(alarms.iter().filter(|&&alarm| alarm).count()));
    Ok(learned)
}

fn stack<T: Real>() -> Stack<T> {
    Stack::new(vec![
        model([FEATURES, 12], Activation::TopK(3)),
        model([12, 7], Activation::Tanh),
        model([7, 3], Activation::Sigmoid),
    ])
    .unwrap()
}

fn parameters<T: Real>(stack: &Stack<T>) -> Vec<T> {
    let layers = stack.layers().iter();
    layers
        .flat_map(|layer| layer.parameters().as_slice())
        .copied()
        .collect()
}

fn pretrain<T: Real>(samples: &dyn Samples<T>) -> Result<Vec<T>, Error> {
    let mut fitted = stack();
    let reports = trainer().fit_stack(&mut fitted, samples)?;
    let mut learned = parameters(&fitted);
    for report in &reports {
        learned.extend(report.losses.iter().map(|loss| loss.reconstruction));
        learned.extend(
            report
                .validation_losses
                .iter()
                .map(|loss| loss.reconstruction),
        );
    }
    for index in 0..3 {
        trainer().fit_layer(&mut fitted, index, samples)?;
    }
    learned.extend(parameters(&fitted));
    let hidden = fitted.encode_on_read(samples)?;
    assert_eq!((hidden.entries(), hidden.count()), (3, samples.count()));
    learned.extend(hidden.to_matrix()?.iter());
    learned.extend(
        fitted.layers()[0]
            .encode_on_read(samples)?
            .to_matrix()?
            .iter(),
    );
    Ok(learned)
}

fn labels(count: usize) -> Vec<usize> {
    (0..count).map(|j| j * j % 7 % 3).collect()
}

fn classifier_trainer<T: Real>() -> ClassifierTrainer<T> {
    ClassifierTrainer::new(Adam::new(0.05).unwrap())
        .epochs(3)
        .batch_size(200)
        .validation_split(0.2)
        .patience(2)
}

fn classify<T: Real>(samples: &dyn Samples<T>) -> Result<Vec<T>, Error> {
    let mut classifier = SoftmaxClassifier::new(FEATURES, 3)?;
    let labels = labels(samples.count());
    let report = classifier_trainer().fit(&mut classifier, samples, &labels)?;
    let mut learned = classifier.theta().to_vec();
    let losses = report.losses.iter().chain(&report.validation_losses);
    learned.extend(losses.map(|loss| loss.cross_entropy));
    Ok(learned)
}

/// A model of thresholds that start at the samples.
fn of_thresholds<T: Real>() -> SparseAutoencoder<T> {
    SparseAutoencoder::builder()
        .layers([FEATURES, 24])
        .hidden_activation(Activation::JumpRelu)
        .output_activation(Activation::Identity)
        .penalty(TargetL0)
        .sparsity_target(0.1)
        .pre_encoder_bias(true)
        .seed(3)
        .build()
        .unwrap()
}

fn start<T: Real>(samples: &dyn Samples<T>) -> Result<Vec<T>, Error> {
    let mut started = of_thresholds();
    started.start_at(samples)?;
    let mut learned = started.parameters().as_slice().to_vec();
    learned.push(started.calibrate_thresholds(samples, 4.0)?);
    learned.push(T::of(started.bandwidth().to_f64()));
    Ok(learned)
}

fn follow_recipe<T: Real>(variant: Variant, samples: &dyn Samples<T>) -> Result<Vec<T>, Error> {
    let recipe = Recipe::new(variant, 24, 3).samples(900).batch_size(100);
    let begun = recipe.begin(samples)?;
    let mut learned = begun.model.parameters().as_slice().to_vec();
    learned.extend_from_slice(begun.scaler.centers());
    learned.extend_from_slice(begun.scaler.factors());
    let fitted = recipe.fit(samples)?;
    learned.extend_from_slice(fitted.model.parameters().as_slice());
    learned.extend(fitted.report.losses.iter().map(|loss| loss.total()));
    Ok(learned)
}

fn everything_is_the_same_everywhere<T: Real>() {
    let many = samples(COUNT);
    for scaling in scalings() {
        assert_same_everywhere::<T>(&many, |x| scale(scaling, x));
    }
    assert_same_everywhere::<T>(&many, |x| Ok(geometric_median(x)?.as_slice().to_vec()));
    assert_same_everywhere::<T>(&many, |x| detect(0.25, x));
    let few = samples(300);
    assert_same_everywhere::<T>(&few, |x| detect(0.0, x));
    assert_same_everywhere::<T>(&many, pretrain);
    assert_same_everywhere::<T>(&many, classify);
    assert_same_everywhere::<T>(&few, classify);
    // Fewer and more than a calibration reads.
    assert_same_everywhere::<T>(&few, start);
    assert_same_everywhere::<T>(&samples(5000), start);
    for (_, variant) in RECIPES {
        assert_same_everywhere::<T>(&few, |x| follow_recipe(variant, x));
    }
}

#[test]
fn a_recipe_starts_from_some_of_many_samples() {
    let x = samples(9000);
    let mut invalid = x.clone();
    invalid[(5, 6)] = f64::NAN; // every third sample is read first
    for (name, variant) in RECIPES {
        let recipe = Recipe::new(variant, 24, 3).samples(100);
        let [expected, found] = [
            recipe.fit(&x).unwrap(),
            recipe.fit(file::<f64>(&x)).unwrap(),
        ];
        let [expected, found] = [expected, found].map(|fitted| fitted.model.into_parameters());
        assert_eq!(found, expected, "{name}");
        let error = recipe.fit(&invalid).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NonFinite {
                    row: 5,
                    column: 6,
                    ..
                }
            ),
            "{name}: {error}"
        );
    }
}

#[test]
fn the_same_samples_of_f32_teach_the_same_bits_wherever_they_are() {
    everything_is_the_same_everywhere::<f32>();
}

#[test]
fn the_same_samples_of_f64_teach_the_same_bits_wherever_they_are() {
    everything_is_the_same_everywhere::<f64>();
}

#[test]
fn activations_computed_on_reading_are_those_in_memory() {
    let x = samples(COUNT);
    let stack = stack::<f64>();
    let hidden = stack.encode_on_read(file::<f64>(&x)).unwrap();
    assert_eq!(hidden.to_matrix().unwrap(), stack.encode(&x).unwrap());
    let chosen: Vec<usize> = (0..1500).map(|k| k * 389 % COUNT).collect();
    let mut batch = vec![0.0; 3 * chosen.len()];
    hidden.read(&chosen, &mut batch).unwrap();
    let expected = stack.encode(x.select_columns(&chosen)).unwrap();
    assert_eq!(batch, expected.as_slice());
    let error = stack.encode_on_read(x.rows(0, 5).into_owned()).unwrap_err();
    assert!(matches!(
        error,
        Error::DimensionMismatch {
            expected: FEATURES,
            actual: 5,
            ..
        }
    ));
}

/// The errors of everything that learns from samples, each with what it is.
fn refusals(samples: &dyn Samples<f64>) -> Vec<(String, Error)> {
    let mut errors = Vec::new();
    for scaling in scalings() {
        errors.push((format!("{scaling:?}"), scaling.fit(samples).unwrap_err()));
    }
    errors.push(("median".into(), geometric_median(samples).unwrap_err()));

    let start = model::<f64>([FEATURES, 9], Activation::Relu);
    let mut unchanged = start.clone();
    let error = AnomalyDetector::builder(&mut unchanged)
        .fit(&mut trainer(), samples)
        .unwrap_err();
    assert_eq!(unchanged.parameters(), start.parameters());
    errors.push(("detector".into(), error));
    let scaler = Scaling::standard().fit(self::samples(9)).unwrap();
    let rule = Threshold::Quantile(0.9);
    let error = AnomalyDetector::calibrate(&start, &scaler, samples, rule).unwrap_err();
    errors.push(("calibrate".into(), error));
    let mut detector =
        AnomalyDetector::calibrate(&start, &scaler, self::samples(30), rule).unwrap();
    let (scores, threshold) = (detector.calibration_scores().to_vec(), detector.threshold());
    errors.push((
        "recalibrate".into(),
        detector.recalibrate(samples).unwrap_err(),
    ));
    assert_eq!(detector.calibration_scores(), scores);
    assert_eq!(detector.threshold().to_bits(), threshold.to_bits());
    errors.push(("scores".into(), detector.scores(samples).unwrap_err()));
    let error = AnomalyEnsemble::fit(samples).unwrap_err();
    errors.push(("ensemble".into(), error));

    let mut unchanged = of_thresholds();
    errors.push(("start".into(), unchanged.start_at(samples).unwrap_err()));
    let error = unchanged.calibrate_thresholds(samples, 4.0).unwrap_err();
    errors.push(("thresholds".into(), error));
    assert_eq!(unchanged.parameters(), of_thresholds().parameters());
    for variant in [Variant::L1, Variant::TopK] {
        let recipe = Recipe::new(variant, 24, 3).samples(100);
        errors.push(("begin".into(), recipe.begin(samples).unwrap_err()));
        errors.push(("recipe".into(), recipe.fit(samples).unwrap_err()));
    }

    // One batch, so that the first step needs all samples.
    let count = samples.count();
    let mut unchanged = stack();
    let error = trainer()
        .batch_size(count)
        .fit_stack(&mut unchanged, samples);
    assert_eq!(parameters(&unchanged), parameters(&stack::<f64>()));
    errors.push(("stack".into(), error.unwrap_err()));
    for index in 0..3 {
        let error = trainer()
            .batch_size(count)
            .fit_layer(&mut unchanged, index, samples);
        errors.push((format!("layer {index}"), error.unwrap_err()));
    }
    assert_eq!(parameters(&unchanged), parameters(&stack::<f64>()));
    let mut classifier = SoftmaxClassifier::new(FEATURES, 3).unwrap();
    let start = classifier.clone();
    let mut of_classifiers = classifier_trainer().batch_size(count);
    let error = of_classifiers.fit(&mut classifier, samples, &labels(count));
    assert_eq!(classifier.theta(), start.theta());
    errors.push(("classifier".into(), error.unwrap_err()));
    errors
}

#[test]
fn a_source_that_fails_gives_its_error_and_changes_nothing() {
    for fails in [0, 1400, COUNT - 1] {
        let samples = samples(COUNT);
        for (what, error) in refusals(&own(samples, fails)) {
            let Error::Unreadable { kind, message } = error else {
                panic!("{what}: {error:?}");
            };
            assert_eq!(kind, io::ErrorKind::TimedOut, "{what}");
            assert_eq!(message, "the disk is gone", "{what}");
        }
    }
}

#[test]
fn numbers_that_are_none_are_named_by_their_sample_and_change_nothing() {
    for (place, value) in [(0, f64::NAN), (1400, f64::INFINITY), (COUNT - 1, f64::NAN)] {
        let mut samples = samples(COUNT);
        samples[(5, place)] = value;
        let in_memory = refusals(&samples);
        for source in elsewhere::<f64>(&samples).iter().take(2) {
            for ((what, error), (_, expected)) in refusals(source).iter().zip(&in_memory) {
                let Error::NonFinite { row: 5, column, .. } = *error else {
                    panic!("{what}: {error:?}");
                };
                assert_eq!(column, place, "{what}");
                assert_eq!(error.to_string(), expected.to_string(), "{what}");
            }
        }
    }
}

/// Trained on the input and the target as one sample, a model would be of no use.
#[test]
fn pairs_are_refused_where_samples_have_no_target() {
    let (inputs, targets) = (samples(300), samples(300));
    let half = FEATURES / 2;
    let pairs = Pairs::new(inputs.rows(0, half), targets.rows(half, half)).unwrap();
    let mut autoencoder = model::<f64>([FEATURES, 9], Activation::Relu);
    let refused = |what: &str, error: Error| {
        assert!(
            matches!(error, Error::Incompatible { what: "Pairs", .. }),
            "{what}: {error}"
        );
    };
    refused("fit", trainer().fit(&mut autoencoder, &pairs).unwrap_err());
    let detector = AnomalyDetector::builder(&mut autoencoder).fit(&mut trainer(), &pairs);
    refused("detector", detector.unwrap_err());
    refused("ensemble", AnomalyEnsemble::fit(&pairs).unwrap_err());
    refused("encoded", autoencoder.encode_on_read(&pairs).unwrap_err());
    let mut stack = stack::<f64>();
    refused("encoded", stack.encode_on_read(&pairs).unwrap_err());
    let error = trainer().fit_stack(&mut stack, &pairs).unwrap_err();
    refused("stack", error);
    for index in 0..3 {
        let error = trainer().fit_layer(&mut stack, index, &pairs).unwrap_err();
        refused("layer", error);
    }
    let calibrated = of_thresholds().calibrate_thresholds(&pairs, 4.0);
    refused("calibration", calibrated.unwrap_err());
    let mut classifier = SoftmaxClassifier::new(FEATURES, 3).unwrap();
    let error = classifier_trainer().fit(&mut classifier, &pairs, &labels(300));
    refused("classifier", error.unwrap_err());
    let recipe = Recipe::new(Variant::TopK, 24, 3).samples(100);
    refused("recipe", recipe.fit(&pairs).unwrap_err());
}

#[test]
fn a_full_batch_optimizer_needs_the_samples_in_memory() {
    let x = samples(300);
    let file = file::<f64>(&x);
    let expected = Error::Incompatible {
        what: "samples that are not in memory",
        other: "a full-batch optimizer: read them by `Samples::to_matrix`",
    };
    let mut trainer = Trainer::new(Lbfgs::new()).epochs(2);
    let mut fitted = model([FEATURES, 9], Activation::Sigmoid);
    let mut fit = |samples: &dyn Samples<f64>| {
        AnomalyDetector::builder(&mut fitted).fit(&mut trainer, samples)
    };
    assert_eq!(fit(&file).unwrap_err(), expected);
    fit(&x).unwrap();
    let mut trainer = ClassifierTrainer::new(Lbfgs::new()).epochs(2);
    let mut classifier = SoftmaxClassifier::new(FEATURES, 3).unwrap();
    let error = trainer.fit(&mut classifier, &file, &labels(300));
    assert_eq!(error.unwrap_err(), expected);
    trainer.fit(&mut classifier, &x, &labels(300)).unwrap();
}

#[test]
fn samples_without_entries_are_refused_and_not_a_panic() {
    let none = DMatrix::<f64>::zeros(0, 4);
    for scaling in [Scaling::mean_norm(1.0), Scaling::mean_distance(1.0)] {
        assert!(scaling.fit(&none).is_err());
    }
    assert_eq!(Scaling::standard().fit(&none).unwrap().features(), 0);
    let error = geometric_median(&none).unwrap_err();
    assert_eq!(error, Error::EmptyBatch { what: "samples" });
}
