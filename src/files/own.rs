//! The files of this crate's own models.
//!
//! One safetensors file. Its metadata say `format: sparse-autoencoder`, `version: 1`, and under
//! `model`, as JSON, everything of the model but its parameters. Those are the tensors
//! `layers.0.encoder_weights`, …: a row of weights belongs to a hidden unit. A later version of the
//! crate reads the files of all earlier ones; a file of a later version of the *format* is refused.

use std::io::{Read, Seek};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::atomic::Draft;
use super::json::{Object, as_count, short};
use super::safetensors::{Part, write};
use super::tensors::{Rows, Tensors};
use super::{Loaded, Note, malformed, unsupported};
use crate::linalg::Aligned;
use crate::model::builder::check_numbers;
use crate::model::{Layout, Parameters};
use crate::objective::{Objective, Reconstruction};
use crate::penalty::{Description, Penalty};
use crate::{Activation, Error, Real, SparseAutoencoder};

const FORMAT: &str = "sparse-autoencoder";
const VERSION: &str = "1";

/// Saves a model, as it is: layers, activations, objective, and parameters, bit for bit.
///
/// A penalty of your own is saved by what `Debug` says of it, and cannot be loaded again.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be written; a file that was there stays as it was.
pub fn save<T: Real>(model: &SparseAutoencoder<T>, path: impl AsRef<Path>) -> Result<(), Error> {
    Draft::write(path.as_ref(), |out| {
        write(out, &metadata(model), &parts(model))
    })?
    .commit()
}

/// What the header of a file says of a model.
pub(super) fn metadata<T: Real>(model: &SparseAutoencoder<T>) -> [(&'static str, String); 3] {
    [
        ("format", FORMAT.to_owned()),
        ("version", VERSION.to_owned()),
        ("model", describe(model).to_string()),
    ]
}

/// The tensors of a file, for a model.
pub(super) fn parts<T: Real>(model: &SparseAutoencoder<T>) -> Vec<Part<'_, T>> {
    let theta = model.parameters().as_slice();
    blocks(model.layout())
        .into_iter()
        .map(|(name, shape, range)| Part::new(&name, &shape, &theta[range]))
        .collect()
}

/// The tensors of a file: name, shape, and place in θ.
fn blocks(layout: &Layout) -> Vec<(String, Vec<usize>, Range<usize>)> {
    let mut tensors = Vec::new();
    for (index, blocks) in layout.blocks().iter().enumerate() {
        let mut tensor = |name, shape: &[usize], range: &Range<usize>| {
            tensors.push((
                format!("layers.{index}.{name}"),
                shape.to_vec(),
                range.clone(),
            ));
        };
        let (below, above) = (blocks.below, blocks.above);
        tensor("encoder_weights", &[above, below], &blocks.encoder_weights);
        tensor("encoder_bias", &[above], &blocks.encoder_bias);
        if !layout.is_tied() {
            tensor("decoder_weights", &[above, below], &blocks.decoder_weights);
        }
        tensor("decoder_bias", &[below], &blocks.decoder_bias);
        for (block, range) in blocks.names.iter().zip(&blocks.own) {
            tensor(block.name, &[range.len()], range);
        }
    }
    tensors
}

/// Loads a model that [`save`] has written, of the same or the other scalar.
///
/// ```
/// use sparse_autoencoder::{Activation, L1, SparseAutoencoder, format};
/// # let path = std::env::temp_dir().join(format!("sparse-autoencoder-own-{}", std::process::id()));
///
/// let sae = SparseAutoencoder::<f32>::builder()
///     .layers([8, 16])
///     .hidden_activation(Activation::Relu)
///     .penalty(L1)
///     .penalty_weight(0.1)
///     .build()?;
/// format::save(&sae, &path)?;
///
/// let wider = format::load::<f64>(&path)?.model;
/// assert_eq!(wider.hidden_activations(), [Activation::Relu]);
/// assert_eq!(format!("{:?}", wider.penalty()), "L1");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if it is not such a file or is
/// damaged, [`Error::Unsupported`] for a later version; what the builder refuses.
pub fn load<T: Real>(path: impl AsRef<Path>) -> Result<Loaded<T>, Error> {
    read(Tensors::open(path.as_ref())?)
}

pub(super) fn read<T: Real, R: Read + Seek>(mut tensors: Tensors<R>) -> Result<Loaded<T>, Error> {
    let object = description(&tensors)?;
    let mut notes = Vec::new();
    let (layout, objective) = interpret(&object, tensors.entries.len(), &mut notes)?;

    let theta = read_theta(&mut tensors, &layout)?;
    let parameters = Parameters::from_aligned(layout, theta)?;
    Ok(Loaded {
        model: SparseAutoencoder::from_parts(parameters, objective),
        notes,
    })
}

/// What a file says of its model.
pub(super) fn description<R>(tensors: &Tensors<R>) -> Result<Object, Error> {
    let path = &tensors.path;
    let metadata = |key: &str| tensors.metadata.get(key).map(String::as_str);
    if metadata("format") != Some(FORMAT) {
        let reason = "not a model of this crate; published models have loaders of their own";
        return Err(malformed(path, reason));
    }
    if metadata("version") != Some(VERSION) {
        let version = metadata("version").unwrap_or("none");
        let reason = format!("version {version} of the format, this crate reads {VERSION}");
        return Err(unsupported(path, reason));
    }
    Object::parse(path, metadata("model").unwrap_or_default().as_bytes())
}

/// Refuses θ of another layout than this.
pub(super) fn check_shapes<R: Read + Seek>(
    tensors: &Tensors<R>,
    layout: &Layout,
) -> Result<(), Error> {
    for (name, shape, _) in blocks(layout) {
        tensors.check_shape(&name, &shape)?;
    }
    Ok(())
}

/// θ, of a model of this layout.
pub(super) fn read_theta<T: Real, R: Read + Seek>(
    tensors: &mut Tensors<R>,
    layout: &Layout,
) -> Result<Aligned<T>, Error> {
    // All shapes first: room is made for numbers that the file has, not for sizes that are claimed.
    check_shapes(tensors, layout)?;
    let mut theta = tensors.room::<T>(layout.len())?;
    for (name, _, range) in blocks(layout) {
        tensors.read_into(&name, Rows::Contiguous, &mut theta[range])?;
    }
    Ok(theta)
}

/// Everything of a model but its parameters.
pub(crate) fn describe<T: Real>(model: &SparseAutoencoder<T>) -> Value {
    let objective = model.objective();
    let names = |activations: &[Activation]| -> Vec<Value> {
        activations
            .iter()
            .copied()
            .map(activation_to_json)
            .collect()
    };
    json!({
        "layers": model.layout().sizes(),
        "tied": model.layout().is_tied(),
        "hidden_activations": names(&objective.encoder),
        "decoder_activations": names(&objective.decoder),
        "reconstruction": match objective.reconstruction {
            Reconstruction::SquaredError => "squared_error",
            Reconstruction::BinaryCrossEntropy => "binary_cross_entropy",
        },
        "penalty": penalty_to_json(&objective.penalty.description()),
        "penalty_weight": objective.penalty_weight.to_f64(),
        "sparsity_target": objective.sparsity_target.to_f64(),
        "penalized": objective.penalized,
        "weight_decay": objective.weight_decay.to_f64(),
        "bandwidth": objective.bandwidth.to_f64(),
        "pre_encoder_bias": objective.pre_encoder_bias,
        "norm_weighted": objective.norm_weighted,
        "matryoshka": objective.prefixes,
    })
}

/// The layout and the objective that a description stands for, with the checks of a builder.
///
/// Layers are no more than the `tensors` of the file.
fn interpret<T: Real>(
    object: &Object,
    tensors: usize,
    notes: &mut Vec<Note>,
) -> Result<(Layout, Objective<T>), Error> {
    let list = |key: &str| object.required(key, object.list(key)?);
    let wrong = |key: &str, value: &Value| {
        malformed(
            object.path(),
            format!("{key} has the entry {}", short(value)),
        )
    };
    let counts = |key: &str| {
        list(key)?
            .iter()
            .map(|size| as_count(size).ok_or_else(|| wrong(key, size)))
            .collect::<Result<Vec<_>, Error>>()
    };
    let sizes = counts("layers")?;
    if sizes.len() > tensors {
        let reason = format!("{} layers in {tensors} tensors", sizes.len());
        return Err(malformed(object.path(), reason));
    }
    let layout = Layout::new(&sizes, object.required("tied", object.flag("tied")?)?)?;
    let one_per_layer = |key: &str| {
        let list = list(key)?;
        if list.len() != layout.depth() {
            let reason = format!("{key} must have one entry for each hidden layer");
            return Err(malformed(object.path(), reason));
        }
        Ok(list)
    };
    let activations = |key: &str| {
        one_per_layer(key)?
            .iter()
            .map(|value| {
                activation_from_json(value).ok_or_else(|| {
                    let reason = format!("the activation {} is not known", short(value));
                    unsupported(object.path(), reason)
                })
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let penalized = one_per_layer("penalized")?
        .iter()
        .map(|value| value.as_bool().ok_or_else(|| wrong("penalized", value)))
        .collect::<Result<Vec<_>, _>>()?;
    let number = |key: &str| object.required(key, object.number(key)?);
    let weight_decay = number("weight_decay")?;
    let penalty_weight = number("penalty_weight")?;
    let sparsity_target = number("sparsity_target")?;
    let bandwidth = number("bandwidth")?;
    let flag = |key: &str| object.required(key, object.flag(key)?);
    check_numbers::<T>(penalty_weight, weight_decay, sparsity_target, bandwidth)?;
    let reconstruction = match object.text("reconstruction")? {
        Some("squared_error") => Reconstruction::SquaredError,
        Some("binary_cross_entropy") => Reconstruction::BinaryCrossEntropy,
        other => {
            let reason = format!("the reconstruction {other:?} is not known");
            return Err(unsupported(object.path(), reason));
        }
    };
    let penalty = object.required("penalty", object.get("penalty"))?;
    let penalty: Arc<dyn Penalty<T>> = match penalty_from_json(penalty).penalty() {
        Some(penalty) => penalty,
        None => {
            notes.push(Note::UnknownPenalty {
                description: penalty["custom"]
                    .as_str()
                    .map_or(short(penalty), str::to_owned),
            });
            Arc::new(())
        }
    };
    let objective = Objective {
        encoder: activations("hidden_activations")?,
        decoder: activations("decoder_activations")?,
        reconstruction,
        weight_decay: T::of(weight_decay),
        penalty,
        penalty_weight: T::of(penalty_weight),
        sparsity_target: T::of(sparsity_target),
        penalized,
        bandwidth: T::of(bandwidth),
        pre_encoder_bias: flag("pre_encoder_bias")?,
        norm_weighted: flag("norm_weighted")?,
        prefixes: counts("matryoshka")?,
    };
    objective.check(&layout)?;
    let layout = layout.for_activations(&objective.encoder)?;
    Ok((layout, objective))
}

fn activation_to_json(activation: Activation) -> Value {
    match activation {
        Activation::Sigmoid => json!("sigmoid"),
        Activation::Tanh => json!("tanh"),
        Activation::Relu => json!("relu"),
        Activation::Identity => json!("identity"),
        Activation::SaturatingLinear => json!("saturating_linear"),
        Activation::TopK(k) => json!({ "top_k": k }),
        Activation::TopProportion(proportion) => json!({ "top_proportion": proportion }),
        Activation::WinnerTakeAll(proportion) => json!({ "winner_take_all": proportion }),
        Activation::BatchTopK(k) => json!({ "batch_top_k": k }),
        Activation::JumpRelu => json!("jump_relu"),
        Activation::Gated => json!("gated"),
    }
}

fn activation_from_json(value: &Value) -> Option<Activation> {
    if let Some(name) = value.as_str() {
        return Some(match name {
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "identity" => Activation::Identity,
            "saturating_linear" => Activation::SaturatingLinear,
            "jump_relu" => Activation::JumpRelu,
            "gated" => Activation::Gated,
            _ => return None,
        });
    }
    let (name, parameter) = only_field(value)?;
    Some(match name {
        "top_k" => Activation::TopK(as_count(parameter)?),
        "batch_top_k" => Activation::BatchTopK(as_count(parameter)?),
        "top_proportion" => Activation::TopProportion(parameter.as_f64()?),
        "winner_take_all" => Activation::WinnerTakeAll(parameter.as_f64()?),
        _ => return None,
    })
}

fn only_field(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object
        .iter()
        .next()
        .map(|(name, value)| (name.as_str(), value))
}

fn penalty_to_json(penalty: &Description) -> Value {
    match penalty {
        Description::None => json!("none"),
        Description::KlDivergence => json!("kl_divergence"),
        Description::L1 => json!("l1"),
        Description::L0 => json!("l0"),
        Description::TargetL0 => json!("target_l0"),
        Description::Proportion => json!("proportion"),
        Description::SquaredDeviation => json!("squared_deviation"),
        Description::Sum(a, b) => json!({ "sum": [penalty_to_json(a), penalty_to_json(b)] }),
        Description::Scaled(factor, penalty) => {
            json!({ "scaled": [factor, penalty_to_json(penalty)] })
        }
        // Of a penalty that holds data, the beginning will do.
        Description::Custom(debug) => {
            json!({ "custom": debug.chars().take(1000).collect::<String>() })
        }
    }
}

/// The penalty that a file names; one that is not known counts as another crate's.
fn penalty_from_json(value: &Value) -> Description {
    let known = || {
        if let Some(name) = value.as_str() {
            return Some(match name {
                "none" => Description::None,
                "kl_divergence" => Description::KlDivergence,
                "l1" => Description::L1,
                "l0" => Description::L0,
                "target_l0" => Description::TargetL0,
                "proportion" => Description::Proportion,
                "squared_deviation" => Description::SquaredDeviation,
                _ => return None,
            });
        }
        let inner = |value| Box::new(penalty_from_json(value));
        let (name, parameter) = only_field(value)?;
        Some(match (name, parameter.as_array()?.as_slice()) {
            ("sum", [a, b]) => Description::Sum(inner(a), inner(b)),
            ("scaled", [factor, penalty]) => Description::Scaled(factor.as_f64()?, inner(penalty)),
            _ => return None,
        })
    };
    known().unwrap_or_else(|| Description::Custom(short(value)))
}
