//! [dictionary_learning](https://github.com/saprmarks/dictionary_learning): the state of a
//! dictionary, published as the pickle `ae.pt` with `config.json`.
//!
//! Convert the pickle first:
//!
//! ```python
//! state = torch.load("ae.pt", map_location="cpu", weights_only=True)
//! state = {name: tensor.contiguous() for name, tensor in state.items()}
//! safetensors.torch.save_file(state, "ae.safetensors")
//! ```
//!
//! | class | hidden activations | the encoder sees |
//! |---|---|---|
//! | [`AutoEncoder`](Dictionary::AutoEncoder) | `max(z, 0)` | `x − c` |
//! | [`AutoEncoderNew`](Dictionary::AutoEncoderNew) | `max(z, 0)` | `x` |
//! | [`GatedAutoEncoder`](Dictionary::GatedAutoEncoder) | gated | `x − c` |
//! | [`AutoEncoderTopK`](Dictionary::AutoEncoderTopK) | `max(z, 0)` on the k largest | `x − c` |
//! | [`BatchTopKSae`](Dictionary::BatchTopKSae), [`MatryoshkaBatchTopKSae`](Dictionary::MatryoshkaBatchTopKSae) | `max(z, 0)` where `z > threshold` | `x − c` |
//! | [`JumpReluAutoEncoder`](Dictionary::JumpReluAutoEncoder) | `max(z, 0)` where `z > threshold` | `x` |
//!
//! The numbers are those of the state as it is; `from_pretrained` of `AutoEncoder` would bring the
//! columns of the decoder to norm 1 besides.

use std::path::{Path, PathBuf};

use super::json::Object;
use super::published::{Matrix, Published, Selection, Threshold};
use super::tensors::Tensors;
use super::{Loaded, Note, malformed, pickle, unsupported};
use crate::{Error, Real};

/// The classes of dictionary_learning whose states can be loaded, by their names there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dictionary {
    /// ReLU units.
    AutoEncoder,
    /// ReLU units, with the input as it is.
    AutoEncoderNew,
    /// Gated units.
    GatedAutoEncoder,
    /// The k largest units of a sample.
    AutoEncoderTopK,
    /// Units above one threshold: the k largest on average.
    BatchTopKSae,
    /// The same, trained in nested groups.
    MatryoshkaBatchTopKSae,
    /// Units above a threshold each.
    JumpReluAutoEncoder,
}

impl Dictionary {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "AutoEncoder" => Self::AutoEncoder,
            "AutoEncoderNew" => Self::AutoEncoderNew,
            "GatedAutoEncoder" => Self::GatedAutoEncoder,
            "AutoEncoderTopK" => Self::AutoEncoderTopK,
            "BatchTopKSAE" => Self::BatchTopKSae,
            "MatryoshkaBatchTopKSAE" => Self::MatryoshkaBatchTopKSae,
            "JumpReluAutoEncoder" => Self::JumpReluAutoEncoder,
            _ => return None,
        })
    }
}

/// Loads a state, given the file or its folder with `ae.safetensors`; `config.json` beside it says of
/// which class it is.
///
/// # Errors
///
/// As [`load_as`]; [`Error::Io`] without `config.json`, [`Error::Unsupported`] for a class that is not
/// a [`Dictionary`].
pub fn load<T: Real>(path: impl AsRef<Path>) -> Result<Loaded<T>, Error> {
    let path = weights(path.as_ref());
    let config = Object::read(&path.with_file_name("config.json"))?;
    let trainer = config.required("trainer", config.object("trainer")?)?;
    let class = trainer.required("dict_class", trainer.text("dict_class")?)?;
    let Some(dictionary) = Dictionary::named(class) else {
        let reason = format!("the class {class} has no counterpart in a model of this crate");
        return Err(unsupported(config.path(), reason));
    };
    load_as(path, dictionary)
}

/// Loads a state of this class, given the file or its folder with `ae.safetensors`.
///
/// The states of `AutoEncoderTopK` and `BatchTopKSAE` look alike: read as the first, k units of each
/// sample are active, read as the second, those above the threshold.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if it is damaged or not the state of
/// such a class, [`Error::Unsupported`] for a pickle.
pub fn load_as<T: Real>(
    path: impl AsRef<Path>,
    dictionary: Dictionary,
) -> Result<Loaded<T>, Error> {
    let path = weights(path.as_ref());
    let pickled = path.with_extension("pt");
    if !path.exists() && pickled.exists() {
        return Err(pickle(&pickled));
    }
    let mut tensors = Tensors::open(&path)?;
    let mut notes = Vec::new();
    if tensors.has(MEAN) {
        notes.push(Note::TransformedSamples {
            transformation: format!("subtracting {MEAN}"),
        });
    }
    let linear = Published {
        encoder_weights: Matrix::units_are_rows("encoder.weight"),
        encoder_bias: "encoder.bias",
        decoder_weights: Matrix::units_are_columns("decoder.weight"),
        decoder_bias: "b_dec",
        centered: true,
        selection: Selection::Relu,
        by_decoder_norm: false,
        decoder_factors: None,
        input_scale: 1.0,
        unused: &["k", MEAN],
    };
    let published = match dictionary {
        Dictionary::AutoEncoder => Published {
            decoder_bias: "bias",
            ..linear
        },
        Dictionary::AutoEncoderNew => Published {
            decoder_bias: "decoder.bias",
            centered: false,
            ..linear
        },
        Dictionary::GatedAutoEncoder => Published {
            decoder_bias: "decoder_bias",
            selection: Selection::Gated {
                gate_bias: "gate_bias",
                magnitude_bias: "mag_bias",
                log_magnitude: "r_mag",
            },
            ..linear
        },
        Dictionary::AutoEncoderTopK => Published {
            selection: Selection::TopK(active_units(&mut tensors)?),
            unused: &["k", "threshold", MEAN],
            ..linear
        },
        Dictionary::BatchTopKSae => Published {
            selection: Selection::BatchTopK {
                k: active_units(&mut tensors)?,
                threshold: "threshold",
            },
            ..linear
        },
        Dictionary::MatryoshkaBatchTopKSae => Published {
            encoder_weights: Matrix::units_are_columns("W_enc"),
            encoder_bias: "b_enc",
            decoder_weights: Matrix::units_are_rows("W_dec"),
            selection: Selection::BatchTopK {
                k: active_units(&mut tensors)?,
                threshold: "threshold",
            },
            unused: &["k", "group_sizes", MEAN],
            ..linear
        },
        Dictionary::JumpReluAutoEncoder => Published {
            encoder_weights: Matrix::units_are_columns("W_enc"),
            encoder_bias: "b_enc",
            decoder_weights: Matrix::units_are_rows("W_dec"),
            centered: false,
            selection: Selection::Above(Threshold::PerUnit("threshold")),
            ..linear
        },
    };
    published.load(&mut tensors, notes)
}

/// Not part of any class, but published beside the state by some: the mean of the activations, which
/// they subtract first.
const MEAN: &str = "act_mean";

fn weights(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("ae.safetensors")
    } else {
        path.to_owned()
    }
}

/// The tensor `k`.
fn active_units<R: std::io::Read + std::io::Seek>(
    tensors: &mut Tensors<R>,
) -> Result<usize, Error> {
    let k: f64 = tensors.scalar("k")?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 1..2³¹
    if (1.0..f64::from(i32::MAX)).contains(&k) && k.fract() <= 0.0 {
        Ok(k as usize)
    } else {
        let reason = format!("k must be a whole number of at least 1, is {k}");
        Err(malformed(&tensors.path, reason))
    }
}
