//! The passes of inference: encoder and decoder, each sample by itself.

use nalgebra::DMatrixView;

use super::{Pass, Workspace, matrix};
use crate::Real;
use crate::linalg::{self, Scratch};

impl<T: Real> Pass<'_, T> {
    /// Writes `H_L` of the samples `x` to `hidden`, units × samples.
    pub(crate) fn encode_into(
        &self,
        x: DMatrixView<'_, T>,
        hidden: &mut [T],
        workspace: &mut Workspace<T>,
    ) {
        self.encode_levels(x, hidden, true, workspace);
    }

    /// Writes `Z_L = W_{L−1}ᵀ H_{L−1} + b_{L−1}` of the samples `x` to `z`, units × samples.
    pub(crate) fn pre_activations_into(
        &self,
        x: DMatrixView<'_, T>,
        z: &mut [T],
        workspace: &mut Workspace<T>,
    ) {
        self.encode_levels(x, z, false, workspace);
    }

    /// Writes `H_L` to `hidden`, or `Z_L` unless it `activates`.
    #[inline(never)]
    fn encode_levels(
        &self,
        x: DMatrixView<'_, T>,
        hidden: &mut [T],
        activates: bool,
        workspace: &mut Workspace<T>,
    ) {
        let (m, depth) = (x.ncols(), self.layout.depth());
        workspace.fit_to(self.layout);
        workspace.enter(self.layout.len() * m, |ws| {
            let centered = self.centered(x, ws);
            let x = centered
                .as_ref()
                .map_or(x, |x| matrix(x, self.layout.input_size(), m));
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
                let (own, state, scratch) = (self.own(l), &mut ws.states[l], &mut ws.scratch);
                if activates || l + 1 < depth {
                    self.with_units(l, |units| units.infer(&own, h, state, scratch));
                } else {
                    linalg::activate(h, own.bias, |z| z, &mut [], scratch);
                }
            }
            ws.return_centered(centered);
        });
    }

    /// Writes `X̂` of the innermost activations `h` to `x_hat`, output × samples. A [skip connection](super::skip) sees
    /// the input, if it is given.
    #[inline(never)]
    pub(crate) fn decode_into(
        &self,
        h: DMatrixView<'_, T>,
        input: Option<DMatrixView<'_, T>>,
        x_hat: &mut [T],
        workspace: &mut Workspace<T>,
    ) {
        let m = h.ncols();
        self.decode(m, input, x_hat, workspace, |r, scratch| {
            self.decode_product(self.layout.depth() - 1, h, r, scratch);
        });
    }

    /// Writes `X̂` of `m` samples to `x_hat`. `innermost` writes the product `D_{L−1} H_L`.
    pub(super) fn decode(
        &self,
        m: usize,
        input: Option<DMatrixView<'_, T>>,
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
                    r[l].grow(blocks.decoded * m);
                    &mut r[l]
                };
                if l + 1 == self.layout.depth() {
                    innermost(r, &mut ws.scratch);
                } else {
                    let above = matrix(&above[0], blocks.above, m);
                    self.decode_product(l, above, r, &mut ws.scratch);
                }
                if let Some(input) = input.filter(|_| l == 0) {
                    self.add_skipped(input, r, &mut ws.scratch);
                }
                self.activate_reconstruction(l, m, r, &mut ws.scratch);
            }
        });
    }
}
