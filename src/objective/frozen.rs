//! A second reconstruction, through a copy of the decoder that is held constant.
//!
//! ```text
//! J has 1/m Σᵢ ℓ(x̂′ᵢ, xᵢ) besides,     X̂′ = g(D′ G + c′),     D′ = D, c′ = c
//! Δ′ = 1/m ∂ℓ/∂x̂′ ⊙ g′
//! ```
//!
//! G is what the units [show](crate::units::Units::seen) in place of H. D′ and c′ do not learn, so Δ′ reaches
//! the encoder alone.

use nalgebra::DMatrixView;

use super::{Pass, Workspace, matrix};
use crate::Real;

impl<T: Real> Pass<'_, T> {
    /// Whether the units learn from a frozen decoder.
    pub(super) fn has_frozen(&self) -> bool {
        self.activation(0).traits().frozen
    }

    /// Writes Δ′, and returns the mean of `ℓ(x̂′, x)`; 0 for other units. Needs the room of `R₀`, and leaves the
    /// sums undefined. Codes of G become codes of H.
    pub(super) fn reconstruct_frozen(
        &self,
        target: DMatrixView<'_, T>,
        sparse: bool,
        ws: &mut Workspace<T>,
    ) -> T {
        if !self.has_frozen() {
            return T::zero();
        }
        let (blocks, m) = (&self.layout.blocks()[0], target.ncols());
        let r = &mut ws.reconstruction[0];
        r.grow(blocks.below * m);
        if sparse {
            let r = &mut r[..blocks.below * m];
            self.decode_codes(r, &ws.codes, &mut ws.scratch);
            let h = &ws.hidden[0][..blocks.above * m];
            ws.codes.revalue(h, blocks.above);
        } else {
            let seen = self.seen(0, m, &ws.hidden, &ws.states);
            let seen = matrix(seen, blocks.above, m);
            self.decode_product(0, seen, r, &mut ws.scratch);
        }
        let loss = self.compare(target, 0, ws);
        std::mem::swap(&mut ws.frozen, &mut ws.reconstruction[0]);
        T::of(loss / f64::of_count(m))
    }
}
