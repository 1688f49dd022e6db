//! What `build` refuses.

use std::sync::Arc;

use super::ModelSettings;
use crate::error::{Error, require, require_above_0, require_at_least_0};
use crate::model::Initialization;
use crate::objective::ReconstructionLoss;
use crate::penalty::Penalty;
use crate::{Activation, Real};

impl ModelSettings {
    /// Rounds the numbers to `T` and checks them before and after: 1e300 is not finite in `f32`.
    pub(super) fn check_numbers<T: Real>(&mut self) -> Result<(), Error> {
        let round = |value: &mut f64| *value = T::of(*value).to_f64();
        for weight in self.penalty_weight.iter_mut() {
            require_at_least_0::<T>("penalty_weight", *weight)?;
            round(weight);
        }
        require_at_least_0::<T>("weight_decay", self.weight_decay)?;
        round(&mut self.weight_decay);
        if let Some(width) = &mut self.bandwidth {
            require_above_0::<T>("bandwidth", *width)?;
            round(width);
        }
        if let Some(Initialization::TransposedDecoder { norm }) = &mut self.initialization {
            require_above_0::<T>("norm of TransposedDecoder", *norm)?;
            round(norm);
        }
        for target in self.sparsity_target.iter_mut() {
            let given = *target;
            round(target);
            let accepted = *target > 0.0 && *target < 1.0;
            require(accepted, "sparsity_target", "in (0, 1)", given)?;
        }
        Ok(())
    }

    /// Refuses indices beyond the layers, and sorts the others; `None` for all layers.
    pub(super) fn check_penalized_layers(&mut self) -> Result<(), Error> {
        let depth = self.encoder.len();
        let Some(layers) = &mut self.penalized_layers else {
            return Ok(());
        };
        layers.sort_unstable();
        layers.dedup();
        if let Some(&index) = layers.last().filter(|&&index| index >= depth) {
            return Err(Error::InvalidParameter {
                name: "penalized_layers",
                requirement: "indices below the number of hidden layers",
                value: f64::of_count(index),
            });
        }
        if layers.len() == depth {
            self.penalized_layers = None;
        }
        Ok(())
    }

    /// Refuses activations that are not defined for their layer or for the loss.
    pub(super) fn check_activations(&self) -> Result<(), Error> {
        for (activation, &units) in self.encoder.iter().zip(&self.layers[1..]) {
            activation.check(units)?;
        }
        let output = self.decoder[0];
        let refuse = |what, activation, requirement| {
            Err(Error::UnsupportedActivation {
                what,
                activation,
                requirement,
            })
        };
        let alone = self.encoder.iter().find(|f| !f.traits().deep);
        if let Some(&activation) = alone.filter(|_| self.encoder.len() > 1) {
            return refuse(
                "a model of several hidden layers",
                activation,
                "these units need to be the only hidden layer",
            );
        }
        if let Some(&activation) = self.decoder.iter().find(|g| g.selects()) {
            return refuse(
                "the output",
                activation,
                "a reconstruction cannot select units",
            );
        }
        if self.reconstruction_loss == ReconstructionLoss::BinaryCrossEntropy
            && output != Activation::Sigmoid
        {
            return refuse("BinaryCrossEntropy", output, "the output must be Sigmoid");
        }
        if self.pre_encoder_bias && output != Activation::Identity {
            return refuse("pre_encoder_bias", output, "the output must be Identity");
        }
        if self.pre_encoder_bias && self.output_size.is_some() {
            return Err(Error::Incompatible {
                what: "a pre-encoder bias",
                other: "a transcoder, whose decoder bias is not a point of the input: scale the inputs instead",
            });
        }
        Ok(())
    }

    pub(super) fn check_groups(&self) -> Result<(), Error> {
        if self.matryoshka.is_empty() {
            return Ok(());
        }
        if self.encoder.len() > 1 {
            return Err(Error::Incompatible {
                what: "matryoshka",
                other: "more than one hidden layer",
            });
        }
        if let Some(&activation) = self.encoder.iter().find(|f| !f.traits().nested) {
            return Err(Error::UnsupportedActivation {
                what: "matryoshka",
                activation,
                requirement: "gated units cannot be nested; use another activation",
            });
        }
        let mut before = 0;
        for &size in &self.matryoshka {
            require(
                before < size && size < self.layers[1],
                "matryoshka",
                "ascending sizes of at least 1 and below the number of hidden units",
                f64::of_count(size),
            )?;
            before = size;
        }
        Ok(())
    }

    /// Refuses a penalty that is not defined for its penalized layer. A penalty without effect is never
    /// refused.
    pub(super) fn check_penalties<T: Real>(
        &self,
        penalties: &[Arc<dyn Penalty<T>>],
    ) -> Result<(), Error> {
        for (l, (f, penalty)) in self.encoder.iter().zip(penalties).enumerate() {
            penalty.description().check::<T>()?;
            let weighted = self.penalty_weight_of(l) > 0.0 && !penalty.is_zero();
            if !weighted || !self.is_penalized(l) {
                continue;
            }
            if self.norm_weighted && f.range().is_some() {
                return Err(Error::Incompatible {
                    what: "a norm-weighted penalty",
                    other: "bounded hidden activations",
                });
            }
            penalty.check(*f, T::of(self.sparsity_target_of(l)))?;
        }
        Ok(())
    }
}
