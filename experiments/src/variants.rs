//! The variants of the library's recipes by name, and the scores of a model.

use std::error::Error;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use sparse_autoencoder::SparseAutoencoder;
use sparse_autoencoder::metrics::{DictionaryMetrics, ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::recipe::Variant;

/// The name of each variant on the command line and in tables.
pub const VARIANTS: [(&str, &str, Variant); 6] = [
    ("l1", "ReLU, L1", Variant::L1),
    ("gated", "Gated", Variant::Gated),
    ("topk", "TopK", Variant::TopK),
    ("batchtopk", "BatchTopK", Variant::BatchTopK),
    ("jumprelu", "JumpReLU", Variant::JumpRelu),
    ("matryoshka", "Matryoshka BatchTopK", Variant::Matryoshka),
];

/// Returns the name in tables and the variant.
pub fn named(name: &str) -> Option<(&'static str, Variant)> {
    let mut all = VARIANTS.iter();
    all.find(|(known, ..)| *known == name)
        .map(|&(_, label, variant)| (label, variant))
}

/// The quality of a model in inference.
#[derive(Debug, Clone, Copy)]
pub struct Scores {
    pub l0: f64,
    /// Σ‖e‖² / Σ‖y − ȳ‖² of targets y
    pub fvu: f64,
    /// Dead units in percent of all.
    pub dead: f64,
}

impl Scores {
    /// Judges a model that reconstructs these samples.
    pub fn of(
        model: &SparseAutoencoder<f32>,
        samples: &DMatrix<f32>,
    ) -> Result<Self, Box<dyn Error>> {
        Self::of_predictions(model, samples, samples)
    }

    /// Judges a model that predicts these targets from the samples.
    pub fn of_predictions(
        model: &SparseAutoencoder<f32>,
        samples: &DMatrix<f32>,
        targets: &DMatrix<f32>,
    ) -> Result<Self, Box<dyn Error>> {
        const CHUNK: usize = 1000; // bounds the memory for the activations
        let hidden = model.layout().hidden_size();
        let mut reconstruction = ReconstructionMetrics::new(targets.nrows());
        let mut sparsity = SparsityMetrics::new(hidden);
        for start in (0..samples.ncols()).step_by(CHUNK) {
            let count = CHUNK.min(samples.ncols() - start);
            let chunk = samples.columns(start, count);
            let hidden = model.encode(chunk)?;
            sparsity.add(&hidden)?;
            let mut predicted = model.decode(&hidden)?;
            if let Some(skip) = model.parameters().skip() {
                predicted += skip * chunk;
            }
            reconstruction.add(targets.columns(start, count), &predicted)?;
        }
        Ok(Self {
            l0: sparsity.l0().ok_or("no sample")?,
            fvu: reconstruction
                .fraction_of_variance_unexplained()
                .ok_or("all samples are equal")?,
            dead: 100.0 * ratio(sparsity.dead_units().len(), hidden),
        })
    }
}

/// A decoder that training may not change.
#[derive(Debug)]
pub struct FrozenDecoder {
    start: usize,
    weights: Vec<f32>,
}

impl FrozenDecoder {
    /// Gives the columns of a model's decoder norm 1, and freezes them.
    pub fn of(model: &mut SparseAutoencoder<f32>) -> Result<Self, Box<dyn Error>> {
        let layer = model.parameters().layer(0).ok_or("no layer")?;
        let weights = layer.decoder_weights.into_owned();
        Self::with(weights, model)
    }

    /// Replaces a model's decoder by random directions, and freezes them.
    pub fn random(model: &mut SparseAutoencoder<f32>, seed: u64) -> Result<Self, Box<dyn Error>> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let layout = model.layout();
        let draw = |_, _| rng.sample(StandardNormal);
        let weights = DMatrix::from_fn(layout.output_size(), layout.hidden_size(), draw);
        Self::with(weights, model)
    }

    fn with(
        mut weights: DMatrix<f32>,
        model: &mut SparseAutoencoder<f32>,
    ) -> Result<Self, Box<dyn Error>> {
        for mut column in weights.column_iter_mut() {
            column.normalize_mut();
        }
        // θ: the weights and the biases of the encoder, the weights of the decoder.
        let frozen = Self {
            start: (model.layout().input_size() + 1) * model.layout().hidden_size(),
            weights: weights.data.into(),
        };
        frozen.restore(model)?;
        Ok(frozen)
    }

    /// Undoes the last step on the decoder.
    pub fn restore(&self, model: &mut SparseAutoencoder<f32>) -> Result<(), Box<dyn Error>> {
        let mut theta = model.parameters().as_slice().to_vec();
        theta[self.start..][..self.weights.len()].copy_from_slice(&self.weights);
        Ok(model.set_theta(&theta)?)
    }
}

/// Returns the mean cosine of the decoder columns of two models, one matched to one.
pub fn agreement(
    one: &SparseAutoencoder<f32>,
    other: &SparseAutoencoder<f32>,
) -> Result<f64, Box<dyn Error>> {
    let (one, other) = (one.parameters().layer(0), other.parameters().layer(0));
    let (one, other) = (one.ok_or("no layer")?, other.ok_or("no layer")?);
    let metrics = DictionaryMetrics::new(one.decoder_weights, other.decoder_weights)?;
    Ok(metrics.mean_correlation_coefficient())
}

#[allow(clippy::cast_precision_loss)] // counts
pub fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}
