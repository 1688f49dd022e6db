//! How strong features are where they fire: `max(0, μ_f + σ_f ξ)`, ξ standard normal.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// μ and σ of every feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Magnitudes {
    pub means: Vec<f32>,
    pub deviations: Vec<f32>,
}

impl Magnitudes {
    /// Falls linearly from a mean of 5 for the first feature to 4 for the last, with deviations
    /// `|N(0.5, 0.5²)|`.
    #[allow(clippy::cast_precision_loss)]
    pub fn new(count: usize, rng: &mut Xoshiro256PlusPlus) -> Self {
        let last = count.max(2) as f32 - 1.0;
        let deviation = |_| (0.5 + 0.5 * rng.sample::<f32, _>(StandardNormal)).abs();
        Self {
            means: (0..count).map(|f| 5.0 - f as f32 / last).collect(),
            deviations: (0..count).map(deviation).collect(),
        }
    }

    /// Draws a magnitude. A feature of magnitude 0 counts as inactive.
    pub fn draw(&self, feature: usize, rng: &mut impl Rng) -> f32 {
        let normal: f32 = rng.sample(StandardNormal);
        (self.means[feature] + self.deviations[feature] * normal).max(0.0)
    }
}
