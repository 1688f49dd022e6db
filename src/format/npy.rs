//! NumPy's `npy` as a member of an archive.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::io_error;
use super::tensors::{Entry, Place};
use crate::Error;
use crate::samples::npy::Header;

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
        Header::read(path, name, &mut DeflateDecoder::new(stored), bytes)
    } else {
        Header::read(path, name, &mut { stored }, bytes)
    }?;
    Ok(Entry {
        dtype: header.dtype,
        element: header.element,
        shape: header.shape,
        column_major: header.column_major,
        place: Place {
            skip: header.bytes,
            ..place
        },
    })
}
