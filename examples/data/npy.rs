//! NumPy's `.npy` files of numbers: little-endian, row by row (C order), versions 1 to 3.
//!
//! A row of the array is a sample, so the numbers of a samples × features array, read as they come,
//! are a features × samples matrix by column.

#![allow(dead_code, reason = "every example uses a part of its own")]

use std::error::Error;
use std::path::Path;

use sparse_autoencoder::nalgebra::DMatrix;

/// An array with its shape, as `f32` whatever the type in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Array {
    pub(crate) fn read(path: impl AsRef<Path>) -> Result<Self, Box<dyn Error>> {
        let path = path.as_ref();
        let read = || Self::parse(&std::fs::read(path)?);
        read().map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// The contents of a file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Box<dyn Error>> {
        let (header, data) = split_header(bytes).ok_or("not an .npy file, or cut short")?;
        let header = std::str::from_utf8(header)?;
        if field(header, "fortran_order")?.starts_with("True") {
            return Err("the array is in Fortran order; save numpy.ascontiguousarray of it".into());
        }
        let shape = field(header, "shape")?
            .strip_prefix('(')
            .and_then(|shape| shape.split_once(')'))
            .ok_or("no shape in the header")?
            .0
            .split(',')
            .map(str::trim)
            .filter(|size| !size.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<usize>, _>>()?;
        let kind = field(header, "descr")?
            .trim_start_matches('\'')
            .split('\'')
            .next()
            .unwrap_or_default();
        let values = numbers(kind, data)?;
        let expected = shape.iter().try_fold(1, |n: usize, &s| n.checked_mul(s));
        if expected != Some(values.len()) {
            return Err(format!("{} numbers for the shape {shape:?}", values.len()).into());
        }
        Ok(Self { shape, values })
    }

    /// The samples × features array as features × samples; more than two axes are unrolled into
    /// features.
    pub(crate) fn into_samples(self) -> DMatrix<f32> {
        let samples = self.shape.first().copied().unwrap_or(1);
        let features = self.values.len().checked_div(samples).unwrap_or(0);
        DMatrix::from_vec(features, samples, self.values)
    }

    /// Whether each number is other than 0.
    pub(crate) fn into_flags(self) -> Vec<bool> {
        self.values.into_iter().map(|value| value != 0.0).collect()
    }
}

/// The text of the header, and what comes after it.
fn split_header(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (version, rest) = bytes.strip_prefix(b"\x93NUMPY")?.split_first_chunk::<2>()?;
    let (len, rest) = if version[0] == 1 {
        let (len, rest) = rest.split_first_chunk()?;
        (usize::from(u16::from_le_bytes(*len)), rest)
    } else {
        let (len, rest) = rest.split_first_chunk()?;
        (usize::try_from(u32::from_le_bytes(*len)).ok()?, rest)
    };
    rest.split_at_checked(len)
}

/// What follows `'name': ` in the header.
fn field<'a>(header: &'a str, name: &str) -> Result<&'a str, Box<dyn Error>> {
    let (_, value) = header
        .split_once(&format!("'{name}':"))
        .ok_or_else(|| format!("no {name} in the header"))?;
    Ok(value.trim_start())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // to f32 is the purpose
fn numbers(kind: &str, data: &[u8]) -> Result<Vec<f32>, Box<dyn Error>> {
    fn each<const N: usize>(
        data: &[u8],
        number: impl Fn([u8; N]) -> f32,
    ) -> Result<Vec<f32>, Box<dyn Error>> {
        let (numbers, rest) = data.as_chunks::<N>();
        if !rest.is_empty() {
            return Err("the file is cut short".into());
        }
        Ok(numbers.iter().map(|&bytes| number(bytes)).collect())
    }
    match kind {
        "<f4" => each(data, f32::from_le_bytes),
        "<f8" => each(data, |bytes| f64::from_le_bytes(bytes) as f32),
        "<f2" => each(data, |bytes| half(u16::from_le_bytes(bytes))),
        "<i8" => each(data, |bytes| i64::from_le_bytes(bytes) as f32),
        "<i4" => each(data, |bytes| i32::from_le_bytes(bytes) as f32),
        "|u1" | "|b1" => each(data, |[byte]| f32::from(byte)),
        "|i1" => each(data, |[byte]| f32::from(byte.cast_signed())),
        _ => Err(format!("numbers of type {kind:?} are not read").into()),
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f32 {
    let magnitude = f32::from(bits & 0x3ff);
    let value = match bits >> 10 & 0x1f {
        0 => magnitude * 2_f32.powi(-24),
        0x1f if magnitude > 0.0 => f32::NAN,
        0x1f => f32::INFINITY,
        exponent => (1024.0 + magnitude) * 2_f32.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 { -value } else { value }
}
