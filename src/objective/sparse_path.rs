//! The passes if few units are active: decoder and gradients cost O(active · input) instead of
//! O(units · samples · input).
//!
//! The formulas are those of the [dense passes](super). A term is left out if it is 0: the unit is inactive and
//! its activation has slope 0 there.
//!
//! | model | sparse path |
//! |---|---|
//! | several hidden layers | never |
//! | units that select few of a sample, as `TopK` does, without a penalty | always |
//! | units that are exactly 0 when inactive | if few are active on average in the batch |
//! | other units | never |
//!
//! Gated units count as active where their gate is open.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::{Pass, matrix};
use crate::Real;
use crate::linalg::{Scratch, Write};
use crate::objective::Workspace;
use crate::sparse::{ActiveUnits, Csc, UnitOperands};
use crate::units::Buffers;
use crate::validate::even_chunk;

/// The sparse path is taken if at most one unit in `SPARSE` is active.
pub(crate) const SPARSE: usize = 16;

/// Most samples whose pre-activations are held at a time while units are selected.
pub(crate) const PANEL: usize = 1024;

impl<T: Real> Pass<'_, T> {
    /// Returns whether units are selected and not penalized, so that H is never needed as a whole.
    pub(super) fn selects_only(&self) -> bool {
        self.selects_few() && !self.penalizes(0)
    }

    /// Returns whether the model has a single hidden layer, and each sample keeps few of its units.
    fn selects_few(&self) -> bool {
        let units = self.layout.hidden_size();
        let kept = self.activation(0).kept(units);
        self.layout.depth() == 1 && kept.is_some_and(|k| k * SPARSE <= units)
    }

    /// Sorts the active units of the last loss, as its gradient does, for [`was_active`](Self::was_active).
    pub(crate) fn sort_active(&self, ws: &mut Workspace<T>) {
        if self.selects_only() {
            ws.active
                .sort_by_unit(self.layout.hidden_size(), ws.samples);
        }
    }

    /// Returns whether innermost unit `j` was active in a sample of the last gradient, or its gate open.
    pub(crate) fn was_active(&self, j: usize, ws: &Workspace<T>) -> bool {
        let (l, n) = (self.layout.depth() - 1, self.layout.hidden_size());
        if self.selects_only() {
            ws.active.is_active(j)
        } else if self.activation(l).traits().signed {
            let h = &ws.hidden[l][..n * ws.samples]; // a mean of 0 may hide opposite signs
            h.iter().skip(j).step_by(n).any(|&h| h != T::zero())
        } else {
            ws.mean[l][j] > T::zero()
        }
    }

    /// Collects the active units of `input` in `ws.active`, for some samples at a time, and their mean
    /// number.
    pub(super) fn select(&self, input: DMatrixView<'_, T>, ws: &mut Workspace<T>) {
        let (n, m) = (self.layout.hidden_size(), input.ncols());
        let bias = self.own(0).bias;
        let count = even_chunk(m, PANEL);
        self.with_units(0, |units| {
            let Some(selection) = units.per_sample() else {
                return;
            };
            ws.hidden[0].grow(n * count);
            ws.active.prepare(m, selection.kept(n));
            for first in (0..m).step_by(count) {
                let panel = input.columns(first, count.min(m - first));
                let z = &mut ws.hidden[0][..n * panel.ncols()];
                self.encode_product(0, panel, z, &mut ws.scratch);
                let pick = |z: &mut [T], units: &mut [u32], values: &mut [T]| {
                    selection.pick(bias, z, units, values)
                };
                ws.active.fill(z, n, first, &ws.scratch, pick);
            }
            ws.l0[0] = T::of_count(ws.active.total(m)) / T::of_count(m);
        });
    }

    /// Appends `H_L` of the samples `x`, input × samples, to `hidden`.
    #[inline(never)]
    pub(crate) fn encode_sparse(
        &self,
        x: DMatrixView<'_, T>,
        hidden: &mut Csc<T>,
        workspace: &mut Workspace<T>,
    ) {
        let (units, m) = (self.layout.hidden_size(), x.ncols());
        if self.selects_few() {
            workspace.fit_to(self.layout);
            workspace.enter(self.layout.len() * m, |ws| {
                let centered = self.centered(x, ws);
                let of = |centered| matrix(centered, self.layout.input_size(), m);
                self.select(centered.as_deref().map_or(x, of), ws);
                ws.return_centered(centered);
            });
            hidden.append_active(&workspace.active, m);
            return;
        }
        let mut dense = workspace.lend_innermost(units * m);
        self.encode_into(x, &mut dense[..units * m], workspace);
        workspace.enter(units * m, |ws| {
            hidden.append(&dense[..units * m], units, &ws.scratch);
        });
        workspace.return_innermost(dense);
    }

    /// Writes `X̂` of these samples of `H_L` to `x_hat`, output × samples.
    #[inline(never)]
    pub(crate) fn decode_sparse(
        &self,
        hidden: &Csc<T>,
        samples: Range<usize>,
        x_hat: &mut [T],
        workspace: &mut Workspace<T>,
    ) {
        let innermost = &self.layout.blocks()[self.layout.depth() - 1];
        let d = innermost.decoder_weights(self.theta);
        let m = samples.len();
        self.decode(m, None, x_hat, workspace, |r, scratch| {
            let r = &mut r[..innermost.decoded * m];
            hidden.product(r, d, samples.clone(), scratch);
        });
    }

    /// Collects the active units of the only hidden layer in `ws.active`, as the penalty sees them.
    ///
    /// Returns `false` for other models, and if too many are active.
    pub(super) fn compress_if_sparse(&self, m: usize, ws: &mut Workspace<T>) -> bool {
        let units = self.layout.hidden_size();
        let few = ws.l0[0].to_f64() * f64::of_count(SPARSE) <= f64::of_count(units);
        if self.layout.depth() != 1 || !self.activation(0).traits().vanishes || !few {
            return false;
        }
        let h = &mut ws.hidden[0][..units * m];
        let (state, active, scratch) = (&mut ws.states[0], &mut ws.active, &ws.scratch);
        self.with_units(0, |f| f.compress(h, units, state, active, scratch))
    }

    /// `R₀ = D H` of the active units.
    pub(super) fn decode_active(
        &self,
        r: &mut [T],
        active: &ActiveUnits<T>,
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[0];
        let d = blocks.decoder_weights(self.theta);
        active.decode(r, Write::Over, d, &(0..blocks.above), scratch);
    }

    /// Writes all gradients from the active units. Returns `β Ω`.
    pub(super) fn backpropagate_active(
        &self,
        input: DMatrixView<'_, T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) -> T {
        let (blocks, m) = (&self.layout.blocks()[0], input.ncols());
        let (rows, n) = (blocks.decoded, blocks.above);
        gradient[blocks.decoder_bias.clone()].copy_from_slice(&ws.sums[..rows]);
        let penalized = self.penalize(0, m, ws);
        ws.active.sort_by_unit(n, m);

        // The buffer of R₀ holds Δ̄ of all units, and then of ever smaller Matryoshka prefixes.
        let (groups, residuals) = (&self.objective.matryoshka, &ws.reconstruction[0]);
        let residual_of = |j: usize| {
            let group = groups.partition_point(|&end| end <= j);
            &residuals[(groups.len() - group) * rows * m..]
        };
        let operands = UnitOperands {
            d: &self.theta[blocks.decoder_weights.clone()],
            rows,
            e: &residual_of,
            second: if self.has_frozen() { &ws.frozen } else { &[] },
            per_unit: &ws.per_unit[..penalized.units],
            per_activation: if penalized.per_activation {
                &ws.delta[0][..n * m]
            } else {
                &[]
            },
        };
        let buffers = Buffers {
            state: &mut ws.states[0],
            spare: &mut ws.spare,
            sums: &mut ws.sums,
            scratch: &mut ws.scratch,
        };
        let (own, per_frequency, active) = (self.own(0), &ws.per_frequency[..n], &mut ws.active);
        let own_gradient = blocks.active_gradient(gradient);
        self.with_units(0, |units| {
            units.backward_active(
                &own,
                per_frequency,
                &operands,
                own_gradient,
                active,
                buffers,
            );
        });
        let of_w = &mut gradient[blocks.encoder_weights.clone()];
        let write = if self.layout.is_tied() {
            Write::Add // to ∂D
        } else {
            Write::Over
        };
        active.input_gradient(input, of_w, write, &ws.scratch);
        self.backpropagate_norms(0, gradient, ws);
        penalized.loss
    }
}
