//! The backward pass of the [legend](super) through dense layers.

use nalgebra::DMatrixView;

use super::penalize::Penalized;
use super::{Pass, Workspace, matrix, matrix_mut};
use crate::Real;
use crate::linalg::{self, Scratch, Write, gemm, transpose};
use crate::units::{Arriving, Buffers, Function, with_function};

impl<T: Real> Pass<'_, T> {
    /// Returns `λ/2 Σ‖W‖²`, and adds `λ W` to the gradient, if given.
    pub(super) fn decay(&self, gradient: Option<&mut [T]>, ws: &Workspace<T>) -> T {
        let (lambda, weights) = (T::of(self.objective.weight_decay), self.layout.weights());
        linalg::decay(lambda, weights, self.theta, gradient, &ws.scratch)
    }

    /// Writes `∂D_l` and `∂c_l` of every layer, the outermost first.
    pub(super) fn backpropagate_decoder(
        &self,
        m: usize,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        for l in 0..self.layout.depth() {
            self.backpropagate_level(l, m, gradient, ws);
            self.decoder_gradient(l, m, gradient, ws);
            if l + 1 < self.layout.depth() {
                self.pull_level(l, m, ws);
            }
        }
    }

    /// `Δ(R_l) = D_{l−1}ᵀ Δ(R_{l−1}) ⊙ g′` and `∂c_l = Δ(R_l) 1`.
    ///
    /// [`compare`](Self::compare) has left both for level 0.
    fn backpropagate_level(&self, l: usize, m: usize, gradient: &mut [T], ws: &mut Workspace<T>) {
        let blocks = &self.layout.blocks()[l];
        let bias_gradient = &mut gradient[blocks.decoder_bias.clone()];
        if l == 0 {
            bias_gradient.copy_from_slice(&ws.sums[..blocks.decoded]);
            return;
        }
        let delta = &mut ws.delta[l - 1][..blocks.below * m];
        let r = &ws.reconstruction[l];
        with_function!(self.decoder(l), g => linalg::backpropagate(
            delta, r, &[], |r| g.slope(r), bias_gradient, &mut ws.scratch,
        ));
    }

    /// `∂D_l = Δ(R_l) R_{l+1}ᵀ`
    fn decoder_gradient(&self, l: usize, m: usize, gradient: &mut [T], ws: &mut Workspace<T>) {
        let blocks = &self.layout.blocks()[l];
        let delta = l
            .checked_sub(1)
            .map_or(&ws.reconstruction[0], |l| &ws.delta[l]);
        let above = if l + 1 == self.layout.depth() {
            &ws.hidden[l]
        } else {
            &ws.reconstruction[l + 1]
        };
        let above = matrix(above, blocks.above, m);
        let mut weight_gradient = blocks.decoder_weights_mut(gradient);
        for group in self.groups(l, m) {
            gemm(
                weight_gradient.columns_range_mut(group.units.clone()),
                Write::Over,
                matrix(&delta[group.delta], blocks.decoded, m),
                transpose(above.rows_range(group.units)),
                &mut ws.scratch,
            );
        }
    }

    /// `D_lᵀ Δ(R_l)`, in the place of `Δ(R_{l+1})`.
    fn pull_level(&self, l: usize, m: usize, ws: &mut Workspace<T>) {
        let (delta, next) = ws.delta.split_at_mut(l);
        let delta = delta.last().unwrap_or(&ws.reconstruction[0]);
        next[0].grow(self.layout.blocks()[l].above * m);
        self.pull(l, m, delta, Write::Over, &mut next[0], &mut ws.scratch);
    }

    /// `D_lᵀ Δ` of a residual `Δ` of level `l`, group by group.
    fn pull(
        &self,
        l: usize,
        m: usize,
        residual: &[T],
        write: Write,
        into: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let d = blocks.decoder_weights(self.theta);
        let mut into = matrix_mut(into, blocks.above, m);
        for group in self.groups(l, m) {
            gemm(
                into.rows_range_mut(group.units.clone()),
                write,
                transpose(d.columns_range(group.units)),
                matrix(&residual[group.delta], blocks.decoded, m),
                scratch,
            );
        }
    }

    /// Writes `∂W_l`, `∂b_l`, and the gradients of the blocks of every layer, the innermost first. Returns
    /// `Σ_l β_l Ω_l`.
    pub(super) fn backpropagate_encoder(
        &self,
        input: DMatrixView<'_, T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) -> T {
        let mut sparsity = T::zero();
        for l in (0..self.layout.depth()).rev() {
            let penalized = self.penalize(l, input.ncols(), ws);
            sparsity += penalized.loss;
            self.pull_hidden(l, input.ncols(), &penalized, ws);
            self.backpropagate_units(l, input.ncols(), &penalized, gradient, ws);
            self.encoder_gradient(l, input, gradient, ws);
            self.backpropagate_norms(l, gradient, ws);
        }
        sparsity
    }

    /// `∂J/∂H` of layer `l`, in the place of `Δ`: `D_lᵀ Δ(R_l)` for the innermost layer, `W_{l+1} Δ(H_{l+2})`
    /// for others.
    ///
    /// Adds to what the penalty has written there. Its other channels follow with the units.
    fn pull_hidden(&self, l: usize, m: usize, penalized: &Penalized<T>, ws: &mut Workspace<T>) {
        let n = self.layout.blocks()[l].above;
        let write = if penalized.per_activation {
            Write::Add
        } else {
            Write::Over
        };
        let (before, delta) = ws.delta.split_at_mut(l);
        let (delta, after) = delta.split_at_mut(1);
        let delta = &mut delta[0];
        delta.grow(n * m);
        if l + 1 == self.layout.depth() {
            let residual = if self.has_frozen() {
                &ws.frozen
            } else {
                before.last().unwrap_or(&ws.reconstruction[0])
            };
            self.pull(l, m, residual, write, delta, &mut ws.scratch);
        } else {
            let above = &self.layout.blocks()[l + 1];
            let w = above.encoder_weights(self.theta);
            let after = matrix(&after[0], above.above, m);
            gemm(matrix_mut(delta, n, m), write, w, after, &mut ws.scratch);
        }
    }

    /// `Δ(H) = (∂J/∂H + β ∂Ω) ⊙ f′` and `∂b = Δ(H) 1` of layer `l`, and the gradients of its blocks.
    fn backpropagate_units(
        &self,
        l: usize,
        m: usize,
        penalized: &Penalized<T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let n = blocks.above;
        let residual = &ws.reconstruction[0];
        let arriving = Arriving {
            penalized: penalized.units > 0,
            per_unit: &ws.per_unit[..n],
            per_frequency: &ws.per_frequency[..n],
            pull: &mut |into, scratch| self.pull(l, m, residual, Write::Over, into, scratch),
        };
        let buffers = Buffers {
            state: &mut ws.states[l],
            spare: &mut ws.spare,
            sums: &mut ws.sums,
            scratch: &mut ws.scratch,
        };
        let (h, delta) = (&ws.hidden[l][..n * m], &mut ws.delta[l][..n * m]);
        let own_gradient = blocks.own_mut(gradient);
        self.with_units(l, |units| {
            units.backward(&self.own(l), arriving, h, delta, own_gradient, buffers);
        });
    }

    /// `∂W_l = H_l Δ(H_{l+1})ᵀ`, added to `∂D_l` if the weights are tied.
    fn encoder_gradient(
        &self,
        l: usize,
        input: DMatrixView<'_, T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let (blocks, m) = (&self.layout.blocks()[l], input.ncols());
        let below = l
            .checked_sub(1)
            .map(|l| matrix(&ws.hidden[l], blocks.below, m));
        let delta = matrix(&ws.delta[l], blocks.above, m);
        let write = if self.layout.is_tied() {
            Write::Add
        } else {
            Write::Over
        };
        gemm(
            blocks.encoder_weights_mut(gradient),
            write,
            below.unwrap_or(input),
            transpose(delta),
            &mut ws.scratch,
        );
    }
}
