//! Gated units: a gate decides whether a unit is active, separate parameters decide how strongly.
//!
//! ```text
//! U = Wᵀ X̃,     Π = U + b,     G = max(Π, 0)
//! H = 1[Π > 0] ⊙ max(eʳ ⊙ U + b_mag, 0)
//!
//! J = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ) + λ/2 Σ‖W‖² + β Ω(G; ρ) + 1/m Σᵢ ℓ(x̂′ᵢ, xᵢ),     X̂′ = g(D′ G + c′)
//! ```
//!
//! Rajamanoharan et al. (2024), *Improving Dictionary Learning with Gated Sparse Autoencoders*.
//!
//! The penalty sees G, not H, so it does not shrink activations. The gates are trained by the last term: a
//! reconstruction through a [frozen copy](crate::objective) of the decoder, `D′ = D` and `c′ = c`. The gradient
//! treats D′ and c′ as constants:
//!
//! ```text
//! Δ′ = 1/m ∂ℓ/∂x̂′ ⊙ g′
//! Δ(Π) = (Dᵀ Δ′ + β ∂Ω) ⊙ 1[G > 0],      ∂b = Δ(Π) 1
//! Δ(M) = (Dᵀ Δ(R₀)) ⊙ 1[H > 0],          ∂b_mag = Δ(M) 1,     ∂r = (Δ(M) ⊙ (H − b_mag 1ᵀ)) 1
//! Δ(U) = Δ(Π) + eʳ ⊙ Δ(M),               ∂W = X̃ Δ(U)ᵀ + λ W
//! ```
//!
//! `H − b_mag 1ᵀ` equals `eʳ ⊙ U` wherever `Δ(M)` is not 0. A norm-weighted penalty weights G by the norms of
//! the decoder, and its gradient reaches them. The paper keeps these norms at 1.

use super::elementwise::Relu;
use super::{
    ActiveGradient, Arriving, Block, Buffers, Chooses, Len, Own, OwnMut, State, Traits, Units,
};
use crate::Real;
use crate::linalg::{Aligned, Scalar, Scratch, add_column, sum, vectorize};
use crate::sparse::{ActiveUnits, UnitOperands};

/// Units with a gate and a magnitude each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gated;

/// What the backward pass needs of the forward pass.
struct Gates<T> {
    /// G, units × samples.
    open: Aligned<T>,
    /// `eʳ`, one per unit.
    gains: Aligned<T>,
}

impl<T> Default for Gates<T> {
    fn default() -> Self {
        Self {
            open: Aligned::new(),
            gains: Aligned::new(),
        }
    }
}

impl<T: Real> Gates<T> {
    /// Turns `U` into `H`. Writes the number of active entries to `count`, unless it is empty.
    fn pass(&mut self, own: &Own<'_, T>, u: &mut [T], count: &mut [T], scratch: &mut Scratch<T>) {
        let [r, magnitude_bias] = own.blocks;
        self.gains.grow(r.len());
        let gains = &mut self.gains[..r.len()];
        for (gain, &r) in gains.iter_mut().zip(r) {
            *gain = r.exp();
        }
        pass_gates(u, own.bias, gains, magnitude_bias, count, scratch);
    }
}

impl<T: Real> Units<T> for Gated {
    fn traits(&self) -> Traits {
        Traits {
            deep: false,
            nested: false,
            frozen: true,
            scales: true,
            ..Traits::selecting(Chooses::Alone)
        }
    }

    fn blocks(&self) -> &'static [Block] {
        const BLOCK: Block = Block {
            name: "log_magnitude",
            len: Len::PerUnit,
            learns: true,
            is_bias: false,
        };
        &[
            BLOCK,
            Block {
                name: "magnitude_bias",
                is_bias: true,
                ..BLOCK
            },
        ]
    }

    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>) {
        let (n, scratch) = (own.bias.len(), buffers.scratch);
        let (of_gates, count) = buffers.sums[..=n].split_at_mut(n);
        buffers.state.with(|gates: &mut Gates<T>| {
            gates.open.grow(z.len());
            open_gates(&mut gates.open[..z.len()], z, own.bias, of_gates, scratch);
            gates.pass(own, z, count, scratch);
        });
    }

    fn seen<'a>(&self, h: &'a [T], state: &'a State) -> &'a [T] {
        let gates = state.get::<Gates<T>>();
        gates.map_or(h, |gates| &gates.open[..h.len()])
    }

    fn compress(
        &self,
        h: &mut [T],
        units: usize,
        state: &mut State,
        active: &mut ActiveUnits<T>,
        scratch: &Scratch<T>,
    ) -> bool {
        state.with(|gates: &mut Gates<T>| {
            let open = &mut gates.open[..h.len()];
            active.compress(open, units, |g| g != T::zero(), scratch)
        })
    }

    fn backward(
        &self,
        own: &Own<'_, T>,
        arriving: Arriving<'_, T>,
        h: &[T],
        delta: &mut [T],
        gradient: OwnMut<'_, T>,
        buffers: Buffers<'_, T>,
    ) {
        let (n, scratch) = (own.bias.len(), buffers.scratch);
        let sums = &mut buffers.sums[..2 * n];
        let [of_r, of_magnitude_bias] = gradient.blocks;
        let gradient = OwnMut {
            bias: gradient.bias,
            blocks: Default::default(),
        };
        buffers.state.with(|gates: &mut Gates<T>| {
            let open = &mut gates.open[..h.len()];
            arriving.through(Relu, open, delta, gradient, scratch);
            let of_magnitude = open; // in the place of G, which is no longer needed
            (arriving.pull)(of_magnitude, scratch);
            let gains = &gates.gains[..n];
            backpropagate(delta, of_magnitude, h, gains, own.blocks[1], sums, scratch);
        });
        of_r.copy_from_slice(&sums[..n]);
        of_magnitude_bias.copy_from_slice(&sums[n..]);
    }

    fn backward_active(
        &self,
        own: &Own<'_, T>,
        _per_frequency: &[T],
        operands: &UnitOperands<'_, T>,
        gradient: ActiveGradient<'_, T>,
        active: &mut ActiveUnits<T>,
        buffers: Buffers<'_, T>,
    ) {
        let (magnitude_bias, scratch) = (own.blocks[1], buffers.scratch);
        buffers.state.with(|gates: &mut Gates<T>| {
            let gains = &gates.gains[..];
            let rule = move |j: usize, h: T, of_magnitude: T, of_gate: T| {
                let of_magnitude = if h > T::zero() {
                    of_magnitude
                } else {
                    T::zero()
                };
                let delta = Scalar::fma(gains[j], of_magnitude, of_gate);
                let of_r = of_magnitude * (h - magnitude_bias[j]);
                (delta, [of_gate, of_r, of_magnitude])
            };
            let [of_r, of_magnitude_bias] = gradient.own.blocks;
            let sums = [gradient.own.bias, of_r, of_magnitude_bias];
            active.backpropagate(operands, gradient.decoder, sums, rule, scratch);
        });
    }

    fn through_bias(&self, own: &Own<'_, T>, gradient: &Own<'_, T>, j: usize) -> T {
        gradient.bias[j] + own.blocks[0][j].exp() * gradient.blocks[1][j]
    }

    fn infer(&self, own: &Own<'_, T>, z: &mut [T], state: &mut State, scratch: &mut Scratch<T>) {
        state.with(|gates: &mut Gates<T>| gates.pass(own, z, &mut [], scratch));
    }

    fn shift(&self, own: &mut OwnMut<'_, T>, shifts: &[T]) {
        let [r, magnitude_bias] = &mut own.blocks;
        let of_units = own.bias.iter_mut().zip(&**r).zip(&mut **magnitude_bias);
        for (((b, r), b_mag), &shift) in of_units.zip(shifts) {
            *b += shift;
            *b_mag += r.exp() * shift;
        }
    }

    fn scale(&self, own: &mut OwnMut<'_, T>, j: usize, factor: f64) {
        for value in [&mut own.bias[j], &mut own.blocks[1][j]] {
            *value = T::of(value.to_f64() * factor);
        }
    }
}

/// `G ← max(U + b, 0)`. Writes the sums over the samples to `sums`.
fn open_gates<T: Real>(
    gates: &mut [T],
    u: &[T],
    bias: &[T],
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let rows = bias.len();
    scratch.run(gates, rows, sums, |first, panel, sums| {
        let u = &u[first * rows..][..panel.len()];
        for (column, u) in panel.chunks_exact_mut(rows).zip(u.chunks_exact(rows)) {
            vectorize(
                #[inline(always)]
                || {
                    for ((g, &u), &b) in column.iter_mut().zip(u).zip(bias) {
                        let pi = u + b;
                        *g = if pi <= T::zero() { T::zero() } else { pi };
                    }
                    add_column(column, sums);
                },
            );
        }
    });
}

/// `U ← 1[U + b > 0] ⊙ max(eʳ ⊙ U + b_mag, 0)`, where `gains` holds `eʳ`.
///
/// Writes the number of nonzero entries to `count`, unless it is empty.
fn pass_gates<T: Real>(
    u: &mut [T],
    bias: &[T],
    gains: &[T],
    magnitude_bias: &[T],
    count: &mut [T],
    scratch: &mut Scratch<T>,
) {
    scratch.run(u, bias.len(), count, |_, panel, count| {
        for column in panel.chunks_exact_mut(bias.len()) {
            vectorize(
                #[inline(always)]
                || {
                    let of_unit = bias.iter().zip(gains).zip(magnitude_bias);
                    for (u, ((&b, &gain), &b_mag)) in column.iter_mut().zip(of_unit) {
                        let (pi, mu) = (*u + b, Scalar::fma(gain, *u, b_mag));
                        let shut = (pi <= T::zero()) | (mu <= T::zero());
                        *u = if shut { T::zero() } else { mu };
                    }
                    if let Some(count) = count.first_mut() {
                        let one = |h| if h == T::zero() { T::zero() } else { T::one() };
                        *count += sum(column, one);
                    }
                },
            );
        }
    });
}

/// `δ ← δ + eʳ ⊙ e ⊙ 1[h > 0]`, where `e = ∂J/∂h` and `δ = ∂J/∂π`.
///
/// Writes the sums over the samples: of `∂J/∂r` to the first half of `sums`, of `∂J/∂b_mag` to the second.
fn backpropagate<T: Real>(
    delta: &mut [T],
    e: &[T],
    h: &[T],
    gains: &[T],
    magnitude_bias: &[T],
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    let rows = gains.len();
    scratch.run(delta, rows, sums, |first, panel, sums| {
        let (gain_sums, bias_sums) = sums.split_at_mut(rows);
        let columns = panel.chunks_exact_mut(rows);
        let [e, h] = [e, h].map(|values| values[first * rows..].chunks_exact(rows));
        for (delta, (e, h)) in columns.zip(e.zip(h)) {
            vectorize(
                #[inline(always)]
                || {
                    backpropagate_column(delta, e, h, gains, magnitude_bias, gain_sums, bias_sums);
                },
            );
        }
    });
}

// A separate function, because the compiler assumes only of arguments that they do not overlap.
#[inline(always)]
fn backpropagate_column<T: Real>(
    delta: &mut [T],
    e: &[T],
    h: &[T],
    gains: &[T],
    magnitude_bias: &[T],
    gain_sums: &mut [T],
    bias_sums: &mut [T],
) {
    let of_unit = gains.iter().zip(magnitude_bias);
    let sums = gain_sums.iter_mut().zip(bias_sums);
    let entries = delta.iter_mut().zip(e).zip(h);
    for (((delta, &e), &h), ((&gain, &b_mag), (gain_sum, bias_sum))) in
        entries.zip(of_unit.zip(sums))
    {
        let of_magnitude = if h > T::zero() { e } else { T::zero() };
        *delta = Scalar::fma(gain, of_magnitude, *delta);
        *bias_sum += of_magnitude;
        *gain_sum = Scalar::fma(of_magnitude, h - b_mag, *gain_sum); // eʳ u
    }
}
