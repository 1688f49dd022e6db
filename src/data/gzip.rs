//! Files compressed by gzip, which are inflated into memory.

use std::path::Path;

use super::byte_source::ByteSource;
use super::file_kind::{FileKind, START};
use crate::error::{Error, io_error};

/// Returns the source, inflated into memory if it is compressed by gzip.
///
/// `header` is the maximum length of the header of the inflated file, and `claimed` returns the length and
/// the shape that the header claims. Inflates at most one byte more, so that memory is taken only for bytes
/// that are there.
#[cfg(feature = "files")]
pub(super) fn inflated(
    path: &Path,
    source: ByteSource,
    header: usize,
    claimed: impl Fn(&[u8]) -> Result<(Option<u64>, Vec<usize>), Error>,
) -> Result<ByteSource, Error> {
    use std::io::{self, Read};

    use super::dtype::MOST_INFLATION;
    use crate::error::malformed;

    if !is_compressed(path, &source)? {
        return Ok(source);
    }
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            malformed(path, format!("it cannot be inflated: {error}"))
        }
        io::ErrorKind::OutOfMemory => {
            let reason = "no memory for the inflated file: decompress it with `gunzip`";
            io_error(path, &io::Error::new(io::ErrorKind::OutOfMemory, reason))
        }
        _ => io_error(path, &error),
    };
    let mut decoder = flate2::read::MultiGzDecoder::new(source.reader().map_err(cannot)?);
    let mut bytes = Vec::new();
    let mut inflate = |bytes: &mut Vec<u8>, most| {
        let mut part = (&mut decoder).take(most);
        part.read_to_end(bytes).map_err(cannot)
    };
    inflate(&mut bytes, header as u64)?;
    let (claimed, shape) = claimed(&bytes)?;
    let most = source.length().saturating_mul(MOST_INFLATION);
    let Some(claimed) = claimed.filter(|&claimed| claimed <= most) else {
        let reason = format!(
            "the array claims the shape {shape:?}, and {} bytes inflate to at most {most}",
            source.length()
        );
        return Err(malformed(path, reason));
    };
    // One byte more, to reach the end and its checksum.
    inflate(&mut bytes, (claimed + 1).saturating_sub(header as u64))?;
    bytes.shrink_to_fit();
    Ok(ByteSource::Bytes(Box::new(bytes)))
}

/// Returns the source, or an error if it is compressed by gzip.
#[cfg(not(feature = "files"))]
pub(super) fn inflated(
    path: &Path,
    source: ByteSource,
    _: usize,
    _: impl Fn(&[u8]) -> Result<(Option<u64>, Vec<usize>), Error>,
) -> Result<ByteSource, Error> {
    if is_compressed(path, &source)? {
        let reason =
            "compressed by gzip: decompress it with `gunzip`, or enable the feature `files`";
        return Err(crate::error::unsupported(path, reason));
    }
    Ok(source)
}

fn is_compressed(path: &Path, source: &ByteSource) -> Result<bool, Error> {
    let start = source.start(START);
    let start = start.map_err(|error| io_error(path, &error))?;
    Ok(FileKind::of(&start) == FileKind::Gzip)
}
