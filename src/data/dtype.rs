//! The numbers of a file: their types, their shape, and their conversion to scalars.

use std::io;
use std::path::Path;

use crate::error::{Error, malformed, unsupported};
use crate::{Real, linalg::reserve};

/// The type of the numbers of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// One byte: 0 is false, any other value true.
    Bool,
    U8,
    I8,
    U16,
    I16,
    F16,
    #[cfg(feature = "files")]
    BF16,
    U32,
    I32,
    F32,
    U64,
    I64,
    F64,
}

/// Returns the error for numbers of a type that is no [`Element`].
pub(crate) fn unsupported_type(path: &Path, what: &str, dtype: &str) -> Error {
    let reason = format!(
        "{what} has numbers of the type {dtype}, which is unsupported; supported are booleans, integers of 8, \
         16, 32, and 64 bits, and floating point numbers of 16 (also bf16), 32, and 64 bits"
    );
    unsupported(path, reason)
}

impl Element {
    /// Returns the number of bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            #[cfg(feature = "files")]
            Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether the number is a `T`.
    pub(crate) fn is<T: Real>(self) -> bool {
        match self {
            Self::F32 => is_narrow::<T>(),
            Self::F64 => !is_narrow::<T>(),
            _ => false,
        }
    }

    /// Decodes little-endian numbers from `bytes` to `values`, rounding each once to the nearest scalar.
    pub(crate) fn decode<T: Real>(self, bytes: &[u8], values: &mut [T]) {
        match self {
            Self::Bool => convert(bytes, values, |[byte]| f64::from(u8::from(byte != 0))),
            Self::U8 => convert(bytes, values, |[byte]| f64::from(byte)),
            Self::I8 => convert(bytes, values, |[byte]| f64::from(byte.cast_signed())),
            Self::U16 => convert(bytes, values, |b| f64::from(u16::from_le_bytes(b))),
            Self::I16 => convert(bytes, values, |b| f64::from(i16::from_le_bytes(b))),
            Self::F16 => convert(bytes, values, |b| half_to_f64(u16::from_le_bytes(b))),
            #[cfg(feature = "files")]
            Self::BF16 => convert(bytes, values, |b| {
                f64::from(f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))
            }),
            Self::U32 => convert(bytes, values, |b| f64::from(u32::from_le_bytes(b))),
            Self::I32 => convert(bytes, values, |b| f64::from(i32::from_le_bytes(b))),
            Self::F32 => convert(bytes, values, |b| f64::from(f32::from_le_bytes(b))),
            // Converting to f32 through f64 would round twice.
            Self::U64 if is_narrow::<T>() => {
                convert(bytes, values, |b| f64::from(u64::from_le_bytes(b) as f32));
            }
            Self::I64 if is_narrow::<T>() => {
                convert(bytes, values, |b| f64::from(i64::from_le_bytes(b) as f32));
            }
            Self::U64 => convert(bytes, values, |b| u64::from_le_bytes(b) as f64),
            Self::I64 => convert(bytes, values, |b| i64::from_le_bytes(b) as f64),
            Self::F64 => convert(bytes, values, f64::from_le_bytes),
        }
    }

    /// Reverses the bytes of each number, from big-endian to little-endian.
    pub(crate) fn swap(self, bytes: &mut [u8]) {
        bytes
            .chunks_exact_mut(self.size())
            .for_each(<[u8]>::reverse);
    }
}

fn is_narrow<T>() -> bool {
    size_of::<T>() == size_of::<f32>()
}

/// Returns the number of samples of an array and of entries per sample.
///
/// Every reader uses this rule: the first axis counts the samples, and the others are flattened.
pub(crate) fn samples(
    path: &Path,
    what: &str,
    shape: &[usize],
    column_major: bool,
) -> Result<(usize, usize), Error> {
    // An array without samples could claim entries of any size.
    let entries = shape.get(1..).and_then(count).unwrap_or(0);
    if entries == 0 {
        let reason = format!(
            "{what} has the shape {shape:?}: the first axis must count samples, which must have entries"
        );
        return Err(malformed(path, reason));
    }
    if column_major && shape.len() > 2 {
        let reason = format!(
            "{what} has more than two axes in Fortran's order, which is unsupported: save it with \
             numpy.ascontiguousarray"
        );
        return Err(unsupported(path, reason));
    }
    Ok((shape[0], entries))
}

/// Returns `vec![value; len]`, or an error of the kind `OutOfMemory`.
pub(crate) fn filled<V: Clone>(value: V, len: Option<usize>) -> io::Result<Vec<V>> {
    let filled = len.and_then(|len| reserve::try_filled(value, len));
    filled.ok_or_else(|| no_room(len, size_of::<V>()))
}

/// Returns the error for `len` numbers of `size` bytes that do not fit into memory.
pub(crate) fn no_room(len: Option<usize>, size: usize) -> io::Error {
    let bytes = len.and_then(|len| len.checked_mul(size));
    let bytes = bytes.map_or("more bytes than can be addressed".to_owned(), |n| {
        format!("{n} bytes")
    });
    let message = format!("no memory for {bytes}: read it in batches, or a part of it");
    io::Error::new(io::ErrorKind::OutOfMemory, message)
}

/// The largest compression ratio of deflate: a length of 258 bytes and its distance take at least 2 bits.
#[cfg(feature = "files")]
pub(crate) const MOST_INFLATION: u64 = 1032;

/// Returns the number of entries of an array, `None` if they could not be addressed.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    let count = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
    // Each dimension is checked, because a dimension of 0 hides the others.
    (shape.iter().all(|&d| d <= isize::MAX as usize / 8) && count <= isize::MAX as usize / 8)
        .then_some(count)
}

/// Converts numbers of `N` bytes each, in a loop without branches.
fn convert<T: Real, const N: usize>(
    bytes: &[u8],
    values: &mut [T],
    number: impl Fn([u8; N]) -> f64,
) {
    for (value, &bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
        *value = T::of(number(bytes));
    }
}

/// Converts an IEEE 754 binary16: a sign, 5 bits of exponent with bias 15, 10 bits of fraction.
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
            (0x0001, 5.960_464_477_539_063e-8), // 2⁻²⁴, the smallest
            (0x03ff, 6.097_555_160_522_461e-5), // the largest subnormal
            (0x0400, 6.103_515_625e-5),         // 2⁻¹⁴, the smallest normal
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
        // Positive halves have the order of their bits.
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
        #[cfg(feature = "files")]
        close(decoded(Element::BF16, &0x3fc0_u16.to_le_bytes()), 1.5);
        close(
            decoded(Element::F32, &0.1_f32.to_le_bytes()),
            f64::from(0.1_f32),
        );
        close(decoded(Element::F64, &0.1_f64.to_le_bytes()), 0.1);
        close(decoded(Element::Bool, &[0]), 0.0);
        close(decoded(Element::Bool, &[200]), 1.0); // as in NumPy
        close(decoded(Element::U16, &60_000_u16.to_le_bytes()), 60_000.0);
        close(decoded(Element::I16, &(-7_i16).to_le_bytes()), -7.0);
        close(
            decoded(Element::U32, &u32::MAX.to_le_bytes()),
            4_294_967_295.0,
        );
        close(
            decoded(Element::U64, &(1_u64 << 63).to_le_bytes()),
            9_223_372_036_854_775_808.0,
        );
        close(decoded(Element::U8, &[200]), 200.0);
        close(decoded(Element::I8, &[200]), -56.0);
        close(decoded(Element::I32, &(-7_i32).to_le_bytes()), -7.0);
        close(decoded(Element::I64, &(-7_i64).to_le_bytes()), -7.0);
    }

    #[test]
    fn whole_numbers_are_rounded_once() {
        // The values of NumPy's astype("float32"). Through 64 bits, the first would end in 0.
        let numbers = [
            (1_u64 << 63) + (1 << 39) + 1,
            (1 << 53) + 1,
            (1 << 40) + 16_777_217,
        ];
        let expected: [u32; 3] = [1_593_835_521, 1_509_949_440, 1_400_897_664];
        for (number, expected) in numbers.into_iter().zip(expected) {
            let mut value = [0.0_f32];
            Element::U64.decode(&number.to_le_bytes(), &mut value);
            assert_eq!(value[0].to_bits(), expected, "{number}");
        }
        let mut value = [0.0_f32];
        let number = -((1_i64 << 62) + (1 << 38) + 1);
        Element::I64.decode(&number.to_le_bytes(), &mut value);
        assert_eq!(value[0].to_bits(), (number as f32).to_bits());
        assert_ne!(value[0].to_bits(), (number as f64 as f32).to_bits());
    }

    #[test]
    fn the_bytes_of_a_number_are_turned_round() {
        let mut bytes = [1, 2, 3, 4];
        Element::U16.swap(&mut bytes);
        assert_eq!(bytes, [2, 1, 4, 3]);
        Element::F32.swap(&mut bytes);
        assert_eq!(bytes, [3, 4, 1, 2]);
        Element::Bool.swap(&mut bytes);
        assert_eq!(bytes, [3, 4, 1, 2]);
    }
}
