use std::path::Path;

use super::dot;
use crate::files::unsupported;
use crate::{Activation, Error, Real, SparseAutoencoder};

/// A model that can be published: of one hidden layer, with linear output.
#[derive(Debug, Clone)]
pub(super) struct OneLayer<'a, T> {
    /// d
    pub(super) visible: usize,
    /// n
    pub(super) hidden: usize,
    /// W, unit by unit
    pub(super) encoder_weights: &'a [T],
    pub(super) encoder_bias: &'a [T],
    /// D, unit by unit
    pub(super) decoder_weights: &'a [T],
    pub(super) decoder_bias: &'a [T],
    /// `Relu`, `TopK`, `JumpRelu`, or `Gated`, by what `encode` does
    pub(super) activation: Activation,
    /// Of `JumpRelu`, one for each unit
    pub(super) thresholds: Vec<T>,
    /// r and `b_mag` of `Gated`
    pub(super) magnitudes: Option<[&'a [T]; 2]>,
    /// Whether the encoder sees `x − c`
    pub(super) centered: bool,
}

impl<'a, T: Real> OneLayer<'a, T> {
    /// The model as one to be written to `path` for `project`.
    pub(super) fn of(
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
        let activation = match (activation, activation.kept(blocks.above)) {
            (_, Some(k)) => Activation::TopK(k),
            // Winners are chosen in training only.
            (Activation::Relu | Activation::WinnerTakeAll(_), None) => Activation::Relu,
            (Activation::JumpRelu | Activation::BatchTopK(_), None) => Activation::JumpRelu,
            (Activation::Gated, None) => Activation::Gated,
            _ => return refuse(format!("the hidden activation {activation:?}")),
        };
        let theta = model.parameters().as_slice();
        Ok(Self {
            visible: blocks.below,
            hidden: blocks.above,
            encoder_weights: &theta[blocks.encoder_weights.clone()],
            encoder_bias: &theta[blocks.encoder_bias.clone()],
            decoder_weights: &theta[blocks.decoder_weights.clone()],
            decoder_bias: &theta[blocks.decoder_bias.clone()],
            activation,
            thresholds: match blocks.own(theta, T::zero()).blocks[0] {
                &[threshold] => vec![threshold; blocks.above],
                thresholds => thresholds.to_vec(),
            },
            magnitudes: (activation == Activation::Gated)
                .then(|| blocks.own(theta, T::zero()).blocks),
            centered: model.has_pre_encoder_bias(),
        })
    }

    /// The bias of an encoder that sees `x − c` and does the same: `b + Wᵀ c`, unless this one does
    /// see it.
    pub(super) fn centered_bias(&self) -> Vec<T> {
        let sign = if self.centered { 0.0 } else { 1.0 };
        self.shifted(self.encoder_bias, |_, shift| sign * shift)
    }

    /// The bias of an encoder that sees `x` and does the same: `b − Wᵀ c`, if this one sees `x − c`.
    pub(super) fn plain_bias(&self) -> Vec<T> {
        let sign = if self.centered { -1.0 } else { 0.0 };
        self.shifted(self.encoder_bias, |_, shift| sign * shift)
    }

    /// The `b_mag` that goes with [`centered_bias`](Self::centered_bias): `b_mag + exp(r) ⊙ Wᵀ c`.
    pub(super) fn centered_magnitude_bias(&self, [r, bias]: [&[T]; 2]) -> Vec<T> {
        let sign = if self.centered { 0.0 } else { 1.0 };
        self.shifted(bias, |j, shift| sign * r[j].to_f64().exp() * shift)
    }

    /// A bias and what is made of each unit's number and `w · c`, added.
    fn shifted(&self, bias: &[T], of_unit: impl Fn(usize, f64) -> f64) -> Vec<T> {
        let units = self.encoder_weights.chunks_exact(self.visible);
        let shifts = units.map(|w| dot(w, self.decoder_bias)).enumerate();
        bias.iter()
            .zip(shifts)
            .map(|(b, (j, shift))| T::of(b.to_f64() + of_unit(j, shift)))
            .collect()
    }

    /// What a project's files that have no place for the activation say of it.
    pub(super) fn refuse_activation<R>(&self, path: &Path, project: &str) -> Result<R, Error> {
        let activation = self.activation;
        let reason = format!("the files of {project} have no place for {activation:?} activations");
        Err(unsupported(path, reason))
    }
}
