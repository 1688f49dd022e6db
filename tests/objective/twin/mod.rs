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
mod gradient;
mod penalties;
mod stream;

pub(crate) use ball::Ball;
use formulas::{Certainty, choose, mirror, value};
pub(crate) use formulas::{activations, knows};
pub(crate) use gradient::Outcome;
pub(crate) use penalties::Omega;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, KlDivergence, L1, Layout, Parameters, Proportion, Real, ReconstructionLoss,
    SparseAutoencoder, SquaredDeviation,
};
pub(crate) use stream::Stream;

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
            .reconstruction_loss(self.reconstruction)
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
