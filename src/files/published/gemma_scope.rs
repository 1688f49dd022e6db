//! Files of Gemma Scope (Lieberum et al. 2024, <https://arxiv.org/abs/2408.05147>), `params.npz`, and of
//! Gemma Scope 2, `params.safetensors` with an optional `config.json`.
//!
//! ```text
//! h = max(z, 0) where z > threshold,   z = x W_enc + b_enc,   x̂ = h W_dec + b_dec
//! ```
//!
//! `W_enc` is d × n, `W_dec` is n × d; the second generation writes `w_enc` and `w_dec`. The decoder
//! bias is not subtracted from the input.
//!
//! Autoencoders of token embeddings were trained on embeddings multiplied by `√d`. Multiply samples by
//! `√d` before `encode`. A model is a transcoder if its configuration names two places (`hf_hook_point_in`,
//! `hf_hook_point_out`), its sizes differ, or it has an `affine_skip_connection`, d × output. Transcoders of the first
//! generation load as autoencoders, whose `reconstruct` returns the prediction.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::activations::{PublishedUnits, Source};
use super::config::Config;
use super::one_layer::OneLayer;
use super::without_effect::Project;
use super::{DecoderNorms, Matrix, Published, refuse_beside};
use crate::files::atomic::Draft;
use crate::files::safetensors::{Part, write};
use crate::files::tensors::Tensors;
use crate::files::{Loaded, io_error, npz, unsupported, write_both};
use crate::{Activation, Error, Real, SparseAutoencoder};

const FIRST: &str = "params.npz";
const WEIGHTS: &str = "params.safetensors";
const CONFIG: &str = "config.json";
const SKIP: &str = "affine_skip_connection";

/// Loads `params.npz` or `params.safetensors`, given the file or its folder.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read, [`Error::Malformed`] if it is damaged or has another layout,
/// [`Error::Unsupported`] for architectures other than `jump_relu`.
pub fn load<T: Real>(path: impl AsRef<Path>) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
    let mut path = path.as_ref().to_owned();
    if path.is_dir() {
        let first = path.join(FIRST);
        path = if first.exists() {
            first
        } else {
            path.join(WEIGHTS)
        };
    }
    let config = path.with_file_name(CONFIG);
    let config = if config.exists() {
        Config::read(&config, Project::GemmaScope)?
    } else {
        Config::absent(&config, Project::GemmaScope)
    };
    let architecture = config.text("architecture")?.unwrap_or("jump_relu");
    if architecture != "jump_relu" {
        let reason = format!("the architecture {architecture} is not jump_relu");
        return Err(unsupported(config.path(), reason));
    }
    let keys = ["affine_connection", "affine_skip_connection"];
    let [first, second] = keys.map(|key| config.flag(key));
    let flag = match (first?, second?) {
        (Some(first), Some(second)) => Some(first || second),
        (first, second) => first.or(second),
    };
    let input = config.text("hf_hook_point_in")?;
    let elsewhere = config.text("hf_hook_point_out")?.or(input) != input;
    let mut tensors = Tensors::open(&path)?;
    let has_skip = flag.unwrap_or_else(|| tensors.has(SKIP));
    let name = |upper, lower| if tensors.has(lower) { lower } else { upper };
    let encoder = Matrix::units_are_columns(name("W_enc", "w_enc"));
    let decoder = Matrix::units_are_rows(name("W_dec", "w_dec"));
    let has_sizes = |of: Matrix<'_>| Ok::<_, Error>(of.sizes(&tensors)?.0);
    let transcodes = has_skip || elsewhere || has_sizes(encoder)? != has_sizes(decoder)?;
    let published = Published {
        encoder_weights: encoder,
        decoder_weights: decoder,
        decoder_bias: Some("b_dec"),
        centered: false,
        transcodes,
        skip: has_skip.then(|| Matrix::units_are_columns(SKIP)),
        units: PublishedUnits::above(Source::PerUnit("threshold"), "b_enc"),
        decoder_norms: DecoderNorms::Nowhere,
        decoder_factors: None,
        input_scale: 1.0,
        output_scale: 1.0,
        unused: &[],
        of_layout: &[SKIP, "W_skip", "w_skip"],
        input_size: None,
        output_size: None,
        hidden: None,
    };
    published.load(&mut tensors, &config, Vec::new())
}

/// Saves a model to `params.npz` in `folder`, as Gemma Scope does. Creates the folder if necessary.
///
/// The units need thresholds or ReLU. Gemma Scope has no pre-encoder bias: it is folded into the encoder
/// bias, `b − Wᵀc`, so that `encode` returns the same, up to rounding.
///
/// # Errors
///
/// [`Error::Unsupported`] for several hidden layers, an output that is not linear, other activations, transcoders
/// (see [`save_second`]), files of 4 GiB or more, and a folder with `config.json`; [`Error::Io`] if the file cannot
/// be written.
pub fn save<T: Real>(model: &SparseAutoencoder<T>, folder: impl AsRef<Path>) -> Result<(), Error> {
    let folder = folder.as_ref();
    let path = folder.join(FIRST);
    let layer = OneLayer::of(model, &path, "the first Gemma Scope")?;
    let parts = parts(&layer, &path, ["W_enc", "W_dec"])?;
    let bytes = npz::size(&parts);
    if u32::try_from(bytes).is_err() {
        let reason = format!("an archive of {bytes} bytes, with 4 GiB or more, is not written");
        return Err(unsupported(&path, reason));
    }
    refuse_beside(folder, &[CONFIG])?;
    fs::create_dir_all(folder).map_err(|error| io_error(folder, &error))?;
    Draft::write(&path, |out| npz::write(out, &parts))?.commit()
}

/// Saves a model to `params.safetensors` and `config.json` in `folder`, as Gemma Scope 2 does. Creates
/// the folder if necessary.
///
/// For a transcoder, the configuration names the places of input and output `"input"` and `"output"`: replace them by
/// those of your network.
///
/// # Errors
///
/// As [`save`], without the limit of 4 GiB, and transcoders are written. A folder with `params.npz` is refused.
pub fn save_second<T: Real>(
    model: &SparseAutoencoder<T>,
    folder: impl AsRef<Path>,
) -> Result<(), Error> {
    let folder = folder.as_ref();
    let path = folder.join(WEIGHTS);
    let layer = OneLayer::or_transcoder(model, &path, "Gemma Scope")?;
    let mut parts = parts(&layer, &path, ["w_enc", "w_dec"])?;
    let mut config = json!({
        "architecture": "jump_relu",
        "width": layer.hidden,
    });
    if layer.transcodes {
        config["hf_hook_point_in"] = json!("input");
        config["hf_hook_point_out"] = json!("output");
        config["affine_connection"] = json!(layer.skip.is_some());
        let shape = [layer.input_size, layer.output_size];
        parts.extend(layer.skip.map(|s| Part::new(SKIP, &shape, s)));
    }
    refuse_beside(folder, &[FIRST])?;
    write_both(folder, WEIGHTS, CONFIG, &config, |out| {
        write(out, &[], &parts)
    })
}

fn parts<'a, T: Real>(
    layer: &OneLayer<'a, T>,
    path: &Path,
    [encoder, decoder]: [&str; 2],
) -> Result<Vec<Part<'a, T>>, Error> {
    let (d, n, output) = (layer.input_size, layer.hidden, layer.output_size);
    let thresholds = match layer.activation {
        Activation::Relu => vec![T::zero(); n],
        Activation::JumpRelu => layer.blocks[0].clone(),
        _ => return layer.refuse_activation(path, "Gemma Scope"),
    };
    Ok(vec![
        Part::transposed(encoder, &[d, n], layer.encoder_weights),
        Part::new("b_enc", &[n], layer.plain_bias()),
        Part::new("threshold", &[n], thresholds),
        Part::new(decoder, &[n, output], layer.decoder_weights),
        Part::new("b_dec", &[output], layer.decoder_bias),
    ])
}
