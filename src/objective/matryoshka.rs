//! Matryoshka groups: nested prefixes of the hidden units, each with a reconstruction of its own.
//!
//! ```text
//! X̂ᵍ = g(D₁…D_g H₁…H_g + c)            g = 1 … G: the units of the first g groups
//! J has 1/m Σᵢ Σ_g ℓ(x̂ᵍᵢ, xᵢ) in place of 1/m Σᵢ ℓ(x̂ᵢ, xᵢ)
//!
//! Δᵍ = 1/m ∂ℓ/∂x̂ᵍ ⊙ g′,     Δ̄ᵍ = Σ_{q ≥ g} Δ^q
//! ∂D_g = Δ̄ᵍ H_gᵀ + λ D_g,    ∂J/∂H_g = D_gᵀ Δ̄ᵍ,    ∂c = Δ̄¹ 1
//! ```
//!
//! Bussmann et al. (2025), *Learning Multi-Level Features with Matryoshka Sparse Autoencoders*.
//!
//! A unit of group `g` belongs to the prefixes `g … G`, so it receives the sum `Δ̄ᵍ` of their residuals. The
//! backward pass costs the same as without groups.
//!
//! The buffer of `R₀` has `G` places of output × samples. The first holds `Δ̄ᴳ`, the last `Δ̄¹`.

use std::ops::Range;

use super::{Batch, Pass, matrix, matrix_mut};
use crate::Real;
use crate::linalg::{self, Write, gemm};
use crate::objective::Workspace;

/// The units that a prefix adds to the one before.
pub(super) struct Group {
    pub(super) units: Range<usize>,
    /// The place of `Δ̄ᵍ` in the buffer of `R₀`.
    pub(super) delta: Range<usize>,
}

impl<T: Real> Pass<'_, T> {
    /// Iterates over the groups of the units of layer `l`; a single one if they are not nested.
    pub(super) fn groups(&self, l: usize, m: usize) -> impl Iterator<Item = Group> {
        let blocks = &self.layout.blocks()[l];
        let (groups, len) = (&self.objective.matryoshka, blocks.decoded * m);
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

    /// `D₁…D_g H₁…H_g` of every prefix: the product of the prefix before, plus `D_g H_g`.
    pub(super) fn reconstruct_groups(&self, m: usize, sparse: bool, ws: &mut Workspace<T>) {
        let blocks = &self.layout.blocks()[0];
        let (rows, n) = (blocks.decoded, blocks.above);
        let d = blocks.decoder_weights(self.theta);
        let places = self.objective.matryoshka.len() + 1;
        ws.reconstruction[0].grow(rows * m * places);
        for Group { units, delta } in self.groups(0, m) {
            let (r, before) = ws.reconstruction[0].split_at_mut(delta.end);
            let r = &mut r[delta];
            let write = if units.start == 0 {
                Write::Over
            } else {
                r.copy_from_slice(&before[..rows * m]);
                Write::Add
            };
            if sparse {
                ws.active.decode(r, write, d, &units, &mut ws.scratch);
                continue;
            }
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

    /// Returns `Σ_g Σᵢ ℓ(x̂ᵍᵢ, xᵢ)`, and turns the products into `Δ̄ᵍ`.
    ///
    /// Leaves `Δ̄¹ 1` in `ws.sums`.
    pub(super) fn compare_groups(&self, batch: &Batch<'_, T>, ws: &mut Workspace<T>) -> f64 {
        let (rows, m) = batch.target.shape();
        ws.prefix_sums.grow(rows);
        ws.prefix_sums[..rows].fill(T::zero());
        let mut loss = 0.0;
        for place in 0..=self.objective.matryoshka.len() {
            loss += self.compare(batch, place, ws);
            for (total, &sum) in ws.prefix_sums[..rows].iter_mut().zip(ws.sums.iter()) {
                *total += sum;
            }
            if place > 0 {
                add_larger(rows, rows * m, place, ws);
            }
        }
        ws.sums[..rows].copy_from_slice(&ws.prefix_sums[..rows]);
        loss
    }
}

/// `Δ̄ᵍ = Δᵍ + Δ̄ᵍ⁺¹`, at this place of `len` entries.
fn add_larger<T: Real>(rows: usize, len: usize, place: usize, ws: &mut Workspace<T>) {
    let (larger, delta) = ws.reconstruction[0].split_at_mut(place * len);
    let larger = &larger[(place - 1) * len..];
    let delta = &mut delta[..len];
    ws.scratch.run(delta, rows, &mut [], |first, panel, _| {
        let larger = &larger[first * rows..][..panel.len()];
        linalg::axpy(T::one(), larger, panel);
    });
}
