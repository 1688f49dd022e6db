//! Reads arbitrary bytes as tensors and as models, detectors, ensembles, stacks, classifiers, scalers, and imputers:
//! safetensors, npz, npy.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sparse_autoencoder::files::dictionary_learning::{self, Dictionary};
use sparse_autoencoder::files::{self, TensorFile, gemma_scope};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    AnomalyDetector, AnomalyEnsemble, Imputer, Scaler, SoftmaxClassifier, SparseAutoencoder, Stack,
};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzz-tensors-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    if let Ok(mut file) = TensorFile::open(&path) {
        let names: Vec<String> = file.names().map(str::to_owned).collect();
        for name in names {
            if let Ok(samples) = file.samples::<f32>(&name) {
                assert!(!samples.iter().any(|value| value.is_infinite()));
            }
        }
    }
    let models = [
        files::load::<SparseAutoencoder<f32>>(&path),
        gemma_scope::load::<f32>(&path),
        dictionary_learning::load_as::<f32>(&path, Dictionary::AutoEncoder),
        dictionary_learning::load_as::<f32>(&path, Dictionary::BatchTopKSae),
    ];
    for loaded in models.into_iter().flatten() {
        works(&loaded.model);
    }
    if let Ok(loaded) = files::load::<AnomalyDetector<f32>>(&path) {
        let detector = loaded.model;
        works(detector.model());
        assert!(detector.threshold().is_finite());
        let p_values = detector.p_values(zeros(detector.scaler().features()));
        assert!(p_values.unwrap().iter().all(|&p| p > 0.0 && p <= 1.0));
    }
    if let Ok(loaded) = files::load::<AnomalyEnsemble<f32>>(&path) {
        let ensemble = loaded.model;
        let samples = zeros(ensemble.features());
        let p_values = ensemble.p_values(&samples).unwrap();
        assert!(p_values.iter().all(|&p| p > 0.0 && p <= 1.0));
        ensemble.contributions(&samples).unwrap();
    }
    if let Ok(loaded) = files::load::<Stack<f32>>(&path) {
        loaded.model.layers().iter().for_each(works);
    }
    if let Ok(loaded) = files::load::<SoftmaxClassifier<f32>>(&path) {
        let classifier = loaded.model;
        classifier.predict(zeros(classifier.features())).unwrap();
    }
    if let Ok(loaded) = files::load::<Scaler<f32>>(&path) {
        let scaled = loaded.model.apply(zeros(loaded.model.features()));
        assert!(scaled.unwrap().iter().all(|value| value.is_finite()));
    }
    if let Ok(loaded) = files::load::<Imputer<f32>>(&path) {
        let imputed = loaded.model.apply(zeros(loaded.model.features()));
        assert!(imputed.unwrap().iter().all(|value| value.is_finite()));
    }
});

fn zeros(features: usize) -> DMatrix<f32> {
    DMatrix::zeros(features, 2)
}

/// Checks that a loaded model is finite and reconstructs samples.
fn works(model: &SparseAutoencoder<f32>) {
    assert!(
        model
            .parameters()
            .as_slice()
            .iter()
            .all(|value| value.is_finite())
    );
    model
        .reconstruct(zeros(model.layout().input_size()))
        .unwrap();
}
