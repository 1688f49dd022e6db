//! Llama Scope (He et al. 2024, <https://arxiv.org/abs/2410.20526>): a folder with
//! `hyperparams.json` and `checkpoints/final.safetensors`.
//!
//! ```text
//! h = max(z, 0) where z > s·jump_relu_threshold,   z = encoder.weight (s·x) + encoder.bias
//! x̂ = (decoder.weight h + decoder.bias) / s,       s = √d / dataset_average_activation_norm.in
//! ```
//!
//! `encoder.weight` is n × d, `decoder.weight` is d × n. The scale `s` is folded into the weights, as
//! SAELens does, so that samples are given as they are.

use std::path::Path;

use serde_json::json;

use super::json::Object;
use super::one_layer::OneLayer;
use super::published::{Matrix, Published, Selection, Threshold};
use super::safetensors::{Part, write};
use super::tensors::Tensors;
use super::{Loaded, malformed, unsupported, write_both};
use crate::{Activation, Error, Real, SparseAutoencoder};

const CONFIG: &str = "hyperparams.json";
const WEIGHTS: &str = "checkpoints/final.safetensors";

/// Loads the model in a folder, with `hyperparams.json` and `checkpoints/final.safetensors`.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read, [`Error::Malformed`] if it is not what it should be,
/// [`Error::Unsupported`] for gated linear encoders and for activations other than `jumprelu`.
pub fn load<T: Real>(folder: impl AsRef<Path>) -> Result<Loaded<T>, Error> {
    let folder = folder.as_ref();
    let config = Object::read(&folder.join(CONFIG))?;
    let mut tensors = Tensors::open(&folder.join(WEIGHTS))?;
    let activation = config.text("act_fn")?.unwrap_or("jumprelu");
    if activation != "jumprelu" {
        let reason = format!("the activation {activation} is not jumprelu");
        return Err(unsupported(config.path(), reason));
    }
    if config.flag("use_glu_encoder")? == Some(true) {
        let reason = "a gated linear encoder has no counterpart in a model of this crate";
        return Err(unsupported(config.path(), reason));
    }
    let norms = "dataset_average_activation_norm";
    let norms = config.required(norms, config.object(norms)?)?;
    let norm = norms.required("in", norms.number("in")?)?;
    let d = config.required("d_model", config.count("d_model")?)?;
    let scale = f64::of_count(d).sqrt() / norm;
    if !(scale > 0.0 && scale.is_finite()) {
        let reason = format!("the average norm must be finite and above 0, is {norm}");
        return Err(malformed(config.path(), reason));
    }
    let threshold = "jump_relu_threshold";
    let threshold = config.required(threshold, config.number(threshold)?)?;
    let published = Published {
        encoder_weights: Matrix::units_are_rows("encoder.weight"),
        encoder_bias: "encoder.bias",
        decoder_weights: Matrix::units_are_columns("decoder.weight"),
        decoder_bias: "decoder.bias",
        centered: config
            .flag("apply_decoder_bias_to_pre_encoder")?
            .unwrap_or(false),
        selection: Selection::Above(Threshold::Constant(threshold * scale)),
        by_decoder_norm: false,
        decoder_factors: None,
        input_scale: scale,
        unused: &[],
    };
    let loaded = published.load(&mut tensors, Vec::new())?;
    if loaded.model.layout().visible() != d {
        let reason = format!("d_model is {d}, but that of the weights is another");
        return Err(malformed(config.path(), reason));
    }
    Ok(loaded)
}

/// Saves a model into a folder, which is made if there is none: of ReLU units, or of units that all have
/// one threshold, as those of [`BatchTopK`](Activation::BatchTopK) have.
///
/// Samples are given as they are, so the average norm is written as `√d`, which makes `s = 1`.
///
/// # Errors
///
/// [`Error::Unsupported`] for several hidden layers, an output that is not linear, activations that
/// Llama Scope has not, and thresholds that differ; [`Error::Io`] if the files cannot be written.
pub fn save<T: Real>(model: &SparseAutoencoder<T>, folder: impl AsRef<Path>) -> Result<(), Error> {
    let folder = folder.as_ref();
    let layer = OneLayer::of(model, folder, "Llama Scope")?;
    let (d, n) = (layer.visible, layer.hidden);
    let threshold = match layer.activation {
        Activation::Relu => T::zero(),
        Activation::JumpRelu => layer.thresholds[0],
        _ => return layer.refuse_activation(folder, "Llama Scope"),
    };
    if layer.thresholds.iter().any(|&other| other != threshold) {
        let reason = "the files of Llama Scope have one threshold for all units";
        return Err(unsupported(folder, reason));
    }
    let norm = f64::of_count(d).sqrt();
    let config = json!({
        "act_fn": "jumprelu",
        "apply_decoder_bias_to_pre_encoder": layer.centered,
        "d_model": d,
        "d_sae": n,
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "jump_relu_threshold": threshold.to_f64(),
        "norm_activation": "dataset-wise",
        "use_glu_encoder": false,
    });
    let parts = [
        Part::new("encoder.weight", &[n, d], layer.encoder_weights),
        Part::new("encoder.bias", &[n], layer.encoder_bias),
        Part::transposed("decoder.weight", &[d, n], layer.decoder_weights),
        Part::new("decoder.bias", &[d], layer.decoder_bias),
    ];
    write_both(folder, WEIGHTS, CONFIG, &config, |out| {
        write(out, &[], &parts)
    })
}
