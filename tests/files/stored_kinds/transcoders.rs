//! Files whose model is replaced by a transcoder, which only a model's own kind takes.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use sparse_autoencoder::{Activation, Error, SparseAutoencoder, files};

use crate::common::scratch::Scratch;
use crate::common::stored::{KINDS, moved};
use crate::edited::edit;

/// Returns the header and the numbers of a file.
fn contents(path: &Path) -> (Value, Vec<u8>) {
    let mut contents = (Value::Null, Vec::new());
    edit(path, |header, numbers| {
        contents = (header.clone(), numbers.clone());
    });
    contents
}

/// Returns the prefixes of the models of a file, in order.
fn prefixes(header: &Value) -> Vec<String> {
    let texts = header["__metadata__"].as_object().unwrap().keys();
    let prefixes = texts.filter_map(|key| key.strip_suffix("model"));
    prefixes.map(str::to_owned).collect()
}

/// Returns a transcoder with the input and the hidden size of a model, and `outputs(inputs)` outputs.
fn transcoder(settings: &Value, outputs: fn(usize) -> usize) -> SparseAutoencoder<f32> {
    let layers: Vec<usize> = serde_json::from_value(settings["layers"].clone()).unwrap();
    let [input, .., hidden] = layers[..] else {
        panic!("{settings}");
    };
    let mut model = SparseAutoencoder::builder()
        .layers([input, hidden])
        .output_size(outputs(input))
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    moved(&mut model);
    model
}

/// Puts a model in the place of that with this prefix.
fn replace(path: &Path, prefix: &str, model: &SparseAutoencoder<f32>) {
    let scratch = Scratch::new("replacement");
    files::save(model, scratch.file()).unwrap();
    let (other, other_numbers) = contents(&scratch.file());
    edit(path, |header, numbers| {
        let (before, numbers_before) = (header.take(), std::mem::take(numbers));
        let mut metadata = before["__metadata__"].clone();
        metadata[format!("{prefix}model")] = other["__metadata__"]["model"].clone();
        let mut tensors = Map::new();
        let layers = format!("{prefix}layers.");
        let kept = before.as_object().unwrap().iter();
        let kept = kept.filter(|(name, _)| !name.starts_with(&layers));
        let kept = kept.map(|(name, tensor)| (name.clone(), tensor, &numbers_before));
        let new = other.as_object().unwrap().iter();
        let new = new.map(|(name, tensor)| (format!("{prefix}{name}"), tensor, &other_numbers));
        for (name, tensor, from) in kept.chain(new) {
            if name.ends_with("__metadata__") {
                continue;
            }
            let offsets = &tensor["data_offsets"];
            let [begin, end] =
                [0, 1].map(|k| usize::try_from(offsets[k].as_u64().unwrap()).unwrap());
            let start = numbers.len();
            numbers.extend_from_slice(&from[begin..end]);
            let mut tensor = tensor.clone();
            tensor["data_offsets"] = json!([start, numbers.len()]);
            tensors.insert(name, tensor);
        }
        tensors.insert("__metadata__".to_owned(), metadata);
        *header = Value::Object(tensors);
    });
}

#[test]
fn a_transcoder_is_refused_in_the_place_of_each_model_of_each_kind() {
    let scratch = Scratch::new("transcoders");
    let path = scratch.file();
    let mut replaced = Vec::new();
    for (kind, save, load) in KINDS {
        save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let (header, _) = contents(&path);
        for prefix in prefixes(&header) {
            let text = &header["__metadata__"][format!("{prefix}model")];
            let settings = serde_json::from_str(text.as_str().unwrap()).unwrap();
            for outputs in [|input| input, |input| input + 1] {
                fs::write(&path, &whole).unwrap();
                replace(&path, &prefix, &transcoder(&settings, outputs));
                match load(&path) {
                    Ok(()) => assert_eq!(kind, "a model"),
                    Err(Error::Malformed { reason, .. }) => {
                        let says = "cannot be used with a transcoder";
                        assert!(
                            kind != "a model" && reason.contains(says),
                            "{kind}: {reason}"
                        );
                    }
                    Err(error) => panic!("{kind}: {error}"),
                }
            }
            replaced.push(kind);
        }
    }
    replaced.dedup();
    let kinds = [
        "a model",
        "an anomaly detector",
        "an anomaly ensemble",
        "a stack",
    ];
    assert_eq!(replaced, kinds);
}
