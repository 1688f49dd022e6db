//! The frozen decoder: a second reconstruction, through a constant copy of the decoder.
//!
//! ```text
//! J has 1/m Σᵢ ℓ(x̂′ᵢ, xᵢ) as a further term,     X̂′ = g(D′ G + c′),     D′ = D, c′ = c
//! Δ′ = 1/m ∂ℓ/∂x̂′ ⊙ g′
//! ```
//!
//! G is what the penalty [sees](crate::units::Units::seen) in place of H. D′ and c′ are constant, so Δ′
//! reaches only the encoder.

use super::{Batch, Pass, Workspace, matrix};
use crate::Real;

impl<T: Real> Pass<'_, T> {
    /// Returns whether the units learn from a frozen decoder.
    pub(super) fn has_frozen(&self) -> bool {
        self.activation(0).traits().frozen
    }

    /// Returns `1/m Σᵢ ℓ(x̂′ᵢ, xᵢ)` and writes Δ′; returns 0 for units without a frozen decoder.
    ///
    /// Uses the buffer of `R₀`, and leaves `ws.sums` undefined. Active units of G become those of H.
    pub(super) fn reconstruct_frozen(
        &self,
        batch: &Batch<'_, T>,
        sparse: bool,
        ws: &mut Workspace<T>,
    ) -> T {
        if !self.has_frozen() {
            return T::zero();
        }
        let (n, (rows, m)) = (self.layout.hidden_size(), batch.target.shape());
        let r = &mut ws.reconstruction[0];
        r.grow(rows * m);
        if sparse {
            let r = &mut r[..rows * m];
            self.decode_active(r, &ws.active, &mut ws.scratch);
            ws.active.revalue(&ws.hidden[0][..n * m], n);
        } else {
            let seen = self.seen(0, m, &ws.hidden, &ws.states);
            self.decode_product(0, matrix(seen, n, m), r, &mut ws.scratch);
        }
        let loss = self.compare(batch, 0, ws);
        std::mem::swap(&mut ws.frozen, &mut ws.reconstruction[0]);
        T::of(loss / f64::of_count(m))
    }
}
