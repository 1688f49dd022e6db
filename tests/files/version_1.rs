//! Files of version 1 of the format are loaded, and would be written so again.
//!
//! All files in `written_in_version_1/` except checkpoints and that of the ensemble hold the values that are built
//! here, by exact arithmetic.

mod models;

use std::fs;
use std::path::{Path, PathBuf};

use approx::assert_relative_eq;
use sparse_autoencoder::files::{self, Stored};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, AnomalyDetector, AnomalyEnsemble, Imputer, L1, MissingValues, Scaler,
    SoftmaxClassifier, SparseAutoencoder, Stack, Threshold,
};

use crate::common::scratch::Scratch;
use crate::common::variants::INPUT;
use crate::stored_kinds::{
    assert_same_classifier, assert_same_detector, assert_same_scaler, assert_same_stack,
};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files/written_in_version_1")
        .join(name)
        .with_extension("safetensors")
}

fn load<S: Stored>(name: &str) -> S {
    let loaded = files::load::<S>(path(name)).unwrap();
    assert_eq!(loaded.notes, [], "{name}");
    loaded.model
}

/// A file of this value would have the same bytes now.
fn assert_written_so(name: &str, stored: &impl Stored) {
    let scratch = Scratch::new(name);
    files::save(stored, scratch.file()).unwrap();
    let [now, then] = [scratch.file(), path(name)].map(|path| fs::read(path).unwrap());
    assert!(now == then, "{name}");
}

/// The header of a safetensors file: all names, shapes, and texts.
fn header(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let (len, rest) = bytes.split_first_chunk::<8>().unwrap();
    String::from_utf8(rest[..u64::from_le_bytes(*len) as usize].to_vec()).unwrap()
}

/// Sixty-fourths in [−1/2, 1/2).
fn numbers(count: usize) -> Vec<f64> {
    let number = |k: usize| (k * 37 % 64) as f64 / 64.0 - 0.5;
    (0..count).map(number).collect()
}

fn model(layers: [usize; 2], activation: Activation) -> SparseAutoencoder<f64> {
    let mut model = SparseAutoencoder::builder()
        .layers(layers)
        .hidden_activation(activation)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(0.25)
        .weight_decay(0.125)
        .seed(9)
        .build()
        .unwrap();
    let theta = numbers(model.parameters().as_slice().len());
    model.set_theta(&theta).unwrap();
    model
}

fn scaler() -> Scaler<f64> {
    let factors = [0.5, 1.0, 2.0, 4.0, 0.75];
    Scaler::new(&numbers(INPUT), &factors, &[0.0, 0.25, 0.5, -1.0, -0.0]).unwrap()
}

fn detector() -> AnomalyDetector<f64> {
    let model = model([INPUT, 3], Activation::Relu);
    let scores = [0.5, 0.125, 2.0, 1.0, 0.25];
    AnomalyDetector::from_scores(&model, &scaler(), &scores, Threshold::FalseAlarmRate(0.25))
        .unwrap()
}

fn imputer(marked: &[usize]) -> Imputer<f64> {
    Imputer::new(&numbers(INPUT), marked).unwrap()
}

fn stack() -> Stack<f64> {
    let outer = model([INPUT, 3], Activation::Relu);
    Stack::new(vec![outer, model([3, 2], Activation::TopK(1))]).unwrap()
}

fn classifier() -> SoftmaxClassifier<f64> {
    let mut head = SoftmaxClassifier::new(3, 4).unwrap();
    let theta = numbers(head.theta().len());
    head.set_theta(&theta).unwrap();
    let head = head.with_weight_decay(0.5).unwrap();
    head.on_top_of(&[model([INPUT, 3], Activation::Relu)])
        .unwrap()
}

#[test]
fn detectors_are_loaded_and_written_so_again() {
    assert_written_so("detector", &detector());
    assert_same_detector(&load("detector"), &detector());
    let imputing = detector().with_imputer(imputer(&[])).unwrap();
    assert_written_so("imputing_detector", &imputing);
    assert_same_detector(&load("imputing_detector"), &imputing);
}

#[test]
fn stacks_and_classifiers_are_loaded_and_written_so_again() {
    assert_written_so("stack", &stack());
    assert_same_stack(&load("stack"), &stack());
    assert_written_so("classifier", &classifier());
    assert_same_classifier(&load("classifier"), &classifier());
}

#[test]
fn scalers_and_imputers_are_loaded_and_written_so_again() {
    assert_written_so("scaler", &scaler());
    assert_same_scaler(&load("scaler"), &scaler());
    assert_written_so("imputer", &imputer(&[1, 4]));
    assert_eq!(load::<Imputer<f64>>("imputer"), imputer(&[1, 4]));
}

/// The results of the code that wrote the file. Another processor may add in another order.
#[test]
fn ensembles_are_loaded_and_written_so_again() {
    let ensemble: AnomalyEnsemble<f32> = load("ensemble");
    assert_written_so("ensemble", &ensemble);
    assert_eq!(ensemble.constant_features().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(ensemble.missing_values(), MissingValues::Impute);
    assert_eq!(ensemble.calibration_samples(), 200);
    let mut samples = DMatrix::from_fn(INPUT, 3, |i, j| ((i + 2 * j) % 5) as f32 / 4.0);
    samples[(4, 2)] = f32::NAN;
    samples.rows_mut(1, 3).fill(0.5);
    let scores = ensemble.scores(&samples).unwrap();
    let p_values = ensemble.p_values(&samples).unwrap();
    for (score, expected) in scores.iter().zip([17.938_175, 1.548_497_9, 3.108_482_4]) {
        assert_relative_eq!(*score, expected, max_relative = 1e-4);
    }
    for (p, rank) in p_values.iter().zip([1.0, 35.0, 13.0]) {
        assert!((201.0 * p - rank).abs() < 1.5, "{p}");
    }
    samples.row_mut(2).fill(0.25);
    let changed = ensemble.scores(&samples).unwrap();
    assert!(changed > scores.add_scalar(10.0), "{changed}");
}

/// The fuzzer starts from whole files.
#[test]
fn seeds_of_the_fuzzer_are_files_of_this_version() {
    fn loads<S: Stored>(name: &str) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/tensors");
        let loaded = files::load::<S>(seeds.join(name));
        loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    loads::<SparseAutoencoder<f32>>("own-model");
    loads::<AnomalyDetector<f32>>("own-detector");
    loads::<AnomalyEnsemble<f32>>("own-ensemble");
    loads::<SoftmaxClassifier<f32>>("own-classifier");
    loads::<Stack<f32>>("own-stack");
    loads::<Scaler<f32>>("own-scaler");
    loads::<Imputer<f32>>("own-imputer");
}
