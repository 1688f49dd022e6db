//! Files of other projects with a change: what is refused by name, and what is told to the caller.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sparse_autoencoder::Activation;
use sparse_autoencoder::files::{Note, TensorFile, dictionary_learning, gemma_scope};
use sparse_autoencoder::files::{llama_scope, sae_lens};

use crate::common::scratch::Scratch;
use crate::interop::{malformed, unsupported};

/// Changes the header and the numbers of a safetensors file.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let file = fs::read(path).unwrap();
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, numbers) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
    let (mut header, mut numbers) = (serde_json::from_slice(header).unwrap(), numbers.to_vec());
    change(&mut header, &mut numbers);
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    let file = [&length, header.as_bytes(), &numbers].concat();
    fs::write(path, file).unwrap();
}

fn copy(project: &str, case: &str, name: &str) -> Scratch {
    Scratch::copy_of(project, case, &format!("edited-{name}"))
}

#[test]
fn a_llama_scope_of_another_kind_is_refused() {
    let changed = |old: &str, new: &str| {
        let scratch = copy("llama_scope", "jumprelu", &format!("llama-{}", new.len()));
        scratch.replace("hyperparams.json", old, new);
        llama_scope::load::<f32>(&scratch.0)
    };
    let units = changed(r#""act_fn": "jumprelu""#, r#""act_fn": "swish""#);
    assert!(unsupported(units).contains("the activation swish"));
    let gated = changed(r#""use_glu_encoder": false"#, r#""use_glu_encoder": true"#);
    assert!(unsupported(gated).contains("gated linear encoder"));
    let norm = changed(r#""in": 2.25"#, r#""in": 0.0"#);
    assert!(malformed(norm).contains("must be finite and above 0, is 0"));
    let sizes = changed(r#""d_model": 8"#, r#""d_model": 99"#);
    assert!(malformed(sizes).contains("d_model is 99"));
}

#[test]
fn a_gemma_scope_of_another_architecture_is_refused() {
    let scratch = copy("gemma_scope", "second", "gemma");
    scratch.replace("config.json", "jump_relu", "top_k");
    assert!(unsupported(gemma_scope::load::<f32>(&scratch.0)).contains("architecture top_k"));
}

#[test]
fn thresholds_of_a_training_checkpoint_are_exponentials() {
    let scratch = copy("sae_lens", "jumprelu", "log");
    let thresholds = |logarithmic: bool| {
        let loaded = sae_lens::load::<f64>(&scratch.0).unwrap();
        let conversion = "thresholds are the exponentials of log_threshold";
        let noted = [Note::TrainingCheckpoint { conversion }];
        assert!(noted[0].to_string().contains(conversion));
        assert_eq!(loaded.notes, noted[usize::from(!logarithmic)..]);
        let layer = loaded.model.parameters().layer(0).unwrap();
        layer.block("thresholds").unwrap().into_owned()
    };
    let before = thresholds(false);
    edit(&scratch.0.join("sae_weights.safetensors"), |header, _| {
        let tensors = header.as_object_mut().unwrap();
        let tensor = tensors.remove("threshold").unwrap();
        tensors.insert("log_threshold".into(), tensor);
    });
    // Numbers of 32 bits, and an exponential of 64.
    let after = thresholds(true);
    assert!((after - before.map(f64::exp)).amax() < 1e-12);
}

#[test]
fn a_mean_that_was_subtracted_is_left_to_the_caller() {
    let scratch = copy("dictionary_learning", "batch_top_k", "mean");
    let path = scratch.0.join("ae.safetensors");
    edit(&path, |header, numbers| {
        let start = numbers.len();
        numbers.extend([0; 8 * 4]);
        let place = [start, numbers.len()];
        header["act_mean"] = json!({"dtype": "F32", "shape": [8], "data_offsets": place});
    });
    let loaded = dictionary_learning::load::<f32>(&scratch.0).unwrap();
    let transformation = "subtracting act_mean".to_owned();
    let note = Note::TransformedSamples { transformation };
    assert!(loaded.notes.contains(&note), "{:?}", loaded.notes);
    assert!(
        note.to_string()
            .contains("act_mean, which is left to the caller")
    );
    let mut file = TensorFile::open(&path).unwrap();
    assert_eq!(file.shape("act_mean"), Some(&[8][..]));
    assert_eq!(file.samples::<f32>("act_mean").unwrap().shape(), (1, 8));
}

#[test]
fn samples_that_were_normalized_are_left_to_the_caller() {
    // As files of the first versions have it.
    let scratch = copy("sae_lens", "legacy_standard", "normalized");
    let text = fs::read(scratch.0.join("cfg.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&text).unwrap();
    config["normalize_activations"] = json!(true);
    fs::write(scratch.0.join("cfg.json"), config.to_string()).unwrap();
    let transformation = "expected_average_only_in".to_owned();
    let notes = sae_lens::load::<f32>(&scratch.0).unwrap().notes;
    assert_eq!(notes, [Note::TransformedSamples { transformation }]);
}

#[test]
fn activations_are_not_divided_by_a_norm_of_zero() {
    let scratch = copy("sae_lens", "topk_rescaled", "norm");
    edit(
        &scratch.0.join("sae_weights.safetensors"),
        |header, numbers| {
            let place = header["W_dec"]["data_offsets"].clone();
            let [start, end] = [0, 1].map(|k| usize::try_from(place[k].as_u64().unwrap()).unwrap());
            numbers[start..end].fill(0);
        },
    );
    let message = malformed(sae_lens::load::<f32>(&scratch.0));
    assert!(
        message.contains("norms of W_dec, and that of unit 0 is 0"),
        "{message}"
    );
}

#[test]
fn metadata_that_is_none_is_refused() {
    let scratch = copy("sae_lens", "standard", "metadata");
    let path = scratch.0.join("sae_weights.safetensors");
    edit(&path, |header, _| header["__metadata__"] = json!(3));
    assert!(malformed(TensorFile::open(&path)).contains("metadata must be an object"));
}

#[test]
fn a_number_of_active_units_that_is_none_is_refused() {
    let scratch = copy("dictionary_learning", "top_k", "k");
    edit(&scratch.0.join("ae.safetensors"), |header, numbers| {
        let place = header["k"]["data_offsets"].clone();
        let [start, end] = [0, 1].map(|k| usize::try_from(place[k].as_u64().unwrap()).unwrap());
        numbers[start..end].fill(0);
    });
    let message = malformed(dictionary_learning::load::<f32>(&scratch.0));
    assert!(
        message.contains("k must be a whole number of at least 1, is 0"),
        "{message}"
    );
}

#[test]
fn tensors_of_other_shapes_are_refused() {
    let scratch = copy("sae_lens", "jumprelu", "shape");
    let path = scratch.0.join("sae_weights.safetensors");
    edit(&path, |header, _| {
        header["W_enc"]["shape"] = json!([2, 4, 16])
    });
    let message = malformed(sae_lens::load::<f32>(&scratch.0));
    assert!(
        message.contains("W_enc must be a matrix, has the shape [2, 4, 16]"),
        "{message}"
    );
    let cube = TensorFile::open(&path).unwrap().samples::<f32>("W_enc");
    assert_eq!(cube.unwrap().shape(), (64, 2));
}

fn rename(path: &Path, from: &str, to: &str) {
    edit(path, |header, _| {
        let tensors = header.as_object_mut().unwrap();
        let tensor = tensors.remove(from).unwrap();
        tensors.insert(to.to_owned(), tensor);
    });
}

#[test]
fn factors_of_a_decoder_have_either_name() {
    let scratch = copy("sae_lens", "legacy_scaling_factor", "finetuned");
    let load = || sae_lens::load::<f32>(&scratch.0).unwrap();
    let (expected, weights) = (load(), scratch.0.join("sae_weights.safetensors"));
    rename(&weights, "scaling_factor", "finetuning_scaling_factor");
    assert_eq!(load().model.parameters(), expected.model.parameters());
    assert_eq!(load().notes, expected.notes);
}

/// Before version 6.14, thresholds were compared with activations that no norm multiplies.
#[test]
fn a_batch_top_k_checkpoint_is_scaled_as_its_version_does() {
    let scratch = copy("sae_lens", "batchtopk_checkpoint", "versions");
    let load = || sae_lens::load::<f32>(&scratch.0).unwrap().model;
    let config = scratch.0.join("cfg.json");
    let text = fs::read_to_string(&config).unwrap();
    let key = r#""rescale_acts_by_decoder_norm": "#;
    let of = |flag: &str, version: &str| {
        let text = text.replace(r#""6.54.12""#, &format!(r#""{version}""#));
        let set = match flag {
            "" => text.replace(&format!("{key}true, "), ""),
            flag => text.replace(&format!("{key}true"), &format!("{key}{flag}")),
        };
        fs::write(&config, set).unwrap();
        load().parameters().clone()
    };
    let [plain, scaled] = ["false", "true"].map(|flag| of(flag, "6.54.12"));
    assert_ne!(plain, scaled);
    for (version, expected) in [
        ("6.1.0", &plain),
        ("6.13.0", &plain),
        ("6.14.0", &scaled),
        ("6.54.12", &scaled),
        ("7.0.1", &scaled),
    ] {
        assert_eq!(&of("", version), expected, "{version}");
    }
}

/// States of 2024.
#[test]
fn early_states_of_dictionary_learning_are_read() {
    let scratch = copy("dictionary_learning", "top_k", "early_k");
    let load = || dictionary_learning::load::<f32>(&scratch.0);
    let expected = load().unwrap().model;
    let weights = scratch.0.join("ae.safetensors");
    let k = match expected.hidden_activations()[0] {
        Activation::TopK(k) => k,
        other => panic!("{other:?}"),
    };
    rename(&weights, "k", "unused");
    assert!(malformed(load()).contains('k'));
    let class = r#""dict_class": "AutoEncoderTopK""#;
    scratch.replace("config.json", class, &format!(r#"{class}, "k": {k}"#));
    let early = load().unwrap().model;
    assert_eq!(early.hidden_activations(), expected.hidden_activations());
    assert_eq!(early.parameters(), expected.parameters());

    let scratch = copy("dictionary_learning", "matryoshka", "misspelled");
    let load = || dictionary_learning::load::<f32>(&scratch.0).unwrap().model;
    let expected = load();
    scratch.replace("config.json", "Matryoshka", "Matroyshka");
    assert_eq!(load().parameters(), expected.parameters());
}

#[test]
fn a_dictionary_that_predicts_other_activations_is_refused() {
    for case in [
        "auto_encoder",
        "gated",
        "top_k",
        "batch_top_k",
        "matryoshka",
    ] {
        let scratch = copy("dictionary_learning", case, "predicts");
        scratch.replace(
            "config.json",
            r#""buffer": {"#,
            r#""buffer": {"io": "in_and_out""#,
        );
        let error = unsupported(dictionary_learning::load::<f32>(&scratch.0));
        assert!(
            error.contains("buffer.io") && error.contains("load_as"),
            "{error}"
        );
        scratch.replace("config.json", "in_and_out", "out");
        assert!(
            dictionary_learning::load::<f32>(&scratch.0).is_ok(),
            "{case}"
        );
    }
}
