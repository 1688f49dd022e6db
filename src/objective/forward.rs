//! The forward pass: codes, reconstructions, and what they cost.

use nalgebra::DMatrixView;

use super::{Pass, Workspace, matrix, matrix_mut};
use crate::Real;
use crate::linalg::{self, Scratch, Write, gemm, gemm_packed, transpose};
use crate::training::all_reduce::Shares;
use crate::units::{Buffers, Elementwise, Function, with_function};

impl<T: Real> Pass<'_, T> {
    /// `H_{l+1} = f(W_lᵀ H_l + b_l)` for every layer, and the means ρ̂. Whether the codes are to be
    /// used instead of the hidden layer, because so few of its units are active.
    pub(super) fn encode(&self, input: DMatrixView<'_, T>, ws: &mut Workspace<T>) -> bool {
        if self.selects_only() {
            self.select(input, ws);
            return true;
        }
        let m = input.ncols();
        ws.samples = m;
        let per_sample = T::one() / T::of_count(m);
        for (l, blocks) in self.layout.blocks().iter().enumerate() {
            let (below, above) = ws.hidden.split_at_mut(l);
            let below = below.last().map_or(input, |h| matrix(h, blocks.below, m));
            above[0].grow(blocks.above * m);
            let h = &mut above[0][..blocks.above * m];
            self.encode_product(l, below, h, &mut ws.scratch);
            let buffers = Buffers {
                state: &mut ws.states[l],
                spare: &mut ws.delta[l],
                sums: &mut ws.sums,
                scratch: &mut ws.scratch,
            };
            self.with_units(l, |units| units.forward(&self.own(l), h, buffers));
            let sums = &ws.sums[..=blocks.above];
            for (mean, &sum) in ws.mean[l].iter_mut().zip(&sums[..blocks.above]) {
                *mean = sum * per_sample;
            }
            ws.active[l] = sums[blocks.above] * per_sample;
        }
        self.compress_if_sparse(m, ws)
    }

    /// The means of all processes, where there are several.
    pub(super) fn average_means(&self, shares: Option<Shares<'_, T>>, ws: &mut Workspace<T>) {
        let Some(shares) = shares.filter(|_| !self.selects_only()) else {
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
            Some(packed) => gemm_packed(z, w, &packed[l], x, scratch),
            None => gemm(z, Write::Over, transpose(w), x, scratch),
        }
    }

    /// g of level `l`.
    pub(super) fn decoder(&self, l: usize) -> Elementwise {
        self.objective.decoder[l].traits().mirror
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
        gemm(r, Write::Over, d, above, scratch);
    }

    /// `R = g(D A + c)`
    pub(super) fn decode_layer(
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
    pub(super) fn activate_reconstruction(
        &self,
        l: usize,
        m: usize,
        r: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let c = &self.theta[blocks.decoder_bias.clone()];
        let r = &mut r[..blocks.below * m];
        with_function!(self.decoder(l), g => linalg::activate(r, c, |z| g.value(z), &mut [], scratch));
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
        if !self.objective.matryoshka.is_empty() {
            return T::of(self.compare_groups(target, sparse, ws) / f64::of_count(m));
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
}
