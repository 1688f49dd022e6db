//! Files of [SAELens](https://github.com/decoderesearch/SAELens): a folder with `cfg.json` and
//! `sae_weights.safetensors`.
//!
//! ```text
//! z = (x − c) W_enc + b_enc         x W_enc + b_enc unless apply_b_dec_to_input
//! x̂ = h W_dec + c                   W_enc is d × n, W_dec is n × d
//! ```
//!
//! | `architecture` | hidden activations `h` |
//! |---|---|
//! | `standard` | `max(z, 0)` |
//! | `topk` | `max(z, 0)` on the `k` largest; with `rescale_acts_by_decoder_norm`, `encode` uses `z‖W_dec,j‖` and `decode` divides by the norms |
//! | `jumprelu` | `max(z, 0)` where `z > threshold` |
//! | `gated` | `max(exp(r_mag) y + b_mag, 0)` where `y + b_gate > 0`, `y = (x − c) W_enc` |
//! | `transcoder`, `jumprelu_transcoder` | those of `standard` and `jumprelu`; `W_dec` is n × `d_out` |
//! | `skip_transcoder`, `jumprelu_skip_transcoder` | the same; x̂ has `x W_skipᵀ` more, where `W_skip` is `d_out` × d |
//! | `batchtopk`, `matryoshka_batchtopk` | training checkpoints, loaded as `jumprelu`, as SAELens writes them for inference |
//!
//! Both generations of `cfg.json` are read: the flat one before version 6, and the one with `metadata`.
//! In the first, `activation_fn_str` can turn a `standard` architecture into `topk`, and
//! `scaling_factor` multiplies the hidden activations in the decoder. Samples from attention heads
//! (`hook_z`) have the entries of one head after the other.

use std::path::Path;

use serde_json::json;

use super::activations::{Names, PublishedUnits, Source};
use super::config::Config;
use super::one_layer::OneLayer;
use super::without_effect::Project;
use super::{DecoderNorms, Matrix, Published};
use crate::data::dtype::Element;
use crate::files::safetensors::{Part, write};
use crate::files::tensors::Tensors;
use crate::files::{Loaded, Note, malformed, unsupported, write_both};
use crate::{Error, Real, SparseAutoencoder};

const CONFIG: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";
const BIAS: &str = "b_enc";

/// Loads the model from `cfg.json` and `sae_weights.safetensors` in a folder.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read, [`Error::Malformed`] if it is damaged or has another layout.
/// [`Error::Unsupported`] for other architectures, and for normalization per sample (`layer_norm`,
/// `constant_norm_rescale`).
pub fn load<T: Real>(folder: impl AsRef<Path>) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
    let folder = folder.as_ref();
    let config = Config::read(&folder.join(CONFIG), Project::SaeLens)?;
    let mut tensors = Tensors::open(&folder.join(WEIGHTS))?;
    let refuse = |what: &str, value: &str| {
        let reason = format!("{what} {value} has no counterpart in a model of this crate");
        Err(unsupported(config.path(), reason))
    };
    let mut notes = Vec::new();
    match config.get("normalize_activations") {
        Some(value) if value.is_boolean() => {
            if value == true {
                notes.push(transformed("expected_average_only_in"));
            }
        }
        _ => match config.text("normalize_activations")?.unwrap_or("none") {
            "none" => {}
            // SAELens leaves these to the caller too.
            name @ ("expected_average_only_in" | "covariance_whitening") => {
                notes.push(transformed(name));
            }
            other => {
                let why = "each sample is normalized by itself, which is not linear and has no \
                           counterpart in a model of this crate";
                return config.refuse("normalize_activations", other, why);
            }
        },
    }

    match config.text("reshape_activations")?.unwrap_or("none") {
        "none" | "hook_z" => {}
        other => return refuse("reshape_activations", other),
    }

    let mut architecture = config.text("architecture")?.unwrap_or("standard");
    let mut k = None;
    let version = version(&config)?;
    if version.is_none_or(|version| version < (6, 0)) {
        let name = config.text("activation_fn")?;
        let arguments = config.object("activation_fn_kwargs")?;
        match config.text("activation_fn_str")?.or(name).unwrap_or("relu") {
            "relu" => {}
            "topk" => architecture = "topk",
            other => return refuse("the activation", other),
        }
        if let Some(arguments) = &arguments {
            arguments.get("k");
            if architecture == "topk" {
                k = arguments.count("k")?;
            }
        }
    }
    let (transcodes, has_skip) = match architecture {
        "transcoder" | "jumprelu_transcoder" => (true, false),
        "skip_transcoder" | "jumprelu_skip_transcoder" => (true, true),
        _ => (false, false),
    };
    if transcodes {
        let is_jump = architecture.starts_with("jumprelu");
        architecture = if is_jump { "jumprelu" } else { "standard" };
    }
    let centered = config.flag("apply_b_dec_to_input")?.unwrap_or(!transcodes);
    if centered && transcodes {
        let why = "the bias of a transcoder is a point of its output: set it to false";
        return config.refuse("apply_b_dec_to_input", "true", why);
    }
    let checkpoint = |conversion| Note::TrainingCheckpoint { conversion };
    let rescaled = config.flag("rescale_acts_by_decoder_norm")?;
    // Read for `topk` only: elsewhere k may be a fraction, and the threshold replaces it.
    config.get("k");
    let k = || match k {
        Some(k) => Ok(k),
        None => config.required("k", config.count("k")?),
    };
    let units = match architecture {
        "jumprelu" if !tensors.has("threshold") => {
            notes.push(checkpoint(
                "thresholds are the exponentials of log_threshold",
            ));
            PublishedUnits::above(Source::LogPerUnit("log_threshold"), BIAS)
        }
        "batchtopk" | "matryoshka_batchtopk" => {
            notes.push(checkpoint("topk_threshold is the threshold of every unit"));
            PublishedUnits::above(Source::Common("topk_threshold"), BIAS)
        }
        name => match Names::read(Project::SaeLens, name, k)? {
            Some(units) => units,
            None => return refuse("the architecture", name),
        },
    };
    let by_decoder_norm = match architecture {
        "topk" | "abstopk" => rescaled.unwrap_or(false),
        // Added to BatchTopK in 6.14, with true as its default.
        "batchtopk" => rescaled.unwrap_or(version.is_none_or(|version| version >= (6, 14))),
        "matryoshka_batchtopk" => rescaled.unwrap_or(true),
        _ => false,
    };

    let mut decoder_factors = None;
    let has_factors = config.flag("finetuning_scaling_factor")?;
    // The second name is that of training in versions 3 to 5.
    let names = ["scaling_factor", "finetuning_scaling_factor"];
    if let Some(name) = names.into_iter().find(|name| tensors.has(name)) {
        let n = tensors.matrix_shape("W_enc")?.1;
        let factors: Vec<T> = tensors.vector(name, n)?;
        decoder_factors = Some(name);
        let all_one = factors
            .iter()
            .all(|&factor| (factor - T::one()).abs() < T::of(1e-5));
        if !all_one && has_factors != Some(true) {
            let reason =
                format!("the tensor {name} is not 1, but finetuning_scaling_factor is not set");
            return Err(malformed(config.path(), reason));
        }
    }
    let published = Published {
        encoder_weights: Matrix::units_are_columns("W_enc"),
        decoder_weights: Matrix::units_are_rows("W_dec"),
        decoder_bias: Some("b_dec"),
        centered,
        transcodes,
        skip: has_skip.then(|| Matrix::units_are_rows("W_skip")),
        units,
        decoder_norms: if by_decoder_norm {
            DecoderNorms::InUnits
        } else {
            DecoderNorms::Nowhere
        },
        decoder_factors,
        input_scale: 1.0,
        output_scale: 1.0,
        unused: &[],
        of_layout: &[
            "b_enc",
            "threshold",
            "log_threshold",
            "topk_threshold",
            "b_gate",
            "b_mag",
            "r_mag",
            "W_skip",
            "b_dec_out",
        ],
        input_size: Some(("d_in", config.required("d_in", config.count("d_in")?)?)),
        output_size: match transcodes {
            true => Some(("d_out", config.required("d_out", config.count("d_out")?)?)),
            false => None,
        },
        hidden: Some(("d_sae", config.required("d_sae", config.count("d_sae")?)?)),
    };
    published.load(&mut tensors, &config, notes)
}

fn transformed(transformation: &str) -> Note {
    Note::TransformedSamples {
        transformation: transformation.to_owned(),
    }
}

/// Returns the major and the minor version of the configuration, if it names one.
fn version(config: &Config) -> Result<Option<(u64, u64)>, Error> {
    let metadata = config.object("metadata")?;
    let inner = match &metadata {
        Some(metadata) => metadata.text("sae_lens_version")?,
        None => None,
    };
    let Some(version) = config.text("sae_lens_version")?.or(inner) else {
        return Ok(None);
    };
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Ok(next().map(|major| (major, next().unwrap_or(0))))
}

/// Saves a model to a folder that `SAE.load_from_disk` of SAELens 6 reads. Creates the folder if
/// necessary.
///
/// The architecture is `standard` for ReLU and for [`WinnerTakeAll`](crate::Activation::WinnerTakeAll), whose
/// inference is that of ReLU. It is `topk` for `TopK` and `TopProportion`, `abstopk` for `AbsTopK`, `jumprelu` for
/// thresholds, and `gated` for gated units. Transcoders need ReLU or thresholds. Tied weights are written twice. These
/// files do not hold the objective; [`files::save`](crate::files::save) does. [`save_with`] adds the origin of the
/// samples.
///
/// ```
/// use sparse_autoencoder::{Activation, SparseAutoencoder, files::sae_lens};
/// # let folder = std::env::temp_dir().join(format!("sparse-autoencoder-lens-{}", std::process::id()));
///
/// let sae = SparseAutoencoder::<f32>::builder()
///     .layers([8, 16])
///     .hidden_activation(Activation::TopK(2))
///     .output_activation(Activation::Identity)
///     .build()?;
/// sae_lens::save(&sae, &folder)?;
/// let again = sae_lens::load::<f32>(&folder)?.model;
/// assert_eq!(again.parameters(), sae.parameters());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Unsupported`] for several hidden layers, an output that is not linear, or hidden
/// activations that SAELens lacks; [`Error::Io`] if the files cannot be written.
pub fn save<T: Real>(model: &SparseAutoencoder<T>, folder: impl AsRef<Path>) -> Result<(), Error> {
    save_with(model, folder, &[])
}

/// Runs [`save`] with entries for the `metadata` of `cfg.json`.
///
/// `model_name` and `hook_name` tell SAELens which activations of a network the model encodes.
///
/// ```no_run
/// # use sparse_autoencoder::{Activation, SparseAutoencoder, files::sae_lens};
/// # let sae = SparseAutoencoder::<f32>::builder()
/// #     .layers([768, 24576])
/// #     .hidden_activation(Activation::JumpRelu)
/// #     .output_activation(Activation::Identity)
/// #     .build()?;
/// let place = [
///     ("model_name", "gpt2-small"),
///     ("hook_name", "blocks.8.hook_resid_pre"),
/// ];
/// sae_lens::save_with(&sae, "gpt2-small-res-8", &place)?;
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// As [`save`].
pub fn save_with<T: Real>(
    model: &SparseAutoencoder<T>,
    folder: impl AsRef<Path>,
    metadata: &[(&str, &str)],
) -> Result<(), Error> {
    let folder = folder.as_ref();
    let layer = OneLayer::or_transcoder(model, folder, "SAELens")?;
    let Some(names) = Names::find(Project::SaeLens, layer.activation) else {
        return layer.refuse_activation(folder, "SAELens");
    };
    let architecture = match (names.name, layer.transcodes, layer.skip.is_some()) {
        (name, false, _) => name,
        ("standard", true, false) => "transcoder",
        ("standard", true, true) => "skip_transcoder",
        ("jumprelu", true, false) => "jumprelu_transcoder",
        ("jumprelu", true, true) => "jumprelu_skip_transcoder",
        _ => return layer.refuse_activation(folder, "SAELens's transcoders"),
    };
    let (d, n, output) = (layer.input_size, layer.hidden, layer.output_size);
    let mut config = json!({
        "architecture": architecture,
        "d_in": d,
        "d_sae": n,
        "dtype": if Element::of::<T>() == Element::F32 { "float32" } else { "float64" },
        "device": "cpu",
        "apply_b_dec_to_input": layer.centered,
        "normalize_activations": "none",
        "reshape_activations": "none",
    });
    if layer.transcodes {
        config["d_out"] = json!(output);
    }
    for (key, text) in metadata {
        config["metadata"][*key] = json!(text);
    }
    // The generation of the layout, which tells SAELens how to read it.
    config["metadata"]["sae_lens_version"] = json!("6.0.0");
    if let Some(k) = layer.activation.k() {
        config["k"] = json!(k);
        config["rescale_acts_by_decoder_norm"] = json!(false);
    }
    let mut parts = vec![
        Part::transposed("W_enc", &[d, n], layer.encoder_weights),
        Part::new(names.bias, &[n], layer.encoder_bias),
        Part::new("W_dec", &[n, output], layer.decoder_weights),
        Part::new("b_dec", &[output], layer.decoder_bias),
    ];
    parts.extend(
        layer
            .skip
            .map(|s| Part::transposed("W_skip", &[output, d], s)),
    );
    parts.extend(names.parts(&layer.blocks));
    write_both(folder, WEIGHTS, CONFIG, &config, |out| {
        write(out, &[], &parts)
    })
}
