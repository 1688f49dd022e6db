//! The published evaluation.

use std::error::Error;
use std::fmt;

use sparse_autoencoder::metrics::{DictionaryMetrics, ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{SparseAutoencoder, SparseHidden};

use super::world::{Batch, World};
use crate::variants::ratio;

/// Samples in memory at a time.
const CHUNK: usize = 1024;

/// How units are selected in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// As in inference. `BatchTopK` has learned a threshold.
    Inference,
    /// The k largest per sample, on average over 1,024 samples, as in the training of `BatchTopK`. The
    /// published figures of `BatchTopK` use this selection.
    Batch(usize),
}

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
        selection: Selection,
        world: &World,
        stream: u64,
        samples: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let open = match selection {
            Selection::Inference => None,
            Selection::Batch(k) => Some((without_thresholds(model)?, k)),
        };
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

            let hidden = match &open {
                None => model.encode_sparse(&batch.samples)?,
                Some((open, k)) => largest(open.encode_sparse(&batch.samples)?, *k)?,
            };
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

/// Returns the model with thresholds of 0.
fn without_thresholds(
    model: &SparseAutoencoder<f32>,
) -> Result<SparseAutoencoder<f32>, Box<dyn Error>> {
    const NAME: &str = "thresholds";
    let layer = model.parameters().layer(0).ok_or("no layer")?;
    let thresholds = layer.block(NAME).ok_or("the units have no thresholds")?;
    let zeros = DVector::zeros(thresholds.len());
    let builder = SparseAutoencoder::builder().settings(model.settings().clone());
    let parameters = model.parameters().clone().with_block(0, NAME, &zeros)?;
    Ok(builder.parameters(parameters).build()?)
}

/// Keeps the `k` largest values per sample, on average.
fn largest(hidden: SparseHidden<f32>, k: usize) -> Result<SparseHidden<f32>, Box<dyn Error>> {
    let kept = k * hidden.samples();
    if hidden.active() <= kept {
        return Ok(hidden);
    }
    let mut values = hidden.values().to_vec();
    let (_, &mut cut, _) = values.select_nth_unstable_by(kept, |a, b| b.total_cmp(a));
    let (mut offsets, mut units, mut values) = (vec![0], Vec::new(), Vec::new());
    for (of_sample, activations) in hidden.iter() {
        for (&unit, &activation) in of_sample.iter().zip(activations) {
            if activation > cut {
                units.push(unit);
                values.push(activation);
            }
        }
        offsets.push(units.len());
    }
    Ok(SparseHidden::from_parts(
        hidden.shape().0,
        offsets,
        units,
        values,
    )?)
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
