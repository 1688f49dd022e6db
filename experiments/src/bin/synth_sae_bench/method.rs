//! What is evaluated: variants of sparse autoencoders, and baselines that find no features.

use std::error::Error;

use experiments::pca::Pca;
use experiments::synth_sae_bench::{Batch, World};
use experiments::variants::{Learner, Setting, Variant};
use sparse_autoencoder::nalgebra::{DMatrixView, DVector};
use sparse_autoencoder::{
    Activation, DeadUnits, Initialization, Layer, Parameters, SparseAutoencoder,
};

use crate::options::Options;

/// The baselines are those of arXiv 2602.14111.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Variant(Variant),
    /// BatchTopK whose decoder keeps its random directions.
    RandomDecoder,
    /// TopK with random directions in encoder and decoder, not trained.
    RandomDirections,
    /// Principal components, of which each sample has those with the largest coefficients.
    Pca,
}

impl Method {
    pub const ALL: [(&'static str, Self); 9] = [
        ("l1", Self::Variant(Variant::L1)),
        ("gated", Self::Variant(Variant::Gated)),
        ("topk", Self::Variant(Variant::TopK)),
        ("batchtopk", Self::Variant(Variant::BatchTopK)),
        ("jumprelu", Self::Variant(Variant::JumpRelu)),
        ("matryoshka", Self::Variant(Variant::Matryoshka)),
        ("random_decoder", Self::RandomDecoder),
        ("random_directions", Self::RandomDirections),
        ("pca", Self::Pca),
    ];

    pub fn of(name: &str) -> Result<Self, Box<dyn Error>> {
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        let names = Self::ALL.map(|(known, _)| known).join(", ");
        known
            .map(|(_, method)| *method)
            .ok_or_else(|| format!("{name} is none of {names}").into())
    }

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, method)| *method == self);
        known.map_or("", |(name, _)| name)
    }

    /// Whether the method learns from a stream.
    pub fn learns(self) -> bool {
        matches!(self, Self::Variant(_) | Self::RandomDecoder)
    }

    /// Makes the model and the trainer of a method that learns.
    pub fn learner(
        self,
        options: &Options,
        steps: usize,
        first: DMatrixView<'_, f32>,
    ) -> Result<Learner, Box<dyn Error>> {
        let variant = match self {
            Self::Variant(variant) => variant,
            _ => Variant::BatchTopK,
        };
        let input_size = first.nrows();
        let setting = Setting {
            input_size,
            hidden: options.width,
            active: options.l0,
            steps,
            learning_rate: options.lr,
            bandwidth: 0.5,
            // A unit is dead after 1,000 steps without activity, as in the published training.
            dead_units: Some(DeadUnits::after(1000 * options.batch).auxiliary(input_size / 2, 1.0)),
            seed: options.seed,
        };
        Learner::new(variant, setting, first)
    }

    /// Makes the model of a method that does not learn.
    pub fn model(
        self,
        options: &Options,
        world: &World,
    ) -> Result<SparseAutoencoder<f32>, Box<dyn Error>> {
        let mut batch = Batch::new(world.input_size(), 50 * world.input_size());
        world.draw(options.seed, 0, &mut batch);
        let builder = SparseAutoencoder::builder()
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true);
        if self == Self::Pca {
            let pca = Pca::fit(&batch.samples);
            let layer = Layer {
                encoder_weights: pca.components().clone(),
                encoder_bias: DVector::zeros(world.input_size()),
                decoder_weights: Some(pca.components().clone()),
                decoder_bias: pca.mean().clone(),
            };
            let model = builder
                .layers([world.input_size(), world.input_size()])
                .hidden_activation(Activation::AbsTopK(options.l0))
                .parameters(Parameters::from_layers(&[layer])?);
            return Ok(model.build()?);
        }
        let builder = builder
            .layers([world.input_size(), options.width])
            .hidden_activation(Activation::TopK(options.l0))
            .initialization(Initialization::TransposedDecoder)
            .seed(options.seed);
        let mut model = builder.build()?;
        model.set_decoder_bias(&batch.samples.column_mean())?;
        Ok(model)
    }
}
