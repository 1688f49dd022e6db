//! The gradients of the columns of two factors, `D H` and `Wᵀ X`, from the entries in which units are active.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::active::{ActiveUnits, ByUnit};
use crate::Real;
use crate::linalg::{Divide, Scratch, Write, divide, split_each};

/// The operands of [`ActiveUnits::backpropagate`].
pub(crate) struct UnitOperands<'a, T> {
    /// D, one column per unit.
    pub(crate) d: &'a [T],
    /// The length of the columns of D, E, and E′.
    pub(crate) rows: usize,
    /// Returns E as unit `j` sees it, one column per sample.
    pub(crate) e: &'a (dyn Fn(usize) -> &'a [T] + Sync),
    /// E′, one column per sample. Empty if unused.
    pub(crate) second: &'a [T],
    /// One entry per unit. Empty if unused.
    pub(crate) per_unit: &'a [T],
    /// Units × samples. Empty if unused.
    pub(crate) per_activation: &'a [T],
}

impl<T: Real> ActiveUnits<T> {
    /// Writes the gradient of D, unit by unit, and the sums that `rule` defines.
    ///
    /// Sums run over the samples `i` in which unit `j` is active. `p` omits empty addends:
    ///
    /// ```text
    /// g = dⱼ · eᵢ,     p = per_unitⱼ + per_activationⱼᵢ + dⱼ · e′ᵢ
    /// (δⱼᵢ, s) = rule(j, hⱼᵢ, g, p)
    /// ∂dⱼ = Σᵢ hⱼᵢ eᵢ,     sumsⱼ = Σᵢ s
    /// ```
    ///
    /// Keeps `δ` for [`input_gradient`](Self::input_gradient). The two passes are separate, so that only
    /// one of E and X has to stay in the caches at a time.
    pub(crate) fn backpropagate<const N: usize>(
        &mut self,
        operands: &UnitOperands<'_, T>,
        gradient: &mut [T],
        sums: [&mut [T]; N],
        rule: impl Fn(usize, T, T, T) -> (T, [T; N]) + Sync,
        scratch: &Scratch<T>,
    ) {
        let part = Units::of(
            self.by_unit(!operands.second.is_empty()),
            gradient,
            sums,
            operands.rows,
        );
        let depth = part.depth(scratch);
        divide(part, depth, &|part: Units<'_, T, N>| {
            part.backpropagate(operands, &rule);
        });
    }

    /// Computes `∂wⱼ = Σᵢ δⱼᵢ xᵢ` for every unit, and replaces or adds it as `write` says.
    pub(crate) fn input_gradient(
        &mut self,
        x: DMatrixView<'_, T>,
        gradient: &mut [T],
        write: Write,
        scratch: &Scratch<T>,
    ) {
        let part = Units::of(self.by_unit(false), gradient, [], x.nrows());
        let depth = part.depth(scratch);
        divide(part, depth, &|part: Units<'_, T, 0>| {
            part.multiply_inputs(x, write)
        });
    }
}

/// Consecutive units, from unit `first` on.
struct Units<'a, T, const N: usize> {
    first: usize,
    /// Where each unit starts in the samples, counted from the first unit; one more at the end.
    starts: &'a [usize],
    /// The samples in which each unit is active, and its activations in them.
    samples: &'a [u32],
    activations: &'a [T],
    /// `dⱼ · eᵢ`, which becomes δ.
    slopes: &'a mut [T],
    /// `dⱼ · e′ᵢ`; empty without E′.
    second_slopes: &'a mut [T],
    /// One column of `rows` entries per unit.
    gradient: &'a mut [T],
    rows: usize,
    sums: [&'a mut [T]; N],
}

impl<'a, T: Real, const N: usize> Units<'a, T, N> {
    fn of(
        active: ByUnit<'a, T>,
        gradient: &'a mut [T],
        sums: [&'a mut [T]; N],
        rows: usize,
    ) -> Self {
        Self {
            first: 0,
            starts: active.starts,
            samples: active.samples,
            activations: active.activations,
            slopes: active.slopes,
            second_slopes: active.second_slopes,
            gradient,
            rows,
            sums,
        }
    }

    fn depth(&self, scratch: &Scratch<T>) -> u32 {
        let work = (self.samples.len() * self.rows).max(self.gradient.len());
        scratch.threads.depth_for(work)
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns the place of a unit in the samples.
    fn range(&self, unit: usize) -> Range<usize> {
        let start = |unit: usize| self.starts[unit] - self.starts[0];
        start(unit)..start(unit + 1)
    }

    fn backpropagate(
        mut self,
        operands: &UnitOperands<'_, T>,
        rule: &impl Fn(usize, T, T, T) -> (T, [T; N]),
    ) {
        for unit in 0..self.count() {
            self.backpropagate_unit(unit, operands, rule);
        }
    }

    fn backpropagate_unit(
        &mut self,
        unit: usize,
        operands: &UnitOperands<'_, T>,
        rule: &impl Fn(usize, T, T, T) -> (T, [T; N]),
    ) {
        let (j, range, rows) = (self.first + unit, self.range(unit), self.rows);
        let samples = &self.samples[range.clone()];
        let h = &self.activations[range.clone()];
        let slopes = &mut self.slopes[range.clone()];
        let second_slopes = self.second_slopes.get_mut(range).unwrap_or_default();
        let d = &operands.d[j * rows..(j + 1) * rows];
        let e = (operands.e)(j);
        let of_sample = |slot: usize| samples[slot] as usize * rows;
        let second = |slot: usize| &operands.second[of_sample(slot)..][..rows];
        let e = |slot: usize| &e[of_sample(slot)..][..rows];

        T::dots(slopes, e, d);
        if !second_slopes.is_empty() {
            T::dots(second_slopes, second, d);
        }
        let units = operands.d.len() / rows;
        let per_unit = operands.per_unit.get(j).copied().unwrap_or_else(T::zero);
        let mut sums = [T::zero(); N];
        for (slot, ((&i, &h), slope)) in samples.iter().zip(h).zip(&mut *slopes).enumerate() {
            let mut p = per_unit;
            if let Some(&per_activation) = operands.per_activation.get(i as usize * units + j) {
                p += per_activation;
            }
            if let Some(&second) = second_slopes.get(slot) {
                p += second;
            }
            let (delta, terms) = rule(j, h, *slope, p);
            *slope = delta;
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += term;
            }
        }
        for (to, sum) in self.sums.iter_mut().zip(sums) {
            to[unit] = sum;
        }
        let gradient = &mut self.gradient[unit * rows..(unit + 1) * rows];
        T::weighted_sum(gradient, Write::Over, h.len(), |slot| (e(slot), h[slot]));
    }

    fn multiply_inputs(self, x: DMatrixView<'_, T>, write: Write) {
        for unit in 0..self.count() {
            let range = self.range(unit);
            let (samples, slopes) = (&self.samples[range.clone()], &self.slopes[range]);
            let x = |slot: usize| x.column(samples[slot] as usize).data.into_slice();
            let gradient = &mut self.gradient[unit * self.rows..(unit + 1) * self.rows];
            T::weighted_sum(gradient, write, slopes.len(), |slot| {
                (x(slot), slopes[slot])
            });
        }
    }
}

impl<T: Real, const N: usize> Divide for Units<'_, T, N> {
    /// Cuts where half of the work lies on each side. The work of a unit is proportional to the number of
    /// its samples, plus the cost of writing its gradient.
    fn halves(self) -> Result<(Self, Self), Self> {
        const TO_WRITE: usize = 2;
        let count = self.count();
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
        let (first, rows, at) = (self.first, self.rows, self.range(half).start);
        let second_at = at.min(self.second_slopes.len());
        let samples = self.samples.split_at(at);
        let activations = self.activations.split_at(at);
        let slopes = self.slopes.split_at_mut(at);
        let second_slopes = self.second_slopes.split_at_mut(second_at);
        let gradient = self.gradient.split_at_mut(half * rows);
        let sums = split_each(self.sums, half);
        let part =
            |first, starts, samples, activations, slopes, second_slopes, gradient, sums| Self {
                first,
                starts,
                samples,
                activations,
                slopes,
                second_slopes,
                gradient,
                rows,
                sums,
            };
        let starts = (&self.starts[..=half], &self.starts[half..]);
        Ok((
            part(
                first,
                starts.0,
                samples.0,
                activations.0,
                slopes.0,
                second_slopes.0,
                gradient.0,
                sums.0,
            ),
            part(
                first + half,
                starts.1,
                samples.1,
                activations.1,
                slopes.1,
                second_slopes.1,
                gradient.1,
                sums.1,
            ),
        ))
    }
}
