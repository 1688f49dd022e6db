//! What a model was built with.

use super::SparseAutoencoder;
use crate::objective::Reconstruction;
use crate::penalty::Penalty;
use crate::{Activation, Real};

impl<T: Real> SparseAutoencoder<T> {
    /// The activation of each hidden layer, the outermost first.
    #[must_use]
    pub fn hidden_activations(&self) -> &[Activation] {
        &self.objective.encoder
    }

    /// The activation of each level of the decoder, the reconstruction first: level `l` mirrors
    /// the hidden layer that is as far from the visible one.
    #[must_use]
    pub fn decoder_activations(&self) -> &[Activation] {
        &self.objective.decoder
    }

    /// The activation of the reconstruction.
    #[must_use]
    pub fn output_activation(&self) -> Activation {
        self.objective.decoder[0]
    }

    /// ℓ, what the difference between a sample and its reconstruction costs.
    #[must_use]
    pub fn reconstruction(&self) -> Reconstruction {
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

    /// Whether the encoder sees the samples less the bias of the decoder.
    #[must_use]
    pub fn has_pre_encoder_bias(&self) -> bool {
        self.objective.pre_encoder_bias
    }

    /// Whether the penalty sees the activations times the norms of the decoder's columns.
    #[must_use]
    pub fn is_norm_weighted(&self) -> bool {
        self.objective.norm_weighted
    }

    /// The sizes of the prefixes of hidden units that have to reconstruct by themselves, but for that
    /// of all; empty where they are not
    /// [nested](crate::SparseAutoencoderBuilder::matryoshka).
    #[must_use]
    pub fn prefixes(&self) -> &[usize] {
        &self.objective.prefixes
    }

    /// ε, the bandwidth of the pseudo-gradient of thresholds.
    #[must_use]
    pub fn bandwidth(&self) -> T {
        self.objective.bandwidth
    }
}
