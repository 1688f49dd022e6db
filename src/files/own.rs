//! Files of this crate's own models.
//!
//! A model is one safetensors file. Its metadata have `format: sparse-autoencoder`, `version: 2`, and
//! `model`, the [`Settings`] as JSON. Its tensors are the parameters, `layers.0.encoder_weights`, …: a row
//! of weights belongs to a hidden unit. The crate reads the files of all earlier versions, and refuses a
//! later version of the *format*.

use std::io::{Read, Seek};
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::atomic::Draft;
use super::json::{Object, short};
use super::safetensors::{Part, write};
use super::tensors::{Rows, Tensors};
use super::{Loaded, Note, malformed, unsupported};
use crate::linalg::Aligned;
use crate::model::{Layout, Parameters, Settings};
use crate::penalty::Description;
use crate::{Error, Real, SparseAutoencoder};

const FORMAT: &str = "sparse-autoencoder";
const VERSION: &str = "2";
const READABLE: [&str; 2] = ["1", VERSION];

/// Saves a model: its settings, and its parameters bit for bit.
///
/// A penalty of your own is saved as its `Debug` text, and cannot be loaded again.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be written; an existing file then stays unchanged.
pub fn save<T: Real>(model: &SparseAutoencoder<T>, path: impl AsRef<Path>) -> Result<(), Error> {
    Draft::write(path.as_ref(), |out| {
        write(out, &metadata(model), &parts(model))
    })?
    .commit()
}

/// Returns the metadata of a model in the header of a file.
pub(super) fn metadata<T: Real>(model: &SparseAutoencoder<T>) -> [(&'static str, String); 3] {
    [
        ("format", FORMAT.to_owned()),
        ("version", VERSION.to_owned()),
        ("model", json!(model.settings()).to_string()),
    ]
}

/// Returns the tensors of a model.
pub(super) fn parts<T: Real>(model: &SparseAutoencoder<T>) -> Vec<Part<'_, T>> {
    let theta = model.parameters().as_slice();
    blocks(model.layout())
        .into_iter()
        .map(|(name, shape, range)| Part::new(&name, &shape, &theta[range]))
        .collect()
}

/// Returns the tensors of a layout: name, shape, and range in θ.
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

/// Loads a model that [`save`] has written, in the same scalar type or another.
///
/// ```
/// use sparse_autoencoder::{Activation, L1, SparseAutoencoder, files};
/// # let path = std::env::temp_dir().join(format!("sparse-autoencoder-own-{}", std::process::id()));
///
/// let sae = SparseAutoencoder::<f32>::builder()
///     .layers([8, 16])
///     .hidden_activation(Activation::Relu)
///     .penalty(L1)
///     .penalty_weight(0.1)
///     .build()?;
/// files::save(&sae, &path)?;
///
/// let wider = files::load::<f64>(&path)?.model;
/// assert_eq!(wider.hidden_activations(), [Activation::Relu]);
/// assert_eq!(format!("{:?}", wider.penalty()), "L1");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if it is another file or damaged,
/// [`Error::Unsupported`] for a later version, and the errors of
/// [`build`](crate::SparseAutoencoderBuilder::build).
pub fn load<T: Real>(path: impl AsRef<Path>) -> Result<Loaded<T>, Error> {
    read(Tensors::open(path.as_ref())?)
}

pub(super) fn read<T: Real, R: Read + Seek>(mut tensors: Tensors<R>) -> Result<Loaded<T>, Error> {
    let mut settings = settings(&tensors)?;
    if settings.layers.len() > tensors.entries.len() {
        let (layers, file_tensors) = (settings.layers.len(), tensors.entries.len());
        let reason = format!("{layers} layers in {file_tensors} tensors");
        return Err(malformed(&tensors.path, reason));
    }
    let mut notes = Vec::new();
    if let Some(penalty) = settings.penalty.take_if(|penalty| !penalty.is_known()) {
        settings.penalty = Some(Description::None);
        notes.push(Note::UnknownPenalty {
            description: match penalty {
                Description::Custom(debug) => debug,
                combined => format!("{combined:?}"),
            },
        });
    }
    let layout = Layout::new(&settings.layers, settings.tied)?;
    settings.complete(&layout)?;
    let objective = settings.objective(None)?;
    let layout = layout.for_activations(&objective.encoder)?;
    let theta = read_theta(&mut tensors, &layout)?;
    let parameters = Parameters::from_aligned(layout, theta)?;
    Ok(Loaded {
        model: SparseAutoencoder::from_parts(parameters, objective),
        notes,
    })
}

/// Returns the settings in the header of a file. An unknown penalty becomes a custom one.
pub(super) fn settings<R>(tensors: &Tensors<R>) -> Result<Settings, Error> {
    let path = &tensors.path;
    let metadata = |key: &str| tensors.metadata.get(key).map(String::as_str);
    if metadata("format") != Some(FORMAT) {
        let reason = "not a model of this crate; published models have loaders of their own";
        return Err(malformed(path, reason));
    }
    let version = metadata("version").unwrap_or("none");
    if !READABLE.contains(&version) {
        let reason = format!("version {version} of the format, this crate reads up to {VERSION}");
        return Err(unsupported(path, reason));
    }
    let text = metadata("model").unwrap_or_default();
    let mut object = Object::parse(path, text.as_bytes())?;
    let refused = match serde_json::from_str(text) {
        Ok(settings) => {
            check_keys(&object)?;
            return Ok(settings);
        }
        Err(error) => error,
    };
    let is_first = version == READABLE[0];
    if is_first {
        upgrade(&mut object)?;
    }
    let penalty = object.get("penalty").cloned().unwrap_or_default();
    let is_known = Option::<Description>::deserialize(&penalty).is_ok();
    if !is_known {
        let custom = Description::Custom(short(&penalty));
        object.insert("penalty", json!(custom));
    }
    let settings = object.read_settings()?;
    if is_first || !is_known {
        check_keys(&object)?;
        return Ok(settings);
    }
    Err(malformed(path, refused.to_string())) // of keys that occur twice
}

/// Refuses settings that leave one out. Version 1 had no initialization settings.
fn check_keys(object: &Object) -> Result<(), Error> {
    let all = json!(Settings::default());
    let mut keys = all.as_object().into_iter().flat_map(|all| all.keys());
    keys.try_for_each(|key| match key.as_str() {
        "initialization" | "seed" => Ok(()),
        key => object.required(key, object.get(key)).map(drop),
    })
}

/// Converts settings of version 1, which had a flag for each layer instead of `penalized_layers`.
fn upgrade(object: &mut Object) -> Result<(), Error> {
    let flags = object.required("penalized", object.list("penalized")?)?;
    let flags: Option<Vec<bool>> = flags.iter().map(Value::as_bool).collect();
    let Some(flags) = flags else {
        let reason = "penalized must be a list of true and false";
        return Err(malformed(object.path(), reason));
    };
    object.remove("penalized");
    if flags.contains(&false) {
        let layers = (0..flags.len()).filter(|&l| flags[l]);
        object.insert("penalized_layers", json!(layers.collect::<Vec<_>>()));
    }
    Ok(())
}

/// Refuses tensors with another layout.
pub(super) fn check_shapes<R: Read + Seek>(
    tensors: &Tensors<R>,
    layout: &Layout,
) -> Result<(), Error> {
    for (name, shape, _) in blocks(layout) {
        tensors.check_shape(&name, &shape)?;
    }
    Ok(())
}

/// Reads θ of a model with this layout.
pub(super) fn read_theta<T: Real, R: Read + Seek>(
    tensors: &mut Tensors<R>,
    layout: &Layout,
) -> Result<Aligned<T>, Error> {
    // Checks all shapes first, because the allocation must not exceed the numbers in the file.
    check_shapes(tensors, layout)?;
    let mut theta = tensors.room::<T>(layout.len())?;
    for (name, _, range) in blocks(layout) {
        tensors.read_into(&name, Rows::Contiguous, &mut theta[range])?;
    }
    Ok(theta)
}

/// Returns the settings of a model that affect its training, by name.
pub(crate) fn describe<T: Real>(model: &SparseAutoencoder<T>) -> Value {
    json!(model.settings().without_start())
}
