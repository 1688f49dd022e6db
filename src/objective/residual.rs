//! The reconstruction loss and its gradient: `ℓ(x̂, x)` and `Δ(R₀)`.

use nalgebra::DMatrixView;

use super::{Batch, Pass, ReconstructionLoss, Workspace};
use crate::Real;
use crate::linalg::{self, Scalar};
use crate::units::{Function, with_function};

impl<T: Real> Pass<'_, T> {
    /// Returns `Σᵢ ℓ(x̂ᵢ, xᵢ)`, and turns the product `D₀ R₁` at this place of the buffer of `R₀` into `Δ(R₀)`, after
    /// the [skip connection](super::skip).
    ///
    /// Leaves `Δ(R₀) 1` in `ws.sums`. [Matryoshka groups](super::matryoshka) have a place each; the first
    /// is that of all units.
    pub(super) fn compare(&self, batch: &Batch<'_, T>, place: usize, ws: &mut Workspace<T>) -> f64 {
        let (target, rows) = (batch.target, self.layout.output_size());
        let len = rows * target.ncols();
        let r = &mut ws.reconstruction[0][place * len..(place + 1) * len];
        self.add_skipped(batch.input, r, &mut ws.scratch);
        let (half, per_sample) = (T::of(0.5), T::one() / T::of_count(target.ncols()));
        match self.objective.reconstruction_loss {
            ReconstructionLoss::SquaredError => {
                with_function!(self.decoder(0), g => self.residual(target, place, move |z, x| {
                    let x_hat = g.value(z);
                    let e = x_hat - x;
                    (half * e * e, per_sample * e * g.slope(x_hat))
                }, ws));
            }
            ReconstructionLoss::BinaryCrossEntropy => {
                // −x ln σ(z) − (1 − x) ln(1 − σ(z)) = ln(1 + e^−|z|) + x max(−z, 0) + (1 − x) max(z, 0), with
                // derivative σ(z) − x = (1 − x) − σ(−z). No difference of large terms is left.
                let zero = T::zero();
                self.residual(
                    target,
                    place,
                    move |z, x| {
                        let (y, small) = (T::one() - x, Scalar::sigmoid(-z.abs()));
                        let positive = z > zero;
                        let cost = if positive { y * z } else { -(x * z) };
                        let slope = if positive { y - small } else { small - x };
                        ((-z.abs()).softplus() + cost, per_sample * slope)
                    },
                    ws,
                );
            }
        }
        let losses = &ws.sums[rows..2 * rows];
        let loss = losses.iter().map(|loss| loss.to_f64()).sum();
        if place == 0 {
            ws.full = T::of(loss / f64::of_count(target.ncols()));
        }
        loss
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
        let (rows, blocks) = (self.layout.output_size(), &self.layout.blocks()[0]);
        let len = rows * target.ncols();
        let r = &mut ws.reconstruction[0][place * len..(place + 1) * len];
        let c = &self.theta[blocks.decoder_bias.clone()];
        let sums = &mut ws.sums[..2 * rows];
        linalg::residual(r, c, target, term, sums, &mut ws.scratch);
    }
}
