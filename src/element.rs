//! The numbers of a file: how wide they are, how many, and how they become scalars.

use crate::Real;

/// The type of the numbers of an array, little-endian in every file that is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    U8,
    I8,
    F16,
    #[cfg(feature = "safetensors")]
    BF16,
    F32,
    F64,
    I32,
    I64,
}

impl Element {
    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::F16 => 2,
            #[cfg(feature = "safetensors")]
            Self::BF16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// The numbers in `bytes`, one for each of the values. An `i64` beyond 2⁵³ is rounded.
    pub(crate) fn decode<T: Real>(self, bytes: &[u8], values: &mut [T]) {
        match self {
            Self::U8 => convert(bytes, values, |[byte]| f64::from(byte)),
            Self::I8 => convert(bytes, values, |[byte]| f64::from(byte.cast_signed())),
            Self::F16 => convert(bytes, values, |b| half_to_f64(u16::from_le_bytes(b))),
            #[cfg(feature = "safetensors")]
            Self::BF16 => convert(bytes, values, |b| {
                f64::from(f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))
            }),
            Self::F32 => convert(bytes, values, |b| f64::from(f32::from_le_bytes(b))),
            Self::F64 => convert(bytes, values, f64::from_le_bytes),
            Self::I32 => convert(bytes, values, |b| f64::from(i32::from_le_bytes(b))),
            #[allow(clippy::cast_precision_loss)]
            Self::I64 => convert(bytes, values, |b| i64::from_le_bytes(b) as f64),
        }
    }
}

/// The number of entries of an array, `None` if nothing has so many.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    let count = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
    // A dimension of 0 would let the others claim anything.
    (shape.iter().all(|&d| d <= isize::MAX as usize / 8) && count <= isize::MAX as usize / 8)
        .then_some(count)
}

/// A loop for each width, which has nothing to choose inside.
fn convert<T: Real, const N: usize>(
    bytes: &[u8],
    values: &mut [T],
    number: impl Fn([u8; N]) -> f64,
) {
    for (value, &bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
        *value = T::of(number(bytes));
    }
}

/// IEEE 754 binary16: a sign, 5 bits of exponent with bias 15, 10 bits of fraction.
fn half_to_f64(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * f64::powi(2.0, -24),
        0x1f if fraction > 0.0 => f64::NAN,
        0x1f => f64::INFINITY,
        exponent => (1024.0 + fraction) * f64::powi(2.0, i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, half_to_f64};

    #[test]
    fn halves_are_those_of_ieee_754() {
        let known = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_477_539_063e-8), // 2⁻²⁴, the least
            (0x03ff, 6.097_555_160_522_461e-5), // the largest subnormal
            (0x0400, 6.103_515_625e-5),         // 2⁻¹⁴, the least normal
            (0x3555, 0.333_251_953_125),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ];
        for (bits, value) in known {
            assert_eq!(
                half_to_f64(bits).to_bits(),
                f64::to_bits(value),
                "{bits:#x}"
            );
        }
        assert!(half_to_f64(0x7e00).is_nan() && half_to_f64(0xfc01).is_nan());
        assert_eq!(half_to_f64(0x8000).to_bits(), (-0.0_f64).to_bits());
        // Positive halves are ordered as their bits are, with no gap between exponents.
        assert!((0..0x7c00_u16).all(|bits| half_to_f64(bits) < half_to_f64(bits + 1)));
    }

    fn decoded(element: Element, bytes: &[u8]) -> f64 {
        let mut value = [f64::NAN];
        element.decode(bytes, &mut value);
        value[0]
    }

    #[test]
    fn every_element_is_read() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} {b}");
        close(decoded(Element::F16, &0x3e00_u16.to_le_bytes()), 1.5);
        #[cfg(feature = "safetensors")]
        close(decoded(Element::BF16, &0x3fc0_u16.to_le_bytes()), 1.5);
        close(
            decoded(Element::F32, &0.1_f32.to_le_bytes()),
            f64::from(0.1_f32),
        );
        close(decoded(Element::F64, &0.1_f64.to_le_bytes()), 0.1);
        close(decoded(Element::U8, &[200]), 200.0);
        close(decoded(Element::I8, &[200]), -56.0);
        close(decoded(Element::I32, &(-7_i32).to_le_bytes()), -7.0);
        close(decoded(Element::I64, &(-7_i64).to_le_bytes()), -7.0);
    }
}
