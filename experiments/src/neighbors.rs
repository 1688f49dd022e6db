//! Classification by the nearest neighbors.

use rayon::prelude::*;
use sparse_autoencoder::nalgebra::DMatrix;

/// Queries per block: each thread holds their distances to all references.
const BLOCK: usize = 128;

/// Labeled samples to compare queries with.
pub struct Neighbors<'a> {
    /// samples × features, the faster layout for the left factor of a product
    references: DMatrix<f32>,
    half_squares: Vec<f32>,
    labels: &'a [usize],
}

impl<'a> Neighbors<'a> {
    /// Stores `samples`, features × samples, with their labels.
    pub fn new(samples: &DMatrix<f32>, labels: &'a [usize]) -> Self {
        let squares = samples.column_iter().map(|x| 0.5 * x.norm_squared());
        Self {
            references: samples.transpose(),
            half_squares: squares.collect(),
            labels,
        }
    }

    /// Returns the labels of the `k` nearest references for each query, the nearest first, k × queries.
    pub fn nearest(&self, queries: &DMatrix<f32>, k: usize) -> DMatrix<usize> {
        let starts = (0..queries.ncols()).step_by(BLOCK).collect::<Vec<_>>();
        let blocks = starts.into_par_iter().map(|first| {
            let queries = queries.columns(first, BLOCK.min(queries.ncols() - first));
            // ½‖r − q‖² − ½‖q‖², where the second term is the same for all references
            let products = &self.references * queries;
            let of_query = products.column_iter().map(|products| {
                let halves = self.half_squares.iter().zip(products.iter());
                self.smallest(halves.map(|(half, product)| half - product), k)
            });
            of_query.collect::<Vec<_>>().concat()
        });
        DMatrix::from_vec(k, queries.ncols(), blocks.collect::<Vec<_>>().concat())
    }

    fn smallest(&self, distances: impl Iterator<Item = f32>, k: usize) -> Vec<usize> {
        let mut nearest = vec![(f32::INFINITY, 0); k];
        for (distance, &label) in distances.zip(self.labels) {
            if distance < nearest[k - 1].0 {
                let place = nearest.partition_point(|&(other, _)| other <= distance);
                nearest[place..].rotate_right(1);
                nearest[place] = (distance, label);
            }
        }
        nearest.into_iter().map(|(_, label)| label).collect()
    }
}

/// Returns the fraction of the samples whose `k` nearest neighbors vote for their label. Of labels
/// with equal votes, the nearer one wins.
pub fn accuracy(nearest: &DMatrix<usize>, k: usize, labels: &[usize]) -> f64 {
    let majority = |nearest: &[usize]| {
        let votes = |label| nearest.iter().filter(|&&other| other == label).count();
        nearest
            .iter()
            .rev() // `max_by_key` takes the last of equal ones
            .copied()
            .max_by_key(|&label| votes(label))
    };
    let columns = nearest.rows(0, k);
    let right = columns
        .column_iter()
        .zip(labels)
        .filter(|(column, label)| majority(column.as_slice()) == Some(**label));
    #[allow(clippy::cast_precision_loss)] // counts
    let rate = right.count() as f64 / labels.len() as f64;
    rate
}
