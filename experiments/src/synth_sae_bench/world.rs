//! A world of features, and its samples.

use std::error::Error;
use std::path::Path;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rayon::prelude::*;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};

use super::features;
use super::firing::{self, Firing};
use super::hierarchy::Forest;
use super::magnitudes::Magnitudes;

/// Samples per product with Z.
const CHUNK: usize = 32;

/// The numbers that define a distribution of worlds.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub input_size: usize,
    pub features: usize,
    pub forest: Forest,
    /// The marginal probabilities of the rarest and of the most frequent feature.
    pub probabilities: (f64, f64),
    /// The rank of Λ, and the standard deviation of its entries.
    pub rank: usize,
    pub correlation: f64,
    /// The norm of the bias.
    pub bias: f32,
}

/// The published benchmark, in its version 2.
pub const SYNTH_SAE_BENCH_16K: Recipe = Recipe {
    input_size: 768,
    features: 16_384,
    forest: Forest {
        roots: 128,
        branching: 4,
        depth: 3,
    },
    probabilities: (5e-4, 0.4),
    rank: 25,
    correlation: 0.1,
    bias: 0.5,
};

/// Features, and the distribution of their activations.
#[derive(Debug, Clone)]
pub struct World {
    /// input size × features, of norm 1
    pub features: DMatrix<f32>,
    pub bias: DVector<f32>,
    pub forest: Forest,
    pub magnitudes: Magnitudes,
    /// Λ, features × rank, and the probability with which each feature fires by itself.
    pub factors: DMatrix<f64>,
    pub probabilities: Vec<f64>,
    firing: Firing,
}

/// Samples with the active features of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// input size × samples
    pub samples: DMatrix<f32>,
    /// The active features of each sample, every feature with its magnitude, above 0.
    pub active: Vec<Vec<(u32, f32)>>,
}

impl Batch {
    pub fn new(input_size: usize, samples: usize) -> Self {
        Self {
            samples: DMatrix::zeros(input_size, samples),
            active: vec![Vec::new(); samples],
        }
    }

    /// Fills features × samples with the magnitudes.
    pub fn activations_into(&self, activations: &mut DMatrix<f32>) {
        activations.fill(0.0);
        for (active, mut column) in self.active.iter().zip(activations.column_iter_mut()) {
            for &(feature, magnitude) in active {
                column[feature as usize] = magnitude;
            }
        }
    }
}

impl World {
    /// Draws a world. Takes the features from the folder `cache` if it has them, and else leaves them there.
    pub fn new(recipe: &Recipe, seed: u64, cache: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let Recipe {
            input_size,
            features: count,
            forest,
            ..
        } = *recipe;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let factors = firing::factors(count, recipe.rank, recipe.correlation, &mut rng);
        let magnitudes = Magnitudes::new(count, &mut rng);
        let mut normal = |_, _| rng.sample::<f32, _>(StandardNormal);
        let bias = DMatrix::from_fn(input_size, 1, &mut normal)
            .column(0)
            .normalize();
        let drawn = DMatrix::from_fn(input_size, count, &mut normal);

        let file = cache.map(|c| c.join(format!("features-{count}-{input_size}-{seed}.f32")));
        let cached = file
            .as_ref()
            .and_then(|f| features::read(f, input_size, count));
        let features = cached.map_or_else(
            || {
                let mut features = drawn;
                features::make_orthogonal(&mut features);
                let write = |file| features::write(file, &features);
                file.as_deref().map_or(Ok(()), write).map(|()| features)
            },
            Ok,
        )?;
        let marginal = firing::zipf(count, recipe.probabilities);
        let probabilities = forest.compensated(&marginal);
        Ok(Self {
            features,
            bias: bias * recipe.bias,
            forest,
            magnitudes,
            firing: Firing::new(&factors, &probabilities, 0..forest.roots, forest.len()),
            factors,
            probabilities,
        })
    }

    /// Writes the world into a folder as files of little-endian numbers, the rows of features one after the
    /// other: `features.f32`, `bias.f32`, `factors.f32`, `probabilities.f32` (of firing by itself),
    /// `means.f32`, and `deviations.f32`.
    #[allow(clippy::cast_possible_truncation)]
    pub fn export(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let column = |values: &[f32]| DMatrix::from_column_slice(values.len(), 1, values);
        let probabilities = self.probabilities.iter().map(|&p| p as f32);
        let probabilities = probabilities.collect::<Vec<_>>();
        for (name, matrix) in [
            ("features", &self.features),
            ("bias", &column(self.bias.as_slice())),
            (
                "factors",
                &self.factors.transpose().map(|entry| entry as f32),
            ),
            ("probabilities", &column(&probabilities)),
            ("means", &column(&self.magnitudes.means)),
            ("deviations", &column(&self.magnitudes.deviations)),
        ] {
            features::write(&folder.join(format!("{name}.f32")), matrix)?;
        }
        Ok(())
    }

    pub fn input_size(&self) -> usize {
        self.features.nrows()
    }

    /// Fills `batch` with the samples `first..` of a stream.
    ///
    /// Every sample has random numbers of its own, so that it depends on its number and the stream alone.
    pub fn draw(&self, stream: u64, first: u64, batch: &mut Batch) {
        let Batch { samples, active } = batch;
        let of_chunk = self.input_size() * CHUNK;
        let samples = samples.as_mut_slice().par_chunks_mut(of_chunk);
        let chunks = (active.par_chunks_mut(CHUNK).zip(samples)).enumerate();
        let start = || {
            let common = DMatrix::zeros(self.firing.width(), CHUNK);
            (common, DMatrix::zeros(self.firing.evaluated(), CHUNK))
        };
        chunks.for_each_init(start, |(common, z), (chunk, (active, samples))| {
            let first = first + (chunk * CHUNK) as u64;
            let mut generators = (first..).take(active.len()).map(|n| of_sample(stream, n));
            let mut rngs = generators.by_ref().collect::<Vec<_>>();
            for (mut common, rng) in common.column_iter_mut().zip(&mut rngs) {
                self.firing.draw_common(common.as_mut_slice(), rng);
            }
            self.firing.evaluate(common, z.as_view_mut());
            let rows = samples.chunks_exact_mut(self.input_size()).zip(active);
            let columns = common.column_iter().zip(z.column_iter()).zip(&mut rngs);
            for ((sample, active), ((common, z), rng)) in rows.zip(columns) {
                self.activate(z.as_slice(), common.as_slice(), active, rng);
                self.add_up(active, sample);
            }
        });
    }

    /// Computes a sample: bias and active features.
    fn add_up(&self, active: &[(u32, f32)], sample: &mut [f32]) {
        sample.copy_from_slice(self.bias.as_slice());
        let direction = |feature: u32| {
            let size = self.input_size();
            &self.features.as_slice()[feature as usize * size..][..size]
        };
        // Most of the time is spent on waiting for directions; four at a time wait together.
        let (fours, rest) = active.as_chunks::<4>();
        for four in fours {
            let [a, b, c, d] = four.map(|(_, magnitude)| magnitude);
            let [p, q, r, s] = four.map(|(feature, _)| direction(feature));
            let entries = p.iter().zip(q).zip(r).zip(s);
            for (x, (((p, q), r), s)) in sample.iter_mut().zip(entries) {
                *x += a * p + b * q + (c * r + d * s);
            }
        }
        for &(feature, magnitude) in rest {
            for (x, d) in sample.iter_mut().zip(direction(feature)) {
                *x += magnitude * d;
            }
        }
    }

    /// Draws the active features of a sample: roots and free features by themselves, children below
    /// active parents.
    #[allow(clippy::cast_possible_truncation)] // numbers of features
    fn activate(
        &self,
        z: &[f32],
        common: &[f32],
        active: &mut Vec<(u32, f32)>,
        rng: &mut Xoshiro256PlusPlus,
    ) {
        active.clear();
        let (of_roots, of_free) = z.split_at(self.forest.roots);
        for (root, &z) in of_roots.iter().enumerate() {
            if self.firing.fires(z, rng) {
                active.push((root as u32, 0.0));
            }
        }
        self.firing.thin(of_free, rng, |place| {
            active.push(((self.forest.len() + place) as u32, 0.0));
        });
        for (feature, magnitude) in &mut *active {
            *magnitude = self.magnitudes.draw(*feature as usize, rng);
        }
        active.retain(|(_, magnitude)| *magnitude > 0.0);
        let mut next = 0;
        while let Some(&(parent, magnitude)) = active.get(next) {
            next += 1;
            if let Some((child, own)) = self.child(parent as usize, common, rng) {
                // In units of the parent's mean.
                let scale = magnitude / self.magnitudes.means[parent as usize];
                active.push((child as u32, own * scale));
            }
        }
    }

    /// Draws which child of an active feature is active: one of those that fire, all with the same
    /// probability.
    fn child(&self, parent: usize, common: &[f32], rng: &mut impl Rng) -> Option<(usize, f32)> {
        let mut kept = None;
        let mut fired = 0;
        for child in self.forest.children(parent) {
            if !self.firing.fires(self.firing.z(child, common), rng) {
                continue;
            }
            let magnitude = self.magnitudes.draw(child, rng);
            if magnitude > 0.0 {
                fired += 1;
                if rng.random_range(0..fired) == 0 {
                    kept = Some((child, magnitude));
                }
            }
        }
        kept
    }
}

/// Returns the random numbers of a sample of a stream.
fn of_sample(stream: u64, number: u64) -> Xoshiro256PlusPlus {
    // The finalizer of SplitMix64.
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    Xoshiro256PlusPlus::seed_from_u64(mix(number ^ mix(stream.wrapping_add(1))))
}
