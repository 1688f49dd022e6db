//! Figures of the samples before a fit: the loss of their mean, and whether the output can reach them.

use super::all_reduce::Shares;
use crate::data::pairs::Part;
use crate::data::samples::read;
use crate::data::spread::iter_spread;
use crate::objective::ReconstructionLoss;
use crate::{Activation, Error, Real, Samples, SparseAutoencoder};

/// The maximum number of entries to read, which takes about fifty milliseconds, unless samples are wide. A few samples
/// can have most of the variance.
const ENTRIES: usize = 1 << 25;
/// The number of samples to read at least, for a relative error of the variance of about √(2/256).
const FEWEST: usize = 256;
/// The number of entries read together, unless samples are wide.
const TOGETHER: usize = 1 << 16;

/// Figures of the samples of a fit, from [some](iter_spread) if there are many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Baseline {
    /// The loss of a model that reconstructs every sample as the mean: `1/m Σᵢ ℓ(x̄, xᵢ)`.
    pub(super) loss_of_mean: f64,
    /// Whether `loss_of_mean` is half the variance.
    squared: bool,
    /// The loss from entries outside the range of the output: `1/m Σᵢ ½‖xᵢ − x̂ᵢ‖²`, with the nearest
    /// `x̂ᵢ` in the range.
    pub(super) unreachable: f64,
    /// The smallest and the largest entry, of this process. Infinite if the output is unbounded.
    pub(super) low: f64,
    pub(super) high: f64,
    /// The feature with most of the variance, and its share, of this process, if it [dominates](dominant) the others.
    pub(super) dominant: Option<(usize, f64)>,
}

impl Baseline {
    /// Reads samples. Returns `None` if the source of any process cannot be read, or holds values that are
    /// not finite.
    pub(super) fn of<T: Real>(
        model: &SparseAutoencoder<T>,
        samples: &dyn Samples<T>,
        shares: Option<Shares<'_, T>>,
    ) -> Option<Self> {
        let output = model.objective().decoder[0];
        // A process that cannot read still takes part in the sums.
        let targets = Part::new(samples, model.layout().target_entries());
        let most = (ENTRIES / targets.entries().max(1)).max(FEWEST);
        let own = Moments::read(&targets, range_of(output), most);
        let own = own.unwrap_or_else(|_| Moments::unknown(targets.entries()));
        let mut mean = own.mean.clone();
        if let Some(shares) = shares {
            let mut of_all: Vec<T> = mean.iter().map(|&mean| T::of(mean)).collect();
            shares.average(&mut of_all);
            mean = of_all.iter().map(|mean| mean.to_f64()).collect();
        }
        let squared = model.reconstruction_loss() == ReconstructionLoss::SquaredError;
        let mut losses = [
            own.loss_of(&mean, model.reconstruction_loss()),
            own.unreachable,
        ];
        if let Some(shares) = shares {
            let mut of_all = losses.map(T::of);
            shares.average(&mut of_all);
            losses = of_all.map(|loss| loss.to_f64());
        }
        let [loss_of_mean, unreachable] = losses;
        let dominant = dominant(&own.variance).filter(|_| squared);
        let Moments { low, high, .. } = own;
        let baseline = Self {
            loss_of_mean,
            squared,
            unreachable,
            low,
            high,
            dominant,
        };
        Some(baseline).filter(|_| losses.iter().all(|loss| loss.is_finite()))
    }

    /// Returns the reconstruction loss of the mean for this model, which sums over Matryoshka groups.
    pub(super) fn loss_of_mean_of<T: Real>(&self, model: &SparseAutoencoder<T>) -> f64 {
        self.loss_of_mean * f64::of_count(model.matryoshka().len() + 1)
    }

    /// Returns the explained variance of reconstructions with this loss. `None` for cross-entropy, and for
    /// samples without variance.
    pub(super) fn explained_variance<T: Real>(&self, loss: T) -> Option<f64> {
        let explained = 1.0 - loss.to_f64() / self.loss_of_mean;
        Some(explained).filter(|explained| self.squared && explained.is_finite())
    }
}

/// Returns the factor that turns the mean squared distance of `m` of `n` samples from their own mean into an unbiased
/// estimate of that of all: `m/(m − 1) · (n − 1)/n`, which is 1 for all of them.
fn unbiased(m: f64, n: f64) -> f64 {
    if m > 1.0 {
        (m * (n - 1.0)) / ((m - 1.0) * n)
    } else {
        1.0
    }
}

/// Returns the feature with more than 90 % of the variance and its share, if the median feature that varies has less
/// than 1 % of its variance.
fn dominant(variances: &[f64]) -> Option<(usize, f64)> {
    let all = variances.iter().copied().enumerate();
    let (feature, largest) = all.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let share = largest / variances.iter().sum::<f64>();
    let mut varying: Vec<f64> = variances.iter().copied().filter(|&of| of > 0.0).collect();
    varying.sort_by(f64::total_cmp);
    let median = varying.get(varying.len().saturating_sub(1) / 2)?;
    (share > 0.9 && *median < 0.01 * largest).then_some((feature, share))
}

/// Returns the smallest and the largest output of an activation.
pub(super) fn range_of(output: Activation) -> (f64, f64) {
    let least = if output.is_non_negative() {
        0.0
    } else {
        f64::NEG_INFINITY
    };
    output.range().unwrap_or((least, f64::INFINITY))
}

/// The means and the deviations of the samples of this process.
struct Moments {
    /// x̄
    mean: Vec<f64>,
    /// The variance of each entry over all samples, estimated from those read.
    variance: Vec<f64>,
    low: f64,
    high: f64,
    unreachable: f64,
}

impl Moments {
    fn unknown(entries: usize) -> Self {
        Self {
            mean: vec![f64::NAN; entries],
            variance: vec![f64::NAN; entries],
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            unreachable: 0.0,
        }
    }

    /// Reads at most this number of samples.
    fn read<T: Real>(
        samples: &dyn Samples<T>,
        range: (f64, f64),
        most: usize,
    ) -> Result<Self, Error> {
        let (input_size, count) = (samples.entries(), samples.count());
        // Differences from the first sample keep the digits where the mean is far from 0.
        let mut first = Vec::new();
        let mut sums = vec![[0.0; 2]; input_size];
        let mut moments = Self::unknown(0);
        let together = (TOGETHER / input_size).max(1);
        let mut all = iter_spread(count, most, 0);
        let mut chosen = Vec::new();
        let mut batch = vec![T::zero(); input_size * count.min(most).min(together)];
        loop {
            chosen.clear();
            chosen.extend(all.by_ref().take(together));
            if chosen.is_empty() {
                break;
            }
            let batch = &mut batch[..input_size * chosen.len()];
            read(samples, &chosen, batch)?;
            if first.is_empty() {
                first.extend_from_slice(&batch[..input_size]);
            }
            for sample in batch.chunks_exact(input_size) {
                for ((sums, x), first) in sums.iter_mut().zip(sample).zip(&first) {
                    let difference = x.to_f64() - first.to_f64();
                    sums[0] += difference;
                    sums[1] += difference * difference;
                }
            }
            if range != (f64::NEG_INFINITY, f64::INFINITY) {
                batch.iter().for_each(|x| moments.see(x.to_f64(), range));
            }
        }
        let m = f64::of_count(count.min(most));
        moments.unreachable *= 0.5 / m;
        let bias = unbiased(m, f64::of_count(count));
        for ([sum, squares], first) in sums.into_iter().zip(first) {
            moments.mean.push(first.to_f64() + sum / m);
            moments
                .variance
                .push((squares - sum * (sum / m)) / m * bias);
        }
        Ok(moments)
    }

    fn see(&mut self, x: f64, (least, most): (f64, f64)) {
        self.low = self.low.min(x);
        self.high = self.high.max(x);
        let outside = x - x.clamp(least, most);
        self.unreachable += outside * outside;
    }

    /// Returns `1/m Σᵢ ℓ(x̂, xᵢ)` for the constant `x̂`. For cross-entropy, returns that of all processes, and
    /// `x̂` must be their mean.
    fn loss_of(&self, constant: &[f64], loss: ReconstructionLoss) -> f64 {
        let entries = self.mean.iter().zip(&self.variance).zip(constant);
        let of_entry = |((&mean, variance), &constant): ((&f64, &f64), &f64)| match loss {
            ReconstructionLoss::SquaredError => {
                0.5 * (variance + (mean - constant) * (mean - constant))
            }
            ReconstructionLoss::BinaryCrossEntropy => {
                let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
                term(constant) + term(1.0 - constant)
            }
        };
        entries.map(of_entry).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    #[test]
    fn the_variance_of_wide_samples_is_estimated_without_bias() {
        let sample = |i: usize, j: usize| (((i * 31 + j * 17) as f32) * 0.618_034).fract();
        let unbounded = (f64::NEG_INFINITY, f64::INFINITY);
        // Of 300 samples, 256 are read; of 20, all.
        for (count, tolerance) in [(300, 1e-2), (20, 1e-6)] {
            let samples = DMatrix::from_fn(1 << 14, count, sample);
            let all = samples.column_variance().sum();
            let moments = Moments::read(&samples, unbounded, 256).unwrap();
            let variance: f64 = moments.variance.iter().sum();
            let ratio = variance / f64::from(all);
            assert!((ratio - 1.0).abs() < tolerance, "{count}: {ratio}");
        }
        // Over all ways to choose 2 of 3 samples, the mean of the estimates is exact.
        let x: [f64; 3] = [1.0, 2.0, 6.0];
        let of_pair = |a: f64, b: f64| 0.25 * (a - b) * (a - b) * unbiased(2.0, 3.0);
        let mean = (of_pair(x[0], x[1]) + of_pair(x[0], x[2]) + of_pair(x[1], x[2])) / 3.0;
        let variance = x.iter().map(|x| (x - 3.0) * (x - 3.0)).sum::<f64>() / 3.0;
        assert!((mean - variance).abs() < 1e-12, "{mean} {variance}");
    }
}
