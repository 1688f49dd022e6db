//! The published evaluation.

use std::error::Error;
use std::fmt;

use sparse_autoencoder::SparseAutoencoder;
use sparse_autoencoder::metrics::{DictionaryMetrics, ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::DMatrix;

use super::world::{Batch, World};
use crate::variants::ratio;

/// Samples in memory at a time.
const CHUNK: usize = 1024;

/// The published metrics of a model on fresh samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    pub samples: usize,
    /// The mean number of active features and of active units.
    pub true_l0: f64,
    pub l0: f64,
    /// 1 − Σ‖e‖² / Σ‖x − x̄‖²
    pub explained_variance: f64,
    /// The number of units that were never active.
    pub dead: usize,
    /// The mean of ‖x̂‖ / ‖x‖
    pub shrinkage: f64,
    pub mcc: f64,
    pub uniqueness: f64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

impl Scores {
    /// Evaluates `model` on the first `samples` samples of a stream of `world`.
    pub fn of(
        model: &SparseAutoencoder<f32>,
        world: &World,
        stream: u64,
        samples: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let layer = model.parameters().layer(0).ok_or("no layer")?;
        let units = model.layout().hidden_size();
        let mut dictionary = DictionaryMetrics::new(&world.features, layer.decoder_weights)?;
        let mut reconstruction = ReconstructionMetrics::new(world.input_size());
        let mut sparsity = SparsityMetrics::new(units);
        let (mut active, mut shrinkage) = (0, 0.0);
        let mut activations = DMatrix::zeros(0, 0);
        for first in (0..samples).step_by(CHUNK) {
            let mut batch = Batch::new(world.input_size(), CHUNK.min(samples - first));
            world.draw(stream, first as u64, &mut batch);
            active += batch.active.iter().map(Vec::len).sum::<usize>();
            activations.resize_mut(world.features.ncols(), batch.active.len(), 0.0);
            batch.activations_into(&mut activations);

            let hidden = model.encode_sparse(&batch.samples)?;
            dictionary.add_sparse(&activations, &hidden)?;
            sparsity.add_sparse(&hidden)?;
            let output = model.decode_sparse(&hidden)?;
            reconstruction.add(&batch.samples, &output)?;
            let norms = output.column_iter().zip(batch.samples.column_iter());
            shrinkage += norms
                .map(|(out, x)| f64::from(out.norm() / x.norm()))
                .sum::<f64>();
        }
        let no_sample = "no sample";
        Ok(Self {
            samples,
            true_l0: ratio(active, samples),
            l0: sparsity.l0().ok_or(no_sample)?,
            explained_variance: reconstruction.explained_variance().ok_or(no_sample)?,
            dead: sparsity.dead_units().len(),
            shrinkage: shrinkage / ratio(samples, 1),
            mcc: dictionary.mean_correlation_coefficient(),
            uniqueness: dictionary.uniqueness(),
            precision: dictionary.precision().ok_or(no_sample)?,
            recall: dictionary.recall().ok_or(no_sample)?,
            f1: dictionary.f1().ok_or(no_sample)?,
        })
    }

    /// Returns the metrics with their names.
    pub fn named(&self) -> [(&'static str, f64); 11] {
        [
            ("evaluation_samples", ratio(self.samples, 1)),
            ("true_l0", self.true_l0),
            ("l0", self.l0),
            ("explained_variance", self.explained_variance),
            ("dead", ratio(self.dead, 1)),
            ("shrinkage", self.shrinkage),
            ("mcc", self.mcc),
            ("uniqueness", self.uniqueness),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
        ]
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "F1 {:.4}, MCC {:.4}, explained variance {:.4}, L0 {:.2}, {} dead",
            self.f1, self.mcc, self.explained_variance, self.l0, self.dead
        )
    }
}
