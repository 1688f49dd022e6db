//! Detectors, stacks, classifiers, scalers, and imputers: what is loaded gives the bits of what was saved, and a file
//! that holds something else is refused by name.

mod refusals;
mod served;
mod transcoders;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sparse_autoencoder::files::{self, Note, Stored};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::{Description, HiddenBatch, HiddenGradient};
use sparse_autoencoder::{
    Adam, AnomalyDetector, AnomalyEnsemble, Error, Imputer, L1, MissingValues, Penalty, Real,
    Scaler, Scaling, SoftmaxClassifier, SparseAutoencoder, Stack, Threshold, Trainer,
};

use crate::common::scratch::Scratch;
use crate::common::stored::{self, head, load, moved};
use crate::common::variants::{ACTIVATIONS, INPUT, Shape, Variant, for_each_in_threads, samples};

const RULES: [Threshold; 3] = [
    Threshold::Quantile(1.0 / 3.0),
    Threshold::Contamination(0.07),
    Threshold::FalseAlarmRate(0.11),
];

fn saved_and_loaded<S: Stored>(saved: &S, path: &Path) -> S {
    files::save(saved, path).unwrap();
    let loaded = files::load::<S>(path).unwrap();
    assert_eq!(loaded.notes, []);
    loaded.model
}

pub(crate) fn bits<T: Real>(numbers: &[T]) -> Vec<u64> {
    let bits = numbers.iter().map(|x| x.to_f64().to_bits());
    bits.collect()
}

fn assert_same_model<T: Real>(a: &SparseAutoencoder<T>, b: &SparseAutoencoder<T>) {
    assert_eq!(a.settings(), b.settings());
    let [a, b] = [a, b].map(|model| bits(model.parameters().as_slice()));
    assert_eq!(a, b);
}

pub(crate) fn assert_same_scaler<T: Real>(a: &Scaler<T>, b: &Scaler<T>) {
    assert_eq!(bits(a.centers()), bits(b.centers()));
    assert_eq!(bits(a.factors()), bits(b.factors()));
    assert_eq!(bits(a.offsets()), bits(b.offsets()));
}

#[test]
fn an_ensemble_is_loaded_as_it_was_saved() {
    let scratch = Scratch::new("ensemble");
    let saved = stored::ensemble();
    let loaded = saved_and_loaded(saved, &scratch.file());
    assert_eq!(loaded.missing_values(), MissingValues::Impute);
    let x = stored::table(11) * 1.5;
    let all = |ensemble: &AnomalyEnsemble<f32>| {
        let scores = bits(ensemble.scores(&x).unwrap().as_slice());
        let p_values = bits(ensemble.p_values(&x).unwrap().as_slice());
        let contributions = bits(ensemble.contributions(&x).unwrap().as_slice());
        (scores, p_values, contributions)
    };
    assert_eq!(all(&loaded), all(saved));
    let constant =
        |ensemble: &AnomalyEnsemble<f32>| ensemble.constant_features().collect::<Vec<_>>();
    assert_eq!(constant(&loaded), constant(saved));
    assert_eq!(constant(&loaded).len(), INPUT - 2);
    assert_eq!(loaded.calibration_samples(), saved.calibration_samples());

    // In another scalar type, and in several folds.
    let wide = files::load::<AnomalyEnsemble<f64>>(scratch.file()).unwrap();
    assert_eq!(
        wide.model.calibration_samples(),
        saved.calibration_samples()
    );
    let folds = AnomalyEnsemble::fit(samples::<f64>(20).rows(0, 1).into_owned()).unwrap();
    let loaded = saved_and_loaded(&folds, &scratch.file());
    assert_eq!(loaded.missing_values(), MissingValues::Refuse);
    let x = DMatrix::from_row_slice(1, 3, &[0.1, 0.7, 4.0]);
    let p_values = |ensemble: &AnomalyEnsemble<f64>| ensemble.p_values(&x).unwrap();
    assert_eq!(p_values(&loaded), p_values(&folds));
}

/// Everything of a detector that can be seen.
pub(crate) fn assert_same_detector<T: Real>(a: &AnomalyDetector<T>, b: &AnomalyDetector<T>) {
    assert_same_model(a.model(), b.model());
    assert_same_scaler(a.scaler(), b.scaler());
    let means = |imputer: Option<&Imputer<T>>| imputer.map(|imputer| bits(imputer.means()));
    assert_eq!(means(a.imputer()), means(b.imputer()));
    assert_eq!(a.rule(), b.rule());
    assert_eq!(bits(&[a.threshold()]), bits(&[b.threshold()]));
    assert_eq!(bits(a.calibration_scores()), bits(b.calibration_scores()));
    let mut x = samples(11) * T::of(1.5);
    if a.imputer().is_some() {
        x = stored::table(11) * T::of(1.5);
    }
    let [scores, again] = [a, b].map(|detector| bits(detector.scores(&x).unwrap().as_slice()));
    assert_eq!(scores, again);
    let [p, again] = [a, b].map(|detector| bits(detector.p_values(&x).unwrap().as_slice()));
    assert_eq!(p, again);
    assert_eq!(a.is_anomaly(&x), b.is_anomaly(&x));
    assert_eq!(a.contributions(&x), b.contributions(&x));
    assert_eq!(a.reconstruct(&x), b.reconstruct(&x));
}

pub(crate) fn assert_same_stack<T: Real>(a: &Stack<T>, b: &Stack<T>) {
    assert_eq!(a.layers().len(), b.layers().len());
    for (a, b) in a.layers().iter().zip(b.layers()) {
        assert_same_model(a, b);
    }
    let x = samples(11);
    let [hidden, again] = [a, b].map(|stack| bits(stack.encode(&x).unwrap().as_slice()));
    assert_eq!(hidden, again);
}

pub(crate) fn assert_same_classifier<T: Real>(a: &SoftmaxClassifier<T>, b: &SoftmaxClassifier<T>) {
    assert_eq!(a, b);
    assert_eq!(bits(a.theta()), bits(b.theta()));
    let x = samples(11);
    let [p, again] = [a, b].map(|model| bits(model.probabilities(&x).unwrap().as_slice()));
    assert_eq!(p, again);
    assert_eq!(a.predict(&x), b.predict(&x));
    assert_eq!(a.loss(&x, &[0; 11]), b.loss(&x, &[0; 11]));
}

fn keeps_a_detector_a_stack_and_a_classifier<T: Real>(
    variant: &Variant,
    rule: Threshold,
    path: &Path,
) {
    let x = samples::<T>(20);
    let model = variant.trained(&x);
    let scaler = Scaling::standard().fit(&x).unwrap();
    let detector = AnomalyDetector::calibrate(&model, &scaler, &x, rule).unwrap();
    assert_same_detector(&detector, &saved_and_loaded(&detector, path));

    let inner = SparseAutoencoder::builder().layers([model.layout().hidden_size(), 3]);
    let mut inner = inner.tied(true).build().unwrap();
    moved(&mut inner);
    let stack = Stack::new(vec![model, inner]).unwrap();
    assert_same_stack(&stack, &saved_and_loaded(&stack, path));

    let head = head(3).with_weight_decay(0.1).unwrap();
    match head.on_top_of(stack.layers()) {
        Ok(deep) => assert_same_classifier(&deep, &saved_and_loaded(&deep, path)),
        Err(error) => assert!(matches!(error, Error::Incompatible { .. }), "{error}"),
    }
}

#[test]
fn every_variant_gives_the_same_bits_in_every_kind() {
    for_each_in_threads(|thread, index, variant| {
        if variant.shape == Shape::Transcoder {
            return; // neither a detector nor a stack takes one
        }
        let scratch = Scratch::new(&format!("kinds-{thread}"));
        let rule = RULES[index % RULES.len()];
        keeps_a_detector_a_stack_and_a_classifier::<f32>(variant, rule, &scratch.file());
        keeps_a_detector_a_stack_and_a_classifier::<f64>(variant, rule, &scratch.file());
    });
}

fn keeps_scalers<T: Real>(path: &Path) {
    let mut x = samples::<T>(20);
    x.row_mut(2).fill(T::of(0.1));
    let mut scalers = vec![Scaler::new(&[], &[], &[]).unwrap()];
    for scaling in [
        Scaling::identity(),
        Scaling::standard().keep_constant_features(),
        Scaling::min_max(-0.3, 1.0 / 3.0).keep_constant_features(),
        Scaling::mean_norm(3.0),
        Scaling::mean_distance(2.0),
    ] {
        scalers.push(scaling.fit(&x).unwrap());
    }
    let extremes = [T::of(-0.0), T::max_value().unwrap(), T::from_subset(&1e-37)];
    scalers.push(Scaler::new(&extremes, &[T::from_subset(&1e-37); 3], &extremes).unwrap());
    for scaler in scalers {
        assert_same_scaler(&scaler, &saved_and_loaded(&scaler, path));
    }
}

fn keeps_imputers<T: Real>(path: &Path) {
    let extremes = [T::of(-0.0), T::max_value().unwrap(), T::from_subset(&1e-37)];
    for imputer in [
        Imputer::new(&[], &[]),
        Imputer::new(&extremes, &[]),
        Imputer::new(&extremes, &[0, 1, 2]),
        Imputer::new(&extremes, &[1]),
        Imputer::fit(stored::table(40)),
    ] {
        let imputer = imputer.unwrap();
        let loaded = saved_and_loaded(&imputer, path);
        assert_eq!(bits(loaded.means()), bits(imputer.means()));
        assert_eq!(loaded.marked(), imputer.marked());
    }
    let detector = stored::imputing::<T>();
    assert_same_detector(&detector, &saved_and_loaded(&detector, path));
}

#[test]
fn every_imputer_and_a_detector_with_one_keep_their_bits() {
    let scratch = Scratch::new("imputers");
    keeps_imputers::<f32>(&scratch.file());
    keeps_imputers::<f64>(&scratch.file());
}

#[test]
fn every_scaling_keeps_its_bits() {
    let scratch = Scratch::new("scalers");
    keeps_scalers::<f32>(&scratch.file());
    keeps_scalers::<f64>(&scratch.file());
}

#[test]
fn a_classifier_without_hidden_layers_and_a_stack_of_one_are_kept() {
    let scratch = Scratch::new("shallow");
    let regression = head::<f64>(INPUT);
    assert_same_classifier(&regression, &saved_and_loaded(&regression, &scratch.file()));
    let stack = Stack::new(vec![stored::model::<f32>()]).unwrap();
    assert_same_stack(&stack, &saved_and_loaded(&stack, &scratch.file()));
}

#[test]
fn the_scalars_convert() {
    let scratch = Scratch::new("convert");
    let path = scratch.file();
    let widened = |values: &[f32]| values.iter().map(|&x| x.into()).collect::<Vec<f64>>();
    let single = stored::detector::<f32>();
    files::save(&single, &path).unwrap();
    let double: AnomalyDetector<f64> = load(&path).unwrap();
    let scores = widened(single.calibration_scores());
    assert_eq!(double.calibration_scores(), scores);
    assert_eq!(
        double.scaler().factors(),
        widened(single.scaler().factors())
    );
    let theta = widened(single.model().parameters().as_slice());
    assert_eq!(double.model().parameters().as_slice(), theta);
    files::save(&double, &path).unwrap();
    assert_same_detector(&single, &load(&path).unwrap());

    let single = stored::classifier::<f32>();
    files::save(&single, &path).unwrap();
    let double: SoftmaxClassifier<f64> = load(&path).unwrap();
    assert_eq!(double.theta(), widened(single.theta()));
    files::save(&double, &path).unwrap();
    assert_same_classifier(&single, &load(&path).unwrap());
}

/// Rounded, a center far from 0 would move all samples, and calibration scores would be those of another model.
#[test]
fn what_describes_samples_is_not_narrowed() {
    let scratch = Scratch::new("narrowed");
    let path = scratch.file();
    for (name, save, load) in stored::KINDS {
        save(&path).unwrap();
        files::convert(&path, &path, files::Number::BF16).unwrap();
        load(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
        for (tensor, entry) in header.as_object().unwrap() {
            let of_samples = ["scaler.", "imputer.", "calibration_scores"];
            let of_samples = of_samples.iter().any(|of| tensor.contains(of));
            if tensor != "__metadata__" {
                let narrowed = entry["dtype"] == "BF16";
                assert_eq!(narrowed, !of_samples, "{name}: {tensor}");
            }
        }
    }
}

/// A penalty that no file knows.
#[derive(Debug)]
struct Odd(#[allow(dead_code)] f64); // read by `Debug`

impl<T: Real> Penalty<T> for Odd {
    fn accumulate(&self, _: &HiddenBatch<'_, T>, _: T, _: &mut HiddenGradient<'_, T>) -> T {
        T::one()
    }
}

#[test]
fn a_penalty_of_another_crate_is_noted_for_each_autoencoder() {
    let scratch = Scratch::new("odd");
    let path = scratch.file();
    let odd = |layers: [usize; 2], weight| {
        let builder = SparseAutoencoder::<f64>::builder().layers(layers);
        builder.penalty((L1, Odd(weight))).build().unwrap()
    };
    let stack = Stack::new(vec![
        odd([INPUT, 4], 0.25),
        stored::stack().into_layers().remove(1),
    ]);
    let mut autoencoders = stack.unwrap().into_layers();
    autoencoders.push(odd([2, 2], 0.75));
    let stack = Stack::new(autoencoders).unwrap();
    files::save(&stack, &path).unwrap();
    let loaded = files::load::<Stack<f64>>(&path).unwrap();
    let described = |note: &Note| match note {
        Note::UnknownPenalty { description } => description.clone(),
        note => panic!("{note}"),
    };
    let described: Vec<String> = loaded.notes.iter().map(described).collect();
    assert_eq!(described.len(), 2);
    assert!(described[0].contains("Odd(0.25)"), "{described:?}");
    assert!(described[1].contains("Odd(0.75)"), "{described:?}");
    let penalties = loaded.model.layers().iter();
    let penalties = penalties.map(|model| model.penalty().description());
    let none = Description::None;
    let kept = Description::KlDivergence;
    assert!(penalties.eq([none.clone(), kept, none]));
    let x = samples(9);
    assert_eq!(loaded.model.encode(&x), stack.encode(&x));

    let rule = Threshold::Quantile(0.5);
    let model = odd([INPUT, 4], 0.5);
    let detector = AnomalyDetector::calibrate(&model, &stored::scaler(), &x, rule).unwrap();
    files::save(&detector, &path).unwrap();
    let loaded = files::load::<AnomalyDetector<f64>>(&path).unwrap();
    assert!(matches!(&loaded.notes[..], [Note::UnknownPenalty { .. }]));
    assert_eq!(loaded.model.scores(&x), detector.scores(&x));
    assert_eq!(loaded.model.p_values(&x), detector.p_values(&x));
}

#[test]
fn every_activation_without_parameters_of_its_own_is_kept_in_a_classifier() {
    let scratch = Scratch::new("activations");
    let mut kept = 0;
    for &activation in ACTIVATIONS {
        let below = SparseAutoencoder::<f32>::builder()
            .layers([INPUT, 6])
            .hidden_activation(activation)
            .penalty(())
            .build()
            .unwrap();
        let Ok(deep) = head(6).on_top_of(&[below]) else {
            continue;
        };
        let loaded = saved_and_loaded(&deep, &scratch.file());
        assert_same_classifier(&deep, &loaded);
        assert_eq!(loaded.layers().next().unwrap().activation, activation);
        kept += 1;
    }
    assert!(kept >= 8, "{kept}");
}

#[test]
fn a_loaded_detector_can_be_changed_as_the_saved_one() {
    let scratch = Scratch::new("changed-rule");
    let mut detector = stored::detector::<f64>();
    let mut loaded = saved_and_loaded(&detector, &scratch.file());
    for rule in RULES {
        detector.set_threshold(rule).unwrap();
        loaded.set_threshold(rule).unwrap();
        assert_same_detector(&detector, &loaded);
        assert_same_detector(&detector, &saved_and_loaded(&loaded, &scratch.file()));
    }
    let others: DMatrix<f64> = samples(30) * 0.9;
    detector.recalibrate(&others).unwrap();
    loaded.recalibrate(&others).unwrap();
    assert_same_detector(&detector, &loaded);
}

/// An error that overflows is an infinite score, which files keep.
#[test]
fn infinite_calibration_scores_are_kept() {
    let scratch = Scratch::new("infinite_scores");
    let path = scratch.file();
    let mut samples = DMatrix::from_fn(2, 40, |i, j| ((i * 31 + j * 17) % 23) as f32 / 23.0);
    samples[(1, 7)] = 1e22; // its squared error overflows
    let saved = AnomalyEnsemble::fit(&samples).unwrap();
    let loaded = saved_and_loaded(&saved, &path);
    assert_eq!(
        loaded.p_values(&samples).unwrap(),
        saved.p_values(&samples).unwrap()
    );

    let mut sae = SparseAutoencoder::builder().layers([2, 3]).build().unwrap();
    let scaler = Scaling::identity().fit(&samples).unwrap();
    let saved = AnomalyDetector::from_scores(
        &sae,
        &scaler,
        &[f32::INFINITY, 1.0, 2.0],
        Threshold::Quantile(0.5),
    )
    .unwrap();
    let loaded = saved_and_loaded(&saved, &path);
    assert_eq!(loaded.calibration_scores(), [1.0, 2.0, f32::INFINITY]);
    let converted = Scratch::new("infinite_converted");
    for number in [
        files::Number::F64,
        files::Number::F32,
        files::Number::F16,
        files::Number::BF16,
    ] {
        files::convert(&path, converted.file(), number).unwrap();
        let loaded: AnomalyDetector<f32> = files::load(converted.file()).unwrap().model;
        assert_eq!(loaded.calibration_scores(), [1.0, 2.0, f32::INFINITY]);
        files::convert(converted.file(), &path, files::Number::F64).unwrap();
    }

    // Trained with such a sample, wherever it falls.
    for seed in 0..4 {
        let fitted = AnomalyDetector::builder(&mut sae)
            .scaling(Scaling::identity())
            .seed(seed)
            .fit(
                &mut Trainer::new(Adam::new(1e-3).unwrap()).epochs(1),
                &samples,
            );
        if let Ok(fitted) = fitted {
            saved_and_loaded(&fitted.detector, &path);
        }
    }
}
