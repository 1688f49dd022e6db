//! NumPy's `npy`: a header in the syntax of Python, and the numbers of one array.
//!
//! ```text
//! \x93NUMPY, major and minor version, length of the header as u16 or, from version 2 on, u32
//! {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::element::Element;
use super::tensors::{Entry, Place, Tensors, count};
use super::{io_error, malformed};
use crate::{Error, Real};

/// The longest header that is read.
const MOST_HEADER: u32 = 1 << 16;

/// Reads an `npy` file: one array, named `array`.
pub(super) fn array<R: Read + Seek>(
    path: &Path,
    mut source: R,
    length: u64,
) -> Result<Tensors<R>, Error> {
    let place = Place {
        length,
        ..Place::default()
    };
    let entry = entry(path, "array", &mut source, place, length)?;
    Ok(Tensors {
        path: path.to_owned(),
        source,
        entries: BTreeMap::from([("array".to_owned(), entry)]),
        metadata: BTreeMap::new(),
    })
}

/// One array, whose header is read from its `place`, and which has so many bytes with it.
pub(super) fn entry<R: Read + Seek>(
    path: &Path,
    name: &str,
    source: &mut R,
    place: Place,
    bytes: u64,
) -> Result<Entry, Error> {
    source
        .seek(SeekFrom::Start(place.offset))
        .map_err(|error| io_error(path, &error))?;
    let stored = source.take(place.length);
    let header = if place.deflated {
        header(&mut DeflateDecoder::new(stored))
    } else {
        header(&mut { stored })
    };
    let (text, skip) = header.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            malformed(path, format!("the array {name} has no header: {error}"))
        }
        _ => io_error(path, &error),
    })?;
    let (dtype, column_major, shape) = parse(&text)
        .ok_or_else(|| malformed(path, format!("the header of the array {name} is {text:?}")))?;
    let element = match dtype.as_str() {
        "<f2" => Some(Element::F16),
        "<f4" => Some(Element::F32),
        "<f8" => Some(Element::F64),
        "<i4" => Some(Element::I32),
        "<i8" => Some(Element::I64),
        _ => None,
    };
    let claimed = count(&shape).and_then(|count| {
        let bytes = count.checked_mul(element.map_or(0, Element::size))?;
        u64::try_from(skip.checked_add(bytes)?).ok()
    });
    if element.is_some() && claimed != Some(bytes) {
        let reason = format!("the array {name} claims the shape {shape:?} in {bytes} bytes");
        return Err(malformed(path, reason));
    }
    Ok(Entry {
        dtype,
        element,
        shape,
        column_major,
        place: Place { skip, ..place },
    })
}

/// The text of an `npy` header, and the bytes up to its end.
fn header(reader: &mut impl Read) -> io::Result<(String, usize)> {
    let mut start = [0; 12];
    reader.read_exact(&mut start[..10])?;
    let (length, before) = match (&start[..6], start[6]) {
        (b"\x93NUMPY", 1) => (u32::from(u16::from_le_bytes([start[8], start[9]])), 10),
        (b"\x93NUMPY", 2 | 3) => {
            reader.read_exact(&mut start[10..])?;
            let length = [start[8], start[9], start[10], start[11]];
            (u32::from_le_bytes(length), 12)
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    if length > MOST_HEADER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = String::new();
    let read = reader.take(length.into()).read_to_string(&mut text)?;
    if usize::try_from(length) != Ok(read) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((text, before + read))
}

/// The header of an array of scalars, row after row, whose sizes in `shape` are followed by a comma each.
pub(super) fn header_of<T: Real>(shape: &str) -> Vec<u8> {
    let bytes = size_of::<T>();
    let shape = shape.trim_end();
    let text = format!("{{'descr': '<f{bytes}', 'fortran_order': False, 'shape': ({shape}), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // With the length of two bytes and a line break, as NumPy does: numbers begin at a multiple of 64.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    header.extend(&length.to_le_bytes()[..2]);
    header.extend(text.as_bytes());
    header.resize(10 + length - 1, b' ');
    header.push(b'\n');
    header
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`
fn parse(text: &str) -> Option<(String, bool, Vec<usize>)> {
    let field = |key: &str| Some(text.split_once(key)?.1.trim_start());
    let descr = field("'descr':")?;
    let dtype = match descr.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?.0,
        None => "a record",
    };
    let order = field("'fortran_order':")?;
    let column_major = match order {
        _ if order.starts_with("False") => false,
        _ if order.starts_with("True") => true,
        _ => return None,
    };
    let shape = field("'shape':")?.strip_prefix('(')?.split_once(')')?.0;
    let shape = shape
        .split(',')
        .map(str::trim)
        .filter(|dimension| !dimension.is_empty())
        .map(|dimension| dimension.parse().ok())
        .collect::<Option<_>>()?;
    Some((dtype.to_owned(), column_major, shape))
}
