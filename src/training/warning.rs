//! Warnings after a successful training.

use std::fmt;

use super::{Report, Trainer};
use crate::objective::ReconstructionLoss;
use crate::{Error, Real, Samples, SparseAutoencoder};

/// A reason why a trained model may be useless although training reported no error. The text names the
/// remedy.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Warning {
    /// The reconstruction loss is at least 99 % of that of the mean sample: the model has collapsed, or
    /// has learned nothing yet.
    NoBetterThanMean {
        /// The [reconstruction term](crate::Loss::reconstruction) of the loss, in the epoch whose
        /// parameters the model has.
        loss: f64,
        /// The same term for a model that reconstructs every sample as the mean.
        loss_of_mean: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NoBetterThanMean { loss, loss_of_mean } = self;
        write!(
            f,
            "the reconstruction loss is {loss:.4}, no better than the {loss_of_mean:.4} of the mean \
             sample: scale the samples into the range of the output activation (see Scaling), lower \
             the learning rate or the penalty weight, or train for more epochs"
        )
    }
}

/// The maximum number of entries to read, which takes about a millisecond.
const ENTRIES: usize = 1 << 20;
/// The number of samples read together.
const TOGETHER: usize = 64;

impl<T: Real> Trainer<T> {
    /// Returns the warnings of a fit by a single process. Empty if the source cannot be read again.
    pub(super) fn warnings(
        &self,
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        report: &Report<T>,
    ) -> Vec<Warning> {
        let last = report.best_epoch.checked_sub(1);
        let last = last.and_then(|epoch| report.history.get(epoch));
        let (Some(last), None) = (last, self.own.processes.all()) else {
            return Vec::new();
        };
        let Ok(each) = loss_of_mean(samples, model.reconstruction()) else {
            return Vec::new();
        };
        // The loss sums over the Matryoshka prefixes.
        let loss_of_mean = each * f64::of_count(model.matryoshka().len() + 1);
        let loss = last.reconstruction.to_f64();
        let warns = loss_of_mean > 0.0 && loss > 0.99 * loss_of_mean;
        let warning = Warning::NoBetterThanMean { loss, loss_of_mean };
        warns.then_some(warning).into_iter().collect()
    }
}

/// Returns `1/m Σᵢ ℓ(x̄, xᵢ)`, of evenly spaced samples if there are many.
fn loss_of_mean<T: Real>(samples: &dyn Samples<T>, loss: ReconstructionLoss) -> Result<f64, Error> {
    let (input_size, count) = (samples.entries(), samples.count());
    let step = count.div_ceil((ENTRIES / input_size).max(1));
    let chosen: Vec<usize> = (0..count).step_by(step).collect();
    let mut first = vec![T::zero(); input_size];
    samples.read(&chosen[..1], &mut first)?;
    // Differences from the first sample keep the digits where the mean is far from 0.
    let mut sums = vec![[0.0; 2]; input_size];
    let mut batch = vec![T::zero(); input_size * chosen.len().min(TOGETHER)];
    for chosen in chosen.chunks(TOGETHER) {
        let batch = &mut batch[..input_size * chosen.len()];
        samples.read(chosen, batch)?;
        for sample in batch.chunks_exact(input_size) {
            for ((sums, x), first) in sums.iter_mut().zip(sample).zip(&first) {
                let difference = x.to_f64() - first.to_f64();
                sums[0] += difference;
                sums[1] += difference * difference;
            }
        }
    }
    let m = f64::of_count(chosen.len());
    let of_entry = |([sum, squares], first): (&[f64; 2], &T)| match loss {
        ReconstructionLoss::SquaredError => 0.5 * (squares - sum * (sum / m)) / m,
        ReconstructionLoss::BinaryCrossEntropy => {
            let mean = first.to_f64() + sum / m;
            let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
            term(mean) + term(1.0 - mean)
        }
    };
    Ok(sums.iter().zip(&first).map(of_entry).sum())
}
