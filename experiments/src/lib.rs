//! Shared parts of the experiments in `src/bin`: data, variants, baselines, reports, charts, and pictures.
//!
//! ```text
//! cargo run --release -p experiments --bin denoising
//! ```

pub mod chart;
pub mod digits;
pub mod mnist;
pub mod neighbors;
pub mod npy;
pub mod pca;
pub mod photographs;
pub mod picture;
pub mod probe;
pub mod report;
pub mod shuffle;
pub mod sparse_probe;
pub mod synth_sae_bench;
pub mod variants;
