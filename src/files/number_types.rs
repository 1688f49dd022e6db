//! The number types of safetensors, and their encoding.

use std::fmt;

use crate::Real;
use crate::data::dtype::Element;

/// All types of a safetensors header: name, bits per number, and the element if the type can be read.
const NAMES: [(&str, usize, Option<Element>); 22] = [
    ("BOOL", 8, Some(Element::Bool)),
    ("F4", 4, None),
    ("F6_E2M3", 6, None),
    ("F6_E3M2", 6, None),
    ("U8", 8, Some(Element::U8)),
    ("I8", 8, Some(Element::I8)),
    ("F8_E5M2", 8, None),
    ("F8_E4M3", 8, None),
    ("F8_E8M0", 8, None),
    ("F8_E4M3FNUZ", 8, None),
    ("F8_E5M2FNUZ", 8, None),
    ("I16", 16, Some(Element::I16)),
    ("U16", 16, Some(Element::U16)),
    ("F16", 16, Some(Element::F16)),
    ("BF16", 16, Some(Element::BF16)),
    ("I32", 32, Some(Element::I32)),
    ("U32", 32, Some(Element::U32)),
    ("F32", 32, Some(Element::F32)),
    ("C64", 64, None),
    ("F64", 64, Some(Element::F64)),
    ("I64", 64, Some(Element::I64)),
    ("U64", 64, Some(Element::U64)),
];

/// Returns the bits per number of a type of a safetensors header, and its element if it can be read.
pub(super) fn named(name: &str) -> Option<(usize, Option<Element>)> {
    let (_, bits, element) = NAMES.iter().find(|(known, ..)| *known == name)?;
    Some((*bits, *element))
}

impl Element {
    /// Returns the element that holds a scalar exactly.
    pub(super) fn of<T: Real>() -> Self {
        if size_of::<T>() == size_of::<f32>() {
            Self::F32
        } else {
            Self::F64
        }
    }

    /// Returns the name in a safetensors header.
    pub(super) fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, _, element)| *element == Some(self))
            .map_or("", |(name, ..)| name)
    }

    /// Returns `float`, or the element itself if it is an integer.
    pub(super) fn or_float(self, float: Self) -> Self {
        match self {
            Self::F16 | Self::BF16 | Self::F32 | Self::F64 => float,
            whole => whole,
        }
    }

    /// Appends a scalar to `bytes`, rounded to the nearest number, ties to even. Returns `false` if a finite one
    /// overflows this floating point type.
    #[allow(clippy::cast_possible_truncation)] // that is the purpose
    pub(super) fn encode<T: Real>(self, value: T, bytes: &mut Vec<u8>) -> bool {
        let value = value.to_f64();
        let was_finite = value.is_finite();
        match self {
            Self::F16 => {
                let rounded = rounded(value, 10, -14);
                bytes.extend_from_slice(&f64_to_half(rounded).to_le_bytes());
                rounded.abs() <= 65_504.0 || !was_finite
            }
            Self::BF16 => {
                let rounded = rounded(value, 7, -126) as f32; // exact, or infinite
                bytes.extend_from_slice(&rounded.to_bits().to_le_bytes()[2..]);
                rounded.is_finite() || !was_finite
            }
            Self::F32 => {
                bytes.extend_from_slice(&(value as f32).to_le_bytes());
                (value as f32).is_finite() || !was_finite
            }
            _ => {
                bytes.extend_from_slice(&value.to_le_bytes());
                true
            }
        }
    }
}

/// Returns the exponent of a number, at least `least`.
fn exponent(value: f64, least: i32) -> i32 {
    let biased = (value.to_bits() >> 52) as u16 & 0x7ff;
    (i32::from(biased) - 1023).max(least)
}

/// Rounds to the given number of fraction bits, and to fewer below the least exponent.
fn rounded(value: f64, fraction: i32, least: i32) -> f64 {
    let last = f64::powi(2.0, exponent(value, least) - fraction);
    (value / last).round_ties_even() * last
}

/// Returns the bits of a binary16 number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small whole numbers
fn f64_to_half(value: f64) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    if !value.is_finite() {
        return sign | if value.is_nan() { 0x7e00 } else { 0x7c00 };
    }
    let exponent = exponent(value, -14);
    // The leading 1 adds to the exponent. Subnormal numbers have none.
    let fraction = (value.abs() * f64::powi(2.0, 10 - exponent)) as u16;
    sign | (((exponent + 14) as u16) << 10).wrapping_add(fraction)
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, NAMES, named};

    #[test]
    fn an_element_has_the_width_of_its_name() {
        for (name, bits, element) in NAMES {
            assert_eq!(named(name), Some((bits, element)));
            if let Some(element) = element {
                assert_eq!((element.name(), 8 * element.size()), (name, bits));
            }
        }
    }

    #[test]
    fn a_scalar_is_written_as_it_is_read() {
        let mut bytes = Vec::new();
        assert!(Element::of::<f32>().encode(0.1_f32, &mut bytes));
        assert!(Element::of::<f64>().encode(0.1_f64, &mut bytes));
        assert_eq!(
            bytes,
            [&0.1_f32.to_le_bytes()[..], &0.1_f64.to_le_bytes()].concat()
        );
    }

    fn halved(element: Element, value: f64) -> Option<u16> {
        let mut bytes = Vec::new();
        let fits = element.encode(value, &mut bytes);
        fits.then(|| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    #[test]
    fn every_half_is_written_as_it_was_read_and_what_lies_between_is_rounded_to_even() {
        for (element, infinity) in [(Element::F16, 0x7c00_u16), (Element::BF16, 0x7f80)] {
            let read = |bits: u16| {
                let mut value = [0.0_f64];
                element.decode(&bits.to_le_bytes(), &mut value);
                value[0]
            };
            assert_eq!(halved(element, f64::INFINITY), Some(infinity));
            assert_eq!(halved(element, f64::NEG_INFINITY), Some(infinity | 0x8000));
            for bits in 0..infinity {
                let value = read(bits);
                assert_eq!(halved(element, value), Some(bits));
                assert_eq!(halved(element, -value), Some(bits | 0x8000));
                if bits + 1 == infinity {
                    continue;
                }
                let next = read(bits + 1);
                let middle = value + (next - value) / 2.0;
                assert_eq!(halved(element, middle), Some(bits + (bits & 1)), "{middle}");
                let below = value + (next - value) * 0.499;
                let above = value + (next - value) * 0.501;
                assert_eq!(halved(element, below), Some(bits));
                assert_eq!(halved(element, above), Some(bits + 1));
            }
            assert_eq!(halved(element, 3.5e38), None);
        }
        assert_eq!(halved(Element::F16, 65_519.0), Some(0x7bff));
        assert_eq!(halved(Element::F16, 65_520.0), None);
    }
}
