//! Files of [dictionary_learning](https://github.com/saprmarks/dictionary_learning): the state of a
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
//! | class | hidden activations | encoder input |
//! |---|---|---|
//! | [`AutoEncoder`](Dictionary::AutoEncoder) | `max(z, 0)` | `x − c` |
//! | [`AutoEncoderNew`](Dictionary::AutoEncoderNew) | `max(z, 0)` | `x` |
//! | [`GatedAutoEncoder`](Dictionary::GatedAutoEncoder) | gated | `x − c` |
//! | [`AutoEncoderTopK`](Dictionary::AutoEncoderTopK) | `max(z, 0)` on the k largest | `x − c` |
//! | [`BatchTopKSae`](Dictionary::BatchTopKSae), [`MatryoshkaBatchTopKSae`](Dictionary::MatryoshkaBatchTopKSae) | `max(z, 0)` where `z > threshold` | `x − c` |
//! | [`JumpReluAutoEncoder`](Dictionary::JumpReluAutoEncoder) | `max(z, 0)` where `z > threshold` | `x` |
//!
//! Parameters are loaded unchanged. `AutoEncoder.from_pretrained` also scales the decoder columns to
//! norm 1.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::activations::Names;
use super::config::Config;
use super::one_layer::OneLayer;
use super::without_effect::Project;
use super::{DecoderNorms, Matrix, Published};
use crate::data::dtype::Element;
use crate::files::safetensors::{Part, header, write_parts};
use crate::files::tensors::Tensors;
use crate::files::{Loaded, Note, malformed, pickle, unsupported, write_both};
use crate::{Activation, Error, Real, SparseAutoencoder};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "ae.safetensors";

/// The classes of dictionary_learning whose states can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dictionary {
    /// ReLU units.
    AutoEncoder,
    /// ReLU units, without a pre-encoder bias.
    AutoEncoderNew,
    /// Gated units.
    GatedAutoEncoder,
    /// The k largest units of a sample.
    AutoEncoderTopK,
    /// Units above a common threshold, on average k per sample.
    BatchTopKSae,
    /// As [`BatchTopKSae`](Self::BatchTopKSae), trained in nested groups.
    MatryoshkaBatchTopKSae,
    /// Units with a threshold each.
    JumpReluAutoEncoder,
}

impl Dictionary {
    const ALL: [Self; 7] = [
        Self::AutoEncoder,
        Self::AutoEncoderNew,
        Self::GatedAutoEncoder,
        Self::AutoEncoderTopK,
        Self::BatchTopKSae,
        Self::MatryoshkaBatchTopKSae,
        Self::JumpReluAutoEncoder,
    ];

    /// Returns the name of the class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AutoEncoder => "AutoEncoder",
            Self::AutoEncoderNew => "AutoEncoderNew",
            Self::GatedAutoEncoder => "GatedAutoEncoder",
            Self::AutoEncoderTopK => "AutoEncoderTopK",
            Self::BatchTopKSae => "BatchTopKSAE",
            Self::MatryoshkaBatchTopKSae => "MatryoshkaBatchTopKSAE",
            Self::JumpReluAutoEncoder => "JumpReluAutoEncoder",
        }
    }

    /// Returns the class of this name.
    fn named(name: &str) -> Option<Self> {
        // As the library spelled it at first.
        let name = match name {
            "MatroyshkaBatchTopKSAE" => "MatryoshkaBatchTopKSAE",
            name => name,
        };
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Returns the class equivalent to a model with these units, and its names.
    fn of(hidden: Activation, centered: bool) -> Option<(Self, &'static Names)> {
        let names = Names::find(Project::DictionaryLearning, hidden)?;
        match Self::named(names.name)? {
            Self::AutoEncoder if !centered => Some((Self::AutoEncoderNew, names)),
            class => Some((class, names)),
        }
    }
}

/// Loads a state, given `ae.safetensors` or its folder.
///
/// `config.json` in the same folder names the class. Without it, use [`load_as`].
///
/// # Errors
///
/// As [`load_as`]; also [`Error::Io`] without `config.json`, and [`Error::Unsupported`] for a class that
/// is not a [`Dictionary`], and for states that predict other activations.
pub fn load<T: Real>(path: impl AsRef<Path>) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
    let path = weights(path.as_ref());
    let config = Config::read(&path.with_file_name(CONFIG), Project::DictionaryLearning)?;
    let trainer = config.required("trainer", config.object("trainer")?)?;
    let class = trainer.required("dict_class", trainer.text("dict_class")?)?;
    let Some(dictionary) = Dictionary::named(class) else {
        let reason = format!("the class {class} has no counterpart in a model of this crate");
        return Err(unsupported(config.path(), reason));
    };
    if let Some(buffer) = config.object("buffer")?
        && buffer.text("io")? == Some("in_and_out")
    {
        let why = "the state predicts the output of a module from its input; load_as loads it, and `reconstruct` then \
                   predicts";
        return buffer.refuse("io", "in_and_out", why);
    }
    load_with(&path, dictionary, &config, &trainer)
}

/// Loads a state of this class, given `ae.safetensors` or its folder.
///
/// The states of `AutoEncoderTopK` and `BatchTopKSAE` look alike. As the first, k units of each sample
/// are active; as the second, the units above the threshold.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::Malformed`] if it is damaged or not a state of this
/// class, [`Error::Unsupported`] for a pickle.
pub fn load_as<T: Real>(
    path: impl AsRef<Path>,
    dictionary: Dictionary,
) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
    let path = weights(path.as_ref());
    let config = Config::absent(&path.with_file_name(CONFIG), Project::DictionaryLearning);
    load_with(&path, dictionary, &config, &config)
}

fn load_with<T: Real>(
    path: &Path,
    dictionary: Dictionary,
    config: &Config,
    trainer: &Config,
) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
    let pickled = path.with_extension("pt");
    if !path.exists() && pickled.exists() {
        return Err(pickle(&pickled));
    }
    let mut tensors = Tensors::open(path)?;
    let mut notes = Vec::new();
    if tensors.has(MEAN) {
        notes.push(Note::TransformedSamples {
            transformation: format!("subtracting {MEAN}"),
        });
    }
    // The first states of `AutoEncoderTopK` have no tensor k.
    let k = || match tensors.has("k") {
        true => active_units(&mut tensors),
        false => trainer.required("k", trainer.count("k")?),
    };
    let Some(units) = Names::read(Project::DictionaryLearning, dictionary.name(), k)? else {
        let class = dictionary.name();
        let reason = format!("the class {class} has no counterpart in a model of this crate");
        return Err(unsupported(path, reason));
    };
    let linear = Published {
        encoder_weights: Matrix::units_are_rows("encoder.weight"),
        decoder_weights: Matrix::units_are_columns("decoder.weight"),
        decoder_bias: Some("b_dec"),
        centered: true,
        transcodes: false,
        skip: None,
        units,
        decoder_norms: DecoderNorms::Nowhere,
        decoder_factors: None,
        input_scale: 1.0,
        output_scale: 1.0,
        unused: &["k", MEAN],
        of_layout: &[
            "bias",
            "decoder.bias",
            "decoder_bias",
            "b_dec",
            "encoder.bias",
            "b_enc",
            "gate_bias",
            "mag_bias",
            "r_mag",
            "threshold",
        ],
        input_size: trainer
            .count("activation_dim")?
            .map(|size| ("activation_dim", size)),
        output_size: None,
        hidden: trainer.count("dict_size")?.map(|size| ("dict_size", size)),
    };
    trainer.get("k");
    if tensors.has("k") {
        let k = active_units(&mut tensors)?;
        if let Some(claimed) = trainer.count("k")?.filter(|&claimed| claimed != k) {
            let reason = format!("k is {claimed}, but that of the weights is {k}");
            return Err(malformed(config.path(), reason));
        }
    }
    let published = match dictionary {
        Dictionary::AutoEncoder => Published {
            decoder_bias: Some("bias"),
            ..linear
        },
        Dictionary::AutoEncoderNew => Published {
            decoder_bias: Some("decoder.bias"),
            centered: false,
            ..linear
        },
        Dictionary::GatedAutoEncoder => Published {
            decoder_bias: Some("decoder_bias"),
            ..linear
        },
        Dictionary::AutoEncoderTopK => Published {
            unused: &["k", "threshold", MEAN],
            ..linear
        },
        Dictionary::BatchTopKSae => linear,
        Dictionary::MatryoshkaBatchTopKSae => Published {
            encoder_weights: Matrix::units_are_columns("W_enc"),
            decoder_weights: Matrix::units_are_rows("W_dec"),
            unused: &["k", "group_sizes", MEAN],
            ..linear
        },
        Dictionary::JumpReluAutoEncoder => Published {
            encoder_weights: Matrix::units_are_columns("W_enc"),
            decoder_weights: Matrix::units_are_rows("W_dec"),
            centered: false,
            ..linear
        },
    };
    published.load(&mut tensors, config, notes)
}

/// The mean of the samples. It belongs to no class, but some publish it with the state and subtract it
/// from the samples first.
const MEAN: &str = "act_mean";

fn weights(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(WEIGHTS)
    } else {
        path.to_owned()
    }
}

/// Saves a model to `ae.safetensors` and `config.json` in `folder`, and returns its class. Creates the
/// folder if necessary.
///
/// `ae.safetensors` holds the state of the equivalent class, which `config.json` names. The library
/// itself reads only pickles. Convert the state by
/// `torch.save(safetensors.torch.load_file("ae.safetensors"), "ae.pt")`. Pass `normalize_decoder=False`
/// to `from_pretrained` where it has this argument.
///
/// A bias that the class lacks is folded into its other biases, so that `encode` returns the same, up to
/// rounding. Tied weights are written twice.
///
/// # Errors
///
/// [`Error::Unsupported`] for several hidden layers, an output that is not linear, and hidden
/// activations without an equivalent class; [`Error::Io`] if the files cannot be written.
pub fn save<T: Real>(
    model: &SparseAutoencoder<T>,
    folder: impl AsRef<Path>,
) -> Result<Dictionary, Error> {
    let folder = folder.as_ref();
    let layer = OneLayer::of(model, folder, "dictionary_learning")?;
    let hidden = model.hidden_activations()[0];
    let mut found = [hidden, layer.activation].into_iter();
    let Some((dictionary, names)) = found.find_map(|hidden| Dictionary::of(hidden, layer.centered))
    else {
        return layer.refuse_activation(folder, "dictionary_learning");
    };
    let (d, n) = (layer.input_size, layer.hidden);
    let (mut parts, decoder_bias, blocks) = match dictionary {
        Dictionary::JumpReluAutoEncoder => {
            let parts = vec![
                Part::transposed("W_enc", &[d, n], layer.encoder_weights),
                Part::new("W_dec", &[n, d], layer.decoder_weights),
                Part::new(names.bias, &[n], layer.plain_bias()),
            ];
            (parts, "b_dec", layer.blocks.clone())
        }
        _ => {
            let sees_samples = dictionary == Dictionary::AutoEncoderNew;
            let bias = if sees_samples {
                layer.plain_bias()
            } else {
                layer.centered_bias()
            };
            let parts = vec![
                Part::new("encoder.weight", &[n, d], layer.encoder_weights),
                Part::transposed("decoder.weight", &[d, n], layer.decoder_weights),
                Part::new(names.bias, &[n], bias),
            ];
            let decoder_bias = match dictionary {
                Dictionary::AutoEncoder => "bias",
                Dictionary::AutoEncoderNew => "decoder.bias",
                Dictionary::GatedAutoEncoder => "decoder_bias",
                _ => "b_dec",
            };
            (parts, decoder_bias, layer.centered_blocks())
        }
    };
    parts.push(Part::new(decoder_bias, &[d], layer.decoder_bias));
    parts.extend(names.parts(&blocks));
    if dictionary == Dictionary::AutoEncoderTopK {
        parts.push(Part::new("threshold", &[], vec![-T::one()])); // not set
    }
    let k = hidden.k().or(layer.activation.k());
    let config = json!({
        "trainer": {
            "dict_class": dictionary.name(),
            "activation_dim": d,
            "dict_size": n,
            "k": k,
        },
    });
    let element = Element::of::<T>();
    let whole = Element::I64;
    let tensors = parts
        .iter()
        .map(|part| (&*part.name, element.name(), element.size(), &*part.shape));
    let tensors = k
        .map(|_| ("k", whole.name(), whole.size(), &[][..]))
        .into_iter()
        .chain(tensors);
    write_both(folder, WEIGHTS, CONFIG, &config, |out| {
        out.write_all(&header(&[], tensors)?)?;
        if let Some(k) = k {
            out.write_all(&(k as u64).to_le_bytes())?;
        }
        write_parts(out, &parts)
    })?;
    Ok(dictionary)
}

/// Reads the tensor `k`.
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
