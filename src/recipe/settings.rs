//! The settings that a recipe chooses for each part of a training.

use super::{Recipe, Variant};
use crate::error::{Error, require, require_some};
use crate::model::SparseAutoencoderBuilder;
use crate::{
    Activation, Adam, DeadUnits, Initialization, L1, Real, Scaling, Schedule, SetPoint,
    SparseAutoencoder, TargetL0, Trainer,
};

/// The largest number of samples after which an inactive unit counts as dead.
const MOST_IDLE: usize = 200_000;

impl Recipe {
    /// Returns the scaling of samples with `input_size` entries, to a mean distance of `√input_size`.
    pub fn scaling(&self, input_size: usize) -> Scaling {
        Scaling::mean_distance(f64::of_count(input_size).sqrt())
    }

    /// Returns the scaling of the targets of a transcoder, to a mean distance of `0.3 √output_size`.
    ///
    /// Small targets let the decoder, which starts at 0, learn faster relative to its weights.
    pub fn target_scaling(&self, output_size: usize) -> Scaling {
        Scaling::mean_distance(0.3 * f64::of_count(output_size).sqrt())
    }

    /// Whether the bias, which starts at the median, learns what the samples share.
    fn has_pre_encoder_bias(&self) -> bool {
        !self.variant.has_k() && self.output_size.is_none()
    }

    /// Returns the builder of the model, for inputs with `input_size` entries.
    pub fn builder<T: Real>(&self, input_size: usize) -> SparseAutoencoderBuilder<T> {
        let (n, k) = (self.hidden_size, self.active_units);
        let transcodes = self.output_size.is_some();
        let norm = if transcodes && self.variant.has_k() {
            0.6
        } else {
            0.1
        };
        let [of_l1, of_gated] = if transcodes {
            [0.03, 0.003]
        } else {
            [0.3, 0.3]
        };
        let builder = SparseAutoencoder::builder()
            .layers([input_size, n])
            .output_activation(Activation::Identity)
            .initialization(Initialization::TransposedDecoder { norm })
            .pre_encoder_bias(self.has_pre_encoder_bias())
            .skip(self.skip)
            .seed(self.seed);
        let builder = match self.output_size {
            Some(output) => builder.output_size(output),
            None => builder,
        };
        match self.variant {
            Variant::L1 => builder
                .hidden_activation(Activation::Relu)
                .penalty(L1)
                .penalty_weight(of_l1)
                .norm_weighted(true),
            Variant::Gated => builder
                .hidden_activation(Activation::Gated)
                .penalty(L1)
                .penalty_weight(of_gated),
            Variant::TopK => builder.hidden_activation(Activation::TopK(k)),
            Variant::BatchTopK => builder.hidden_activation(Activation::BatchTopK(k)),
            Variant::JumpRelu => builder
                .hidden_activation(Activation::JumpRelu)
                .penalty(TargetL0)
                .sparsity_target(f64::of_count(k) / f64::of_count(n.max(1)))
                .penalty_weight(1000.0),
            Variant::Matryoshka => builder
                .hidden_activation(Activation::BatchTopK(k))
                .matryoshka(groups(n)),
        }
    }

    /// Returns the trainer of models with `input_size` entries, for `samples / batch_size` steps, rounded up.
    ///
    /// The number of epochs of a [`fit`](Trainer::fit) is left to you.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a field outside its range, [`Error::Incompatible`] for
    /// [`anneal_from`](Self::anneal_from) without a k.
    pub fn trainer<T: Real>(&self, input_size: usize) -> Result<Trainer<T>, Error> {
        self.check()?;
        let trainer = Trainer::new(Adam::new(self.rate())?.betas(0.9, 0.99)?)
            .stream_steps(self.steps())
            .batch_size(self.batch_size)
            .seed(self.seed)
            .schedule(Schedule::linear(0.0).warm_up(0.02))
            .clip_gradient(1.0)
            .dead_units(self.dead_units(input_size));
        let trainer = match self.anneal_from {
            // The longer k falls, the more true features are found; in the last steps, thresholds settle.
            Some(k) => trainer.anneal_k(k, 0.9),
            None => trainer,
        };
        let trainer = match self.variant {
            Variant::Gated => trainer.unit_norm_decoder(true),
            _ => trainer.bias_rate(self.bias_rate(input_size)),
        };
        Ok(match self.variant {
            Variant::L1 | Variant::Gated => trainer.set_point(self.set_point()),
            // Thresholds learn too slowly to follow the pre-activations, which grow early.
            Variant::JumpRelu if self.anneal_from.is_none() => {
                trainer.anneal_k(self.active_units, 0.5)
            }
            _ => trainer,
        })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        for (name, value) in [
            ("hidden_size of a recipe", self.hidden_size),
            ("active_units of a recipe", self.active_units),
            ("samples of a recipe", self.samples),
            ("batch_size of a recipe", self.batch_size),
            ("output_size of a recipe", self.output_size.unwrap_or(1)),
        ] {
            require_some(name, value)?;
        }
        // A share of 1 is no sparsity target.
        let (most, requirement) = match self.variant {
            Variant::JumpRelu => (self.hidden_size - 1, "below its hidden_size for JumpRelu"),
            _ => (self.hidden_size, "at most its hidden_size"),
        };
        let (name, active) = ("active_units of a recipe", self.active_units);
        require(active <= most, name, requirement, f64::of_count(active))?;
        let Some(from) = self.anneal_from else {
            return Ok(());
        };
        if !self.variant.has_k() {
            return Err(Error::Incompatible {
                what: "anneal_from",
                other: "the recipes L1 and Gated, which have no k: leave it out, or take TopK, BatchTopK, JumpRelu, \
                        or Matryoshka",
            });
        }
        require(
            (active..=self.hidden_size).contains(&from),
            "anneal_from of a recipe",
            "at least its active_units and at most its hidden_size",
            f64::of_count(from),
        )
    }

    fn steps(&self) -> usize {
        self.samples.div_ceil(self.batch_size)
    }

    /// Returns the largest learning rate.
    fn rate(&self) -> f64 {
        // The best rate falls as 1/√n (Gao et al. 2024). With fewer steps, each has to be longer. L1 needs a high rate
        // to grow against its penalty, if batches are large. Transcoders lose units at higher rates.
        let of_steps = (2000.0 / f64::of_count(self.steps()))
            .sqrt()
            .clamp(1.0, 2.0);
        let of_batch = 4.0 * (f64::of_count(self.batch_size) / 512.0).sqrt().min(1.0);
        let longer = match (self.output_size, self.variant) {
            (Some(_), _) => 1.0,
            (None, Variant::L1) => of_steps.max(of_batch),
            (None, _) => of_steps,
        };
        let usual = 0.1 / f64::of_count(self.hidden_size).sqrt() * longer;
        self.learning_rate.unwrap_or(usual)
    }

    /// Returns the factor of the learning rate for encoder biases.
    fn bias_rate(&self, input_size: usize) -> f64 {
        // Biases have to follow the pre-activations, which the weights move by d entries. Where units compete at a high
        // rate, such biases reconstruct new samples less well.
        let slower = match self.variant {
            Variant::L1 => 1.0,
            _ => (0.002 / self.rate()).powi(2).min(1.0),
        };
        (f64::of_count(input_size).sqrt() * slower).max(1.0)
    }

    fn dead_units(&self, input_size: usize) -> DeadUnits {
        let idle = (self.samples / 100).min(MOST_IDLE);
        let idle = idle.max(self.batch_size.saturating_mul(10));
        let weight = if self.variant.has_k() {
            1.0 / 32.0
        } else {
            1e-4
        };
        let output_size = self.output_size.unwrap_or(input_size);
        DeadUnits::after(idle).auxiliary((output_size / 2).max(1), weight)
    }

    fn set_point(&self) -> SetPoint {
        // The weight has to reach its value early in the training. A larger gain overshoots and kills all units.
        let gain = (30.0 / f64::of_count(self.steps())).clamp(1e-3, 0.05);
        SetPoint::active_units(f64::of_count(self.active_units)).gain(gain)
    }
}

/// The first 1/32, 1/8, and 1/2 of `n` units, without groups that would be empty.
fn groups(n: usize) -> Vec<usize> {
    let mut groups: Vec<usize> = [32, 8, 2].iter().map(|part| n / part).collect();
    groups.retain(|&size| size > 0);
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::{Recipe, Variant};

    #[test]
    fn the_rate_falls_with_the_units_and_with_the_steps_of_autoencoders() {
        let is = |recipe: Recipe, rate: f64| {
            assert!((recipe.rate() - rate).abs() < 1e-12, "{recipe:?}");
        };
        let of = |variant| Recipe::new(variant, 400, 8);
        for (batch, rate) in [(512, 0.02), (4096, 0.02), (128, 0.01), (8, 0.005)] {
            is(of(Variant::L1).batch_size(batch), rate);
            is(of(Variant::L1).batch_size(batch).output_size(3), 0.005);
        }
        is(of(Variant::L1).batch_size(8).samples(4000), 0.01);
        for (steps, rate) in [
            (1, 0.01),
            (500, 0.01),
            (1280, 0.005 * 1.25),
            (2000, 0.005),
            (1_000_000, 0.005),
        ] {
            let recipe = of(Variant::Gated).samples(steps * 512);
            is(recipe.clone(), rate);
            is(recipe.clone().output_size(3), 0.005);
            is(recipe.learning_rate(0.7), 0.7);
        }
    }

    #[test]
    fn encoder_biases_are_fast_at_low_rates_and_under_l1() {
        for (variant, rate, factor) in [
            (Variant::L1, 0.1, 20.0),
            (Variant::BatchTopK, 1e-4, 20.0),
            (Variant::BatchTopK, 0.002, 20.0),
            (Variant::BatchTopK, 0.004, 5.0),
            (Variant::BatchTopK, 0.1, 1.0),
        ] {
            let recipe = Recipe::new(variant, 64, 4).learning_rate(rate);
            assert!((recipe.bias_rate(400) - factor).abs() < 1e-12, "{recipe:?}");
        }
    }

    #[test]
    fn units_are_dead_after_a_hundredth_of_a_training_within_limits() {
        for (samples, idle) in [
            (1000, 5120),
            (2_000_000, 20_000),
            (20_000_000, 200_000),
            (200_000_000, 200_000),
        ] {
            let recipe = Recipe::new(Variant::TopK, 64, 4).samples(samples);
            assert_eq!(recipe.dead_units(16).idle_samples(), idle, "{samples}");
        }
    }
}
