//! Files that the libraries of their formats have written (`interop/make_fixtures.py`): a loaded
//! model encodes and decodes as the original does.

mod publishing;

use std::fs;
use std::path::{Path, PathBuf};

use sparse_autoencoder::files::dictionary_learning::{self, Dictionary};
use sparse_autoencoder::files::{
    self, Loaded, Note, TensorFile, gemma_scope, llama_scope, sae_lens, sparsify,
};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Activation, Error, Real, SparseAutoencoder};

use crate::common::scratch::Scratch;

const TOLERANCE: f64 = 1e-5;

fn fixtures(project: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files/interop/fixtures")
        .join(project)
}

impl Scratch {
    /// A copy of the files of a fixture, to be changed.
    pub(crate) fn copy_of(project: &str, case: &str, name: &str) -> Self {
        let scratch = Self::new(name);
        copy(&fixtures(project).join(case), &scratch.0);
        scratch
    }

    pub(crate) fn replace(&self, file: &str, old: &str, new: &str) {
        let path = self.0.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{text}");
        fs::write(path, text.replace(old, new)).unwrap();
    }
}

/// Copies a folder and those in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub(crate) fn assert_close<T: Real>(what: &str, actual: &DMatrix<T>, expected: &DMatrix<T>) {
    assert_eq!(actual.shape(), expected.shape(), "{what}");
    for (index, (a, e)) in actual.iter().zip(expected.iter()).enumerate() {
        let (a, e) = (a.to_f64(), e.to_f64());
        assert!(
            (a - e).abs() <= TOLERANCE * e.abs().max(1.0),
            "{what}: {a} at {index}, expected {e}"
        );
    }
}

/// Compares a model with what the original library made of the same samples.
pub(crate) fn assert_as_original<T: Real>(what: &str, model: &SparseAutoencoder<T>, folder: &Path) {
    let mut expected = TensorFile::open(folder.join("expected.safetensors")).unwrap();
    let mut read = |name| expected.samples::<T>(name).unwrap();
    let (samples, hidden, reconstructions) =
        (read("samples"), read("hidden"), read("reconstructions"));
    assert_close(what, &model.encode(&samples).unwrap(), &hidden);
    let mut decoded = model.decode(&hidden).unwrap();
    if let Some(skip) = model.parameters().skip() {
        decoded += skip * &samples;
    }
    assert_close(what, &decoded, &reconstructions);
    assert_close(
        what,
        &model.reconstruct(&samples).unwrap(),
        &reconstructions,
    );
}

/// Loads every fixture of a project in both scalars.
fn each_case(
    project: &str,
    cases: usize,
    single: impl Fn(&Path) -> Result<Loaded<SparseAutoencoder<f32>>, Error>,
    double: impl Fn(&Path) -> Result<Loaded<SparseAutoencoder<f64>>, Error>,
) {
    let mut seen = 0;
    for entry in fs::read_dir(fixtures(project)).unwrap() {
        let folder = entry.unwrap().path();
        let case = folder.display().to_string();
        let model = single(&folder)
            .unwrap_or_else(|error| panic!("{case}: {error}"))
            .model;
        assert_as_original(&case, &model, &folder);
        assert_as_original(&case, &double(&folder).unwrap().model, &folder);
        seen += 1;
    }
    assert_eq!(seen, cases, "{project}");
}

#[test]
fn sae_lens_is_read() {
    each_case(
        "sae_lens",
        27,
        |path| sae_lens::load(path),
        |path| sae_lens::load(path),
    );
}

#[test]
fn sparsify_is_read() {
    each_case(
        "sparsify",
        4,
        |path| sparsify::load(path),
        |path| sparsify::load(path),
    );
}

#[test]
fn gemma_scope_is_read() {
    each_case(
        "gemma_scope",
        4,
        |path| gemma_scope::load(path),
        |path| gemma_scope::load(path),
    );
}

#[test]
fn llama_scope_is_read() {
    each_case(
        "llama_scope",
        1,
        |path| llama_scope::load(path),
        |path| llama_scope::load(path),
    );
}

#[test]
fn dictionary_learning_is_read() {
    each_case(
        "dictionary_learning",
        8,
        |path| dictionary_learning::load(path),
        |path| dictionary_learning::load(path),
    );
}

#[test]
fn notes_say_what_is_left_to_the_caller() {
    let notes = |case: &str| {
        sae_lens::load::<f32>(fixtures("sae_lens").join(case))
            .unwrap()
            .notes
    };
    assert_eq!(notes("standard"), []);
    let transformation = "expected_average_only_in".to_owned();
    assert_eq!(
        notes("standard_average_norm"),
        [Note::TransformedSamples { transformation }]
    );
    let unset = fixtures("dictionary_learning").join("batch_top_k_unset");
    let loaded = dictionary_learning::load::<f32>(unset).unwrap();
    assert_eq!(loaded.notes, [Note::ThresholdNotSet]);
}

/// The message of an error of the kind `Unsupported`.
pub(crate) fn unsupported<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(error @ Error::Unsupported { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn malformed<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(error @ Error::Malformed { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_no_counterpart_is_named() {
    let changes = [
        ("\"none\"", "\"layer_norm\"", "layer_norm"),
        (
            "\"none\"",
            "\"constant_norm_rescale\"",
            "constant_norm_rescale",
        ),
        ("\"standard\"", "\"matching_pursuit\"", "matching_pursuit"),
        ("\"standard\"", "\"temporal\"", "temporal"),
    ];
    for (old, new, named) in changes {
        let scratch = Scratch::copy_of("sae_lens", "standard", named);
        scratch.replace("cfg.json", old, new);
        let message = unsupported(sae_lens::load::<f32>(&scratch.0));
        assert!(message.contains(named), "{message}");
    }
    let scratch = Scratch::copy_of("sae_lens", "legacy_standard", "tanh");
    scratch.replace("cfg.json", "\"relu\"", "\"tanh-relu\"");
    assert!(unsupported(sae_lens::load::<f32>(&scratch.0)).contains("tanh-relu"));

    let scratch = Scratch::copy_of("sparsify", "topk", "groupmax");
    scratch.replace(
        "cfg.json",
        "\"activation\": \"topk\"",
        "\"activation\": \"groupmax\"",
    );
    assert!(unsupported(sparsify::load::<f32>(&scratch.0)).contains("groupmax"));
    let scratch = Scratch::copy_of("sparsify", "topk", "skip");
    let [no, yes] = ["false", "true"].map(|flag| format!("\"skip_connection\": {flag}"));
    scratch.replace("cfg.json", &no, &yes);
    assert!(unsupported(sparsify::load::<f32>(&scratch.0)).contains("skip_connection"));

    // Thresholds that would be ignored.
    let scratch = Scratch::copy_of("sae_lens", "jumprelu", "ignored");
    scratch.replace("cfg.json", "\"jumprelu\"", "\"standard\"");
    assert!(unsupported(sae_lens::load::<f32>(&scratch.0)).contains("the tensor threshold"));
    let scratch = Scratch::copy_of("sae_lens", "legacy_scaling_factor", "factor");
    let [yes, no] = ["true", "false"].map(|flag| format!("\"finetuning_scaling_factor\": {flag}"));
    scratch.replace("cfg.json", &yes, &no);
    assert!(malformed(sae_lens::load::<f32>(&scratch.0)).contains("scaling_factor"));
}

#[test]
fn a_configuration_that_contradicts_the_weights_is_refused() {
    let scratch = Scratch::copy_of("sae_lens", "topk", "sizes");
    scratch.replace("cfg.json", "\"d_sae\": 16", "\"d_sae\": 17");
    assert!(malformed(sae_lens::load::<f32>(&scratch.0)).contains("d_sae is 17"));
    let scratch = Scratch::copy_of("sae_lens", "topk", "k");
    scratch.replace("cfg.json", "\"k\": 3", "\"k\": \"three\"");
    assert!(malformed(sae_lens::load::<f32>(&scratch.0)).contains("k must be a whole number"));
    let scratch = Scratch::copy_of("sae_lens", "topk", "large-k");
    scratch.replace("cfg.json", "\"k\": 3", "\"k\": 17");
    assert!(malformed(sae_lens::load::<f32>(&scratch.0)).contains("k of TopK"));
    let scratch = Scratch::copy_of("sparsify", "topk", "latents");
    scratch.replace("cfg.json", "\"num_latents\": 16", "\"num_latents\": 17");
    malformed(sparsify::load::<f32>(&scratch.0));
}

#[test]
fn a_pickle_is_refused_with_the_way_to_convert_it() {
    let scratch = Scratch::new("pickle");
    let path = scratch.0.join("ae.pt");
    // As `torch.save` begins, before version 1.6.
    fs::write(&path, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
    let message = unsupported(dictionary_learning::load_as::<f32>(
        &path,
        Dictionary::AutoEncoder,
    ));
    assert!(message.contains("safetensors.torch.save_file"), "{message}");
    let folder = dictionary_learning::load_as::<f32>(&scratch.0, Dictionary::AutoEncoder);
    assert!(unsupported(folder).contains("safetensors.torch.save_file"));
}

#[test]
fn gated_units_stay_gated() {
    let folders = [
        ("sae_lens", "gated"),
        ("sae_lens", "legacy_gated"),
        ("dictionary_learning", "gated"),
    ];
    for (project, case) in folders {
        let folder = fixtures(project).join(case);
        let loaded = match project {
            "sae_lens" => sae_lens::load::<f64>(&folder),
            _ => dictionary_learning::load(&folder),
        };
        let model = loaded.unwrap().model;
        assert_eq!(model.hidden_activations(), [Activation::Gated]);
        let scratch = Scratch::new(&format!("stay-{project}-{case}"));
        sae_lens::save(&model, &scratch.0).unwrap();
        let again = sae_lens::load::<f64>(&scratch.0).unwrap().model;
        assert_eq!(again.hidden_activations(), [Activation::Gated]);
        assert_eq!(again.parameters(), model.parameters());
        assert_as_original(case, &again, &folder);
    }
}

/// The BatchTopK dictionaries of <https://github.com/Theosdoor/list-comp>, on the activations of a
/// toy transformer (`interop/make_activations.py`): L0 and FVU as `reference_eval.json` has them, by
/// threshold and by k.
#[test]
#[ignore = "needs the folder PUBLISHED_SAES with the published files, and with their activations"]
fn published_dictionaries_have_their_published_sparsity_and_error() {
    let root = PathBuf::from(std::env::var("PUBLISHED_SAES").expect("PUBLISHED_SAES is a folder"));
    let text = fs::read(root.join("reference_eval.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let activations = TensorFile::open(root.join("activations.safetensors"));
    let activations = activations.unwrap().samples::<f64>("activations").unwrap();
    for (name, expected) in reference.as_object().unwrap() {
        let path = root.join(name).with_extension("safetensors");
        let mut file = TensorFile::open(&path).unwrap();
        let mean = file.samples::<f64>("act_mean").unwrap();
        let mut samples = activations.clone();
        for mut sample in samples.column_iter_mut() {
            sample -= &mean;
        }
        for (dictionary, kind) in [
            (Dictionary::BatchTopKSae, "thresh"),
            (Dictionary::AutoEncoderTopK, "topk"),
        ] {
            let loaded = dictionary_learning::load_as::<f64>(&path, dictionary).unwrap();
            let transformation = "subtracting act_mean".to_owned();
            let note = Note::TransformedSamples { transformation };
            assert!(loaded.notes.contains(&note), "{:?}", loaded.notes);
            let model = loaded.model;
            let hidden = model.encode(&samples).unwrap();
            let active = hidden.iter().filter(|&&h| h != 0.0).count();
            let l0 = f64::of_count(active) / f64::of_count(samples.ncols());
            let error = (model.decode(&hidden).unwrap() - &samples).norm_squared();
            let mean = samples.column_mean();
            let mut centered = samples.clone();
            for mut sample in centered.column_iter_mut() {
                sample -= &mean;
            }
            let variance = centered.norm_squared();
            for (what, value) in [("l0", l0), ("fvu", error / variance)] {
                let expected = expected[format!("{what}_{kind}")].as_f64().unwrap();
                println!("{name} {what}_{kind}: {value}, published {expected}");
                assert!(
                    (value - expected).abs() <= 1e-4 * expected.max(1.0),
                    "{name} {what}_{kind}: {value}, published {expected}"
                );
            }
        }
    }
}
