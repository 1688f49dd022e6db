//! Samples that are sums of known features, after SynthSAEBench (Chanin & Garriga-Alonso 2026,
//! *SynthSAEBench: Evaluating Sparse Autoencoders on Scalable Realistic Synthetic Data*).
//!
//! ```text
//! x = Σ_f a_f d_f + b        a_f = max(0, μ_f + σ_f ξ) where feature f is active, else 0
//! f is active  where  z_f > Φ⁻¹(1 − p_f), and its parent is, and no sibling was drawn before it
//! z ~ N(0, FFᵀ + diag)       F features × rank, the diagonal such that z_f has variance 1
//! p_f                        falls as f^−½ from the first feature to the last
//! ```

use std::f64::consts::PI;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};

/// The number, correlation, and frequency of the features.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub input_size: usize,
    pub features: usize,
    /// The most frequent features are roots, each with a tree below it.
    pub roots: usize,
    pub branching: usize,
    pub depth: usize,
    /// The frequencies of the rarest and of the most frequent feature, given that the parent is active.
    pub probabilities: (f64, f64),
    pub rank: usize,
    /// The standard deviation of the entries of F.
    pub correlation: f64,
}

/// Features, and the distribution of their activations.
#[derive(Debug, Clone)]
pub struct World {
    /// input × features, of norm 1
    pub features: DMatrix<f32>,
    bias: DVector<f32>,
    /// Φ⁻¹(1 − p)
    thresholds: Vec<f32>,
    /// F, features × rank, and the standard deviations of the independent part.
    factors: DMatrix<f32>,
    independent: Vec<f32>,
    /// μ and σ of the activations
    magnitudes: Vec<(f32, f32)>,
    /// The families of siblings with their parent, parents before children.
    families: Vec<(usize, std::ops::Range<usize>)>,
}

/// Samples with the activations of their features.
#[derive(Debug, Clone)]
pub struct Batch {
    /// input × samples
    pub samples: DMatrix<f32>,
    /// features × samples
    pub activations: DMatrix<f32>,
}

impl World {
    #[allow(clippy::cast_possible_truncation)] // to f32
    pub fn new(recipe: &Recipe, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut normal = |_, _| rng.sample::<f32, _>(StandardNormal);
        let Recipe {
            input_size,
            features: count,
            ..
        } = *recipe;
        let features = nearly_orthogonal(DMatrix::from_fn(input_size, count, &mut normal));
        let bias = DVector::from_fn(input_size, &mut normal).normalize() * 0.5;

        let mut factors = DMatrix::from_fn(count, recipe.rank, &mut normal);
        factors *= recipe.correlation as f32;
        let shared = factors.row_iter().map(|f| f.norm_squared());
        let independent = shared.map(|s| (1.0 - s).max(0.01).sqrt()).collect();

        // A folded normal distribution for each feature. Frequent features are stronger.
        let magnitudes = (0..count).map(|feature| {
            let mean = 5.0 - part(feature, count - 1) as f32;
            (mean, (0.5 + 0.5 * normal(0, 0)).abs())
        });
        Self {
            magnitudes: magnitudes.collect(),
            thresholds: probabilities(count, recipe.probabilities)
                .map(|p| quantile(1.0 - p) as f32)
                .collect(),
            features,
            bias,
            factors,
            independent,
            families: families(recipe),
        }
    }

    /// Fills `batch` with new samples.
    pub fn draw(&self, batch: &mut Batch, rng: &mut Xoshiro256PlusPlus) {
        let Batch {
            samples,
            activations,
        } = batch;
        let common = DMatrix::from_fn(self.factors.ncols(), samples.ncols(), |_, _| {
            rng.sample::<f32, _>(StandardNormal)
        });
        activations.gemm(1.0, &self.factors, &common, 0.0); // the shared part of z
        for (mut sample, mut activations) in
            samples.column_iter_mut().zip(activations.column_iter_mut())
        {
            for (feature, a) in activations.iter_mut().enumerate() {
                let z = *a + self.independent[feature] * rng.sample::<f32, _>(StandardNormal);
                let (mean, deviation) = self.magnitudes[feature];
                *a = if z > self.thresholds[feature] {
                    (mean + deviation * rng.sample::<f32, _>(StandardNormal)).max(0.0)
                } else {
                    0.0
                };
            }
            for (parent, siblings) in &self.families {
                let is_active = activations[*parent] > 0.0;
                let mut family = activations.rows_range_mut(siblings.clone());
                let active = family.iter().filter(|a| **a > 0.0).count();
                // At most one of the siblings, and only if the parent is active.
                let kept = (is_active && active > 0).then(|| rng.random_range(0..active));
                let mut met = 0..;
                for a in family.iter_mut().filter(|a| **a > 0.0) {
                    if met.next() != kept {
                        *a = 0.0;
                    }
                }
            }
            sample.copy_from(&self.bias);
            for (feature, &a) in activations.iter().enumerate().filter(|(_, a)| **a > 0.0) {
                sample.axpy(a, &self.features.column(feature), 1.0);
            }
        }
    }

    pub fn batch(&self, samples: usize) -> Batch {
        let (input_size, features) = self.features.shape();
        Batch {
            samples: DMatrix::zeros(input_size, samples),
            activations: DMatrix::zeros(features, samples),
        }
    }

    /// Returns the mean over the features of the largest absolute cosine with another feature.
    pub fn superposition(&self) -> f64 {
        let mut cosines = self.features.tr_mul(&self.features).abs();
        cosines.fill_diagonal(0.0);
        let largest = cosines.column_iter().map(|c| f64::from(c.max()));
        largest.sum::<f64>() / part(cosines.ncols(), 1)
    }
}

/// Moves unit vectors apart by gradient descent on ½ Σ_{f≠g} ⟨d_f, d_g⟩².
fn nearly_orthogonal(mut features: DMatrix<f32>) -> DMatrix<f32> {
    const STEPS: usize = 100;
    let normalize = |features: &mut DMatrix<f32>| {
        for mut feature in features.column_iter_mut() {
            feature.normalize_mut();
        }
    };
    normalize(&mut features);
    // The curvature is at most about the number of features per dimension.
    #[allow(clippy::cast_precision_loss)]
    let rate = 0.1 * features.nrows() as f32 / features.ncols() as f32;
    for _ in 0..STEPS {
        let spread = &features * features.transpose();
        let gradient = &spread * &features - &features;
        features -= rate * gradient;
        normalize(&mut features);
    }
    features
}

/// Follows Zipf's law with exponent ½, from the most frequent feature to the rarest.
fn probabilities(count: usize, (low, high): (f64, f64)) -> impl Iterator<Item = f64> {
    let of_rank = |rank: usize| part(rank, 1).powf(-0.5);
    let last = of_rank(count);
    (1..=count).map(move |rank| low + (high - low) * (of_rank(rank) - last) / (1.0 - last))
}

/// Orders the features breadth first: all roots, their children, the children of these.
fn families(recipe: &Recipe) -> Vec<(usize, std::ops::Range<usize>)> {
    let (mut families, mut parents) = (Vec::new(), 0..recipe.roots.min(recipe.features));
    for _ in 0..recipe.depth {
        let mut next = parents.end;
        for parent in parents.clone() {
            let children = next..(next + recipe.branching).min(recipe.features);
            next = children.end;
            families.push((parent, children));
        }
        parents = parents.end..next;
    }
    families.retain(|(_, children)| !children.is_empty());
    families
}

/// Φ⁻¹, by bisection.
fn quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_cdf(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// `Φ(x) = ½ + φ(x) Σₖ x²ᵏ⁺¹ / (2k+1)!!`
fn normal_cdf(x: f64) -> f64 {
    let (mut term, mut sum, mut odd) = (x, 0.0, 1.0);
    while term.abs() > 1e-18 {
        sum += term;
        odd += 2.0;
        term *= x * x / odd;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

#[allow(clippy::cast_precision_loss)] // counts
fn part(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}
