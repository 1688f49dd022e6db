//! What is evaluated: variants of sparse autoencoders, and baselines that find no features.

use std::error::Error;

use experiments::pca::Pca;
use experiments::synth_sae_bench::{Batch, World};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::recipe::{Begun, Recipe, Variant};
use sparse_autoencoder::{Activation, Initialization, Layer, Parameters, SparseAutoencoder};

use crate::options::Options;

/// A variant, or a baseline after arXiv 2602.14111.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Variant(Variant),
    /// BatchTopK whose decoder keeps its random directions.
    RandomDecoder,
    /// TopK with random directions in encoder and decoder, not trained.
    RandomDirections,
    /// Principal components; each sample keeps the components with the largest coefficients.
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

    /// Starts the training of a method that learns.
    pub fn begin(
        self,
        options: &Options,
        steps: usize,
        first: &DMatrix<f32>,
    ) -> Result<Begun<f32>, Box<dyn Error>> {
        let variant = match self {
            Self::Variant(variant) => variant,
            _ => Variant::BatchTopK,
        };
        let recipe = Recipe::new(variant, options.width, options.l0)
            .samples(steps * options.batch)
            .batch_size(options.batch)
            .learning_rate(options.lr)
            .seed(options.seed);
        let recipe = match options.anneal_from {
            Some(k) => recipe.anneal_from(k),
            None => recipe,
        };
        Ok(recipe.begin(first)?)
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
            .initialization(Initialization::TransposedDecoder { norm: 1.0 })
            .seed(options.seed);
        let mut model = builder.build()?;
        model.set_decoder_bias(&batch.samples.column_mean())?;
        Ok(model)
    }
}
