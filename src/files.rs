//! Saves and loads models, detectors, stacks, classifiers, and scalers, and reads and writes published sparse
//! autoencoders.
//!
//! ```
//! use sparse_autoencoder::nalgebra::DMatrix;
//! use sparse_autoencoder::{AnomalyDetector, Scaling, SparseAutoencoder, Threshold, files};
//! # let folder = std::env::temp_dir().join(format!("sparse-autoencoder-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//!
//! let sae = SparseAutoencoder::<f32>::builder().layers([8, 12]).build()?;
//! let path = folder.join("model.safetensors");
//! files::save(&sae, &path)?;
//! let again = files::load::<SparseAutoencoder<f32>>(&path)?;
//! assert!(again.notes.is_empty());
//! assert_eq!(again.model.parameters(), sae.parameters());
//!
//! // A detector in one file, with its model, its scaler, its calibration scores, and its threshold.
//! let normal = DMatrix::from_fn(8, 60, |i, j| ((i * 31 + j * 17) % 23) as f32);
//! let scaler = Scaling::standard().fit(normal.columns(0, 30))?;
//! let rule = Threshold::FalseAlarmRate(0.1);
//! let detector = AnomalyDetector::calibrate(&sae, &scaler, normal.columns(30, 30), rule)?;
//! let path = folder.join("detector.safetensors");
//! files::save(&detector, &path)?;
//! let again: AnomalyDetector<f32> = files::load(&path)?.model;
//! assert_eq!(again.p_values(&normal)?, detector.p_values(&normal)?);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```
//!
//! # Files of this crate
//!
//! [`save`] writes one safetensors file, and [`load`] reads it, for every [`Stored`] type. Numbers are kept bit for
//! bit, and so are all results:
//!
//! | type | in the file |
//! |---|---|
//! | [`SparseAutoencoder`](crate::SparseAutoencoder) | settings, parameters |
//! | [`AnomalyDetector`](crate::AnomalyDetector) | the model, the scaler, the imputer if there is one, the calibration scores, the rule of the threshold |
//! | [`AnomalyEnsemble`](crate::AnomalyEnsemble) | the constant features with their values; the scaler, the imputer if there is one, models, noise, and calibration scores of each fold |
//! | [`Stack`](crate::Stack) | settings and parameters of each autoencoder |
//! | [`SoftmaxClassifier`](crate::SoftmaxClassifier) | activations and parameters of all layers, the weight decay |
//! | [`Scaler`](crate::Scaler) | centers, factors, offsets |
//! | [`Imputer`](crate::Imputer) | means, marked features |
//!
//! A file of another kind is an [`Error::Malformed`] that names its kind and how to load it. Another version of the
//! format is an [`Error::Unsupported`]. A checkpoint of a [`Trainer`](crate::Trainer) loads as a model.
//!
//! # Published sparse autoencoders
//!
//! | project | module | files | reads | writes |
//! |---|---|---|---|---|
//! | [SAELens](https://github.com/decoderesearch/SAELens) | [`sae_lens`] | `cfg.json`, `sae_weights.safetensors` | yes | yes |
//! | [sparsify](https://github.com/EleutherAI/sparsify) | [`sparsify`] | `cfg.json`, `sae.safetensors` | yes | yes |
//! | [Gemma Scope](https://arxiv.org/abs/2408.05147) and Gemma Scope 2 | [`gemma_scope`] | `params.npz`; `params.safetensors` | yes | yes |
//! | [Llama Scope](https://arxiv.org/abs/2410.20526) | [`llama_scope`] | `hyperparams.json`, `checkpoints/final.safetensors`; `config.json`, `sae_weights.safetensors` | yes | the first two; ReLU, or one threshold for all units |
//! | [dictionary_learning](https://github.com/saprmarks/dictionary_learning) | [`dictionary_learning`] | `ae.safetensors`, converted from `ae.pt`; `config.json` | yes | yes |
//!
//! The layouts differ, and each difference changes what `encode` returns:
//!
//! | project | input of the encoder | hidden activations | encoder, decoder in the file |
//! |---|---|---|---|
//! | SAELens | `x − c`, unless `apply_b_dec_to_input` is false | ReLU; top k, by `z` or by `z‖D_j‖`; above a threshold; gated | d × n, n × d |
//! | sparsify | `x − c`, unless `transcode` | top k, by `z` or by `\|z\|` | n × d, n × d |
//! | Gemma Scope | `x` | above a threshold | d × n, n × d |
//! | Llama Scope | `s·(x − c/r)`, or `s·x`; s and r are `√d` divided by the mean norm of inputs and of outputs | above a threshold of `z` or of `z‖D_j‖`; ReLU; top k | n × d, d × n; some as SAELens |
//! | dictionary_learning | `x − c`; `x` for `AutoEncoderNew` and `JumpReluAutoEncoder` | ReLU; top k; above a threshold; gated | n × d, d × n; some as SAELens |
//!
//! Here `c` is the decoder bias, `z` a pre-activation, `D_j` the decoder column of a unit, d the input
//! size, and n the hidden size. Matrices are row-major. Loading converts each layout, so that `encode`
//! and `decode` agree with the original library, up to rounding in `T`:
//!
//! | in the file | in the model |
//! |---|---|
//! | the encoder sees `x − c` | a [pre-encoder bias](crate::SparseAutoencoderBuilder::pre_encoder_bias) |
//! | top k | [`TopK`](crate::Activation::TopK), [`AbsTopK`](crate::Activation::AbsTopK) |
//! | above a threshold | [`JumpRelu`](crate::Activation::JumpRelu); [`BatchTopK`](crate::Activation::BatchTopK) for one common threshold and a known k |
//! | gated | [`Gated`](crate::Activation::Gated) |
//! | scalings of inputs, of units, of decoded activations | folded into weights, biases, and thresholds |
//!
//! A property without a counterpart is an [`Error::Unsupported`] that names it. Other remarks are
//! [`Note`]s. Every configuration key and every tensor is used, refused, known to have no effect, or
//! reported in a note. Published files contain no penalty, and loaded models have none.
//!
//! [Transcoders](crate::SparseAutoencoderBuilder::output_size) of SAELens, sparsify, and Gemma Scope 2 load and save,
//! with their skip connections.
//!
//! # Guarantees
//!
//! - Numbers in the file may be `f16`, `bf16`, `f32`, `f64`, or integers of 8 to 64 bits. They stream from
//!   the file into the model. [`convert`] narrows the numbers of a file.
//! - A configuration may begin with a byte-order mark and contain `NaN`, `Infinity`, and duplicate keys, as
//!   Python writes them. Numbers in use must be finite. The last of duplicate keys counts.
//! - A file whose parts do not fit together, or with numbers that a model cannot have, is an
//!   [`Error::Malformed`]. A checkpoint also has a checksum of all its bytes. Memory for numbers is allocated only
//!   once the file is known to hold them. The list of tensors takes a few times its size in the file.
//!   Models with NaN or infinities are refused, and samples with infinities. If memory runs out, the error is an
//!   [`Error::Io`] of the kind [`OutOfMemory`](std::io::ErrorKind::OutOfMemory).
//! - A file of another kind, such as a Git LFS pointer or an HTML page, is an error that names the kind and
//!   the remedy. A folder, pipe, or device is an [`Error::Io`]; reading never blocks.
//! - A new file replaces an old one in one atomic step, once it is complete and on the disk.
//! - Pickles are never read: `.pt` files can run any code. The error tells how to convert them.

mod atomic;
pub(crate) mod checkpoint_file;
mod checksum;
mod convert;
pub(crate) mod json;
mod npy;
mod npz;
mod number_types;
pub(crate) mod own;
mod published;
mod safetensors;
mod tensor_file;
mod tensors;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub use convert::{Number, convert};
pub use own::{Stored, load, save};
pub use published::{dictionary_learning, gemma_scope, llama_scope, sae_lens, sparsify};
pub use tensor_file::{TensorFile, TensorSamples};

use atomic::Draft;

use crate::Error;
use crate::data::file_kind::FileKind;
use crate::error::{io_error, malformed, unsupported};

/// What a file held: a [`SparseAutoencoder`](crate::SparseAutoencoder), or another [`Stored`] type.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded<M> {
    /// The model, detector, stack, classifier, or scaler.
    pub model: M,
    /// Differences from the file, and what the caller has to do about them. Often empty.
    pub notes: Vec<Note>,
}

/// A remark on a loaded model. [`Display`](fmt::Display) gives the full text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// The penalty is not defined in this crate. The model is loaded without it, for inference. To train
    /// it further, build it again: `SparseAutoencoder::builder().settings(model.settings().clone())
    /// .parameters(model.into_parameters()).penalty(Mine).build()`.
    UnknownPenalty {
        /// The penalty as the file describes it.
        description: String,
    },
    /// The model was trained on transformed samples. Neither the file nor the original library's `encode`
    /// contains the transformation.
    TransformedSamples {
        /// The name of the transformation in the file.
        transformation: String,
    },
    /// The file is a checkpoint of training, converted to a model for inference.
    TrainingCheckpoint {
        /// The conversion.
        conversion: &'static str,
    },
    /// Training ended before it set the threshold: units are active above 0.
    ThresholdNotSet,
    /// An unknown key of the configuration, which was not used.
    UnknownKey {
        /// The key with its path, such as `metadata.hook_name`.
        key: String,
    },
    /// An unknown tensor of the file, which was not used.
    UnusedTensor {
        /// Its name.
        name: String,
    },
    /// Hidden activations are those of the original, multiplied by the norms of the decoder columns. The
    /// columns of the model have one norm: 1, or `1/r` for a factor `r` of the output. Reconstructions are the
    /// same.
    ScaledByDecoderNorm,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPenalty { description } => write!(
                f,
                "the penalty {description} is not one of this crate's: the model is loaded \
                 without it, for inference (to train it, build it with its settings, parameters, and \
                 `.penalty(…)`)"
            ),
            Self::TransformedSamples { transformation } => write!(
                f,
                "the model was trained on samples transformed by {transformation}, which is left \
                 to the caller"
            ),
            Self::TrainingCheckpoint { conversion } => write!(f, "a checkpoint: {conversion}"),
            Self::ThresholdNotSet => f.write_str("no threshold was set: units are active above 0"),
            Self::UnknownKey { key } => {
                write!(
                    f,
                    "the key {key} of the configuration is not known, and was not used"
                )
            }
            Self::UnusedTensor { name } => {
                write!(f, "the tensor {name} is not known, and was not used")
            }
            Self::ScaledByDecoderNorm => f.write_str(
                "hidden activations are those of the original times the norms of the decoder's \
                 columns, which all have the same norm here",
            ),
        }
    }
}

/// Writes weights and configuration to a folder, and creates it if necessary. Both files are complete
/// before either replaces an old one.
fn write_both(
    folder: &Path,
    weights: &str,
    config: &str,
    content: &serde_json::Value,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Error> {
    let (weights, config) = (folder.join(weights), folder.join(config));
    let of_weights = weights.parent().unwrap_or(folder);
    fs::create_dir_all(of_weights).map_err(|error| io_error(of_weights, &error))?;
    let weights = Draft::write(&weights, write)?;
    let config = Draft::write(&config, |out| {
        out.write_all(format!("{content:#}\n").as_bytes())
    })?;
    weights.commit()?;
    config.commit()
}

fn pickle(path: &Path) -> Error {
    FileKind::Pickle.instead_of(path, "a safetensors or npz file")
}
