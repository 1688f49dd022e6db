//! The forward pass of the [legend](super): activations and reconstructions.

use nalgebra::DMatrixView;

use super::{Batch, Pass, Workspace, matrix, matrix_mut};
use crate::Real;
use crate::linalg::{self, Scratch, Write, gemm, gemm_packed, transpose};
use crate::training::all_reduce::Shares;
use crate::units::{Buffers, Function, with_function};

impl<T: Real> Pass<'_, T> {
    /// Computes `H_{l+1}` and ρ̂ of every layer.
    ///
    /// Returns `true` if few units are active. `ws.active` then holds them.
    pub(super) fn encode(&self, input: DMatrixView<'_, T>, ws: &mut Workspace<T>) -> bool {
        if self.selects_only() {
            self.select(input, ws);
            return true;
        }
        ws.samples = input.ncols();
        for l in 0..self.layout.depth() {
            self.encode_layer(l, input, ws);
        }
        self.compress_if_sparse(input.ncols(), ws)
    }

    /// `H_{l+1} = f(W_lᵀ H_l + b_l)`, ρ̂, and the mean number of active units.
    fn encode_layer(&self, l: usize, input: DMatrixView<'_, T>, ws: &mut Workspace<T>) {
        let (blocks, m) = (&self.layout.blocks()[l], input.ncols());
        let n = blocks.above;
        let (below, above) = ws.hidden.split_at_mut(l);
        let below = below.last().map_or(input, |h| matrix(h, blocks.below, m));
        above[0].grow(n * m);
        let h = &mut above[0][..n * m];
        self.encode_product(l, below, h, &mut ws.scratch);
        let buffers = Buffers {
            state: &mut ws.states[l],
            spare: &mut ws.delta[l],
            sums: &mut ws.sums,
            scratch: &mut ws.scratch,
        };
        self.with_units(l, |units| units.forward(&self.own(l), h, buffers));

        let per_sample = T::one() / T::of_count(m);
        for (mean, &sum) in ws.mean[l].iter_mut().zip(&ws.sums[..n]) {
            *mean = sum * per_sample;
        }
        ws.l0[l] = ws.sums[n] * per_sample;
    }

    /// Averages ρ̂ and the number of active units over all processes.
    pub(super) fn average_means(&self, shares: Option<Shares<'_, T>>, ws: &mut Workspace<T>) {
        let Some(shares) = shares.filter(|_| !self.selects_only()) else {
            return;
        };
        for (mean, blocks) in ws.mean.iter_mut().zip(self.layout.blocks()) {
            shares.average(&mut mean[..blocks.above]);
        }
        shares.average(&mut ws.l0[..self.layout.depth()]);
    }

    /// `Z = W_lᵀ X`
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

    /// `R = D_l A`
    pub(super) fn decode_product(
        &self,
        l: usize,
        above: DMatrixView<'_, T>,
        r: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let d = blocks.decoder_weights(self.theta);
        let r = matrix_mut(r, blocks.decoded, above.ncols());
        gemm(r, Write::Over, d, above, scratch);
    }

    /// `R ← g(R + c_l)`
    pub(super) fn activate_reconstruction(
        &self,
        l: usize,
        m: usize,
        r: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let blocks = &self.layout.blocks()[l];
        let c = &self.theta[blocks.decoder_bias.clone()];
        let r = &mut r[..blocks.decoded * m];
        with_function!(self.decoder(l), g => linalg::activate(r, c, |z| g.value(z), &mut [], scratch));
    }

    /// Computes `R_l` of every level, and `Δ(R₀)`. Returns `1/m Σᵢ ℓ(x̂ᵢ, xᵢ)`, summed over Matryoshka groups.
    ///
    /// Leaves `Δ(R₀) 1` in `ws.sums`.
    pub(super) fn reconstruct(
        &self,
        batch: &Batch<'_, T>,
        sparse: bool,
        ws: &mut Workspace<T>,
    ) -> T {
        let (rows, m) = batch.target.shape();
        let loss = if !self.objective.matryoshka.is_empty() {
            self.reconstruct_groups(m, sparse, ws);
            self.compare_groups(batch, ws)
        } else if sparse {
            let r = &mut ws.reconstruction[0];
            r.grow(rows * m);
            self.decode_active(&mut r[..rows * m], &ws.active, &mut ws.scratch);
            self.compare(batch, 0, ws)
        } else {
            self.decode_levels(m, ws);
            self.compare(batch, 0, ws)
        };
        T::of(loss / f64::of_count(m))
    }

    /// Computes `R_l` of every level, the innermost first. `R₀` is left without bias and activation, for
    /// [`compare`](Self::compare).
    fn decode_levels(&self, m: usize, ws: &mut Workspace<T>) {
        for (l, blocks) in self.layout.blocks().iter().enumerate().rev() {
            let (r, above) = ws.reconstruction.split_at_mut(l + 1);
            let (r, above) = (&mut r[l], above.first());
            r.grow(blocks.decoded * m);
            let innermost = l + 1 == self.layout.depth();
            let above = above.filter(|_| !innermost).unwrap_or(&ws.hidden[l]);
            let above = matrix(above, blocks.above, m);
            self.decode_product(l, above, r, &mut ws.scratch);
            if l > 0 {
                self.activate_reconstruction(l, m, r, &mut ws.scratch);
            }
        }
    }
}
