//! The auxiliary loss: dead units learn to reconstruct the residual that the others leave.
//!
//! ```text
//! E = X − X̂                              a constant
//! Ê = D_𝒟 TopK(W_𝒟ᵀ X̃ + max(b_𝒟, 0))     of the dead units 𝒟
//!   = D_𝒟 AbsTopK(W_𝒟ᵀ X̃ + b_𝒟)          of those that open at 0 or have signs
//! A = α Var(X)/Var(E) 1/m Σᵢ ½‖êᵢ − eᵢ‖²
//! Var(X) = 1/m Σᵢ ‖xᵢ − x̄‖²              of the batch; both variances are constants
//! ```
//!
//! Gao et al. (2024), *Scaling and Evaluating Sparse Autoencoders*, section 2.4 and its code: each loss
//! is divided by the variance of what it reconstructs. The reconstruction loss here is not, so A is
//! multiplied by Var(X). The dead units form an autoencoder from the samples to the residual, without a
//! decoder bias. The ordinary passes compute its loss and gradient.
//!
//! A bias that has fallen far would leave its unit no positive pre-activation, and TopK no gradient: it counts as 0.
//! A does not see how far it is below. So its gradient only raises it.

use std::sync::Arc;

use nalgebra::DMatrixView;

use crate::linalg::Aligned;
use crate::model::per_layer::PerLayer;
use crate::model::{Layout, ModelSettings};
use crate::objective::Workspace;
use crate::objective::{Batch, Objective, Pass};
use crate::penalty::Description;
use crate::{Activation, Error, Real, linalg};

/// The relative error of a sum of squares, in multiples of the machine epsilon. Smaller variances are rounding.
const ROUNDING: f64 = 256.0;

/// The autoencoder of the dead units.
#[derive(Debug)]
pub(in crate::training) struct Auxiliary<T> {
    objective: Objective<T>,
    layout: Layout,
    theta: Aligned<T>,
    gradient: Aligned<T>,
    residual: Aligned<T>,
    workspace: Workspace<T>,
    /// x₁ and e₁ of the batch, or their means over all processes
    center: Vec<T>,
    /// Σ(x − x₁) and Σ(e − e₁) of each entry, then Σ‖x − x₁‖² and Σ‖e − e₁‖²
    moments: Vec<T>,
    /// Of each dead unit, ∂A/∂b over all processes.
    of_bias: Vec<T>,
}

impl<T: Real> Auxiliary<T> {
    /// Creates one for models of this layout, which has one hidden layer.
    pub(in crate::training) fn new(layout: &Layout) -> Result<Self, Error> {
        let mut settings = ModelSettings {
            encoder: PerLayer::One(Activation::Relu),
            decoder: PerLayer::One(Activation::Identity),
            penalty: Some(PerLayer::One(Description::None)),
            penalty_weight: PerLayer::One(0.0),
            ..ModelSettings::default()
        };
        let layout = layout.plain()?;
        settings.complete(&layout)?;
        Ok(Self {
            objective: Objective::new(settings, vec![Arc::new(())]),
            layout,
            theta: Aligned::new(),
            gradient: Aligned::new(),
            residual: Aligned::new(),
            workspace: Workspace::new(),
            center: Vec::new(),
            moments: Vec::new(),
            of_bias: Vec::new(),
        })
    }

    /// Whether it was created for this layout.
    pub(in crate::training) fn fits(&self, layout: &Layout) -> bool {
        let outside = |of: &Layout| (of.input_size(), of.output_size(), of.is_transcoder());
        outside(&self.layout) == outside(layout) && self.layout.is_tied() == layout.is_tied()
    }

    /// Returns A and adds its gradient to `gradient`.
    ///
    /// In each sample, at most `kept` units of `dead` are active. `workspace` comes from the pass over
    /// `samples`.
    pub(in crate::training) fn add(
        &mut self,
        (alpha, kept): (T, usize),
        dead: &[usize],
        pass: &Pass<'_, T>,
        samples: &Batch<'_, T>,
        gradient: &mut [T],
        workspace: &Workspace<T>,
    ) -> T {
        if dead.is_empty() {
            return T::zero();
        }
        let (rows, m) = samples.target.shape();
        self.layout.resize_hidden(dead.len());
        let kept = kept.min(dead.len());
        // Dead units that open at 0 have negative pre-activations only. They learn through these.
        let traits = pass.objective.encoder[0].traits();
        let both_signs = traits.opens_at_zero() || traits.signed;
        self.objective.encoder[0] = if both_signs {
            Activation::AbsTopK(kept)
        } else {
            Activation::TopK(kept)
        };
        self.gather(dead, pass);
        if !both_signs {
            let bias = self.layout.blocks()[0].encoder_bias.clone();
            (self.theta[bias].iter_mut()).for_each(|b| *b = b.max(T::zero()));
        }

        self.workspace.scratch.limit_as(&workspace.scratch);
        let weight = alpha * self.take_residual(samples, &workspace.reconstruction[0]);
        if weight <= T::zero() {
            return T::zero();
        }
        let columns = |entries| DMatrixView::from_slice(entries, rows, m);
        let batch = Batch {
            input: if pass.objective.pre_encoder_bias {
                columns(workspace.centered())
            } else {
                samples.input
            },
            target: columns(&self.residual[..rows * m]),
            shares: None,
        };
        let of_dead = Pass::training(
            &self.objective,
            &self.layout,
            &self.theta,
            self.objective.now(),
        );
        let loss = of_dead.evaluate(batch, Some(&mut self.gradient), &mut self.workspace);
        let bias = self.layout.blocks()[0].encoder_bias.clone();
        self.of_bias.clear();
        self.of_bias.extend_from_slice(&self.gradient[bias]);
        if let Some(shares) = samples.shares.as_ref().filter(|_| !both_signs) {
            shares.average(&mut self.of_bias);
        }
        self.scatter(weight, (dead, both_signs), pass, gradient);
        weight * loss.reconstruction
    }

    /// Copies `E = −m Δ(R₀)` and returns `Var(X)/Var(E)` over the samples of all processes.
    ///
    /// Returns 0 if either variance is mere rounding: for a single sample, equal samples, or a perfect
    /// reconstruction.
    fn take_residual(&mut self, samples: &Batch<'_, T>, delta: &[T]) -> T {
        let (rows, m) = samples.target.shape();
        let minus_m = -T::of_count(m);
        // Deviations from a sample keep the digits of the variance, however far from 0 the mean is.
        self.center.clear();
        self.center.extend(samples.target.column(0).iter());
        self.center
            .extend(delta[..rows].iter().map(|&delta| minus_m * delta));
        if let Some(shares) = &samples.shares {
            shares.average(&mut self.center);
        }
        let (x_1, e_1) = self.center.split_at(rows);
        self.moments.resize(2 * rows + 2, T::zero());
        self.residual.grow(rows * m);
        let residual = &mut self.residual[..rows * m];
        let scratch = &mut self.workspace.scratch;
        scratch.take_threads();
        scratch.run(
            residual,
            rows,
            &mut self.moments,
            |first, panel, moments| {
                let (sums, squares) = moments.split_at_mut(2 * rows);
                let (of_x, of_e) = sums.split_at_mut(rows);
                for (i, e) in panel.chunks_exact_mut(rows).enumerate() {
                    let x = samples.target.column(first + i);
                    let delta = &delta[(first + i) * rows..][..rows];
                    let mut of_sample = [T::zero(); 2];
                    for (((e, &delta), (&x, (&x_1, &e_1))), (of_x, of_e)) in
                        (e.iter_mut().zip(delta))
                            .zip(x.iter().zip(x_1.iter().zip(e_1)))
                            .zip(of_x.iter_mut().zip(&mut *of_e))
                    {
                        *e = minus_m * delta;
                        let (x, e) = (x - x_1, *e - e_1);
                        *of_x += x;
                        *of_e += e;
                        of_sample[0] += x * x;
                        of_sample[1] += e * e;
                    }
                    squares[0] += of_sample[0];
                    squares[1] += of_sample[1];
                }
            },
        );
        linalg::divide_by(&mut self.moments, T::of_count(m));
        if let Some(shares) = &samples.shares {
            shares.average(&mut self.moments);
        }
        let (means, squares) = self.moments.split_at(2 * rows);
        let (of_x, of_e) = means.split_at(rows);
        let rounding = T::of(ROUNDING) * T::default_epsilon();
        let variance = |mean: &[T], square: T| {
            let variance = square - T::dot(mean, mean);
            if variance > rounding * square {
                variance
            } else {
                T::zero()
            }
        };
        let (of_x, of_e) = (variance(of_x, squares[0]), variance(of_e, squares[1]));
        // A residual has the rounding errors of the samples, which are in proportion to their distance from 0.
        let size = of_x + T::dot(&self.center[..rows], &self.center[..rows]);
        if of_e > rounding * rounding * size {
            of_x / of_e
        } else {
            T::zero()
        }
    }

    /// Copies `W_𝒟`, `b_𝒟`, and `D_𝒟` out of the model. The decoder bias is 0.
    fn gather(&mut self, dead: &[usize], pass: &Pass<'_, T>) {
        self.theta.reset(self.layout.len());
        self.gradient.resize(self.layout.len());
        let (to, from) = (&self.layout.blocks()[0], &pass.layout.blocks()[0]);
        for (unit, &j) in dead.iter().enumerate() {
            for (rows, to, from) in [
                (to.below, &to.encoder_weights, &from.encoder_weights),
                (to.decoded, &to.decoder_weights, &from.decoder_weights),
            ] {
                let column = from.start + j * rows..from.start + (j + 1) * rows;
                self.theta[to.start + unit * rows..][..rows].copy_from_slice(&pass.theta[column]);
            }
            self.theta[to.encoder_bias.start + unit] = pass.theta[from.encoder_bias.start + j];
        }
    }

    /// Adds `weight` times the gradient to that of the model.
    fn scatter(
        &self,
        weight: T,
        (dead, both_signs): (&[usize], bool),
        pass: &Pass<'_, T>,
        gradient: &mut [T],
    ) {
        let (from, to) = (&self.layout.blocks()[0], &pass.layout.blocks()[0]);
        let weights = [
            (from.below, &from.encoder_weights, &to.encoder_weights),
            (from.decoded, &from.decoder_weights, &to.decoder_weights),
        ];
        // Tied weights are one block, with one gradient.
        let weights = &weights[..if self.layout.is_tied() { 1 } else { 2 }];
        for (unit, &j) in dead.iter().enumerate() {
            for &(rows, from, to) in weights {
                let column = &self.gradient[from.start + unit * rows..][..rows];
                linalg::axpy(weight, column, &mut gradient[to.start + j * rows..][..rows]);
            }
            let of_bias = weight * self.gradient[from.encoder_bias.start + unit];
            let b = to.encoder_bias.start + j;
            if both_signs || pass.theta[b] >= T::zero() || self.of_bias[unit] < T::zero() {
                gradient[b] += of_bias;
            }
            if pass.objective.pre_encoder_bias {
                let w = &pass.theta[to.encoder_weights.start + j * to.below..][..to.below];
                linalg::axpy(-of_bias, w, &mut gradient[to.decoder_bias.clone()]);
            }
        }
    }
}
