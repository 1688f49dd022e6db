//! The numbers of a file: how wide they are, and how they become scalars.

use std::fmt;

use crate::Real;

/// The type of the numbers of a tensor, little-endian in every file that is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    BF16,
    F32,
    F64,
    I32,
    I64,
}

impl Element {
    /// The element that holds a scalar exactly.
    pub(super) fn of<T: Real>() -> Self {
        if size_of::<T>() == size_of::<f32>() {
            Self::F32
        } else {
            Self::F64
        }
    }

    /// The name in a safetensors header.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::I32 => "I32",
            Self::I64 => "I64",
        }
    }

    /// The element of this name in a safetensors header.
    pub(super) fn named(name: &str) -> Option<Self> {
        [
            Self::F16,
            Self::BF16,
            Self::F32,
            Self::F64,
            Self::I32,
            Self::I64,
        ]
        .into_iter()
        .find(|element| element.name() == name)
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// The number in `bytes`, which are as many as one number has. An `i64` beyond 2⁵³ is rounded.
    pub(super) fn decode(self, bytes: &[u8]) -> f64 {
        let mut word = [0; 8];
        word[..self.size()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(word);
        #[allow(clippy::cast_possible_truncation)] // the upper bytes are zero
        let (half, single) = (bits as u16, bits as u32);
        match self {
            Self::F16 => half_to_f64(half),
            Self::BF16 => f64::from(f32::from_bits(u32::from(half) << 16)),
            Self::F32 => f64::from(f32::from_bits(single)),
            Self::F64 => f64::from_bits(bits),
            Self::I32 => f64::from(single.cast_signed()),
            #[allow(clippy::cast_precision_loss)]
            Self::I64 => bits.cast_signed() as f64,
        }
    }

    /// Appends a scalar to `bytes`.
    pub(super) fn encode<T: Real>(value: T, bytes: &mut Vec<u8>) {
        let value = value.to_f64();
        match Self::of::<T>() {
            #[allow(clippy::cast_possible_truncation)] // it was an f32
            Self::F32 => bytes.extend_from_slice(&(value as f32).to_le_bytes()),
            _ => bytes.extend_from_slice(&value.to_le_bytes()),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

    #[test]
    fn every_element_is_read_as_it_was_written() {
        assert!((Element::BF16.decode(&0x3fc0_u16.to_le_bytes()) - 1.5).abs() < 1e-15);
        assert!((Element::I32.decode(&(-7_i32).to_le_bytes()) + 7.0).abs() < 1e-15);
        assert!((Element::I64.decode(&(-7_i64).to_le_bytes()) + 7.0).abs() < 1e-15);
        let mut bytes = Vec::new();
        Element::encode(0.1_f32, &mut bytes);
        Element::encode(0.1_f64, &mut bytes);
        assert_eq!(
            Element::F32.decode(&bytes[..4]).to_bits(),
            f64::from(0.1_f32).to_bits()
        );
        assert_eq!(
            Element::F64.decode(&bytes[4..]).to_bits(),
            0.1_f64.to_bits()
        );
    }
}
