//! NumPy's `npy` format, as a member of an archive.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::io_error;
use super::tensors::{Entry, Place};
use crate::data::npy_file::Header;
use crate::{Error, Real};

/// Reads the header of an array at `place`, whose size in bytes includes the header.
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
    let what = format!("the array {name}");
    let header = if place.deflated {
        Header::read(path, &what, &mut DeflateDecoder::new(stored), bytes)
    } else {
        Header::read(path, &what, &mut { stored }, bytes)
    }?;
    Ok(Entry {
        dtype: header.dtype,
        element: header.element,
        big_endian: header.big_endian,
        shape: header.shape,
        column_major: header.column_major,
        place: Place {
            skip: header.bytes,
            ..place
        },
    })
}

/// Returns the header of a row-major array of scalars. A comma follows each size in `shape`.
pub(super) fn header_of<T: Real>(shape: &str) -> Vec<u8> {
    let bytes = size_of::<T>();
    let shape = shape.trim_end();
    let text = format!("{{'descr': '<f{bytes}', 'fortran_order': False, 'shape': ({shape}), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    // As in NumPy: a length of two bytes, a final line break, and numbers at a multiple of 64.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    header.extend(&length.to_le_bytes()[..2]);
    header.extend(text.as_bytes());
    header.resize(10 + length - 1, b' ');
    header.push(b'\n');
    header
}
