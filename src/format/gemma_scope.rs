//! Gemma Scope (Lieberum et al. 2024, <https://arxiv.org/abs/2408.05147>), in `params.npz`, and
//! Gemma Scope 2, in `params.safetensors` with an optional `config.json`.
//!
//! ```text
//! h = max(z, 0) where z > threshold,   z = x W_enc + b_enc,   x̂ = h W_dec + b_dec
//! ```
//!
//! `W_enc` is d × n, `W_dec` is n × d; the second generation writes `w_enc` and `w_dec`. The bias of
//! the decoder is not subtracted from the input. The encoders of embeddings were trained on
//! embeddings that had been multiplied with `√d`: so are the samples for `encode`. A transcoder
//! without a skip connection is loaded too, if its output is as wide as its input; what
//! `reconstruct` returns is then its prediction.

use std::path::Path;

use super::json::Object;
use super::published::{Matrix, Published, Selection, Threshold};
use super::tensors::Tensors;
use super::{Loaded, unsupported};
use crate::{Error, Real};

/// Loads `params.npz` or `params.safetensors`, given the file or its folder.
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read, [`Error::Malformed`] if it is not what it should be,
/// [`Error::Unsupported`] for skip connections and architectures other than `jump_relu`.
pub fn load<T: Real>(path: impl AsRef<Path>) -> Result<Loaded<T>, Error> {
    let mut path = path.as_ref().to_owned();
    if path.is_dir() {
        let first = path.join("params.npz");
        path = if first.exists() {
            first
        } else {
            path.join("params.safetensors")
        };
    }
    let config = path.with_file_name("config.json");
    if config.exists() {
        let config = Object::read(&config)?;
        let architecture = config.text("architecture")?.unwrap_or("jump_relu");
        if architecture != "jump_relu" {
            let reason = format!("the architecture {architecture} is not jump_relu");
            return Err(unsupported(config.path(), reason));
        }
    }
    let mut tensors = Tensors::open(&path)?;
    let name = |upper, lower| if tensors.has(lower) { lower } else { upper };
    let published = Published {
        encoder_weights: Matrix::units_are_columns(name("W_enc", "w_enc")),
        encoder_bias: "b_enc",
        decoder_weights: Matrix::units_are_rows(name("W_dec", "w_dec")),
        decoder_bias: "b_dec",
        centered: false,
        selection: Selection::Above(Threshold::PerUnit("threshold")),
        by_decoder_norm: false,
        decoder_factors: None,
        input_scale: 1.0,
        unused: &[],
    };
    published.load(&mut tensors, Vec::new())
}
