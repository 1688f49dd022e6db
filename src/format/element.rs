//! What the numbers of a safetensors file are called, and how they are written.

use std::fmt;

use crate::Real;
use crate::element::Element;

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
            Self::U8 => "U8",
            Self::I8 => "I8",
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
            Self::U8,
            Self::I8,
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

#[cfg(test)]
mod tests {
    use super::Element;

    #[test]
    fn a_scalar_is_written_as_it_is_read() {
        let mut bytes = Vec::new();
        Element::encode(0.1_f32, &mut bytes);
        Element::encode(0.1_f64, &mut bytes);
        assert_eq!(
            bytes,
            [&0.1_f32.to_le_bytes()[..], &0.1_f64.to_le_bytes()].concat()
        );
    }
}
