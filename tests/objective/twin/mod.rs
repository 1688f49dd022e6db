//! A naive twin of the model: the formulas of the objective, of its gradient, and of inference, in
//! loops over `Vec`s, one sample after the other. It shares no code with the crate.
//!
//! Every number is a [`Ball`], so what the twin says is also how far the crate may be from it. At a
//! kink or a tie no tolerance is right, for rounding may choose the other side: there the twin
//! takes the documented side where the values are exact, and says that it is not
//! [sure](Outcome::sure) where they are not.

#![allow(dead_code)] // each test uses its part
#![allow(clippy::needless_range_loop)] // indices as in the formulas

mod ball;
mod formulas;

use crate::common::variants::blocks;
pub(crate) use ball::Ball;
use formulas::{Certainty, choose, largest, mirror, proportion_of, slope, value};
pub(crate) use formulas::{activations, knows};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, KlDivergence, L1, Layout, Parameters, Proportion, Real, ReconstructionLoss,
    SparseAutoencoder, SquaredDeviation,
};

/// A model as plain data. `theta` and the samples must hold values that are exact in the scalar. The
/// thresholds of `BatchTopK` are none of it: they are 0, so that in inference it is a ReLU.
#[derive(Debug, Clone)]
pub(crate) struct Twin {
    pub(crate) sizes: Vec<usize>,
    pub(crate) tied: bool,
    pub(crate) theta: Vec<f64>,
    /// of each hidden layer, the outermost first
    pub(crate) hidden: Vec<Activation>,
    pub(crate) output: Activation,
    pub(crate) reconstruction: ReconstructionLoss,
    pub(crate) omega: Omega,
    pub(crate) target: f64,
    pub(crate) penalty_weight: f64,
    pub(crate) penalized: Vec<usize>,
    pub(crate) weight_decay: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Omega {
    None,
    Kl,
    L1,
    Proportion,
    SquaredDeviation,
}

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

/// One entry per unit.
type Vector<T> = Vec<Ball<T>>;
/// `batch[i][j]`: unit j for sample i.
type Batch<T> = Vec<Vector<T>>;

/// `w[j][k]` joins unit j above with unit k below, and so does `d[j][k]`.
#[derive(Debug, Clone)]
struct Layer<T> {
    w: Vec<Vector<T>>,
    b: Vector<T>,
    d: Vec<Vector<T>>,
    c: Vector<T>,
}

/// How the samples belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Samples {
    OneBatch,
    EachAlone,
}

fn dot<T: Real>(a: &[Ball<T>], b: &[Ball<T>], start: Ball<T>) -> Ball<T> {
    Ball::sum(a.iter().zip(b).map(|(&a, &b)| a * b).chain([start]))
}

fn exactly<T: Real>(samples: &[Vec<f64>]) -> Batch<T> {
    let vector = |sample: &Vec<f64>| sample.iter().map(|&x| Ball::exact(x)).collect();
    samples.iter().map(vector).collect()
}

impl Twin {
    /// The model of the crate that this one is the twin of.
    pub(crate) fn build<T: Real>(&self) -> SparseAutoencoder<T> {
        let layout = Layout::new(&self.sizes, self.tied).unwrap();
        let theta = self.theta.iter().map(|&v| T::of(v)).collect();
        let builder = SparseAutoencoder::builder()
            .parameters(Parameters::new(layout, theta).unwrap())
            .hidden_activations(self.hidden.clone())
            .output_activation(self.output)
            .reconstruction(self.reconstruction)
            .sparsity_target(self.target)
            .penalty_weight(self.penalty_weight)
            .penalized_layers(self.penalized.clone())
            .weight_decay(self.weight_decay);
        match self.omega {
            Omega::None => builder.penalty(()),
            Omega::Kl => builder.penalty(KlDivergence),
            Omega::L1 => builder.penalty(L1),
            Omega::Proportion => builder.penalty(Proportion),
            Omega::SquaredDeviation => builder.penalty(SquaredDeviation),
        }
        .build()
        .unwrap()
    }

    /// The number of entries of θ.
    pub(crate) fn parameters(sizes: &[usize], tied: bool) -> usize {
        let matrices = if tied { 1 } else { 2 };
        let layer = |pair: &[usize]| matrices * pair[0] * pair[1] + pair[0] + pair[1];
        sizes.windows(2).map(layer).sum()
    }

    fn depth(&self) -> usize {
        self.sizes.len() - 1
    }

    /// θ is `W₀ b₀ W₁ b₁ … D₀ c₀ D₁ c₁ …`, each unit's weights together.
    fn layers<T: Real>(&self) -> Vec<Layer<T>> {
        let mut rest = self.theta.iter().map(|&v| Ball::exact(v));
        let mut take = |count: usize| -> Vector<T> { rest.by_ref().take(count).collect() };
        let mut layers: Vec<Layer<T>> = self
            .sizes
            .windows(2)
            .map(|pair| {
                let w: Vec<_> = (0..pair[1]).map(|_| take(pair[0])).collect();
                let b = take(pair[1]);
                Layer {
                    d: w.clone(),
                    w,
                    b,
                    c: Vec::new(),
                }
            })
            .collect();
        for (layer, pair) in layers.iter_mut().zip(self.sizes.windows(2)) {
            if !self.tied {
                layer.d = (0..pair[1]).map(|_| take(pair[0])).collect();
            }
            layer.c = take(pair[0]);
        }
        layers
    }

    /// `H_l` for every level l, level 0 being the samples. What is chosen over a whole batch is
    /// chosen where the samples are one.
    fn encoded<T: Real>(&self, x: Batch<T>, samples: Samples, sure: &Certainty) -> Vec<Batch<T>> {
        let mut levels = vec![x];
        for (layer, &f) in self.layers::<T>().iter().zip(&self.hidden) {
            let mut above = Vec::new();
            for below in &levels[levels.len() - 1] {
                let units = layer.w.iter().zip(&layer.b);
                above.push(units.map(|(w, &b)| value(f, dot(w, below, b))).collect());
            }
            choose(f, &mut above, samples, sure);
            levels.push(above);
        }
        levels
    }

    /// g of level l.
    fn decoder(&self, l: usize) -> Activation {
        if l == 0 {
            return self.output;
        }
        mirror(self.hidden[l - 1])
    }

    /// `R_l` for every level l, and the pre-activations of `R₀`.
    fn decoded<T: Real>(&self, h: Batch<T>) -> (Vec<Batch<T>>, Batch<T>) {
        let mut levels = vec![h]; // the innermost first
        let mut z = Vec::new();
        for (l, layer) in self.layers::<T>().iter().enumerate().rev() {
            z = Vec::new();
            for above in &levels[levels.len() - 1] {
                let into = |k: usize| layer.d.iter().map(move |d| d[k]).collect::<Vec<_>>();
                let z_of = |k: usize| dot(&into(k), above, layer.c[k]);
                z.push((0..layer.c.len()).map(z_of).collect::<Vector<T>>());
            }
            let g = self.decoder(l);
            let r = |z: &Vector<T>| z.iter().map(|&z| value(g, z)).collect();
            levels.push(z.iter().map(r).collect());
        }
        levels.reverse();
        (levels, z)
    }

    /// The innermost hidden activations; none if a choice among them is within rounding.
    pub(crate) fn encode<T: Real>(&self, samples: &[Vec<f64>]) -> Option<Vec<Vec<Ball<T>>>> {
        let sure = Certainty::new();
        let h = self
            .encoded(exactly(samples), Samples::EachAlone, &sure)
            .pop();
        h.filter(|_| sure.is_sure())
    }

    /// What the decoder makes of hidden activations.
    pub(crate) fn decode<T: Real>(&self, hidden: &[Vec<f64>]) -> Vec<Vec<Ball<T>>> {
        self.decoded(exactly(hidden)).0.swap_remove(0)
    }

    pub(crate) fn reconstruct<T: Real>(&self, samples: &[Vec<f64>]) -> Option<Vec<Vec<Ball<T>>>> {
        let sure = Certainty::new();
        let h = self
            .encoded(exactly(samples), Samples::EachAlone, &sure)
            .pop()?;
        let x_hat = self.decoded(h).0.swap_remove(0);
        sure.is_sure().then_some(x_hat)
    }

    pub(crate) fn reconstruction_errors<T: Real>(
        &self,
        samples: &[Vec<f64>],
    ) -> Option<Vec<Ball<T>>> {
        let x_hat = self.reconstruct(samples)?;
        let error = |(x_hat, x): (&Vector<T>, &Vector<T>)| {
            Ball::sum(
                x_hat
                    .iter()
                    .zip(x)
                    .map(|(&x_hat, &x)| (x_hat - x) * (x_hat - x)),
            )
        };
        Some(x_hat.iter().zip(&exactly(samples)).map(error).collect())
    }

    /// Ω and `∂Ω/∂h` of one layer, whose activation is f.
    fn omega<T: Real>(&self, f: Activation, h: &Batch<T>, sure: &Certainty) -> (Ball<T>, Batch<T>) {
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

/// Columns as vectors.
pub(crate) fn columns<T: Real>(matrix: &DMatrix<T>) -> Vec<Vec<f64>> {
    let column = |column: usize| matrix.column(column).iter().map(|v| v.to_f64()).collect();
    (0..matrix.ncols()).map(column).collect()
}

/// Vectors as columns.
pub(crate) fn matrix<T: Real>(columns: &[Vec<f64>]) -> DMatrix<T> {
    DMatrix::from_fn(columns[0].len(), columns.len(), |i, j| T::of(columns[j][i]))
}

/// A stream of numbers that are exact in either scalar: sixteen random bits each.
#[derive(Debug, Clone)]
pub(crate) struct Stream(pub(crate) u64);

impl Stream {
    fn bits(&mut self) -> u64 {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 48
    }

    /// In (−1, 1).
    pub(crate) fn signed(&mut self) -> f64 {
        (self.bits() as f64 + 0.5) / 32768.0 - 1.0
    }

    /// In (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() as f64 + 0.5) / 65536.0
    }
}
