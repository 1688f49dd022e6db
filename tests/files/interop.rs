//! Files that the libraries of their formats have written (`interop/make_fixtures.py`): a loaded
//! model encodes and decodes as the original does.

use std::fs;
use std::path::{Path, PathBuf};

use sparse_autoencoder::format::dictionary_learning::{self, Dictionary};
use sparse_autoencoder::format::{
    self, Loaded, Note, Number, TensorFile, gemma_scope, llama_scope, sae_lens, sparsify,
};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Activation, Error, Layout, Real, SparseAutoencoder};

use crate::common::variants::ACTIVATIONS;

const TOLERANCE: f64 = 1e-5;

fn fixtures(project: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files/interop/fixtures")
        .join(project)
}

/// A folder of this test's own, which is gone when the test ends.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("sparse-autoencoder-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

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

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
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
    assert_close(what, &model.decode(&hidden).unwrap(), &reconstructions);
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
    single: impl Fn(&Path) -> Result<Loaded<f32>, Error>,
    double: impl Fn(&Path) -> Result<Loaded<f64>, Error>,
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
        21,
        |path| sae_lens::load(path),
        |path| sae_lens::load(path),
    );
}

#[test]
fn sparsify_is_read() {
    each_case(
        "sparsify",
        3,
        |path| sparsify::load(path),
        |path| sparsify::load(path),
    );
}

#[test]
fn gemma_scope_is_read() {
    each_case(
        "gemma_scope",
        3,
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
        ("\"standard\"", "\"skip_transcoder\"", "skip_transcoder"),
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
    let error = sae_lens::load::<f32>(&scratch.0).unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { .. }), "{error}");
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

/// A model without a zero anywhere.
fn model<T: Real>(activation: Activation, centered: bool) -> SparseAutoencoder<T> {
    let mut model = SparseAutoencoder::builder()
        .layers([8, 16])
        .hidden_activation(activation)
        .output_activation(Activation::Identity)
        .pre_encoder_bias(centered)
        .penalty(())
        .seed(5)
        .build()
        .unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    for (index, value) in theta.iter_mut().enumerate() {
        *value += T::of(0.3 * (f64::of_count(index) * 0.7).sin());
    }
    model.set_theta(&theta).unwrap();
    model
}

fn samples<T: Real>() -> DMatrix<T> {
    DMatrix::from_fn(8, 20, |i, j| {
        T::of((f64::of_count(i * 20 + j) * 1.3).sin() * 1.5)
    })
}

/// Models of every activation, and the folders where `check_saved.py` looks for those that can be published.
fn models<T: Real>() -> impl Iterator<Item = (String, SparseAutoencoder<T>)> {
    let both = |&f: &Activation| {
        [("", true), ("_uncentered", false)]
            .map(|(ending, centered)| (format!("{f:?}{ending}"), model(f, centered)))
    };
    ACTIVATIONS.iter().flat_map(both)
}

/// Whether the forms of files have a place for these units: they are positive and unbounded.
fn is_published<T: Real>(model: &SparseAutoencoder<T>) -> bool {
    let activation = model.hidden_activations()[0];
    activation.is_non_negative() && activation.range().is_none()
}

#[test]
fn what_is_saved_is_loaded_again() {
    let scratch = Scratch::new("again");
    let mut published = 0;
    for (name, model) in models::<f32>() {
        let folder = scratch.0.join(&name);
        if !is_published(&model) {
            unsupported(sae_lens::save(&model, &folder));
            continue;
        }
        published += 1;
        sae_lens::save(&model, &folder).unwrap();
        let again = sae_lens::load::<f32>(&folder).unwrap();
        assert_eq!(again.notes, []);
        // A threshold of all units becomes one of each.
        let before = Layout::new(&[8, 16], false).unwrap().len();
        let learned = |model: &SparseAutoencoder<f32>| {
            let theta = model.parameters().as_slice();
            match model.layout().len() - before {
                1 => theta[..before].to_vec(),
                _ => theta.to_vec(),
            }
        };
        let learned = learned(&model);
        let loaded = &again.model.parameters().as_slice()[..learned.len()];
        assert_eq!(loaded, learned, "{name}");
        let hidden = model.encode(&samples()).unwrap();
        assert_eq!(again.model.encode(&samples()).unwrap(), hidden, "{name}");
        assert_eq!(again.model.decode(&hidden), model.decode(&hidden), "{name}");
    }
    assert!(published >= 7 * 2, "{published}");
    let mut published = 0;
    for (name, model) in models::<f64>() {
        let folder = scratch.0.join("sparsify").join(&name);
        if !is_published(&model) || model.hidden_activations()[0].kept(16).is_none() {
            unsupported(sparsify::save(&model, &folder));
            continue;
        }
        published += 1;
        sparsify::save(&model, &folder).unwrap();
        let again = sparsify::load::<f64>(&folder).unwrap().model;
        let hidden = model.encode(&samples()).unwrap();
        assert_close(&name, &again.encode(&samples()).unwrap(), &hidden);
        let decoded = again.decode(&hidden).unwrap();
        assert_close(&name, &decoded, &model.decode(&hidden).unwrap());
    }
    assert!(published >= 2 * 2, "{published}");
}

/// Saves a model in the form of a project, `None` where that has no place for it.
type Save = fn(&SparseAutoencoder<f32>, &Path) -> Option<()>;

/// The other projects, by a name for a folder.
const OTHERS: [(&str, Save); 4] = [
    ("gemma_scope", |model, folder| {
        gemma_scope::save(model, folder).ok()
    }),
    ("gemma_scope_2", |model, folder| {
        gemma_scope::save_second(model, folder).ok()
    }),
    ("llama_scope", |model, folder| {
        llama_scope::save(model, folder).ok()
    }),
    ("dictionary_learning", |model, folder| {
        dictionary_learning::save(model, folder).ok().map(drop)
    }),
];

#[test]
fn what_is_saved_for_other_projects_is_loaded_again() {
    let scratch = Scratch::new("others");
    let mut counts = [0; OTHERS.len()];
    for (name, model) in models::<f32>() {
        for ((project, save), count) in OTHERS.into_iter().zip(&mut counts) {
            let folder = scratch.0.join(project).join(&name);
            if save(&model, &folder).is_none() {
                assert!(!folder.exists(), "{project}, {name}");
                continue;
            }
            *count += 1;
            assert!(is_published(&model), "{project}, {name}");
            let again = match project {
                "llama_scope" => llama_scope::load::<f32>(&folder),
                "dictionary_learning" => dictionary_learning::load::<f32>(&folder),
                _ => gemma_scope::load::<f32>(&folder),
            };
            let again = again.unwrap();
            assert_eq!(again.notes, []);
            let hidden = model.encode(&samples()).unwrap();
            let encoded = again.model.encode(&samples()).unwrap();
            assert_close(&name, &encoded, &hidden);
            let decoded = again.model.decode(&hidden).unwrap();
            assert_close(&name, &decoded, &model.decode(&hidden).unwrap());
        }
    }
    // Two kinds are of ReLU units, one has thresholds, and one has a single threshold; each of both centers.
    assert!(
        counts
            .iter()
            .zip([8, 8, 6, 14])
            .all(|(count, least)| *count >= least),
        "{counts:?}"
    );
}

#[test]
fn a_dictionary_of_batch_top_k_keeps_its_k() {
    let scratch = Scratch::new("k");
    let saved = model::<f64>(Activation::BatchTopK(3), true);
    let dictionary = dictionary_learning::save(&saved, &scratch.0).unwrap();
    assert_eq!(dictionary, Dictionary::BatchTopKSae);
    let again = dictionary_learning::load::<f64>(&scratch.0).unwrap().model;
    assert_eq!(again.hidden_activations(), [Activation::BatchTopK(3)]);
    assert_eq!(again.parameters(), saved.parameters());
}

#[test]
fn numbers_are_narrowed_and_whole_ones_kept() {
    let scratch = Scratch::new("narrow");
    let saved = model::<f64>(Activation::TopK(3), true);
    dictionary_learning::save(&saved, &scratch.0).unwrap();
    let weights = scratch.0.join("ae.safetensors");
    let length = || fs::metadata(&weights).unwrap().len();
    let whole = length();
    for (number, precision, bytes) in [
        (Number::F32, 1e-7, 4),
        (Number::F16, 1e-3, 2),
        (Number::F64, 1e-3, 8),
        (Number::BF16, 1e-2, 2),
    ] {
        format::convert(&weights, &weights, number).unwrap();
        // The parameters and a threshold; the header is a few bytes longer or shorter.
        let numbers = saved.parameters().as_slice().len() as u64 + 1;
        assert!(whole.abs_diff(length()).abs_diff(numbers * (8 - bytes)) < 32);
        let again = dictionary_learning::load::<f64>(&scratch.0).unwrap().model;
        assert_eq!(again.hidden_activations(), [Activation::TopK(3)]);
        let pairs = again
            .parameters()
            .as_slice()
            .iter()
            .zip(saved.parameters().as_slice());
        assert!(
            pairs
                .clone()
                .all(|(a, b)| (a - b).abs() <= precision * b.abs().max(1e-4))
        );
        assert!(pairs.clone().any(|(a, b)| (a - b).abs() > 0.0));
    }
    let mut large = model::<f64>(Activation::TopK(3), true);
    let mut theta = large.parameters().as_slice().to_vec();
    theta[5] = 7e4;
    large.set_theta(&theta).unwrap();
    dictionary_learning::save(&large, &scratch.0).unwrap();
    let before = fs::read(&weights).unwrap();
    let error = unsupported(format::convert(&weights, &weights, Number::F16));
    assert!(
        error.contains("70000") && error.contains("too large"),
        "{error}"
    );
    assert_eq!(fs::read(&weights).unwrap(), before);
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

#[test]
fn the_place_in_a_network_is_saved_for_sae_lens() {
    let scratch = Scratch::new("place");
    let place = [
        ("hook_name", "blocks.8.hook_resid_pre"),
        ("sae_lens_version", "1"),
    ];
    sae_lens::save_with(&model::<f32>(Activation::TopK(3), true), &scratch.0, &place).unwrap();
    let text = fs::read(scratch.0.join("cfg.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(config["metadata"]["hook_name"], "blocks.8.hook_resid_pre");
    // Or the file would be read by the rules of another generation.
    assert_eq!(config["metadata"]["sae_lens_version"], "6.0.0");
    assert_eq!(sae_lens::load::<f32>(&scratch.0).unwrap().notes, []);
}

#[test]
fn a_model_without_a_place_in_the_files_is_not_saved() {
    let scratch = Scratch::new("no-place");
    let builder = SparseAutoencoder::<f32>::builder().layers([8, 16]);
    let sigmoid = builder
        .clone()
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    assert!(unsupported(sae_lens::save(&sigmoid, &scratch.0)).contains("Sigmoid"));
    let output = builder
        .clone()
        .hidden_activation(Activation::TopK(2))
        .build()
        .unwrap();
    assert!(unsupported(sae_lens::save(&output, &scratch.0)).contains("output activation"));
    let deep = builder.layers([8, 16, 4]).build().unwrap();
    assert!(unsupported(sparsify::save(&deep, &scratch.0)).contains("2 hidden layers"));
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

/// Writes models for `check_saved.py`, which loads them by the original libraries.
#[test]
#[ignore = "writes into the folder INTEROP_SAVED, for interop/check_saved.py"]
fn save_for_the_original_libraries() {
    let root = PathBuf::from(std::env::var("INTEROP_SAVED").expect("INTEROP_SAVED is a folder"));
    for (name, model) in models::<f32>() {
        let first: [(&str, Save); 2] = [
            ("sae_lens", |model, folder| {
                sae_lens::save(model, folder).ok()
            }),
            ("sparsify", |model, folder| {
                sparsify::save(model, folder).ok()
            }),
        ];
        for (project, save) in first.into_iter().chain(OTHERS) {
            let folder = root.join(project).join(&name);
            if save(&model, &folder).is_none() {
                continue; // no place for it
            }
            let hidden = model.encode(&samples()).unwrap();
            let reconstructions = model.decode(&hidden).unwrap();
            for (file, matrix) in [
                ("samples", &samples()),
                ("hidden", &hidden),
                ("reconstructions", &reconstructions),
            ] {
                let bytes: Vec<u8> = matrix
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                fs::write(folder.join(file).with_extension("f32"), bytes).unwrap();
            }
        }
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
