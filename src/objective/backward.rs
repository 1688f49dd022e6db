//! The backward pass through dense layers, and the terms of the objective that it passes.

use nalgebra::DMatrixView;

use super::{Pass, Workspace, matrix, matrix_mut};
use crate::Real;
use crate::linalg::{self, Scratch, Write, gemm, transpose};
use crate::penalty::{HiddenBatch, HiddenGradient};
use crate::units::{Arriving, Buffers, Function, with_function};

/// What a penalty has done: `β Ω`, and which channels of `β ∂Ω` it has filled.
pub(super) struct Penalized<T> {
    pub(super) loss: T,
    /// The number of units in the channels per unit and per frequency, or 0.
    pub(super) units: usize,
    /// Whether the channel per activation holds anything: it is the `Δ` of the layer.
    pub(super) per_activation: bool,
}

/// Turns the gradient by frequencies into that by the terms of their means.
pub(super) fn divide_by_samples<T: Real>(per_frequency: &mut [T], m: usize) {
    let per_sample = T::one() / T::of_count(m);
    per_frequency.iter_mut().for_each(|g| *g *= per_sample);
}

impl<T: Real> Pass<'_, T> {
    /// `λ/2 Σ‖W‖²`; adds `λ W` to the gradient, if there is one.
    pub(super) fn decay(&self, gradient: Option<&mut [T]>, ws: &Workspace<T>) -> T {
        let (lambda, weights) = (self.objective.weight_decay, self.layout.weights());
        linalg::decay(lambda, weights, self.theta, gradient, &ws.scratch)
    }

    /// `∂D_l`, `∂c_l`, and `D_lᵀ Δ(R_l)` for every layer, the outermost first.
    pub(super) fn backpropagate_decoder(
        &self,
        m: usize,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let depth = self.layout.depth();
        for (l, blocks) in self.layout.blocks().iter().enumerate() {
            let bias_gradient = &mut gradient[blocks.decoder_bias.clone()];
            if l == 0 {
                bias_gradient.copy_from_slice(&ws.sums[..blocks.below]);
            } else {
                let delta = &mut ws.delta[l - 1][..blocks.below * m];
                let r = &ws.reconstruction[l];
                with_function!(self.decoder(l), g => linalg::backpropagate(
                    delta, r, &[], |r| g.slope(r), bias_gradient, &mut ws.scratch,
                ));
            }

            let (delta, next) = ws.delta.split_at_mut(l);
            let delta = delta.last().unwrap_or(&ws.reconstruction[0]);
            let above = if l + 1 == depth {
                &ws.hidden[l]
            } else {
                &ws.reconstruction[l + 1]
            };
            let above = matrix(above, blocks.above, m);
            let d = blocks.decoder_weights(self.theta);
            let mut weight_gradient = blocks.weights_mut(gradient, &blocks.decoder_weights);
            for group in self.groups(l, m) {
                let units = group.units;
                gemm(
                    weight_gradient.columns_range_mut(units.clone()),
                    Write::Over,
                    matrix(&delta[group.delta], blocks.below, m),
                    transpose(above.rows_range(units)),
                    &mut ws.scratch,
                );
            }
            if l + 1 < depth {
                let delta = matrix(delta, blocks.below, m);
                next[0].grow(blocks.above * m);
                let next = matrix_mut(&mut next[0], blocks.above, m);
                gemm(next, Write::Over, transpose(d), delta, &mut ws.scratch);
            }
        }
    }

    /// `β Ω` of layer `l`, and `β ∂Ω` into the two channels.
    pub(super) fn penalize(&self, l: usize, m: usize, ws: &mut Workspace<T>) -> Penalized<T> {
        let n = self.layout.blocks()[l].above;
        if !self.penalizes(l) {
            ws.per_unit[..n].fill(T::zero());
            ws.per_frequency[..n].fill(T::zero());
            return Penalized {
                loss: T::zero(),
                units: 0,
                per_activation: false,
            };
        }
        if self.objective.norm_weighted {
            return self.penalize_weighted(l, m, ws);
        }
        let objective = self.objective;
        let beta = self.now.penalty_weight;
        let hidden = HiddenBatch::new(
            self.seen(l, m, &ws.hidden, &ws.states),
            (&ws.mean[l][..n], ws.active[l]),
            objective.sparsity_target,
            self.activation(l),
        );
        let per_unit = &mut ws.per_unit[..n];
        let per_frequency = &mut ws.per_frequency[..n];
        per_unit.fill(T::zero());
        per_frequency.fill(T::zero());
        let mut channels = HiddenGradient::new(per_unit, per_frequency, &mut ws.delta[l], n * m);
        let omega = objective.penalty.accumulate(&hidden, beta, &mut channels);
        let per_activation = channels.per_activation_used();
        divide_by_samples(per_frequency, m);
        Penalized {
            loss: beta * omega,
            units: n,
            per_activation,
        }
    }

    /// `D_lᵀ Δ`, group by group, of a residual `Δ` of the level below.
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
                matrix(&residual[group.delta], blocks.below, m),
                scratch,
            );
        }
    }

    /// `∂W_l`, `∂b_l`, and `Δ(H_l)` for every layer, the innermost first; returns `β Σ Ω`.
    pub(super) fn backpropagate_encoder(
        &self,
        input: DMatrixView<'_, T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) -> T {
        let (m, depth) = (input.ncols(), self.layout.depth());
        let mut sparsity = T::zero();
        for (l, blocks) in self.layout.blocks().iter().enumerate().rev() {
            let n = blocks.above;
            let penalized = self.penalize(l, m, ws);
            sparsity += penalized.loss;
            let seeded = if penalized.per_activation {
                Write::Add
            } else {
                Write::Over
            };

            // Δ(H) = (Dᵀ Δ(R) + β ∂Ω) ⊙ f′, or with W Δ(H above) for Dᵀ Δ(R)
            let (before, delta) = ws.delta.split_at_mut(l);
            let (delta, after) = delta.split_at_mut(1);
            let delta = &mut delta[0];
            delta.grow(n * m);
            if l + 1 == depth {
                let below = if self.has_frozen() {
                    &ws.frozen
                } else {
                    before.last().unwrap_or(&ws.reconstruction[0])
                };
                self.pull(l, m, below, seeded, delta, &mut ws.scratch);
            } else {
                let above = &self.layout.blocks()[l + 1];
                let w = above.encoder_weights(self.theta);
                let after = matrix(&after[0], above.above, m);
                gemm(matrix_mut(delta, n, m), seeded, w, after, &mut ws.scratch);
            }
            let residual = &ws.reconstruction[0];
            let arriving = Arriving {
                penalized: penalized.units > 0,
                per_unit: &ws.per_unit[..n],
                per_frequency: &ws.per_frequency[..n],
                pull: &mut |into, scratch| self.pull(l, m, residual, Write::Over, into, scratch),
            };
            let (h, delta) = (&ws.hidden[l][..n * m], &mut delta[..n * m]);
            let buffers = Buffers {
                state: &mut ws.states[l],
                spare: &mut ws.spare,
                sums: &mut ws.sums,
                scratch: &mut ws.scratch,
            };
            let of_units = blocks.own_mut(gradient);
            self.with_units(l, |units| {
                units.backward(&self.own(l), arriving, h, delta, of_units, buffers);
            });

            // ∂W = H_below Δ(H)ᵀ
            let below = if l == 0 {
                input
            } else {
                matrix(&ws.hidden[l - 1], blocks.below, m)
            };
            let weight_gradient = blocks.weights_mut(gradient, &blocks.encoder_weights);
            let delta = matrix(&ws.delta[l], n, m);
            let write = if self.layout.is_tied() {
                Write::Add // to ∂D
            } else {
                Write::Over
            };
            gemm(
                weight_gradient,
                write,
                below,
                transpose(delta),
                &mut ws.scratch,
            );
            self.backpropagate_norms(l, gradient, ws);
        }
        sparsity
    }
}
