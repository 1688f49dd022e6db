//! Models: the text `model`, which is the [`ModelSettings`], and the parameters. A prefix tells several models of a
//! file apart.

use std::io::{Read, Seek};
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Contents, Kind, MODEL, Note, Part, Reading, Tensors, malformed};
use crate::files::json::{Object, short};
use crate::files::tensors::Rows;
use crate::linalg::Aligned;
use crate::model::per_layer::PerLayer;
use crate::model::{Layout, ModelSettings, Parameters};
use crate::penalty::Description;
use crate::{Error, Real, SparseAutoencoder};

/// How the names of the tensors of layers begin, and that of S.
const LAYERS: &str = "layers.";
const SKIP: &str = "skip";

impl<T: Real> Kind for SparseAutoencoder<T> {
    type Scalar = T;
    const KIND: &'static str = MODEL;

    fn contents(&self) -> Contents<'_, T> {
        Contents {
            texts: vec![text("", self)],
            tensors: parts("", self),
        }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        read(file, "")
    }
}

/// Returns the text of a model.
pub(super) fn text<T: Real>(prefix: &str, model: &SparseAutoencoder<T>) -> (String, String) {
    let settings = json!(model.settings()).to_string();
    (format!("{prefix}model"), settings)
}

/// Returns the tensors of a model.
pub(super) fn parts<'a, T: Real>(
    prefix: &str,
    model: &'a SparseAutoencoder<T>,
) -> Vec<Part<'a, T>> {
    let theta = model.parameters().as_slice();
    blocks(prefix, model.layout())
        .into_iter()
        .map(|(name, shape, range)| Part::new(&name, &shape, &theta[range]))
        .collect()
}

/// Returns whether a tensor of a checkpoint is one of its model.
pub(in crate::files) fn is_of_model(name: &str) -> bool {
    name == SKIP || name.starts_with(LAYERS)
}

/// Returns the tensors of a layout: name, shape, and range in θ.
fn blocks(prefix: &str, layout: &Layout) -> Vec<(String, Vec<usize>, Range<usize>)> {
    let mut tensors = Vec::new();
    for (index, blocks) in layout.blocks().iter().enumerate() {
        let mut tensor = |name, shape: &[usize], range: &Range<usize>| {
            tensors.push((
                format!("{prefix}{LAYERS}{index}.{name}"),
                shape.to_vec(),
                range.clone(),
            ));
        };
        let (below, above, decoded) = (blocks.below, blocks.above, blocks.decoded);
        tensor("encoder_weights", &[above, below], &blocks.encoder_weights);
        tensor("encoder_bias", &[above], &blocks.encoder_bias);
        if !layout.is_tied() {
            let shape = &[above, decoded];
            tensor("decoder_weights", shape, &blocks.decoder_weights);
        }
        tensor("decoder_bias", &[decoded], &blocks.decoder_bias);
        for (block, range) in blocks.names.iter().zip(&blocks.own) {
            tensor(block.name, &[range.len()], range);
        }
    }
    if let Some(place) = layout.skip() {
        let shape = vec![layout.input_size(), layout.output_size()];
        tensors.push((format!("{prefix}{SKIP}"), shape, place));
    }
    tensors
}

/// Reads a model. Notes an unknown penalty.
pub(super) fn read<T: Real>(
    file: &mut Reading,
    prefix: &str,
) -> Result<SparseAutoencoder<T>, Error> {
    let tensors = &mut file.tensors;
    let mut settings = settings(tensors, prefix)?;
    if settings.layers.len() > tensors.entries.len() {
        let (layers, file_tensors) = (settings.layers.len(), tensors.entries.len());
        let reason = format!("{layers} layers in {file_tensors} tensors");
        return Err(malformed(&tensors.path, reason));
    }
    let penalties = settings.penalty.iter_mut().flat_map(|of| of.iter_mut());
    for penalty in penalties.filter(|penalty| !penalty.is_known()) {
        file.notes.push(Note::UnknownPenalty {
            description: match std::mem::replace(penalty, Description::None) {
                Description::Custom(debug) => debug,
                combined => format!("{combined:?}"),
            },
        });
    }
    let layout = settings.layout()?;
    settings.complete(&layout)?;
    let objective = settings.objective(None)?;
    let layout = layout.for_activations(&objective.encoder)?;
    let theta = read_theta(tensors, prefix, &layout)?;
    let parameters = Parameters::from_aligned(layout, theta)?;
    Ok(SparseAutoencoder::from_parts(parameters, objective))
}

/// Returns the settings of a model. An unknown penalty becomes a custom one.
pub(in crate::files) fn settings<R>(
    tensors: &Tensors<R>,
    prefix: &str,
) -> Result<ModelSettings, Error> {
    let path = &tensors.path;
    let key = format!("{prefix}model");
    let Some(text) = tensors.metadata.get(&key) else {
        return Err(malformed(path, format!("{key} is missing")));
    };
    let mut object = Object::parse(path, text.as_bytes())?;
    let refused = match serde_json::from_str(text) {
        Ok(settings) => {
            check_keys(&object)?;
            return Ok(settings);
        }
        Err(error) => error,
    };
    let penalty = object.get("penalty").cloned().unwrap_or_default();
    if Option::<PerLayer<Description>>::deserialize(&penalty).is_ok() {
        object.read_settings::<ModelSettings>()?;
        return Err(malformed(path, refused.to_string())); // of keys that occur twice
    }
    let custom = Description::Custom(short(&penalty));
    object.insert("penalty", json!(custom));
    let settings = object.read_settings()?;
    check_keys(&object)?;
    Ok(settings)
}

/// Refuses settings that leave one out.
fn check_keys(object: &Object) -> Result<(), Error> {
    let all = json!(ModelSettings::default());
    let mut keys = all.as_object().into_iter().flat_map(|all| all.keys());
    keys.try_for_each(|key| object.required(key, object.get(key)).map(drop))
}

/// Refuses tensors with another layout.
pub(in crate::files) fn check_shapes<R: Read + Seek>(
    tensors: &Tensors<R>,
    prefix: &str,
    layout: &Layout,
) -> Result<(), Error> {
    for (name, shape, _) in blocks(prefix, layout) {
        tensors.check_shape(&name, &shape)?;
    }
    Ok(())
}

/// Reads θ of a model with this layout.
pub(in crate::files) fn read_theta<T: Real, R: Read + Seek>(
    tensors: &mut Tensors<R>,
    prefix: &str,
    layout: &Layout,
) -> Result<Aligned<T>, Error> {
    // Checks all shapes first, because the allocation must not exceed the numbers in the file.
    check_shapes(tensors, prefix, layout)?;
    let mut theta = tensors.allocate::<T>(layout.len())?;
    for (name, _, range) in blocks(prefix, layout) {
        tensors.read_into(&name, Rows::Contiguous, &mut theta[range])?;
    }
    Ok(theta)
}

/// Returns the settings of a model that affect its training, by name.
pub(crate) fn describe<T: Real>(model: &SparseAutoencoder<T>) -> Value {
    json!(model.settings().without_start())
}
