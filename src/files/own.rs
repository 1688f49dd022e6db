//! Files of this crate's own models, and of what is built on them.
//!
//! Each is one safetensors file. Its metadata have `format: sparse-autoencoder`, `version: 1`, and the
//! `kind`. Texts in JSON and tensors depend on the kind:
//!
//! | kind | texts | tensors |
//! |---|---|---|
//! | `model` | `model` | `layers.0.encoder_weights`, … |
//! | `anomaly_detector` | `model`, `threshold` | those of a model, those of a scaler, `calibration_scores` |
//! | `anomaly_ensemble` | `ensemble`; `folds.0.levels.0.model`, … | `folds.0.scaler.centers`, …, `folds.0.calibration_scores`, `folds.0.levels.0.…`, … |
//! | `stack` | `autoencoders`, their number; `autoencoders.0.model`, … | `autoencoders.0.layers.0.encoder_weights`, … |
//! | `classifier` | `classifier` | `layers.0.weights`, `layers.0.bias`, … |
//! | `scaler` | | `scaler.centers`, `scaler.factors`, `scaler.offsets` |
//! | `imputer` | | `imputer.means`, `imputer.marked` |
//!
//! A detector, and each fold of an ensemble, also has the tensor `imputer.means` if it imputes missing values.
//! A row of weights belongs to a hidden unit. The crate refuses another version of the *format*.

mod classifier;
mod detector;
mod ensemble;
mod imputer;
mod model;
mod scaler;
mod stack;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::atomic::Draft;
use super::checksum::{become_model, check_sum_of_checkpoint};
use super::safetensors::{Part, write};
use super::tensors::{SCORES, Tensors};
use super::{Loaded, Note, malformed, unsupported};
use crate::{
    AnomalyDetector, AnomalyEnsemble, Error, Imputer, Real, Scaler, SoftmaxClassifier,
    SparseAutoencoder, Stack,
};

pub(crate) use model::describe;
pub(super) use model::{check_shapes, is_of_model, read_theta, settings};

const FORMAT: &str = "sparse-autoencoder";
const VERSION: &str = "1";
/// What the names of tensors contain whose numbers describe samples. Rounded, they would no longer do so.
const OF_SAMPLES: [&str; 3] = ["scaler.", "imputer.", SCORES];

/// Returns whether a tensor of this crate keeps its type of numbers in every conversion.
pub(super) fn is_of_samples<R>(tensors: &Tensors<R>, name: &str) -> bool {
    is_own(tensors) && OF_SAMPLES.iter().any(|of| name.contains(of))
}

/// Returns whether 0 is invalid in a tensor of a file of this crate, the scale of the scores of a model.
pub(super) fn refuses_0<R>(tensors: &Tensors<R>, name: &str) -> bool {
    is_own(tensors) && name.ends_with("scale")
}

/// Returns whether a file is one of this crate.
pub(super) fn is_own<R>(tensors: &Tensors<R>) -> bool {
    tensors.metadata.get("format").map(String::as_str) == Some(FORMAT)
}

pub(super) const MODEL: &str = "model";
const DETECTOR: &str = "anomaly_detector";
const ENSEMBLE: &str = "anomaly_ensemble";
const STACK: &str = "stack";
const CLASSIFIER: &str = "classifier";
const SCALER: &str = "scaler";
const IMPUTER: &str = "imputer";

/// The kinds of files: the key, its name in messages, and the type to load.
const KINDS: [(&str, &str, &str); 7] = [
    (MODEL, "a model", "SparseAutoencoder"),
    (DETECTOR, "an anomaly detector", "AnomalyDetector"),
    (ENSEMBLE, "an anomaly ensemble", "AnomalyEnsemble"),
    (STACK, "a stack", "Stack"),
    (CLASSIFIER, "a classifier", "SoftmaxClassifier"),
    (SCALER, "a scaler", "Scaler"),
    (IMPUTER, "an imputer", "Imputer"),
];

/// A type that [`save`] writes to a file and [`load`] reads: see the [table](crate::files#files-of-this-crate).
///
/// The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "a file does not hold `{Self}`",
    label = "not a type that files hold",
    note = "name the type in the file, as in `files::load::<SparseAutoencoder<f32>>(path)`"
)]
pub trait Stored: Kind {}

impl<T: Real> Stored for SparseAutoencoder<T> {}
impl<T: Real> Stored for AnomalyDetector<T> {}
impl<T: Real> Stored for AnomalyEnsemble<T> {}
impl<T: Real> Stored for Stack<T> {}
impl<T: Real> Stored for SoftmaxClassifier<T> {}
impl<T: Real> Stored for Scaler<T> {}
impl<T: Real> Stored for Imputer<T> {}

/// How a kind of file is written and read.
pub trait Kind: Sized {
    /// The scalar type.
    type Scalar: Real;
    /// The kind in the metadata.
    const KIND: &'static str;

    /// Returns the texts and tensors of the file, without the common metadata.
    fn contents(&self) -> Contents<'_, Self::Scalar>;

    /// Reads a file of this kind and of a known version.
    fn read(file: &mut Reading) -> Result<Self, Error>;
}

/// A file being read.
#[derive(Debug)]
pub struct Reading {
    pub(super) tensors: Tensors<BufReader<File>>,
    notes: Vec<Note>,
}

/// The contents of a file.
#[derive(Debug)]
pub struct Contents<'a, T: Real> {
    pub(super) texts: Vec<(String, String)>,
    pub(super) tensors: Vec<Part<'a, T>>,
}

/// Saves a model, an anomaly detector or ensemble, a stack, a classifier, a scaler, or an imputer,
/// bit for bit.
///
/// A penalty of your own is saved as its `Debug` text, and [left out](super::Note::UnknownPenalty) when loaded.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be written; an existing file then stays unchanged.
pub fn save<S: Stored>(stored: &S, path: impl AsRef<Path>) -> Result<(), Error> {
    let Contents { texts, tensors } = contents(stored);
    Draft::write(path.as_ref(), |out| write(out, &texts, &tensors))?.commit()
}

/// Loads what [`save`] has written, in the same scalar type or another.
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
/// let wider = files::load::<SparseAutoencoder<f64>>(&path)?.model;
/// assert_eq!(wider.hidden_activations(), [Activation::Relu]);
/// assert_eq!(format!("{:?}", wider.penalty()), "L1");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if it is another file, of another kind, or
/// damaged, [`Error::Unsupported`] for another version, and the errors of
/// [`build`](crate::SparseAutoencoderBuilder::build).
pub fn load<S: Stored>(path: impl AsRef<Path>) -> Result<Loaded<S>, Error> {
    let mut tensors = Tensors::open(path.as_ref())?;
    check_kind(&tensors, S::KIND)?;
    check_sum_of_checkpoint(&mut tensors)?;
    if S::KIND == MODEL {
        become_model(&mut tensors);
    }
    let mut file = Reading {
        tensors,
        notes: Vec::new(),
    };
    let model = S::read(&mut file)?;
    refuse_others(&file.tensors, &model)?;
    let notes = file.notes;
    Ok(Loaded { model, notes })
}

/// Returns all contents of a file.
pub(super) fn contents<S: Kind>(stored: &S) -> Contents<'_, S::Scalar> {
    let mut contents = stored.contents();
    let common = [("format", FORMAT), ("version", VERSION), ("kind", S::KIND)];
    let common = common.map(|(key, text)| (key.to_owned(), text.to_owned()));
    contents.texts.extend(common);
    contents
}

/// Refuses files of other programs, of other versions, and of other kinds.
pub(super) fn check_kind<R>(tensors: &Tensors<R>, expected: &str) -> Result<(), Error> {
    let path = &tensors.path;
    let metadata = |key: &str| tensors.metadata.get(key).map(String::as_str);
    if !is_own(tensors) {
        let reason = "not a file of this crate; published models have loaders of their own";
        return Err(malformed(path, reason));
    }
    let version = metadata("version").unwrap_or("none");
    if version != VERSION {
        let reason = format!("version {version} of the format, this crate reads {VERSION}");
        return Err(unsupported(path, reason));
    }
    let Some(kind) = metadata("kind") else {
        return Err(malformed(path, "kind is missing"));
    };
    let named = |key: &str| KINDS.iter().find(|(known, ..)| *known == key);
    let Some((_, name, to_load)) = named(kind) else {
        let reason = format!("the kind {kind} of files is not known to this version of the crate");
        return Err(unsupported(path, reason));
    };
    if kind != expected {
        let expected = named(expected).map_or(expected, |(_, name, _)| name);
        let reason = format!(
            "expected {expected}, but this is {name}: load it by files::load::<{to_load}<T>>"
        );
        return Err(malformed(path, reason));
    }
    Ok(())
}

/// Refuses tensors that are no part of what has been loaded.
fn refuse_others<R, S: Kind>(tensors: &Tensors<R>, loaded: &S) -> Result<(), Error> {
    let parts = loaded.contents().tensors;
    let known: BTreeSet<&str> = parts.iter().map(|part| &*part.name).collect();
    let mut names = tensors.entries.keys();
    match names.find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let reason = format!("the tensor {name} is no part of this kind of file");
            Err(malformed(&tensors.path, reason))
        }
    }
}

/// Reads a text in JSON.
fn described<D: DeserializeOwned>(file: &Reading, key: &str) -> Result<D, Error> {
    let path = &file.tensors.path;
    let Some(text) = file.tensors.metadata.get(key) else {
        return Err(malformed(path, format!("{key} is missing")));
    };
    serde_json::from_str(text).map_err(|error| {
        let error = error.to_string();
        // A later version may know this name.
        let is_new = error.starts_with("unknown ");
        let refuse = if is_new { unsupported } else { malformed };
        refuse(path, format!("{key}: {error}"))
    })
}

/// Reads calibration scores, which may be infinite.
fn scores<T: Real>(file: &mut Reading, prefix: &str) -> Result<Vec<T>, Error> {
    vector(file, &format!("{prefix}{SCORES}"))
}

/// Reads a tensor of one dimension and any length.
fn vector<T: Real>(file: &mut Reading, name: &str) -> Result<Vec<T>, Error> {
    let tensors = &mut file.tensors;
    match *tensors.shape(name)? {
        [length] => tensors.vector(name, length),
        ref shape => {
            let reason = format!("{name} must have one dimension, has the shape {shape:?}");
            Err(malformed(&tensors.path, reason))
        }
    }
}

/// Converts the error of a constructor to one of the file.
fn invalid(file: &Reading) -> impl Fn(Error) -> Error {
    let path = &file.tensors.path;
    move |error| malformed(path, error.to_string())
}
