//! Views models as published files need them: one hidden layer, linear output.

use std::path::Path;

use super::activations::published;
use super::dot;
use crate::files::unsupported;
use crate::units::{OwnMut, Units};
use crate::{Activation, Error, Real, SparseAutoencoder};

/// A model that can be published: one hidden layer, linear output.
#[derive(Debug, Clone)]
pub(super) struct OneLayer<'a, T> {
    /// d
    pub(super) input_size: usize,
    pub(super) output_size: usize,
    /// n
    pub(super) hidden: usize,
    /// W, unit by unit
    pub(super) encoder_weights: &'a [T],
    pub(super) encoder_bias: &'a [T],
    /// D, unit by unit
    pub(super) decoder_weights: &'a [T],
    pub(super) decoder_bias: &'a [T],
    /// The activation of the model
    of_model: Activation,
    /// The activation of inference
    pub(super) activation: Activation,
    /// The blocks of the activation, with one number for each unit
    pub(super) blocks: Vec<Vec<T>>,
    /// Whether the encoder sees `x − c`
    pub(super) centered: bool,
    /// Whether the output is another place than the input
    pub(super) transcodes: bool,
    /// S, input by input, of a transcoder with a skip connection
    pub(super) skip: Option<&'a [T]>,
}

impl<'a, T: Real> OneLayer<'a, T> {
    /// Views an autoencoder, to be written as a file of `project` at `path`. Refuses models that do not fit.
    pub(super) fn of(
        model: &'a SparseAutoencoder<T>,
        path: &Path,
        project: &str,
    ) -> Result<Self, Error> {
        let layer = Self::or_transcoder(model, path, project)?;
        if layer.transcodes {
            let reason = format!("the files of {project} have no place for a transcoder");
            return Err(unsupported(path, reason));
        }
        Ok(layer)
    }

    /// Views an autoencoder or a transcoder.
    pub(super) fn or_transcoder(
        model: &'a SparseAutoencoder<T>,
        path: &Path,
        project: &str,
    ) -> Result<Self, Error> {
        let refuse = |what: String| {
            let reason = format!("the files of {project} have no place for {what}");
            Err(unsupported(path, reason))
        };
        let [blocks] = model.layout().blocks() else {
            return refuse(format!("{} hidden layers", model.layout().depth()));
        };
        if model.output_activation() != Activation::Identity {
            let activation = model.output_activation();
            return refuse(format!("the output activation {activation:?}"));
        }
        let activation = model.hidden_activations()[0];
        let Some(published) = published(activation, blocks.above) else {
            return refuse(format!("the hidden activation {activation:?}"));
        };
        let theta = model.parameters().as_slice();
        Ok(Self {
            input_size: blocks.below,
            output_size: blocks.decoded,
            hidden: blocks.above,
            encoder_weights: &theta[blocks.encoder_weights.clone()],
            encoder_bias: &theta[blocks.encoder_bias.clone()],
            decoder_weights: &theta[blocks.decoder_weights.clone()],
            decoder_bias: &theta[blocks.decoder_bias.clone()],
            of_model: activation,
            activation: published,
            blocks: blocks
                .own
                .iter()
                .map(|range| match &theta[range.clone()] {
                    &[of_all] => vec![of_all; blocks.above],
                    of_each => of_each.to_vec(),
                })
                .collect(),
            centered: model.has_pre_encoder_bias(),
            transcodes: model.layout().is_transcoder(),
            skip: model.layout().skip().map(|place| &theta[place]),
        })
    }

    /// Returns the bias of an equivalent encoder that sees `x − c`: `b + Wᵀ c`, or `b` if the model's encoder
    /// does.
    pub(super) fn centered_bias(&self) -> Vec<T> {
        let sign = if self.centered { 0.0 } else { 1.0 };
        self.shifted_bias(sign)
    }

    /// Returns the bias of an equivalent encoder that sees `x`: `b`, or `b − Wᵀ c` if the model's encoder sees
    /// `x − c`.
    pub(super) fn plain_bias(&self) -> Vec<T> {
        let sign = if self.centered { -1.0 } else { 0.0 };
        self.shifted_bias(sign)
    }

    /// Returns the blocks that go with [`centered_bias`](Self::centered_bias).
    pub(super) fn centered_blocks(&self) -> Vec<Vec<T>> {
        if self.centered {
            return self.blocks.clone();
        }
        // In f64, like the biases.
        let wide = |values: &[T]| Vec::from_iter(values.iter().map(|value| value.to_f64()));
        let mut blocks: Vec<_> = self.blocks.iter().map(|block| wide(block)).collect();
        if let [first, second] = &mut blocks[..] {
            let units = self.encoder_weights.chunks_exact(self.input_size);
            let shifts: Vec<f64> = units.map(|w| dot(w, self.decoder_bias)).collect();
            let mut own = OwnMut {
                bias: &mut wide(self.encoder_bias),
                blocks: [first, second],
            };
            let units = |units: &dyn Units<f64>| units.shift(&mut own, &shifts);
            self.activation.with(units);
        }
        let narrow = |block: Vec<f64>| block.into_iter().map(T::of).collect();
        blocks.into_iter().map(narrow).collect()
    }

    /// Returns `b + sign · Wᵀ c`.
    fn shifted_bias(&self, sign: f64) -> Vec<T> {
        let units = self.encoder_weights.chunks_exact(self.input_size);
        let shifts = units.map(|w| sign * dot(w, self.decoder_bias));
        let biases = self.encoder_bias.iter().zip(shifts);
        biases.map(|(b, shift)| T::of(b.to_f64() + shift)).collect()
    }

    /// Refuses an activation that the files of a project cannot have.
    pub(super) fn refuse_activation<R>(&self, path: &Path, project: &str) -> Result<R, Error> {
        let activation = self.of_model;
        let reason = format!("the files of {project} have no place for {activation:?} activations");
        Err(unsupported(path, reason))
    }
}
