//! Principal component analysis: the linear code with the least squared error.

use sparse_autoencoder::nalgebra::{DMatrix, DVector};

/// Samples per product that is added to the covariance.
const BLOCK: usize = 1000;

/// `code = Vᵀ (x − μ)` and `x̂ = V code + μ`, where the columns of V are orthonormal.
#[derive(Debug, Clone)]
pub struct Pca {
    mean: DVector<f32>,
    /// All components, features × features, the one with the largest variance first.
    components: DMatrix<f32>,
}

impl Pca {
    /// Computes the components of `samples`, features × samples, as the eigenvectors of their
    /// covariance in `f64`.
    pub fn fit(samples: &DMatrix<f32>) -> Self {
        let mean = samples.map(f64::from).column_mean();
        let mut covariance = DMatrix::zeros(mean.len(), mean.len());
        for first in (0..samples.ncols()).step_by(BLOCK) {
            let block = samples.columns(first, BLOCK.min(samples.ncols() - first));
            let mut centered = block.map(f64::from);
            centered.column_iter_mut().for_each(|mut x| x -= &mean);
            covariance.gemm(1.0, &centered, &centered.transpose(), 1.0);
        }
        let eigen = covariance.symmetric_eigen();
        let mut order = (0..mean.len()).collect::<Vec<_>>();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        Self {
            mean: mean.cast(),
            components: eigen.eigenvectors.select_columns(&order).cast(),
        }
    }

    /// Returns μ.
    pub fn mean(&self) -> &DVector<f32> {
        &self.mean
    }

    /// Returns V.
    pub fn components(&self) -> &DMatrix<f32> {
        &self.components
    }

    /// Returns the first `count` components of each sample, count × samples.
    pub fn encode(&self, samples: &DMatrix<f32>, count: usize) -> DMatrix<f32> {
        let mut centered = samples.clone();
        centered.column_iter_mut().for_each(|mut x| x -= &self.mean);
        self.components.columns(0, count).transpose() * centered
    }

    /// Returns the samples with these first components and 0 for the others.
    pub fn decode(&self, code: &DMatrix<f32>) -> DMatrix<f32> {
        let mut samples = self.components.columns(0, code.nrows()) * code;
        samples.column_iter_mut().for_each(|mut x| x += &self.mean);
        samples
    }
}
