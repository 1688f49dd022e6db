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
/// If none is set, the activations choose:
///
/// | hidden activations | default |
/// |---|---|
/// | [`TopK`](crate::Activation::TopK), `AbsTopK`, `TopProportion`, `BatchTopK`, `WinnerTakeAll` | `TransposedDecoder` with norm 0.1 |
/// | [`Relu`](crate::Activation::Relu), `JumpRelu`, `Gated` | `TransposedDecoder` with norm √(2 · inputs / units), at most 1: half of the units then reconstruct about the sample |
/// | all of these in a [transcoder](crate::SparseAutoencoderBuilder::output_size) | `TransposedDecoder` with norm 0.6, and a decoder of 0 |
/// | all others, several hidden layers, or an output other than [`Identity`](crate::Activation::Identity) | `Glorot` |
///
/// Numbers are drawn and scaled in `f64` from a seeded, portable generator, and then rounded. Models in `f32`
/// and `f64` start from the same numbers up to this rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Initialization {
    /// Uniform in `[−r, r]`, `r = √6 / √(below + above + 1)`: CS294A's form of Glorot & Bengio
    /// (2010). For sigmoid and tanh, and for deep models.
    Glorot,
    /// Random directions of equal norm as decoder columns, and the same columns in the encoder: each unit
    /// detects what it contributes. Far fewer units die (Gao et al. 2024). Units that select learn faster
    /// from a small norm (Conerly et al. 2024, *Update on how we train SAEs*, use 0.1). The decoder of a transcoder,
    /// whose output is elsewhere, starts at 0, as in EleutherAI's sparsify.
    TransposedDecoder {
        /// The Euclidean norm of each column, > 0.
        norm: f64,
    },
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
            layout.all_sizes().map(f64::of_count).product(),
        )?;
        let mut theta = theta.unwrap_or_default();
        for (l, blocks) in layout.blocks().iter().enumerate() {
            let mut fill = |weights: &mut [T], rows: usize| match self {
                Self::Glorot => {
                    let fan = f64::of_count(rows) + f64::of_count(blocks.above);
                    let r = (6.0 / (fan + 1.0)).sqrt();
                    weights.fill_with(|| T::of(r * (2.0 * rng.random::<f64>() - 1.0)));
                }
                Self::TransposedDecoder { norm } => {
                    let mut direction = vec![0.0; rows];
                    for unit in weights.chunks_exact_mut(rows) {
                        direction.fill_with(|| rng.sample(StandardNormal));
                        let drawn = direction.iter().map(|w: &f64| w.powi(2)).sum::<f64>();
                        let drawn = drawn.sqrt();
                        let factor = if drawn > 0.0 { norm / drawn } else { norm };
                        let scaled = direction.iter().map(|w| T::of(w * factor));
                        unit.iter_mut().zip(scaled).for_each(|(w, x)| *w = x);
                    }
                }
            };
            fill(&mut theta[blocks.encoder_weights.clone()], blocks.below);
            match self {
                Self::TransposedDecoder { .. } if l == 0 && layout.is_transcoder() => {}
                Self::TransposedDecoder { .. } => {
                    let decoder = blocks.decoder_weights.start;
                    theta.copy_within(blocks.encoder_weights.clone(), decoder);
                }
                Self::Glorot if layout.is_tied() => {}
                Self::Glorot => fill(&mut theta[blocks.decoder_weights.clone()], blocks.decoded),
            }
        }
        Ok(theta)
    }
}
