//! The objective of a batch, and its gradient.

use super::formulas::{Certainty, slope};
use super::{Ball, Samples, Twin, Vector, dot, exactly};
use crate::common::variants::blocks;
use sparse_autoencoder::{Real, ReconstructionLoss};

/// What the twin finds for a batch.
#[derive(Debug, Clone)]
pub(crate) struct Outcome<T> {
    pub(crate) reconstruction: Ball<T>,
    pub(crate) weight_decay: Ball<T>,
    pub(crate) sparsity: Ball<T>,
    /// in the order of θ
    pub(crate) gradient: Vec<Ball<T>>,
    /// Whether no kink and no tie lies within rounding.
    pub(crate) sure: bool,
}

impl Twin {
    /// J(θ) and `∂J/∂θ`.
    pub(crate) fn evaluate<T: Real>(&self, samples: &[Vec<f64>]) -> Outcome<T> {
        let sure = Certainty::new();
        let (zero, one, half) = (Ball::exact(0.0), Ball::exact(1.0), Ball::exact(0.5));
        let (m, depth, layers) = (samples.len(), self.depth(), self.layers::<T>());
        let per_sample = one / Ball::exact(m as f64);
        let lambda = Ball::exact(self.weight_decay);
        let beta = Ball::exact(self.penalty_weight);

        let x = exactly(samples);
        let h = self.encoded(x.clone(), Samples::OneBatch, &sure);
        let (r, z) = self.decoded(h[depth].clone());

        // 1/m Σ ℓ, and Δ(R₀)
        let mut losses = Vec::new();
        let mut delta_r = vec![vec![Vec::new(); m]; depth];
        for i in 0..m {
            for k in 0..self.sizes[0] {
                let (x, x_hat, z) = (x[i][k], r[0][i][k], z[i][k]);
                let e = x_hat - x;
                match self.reconstruction {
                    ReconstructionLoss::BinaryCrossEntropy => {
                        losses.push(z.softplus() - x * z);
                        delta_r[0][i].push(per_sample * e);
                    }
                    _ => {
                        losses.push(half * e * e);
                        delta_r[0][i].push(per_sample * e * slope(self.output, x_hat, &sure));
                    }
                }
            }
        }

        // Δ(R_l) outside in
        for l in 1..depth {
            for i in 0..m {
                for j in 0..self.sizes[l] {
                    let carried = dot(&layers[l - 1].d[j], &delta_r[l - 1][i], zero);
                    let delta = carried * slope(self.decoder(l), r[l][i][j], &sure);
                    delta_r[l][i].push(delta);
                }
            }
        }

        // Δ(H_l) inside out
        let mut omegas = Vec::new();
        let mut delta_h = vec![vec![Vec::new(); m]; depth + 1];
        for l in (1..=depth).rev() {
            let f = self.hidden[l - 1];
            let mut penalty = vec![vec![zero; self.sizes[l]]; m];
            if self.penalized.contains(&(l - 1)) && self.penalty_weight > 0.0 {
                let (omega, gradient) = self.omega(f, &h[l], &sure);
                omegas.push(beta * omega);
                penalty = gradient;
            }
            for i in 0..m {
                for j in 0..self.sizes[l] {
                    let penalty = beta * penalty[i][j];
                    let carried = if l == depth {
                        dot(&layers[l - 1].d[j], &delta_r[l - 1][i], penalty)
                    } else {
                        let out: Vector<T> = layers[l].w.iter().map(|w| w[j]).collect();
                        dot(&out, &delta_h[l + 1][i], penalty)
                    };
                    let delta = carried * slope(f, h[l][i][j], &sure);
                    delta_h[l][i].push(delta);
                }
            }
        }

        // Sums over the samples, and the decay, in the order of θ.
        let mut squares = Vec::new();
        let mut decayed = |w: Ball<T>| {
            squares.push(w * w);
            lambda * w
        };
        let over_samples = |term: &dyn Fn(usize) -> Ball<T>| (0..m).map(term).collect::<Vec<_>>();
        let (mut encoder, mut decoder) = (Vec::new(), Vec::new());
        for l in 0..depth {
            for j in 0..self.sizes[l + 1] {
                for k in 0..self.sizes[l] {
                    let mut of_w = over_samples(&|i| h[l][i][k] * delta_h[l + 1][i][j]);
                    let mut of_d = over_samples(&|i| delta_r[l][i][k] * r[l + 1][i][j]);
                    of_w.push(decayed(layers[l].w[j][k]));
                    if self.tied {
                        of_w.append(&mut of_d);
                    } else {
                        of_d.push(decayed(layers[l].d[j][k]));
                        decoder.push(Ball::sum(of_d));
                    }
                    encoder.push(Ball::sum(of_w));
                }
            }
            for j in 0..self.sizes[l + 1] {
                encoder.push(Ball::sum(over_samples(&|i| delta_h[l + 1][i][j])));
            }
            for k in 0..self.sizes[l] {
                decoder.push(Ball::sum(over_samples(&|i| delta_r[l][i][k])));
            }
        }
        encoder.append(&mut decoder);
        // Thresholds follow what was chosen, and have no gradient.
        let layers = self.hidden.iter().zip(&self.sizes[1..]);
        let thresholds = layers.map(|(&f, &units)| blocks(f, units).into_iter().sum::<usize>());
        encoder.extend(vec![zero; thresholds.sum()]);
        Outcome {
            reconstruction: per_sample * Ball::sum(losses),
            weight_decay: half * lambda * Ball::sum(squares),
            sparsity: Ball::sum(omegas),
            gradient: encoder,
            sure: sure.is_sure(),
        }
    }
}

impl<T: Real> Outcome<T> {
    /// The largest radius, relative to the largest number of its kind: how sharp the comparison is.
    pub(crate) fn looseness(&self) -> f64 {
        let relative = |balls: &[Ball<T>]| {
            let largest = |of: &dyn Fn(&Ball<T>) -> f64| balls.iter().map(of).fold(0.0, f64::max);
            largest(&|ball| ball.radius) / largest(&|ball| ball.middle.abs()).max(1e-3)
        };
        let loss = [self.reconstruction, self.weight_decay, self.sparsity];
        relative(&self.gradient).max(relative(&loss))
    }
}
