//! Damaged configurations of published models.

use super::*;
use common::cases::{Rng, check};
use rand::RngExt;
use sparse_autoencoder::Error;
use sparse_autoencoder::files::{dictionary_learning, llama_scope, sae_lens, sparsify};
use std::fs;
use std::path::Path;

/// Folders with a configuration, and what loads them.
type Load = fn(&Path) -> Result<(), Error>;
const FOLDERS: [(&str, &str, Load); 6] = [
    ("sae_lens/topk_rescaled", "cfg.json", |path| {
        sae_lens::load::<f64>(path).map(|_| ())
    }),
    ("sae_lens/legacy_topk", "cfg.json", |path| {
        sae_lens::load::<f64>(path).map(|_| ())
    }),
    ("sparsify/expansion", "cfg.json", |path| {
        sparsify::load::<f64>(path).map(|_| ())
    }),
    ("llama_scope/jumprelu", "hyperparams.json", |path| {
        llama_scope::load::<f64>(path).map(|_| ())
    }),
    ("gemma_scope/second", "config.json", |path| {
        gemma_scope::load::<f64>(path).map(|_| ())
    }),
    ("dictionary_learning/top_k", "config.json", |path| {
        dictionary_learning::load::<f64>(path).map(|_| ())
    }),
];

#[test]
fn a_damaged_configuration_is_an_error_or_another_model() {
    let draw = |rng: &mut Rng| (rng.random_range(0..FOLDERS.len()), damages(rng));
    check(256, draw, |(index, damages)| {
        let (folder, config, load) = FOLDERS[index];
        let scratch =
            std::env::temp_dir().join(format!("sparse-autoencoder-damaged-{}", std::process::id()));
        copy(&fixture(folder), &scratch);
        assert_eq!(load(&scratch), Ok(()));
        let mut bytes = fs::read(scratch.join(config)).unwrap();
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        fs::write(scratch.join(config), &bytes).unwrap();
        let (_, most) = measured(|| load(&scratch));
        fs::remove_dir_all(&scratch).unwrap();
        assert!(most < ALLOWANCE, "{most} bytes");
    });
}
