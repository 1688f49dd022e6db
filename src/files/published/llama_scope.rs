//! Files of Llama Scope (He et al. 2024, <https://arxiv.org/abs/2410.20526>) and of later versions of
//! [its library](https://github.com/OpenMOSS/Language-Model-SAEs): a folder with a configuration and
//! weights.
//!
//! ```text
//! z = s·W (x − a·c/r) + b,   h = max(z, 0) where z > θ,   x̂ = (D h + c) / r
//! ```
//!
//! | | first generation | later |
//! |---|---|---|
//! | configuration | `hyperparams.json` | `config.json` |
//! | weights | `checkpoints/final.safetensors` | `sae_weights.safetensors` |
//! | W, b, D, c | `encoder.weight` n × d, `encoder.bias`, `decoder.weight` d × n, `decoder.bias` | the same, or `W_E` d × n, `b_E`, `W_D` n × d, `b_D` |
//! | threshold t | `jump_relu_threshold`, of `z/s` | `exp(log_jumprelu_threshold)` of each unit, or `jump_relu_threshold`; of `z` |
//! | θ | `s·t`; with `sparsity_include_decoder_norm`, `r·t/‖D_j‖` | `t`; with `sparsity_include_decoder_norm`, `t/‖D_j‖` |
//! | a, `apply_decoder_bias_to_pre_encoder` | 1 if absent | 0 if absent |
//! | `sparsity_include_decoder_norm` | false if absent | true if absent |
//!
//! The first of `sae_weights`, `checkpoints/pruned`, and `checkpoints/final` that exists is read. Without
//! `use_decoder_bias`, c is 0.
//!
//! If `norm_activation` is `dataset-wise`, s and r are `√d` divided by the average norm of the input and
//! of the output. If it is `inference`, they are already folded into the weights, and are 1. Loading
//! folds both into the weights, so that the model accepts raw samples.
//!
//! Hidden activations are `z`, in units of the scaled input. With `sparsity_include_decoder_norm`, the
//! first generation of the library scales decoder columns to norm 1 when it loads weights. Call
//! [`fold_decoder_norm`](SparseAutoencoder::fold_decoder_norm) for the same activations.
//!
//! | `act_fn` | hidden activations |
//! |---|---|
//! | `jumprelu` | [`JumpRelu`](Activation::JumpRelu) with a threshold for each unit |
//! | `relu`, or absent | [`Relu`](Activation::Relu) |
//! | `topk` | [`TopK`](Activation::TopK); `jumprelu` in the first generation if `jump_relu_threshold` is above 0. With `sparsity_include_decoder_norm`, hidden activations are the k largest `z‖D_j‖`, and decoder columns have norm `1/r` |
//!
//! Refused: `batchtopk`, which needs a batch; `use_glu_encoder`; transcoders and other dictionaries;
//! normalization per sample (`token-wise`) or per batch (`batch-wise`).

use std::path::{Path, PathBuf};

use serde_json::json;

use super::activations::{PublishedUnits, Source};
use super::config::Config;
use super::one_layer::OneLayer;
use super::without_effect::Project;
use super::{DecoderNorms, Matrix, Published, refuse_beside};
use crate::files::safetensors::{Part, write};
use crate::files::tensors::Tensors;
use crate::files::{Loaded, Note, malformed, pickle, unsupported, write_both};
use crate::{Activation, Error, Real, SparseAutoencoder};

const CONFIG: &str = "hyperparams.json";
const LATER_CONFIG: &str = "config.json";
const WEIGHTS: &str = "checkpoints/final.safetensors";
/// The places where the library looks for weights, in its order.
const PLACES: [&str; 3] = [
    "sae_weights.safetensors",
    "checkpoints/pruned.safetensors",
    WEIGHTS,
];

const NORMS: &str = "dataset_average_activation_norm";
const INCLUDE_NORM: &str = "sparsity_include_decoder_norm";
const THRESHOLD: &str = "jump_relu_threshold";

/// Loads the model from a folder with `hyperparams.json` or `config.json`, and weights.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read, [`Error::Malformed`] if it is damaged or has another layout.
/// [`Error::Unsupported`] for gated linear encoders, transcoders, normalization per sample or batch, and
/// activations other than `jumprelu`, `relu`, and `topk`.
pub fn load<T: Real>(folder: impl AsRef<Path>) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
    let folder = folder.as_ref();
    let first = folder.join(CONFIG);
    let later = folder.join(LATER_CONFIG);
    let is_later = !first.exists() && later.exists();
    let path = if is_later { later } else { first };
    let config = Config::read(&path, Project::LlamaScope)?;
    refuse_other_kinds(&config)?;
    let mut tensors = Tensors::open(&weights(folder)?)?;

    let d = config.required("d_model", config.count("d_model")?)?;
    let hooks = Hooks::of(&config)?;
    let norm_tensors = hooks.norm_tensors();
    let [scale, output_scale] = scales(&config, &mut tensors, &norm_tensors, d)?;
    let has_bias = config.flag("use_decoder_bias")?.unwrap_or(true);
    let centered = config.flag("apply_decoder_bias_to_pre_encoder")?;
    let by_norm = config.flag(INCLUDE_NORM)?.unwrap_or(is_later);
    // Only some activations need these keys.
    for key in ["top_k", THRESHOLD, "expansion_factor"] {
        config.get(key);
    }
    let logarithms = [
        "log_jumprelu_threshold",
        "activation_function.log_jumprelu_threshold",
    ];
    let logarithm = logarithms.into_iter().find(|name| tensors.has(name));

    let activation = config.text("act_fn")?.unwrap_or("relu").to_lowercase();
    let is_converted = activation == "topk"
        && !is_later
        && config
            .number(THRESHOLD)?
            .is_some_and(|threshold| threshold > 0.0);
    let mut notes = Vec::new();
    let short = tensors.has("W_E");
    let [bias, decoder_bias] = if short {
        ["b_E", "b_D"]
    } else {
        ["encoder.bias", "decoder.bias"]
    };
    let (units, decoder_norms) = match activation.as_str() {
        "relu" => (
            PublishedUnits::plain(Activation::Relu, bias),
            DecoderNorms::Nowhere,
        ),
        "topk" if !is_converted => {
            if by_norm && is_later {
                notes.push(Note::ScaledByDecoderNorm);
            }
            let norms = if by_norm {
                DecoderNorms::InUnits
            } else {
                DecoderNorms::Nowhere
            };
            let k = config.count("top_k")?.unwrap_or(50);
            (PublishedUnits::plain(Activation::TopK(k), bias), norms)
        }
        "jumprelu" | "topk" => {
            let threshold = match logarithm {
                Some(name) => Source::LogPerUnit(name),
                None => {
                    let threshold = config.required(THRESHOLD, config.number(THRESHOLD)?)?;
                    if threshold < 0.0 {
                        let reason = format!("{THRESHOLD} must be at least 0, is {threshold}");
                        return Err(malformed(config.path(), reason));
                    }
                    Source::Constant(match (is_later, by_norm) {
                        (true, _) => threshold,
                        (false, true) => threshold * output_scale,
                        (false, false) => threshold * scale,
                    })
                }
            };
            let norms = if by_norm {
                DecoderNorms::InThresholds
            } else {
                DecoderNorms::Nowhere
            };
            (PublishedUnits::above(threshold, bias), norms)
        }
        "batchtopk" => {
            let why = "it selects over a batch and has no threshold for single samples; convert \
                       the model to jumprelu";
            return config.refuse("act_fn", "batchtopk", why);
        }
        other => {
            let reason =
                format!("the activation {other} has no counterpart in a model of this crate");
            return Err(unsupported(config.path(), reason));
        }
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    let hidden = match config.count("d_sae")? {
        Some(size) => Some(("d_sae", size)),
        None => config.number("expansion_factor")?.map(|factor| {
            (
                "expansion_factor × d_model",
                (f64::of_count(d) * factor) as usize,
            )
        }),
    };
    let published = Published {
        encoder_weights: if short {
            Matrix::units_are_columns("W_E")
        } else {
            Matrix::units_are_rows("encoder.weight")
        },
        decoder_weights: if short {
            Matrix::units_are_rows("W_D")
        } else {
            Matrix::units_are_columns("decoder.weight")
        },
        decoder_bias: has_bias.then_some(decoder_bias),
        centered: has_bias && centered.unwrap_or(!is_later),
        transcodes: false,
        skip: None,
        units,
        decoder_norms,
        decoder_factors: None,
        input_scale: scale,
        output_scale,
        unused: &norm_tensors.each_ref().map(String::as_str),
        of_layout: &[
            "encoder_glu.weight",
            "encoder_glu.bias",
            "W_E_glu",
            "b_E_glu",
            logarithms[0],
            logarithms[1],
        ],
        input_size: Some(("d_model", d)),
        output_size: None,
        hidden,
    };
    published.load(&mut tensors, &config, notes)
}

/// Returns the path of the weights in a folder, where the library would find them.
fn weights(folder: &Path) -> Result<PathBuf, Error> {
    for place in PLACES {
        let path = folder.join(place);
        let pickled = path.with_extension("pt");
        if path.exists() {
            return Ok(path);
        }
        if pickled.exists() {
            return Err(pickle(&pickled));
        }
    }
    Ok(folder.join(WEIGHTS))
}

/// Refuses dictionaries that are not autoencoders of one place, and gated linear encoders.
fn refuse_other_kinds(config: &Config) -> Result<(), Error> {
    let kind = config.text("sae_type")?.unwrap_or("sae");
    if kind != "sae" {
        let why = "only autoencoders of one place, `sae`, have a counterpart in this crate";
        return config.refuse("sae_type", kind, why);
    }
    if config.flag("use_glu_encoder")? == Some(true) {
        let why = "a gated linear encoder has no counterpart in a model of this crate";
        return config.refuse("use_glu_encoder", "true", why);
    }
    Ok(())
}

/// The places in the network that a model reads and reconstructs.
struct Hooks<'a> {
    input: Option<&'a str>,
    output: Option<&'a str>,
}

impl<'a> Hooks<'a> {
    /// Reads the places from a configuration. They must be the same.
    fn of(config: &'a Config) -> Result<Self, Error> {
        let input = config.text("hook_point_in")?;
        let output = config.text("hook_point_out")?.or(input);
        match (input, output) {
            (Some(input), Some(output)) if input != output => {
                let why = format!(
                    "transcoders of Llama Scope, such as this one from {input} to another place, are not read"
                );
                config.refuse("hook_point_out", output, &why)
            }
            _ => Ok(Self { input, output }),
        }
    }

    /// Returns the tensors in which the later generation keeps the average norms of input and output.
    fn norm_tensors(&self) -> [String; 2] {
        let name = |hook: Option<&str>| format!("{NORMS}.{}", hook.unwrap_or_default());
        [name(self.input), name(self.output)]
    }
}

/// Returns s and r.
fn scales<R: std::io::Read + std::io::Seek>(
    config: &Config,
    tensors: &mut Tensors<R>,
    norm_tensors: &[String; 2],
    d: usize,
) -> Result<[f64; 2], Error> {
    let norms = config.object(NORMS)?;
    let within = |key| -> Result<Option<f64>, Error> {
        norms.as_ref().map_or(Ok(None), |norms| norms.number(key))
    };
    let mode = config.text("norm_activation")?.unwrap_or("dataset-wise");
    let in_config = [within("in"), within("out")];
    match mode {
        "dataset-wise" => {}
        "inference" | "none" => return Ok([1.0, 1.0]),
        "token-wise" => {
            let why = "each sample is divided by its own norm, which is not linear and has no \
                       counterpart in a model of this crate";
            return config.refuse("norm_activation", mode, why);
        }
        "batch-wise" => {
            let why = "samples are divided by the average norm of their batch, so that the result \
                       depends on the others; it has no counterpart in a model of this crate";
            return config.refuse("norm_activation", mode, why);
        }
        other => return config.refuse("norm_activation", other, "it is not known"),
    }
    let mut scales = [0.0; 2];
    let [input, output] = in_config;
    let input = input?;
    for (index, (norm, key)) in [(input, "in"), (output?.or(input), "out")]
        .into_iter()
        .enumerate()
    {
        let tensor = &norm_tensors[index];
        let in_tensors = norm.is_none() && tensors.has(tensor);
        let norm = match norm {
            Some(norm) => norm,
            None if in_tensors => tensors.scalar(tensor)?,
            None => config.required(&format!("{NORMS}.{key}"), None)?,
        };
        scales[index] = f64::of_count(d).sqrt() / norm;
        if !(scales[index] > 0.0 && scales[index].is_finite()) {
            let reason = format!("the average norm must be finite and above 0, is {norm}");
            let path = if in_tensors {
                &tensors.path
            } else {
                config.path()
            };
            return Err(malformed(path, reason));
        }
    }
    Ok(scales)
}

/// Saves a model to a folder, in the first generation of the layout. Creates the folder if necessary.
///
/// The model needs ReLU units, or one threshold for all units, as with
/// [`BatchTopK`](Activation::BatchTopK). [`TopK`](Activation::TopK) is read, but not written: the first generation
/// converts it to a threshold. The average norm is written as `√d`, so that `s = 1` and raw
/// samples stay raw.
///
/// # Errors
///
/// [`Error::Unsupported`] for several hidden layers, an output that is not linear, activations that
/// Llama Scope lacks, thresholds that differ, and a folder with other weights; [`Error::Io`] if the files cannot
/// be written.
pub fn save<T: Real>(model: &SparseAutoencoder<T>, folder: impl AsRef<Path>) -> Result<(), Error> {
    let folder = folder.as_ref();
    let layer = OneLayer::of(model, folder, "Llama Scope")?;
    let (d, n) = (layer.input_size, layer.hidden);
    // A threshold below 0 acts as 0.
    let acting = |threshold: &T| threshold.max(T::zero());
    let threshold = match layer.activation {
        Activation::Relu => T::zero(),
        Activation::JumpRelu => acting(&layer.blocks[0][0]),
        _ => return layer.refuse_activation(folder, "Llama Scope"),
    };
    let mut thresholds = layer.blocks.iter().flatten().map(acting);
    if thresholds.any(|other| other != threshold) {
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
        "sparsity_include_decoder_norm": false,
        "use_decoder_bias": true,
        "use_glu_encoder": false,
    });
    let parts = [
        Part::new("encoder.weight", &[n, d], layer.encoder_weights),
        Part::new("encoder.bias", &[n], layer.encoder_bias),
        Part::transposed("decoder.weight", &[d, n], layer.decoder_weights),
        Part::new("decoder.bias", &[d], layer.decoder_bias),
    ];
    let pickled = ["sae_weights.pt", "checkpoints/pruned.pt"];
    refuse_beside(folder, &[&PLACES[..2], &pickled].concat())?;
    write_both(folder, WEIGHTS, CONFIG, &config, |out| {
        write(out, &[], &parts)
    })
}
