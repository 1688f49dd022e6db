//! Gated units: whether a unit is active, and how much, are told apart.
//!
//! ```text
//! U = Wᵀ X̃,     Π = U + b,     G = max(Π, 0)
//! H = 1[Π > 0] ⊙ max(eʳ ⊙ U + b_mag, 0)
//!
//! J = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ) + λ/2 Σ‖W‖² + β Ω(G; ρ) + 1/m Σᵢ ℓ(x̂′ᵢ, xᵢ),     X̂′ = g(D′ G + c′)
//! ```
//!
//! Rajamanoharan et al. (2024), *Improving Dictionary Learning with Gated Sparse Autoencoders*. As the
//! penalty sees G, not H, it shrinks no activation. But a step has no derivative, so the gates learn
//! of the reconstruction only by the last term, in which `D′ = D` and `c′ = c` are constants: the
//! decoder is not to serve what the penalty has shrunk. So the gradient is not that of J, but of J with
//! a decoder that stands still there:
//!
//! ```text
//! Δ′ = 1/m ∂ℓ/∂x̂′ ⊙ g′
//! Δ(Π) = (Dᵀ Δ′ + β ∂Ω) ⊙ 1[G > 0],      ∂b = Δ(Π) 1
//! Δ(M) = (Dᵀ Δ(R₀)) ⊙ 1[H > 0],          ∂b_mag = Δ(M) 1,     ∂r = (Δ(M) ⊙ (H − b_mag 1ᵀ)) 1
//! Δ(U) = Δ(Π) + eʳ ⊙ Δ(M),               ∂W = X̃ Δ(U)ᵀ + λ W
//! ```
//!
//! where `H − b_mag` is `eʳ ⊙ U`, wherever `Δ(M)` is not 0. A pre-encoder bias reaches U as any does,
//! and with it all of J. A penalty that is weighed by the norms of the decoder weighs G by them, and
//! its gradient reaches them, as for other activations: in the paper those norms are 1.

use nalgebra::DMatrixView;

use super::backward::Penalized;
use super::{Pass, matrix, matrix_mut};
use crate::linalg::{self, Aligned, Scalar, Scratch, Write, product, transpose};
use crate::objective::Workspace;
use crate::sparse::Passed;
use crate::units;
use crate::units::{Function, Relu};
use crate::{Activation, Real};

impl<T: Real> Pass<'_, T> {
    /// Whether the units are gated: those of the only hidden layer.
    pub(super) fn gated(&self) -> bool {
        self.activation(0) == Activation::Gated
    }

    /// r and `b_mag`.
    fn magnitudes(&self) -> [&[T]; 2] {
        let magnitudes = self.layout.blocks()[0].thresholds(self.theta);
        magnitudes.split_at(magnitudes.len() / 2).into()
    }

    /// The bias of the gates.
    fn gate_bias(&self) -> &[T] {
        &self.theta[self.layout.blocks()[0].encoder_bias.clone()]
    }

    /// `G` from `U`; writes the sums over the samples.
    pub(super) fn open_gates(
        &self,
        u: &[T],
        gates: &mut Aligned<T>,
        sums: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        gates.grow(u.len());
        units::open_gates(&mut gates[..u.len()], u, self.gate_bias(), sums, scratch);
    }

    /// `U` becomes `H`, and `gains` becomes `eʳ`; writes the number of active units, if there is room.
    pub(super) fn pass_gates(
        &self,
        u: &mut [T],
        gains: &mut Aligned<T>,
        active: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let [r, magnitude_bias] = self.magnitudes();
        gains.grow(r.len());
        let gains = &mut gains[..r.len()];
        for (gain, &r) in gains.iter_mut().zip(r) {
            *gain = r.exp();
        }
        let gate_bias = self.gate_bias();
        units::pass_gates(u, gate_bias, gains, magnitude_bias, active, scratch);
    }

    /// What the penalty sees of layer `l`, samples × units: `G` in place of `H`.
    pub(super) fn penalized_of<'a>(
        &self,
        l: usize,
        hidden: &'a [Aligned<T>],
        gates: &'a [T],
    ) -> &'a [T] {
        if self.gated() { gates } else { &hidden[l] }
    }

    /// `Δ′`, and what the reconstruction from the gates alone costs; 0 without gates. Needs the room of
    /// `R₀`, and leaves the sums undefined. Codes become those of H.
    pub(super) fn reconstruct_frozen(
        &self,
        target: DMatrixView<'_, T>,
        sparse: bool,
        ws: &mut Workspace<T>,
    ) -> T {
        if !self.gated() {
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
            let gates = matrix(&ws.gates, blocks.above, m);
            self.decode_product(0, gates, r, &mut ws.scratch);
        }
        let loss = self.compare(target, 0, ws);
        std::mem::swap(&mut ws.frozen, &mut ws.reconstruction[0]);
        T::of(loss / f64::of_count(m))
    }

    /// `Dᵀ Δ′ + β ∂Ω` per activation, which is the `Δ` of the layer, becomes `Δ(U)`; writes the
    /// gradients of b, r, and `b_mag`.
    pub(super) fn backpropagate_gates(
        &self,
        m: usize,
        penalized: &Penalized<T>,
        gradient: &mut [T],
        ws: &mut Workspace<T>,
    ) {
        let blocks = &self.layout.blocks()[0];
        let (rows, n) = (blocks.below, blocks.above);
        let (delta, gates) = (&mut ws.delta[0][..n * m], &mut ws.gates[..n * m]);
        let of_gates = &mut gradient[blocks.encoder_bias.clone()];
        let per_unit = &ws.per_unit[..penalized.units];
        let slope = |g| Relu.slope(g);
        linalg::backpropagate(delta, gates, per_unit, slope, of_gates, &mut ws.scratch);

        let d = blocks.decoder_weights(self.theta);
        let of_reconstruction = matrix(&ws.reconstruction[0], rows, m);
        product(
            matrix_mut(gates, n, m),
            Write::Over,
            transpose(d),
            of_reconstruction,
            &mut ws.scratch,
        );
        units::backpropagate_gated(
            delta,
            gates,
            &ws.hidden[0][..n * m],
            &ws.gains,
            self.magnitudes()[1],
            &mut gradient[blocks.thresholds.clone()],
            &mut ws.scratch,
        );
    }

    /// The same for one open gate of unit `j`, from its h, `dⱼ · Δ(R₀)`, and `Δ(Π)`.
    pub(super) fn back_through_gates<'a>(
        &'a self,
        gains: &'a [T],
    ) -> impl Fn(usize, T, T, T) -> Passed<T> + Sync + 'a {
        let magnitude_bias = self.magnitudes()[1];
        move |j, h, of_magnitude, of_gate| {
            let of_magnitude = if h > T::zero() {
                of_magnitude
            } else {
                T::zero()
            };
            Passed {
                delta: Scalar::fma(gains[j], of_magnitude, of_gate),
                bias: of_gate,
                thresholds: [of_magnitude * (h - magnitude_bias[j]), of_magnitude],
            }
        }
    }

    /// What `Δ(U) 1` of unit `j` has besides `∂b`: `eʳ ∂b_mag`; 0 without gates.
    pub(super) fn of_magnitude(&self, j: usize, gradient: &[T]) -> T {
        if !self.gated() {
            return T::zero();
        }
        let blocks = &self.layout.blocks()[0];
        let magnitude_bias = blocks.thresholds.start + blocks.above;
        self.magnitudes()[0][j].exp() * gradient[magnitude_bias + j]
    }
}
