//! Which features fire: correlated Bernoulli variables by a Gaussian copula.
//!
//! ```text
//! f fires   where   ⟨λ_f, ε⟩ + σ_f η_f > Φ⁻¹(1 − p_f)      ε ∈ ℝʳ and η_f standard normal
//!                                                           σ_f² = 1 − ‖λ_f‖²
//! ```
//!
//! Given ε, features are independent and fire with probability Φ(z_f), where
//! `z_f = (⟨λ_f, ε⟩ − Φ⁻¹(1 − p_f)) / σ_f`. So a sample needs ε but no η: Bernoulli draws for features that
//! are often active, exact thinning for many rare ones, and nothing for children of inactive parents.

use std::ops::Range;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};
use rand_distr::{Exp1, StandardNormal};
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixViewMut};

use super::normal::{self, Table};

/// Consecutive features that share an upper bound of Φ(z).
const BLOCK: usize = 64;
/// The least σ². Longer λ are shortened.
const LEAST_VARIANCE: f64 = 0.01;

/// The copula, given ε: `z = Z (ε, 1)`.
#[derive(Debug, Clone)]
pub struct Firing {
    /// Z, features × (rank + 1): λ_f / σ_f, and −Φ⁻¹(1 − p_f) / σ_f. The rows of the features that are
    /// evaluated for every sample.
    always: DMatrix<f32>,
    /// All rows of Z, one after the other.
    rows: Vec<f32>,
    table: Table,
}

/// Follows Zipf's law with exponent ½, scaled to `low..=high`, from the most frequent feature to the rarest.
pub fn zipf(count: usize, (low, high): (f64, f64)) -> Vec<f64> {
    #[allow(clippy::cast_precision_loss)]
    let of_rank = |rank: usize| (rank as f64).powf(-0.5);
    let last = of_rank(count);
    let of_rank = |rank| low + (high - low) * (of_rank(rank) - last) / (1.0 - last);
    (1..=count).map(of_rank).collect()
}

/// Draws Λ, features × rank, with entries of this standard deviation. Rows are shortened where they would
/// leave too little variance to a feature itself.
pub fn factors(
    count: usize,
    rank: usize,
    deviation: f64,
    rng: &mut Xoshiro256PlusPlus,
) -> DMatrix<f64> {
    let mut factors = DMatrix::from_fn(count, rank, |_, _| {
        deviation * rng.sample::<f64, _>(StandardNormal)
    });
    let longest = (1.0 - LEAST_VARIANCE).sqrt();
    for mut row in factors.row_iter_mut() {
        if row.norm() > longest {
            row.normalize_mut();
            row *= longest;
        }
    }
    factors
}

impl Firing {
    /// Prepares the copula with these Λ, features × rank, and p. The features `always` and `free..` are
    /// evaluated for every sample.
    #[allow(clippy::cast_possible_truncation)] // to f32
    pub fn new(
        factors: &DMatrix<f64>,
        probabilities: &[f64],
        always: Range<usize>,
        free: usize,
    ) -> Self {
        let width = factors.ncols() + 1;
        let mut rows = Vec::with_capacity(width * factors.nrows());
        for (factor, &p) in factors.row_iter().zip(probabilities) {
            let deviation = (1.0 - factor.norm_squared()).sqrt();
            rows.extend(factor.iter().map(|entry| (entry / deviation) as f32));
            rows.push((normal::quantile(p) / deviation) as f32);
        }
        let evaluated = always.chain(free..factors.nrows()).collect::<Vec<_>>();
        let entry = |row: usize, column| rows[evaluated[row] * width + column];
        Self {
            always: DMatrix::from_fn(evaluated.len(), width, entry),
            rows,
            table: Table::default(),
        }
    }

    /// Returns the number of entries of (ε, 1).
    pub fn width(&self) -> usize {
        self.always.ncols()
    }

    /// Returns the number of features that are evaluated for every sample.
    pub fn evaluated(&self) -> usize {
        self.always.nrows()
    }

    /// Draws (ε, 1).
    pub fn draw_common(&self, common: &mut [f32], rng: &mut impl Rng) {
        if let Some((one, epsilon)) = common.split_last_mut() {
            epsilon.fill_with(|| rng.sample(StandardNormal));
            *one = 1.0;
        }
    }

    /// Computes z of the features that are evaluated for every sample, features × samples, from (ε, 1) of
    /// each.
    pub fn evaluate(&self, common: &DMatrix<f32>, mut z: DMatrixViewMut<'_, f32>) {
        z.gemm(1.0, &self.always, common, 0.0);
    }

    /// Returns z of any feature.
    pub fn z(&self, feature: usize, common: &[f32]) -> f32 {
        let row = &self.rows[feature * self.width()..][..self.width()];
        row.iter().zip(common).map(|(a, b)| a * b).sum()
    }

    /// Draws whether a feature fires.
    pub fn fires(&self, z: f32, rng: &mut impl Rng) -> bool {
        self.table.is_below(rng.random(), z)
    }

    /// Draws which of many features fire, most with a small probability, and calls `fire` with their places
    /// in `z`.
    ///
    /// Exact thinning: a Poisson process runs along the features. Each feature has an event with probability
    /// q, which fires with probability `Φ(z)/q`. All features of a block share the bound `q ≥ Φ(z)`.
    pub fn thin(&self, z: &[f32], rng: &mut impl Rng, mut fire: impl FnMut(usize)) {
        let mut left: f64 = rng.sample(Exp1); // to the next event
        for (block, z) in (0..).step_by(BLOCK).zip(z.chunks(BLOCK)) {
            let bound = self.table.cell(largest(z));
            let mut start = 0;
            loop {
                let rest = z.len() - start;
                let skipped = left / bound.hazard;
                #[allow(clippy::cast_precision_loss)] // at most the size of a block
                let rest = rest as f64;
                if skipped >= rest {
                    left = (left - bound.hazard * rest).max(0.0);
                    break;
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                // within the block
                let place = start + skipped as usize;
                if self
                    .table
                    .is_below(rng.random::<f64>() * bound.high, z[place])
                {
                    fire(block + place);
                }
                left = rng.sample(Exp1);
                start = place + 1;
            }
        }
    }
}

/// Returns the largest number, which the compiler finds in several lanes.
fn largest(numbers: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (lanes, rest) = numbers.as_chunks::<8>();
    let mut most = [f32::NEG_INFINITY; 8];
    for lane in lanes {
        for (most, &number) in most.iter_mut().zip(lane) {
            *most = larger(*most, number);
        }
    }
    most.into_iter()
        .chain(rest.iter().copied())
        .fold(f32::NEG_INFINITY, larger)
}
