//! Metrics of reconstructions and of sparsity.

mod golden;
mod laws;
mod refusals;

use approx::assert_relative_eq;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::metrics::{
    ReconstructionMetrics, SparsityIndex, SparsityMetrics, hoyer, treves_rolls, vinje_gallant,
};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Error, Real, SparseHidden};

use crate::compressed::compress;

const INDICES: [SparsityIndex; 3] = [
    SparsityIndex::Hoyer,
    SparsityIndex::TrevesRolls,
    SparsityIndex::VinjeGallant,
];

/// A bound for the rounding of a sum of `terms` numbers of one sign.
#[allow(clippy::cast_precision_loss)]
fn rounding(terms: usize) -> f64 {
    terms as f64 * f64::EPSILON
}

fn random(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

/// Activations of which about two thirds are zeros; the last unit is silent.
fn random_hidden(units: usize, samples: usize, seed: u64) -> DMatrix<f64> {
    let mut hidden = random(units, samples, seed).map(|h| (h - 1.0 / 3.0).max(0.0));
    hidden.row_mut(units - 1).fill(0.0);
    hidden
}

fn reconstruction<T: Real>(
    samples: &DMatrix<T>,
    reconstructions: &DMatrix<T>,
    batch: usize,
) -> ReconstructionMetrics {
    let mut metrics = ReconstructionMetrics::new(samples.nrows());
    for start in (0..samples.ncols()).step_by(batch) {
        let count = batch.min(samples.ncols() - start);
        metrics
            .add(
                samples.columns(start, count),
                reconstructions.columns(start, count),
            )
            .unwrap();
    }
    metrics
}

fn sparsity<T: Real>(hidden: &DMatrix<T>, batch: usize) -> SparsityMetrics {
    let mut metrics = SparsityMetrics::new(hidden.nrows());
    for start in (0..hidden.ncols()).step_by(batch) {
        let count = batch.min(hidden.ncols() - start);
        metrics.add(hidden.columns(start, count)).unwrap();
    }
    metrics
}
