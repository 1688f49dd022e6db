//! Files of EleutherAI's [sparsify](https://github.com/EleutherAI/sparsify): a folder with `cfg.json`
//! and `sae.safetensors`.
//!
//! ```text
//! h = max(z, 0) on the k largest,   z = encoder.weight (x − c) + encoder.bias
//! x̂ = h W_dec + c                   z = encoder.weight x + encoder.bias with transcode
//! ```
//!
//! In older versions with `signed`, h is z on the k of largest magnitude.
//!
//! `encoder.weight` and `W_dec` are both n × d, `c` is `b_dec`. A transcoder (`transcode`) predicts the output of a
//! module. With `skip_connection`, it adds `W_skip x`, output × d.

use std::path::Path;

use serde_json::json;

use super::activations::Names;
use super::config::Config;
use super::one_layer::OneLayer;
use super::without_effect::Project;
use super::{DecoderNorms, Matrix, Published};
use crate::files::safetensors::{Part, write};
use crate::files::tensors::Tensors;
use crate::files::{Loaded, unsupported, write_both};
use crate::{Activation, Error, Real, SparseAutoencoder};

const CONFIG: &str = "cfg.json";
const WEIGHTS: &str = "sae.safetensors";

/// Loads the model from `cfg.json` and `sae.safetensors` in a folder.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read, [`Error::Malformed`] if it is damaged or has another layout.
/// [`Error::Unsupported`] for skip connections of autoencoders, and activations other than `topk`.
pub fn load<T: Real>(folder: impl AsRef<Path>) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
    let folder = folder.as_ref();
    let config = Config::read(&folder.join(CONFIG), Project::Sparsify)?;
    let mut tensors = Tensors::open(&folder.join(WEIGHTS))?;
    let activation = config.text("activation")?.unwrap_or("topk");
    config.get("k");
    let k = || config.required("k", config.count("k")?);
    let Some(mut units) = Names::read(Project::Sparsify, activation, k)? else {
        let reason =
            format!("the activation {activation} has no counterpart in a model of this crate");
        return Err(unsupported(config.path(), reason));
    };
    let transcodes = config.flag("transcode")?.unwrap_or(false);
    let has_skip = config.flag("skip_connection")?.unwrap_or(false);
    if has_skip && !transcodes {
        let why = "a linear map from the input to its reconstruction has no counterpart in a model of this crate";
        return config.refuse("skip_connection", "true", why);
    }
    if let (true, Activation::TopK(k)) = (config.flag("signed")?.unwrap_or(false), units.activation)
    {
        units.activation = Activation::AbsTopK(k);
    }
    let input_size = config.required("d_in", config.count("d_in")?)?;
    config.get("expansion_factor");
    let hidden = match config.count("num_latents")?.unwrap_or(0) {
        // 0 stands for a multiple of d_in.
        0 => {
            let factor = config.count("expansion_factor")?.unwrap_or(32);
            ("expansion_factor × d_in", factor.saturating_mul(input_size))
        }
        units => ("num_latents", units),
    };
    let published = Published {
        encoder_weights: Matrix::units_are_rows("encoder.weight"),
        decoder_weights: Matrix::units_are_rows("W_dec"),
        decoder_bias: Some("b_dec"),
        centered: !transcodes,
        transcodes,
        skip: has_skip.then(|| Matrix::units_are_rows("W_skip")),
        units,
        decoder_norms: DecoderNorms::Nowhere,
        decoder_factors: None,
        input_scale: 1.0,
        output_scale: 1.0,
        unused: &[],
        of_layout: &["W_skip"],
        input_size: Some(("d_in", input_size)),
        output_size: None,
        hidden: Some(hidden),
    };
    published.load(&mut tensors, &config, Vec::new())
}

/// Saves a model to a folder that `SparseCoder.load_from_disk` reads. Creates the folder if necessary.
///
/// The activation must be `TopK` or `TopProportion`. The encoder of sparsify sees `x − c`. Without a
/// pre-encoder bias, the encoder bias is written as `b + Wᵀc`, so that `encode` returns the same, up to
/// rounding. That of a transcoder sees `x`. Tied weights are written twice.
///
/// # Errors
///
/// [`Error::Unsupported`] for several hidden layers, an output that is not linear or of another size, or hidden
/// activations other than `TopK` and `TopProportion`; [`Error::Io`] if the files cannot be written.
pub fn save<T: Real>(model: &SparseAutoencoder<T>, folder: impl AsRef<Path>) -> Result<(), Error> {
    let folder = folder.as_ref();
    let layer = OneLayer::or_transcoder(model, folder, "sparsify")?;
    let Activation::TopK(k) = layer.activation else {
        return layer.refuse_activation(folder, "sparsify");
    };
    let (d, n) = (layer.input_size, layer.hidden);
    if layer.output_size != d {
        let reason = format!(
            "the files of sparsify have one size of input and output, and these have {d} and {}",
            layer.output_size
        );
        return Err(unsupported(folder, reason));
    }
    let config = json!({
        "activation": "topk",
        "expansion_factor": n.div_ceil(d),
        "normalize_decoder": false,
        "num_latents": n,
        "k": k,
        "multi_topk": false,
        "skip_connection": layer.skip.is_some(),
        "transcode": layer.transcodes,
        "d_in": d,
    });
    let bias = if layer.transcodes {
        layer.plain_bias()
    } else {
        layer.centered_bias()
    };
    let mut parts = vec![
        Part::new("W_dec", &[n, d], layer.decoder_weights),
        Part::new("b_dec", &[d], layer.decoder_bias),
        Part::new("encoder.bias", &[n], bias),
        Part::new("encoder.weight", &[n, d], layer.encoder_weights),
    ];
    parts.extend(layer.skip.map(|s| Part::transposed("W_skip", &[d, d], s)));
    write_both(folder, WEIGHTS, CONFIG, &config, |out| {
        write(out, &[], &parts)
    })
}
