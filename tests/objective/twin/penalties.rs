//! The formulas of the penalties.

use super::formulas::{Certainty, largest, proportion_of};
use super::{Ball, Batch, Twin, Vector};
use sparse_autoencoder::{Activation, Real};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Omega {
    None,
    Kl,
    L1,
    Proportion,
    SquaredDeviation,
}

impl Twin {
    /// Ω and `∂Ω/∂h` of one layer, whose activation is f.
    pub(super) fn omega<T: Real>(
        &self,
        f: Activation,
        h: &Batch<T>,
        sure: &Certainty,
    ) -> (Ball<T>, Batch<T>) {
        let (zero, one) = (Ball::exact(0.0), Ball::exact(1.0));
        let units = h[0].len();
        let per_sample = one / Ball::exact(h.len() as f64);
        let mean = |j: usize| Ball::sum(h.iter().map(|h| h[j])) * per_sample;
        let rho = Ball::exact(self.target);
        let sign = |h: Ball<T>| {
            let (positive, negative) = (sure.above(h, 0.0), sure.above(-h, 0.0));
            Ball::exact(f64::from(u8::from(positive)) - f64::from(u8::from(negative)))
        };
        let mut value = Vec::new();
        let mut gradient = vec![vec![zero; units]; h.len()];
        match self.omega {
            Omega::None => {}
            Omega::Kl => {
                let (low, high) = match f {
                    Activation::Tanh => (-1.0, 1.0),
                    _ => (0.0, 1.0),
                };
                let per_range = Ball::exact(1.0 / (high - low));
                let epsilon = T::default_epsilon().to_f64();
                for j in 0..units {
                    let mut q = (mean(j) - Ball::exact(low)) * per_range;
                    let mut slope = (one - rho) / (one - q) - rho / q;
                    if !sure.above(q, epsilon) {
                        (q, slope) = (Ball::exact(epsilon), zero);
                    } else if sure.above(q, 1.0 - epsilon) {
                        (q, slope) = (Ball::exact(1.0 - epsilon), zero);
                    }
                    value.push(rho * (rho / q).ln());
                    value.push((one - rho) * ((one - rho) / (one - q)).ln());
                    for gradient in &mut gradient {
                        gradient[j] = per_sample * per_range * slope;
                    }
                }
            }
            Omega::L1 => {
                for (gradient, h) in gradient.iter_mut().zip(h) {
                    for (g, &h) in gradient.iter_mut().zip(h) {
                        value.push(per_sample * h.abs());
                        *g = per_sample * sign(h);
                    }
                }
            }
            Omega::Proportion => {
                let k = proportion_of(self.target, units);
                for (gradient, h) in gradient.iter_mut().zip(h) {
                    let magnitudes: Vector<T> = h.iter().map(|h| h.abs()).collect();
                    let kept = largest(&magnitudes, k, sure);
                    for ((g, &h), kept) in gradient.iter_mut().zip(h).zip(kept) {
                        if !kept {
                            value.push(per_sample * h.abs());
                            *g = per_sample * sign(h);
                        }
                    }
                }
            }
            Omega::SquaredDeviation => {
                for j in 0..units {
                    let deviation = mean(j) - rho;
                    value.push(Ball::exact(0.5) * deviation * deviation);
                    for gradient in &mut gradient {
                        gradient[j] = per_sample * deviation;
                    }
                }
            }
        }
        (Ball::sum(value), gradient)
    }
}
