//! The passes over sparse codes: where few hidden units are active, the decoder and all gradients
//! cost O(active · input) instead of O(units · samples · input).
//!
//! The formulas are those of the dense passes. Where a unit is exactly 0 and the slope of its
//! activation is 0 there too, every term that it would contribute is 0, and is left out. A model
//! that selects its units is always sparse; one that has learned to be is when it is measured to
//! be. Units behind gates are looked at where their gate is open, whatever it lets through.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::{Pass, matrix};
use crate::Real;
use crate::linalg::{Scratch, Write};
use crate::objective::Workspace;
use crate::sparse::{ActiveUnits, Csc, UnitOperands};
use crate::units::{Buffers, CodesGradient, OwnMut};
use crate::validate::even_chunk;

/// The hidden layer is used as codes where at most one unit in `SPARSE` is active.
const SPARSE: usize = 16;

/// Samples whose pre-activations are held at a time, at most, while units are selected.
const PANEL: usize = 1024;

impl<T: Real> Pass<'_, T> {
    /// Whether units are selected and not penalized: then nobody needs the hidden layer as a whole.
    pub(super) fn selects_only(&self) -> bool {
        self.selects_few() && !self.penalizes(0)
    }

    /// Whether the model has one hidden layer, of which each sample keeps few units.
    fn selects_few(&self) -> bool {
        let units = self.layout.hidden_size();
        let kept = self.activation(0).kept(units);
        self.layout.depth() == 1 && kept.is_some_and(|k| k * SPARSE <= units)
    }

    /// Whether innermost unit `j` was active in a sample of the last gradient, or its gate open.
    pub(crate) fn was_active(&self, j: usize, ws: &Workspace<T>) -> bool {
        let (l, n) = (self.layout.depth() - 1, self.layout.hidden_size());
        if self.selects_only() {
            ws.codes.is_active(j)
        } else if self.activation(l).traits().signed {
            let h = &ws.hidden[l][..n * ws.samples]; // a mean of 0 may be that of opposite activations
            h.iter().skip(j).step_by(n).any(|&h| h != T::zero())
        } else {
            ws.mean[l][j] > T::zero()
        }
    }

    /// The codes of `input`, of which the hidden layer is never held as a whole.
    pub(super) fn select(&self, input: DMatrixView<'_, T>, ws: &mut Workspace<T>) {
        let (n, m) = (self.layout.hidden_size(), input.ncols());
        let bias = self.own(0).bias;
        let count = even_chunk(m, PANEL);
        self.with_units(0, |units| {
            let Some(selection) = units.per_sample() else {
                return;
            };
            ws.hidden[0].grow(n * count);
            ws.codes.prepare(m, selection.kept(n));
            for first in (0..m).step_by(count) {
                let panel = input.columns(first, count.min(m - first));
                let z = &mut ws.hidden[0][..n * panel.ncols()];
                self.encode_product(0, panel, z, &mut ws.scratch);
                let pick = |z: &mut [T], units: &mut [u32], values: &mut [T]| {
                    selection.pick(bias, z, units, values)
                };
                ws.codes.fill(z, n, first, &ws.scratch, pick);
            }
        });
    }

    /// Appends `H_L` of `x` to `hidden`.
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
            hidden.append_active(&workspace.codes, m);
            return;
        }
        let mut dense = workspace.lend_innermost(units * m);
        self.encode_into(x, &mut dense[..units * m], workspace);
        workspace.enter(units * m, |ws| {
            hidden.append(&dense[..units * m], units, &ws.scratch);
        });
        workspace.return_innermost(dense);
    }

    /// `X̂` of some of the innermost activations `hidden`, into `x_hat`.
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
        self.decode(m, x_hat, workspace, |r, scratch| {
            let r = &mut r[..innermost.below * m];
            hidden.product(r, d, samples.clone(), scratch);
        });
    }

    /// Turns the hidden layer into codes, if it is the only one and few of the activations of its `m`
    /// samples are not zero. The codes are of what the penalty sees.
    pub(super) fn compress_if_sparse(&self, m: usize, ws: &mut Workspace<T>) -> bool {
        let units = self.layout.hidden_size();
        let few = ws.active[0].to_f64() * f64::of_count(SPARSE) <= f64::of_count(units);
        if self.layout.depth() != 1 || !self.activation(0).traits().vanishes || !few {
            return false;
        }
        let h = &mut ws.hidden[0][..units * m];
        let (state, codes, scratch) = (&mut ws.states[0], &mut ws.codes, &ws.scratch);
        self.with_units(0, |f| f.compress(h, units, state, codes, scratch))
    }

    /// `R₀ = D H` of the codes.
    pub(super) fn decode_codes(
        &self,
        r: &mut [T],
        codes: &ActiveUnits<T>,
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[0];
        let d = blocks.decoder_weights(self.theta);
        codes.decode(r, Write::Over, d, &(0..blocks.above), scratch);
    }

    /// All gradients from the codes; returns `β Ω`.
    pub(super) fn backpropagate_codes(
        &self,
        input: DMatrixView<'_, T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) -> T {
        let (blocks, m) = (&self.layout.blocks()[0], input.ncols());
        let (rows, n) = (blocks.below, blocks.above);
        gradient[blocks.decoder_bias.clone()].copy_from_slice(&ws.sums[..rows]);
        let penalized = self.penalize(0, m, ws);
        ws.codes.sort_by_unit(n, m);

        // θ is W, b, D, c, and the blocks of the units, without D where the weights are tied.
        let learned = &mut gradient[..self.layout.learned()];
        let (of_layer, of_units) = learned.split_at_mut(blocks.decoder_bias.end);
        let (encoder, rest) = of_layer.split_at_mut(blocks.encoder_weights.end);
        let (bias, rest) = rest.split_at_mut(n);
        let per_activation: &[T] = if penalized.per_activation {
            &ws.delta[0][..n * m]
        } else {
            &[]
        };
        let first = blocks.own[0].len().min(of_units.len());
        let own_gradient = OwnMut {
            bias,
            blocks: of_units.split_at_mut(first).into(),
        };
        let groups = &self.objective.matryoshka;
        let residuals: &[T] = &ws.reconstruction[0];
        // Of the whole, and then of the groups, the largest first.
        let residuals_of = |j: usize| {
            let with_it = groups.partition_point(|&end| end <= j);
            &residuals[(groups.len() - with_it) * input.len()..]
        };
        let operands = UnitOperands {
            d: &self.theta[blocks.decoder_weights.clone()],
            rows,
            e: &residuals_of,
            second: if self.has_frozen() { &ws.frozen } else { &[] },
            per_unit: &ws.per_unit[..penalized.units],
            per_activation,
        };
        let buffers = Buffers {
            state: &mut ws.states[0],
            spare: &mut ws.spare,
            sums: &mut ws.sums,
            scratch: &mut ws.scratch,
        };
        let (own, per_frequency, codes) = (self.own(0), &ws.per_frequency[..n], &mut ws.codes);
        let tied = self.layout.is_tied();
        let decoder = if tied {
            &mut *encoder
        } else {
            &mut rest[..rows * n]
        };
        self.with_units(0, |units| {
            let gradient = CodesGradient {
                decoder,
                own: own_gradient,
            };
            units.backward_codes(&own, per_frequency, &operands, gradient, codes, buffers);
        });
        let write = if tied { Write::Add } else { Write::Over };
        codes.input_gradient(input, encoder, write, &ws.scratch);
        self.backpropagate_norms(0, gradient, ws);
        penalized.loss
    }
}
