//! The forward pass: codes, reconstructions, and what they cost.

use nalgebra::DMatrixView;

use super::{Pass, Reconstruction, matrix, matrix_mut};
use crate::linalg::{self, Scalar, Scratch, Write, product, product_by_column, transpose};
use crate::objective::Workspace;
use crate::training::all_reduce::Shares;
use crate::units;
use crate::units::{Function, with_function};
use crate::{Activation, Real};

impl<T: Real> Pass<'_, T> {
    /// `H_{l+1} = f(W_lᵀ H_l + b_l)` for every layer, and the means ρ̂. Whether the codes are to be
    /// used instead of the hidden layer, because so few of its units are active.
    pub(super) fn encode(&self, input: DMatrixView<'_, T>, ws: &mut Workspace<T>) -> bool {
        if let Some(k) = self.selects_only() {
            self.select(input, k, ws);
            return true;
        }
        let m = input.ncols();
        let per_sample = T::one() / T::of_count(m);
        for (l, blocks) in self.layout.blocks().iter().enumerate() {
            let (below, above) = ws.hidden.split_at_mut(l);
            let below = below.last().map_or(input, |h| matrix(h, blocks.below, m));
            above[0].grow(blocks.above * m);
            let h = &mut above[0][..blocks.above * m];
            let sums = &mut ws.sums[..=blocks.above];
            self.encode_product(l, below, h, &mut ws.scratch);
            match self.activation(l) {
                f if f.selects_over_batch() => {
                    let spare = &mut ws.delta[l];
                    let smallest = self.compete(l, h, spare, sums, &mut ws.scratch);
                    ws.smallest_kept[l] = smallest;
                }
                Activation::JumpRelu => self.jump(l, h, sums, &mut ws.scratch),
                Activation::Gated => {
                    let (of_gates, active) = sums.split_at_mut(blocks.above);
                    self.open_gates(h, &mut ws.gates, of_gates, &mut ws.scratch);
                    self.pass_gates(h, &mut ws.gains, active, &mut ws.scratch);
                }
                _ => self.activate(l, h, sums, &mut ws.scratch),
            }
            for (mean, &sum) in ws.mean[l].iter_mut().zip(&sums[..blocks.above]) {
                *mean = sum * per_sample;
            }
            ws.active[l] = sums[blocks.above] * per_sample;
        }
        self.compress_if_sparse(m, ws)
    }

    /// The means of all processes, where there are several.
    pub(super) fn average_means(&self, shares: Option<Shares<'_, T>>, ws: &mut Workspace<T>) {
        let Some(shares) = shares.filter(|_| self.selects_only().is_none()) else {
            return;
        };
        for (mean, blocks) in ws.mean.iter_mut().zip(self.layout.blocks()) {
            shares.average(&mut mean[..blocks.above]);
        }
        shares.average(&mut ws.active[..self.layout.depth()]);
    }

    /// `Wᵀ X`
    pub(super) fn encode_product(
        &self,
        l: usize,
        x: DMatrixView<'_, T>,
        z: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let w = blocks.encoder_weights(self.theta);
        let z = matrix_mut(z, blocks.above, x.ncols());
        match self.packed {
            Some(packed) => product_by_column(z, w, &packed[l], x, scratch),
            None => product(z, Write::Over, transpose(w), x, scratch),
        }
    }

    /// `H = f(Z + b)` of samples that know nothing of each other, and the sums of the activations
    /// and their number, if there is room.
    fn activate(&self, l: usize, z: &mut [T], sums: &mut [T], scratch: &mut Scratch<T>) {
        let (blocks, f) = (&self.layout.blocks()[l], self.activation(l));
        let b = &self.theta[blocks.encoder_bias.clone()];
        match (f, blocks.thresholds(self.theta)) {
            (Activation::JumpRelu, t) => {
                units::activate_above(z, b, t, T::zero(), sums, scratch);
            }
            (Activation::BatchTopK(_), &[t]) => {
                let t = units::positive(t);
                let above = move |z| if z <= t { T::zero() } else { z };
                linalg::activate(z, b, above, None, sums, scratch);
            }
            _ => with_function!(f, function => linalg::activate(
                z, b, |z| function.value(z), f.kept(blocks.above), sums, scratch,
            )),
        }
    }

    /// `R = D A + c` without its activation.
    pub(super) fn decode_product(
        &self,
        l: usize,
        above: DMatrixView<'_, T>,
        r: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let d = blocks.decoder_weights(self.theta);
        let r = matrix_mut(r, blocks.below, above.ncols());
        product(r, Write::Over, d, above, scratch);
    }

    /// `R = g(D A + c)`
    fn decode_layer(
        &self,
        l: usize,
        above: DMatrixView<'_, T>,
        r: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        self.decode_product(l, above, r, scratch);
        self.activate_reconstruction(l, above.ncols(), r, scratch);
    }

    /// `R ← g(R + c)`
    fn activate_reconstruction(&self, l: usize, m: usize, r: &mut [T], scratch: &mut Scratch<T>) {
        let blocks = &self.layout.blocks()[l];
        let c = &self.theta[blocks.decoder_bias.clone()];
        let r = &mut r[..blocks.below * m];
        with_function!(self.objective.decoder[l], function => linalg::activate(
            r, c, |z| function.value(z), None, &mut [], scratch,
        ));
    }

    /// The decoder down to `Δ(R₀)`, and `1/m Σᵢ ℓ(x̂ᵢ, xᵢ)`, of every prefix where there are some.
    /// Leaves `Δ(R₀) 1` in the sums.
    pub(super) fn reconstruct(
        &self,
        target: DMatrixView<'_, T>,
        sparse: bool,
        ws: &mut Workspace<T>,
    ) -> T {
        let (m, depth) = (target.ncols(), self.layout.depth());
        if !self.objective.prefixes.is_empty() {
            return T::of(self.compare_prefixes(target, sparse, ws) / f64::of_count(m));
        }
        for (l, blocks) in self.layout.blocks().iter().enumerate().rev() {
            let (r, above) = ws.reconstruction.split_at_mut(l + 1);
            let r = &mut r[l];
            r.grow(blocks.below * m);
            if sparse {
                let r = &mut r[..blocks.below * m];
                self.decode_codes(r, &ws.codes, &mut ws.scratch);
                continue; // there is but one layer
            }
            let above = if l + 1 == depth {
                &ws.hidden[l]
            } else {
                &above[0]
            };
            let above = matrix(above, blocks.above, m);
            if l == 0 {
                self.decode_product(0, above, r, &mut ws.scratch);
            } else {
                self.decode_layer(l, above, r, &mut ws.scratch);
            }
        }
        T::of(self.compare(target, 0, ws) / f64::of_count(m))
    }

    /// What lies at this place of the buffer of `R₀`, before its activation, becomes `Δ(R₀)`, and
    /// `Σᵢ ℓ(x̂ᵢ, xᵢ)`. Leaves `Δ(R₀) 1` in the sums.
    pub(super) fn compare(
        &self,
        target: DMatrixView<'_, T>,
        place: usize,
        ws: &mut Workspace<T>,
    ) -> f64 {
        let (half, per_sample) = (T::of(0.5), T::one() / T::of_count(target.ncols()));
        match self.objective.reconstruction {
            Reconstruction::SquaredError => {
                with_function!(self.objective.decoder[0], g => self.residual(target, place, move |z, x| {
                    let x_hat = g.value(z);
                    let e = x_hat - x;
                    (half * e * e, per_sample * e * g.slope(x_hat))
                }, ws));
            }
            Reconstruction::BinaryCrossEntropy => {
                // −x ln σ(z) − (1 − x) ln(1 − σ(z)) = ln(1 + eᶻ) − x z, with derivative σ(z) − x
                self.residual(
                    target,
                    place,
                    move |z, x| (z.softplus() - x * z, per_sample * (Scalar::sigmoid(z) - x)),
                    ws,
                );
            }
        }
        let losses = &ws.sums[self.layout.visible()..2 * self.layout.visible()];
        losses.iter().map(|loss| loss.to_f64()).sum()
    }

    /// `R₀ ← Δ(R₀)`, where `(ℓ, Δ) = term(z, x)` entry by entry.
    #[inline(always)]
    fn residual(
        &self,
        target: DMatrixView<'_, T>,
        place: usize,
        term: impl Fn(T, T) -> (T, T) + Send + Sync,
        ws: &mut Workspace<T>,
    ) {
        let (visible, blocks) = (self.layout.visible(), &self.layout.blocks()[0]);
        let len = visible * target.ncols();
        let r = &mut ws.reconstruction[0][place * len..(place + 1) * len];
        let c = &self.theta[blocks.decoder_bias.clone()];
        let sums = &mut ws.sums[..2 * visible];
        linalg::residual(r, c, target, term, sums, &mut ws.scratch);
    }

    /// `H_L` of `x`, into `hidden`.
    pub(crate) fn encode_into(
        &self,
        x: DMatrixView<'_, T>,
        hidden: &mut [T],
        workspace: &mut Workspace<T>,
    ) {
        let (m, depth) = (x.ncols(), self.layout.depth());
        workspace.fit_to(self.layout);
        workspace.enter(self.layout.len() * m, |ws| {
            let centred = self.centred(x, ws);
            let x = centred
                .as_ref()
                .map_or(x, |x| matrix(x, self.layout.visible(), m));
            for (l, blocks) in self.layout.blocks().iter().enumerate() {
                let (below, above) = ws.hidden.split_at_mut(l);
                let below = below.last().map_or(x, |h| matrix(h, blocks.below, m));
                let h = if l + 1 == depth {
                    &mut *hidden
                } else {
                    above[0].grow(blocks.above * m);
                    &mut above[0]
                };
                let h = &mut h[..blocks.above * m];
                self.encode_product(l, below, h, &mut ws.scratch);
                if self.gated() {
                    self.pass_gates(h, &mut ws.gains, &mut [], &mut ws.scratch);
                } else {
                    self.activate(l, h, &mut [], &mut ws.scratch);
                }
            }
            ws.return_centred(centred);
        });
    }

    /// `X̂` of the innermost activations `h`, into `x_hat`.
    pub(crate) fn decode_into(
        &self,
        h: DMatrixView<'_, T>,
        x_hat: &mut [T],
        workspace: &mut Workspace<T>,
    ) {
        let m = h.ncols();
        self.decode(m, x_hat, workspace, |r, scratch| {
            self.decode_product(self.layout.depth() - 1, h, r, scratch);
        });
    }

    /// [`decode_into`](Self::decode_into), with `D H_L` of `m` samples as `innermost` writes it.
    pub(super) fn decode(
        &self,
        m: usize,
        x_hat: &mut [T],
        workspace: &mut Workspace<T>,
        innermost: impl Fn(&mut [T], &mut Scratch<T>) + Send + Sync,
    ) {
        workspace.fit_to(self.layout);
        workspace.enter(self.layout.len() * m, |ws| {
            for (l, blocks) in self.layout.blocks().iter().enumerate().rev() {
                let (r, above) = ws.reconstruction.split_at_mut(l + 1);
                let r = if l == 0 {
                    &mut *x_hat
                } else {
                    r[l].grow(blocks.below * m);
                    &mut r[l]
                };
                if l + 1 == self.layout.depth() {
                    innermost(r, &mut ws.scratch);
                    self.activate_reconstruction(l, m, r, &mut ws.scratch);
                } else {
                    let above = matrix(&above[0], blocks.above, m);
                    self.decode_layer(l, above, r, &mut ws.scratch);
                }
            }
        });
    }
}
