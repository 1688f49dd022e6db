//! Reads arbitrary bytes as tensors and as models: safetensors, npz, npy.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sparse_autoencoder::SparseAutoencoder;
use sparse_autoencoder::files::dictionary_learning::{self, Dictionary};
use sparse_autoencoder::files::{self, TensorFile, gemma_scope};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzz-tensors-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    if let Ok(mut file) = TensorFile::open(&path) {
        let names: Vec<String> = file.names().map(str::to_owned).collect();
        for name in names {
            if let Ok(samples) = file.samples::<f32>(&name) {
                assert!(samples.iter().all(|value| value.is_finite()));
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
});

/// Checks that a loaded model is finite and reconstructs samples.
fn works(model: &SparseAutoencoder<f32>) {
    assert!(
        model
            .parameters()
            .as_slice()
            .iter()
            .all(|value| value.is_finite())
    );
    let samples = sparse_autoencoder::nalgebra::DMatrix::zeros(model.layout().input_size(), 2);
    model.reconstruct(&samples).unwrap();
}
