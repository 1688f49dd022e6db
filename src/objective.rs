//! The objective J(θ) and its gradient: the forward and the backward pass.
//!
//! # Legend
//!
//! `m` samples, `L` hidden layers. Layer `l` joins level `l` below to level `l + 1` above, level 0
//! being the visible one; a column is a sample.
//!
//! ```text
//! H₀ = X̃                     the input: the samples X, or X with noise
//! H_{l+1} = f(W_lᵀ H_l + b_l)             l = 0 … L−1          encoder
//! R_L = H_L
//! R_l = g(D_l R_{l+1} + c_l)              l = L−1 … 0          decoder, X̂ = R₀
//!
//! J = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ) + λ/2 Σ‖W‖² + β Σ_l Ω(H_l; ρ)
//! ```
//!
//! With `Δ` for `∂J/∂(pre-activation)`, level by level from the output back:
//!
//! ```text
//! Δ(R₀) = 1/m ∂ℓ/∂x̂ ⊙ g′
//! ∂D_l = Δ(R_l) R_{l+1}ᵀ + λ D_l,    ∂c_l = Δ(R_l) 1
//! Δ(R_{l+1}) = D_lᵀ Δ(R_l) ⊙ g′
//! Δ(H_L) = (D_{L−1}ᵀ Δ(R_{L−1}) + β ∂Ω) ⊙ f′
//! Δ(H_l) = (W_l Δ(H_{l+1}) + β ∂Ω) ⊙ f′
//! ∂W_l = H_l Δ(H_{l+1})ᵀ + λ W_l,    ∂b_l = Δ(H_{l+1}) 1
//! ```
//!
//! Ng, *CS294A Lecture notes: Sparse autoencoder*, for one hidden layer with sigmoid units. (There
//! `W₁ = Wᵀ` and `W₂ = D`.)

use std::sync::Arc;

use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::activation::{Function, with_function};
use crate::kernel::{self, Partials, Scalar, Threads, Write, product, transpose};
use crate::parameters::Layout;
use crate::penalty::{HiddenBatch, HiddenGradient, Penalty};
use crate::{Activation, Real};

/// What the difference between a sample and its reconstruction costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reconstruction {
    /// `ℓ(x̂, x) = ½ ‖x̂ − x‖²`
    #[default]
    SquaredError,
    /// `ℓ(x̂, x) = −Σₖ xₖ ln x̂ₖ + (1 − xₖ) ln(1 − x̂ₖ)`, for data in [0, 1] and a sigmoid output.
    ///
    /// Computed from the pre-activations, so that a saturated output costs neither infinity nor
    /// precision.
    BinaryCrossEntropy,
}

/// The terms of the objective, kept apart.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Loss<T> {
    /// `1/m Σᵢ ℓ(x̂ᵢ, xᵢ)`
    pub reconstruction: T,
    /// `λ/2 Σ‖W‖²`
    pub weight_decay: T,
    /// `β Σ_l Ω(H_l; ρ)`
    pub sparsity: T,
}

impl<T: Real> Loss<T> {
    pub(crate) fn zero() -> Self {
        Self {
            reconstruction: T::zero(),
            weight_decay: T::zero(),
            sparsity: T::zero(),
        }
    }

    /// The objective: the sum of the terms.
    #[must_use]
    pub fn total(&self) -> T {
        self.reconstruction + self.weight_decay + self.sparsity
    }
}

/// The buffers of a pass, reused from call to call: once grown, no call allocates. (What lies below
/// does: each matrix product takes packing buffers and frees them again.)
///
/// Its size is proportional to the largest batch it has seen.
#[derive(Debug, Clone)]
pub struct Workspace<T> {
    /// `H_{l+1}` at index `l`
    pub(crate) hidden: Vec<Vec<T>>,
    /// `R_l` at index `l`; `R₀` becomes `Δ(R₀)`
    pub(crate) reconstruction: Vec<Vec<T>>,
    /// `Δ` of level `l + 1` at index `l`, of the decoder first, of the encoder then
    delta: Vec<Vec<T>>,
    /// `ρ̂` of level `l + 1` at index `l`
    mean: Vec<Vec<T>>,
    per_unit: Vec<T>,
    sums: Vec<T>,
    /// of inference: `H_L` and `X̂` of a chunk of samples
    innermost: Vec<T>,
    output: Vec<T>,
    partials: Partials<T>,
    threads: Option<usize>,
}

impl<T: Real> Default for Workspace<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Workspace<T> {
    /// An empty workspace, which grows at its first use.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hidden: Vec::new(),
            reconstruction: Vec::new(),
            delta: Vec::new(),
            mean: Vec::new(),
            per_unit: Vec::new(),
            sums: Vec::new(),
            innermost: Vec::new(),
            output: Vec::new(),
            partials: Partials::default(),
            threads: None,
        }
    }

    /// Limits the threads that passes with this workspace may use; 0 and 1 both mean one. Without
    /// a limit they use rayon's current pool. The number never changes a bit of any result.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    pub(crate) fn threads(&self) -> Threads {
        let available = Threads::available();
        Threads(
            self.threads
                .map_or(available.0, |threads| threads.min(available.0)),
        )
    }

    pub(crate) fn lend_innermost(&mut self, len: usize) -> Vec<T> {
        let mut buffer = std::mem::take(&mut self.innermost);
        grow(&mut buffer, len);
        buffer
    }

    pub(crate) fn return_innermost(&mut self, buffer: Vec<T>) {
        self.innermost = buffer;
    }

    pub(crate) fn lend_output(&mut self, len: usize) -> Vec<T> {
        let mut buffer = std::mem::take(&mut self.output);
        grow(&mut buffer, len);
        buffer
    }

    pub(crate) fn return_output(&mut self, buffer: Vec<T>) {
        self.output = buffer;
    }

    fn fit_to(&mut self, layout: &Layout, samples: usize) {
        let depth = layout.depth();
        for buffers in [
            &mut self.hidden,
            &mut self.reconstruction,
            &mut self.delta,
            &mut self.mean,
        ] {
            buffers.resize_with(depth.max(buffers.len()), Vec::new);
        }
        for (l, blocks) in layout.blocks().iter().enumerate() {
            grow(&mut self.hidden[l], blocks.above * samples);
            grow(&mut self.reconstruction[l], blocks.below * samples);
            grow(&mut self.delta[l], blocks.above * samples);
            grow(&mut self.mean[l], blocks.above);
        }
        let widest = layout.sizes().iter().copied().max().unwrap_or(0);
        grow(&mut self.per_unit, widest);
        grow(&mut self.sums, 2 * widest);
    }
}

fn grow<T: Real>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, T::zero());
    }
}

/// Everything that defines J but θ and the samples.
#[derive(Debug, Clone)]
pub(crate) struct Objective<T> {
    /// f of level `l + 1` at index `l`
    pub(crate) encoder: Vec<Activation>,
    /// g of level `l` at index `l`; the output's first
    pub(crate) decoder: Vec<Activation>,
    pub(crate) reconstruction: Reconstruction,
    pub(crate) weight_decay: T,
    pub(crate) penalty: Arc<dyn Penalty<T>>,
    pub(crate) penalty_weight: T,
    pub(crate) sparsity_target: T,
    /// Whether level `l + 1` is penalised, at index `l`
    pub(crate) penalized: Vec<bool>,
}

/// A batch: what the encoder sees, and what the reconstruction is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a, T: Real> {
    pub(crate) input: DMatrixView<'a, T>,
    pub(crate) target: DMatrixView<'a, T>,
}

impl<'a, T: Real> From<DMatrixView<'a, T>> for Batch<'a, T> {
    fn from(samples: DMatrixView<'a, T>) -> Self {
        Self {
            input: samples,
            target: samples,
        }
    }
}

fn matrix<T: Real>(buffer: &[T], rows: usize, columns: usize) -> DMatrixView<'_, T> {
    DMatrixView::from_slice(&buffer[..rows * columns], rows, columns)
}

fn matrix_mut<T: Real>(buffer: &mut [T], rows: usize, columns: usize) -> DMatrixViewMut<'_, T> {
    DMatrixViewMut::from_slice(&mut buffer[..rows * columns], rows, columns)
}

impl<T: Real> Objective<T> {
    /// J(θ), term by term; writes ∂J/∂θ over `gradient` if there is one.
    pub(crate) fn evaluate(
        &self,
        layout: &Layout,
        theta: &[T],
        batch: Batch<'_, T>,
        gradient: Option<&mut [T]>,
        workspace: &mut Workspace<T>,
    ) -> Loss<T> {
        let threads = workspace.threads();
        let work = layout.len() * batch.input.ncols();
        threads.enter(work, || {
            self.evaluate_here(layout, theta, batch, gradient, workspace)
        })
    }

    fn evaluate_here(
        &self,
        layout: &Layout,
        theta: &[T],
        batch: Batch<'_, T>,
        mut gradient: Option<&mut [T]>,
        workspace: &mut Workspace<T>,
    ) -> Loss<T> {
        workspace.fit_to(layout, batch.input.ncols());
        self.encode(layout, theta, batch.input, workspace);
        let reconstruction = self.reconstruct(layout, theta, batch.target, workspace);
        let weight_decay = self.decay(layout, theta, gradient.as_deref_mut(), workspace);
        if let Some(gradient) = gradient.as_deref_mut() {
            self.backpropagate_decoder(layout, theta, batch.input.ncols(), gradient, workspace);
        }
        let sparsity = self.backpropagate_encoder(layout, theta, batch.input, gradient, workspace);
        Loss {
            reconstruction,
            weight_decay,
            sparsity,
        }
    }

    /// `H_{l+1} = f(W_lᵀ H_l + b_l)` for every layer, and the means ρ̂.
    fn encode(
        &self,
        layout: &Layout,
        theta: &[T],
        input: DMatrixView<'_, T>,
        ws: &mut Workspace<T>,
    ) {
        let (m, threads) = (input.ncols(), ws.threads());
        for (l, blocks) in layout.blocks().iter().enumerate() {
            let (below, above) = ws.hidden.split_at_mut(l);
            let below = below.last().map_or(input, |h| matrix(h, blocks.below, m));
            let mean = &mut ws.mean[l][..blocks.above];
            let h = &mut above[0];
            self.encode_layer(layout, theta, l, below, h, mean, &mut ws.partials, threads);
            let per_sample = T::one() / T::of_count(m);
            mean.iter_mut().for_each(|mean| *mean *= per_sample);
        }
    }

    /// `H_L` of `x`, into `hidden`.
    pub(crate) fn encode_into(
        &self,
        layout: &Layout,
        theta: &[T],
        x: DMatrixView<'_, T>,
        hidden: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let (m, threads, depth) = (x.ncols(), ws.threads(), layout.depth());
        ws.hidden.resize_with(depth.max(ws.hidden.len()), Vec::new);
        threads.enter(layout.len() * m, || {
            for (l, blocks) in layout.blocks().iter().enumerate() {
                let (below, above) = ws.hidden.split_at_mut(l);
                let below = below.last().map_or(x, |h| matrix(h, blocks.below, m));
                let h = if l + 1 == depth {
                    &mut *hidden
                } else {
                    grow(&mut above[0], blocks.above * m);
                    &mut above[0]
                };
                self.encode_layer(
                    layout,
                    theta,
                    l,
                    below,
                    h,
                    &mut [],
                    &mut ws.partials,
                    threads,
                );
            }
        });
    }

    /// `X̂` of the innermost activations `h`, into `x_hat`.
    pub(crate) fn decode_into(
        &self,
        layout: &Layout,
        theta: &[T],
        h: DMatrixView<'_, T>,
        x_hat: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let (m, threads, depth) = (h.ncols(), ws.threads(), layout.depth());
        ws.reconstruction
            .resize_with(depth.max(ws.reconstruction.len()), Vec::new);
        threads.enter(layout.len() * m, || {
            for (l, blocks) in layout.blocks().iter().enumerate().rev() {
                let (r, above) = ws.reconstruction.split_at_mut(l + 1);
                let above = above.first().filter(|_| l + 1 < depth);
                let above = above.map_or(h, |r| matrix(r, blocks.above, m));
                let r = if l == 0 {
                    &mut *x_hat
                } else {
                    grow(&mut r[l], blocks.below * m);
                    &mut r[l]
                };
                self.decode_layer(layout, theta, l, above, r, &mut ws.partials, threads);
            }
        });
    }

    /// `H = f(Wᵀ X + b)`, and the sums of the activations if there is room for them.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn encode_layer(
        &self,
        layout: &Layout,
        theta: &[T],
        l: usize,
        x: DMatrixView<'_, T>,
        h: &mut [T],
        sums: &mut [T],
        partials: &mut Partials<T>,
        threads: Threads,
    ) {
        let (blocks, f) = (&layout.blocks()[l], self.encoder[l]);
        let (n, m) = (blocks.above, x.ncols());
        let w = blocks.encoder_weights(theta);
        let b = &theta[blocks.encoder_bias.clone()];
        product(matrix_mut(h, n, m), Write::Over, transpose(w), x, threads);
        with_function!(f, function => kernel::activate(
            &mut h[..n * m], b, |z| function.value(z), f.kept(n), sums, partials, threads,
        ));
    }

    /// `R = D A + c` without its activation.
    fn decode_product(
        layout: &Layout,
        theta: &[T],
        l: usize,
        above: DMatrixView<'_, T>,
        r: &mut [T],
        threads: Threads,
    ) {
        let blocks = &layout.blocks()[l];
        let d = blocks.decoder_weights(theta);
        product(
            matrix_mut(r, blocks.below, above.ncols()),
            Write::Over,
            d,
            above,
            threads,
        );
    }

    /// `R = g(D A + c)`
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn decode_layer(
        &self,
        layout: &Layout,
        theta: &[T],
        l: usize,
        above: DMatrixView<'_, T>,
        r: &mut [T],
        partials: &mut Partials<T>,
        threads: Threads,
    ) {
        Self::decode_product(layout, theta, l, above, r, threads);
        let blocks = &layout.blocks()[l];
        let c = &theta[blocks.decoder_bias.clone()];
        let r = &mut r[..blocks.below * above.ncols()];
        with_function!(self.decoder[l], function => kernel::activate(
            r, c, |z| function.value(z), None, &mut [], partials, threads,
        ));
    }

    /// The decoder down to `Δ(R₀)`, and `1/m Σᵢ ℓ(x̂ᵢ, xᵢ)`. Leaves `Δ(R₀) 1` in the sums.
    fn reconstruct(
        &self,
        layout: &Layout,
        theta: &[T],
        target: DMatrixView<'_, T>,
        ws: &mut Workspace<T>,
    ) -> T {
        let (m, threads, depth) = (target.ncols(), ws.threads(), layout.depth());
        for l in (0..depth).rev() {
            let above_size = layout.blocks()[l].above;
            let (r, above) = ws.reconstruction.split_at_mut(l + 1);
            let above = if l + 1 == depth {
                &ws.hidden[l]
            } else {
                &above[0]
            };
            let above = matrix(above, above_size, m);
            if l == 0 {
                Self::decode_product(layout, theta, 0, above, &mut r[0], threads);
            } else {
                self.decode_layer(
                    layout,
                    theta,
                    l,
                    above,
                    &mut r[l],
                    &mut ws.partials,
                    threads,
                );
            }
        }

        let visible = layout.visible();
        let c = &theta[layout.blocks()[0].decoder_bias.clone()];
        let r = &mut ws.reconstruction[0][..visible * m];
        let sums = &mut ws.sums[..2 * visible];
        let (half, per_sample) = (T::of(0.5), T::one() / T::of_count(m));
        match self.reconstruction {
            Reconstruction::SquaredError => {
                with_function!(self.decoder[0], g => kernel::residual(r, c, target, |z, x| {
                    let x_hat = g.value(z);
                    let e = x_hat - x;
                    (half * e * e, per_sample * e * g.slope(x_hat))
                }, sums, &mut ws.partials, threads));
            }
            Reconstruction::BinaryCrossEntropy => {
                // −x ln σ(z) − (1 − x) ln(1 − σ(z)) = ln(1 + eᶻ) − x z, with derivative σ(z) − x
                kernel::residual(
                    r,
                    c,
                    target,
                    |z, x| (z.softplus() - x * z, per_sample * (Scalar::sigmoid(z) - x)),
                    sums,
                    &mut ws.partials,
                    threads,
                );
            }
        }
        let loss: f64 = sums[visible..].iter().map(|loss| loss.to_f64()).sum();
        T::of(loss / f64::of_count(m))
    }

    /// `λ/2 Σ‖W‖²`; `∂W ← λ W` where λ > 0.
    fn decay(
        &self,
        layout: &Layout,
        theta: &[T],
        mut gradient: Option<&mut [T]>,
        ws: &mut Workspace<T>,
    ) -> T {
        let lambda = self.weight_decay;
        if lambda <= T::zero() {
            return T::zero();
        }
        let threads = ws.threads();
        let mut norms = 0.0;
        for range in layout.weights() {
            let w = &theta[range.clone()];
            let norm = match gradient.as_deref_mut() {
                Some(gradient) => kernel::decay(
                    &mut gradient[range],
                    w,
                    lambda,
                    layout.visible(),
                    &mut ws.partials,
                    threads,
                ),
                None => kernel::norm_squared(w),
            };
            norms += norm.to_f64();
        }
        T::of(0.5 * norms) * lambda
    }

    /// `∂D_l`, `∂c_l`, and `D_lᵀ Δ(R_l)` for every layer, the outermost first.
    fn backpropagate_decoder(
        &self,
        layout: &Layout,
        theta: &[T],
        m: usize,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let (threads, depth) = (ws.threads(), layout.depth());
        let write = if self.weight_decay > T::zero() {
            Write::Add
        } else {
            Write::Over
        };
        for (l, blocks) in layout.blocks().iter().enumerate() {
            let bias_gradient = &mut gradient[blocks.decoder_bias.clone()];
            if l == 0 {
                bias_gradient.copy_from_slice(&ws.sums[..blocks.below]);
            } else {
                let (delta, r) = (&mut ws.delta[l - 1], &ws.reconstruction[l]);
                with_function!(self.decoder[l], g => kernel::backpropagate(
                    &mut delta[..blocks.below * m], r, &[], |r| g.slope(r),
                    bias_gradient, &mut ws.partials, threads,
                ));
            }

            let (delta, next) = ws.delta.split_at_mut(l);
            let delta = delta.last().unwrap_or(&ws.reconstruction[0]);
            let delta = matrix(delta, blocks.below, m);
            let above = if l + 1 == depth {
                &ws.hidden[l]
            } else {
                &ws.reconstruction[l + 1]
            };
            let above = matrix(above, blocks.above, m);
            let weight_gradient = blocks.weights_mut(gradient, &blocks.decoder_weights);
            product(weight_gradient, write, delta, transpose(above), threads);
            if l + 1 < depth {
                let d = blocks.decoder_weights(theta);
                let next = matrix_mut(&mut next[0], blocks.above, m);
                product(next, Write::Over, transpose(d), delta, threads);
            }
        }
    }

    /// `β Σ Ω`; `∂W_l`, `∂b_l`, and `Δ(H_l)` for every layer, the innermost first.
    fn backpropagate_encoder(
        &self,
        layout: &Layout,
        theta: &[T],
        input: DMatrixView<'_, T>,
        mut gradient: Option<&mut [T]>,
        ws: &mut Workspace<T>,
    ) -> T {
        let (m, threads, depth) = (input.ncols(), ws.threads(), layout.depth());
        let added = layout.is_tied() || self.weight_decay > T::zero();
        let mut sparsity = T::zero();
        for (l, blocks) in layout.blocks().iter().enumerate().rev() {
            let n = blocks.above;
            let h = &ws.hidden[l][..n * m];
            let (before, delta) = ws.delta.split_at_mut(l);
            let (delta, after) = delta.split_at_mut(1);
            let delta = &mut delta[0];

            // β Ω, and β ∂Ω into the two channels
            let mut per_unit: &mut [T] = &mut [];
            let mut seeded = Write::Over;
            if self.penalized[l] && self.penalty_weight > T::zero() && !self.penalty.is_zero() {
                per_unit = &mut ws.per_unit[..n];
                per_unit.fill(T::zero());
                let hidden =
                    HiddenBatch::new(h, &ws.mean[l][..n], self.sparsity_target, self.encoder[l]);
                let mut channels = HiddenGradient::new(per_unit, &mut delta[..n * m]);
                let omega = self
                    .penalty
                    .accumulate(&hidden, self.penalty_weight, &mut channels);
                if channels.per_activation_used() {
                    seeded = Write::Add;
                }
                sparsity += self.penalty_weight * omega;
            }
            let Some(gradient) = gradient.as_deref_mut() else {
                continue;
            };

            // Δ(H) = (Dᵀ Δ(R) + β ∂Ω) ⊙ f′, or with W Δ(H above) for Dᵀ Δ(R)
            if l + 1 == depth {
                let d = blocks.decoder_weights(theta);
                let below = before.last().unwrap_or(&ws.reconstruction[0]);
                let below = matrix(below, blocks.below, m);
                product(
                    matrix_mut(delta, n, m),
                    seeded,
                    transpose(d),
                    below,
                    threads,
                );
            } else {
                let above = &layout.blocks()[l + 1];
                let w = above.encoder_weights(theta);
                let after = matrix(&after[0], above.above, m);
                product(matrix_mut(delta, n, m), seeded, w, after, threads);
            }
            let bias_gradient = &mut gradient[blocks.encoder_bias.clone()];
            with_function!(self.encoder[l], f => kernel::backpropagate(
                &mut delta[..n * m], h, per_unit, |h| f.slope(h),
                bias_gradient, &mut ws.partials, threads,
            ));

            // ∂W = H_below Δ(H)ᵀ + λ W
            let below = if l == 0 {
                input
            } else {
                matrix(&ws.hidden[l - 1], blocks.below, m)
            };
            let write = if added { Write::Add } else { Write::Over };
            let weight_gradient = blocks.weights_mut(gradient, &blocks.encoder_weights);
            let delta = matrix(delta, n, m);
            product(weight_gradient, write, below, transpose(delta), threads);
        }
        sparsity
    }
}
