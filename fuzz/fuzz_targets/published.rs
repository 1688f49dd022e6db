//! Loads an arbitrary configuration and arbitrary weights as a folder of each published layout.
//!
//! The input is the configuration, a zero byte, and the file of weights.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sparse_autoencoder::files::{
    dictionary_learning, gemma_scope, llama_scope, sae_lens, sparsify,
};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    let (config, weights) = bytes.split_at(end);
    let weights = weights.get(1..).unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("fuzz-published-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("checkpoints")).unwrap();
    for name in ["cfg.json", "config.json", "hyperparams.json"] {
        std::fs::write(folder.join(name), config).unwrap();
    }
    for name in [
        "sae_weights.safetensors",
        "sae.safetensors",
        "params.safetensors",
        "ae.safetensors",
        "checkpoints/final.safetensors",
    ] {
        std::fs::write(folder.join(name), weights).unwrap();
    }
    let models = [
        sae_lens::load::<f32>(&folder),
        sparsify::load::<f32>(&folder),
        gemma_scope::load::<f32>(&folder),
        llama_scope::load::<f32>(&folder),
        dictionary_learning::load::<f32>(&folder),
    ];
    for model in models.into_iter().flatten().map(|loaded| loaded.model) {
        let samples = sparse_autoencoder::nalgebra::DMatrix::zeros(model.layout().input_size(), 2);
        model.reconstruct(&samples).unwrap();
    }
});
