//! SynthSAEBench-16k (Chanin & Garriga-Alonso 2026, *SynthSAEBench: Evaluating Sparse Autoencoders on
//! Scalable Realistic Synthetic Data*): samples that are sums of known features, and how well a model
//! finds these.
//!
//! ```text
//! x = Σ_f a_f d_f + b
//! ```
//!
//! | | | |
//! |---|---|---|
//! | [`features`] | d | 16,384 directions in 768 dimensions, made more orthogonal |
//! | [`firing`] | a_f > 0 | frequencies by Zipf's law, correlated by a Gaussian copula of rank 25 |
//! | [`hierarchy`] | | 128 trees: a child only with its parent, and without its siblings |
//! | [`magnitudes`] | a_f | normal; a child's is scaled by `a_parent / μ_parent` |
//! | [`world`] | x | samples, each drawn from its number in a stream |
//! | [`evaluation`] | | the published metrics |
//!
//! This is the distribution of the paper and of the benchmark's version 2. Version 1 was published with
//! children that are not scaled by their parents.
//!
//! The published training does not scale the samples, except for `JumpReLU`. All models have 4,096 units
//! and see 200 million samples in batches of 1,024. Adam has a constant rate of 3e-4 in the released
//! configuration; the paper describes a linear decay over the last third.
//!
//! | variant | published settings |
//! |---|---|
//! | `BatchTopK` | AuxK of weight 1 with 384 units, dead after 1,000 steps; free decoder columns that start at norm 0.1 |
//! | Matryoshka | prefixes of 128, 512, and 2,048 units, each with an AuxK of its own |
//! | ReLU + L1 | the weight grows over a third of the steps, and then follows L0 |
//! | `JumpReLU` | tanh penalty whose weight follows L0, bandwidth 2, thresholds from 0.5, AuxK of weight 1 |
//!
//! Samples and products were rounded to `bf16`. In the published evaluation, `BatchTopK` and Matryoshka
//! select units over batches of 1,024 samples, as in training.

pub mod evaluation;
pub mod features;
pub mod firing;
pub mod hierarchy;
pub mod magnitudes;
mod normal;
pub mod world;

pub use evaluation::{Scores, Selection};
pub use world::{Batch, Recipe, SYNTH_SAE_BENCH_16K, World};
