//! The gradients of hidden units of which few are active in a sample.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::active::{ByUnit, Codes};
use crate::Real;
use crate::linalg::Scratch;
use crate::linalg::Write;
use crate::linalg::{Divide, divide};

/// What the gradients of all units are written to.
pub(crate) struct UnitGradients<'a, T> {
    pub(crate) encoder: &'a mut [T],
    /// `None` where the weights are tied: all goes to the encoder's.
    pub(crate) decoder: Option<&'a mut [T]>,
    pub(crate) bias: &'a mut [T],
    /// What else is learned of a unit: up to two numbers. Empty where there are none.
    pub(crate) thresholds: [&'a mut [T]; 2],
}

/// What reaches the parameters of a unit from its pre-activation in one sample.
pub(crate) struct Passed<T> {
    /// δ, for the encoder's weights.
    pub(crate) delta: T,
    /// γ, for its bias.
    pub(crate) bias: T,
    /// τ, for the thresholds.
    pub(crate) thresholds: [T; 2],
}

impl<T: Real> Passed<T> {
    /// δ, for the weights and the bias.
    pub(crate) fn of(delta: T) -> Self {
        Self::with_threshold(delta, T::zero())
    }

    /// δ, for the weights and the bias, and τ for the one threshold that there is.
    pub(crate) fn with_threshold(delta: T, threshold: T) -> Self {
        Self {
            delta,
            bias: delta,
            thresholds: [threshold, T::zero()],
        }
    }
}

/// What the gradients of a unit are made of.
pub(crate) struct UnitOperands<'a, T: Real> {
    /// D, one unit per column.
    pub(crate) d: &'a [T],
    /// `Δ(R₀)`, one sample per column; that of the whole, and then those of the prefixes, the largest
    /// first.
    pub(crate) e: &'a [T],
    /// `Δ′`, what reaches the gates; empty where there are none.
    pub(crate) of_gates: &'a [T],
    /// The sizes of the prefixes, where units are nested.
    pub(crate) prefixes: &'a [usize],
    pub(crate) x: DMatrixView<'a, T>,
    /// Empty where there is none.
    pub(crate) per_unit: &'a [T],
    /// Units × samples; empty where there is none.
    pub(crate) per_activation: &'a [T],
    pub(crate) units: usize,
}

impl<T: Real> UnitOperands<'_, T> {
    /// The columns `eᵢ` that unit `j` sees.
    fn e_of(&self, j: usize) -> &[T] {
        let with_it = self.prefixes.partition_point(|&end| end <= j);
        &self.e[(self.prefixes.len() - with_it) * self.x.len()..]
    }
}

impl<T: Real> Codes<T> {
    /// The gradients of the weights, of the encoder's bias, and of the thresholds, unit by unit: with
    /// δ, γ, and τ, which are what `back(j, hⱼᵢ, g, p)` says is [`Passed`] on,
    ///
    /// ```text
    /// g = dⱼ · eᵢ,     p = per_unitⱼ + per_activationⱼᵢ (+ dⱼ · e′ᵢ with gates)
    /// ∂dⱼ = Σᵢ hⱼᵢ eᵢ,     ∂wⱼ = Σᵢ δ xᵢ,     ∂bⱼ = Σᵢ γ,     ∂tⱼ = Σᵢ τ
    /// ```
    ///
    /// over the samples in which unit `j` is active, or its gate open.
    ///
    /// All of the decoder's are made before the encoder's, so that of the samples' E and X only one
    /// at a time has to stay in the caches.
    pub(crate) fn gradients(
        &mut self,
        mut gradients: UnitGradients<'_, T>,
        operands: &UnitOperands<'_, T>,
        back: impl Fn(usize, T, T, T) -> Passed<T> + Sync,
        scratch: &Scratch<T>,
    ) {
        let gated = !operands.of_gates.is_empty();
        let ByUnit {
            starts,
            samples,
            activations,
            slopes,
            gate_slopes,
        } = self.by_unit(gated);
        let work = (samples.len() * operands.x.nrows()).max(operands.d.len());
        let depth = scratch.threads.depth_for(work);
        let whole = Units {
            first: 0,
            starts,
            samples,
            activations,
            slopes: &mut *slopes,
            gate_slopes,
            gradients: gradients.reborrow(),
        };
        divide(whole, depth, &|part: Units<'_, T>| {
            part.differentiate_decoder(operands, &back)
        });
        let whole = Units {
            first: 0,
            starts,
            samples,
            activations,
            slopes,
            gate_slopes: &mut [],
            gradients,
        };
        divide(whole, depth, &|part: Units<'_, T>| {
            part.differentiate_encoder(operands)
        });
    }
}

/// Some of the units, from unit `first` on.
struct Units<'a, T> {
    first: usize,
    /// Where each of them starts in what follows, from the first of them on; one more at the end.
    starts: &'a [u32],
    /// The samples in which it is active, and its activations in them.
    samples: &'a [u32],
    activations: &'a [T],
    /// `∂J/∂hⱼᵢ`, which becomes δ.
    slopes: &'a mut [T],
    /// The same of the gates, if there are any.
    gate_slopes: &'a mut [T],
    gradients: UnitGradients<'a, T>,
}

impl<T: Real> Units<'_, T> {
    /// The place of one of them in the samples.
    fn range(&self, unit: usize) -> Range<usize> {
        let start = |unit: usize| (self.starts[unit] - self.starts[0]) as usize;
        start(unit)..start(unit + 1)
    }

    /// All but the gradients of the encoder's weights.
    fn differentiate_decoder(
        mut self,
        operands: &UnitOperands<'_, T>,
        back: &impl Fn(usize, T, T, T) -> Passed<T>,
    ) {
        for unit in 0..self.starts.len() - 1 {
            self.differentiate_decoder_of(unit, operands, back);
        }
    }

    fn differentiate_decoder_of(
        &mut self,
        unit: usize,
        operands: &UnitOperands<'_, T>,
        back: &impl Fn(usize, T, T, T) -> Passed<T>,
    ) {
        let (j, range) = (self.first + unit, self.range(unit));
        let samples = &self.samples[range.clone()];
        let h = &self.activations[range.clone()];
        let slopes = &mut self.slopes[range.clone()];
        let gate_slopes = self.gate_slopes.get_mut(range).unwrap_or_default();
        let rows = operands.x.nrows();
        let column = unit * rows..(unit + 1) * rows;
        let of_unit = j * rows..(j + 1) * rows;
        let d = &operands.d[of_unit];
        let e = operands.e_of(j);
        let of_sample = |slot: usize| samples[slot] as usize * rows;
        let e = |slot: usize| &e[of_sample(slot)..][..rows];
        let of_gate = |slot: usize| &operands.of_gates[of_sample(slot)..][..rows];

        T::dots(slopes, e, d);
        if !gate_slopes.is_empty() {
            T::dots(gate_slopes, of_gate, d);
        }
        let per_unit = operands.per_unit.get(j).copied().unwrap_or_else(T::zero);
        let (mut bias, mut thresholds) = (T::zero(), [T::zero(); 2]);
        for (slot, ((&i, &h), slope)) in samples.iter().zip(h).zip(&mut *slopes).enumerate() {
            let mut otherwise = per_unit;
            if let Some(&p) = operands.per_activation.get(i as usize * operands.units + j) {
                otherwise += p;
            }
            if let Some(&of_gate) = gate_slopes.get(slot) {
                otherwise += of_gate;
            }
            let passed = back(j, h, *slope, otherwise);
            *slope = passed.delta;
            bias += passed.bias;
            thresholds[0] += passed.thresholds[0];
            thresholds[1] += passed.thresholds[1];
        }
        self.gradients.bias[unit] = bias;
        for (gradients, sum) in self.gradients.thresholds.iter_mut().zip(thresholds) {
            if let Some(gradient) = gradients.get_mut(unit) {
                *gradient = sum;
            }
        }

        let decoder = match &mut self.gradients.decoder {
            Some(decoder) => decoder,
            None => &mut self.gradients.encoder,
        };
        let gradient = &mut decoder[column];
        T::combine(gradient, Write::Over, h.len(), |slot| (e(slot), h[slot]));
    }

    fn differentiate_encoder(self, operands: &UnitOperands<'_, T>) {
        let write = match self.gradients.decoder {
            Some(_) => Write::Over,
            None => Write::Add,
        };
        let rows = operands.x.nrows();
        for unit in 0..self.starts.len() - 1 {
            let range = self.range(unit);
            let (samples, slopes) = (&self.samples[range.clone()], &self.slopes[range]);
            let x = |slot: usize| operands.x.column(samples[slot] as usize).data.into_slice();
            let gradient = &mut self.gradients.encoder[unit * rows..(unit + 1) * rows];
            T::combine(gradient, write, slopes.len(), |slot| {
                (x(slot), slopes[slot])
            });
        }
    }
}

impl<T: Real> Divide for Units<'_, T> {
    /// Where half of the work lies on each side: that of a unit is its samples, and to write its
    /// gradients.
    fn halves(self) -> Result<(Self, Self), Self> {
        const TO_WRITE: usize = 2;
        let count = self.starts.len() - 1;
        let work = |unit: usize| self.range(unit).start + TO_WRITE * unit;
        let all = self.samples.len() + TO_WRITE * count;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if 2 * work(middle) < all {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let half = low;
        if half == 0 || half == count {
            return Err(self);
        }
        let rows = self.gradients.encoder.len() / count;
        let at = self.range(half).start;
        let samples = self.samples.split_at(at);
        let activations = self.activations.split_at(at);
        let slopes = self.slopes.split_at_mut(at);
        let of_gates = at.min(self.gate_slopes.len());
        let gate_slopes = self.gate_slopes.split_at_mut(of_gates);
        let (first, second) = self.gradients.split_at(half, rows);
        Ok((
            Self {
                first: self.first,
                starts: &self.starts[..=half],
                samples: samples.0,
                activations: activations.0,
                slopes: slopes.0,
                gate_slopes: gate_slopes.0,
                gradients: first,
            },
            Self {
                first: self.first + half,
                starts: &self.starts[half..],
                samples: samples.1,
                activations: activations.1,
                slopes: slopes.1,
                gate_slopes: gate_slopes.1,
                gradients: second,
            },
        ))
    }
}

impl<T> UnitGradients<'_, T> {
    fn reborrow(&mut self) -> UnitGradients<'_, T> {
        UnitGradients {
            encoder: self.encoder,
            decoder: self.decoder.as_deref_mut(),
            bias: self.bias,
            thresholds: self.thresholds.each_mut().map(|of_unit| &mut **of_unit),
        }
    }

    /// Those of the first so many units, of `rows` weights each, and those of the others.
    fn split_at(self, units: usize, rows: usize) -> (Self, Self) {
        let encoder = self.encoder.split_at_mut(units * rows);
        let decoder = self.decoder.map(|d| d.split_at_mut(units * rows));
        let decoder = decoder.map_or((None, None), |(first, second)| (Some(first), Some(second)));
        let bias = self.bias.split_at_mut(units);
        let [first, second] = self
            .thresholds
            .map(|of_unit| of_unit.split_at_mut(units.min(of_unit.len())));
        let part = |encoder, decoder, bias, thresholds| Self {
            encoder,
            decoder,
            bias,
            thresholds,
        };
        (
            part(encoder.0, decoder.0, bias.0, [first.0, second.0]),
            part(encoder.1, decoder.1, bias.1, [first.1, second.1]),
        )
    }
}
