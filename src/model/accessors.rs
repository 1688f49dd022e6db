//! Access to the settings of a model.

use super::{ModelSettings, SparseAutoencoder};
use crate::objective::ReconstructionLoss;
use crate::penalty::Penalty;
use crate::{Activation, Real};

impl<T: Real> SparseAutoencoder<T> {
    /// Returns all settings of the model.
    #[must_use]
    pub fn settings(&self) -> &ModelSettings {
        &self.objective.settings
    }

    /// Returns the activation of each hidden layer, the outermost first.
    #[must_use]
    pub fn hidden_activations(&self) -> &[Activation] {
        &self.objective.encoder
    }

    /// Returns the activation of each level of the decoder, the reconstruction first.
    ///
    /// Level `l` mirrors the hidden layer at the same distance from the input.
    #[must_use]
    pub fn decoder_activations(&self) -> &[Activation] {
        &self.objective.decoder
    }

    /// Returns the activation of the reconstruction.
    #[must_use]
    pub fn output_activation(&self) -> Activation {
        self.objective.decoder[0]
    }

    /// Returns the reconstruction loss ℓ.
    #[must_use]
    pub fn reconstruction_loss(&self) -> ReconstructionLoss {
        self.objective.reconstruction_loss
    }

    /// Returns the sparsity penalty Ω of the innermost hidden layer.
    #[must_use]
    pub fn penalty(&self) -> &dyn Penalty<T> {
        &*self.objective.penalties[self.objective.innermost()]
    }

    /// Returns the sparsity penalty Ω of each hidden layer, the outermost first.
    #[must_use]
    pub fn penalties(&self) -> impl ExactSizeIterator<Item = &dyn Penalty<T>> {
        self.objective.penalties.iter().map(|penalty| &**penalty)
    }

    /// Returns the weight β of the penalty of the innermost hidden layer.
    #[must_use]
    pub fn penalty_weight(&self) -> T {
        T::of(self.objective.penalty_weight_of(self.objective.innermost()))
    }

    /// Returns the weight β of the penalty of each hidden layer, the outermost first.
    #[must_use]
    pub fn penalty_weights(&self) -> Vec<T> {
        let layers = 0..self.layout().depth();
        layers
            .map(|l| T::of(self.objective.penalty_weight_of(l)))
            .collect()
    }

    /// Returns the sparsity target ρ of the innermost hidden layer.
    #[must_use]
    pub fn sparsity_target(&self) -> T {
        T::of(
            self.objective
                .sparsity_target_of(self.objective.innermost()),
        )
    }

    /// Returns the sparsity target ρ of each hidden layer, the outermost first.
    #[must_use]
    pub fn sparsity_targets(&self) -> Vec<T> {
        let layers = 0..self.layout().depth();
        layers
            .map(|l| T::of(self.objective.sparsity_target_of(l)))
            .collect()
    }

    /// Returns the weight decay λ.
    #[must_use]
    pub fn weight_decay(&self) -> T {
        T::of(self.objective.weight_decay)
    }

    /// Returns whether the decoder's bias is subtracted from the samples before the encoder.
    #[must_use]
    pub fn has_pre_encoder_bias(&self) -> bool {
        self.objective.pre_encoder_bias
    }

    /// Returns whether the penalty sees each activation multiplied by the norm of its decoder column.
    #[must_use]
    pub fn is_norm_weighted(&self) -> bool {
        self.objective.norm_weighted
    }

    /// Returns the unit counts of the nested [Matryoshka groups](crate::SparseAutoencoderBuilder::matryoshka),
    /// excluding the full width. Empty if unused.
    #[must_use]
    pub fn matryoshka(&self) -> &[usize] {
        &self.objective.matryoshka
    }

    /// Returns the bandwidth ε of the pseudo-derivative of thresholds.
    #[must_use]
    pub fn bandwidth(&self) -> T {
        T::of(self.objective.bandwidth())
    }
}
