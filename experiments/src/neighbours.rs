//! Classification by the nearest neighbours: what a code says about distances.

use rayon::prelude::*;
use sparse_autoencoder::nalgebra::DMatrix;

/// Queries whose distances to all references are held at a time, by each thread.
const BLOCK: usize = 128;

/// Labelled samples to be compared with.
pub struct Neighbours<'a> {
    /// samples × features: the left factor of a product, as it is fastest
    references: DMatrix<f32>,
    half_squares: Vec<f32>,
    labels: &'a [usize],
}

impl<'a> Neighbours<'a> {
    /// Remembers `samples`, features × samples, with their labels.
    pub fn new(samples: &DMatrix<f32>, labels: &'a [usize]) -> Self {
        let squares = samples.column_iter().map(|x| 0.5 * x.norm_squared());
        Self {
            references: samples.transpose(),
            half_squares: squares.collect(),
            labels,
        }
    }

    /// The labels of the `k` references that are nearest to each query, the nearest first,
    /// k × queries.
    pub fn nearest(&self, queries: &DMatrix<f32>, k: usize) -> DMatrix<usize> {
        let starts = (0..queries.ncols()).step_by(BLOCK).collect::<Vec<_>>();
        let blocks = starts.into_par_iter().map(|first| {
            let queries = queries.columns(first, BLOCK.min(queries.ncols() - first));
            // ½‖r − q‖² but for ½‖q‖², which is the same for all references
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

/// The fraction of the samples whose label most of their `k` nearest neighbours have; of labels
/// that equally many have, the one that is nearer.
pub fn accuracy(nearest: &DMatrix<usize>, k: usize, labels: &[usize]) -> f64 {
    let majority = |nearest: &[usize]| {
        let votes = |label| nearest.iter().filter(|&&other| other == label).count();
        nearest
            .iter()
            .rev() // of equal ones `max_by_key` takes the last
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
