//! The settings of a model, one by one.

use super::{Settings, SparseAutoencoder};
use crate::objective::ReconstructionLoss;
use crate::penalty::Penalty;
use crate::{Activation, Real};

impl<T: Real> SparseAutoencoder<T> {
    /// The settings that the model was built with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.objective.settings
    }

    /// The activation of each hidden layer, the outermost first.
    #[must_use]
    pub fn hidden_activations(&self) -> &[Activation] {
        &self.objective.encoder
    }

    /// The activation of each level of the decoder, the reconstruction first. Level `l` mirrors the
    /// hidden layer at the same distance from the input.
    #[must_use]
    pub fn decoder_activations(&self) -> &[Activation] {
        &self.objective.decoder
    }

    /// The activation of the reconstruction.
    #[must_use]
    pub fn output_activation(&self) -> Activation {
        self.objective.decoder[0]
    }

    /// ℓ, the reconstruction loss.
    #[must_use]
    pub fn reconstruction(&self) -> ReconstructionLoss {
        self.objective.reconstruction
    }

    /// Ω, the sparsity penalty.
    #[must_use]
    pub fn penalty(&self) -> &dyn Penalty<T> {
        &*self.objective.penalty
    }

    /// β, the weight of the penalty.
    #[must_use]
    pub fn penalty_weight(&self) -> T {
        self.objective.penalty_weight
    }

    /// ρ, the sparsity target.
    #[must_use]
    pub fn sparsity_target(&self) -> T {
        self.objective.sparsity_target
    }

    /// λ, the weight decay.
    #[must_use]
    pub fn weight_decay(&self) -> T {
        self.objective.weight_decay
    }

    /// Whether the decoder's bias is subtracted from the samples before the encoder.
    #[must_use]
    pub fn has_pre_encoder_bias(&self) -> bool {
        self.objective.pre_encoder_bias
    }

    /// Whether the penalty sees each activation multiplied by the norm of its decoder column.
    #[must_use]
    pub fn is_norm_weighted(&self) -> bool {
        self.objective.norm_weighted
    }

    /// The sizes of the [Matryoshka groups](crate::SparseAutoencoderBuilder::matryoshka), excluding
    /// the full width. Empty if unused.
    #[must_use]
    pub fn matryoshka(&self) -> &[usize] {
        &self.objective.matryoshka
    }

    /// ε, the bandwidth of the pseudo-derivative of thresholds.
    #[must_use]
    pub fn bandwidth(&self) -> T {
        self.objective.bandwidth
    }
}
