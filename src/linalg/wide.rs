//! Sums beyond the range of `f64`.

/// `significand · 2^exponent`: a sum of finite numbers or of their squares that neither overflows nor
/// underflows.
///
/// For terms of ordinary size, the exponent is 0 and the bits are those of plain `f64` arithmetic. Other
/// terms are scaled by a power of two, without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Wide {
    significand: f64,
    exponent: i32,
}

/// Magnitudes within 2^±300 are ordinary: 2⁴²³ of their squares can be added.
const ORDINARY: i32 = 300;

impl Wide {
    pub(crate) const ZERO: Self = Self {
        significand: 0.0,
        exponent: 0,
    };

    pub(crate) fn of(value: f64) -> Self {
        let exponent = scale_of(value.abs());
        Self {
            significand: shift(value, -exponent),
            exponent,
        }
    }

    /// Returns `value²`.
    pub(crate) fn square(value: f64) -> Self {
        let Self {
            significand,
            exponent,
        } = Self::of(value);
        Self {
            significand: significand * significand,
            exponent: 2 * exponent,
        }
    }

    /// Returns `Σ (a − b)²`. In plain `f64` it can overflow for finite `a` and `b`.
    pub(crate) fn squared_distance(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let exponent = scale_of(largest(pairs.clone().map(|(a, b)| a - b)));
        let difference = scaled_difference(exponent);
        let square = |(a, b): (f64, f64)| {
            let difference = difference(a, b);
            difference * difference
        };
        Self {
            significand: pairs.map(square).sum(),
            exponent: 2 * exponent,
        }
    }

    /// Includes `values` in the running `means` with weight `share`, and returns the growth of
    /// `Σ ‖x − mean‖²` (Welford 1962). The textbook `Σx² − m·mean²` loses all digits for data far from 0.
    pub(crate) fn welford(
        means: &mut [f64],
        values: impl Iterator<Item = f64> + Clone,
        share: f64,
    ) -> Self {
        let deviations = means.iter().zip(values.clone());
        let exponent = scale_of(largest(deviations.map(|(mean, x)| x - mean)));
        let (difference, [back, again]) = (scaled_difference(exponent), powers(exponent));
        let mut significand = 0.0;
        for (mean, x) in means.iter_mut().zip(values) {
            let before = difference(x, *mean);
            // The first value itself, also where its difference from 0 underflows.
            *mean = if share < 1.0 {
                *mean + share * before * back * again
            } else {
                x
            };
            significand += before * difference(x, *mean);
        }
        Self {
            significand,
            exponent: 2 * exponent,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        if self.exponent == other.exponent {
            self.significand += other.significand;
        } else if self.significand == 0.0 {
            *self = other;
        } else if other.significand != 0.0 {
            let exponent = self.exponent.max(other.exponent);
            self.significand = shift(self.significand, self.exponent - exponent)
                + shift(other.significand, other.exponent - exponent);
            self.exponent = exponent;
        }
    }

    /// Returns `self / count`, rounded once.
    pub(crate) fn over(self, count: f64) -> Self {
        Self {
            significand: self.significand / count,
            ..self
        }
    }

    /// Returns `self · other`, rounded once.
    pub(crate) fn times(self, other: Self) -> Self {
        let (a, b) = (self.normalized(), other.normalized());
        Self {
            significand: a.significand * b.significand,
            exponent: a.exponent + b.exponent,
        }
    }

    /// Returns `self / other`, rounded once.
    pub(crate) fn per(self, other: Self) -> Self {
        let (a, b) = (self.normalized(), other.normalized());
        Self {
            significand: a.significand / b.significand,
            exponent: a.exponent - b.exponent,
        }
    }

    pub(crate) fn sqrt(self) -> Self {
        let odd = self.exponent.rem_euclid(2);
        Self {
            significand: shift(self.significand, odd).sqrt(),
            exponent: (self.exponent - odd) / 2,
        }
    }

    pub(crate) fn log10(self) -> f64 {
        let Self {
            significand,
            exponent,
        } = self;
        significand.log10() + f64::from(exponent) * std::f64::consts::LOG10_2
    }

    pub(crate) fn is_positive(self) -> bool {
        self.significand > 0.0
    }

    /// Returns the nearest `f64`: infinity on overflow, 0 on underflow.
    pub(crate) fn to_f64(self) -> f64 {
        shift(self.significand, self.exponent)
    }

    /// Returns the same number with a significand in [1, 2), unless it is 0.
    fn normalized(self) -> Self {
        let by = exponent_of(self.significand.abs());
        Self {
            significand: shift(self.significand, -by),
            exponent: self.exponent + by,
        }
    }
}

/// Returns the exponent of a power of two. Numbers up to this magnitude, divided by it, can be squared and
/// added. It is 0 if they need no scaling.
pub(crate) fn scale_of(magnitude: f64) -> i32 {
    let exponent = exponent_of(magnitude);
    if exponent.abs() <= ORDINARY {
        0
    } else {
        exponent
    }
}

/// Returns the function `(a − b) / 2^exponent`. Large numbers are divided first, so that their difference is finite.
fn scaled_difference(exponent: i32) -> impl Fn(f64, f64) -> f64 {
    let [half, rest] = powers(-exponent);
    move |a, b| {
        if exponent > 0 {
            a * half * rest - b * half * rest
        } else {
            (a - b) * half * rest
        }
    }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).fold(0.0, f64::max)
}

/// Returns ⌊log₂ magnitude⌋; 0 for 0, and 1025 for infinity, above the difference of any two numbers.
fn exponent_of(magnitude: f64) -> i32 {
    const BIAS: i32 = 1023;
    #[allow(clippy::cast_possible_truncation)] // 12 bits
    let biased = |x: f64| (x.to_bits() >> 52) as i32 - BIAS;
    if magnitude == 0.0 {
        0
    } else if magnitude < f64::MIN_POSITIVE {
        biased(magnitude * 2_f64.powi(64)) - 64
    } else if magnitude.is_finite() {
        biased(magnitude)
    } else {
        1025
    }
}

/// Returns two powers of two whose product is 2^exponent, for exponents up to ±2044.
pub(crate) fn powers(exponent: i32) -> [f64; 2] {
    let half = exponent / 2;
    [half, exponent - half].map(|exponent| 2_f64.powi(exponent))
}

/// Returns `value · 2^exponent`.
pub(crate) fn shift(value: f64, exponent: i32) -> f64 {
    if exponent == 0 {
        return value;
    }
    let exponent = exponent.clamp(-4400, 4400); // takes every number to 0 or infinity
    let [first, second] = [exponent / 2, exponent - exponent / 2].map(powers);
    [first, second]
        .as_flattened()
        .iter()
        .fold(value, |value, power| value * power)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // powers of two are exact
mod tests {
    use super::*;

    #[test]
    fn a_scaled_sum_is_that_of_ordinary_numbers() {
        let values = [3.0, -1.25, 0.1, 7.5];
        let plain: f64 = values.iter().map(|v| v * v).sum();
        for exponent in [-1060, -900, -301, -300, 0, 300, 301, 900, 1020] {
            let scaled = values.map(|v| shift(v, exponent));
            let mut sum = Wide::default();
            scaled.iter().for_each(|&v| sum.add(Wide::square(v)));
            let together = Wide::squared_distance(scaled.iter().map(|&v| (v, 0.0)));
            let mut means = scaled;
            let grown = Wide::welford(&mut means, [0.0; 4].into_iter(), 1.0);
            assert_eq!(means, [0.0; 4]);
            for sum in [sum, together] {
                // Of 0.1 · 2⁻¹⁰⁶⁰ a few bits remain.
                let error = shift(sum.to_f64(), 0).is_nan();
                assert!(!error);
                let ratio = sum
                    .per(Wide {
                        significand: plain,
                        exponent: 2 * exponent,
                    })
                    .to_f64();
                assert!((ratio - 1.0).abs() < if exponent < -1000 { 1e-3 } else { 1e-15 });
                let root = sum.sqrt().per(Wide::of(shift(1.0, exponent))).to_f64();
                assert!((root - plain.sqrt()).abs() < if exponent < -1000 { 1e-2 } else { 1e-14 });
            }
            assert_eq!(grown.to_f64(), 0.0); // the last mean is the last value
        }
    }

    #[test]
    fn the_mean_of_one_sample_is_the_sample_whatever_the_range_of_its_entries() {
        let sample = [1e300, 1e-20, shift(1.0, -1070)];
        let mut means = [0.0; 3];
        Wide::welford(&mut means, sample.into_iter(), 1.0);
        assert_eq!(means, sample);
        let grown = Wide::welford(&mut means, sample.into_iter(), 0.5);
        assert_eq!(grown.to_f64(), 0.0);
    }

    #[test]
    fn the_smallest_differences_are_met_beside_equal_numbers() {
        let small = shift(1.0, -1030);
        let apart = Wide::squared_distance([(1.0, 1.0), (0.0, small)].into_iter());
        assert_eq!(apart.sqrt().to_f64(), small);
        let mut means = [1.0, 0.0];
        let grown = Wide::welford(&mut means, [1.0, small].into_iter(), 0.5);
        assert_eq!(means, [1.0, small / 2.0]);
        assert_eq!(grown.times(Wide::of(2.0)).sqrt().to_f64(), small);
    }

    #[test]
    fn the_ends_of_the_range_are_met_exactly() {
        for value in [f64::MAX, -f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.0] {
            assert_eq!(Wide::of(value).to_f64(), value);
            assert_eq!(Wide::square(value).sqrt().to_f64(), value.abs());
        }
        let apart = Wide::squared_distance([(f64::MAX, -f64::MAX)].into_iter());
        assert_eq!(apart.sqrt().over(2.0).to_f64(), f64::MAX);
        assert_eq!(apart.to_f64(), f64::INFINITY);
        let mut sum = Wide::of(f64::MAX);
        sum.add(Wide::of(5e-324));
        sum.add(Wide::of(f64::MAX));
        assert_eq!(sum.over(2.0).to_f64(), f64::MAX);
    }
}
