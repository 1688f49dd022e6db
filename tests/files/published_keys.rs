//! Every key of a published configuration and every tensor is used, refused by name, known to have no
//! effect, or reported.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sparse_autoencoder::files::{
    Loaded, Note, TensorFile, dictionary_learning, gemma_scope, llama_scope, sae_lens, sparsify,
};
use sparse_autoencoder::{Activation, Error, SparseAutoencoder};

use crate::common::scratch::Scratch;
use crate::edited::edit;
use crate::interop::{assert_as_original, assert_close, copy, malformed, unsupported};

/// A project's folder of cases, and its loader.
pub(crate) type Project = (
    &'static str,
    fn(&Path) -> Result<Loaded<SparseAutoencoder<f64>>, Error>,
);

pub(crate) const PROJECTS: [Project; 6] = [
    ("fixtures/sae_lens", |path| sae_lens::load(path)),
    ("fixtures/sparsify", |path| sparsify::load(path)),
    ("fixtures/gemma_scope", |path| gemma_scope::load(path)),
    ("fixtures/llama_scope", |path| llama_scope::load(path)),
    ("formulas/llama_scope", |path| llama_scope::load(path)),
    ("fixtures/dictionary_learning", |path| {
        dictionary_learning::load(path)
    }),
];

const CONFIGS: [&str; 3] = ["cfg.json", "config.json", "hyperparams.json"];
const WEIGHTS: [&str; 5] = [
    "sae_weights.safetensors",
    "sae.safetensors",
    "ae.safetensors",
    "params.safetensors",
    "checkpoints/final.safetensors",
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/interop")
}

/// Calls `each` with the loader and the folder of every case of every project.
fn each_case(mut each: impl FnMut(&str, Project, &Path)) {
    let mut cases = 0;
    for project in PROJECTS {
        for entry in fs::read_dir(root().join(project.0)).unwrap() {
            let folder = entry.unwrap().path();
            let case = folder.file_name().unwrap().to_str().unwrap();
            each(&format!("{}/{case}", project.0), project, &folder);
            cases += 1;
        }
    }
    assert!(cases > 50, "{cases}");
    // No project is left out.
    for kind in ["fixtures", "formulas"] {
        for entry in fs::read_dir(root().join(kind)).unwrap() {
            let name = entry.unwrap().file_name();
            let name = format!("{kind}/{}", name.to_str().unwrap());
            assert!(PROJECTS.iter().any(|(project, _)| *project == name));
        }
    }
}

/// A copy of a case, to be changed.
pub(crate) fn changed(case: &str, folder: &Path) -> Scratch {
    let scratch = Scratch::new(&format!("keys-{}", case.replace('/', "-")));
    copy(folder, &scratch.0);
    scratch
}

fn existing<const N: usize>(folder: &Path, names: [&str; N]) -> Option<PathBuf> {
    let mut paths = names.into_iter().map(|name| folder.join(name));
    paths.find(|path| path.exists())
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Puts an unknown key into an object and those within it; returns their names.
fn add_unknown(prefix: &str, fields: &mut Map<String, Value>) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in &mut *fields {
        if let Value::Object(inner) = value {
            names.extend(add_unknown(&format!("{prefix}{key}."), inner));
        }
    }
    fields.insert("unheard_of".into(), json!([1, 2]));
    names.push(format!("{prefix}unheard_of"));
    names
}

fn unknown(notes: &[Note]) -> Vec<String> {
    let unknown = notes.iter().filter_map(|note| match note {
        Note::UnknownKey { key } => Some(key.clone()),
        Note::UnusedTensor { name } => Some(name.clone()),
        _ => None,
    });
    let mut names: Vec<String> = unknown.collect();
    names.sort();
    names
}

#[test]
fn what_is_not_known_is_in_the_notes() {
    let (mut configs, mut weights) = (0, 0);
    each_case(|case, (_, load), folder| {
        let before = load(folder).unwrap();
        assert_eq!(unknown(&before.notes), [""; 0], "{case}");

        let scratch = changed(case, folder);
        let mut expected = Vec::new();
        if let Some(path) = existing(&scratch.0, CONFIGS) {
            let mut config = read(&path);
            expected.extend(add_unknown("", config.as_object_mut().unwrap()));
            fs::write(&path, config.to_string()).unwrap();
            configs += 1;
        }
        for name in ["act_mean", "unheard_of.weight"] {
            let Some(path) = existing(&scratch.0, WEIGHTS) else {
                continue;
            };
            edit(&path, |header, numbers| {
                let start = numbers.len();
                numbers.extend([0; 8 * 4]);
                let place = [start, numbers.len()];
                header[name] = json!({"dtype": "F32", "shape": [8], "data_offsets": place});
            });
            // Known to be subtracted from samples, which another note says.
            if !case.contains("dictionary_learning") || name != "act_mean" {
                expected.push(name.to_owned());
            }
            weights += 1;
        }
        let after = load(&scratch.0).unwrap();
        expected.sort();
        assert_eq!(unknown(&after.notes), expected, "{case}");
        for name in &expected {
            assert!(
                after
                    .notes
                    .iter()
                    .any(|note| note.to_string().contains(name))
            );
        }
        assert_eq!(
            after.model.parameters(),
            before.model.parameters(),
            "{case}"
        );
    });
    assert!(configs > 50 && weights > 100, "{configs}, {weights}");
}

#[test]
fn llama_scope_gives_what_the_formulas_give() {
    let mut folded = 0;
    for entry in fs::read_dir(root().join("formulas/llama_scope")).unwrap() {
        let folder = entry.unwrap().path();
        let case = folder.file_name().unwrap().to_str().unwrap();
        let loaded = llama_scope::load::<f64>(&folder).unwrap();
        assert_as_original(case, &loaded.model, &folder);
        assert_as_original(
            case,
            &llama_scope::load::<f32>(&folder).unwrap().model,
            &folder,
        );
        let scaled = loaded.notes.contains(&Note::ScaledByDecoderNorm);
        assert_eq!(scaled, case == "later_topk_norm", "{case}");

        // The first generation folds the norms as it loads.
        let config = existing(&folder, ["hyperparams.json"]).map(|path| read(&path));
        let by_norm = config.is_some_and(|config| config["sparsity_include_decoder_norm"] == true);
        let mut model = loaded.model;
        if by_norm && model.fold_decoder_norm().is_ok() {
            let mut expected = TensorFile::open(folder.join("expected.safetensors")).unwrap();
            let mut read = |name| expected.samples::<f64>(name).unwrap();
            let encoded = model.encode(read("samples")).unwrap();
            assert_close(case, &encoded, &read("original"));
            folded += 1;
        }
    }
    assert_eq!(folded, 8);
}

/// Loads a case with keys set, removed where the value is `null`.
fn with(project: &str, case: &str, keys: &Value) -> Result<Loaded<SparseAutoencoder<f64>>, Error> {
    let (folder, load) = PROJECTS
        .into_iter()
        .find(|(name, _)| *name == project)
        .unwrap();
    let name = format!("{case}-{keys}").replace(|c: char| !c.is_alphanumeric(), "-");
    let scratch = changed(&name, &root().join(folder).join(case));
    let path = existing(&scratch.0, CONFIGS).unwrap();
    let mut config = read(&path);
    merge(&mut config, keys);
    fs::write(&path, config.to_string()).unwrap();
    load(&scratch.0)
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().unwrap() {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else if value.is_object() && into[key].is_object() {
            merge(&mut into[key], value);
        } else {
            into[key] = value.clone();
        }
    }
}

/// Older versions of sparsify chose units by magnitude.
#[test]
fn signed_units_of_sparsify_are_chosen_by_magnitude() {
    let plain = with("fixtures/sparsify", "topk", &json!({})).unwrap().model;
    let signed = with("fixtures/sparsify", "topk", &json!({"signed": true}))
        .unwrap()
        .model;
    assert_eq!(signed.hidden_activations(), [Activation::AbsTopK(3)]);
    assert_eq!(signed.parameters(), plain.parameters());
}

#[test]
fn settings_that_change_the_result_are_refused_by_name() {
    let first = ("formulas/llama_scope", "first");
    let later = ("formulas/llama_scope", "later");
    let second = ("fixtures/gemma_scope", "second_skip");
    let sparsify = ("fixtures/sparsify", "topk");
    let lens = ("fixtures/sae_lens", "standard");
    for ((project, case), keys, named) in [
        (
            first,
            json!({"norm_activation": "token-wise"}),
            "norm_activation is token-wise",
        ),
        (
            first,
            json!({"norm_activation": "batch-wise"}),
            "norm_activation is batch-wise",
        ),
        (
            later,
            json!({"norm_activation": "token-wise"}),
            "norm_activation is token-wise",
        ),
        (
            later,
            json!({"norm_activation": "other"}),
            "norm_activation is other",
        ),
        (
            first,
            json!({"hook_point_out": "blocks.3.hook_mlp_out"}),
            "transcoder",
        ),
        (
            later,
            json!({"hook_point_out": "blocks.3.hook_mlp_out"}),
            "transcoder",
        ),
        (
            later,
            json!({"sae_type": "crosscoder"}),
            "sae_type is crosscoder",
        ),
        (later, json!({"act_fn": "batchtopk"}), "act_fn is batchtopk"),
        (first, json!({"act_fn": "swish"}), "the activation swish"),
        (
            first,
            json!({"use_glu_encoder": true}),
            "use_glu_encoder is true",
        ),
        (
            second,
            json!({"affine_connection": false}),
            "the tensor affine_skip_connection",
        ),
        (
            sparsify,
            json!({"skip_connection": true}),
            "skip_connection",
        ),
        (
            lens,
            json!({"reshape_activations": "other"}),
            "reshape_activations other",
        ),
        (
            lens,
            json!({"architecture": "transcoder"}),
            "apply_b_dec_to_input is true",
        ),
        (
            lens,
            json!({"architecture": "temporal"}),
            "architecture temporal",
        ),
    ] {
        let message = unsupported(with(project, case, &keys));
        assert!(message.contains(named), "{keys}: {message}");
    }
    for ((project, case), keys, named) in [
        (
            first,
            json!({"jump_relu_threshold": -0.1}),
            "jump_relu_threshold must be at least 0",
        ),
        (
            first,
            json!({"dataset_average_activation_norm": {"in": null}}),
            "activation_norm.in is missing",
        ),
        (
            first,
            json!({"dataset_average_activation_norm": {"out": 0.0}}),
            "must be finite and above 0",
        ),
        (
            first,
            json!({"d_sae": null, "expansion_factor": 3}),
            "expansion_factor",
        ),
        (later, json!({"d_model": 7}), "d_model is 7"),
        (sparsify, json!({"d_in": 9}), "d_in is 9"),
        (
            ("fixtures/dictionary_learning", "top_k"),
            json!({"trainer": {"k": 4}}),
            "k is 4",
        ),
        (
            ("fixtures/dictionary_learning", "jump_relu"),
            json!({"trainer": {"dict_size": 99}}),
            "dict_size is 99",
        ),
    ] {
        let message = malformed(with(project, case, &keys));
        assert!(message.contains(named), "{keys}: {message}");
    }
}

#[test]
fn numbers_that_a_model_does_not_need_may_be_anything() {
    for (project, case, keys) in [
        (
            "formulas/llama_scope",
            "first",
            &["top_k", "expansion_factor", "lp"][..],
        ),
        (
            "formulas/llama_scope",
            "first_relu",
            &["top_k", "jump_relu_threshold"],
        ),
        (
            "formulas/llama_scope",
            "later",
            &["top_k", "jump_relu_threshold"],
        ),
        ("fixtures/sparsify", "topk", &["expansion_factor"]),
        ("fixtures/sae_lens", "standard", &["k", "l1_coefficient"]),
        (
            "fixtures/dictionary_learning",
            "auto_encoder",
            &["trainer.k", "trainer.lr"],
        ),
    ] {
        for key in keys {
            let scratch = changed("not-needed", &root().join(project).join(case));
            let path = existing(&scratch.0, CONFIGS).unwrap();
            let mut config = read(&path);
            let mut place = &mut config;
            for key in key.split('.') {
                place = &mut place[key];
            }
            *place = json!("not a number");
            let text = config.to_string().replace("\"not a number\"", "NaN");
            fs::write(&path, text).unwrap();
            let (_, load) = PROJECTS
                .into_iter()
                .find(|(name, _)| *name == project)
                .unwrap();
            let loaded = load(&scratch.0).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(unknown(&loaded.notes), [""; 0], "{case}, {key}");
        }
    }
}

#[test]
fn a_decoder_bias_that_is_not_used_is_reported() {
    let keys = json!({"use_decoder_bias": false});
    let loaded = with("formulas/llama_scope", "first", &keys).unwrap();
    let name = "decoder.bias".to_owned();
    assert_eq!(loaded.notes, [Note::UnusedTensor { name }]);
    let bias = loaded
        .model
        .parameters()
        .layer(0)
        .unwrap()
        .decoder_bias
        .amax();
    assert!(bias <= 0.0);
    assert!(!loaded.model.has_pre_encoder_bias());
}

#[test]
fn a_fraction_of_active_units_in_a_batch_is_no_obstacle() {
    let keys = json!({"k": 2.5});
    let loaded = with("fixtures/sae_lens", "batchtopk_checkpoint", &keys).unwrap();
    assert_eq!(loaded.model.hidden_activations(), [Activation::JumpRelu]);
}
