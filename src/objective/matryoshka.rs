//! Nested prefixes of the hidden units, each of which has to reconstruct the samples by itself.
//!
//! ```text
//! X̂ᵍ = g(D₁…D_g H₁…H_g + c)            g = 1 … G, of the units of the first g groups
//! J has 1/m Σᵢ Σ_g ℓ(x̂ᵍᵢ, xᵢ) in place of 1/m Σᵢ ℓ(x̂ᵢ, xᵢ)
//!
//! Δᵍ = 1/m ∂ℓ/∂x̂ᵍ ⊙ g′,     Δ̄ᵍ = Σ_{q ≥ g} Δ^q
//! ∂D_g = Δ̄ᵍ H_gᵀ + λ D_g,    ∂J/∂H_g = D_gᵀ Δ̄ᵍ,    ∂c = Δ̄¹ 1
//! ```
//!
//! Bussmann et al. (2025), *Learning Multi-Level Features with Matryoshka Sparse Autoencoders*. A unit is
//! in every prefix from that of its group on, so what it gets is the sum of their residuals, and the
//! backward pass costs what it costs without prefixes. Of `Δ̄`, the buffer of the reconstruction
//! holds the last first: there is `Δ` of the whole.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::{Pass, matrix, matrix_mut};
use crate::Real;
use crate::linalg::{self, Write, gemm};
use crate::objective::Workspace;

/// The units that a prefix has and the one before has not.
pub(super) struct Group {
    pub(super) units: Range<usize>,
    /// Where in the buffer of the reconstruction is what they get.
    pub(super) delta: Range<usize>,
}

impl<T: Real> Pass<'_, T> {
    /// The groups of the units of layer `l`: one, unless they are nested.
    pub(super) fn groups(&self, l: usize, m: usize) -> impl Iterator<Item = Group> {
        let blocks = &self.layout.blocks()[l];
        let (groups, len) = (&self.objective.matryoshka, blocks.below * m);
        (0..=groups.len()).map(move |g| {
            let start = g.checked_sub(1).map_or(0, |before| groups[before]);
            let end = groups.get(g).copied().unwrap_or(blocks.above);
            let place = groups.len() - g;
            Group {
                units: start..end,
                delta: place * len..(place + 1) * len,
            }
        })
    }

    /// `Δ̄ᵍ` of every prefix, and `Σ_g Σᵢ ℓ(x̂ᵍᵢ, xᵢ)`. Leaves `Δ̄¹ 1` in the sums.
    pub(super) fn compare_groups(
        &self,
        target: DMatrixView<'_, T>,
        sparse: bool,
        ws: &mut Workspace<T>,
    ) -> f64 {
        let (blocks, m) = (&self.layout.blocks()[0], target.ncols());
        let (rows, n) = (blocks.below, blocks.above);
        let places = self.objective.matryoshka.len() + 1;
        ws.reconstruction[0].grow(rows * m * places);
        for Group { units, delta } in self.groups(0, m) {
            let (r, smaller) = ws.reconstruction[0].split_at_mut(delta.end);
            let r = &mut r[delta];
            let d = blocks.decoder_weights(self.theta);
            let write = if units.start == 0 {
                Write::Over
            } else {
                r.copy_from_slice(&smaller[..rows * m]);
                Write::Add
            };
            if sparse {
                ws.codes.decode(r, write, d, &units, &mut ws.scratch);
            } else {
                let h = matrix(&ws.hidden[0], n, m);
                gemm(
                    matrix_mut(r, rows, m),
                    write,
                    d.columns_range(units.clone()),
                    h.rows_range(units),
                    &mut ws.scratch,
                );
            }
        }

        ws.prefix_sums.grow(rows);
        ws.prefix_sums[..rows].fill(T::zero());
        let mut loss = 0.0;
        for place in 0..places {
            loss += self.compare(target, place, ws);
            for (total, &sum) in ws.prefix_sums[..rows].iter_mut().zip(ws.sums.iter()) {
                *total += sum;
            }
            if place > 0 {
                let (of_larger, delta) = ws.reconstruction[0].split_at_mut(place * rows * m);
                let of_larger = &of_larger[(place - 1) * rows * m..];
                let delta = &mut delta[..rows * m];
                ws.scratch.run(delta, rows, &mut [], |first, panel, _| {
                    let of_larger = &of_larger[first * rows..][..panel.len()];
                    linalg::axpy(T::one(), of_larger, panel);
                });
            }
        }
        ws.sums[..rows].copy_from_slice(&ws.prefix_sums[..rows]);
        loss
    }
}
