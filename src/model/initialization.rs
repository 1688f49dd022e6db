//! Random initial parameters.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use crate::Real;
use crate::error::{Error, require};
use crate::linalg::Aligned;
use crate::model::Layout;

/// The distribution of the initial weights. Biases start at 0.
///
/// Numbers are drawn in `f64` from a seeded, portable generator and then converted. Models in `f32`
/// and `f64` start from the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Initialization {
    /// Uniform in `[−r, r]`, `r = √6 / √(below + above + 1)`: CS294A's form of Glorot & Bengio
    /// (2010). For sigmoid and tanh.
    #[default]
    Glorot,
    /// Normal with variance `2 / inputs` of the layer (He et al. 2015). For ReLU.
    He,
    /// Random directions of norm 1, one per unit, in the decoder, and the same in the encoder: each unit
    /// detects what it contributes (Gao et al. 2024). For overcomplete ReLU and TopK models, where far
    /// fewer units die.
    TransposedDecoder,
}

impl Initialization {
    /// Draws all parameters of a layout without blocks of activations.
    pub(crate) fn draw<T: Real>(self, layout: &Layout, seed: u64) -> Result<Aligned<T>, Error> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let theta = Aligned::try_zeros(layout.len());
        require(
            theta.is_some(),
            "layers",
            "small enough for the parameters to fit into memory",
            layout
                .sizes()
                .iter()
                .map(|&size| f64::of_count(size))
                .product(),
        )?;
        let mut theta = theta.unwrap_or_default();
        for blocks in layout.blocks() {
            let fan = (f64::of_count(blocks.below), f64::of_count(blocks.above));
            let mut fill = |weights: &mut [T], inputs: f64| match self {
                Self::Glorot => {
                    let r = (6.0 / (fan.0 + fan.1 + 1.0)).sqrt();
                    weights.fill_with(|| T::of(r * (2.0 * rng.random::<f64>() - 1.0)));
                }
                Self::He => {
                    let deviation = (2.0 / inputs).sqrt();
                    weights.fill_with(|| T::of(deviation * rng.sample::<f64, _>(StandardNormal)));
                }
                Self::TransposedDecoder => {
                    for unit in weights.chunks_exact_mut(blocks.below) {
                        unit.fill_with(|| T::of(rng.sample(StandardNormal)));
                        let norm = unit.iter().map(|w| w.to_f64().powi(2)).sum::<f64>().sqrt();
                        let per_norm = if norm > 0.0 { 1.0 / norm } else { 1.0 };
                        unit.iter_mut().for_each(|w| *w *= T::of(per_norm));
                    }
                }
            };
            fill(&mut theta[blocks.encoder_weights.clone()], fan.0);
            if !layout.is_tied() {
                if self == Self::TransposedDecoder {
                    theta.copy_within(blocks.encoder_weights.clone(), blocks.decoder_weights.start);
                } else {
                    fill(&mut theta[blocks.decoder_weights.clone()], fan.1);
                }
            }
        }
        Ok(theta)
    }
}
