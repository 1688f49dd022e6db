//! NumPy's containers: `npy`, one array, and `npz`, a ZIP archive of such arrays.
//!
//! Of ZIP, what NumPy writes is read: stored or deflated members, with 64-bit sizes. The directory
//! at the end of the archive is what counts.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::element::Element;
use super::json::MOST_BYTES;
use super::tensors::{Entry, Place, Tensors, count};
use super::{io_error, malformed, pickle, unsupported};
use crate::Error;

/// Weights hardly compress. An archive that claims to inflate to more than this multiple of its
/// length is made to exhaust memory.
const MOST_INFLATION: u64 = 16;

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

/// Reads the directory of an `npz` archive, and the header of each of its arrays.
pub(super) fn archive<R: Read + Seek>(
    path: &Path,
    mut source: R,
    length: u64,
) -> Result<Tensors<R>, Error> {
    let members = members(path, &mut source, length)?;
    if members.iter().any(|member| member.name.ends_with(".pkl")) {
        return Err(pickle(path));
    }
    let mut places: Vec<_> = members
        .iter()
        .map(|member| (member.place.offset, member.place.length))
        .collect();
    places.sort_unstable();
    let inflated = members
        .iter()
        .try_fold(0_u64, |sum, member| sum.checked_add(member.inflated));
    if places
        .windows(2)
        .any(|pair| pair[0].0 + pair[0].1 > pair[1].0)
    {
        return Err(malformed(path, "members of the archive overlap"));
    }
    if inflated.is_none_or(|bytes| bytes > length.saturating_mul(MOST_INFLATION) + MOST_BYTES) {
        let reason =
            format!("the archive would inflate to more than {MOST_INFLATION} times its size");
        return Err(malformed(path, reason));
    }
    let mut entries = BTreeMap::new();
    for member in members {
        let name = member.name.strip_suffix(".npy").unwrap_or(&member.name);
        let entry = entry(path, name, &mut source, member.place, member.inflated)?;
        if entries.insert(name.to_owned(), entry).is_some() {
            return Err(malformed(path, format!("there are two arrays {name}")));
        }
    }
    Ok(Tensors {
        path: path.to_owned(),
        source,
        entries,
        metadata: BTreeMap::new(),
    })
}

/// One array, whose header is read from its `place`, and which has so many bytes with it.
fn entry<R: Read + Seek>(
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
        skip.checked_add(u64::try_from(bytes).ok()?)
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
fn header(reader: &mut impl Read) -> io::Result<(String, u64)> {
    let mut start = [0; 12];
    reader.read_exact(&mut start[..10])?;
    let (length, before) = match (&start[..6], start[6]) {
        (b"\x93NUMPY", 1) => (u32::from(u16::from_le_bytes([start[8], start[9]])), 10),
        (b"\x93NUMPY", 2 | 3) => {
            reader.read_exact(&mut start[10..])?;
            (
                u32::from_le_bytes([start[8], start[9], start[10], start[11]]),
                12,
            )
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    if length > 1 << 16 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = String::new();
    let read = reader.take(length.into()).read_to_string(&mut text)?;
    if read as u64 != u64::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((text, before + u64::from(length)))
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

/// A member of an archive.
struct Member {
    name: String,
    place: Place,
    inflated: u64,
}

/// Little-endian numbers at places of a slice; `None` beyond its end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn at<const N: usize>(&self, place: usize) -> Option<[u8; N]> {
        self.0.get(place..place.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, place: usize) -> Option<u16> {
        self.at(place).map(u16::from_le_bytes)
    }

    fn u32(&self, place: usize) -> Option<u32> {
        self.at(place).map(u32::from_le_bytes)
    }

    fn u64(&self, place: usize) -> Option<u64> {
        self.at(place).map(u64::from_le_bytes)
    }
}

/// The members that the directory of the archive lists.
fn members<R: Read + Seek>(path: &Path, source: &mut R, length: u64) -> Result<Vec<Member>, Error> {
    let cut_off = || malformed(path, "the archive has no directory: is it cut off?");
    let mut read = |offset: u64, count: u64| -> Result<Vec<u8>, Error> {
        if count > MOST_BYTES || offset.checked_add(count).is_none_or(|end| end > length) {
            return Err(cut_off());
        }
        let mut bytes = Vec::new();
        source
            .seek(SeekFrom::Start(offset))
            .and_then(|_| source.take(count).read_to_end(&mut bytes))
            .map_err(|error| io_error(path, &error))?;
        Ok(bytes)
    };
    // The end record has 22 bytes, and a comment of at most 65,535.
    let tail_length = length.min(22 + 65_535);
    let tail = read(length - tail_length, tail_length)?;
    let at = tail
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x05\x06")
        .ok_or_else(cut_off)?;
    let (count, bytes, offset) = {
        let end = Fields(&tail[at..]);
        let fields = || Some((end.u16(10)?, end.u32(12)?, end.u32(16)?));
        fields().ok_or_else(cut_off)?
    };
    let (count, bytes, offset) = if count == u16::MAX || bytes == u32::MAX || offset == u32::MAX {
        let locator = at
            .checked_sub(20)
            .map(|at| Fields(&tail[at..]))
            .filter(|locator| locator.at(0) == Some(*b"PK\x06\x07"));
        let record = locator
            .and_then(|locator| locator.u64(8))
            .ok_or_else(cut_off)?;
        let record = read(record, 56)?;
        let record = Fields(&record);
        let fields = || Some((record.u64(32)?, record.u64(40)?, record.u64(48)?));
        fields().ok_or_else(cut_off)?
    } else {
        (count.into(), bytes.into(), offset.into())
    };
    let directory = read(offset, bytes)?;
    let mut members = Vec::new();
    let mut rest = directory.as_slice();
    for _ in 0..count {
        let (listed, next) = listed(rest).ok_or_else(cut_off)?;
        rest = next;
        let Listed {
            name,
            flags,
            method,
            ..
        } = &listed;
        if flags & 1 != 0 || !matches!(method, 0 | 8) {
            let reason = format!("{name} is encrypted, or compressed by other means than deflate");
            return Err(unsupported(path, reason));
        }
        let local = read(listed.header, 30)?;
        let local = Fields(&local);
        let lengths = (local.at(0) == Some(*b"PK\x03\x04"))
            .then(|| Some((local.u16(26)?, local.u16(28)?)))
            .flatten();
        let (name_length, extra_length) = lengths.ok_or_else(cut_off)?;
        let offset = listed.header + 30 + u64::from(name_length) + u64::from(extra_length);
        let deflated = listed.method == 8;
        let ends_in_file = offset
            .checked_add(listed.length)
            .is_some_and(|end| end <= length);
        if !ends_in_file || (!deflated && listed.length != listed.inflated) {
            return Err(malformed(path, format!("{name} is not all in the archive")));
        }
        members.push(Member {
            place: Place {
                offset,
                length: listed.length,
                deflated,
                skip: 0,
                checksum: Some(listed.checksum),
            },
            name: listed.name,
            inflated: listed.inflated,
        });
    }
    Ok(members)
}

/// A member as the directory has it.
struct Listed {
    name: String,
    flags: u16,
    method: u16,
    checksum: u32,
    length: u64,
    inflated: u64,
    header: u64,
}

/// The first member of a directory, and what follows it.
fn listed(directory: &[u8]) -> Option<(Listed, &[u8])> {
    let fields = Fields(directory);
    if fields.at(0) != Some(*b"PK\x01\x02") {
        return None;
    }
    let name_end = 46 + usize::from(fields.u16(28)?);
    let extra_end = name_end + usize::from(fields.u16(30)?);
    let end = extra_end + usize::from(fields.u16(32)?);
    let name = String::from_utf8_lossy(directory.get(46..name_end)?).into_owned();
    let mut wide = wide_sizes(directory.get(name_end..extra_end)?);
    let mut size = |place: usize| match fields.u32(place)? {
        u32::MAX => {
            let (first, rest) = wide.split_first_chunk()?;
            wide = rest;
            Some(u64::from_le_bytes(*first))
        }
        narrow => Some(narrow.into()),
    };
    // In this order they follow each other where they are wide.
    let (inflated, length, header) = (size(24)?, size(20)?, size(42)?);
    let listed = Listed {
        name,
        flags: fields.u16(8)?,
        method: fields.u16(10)?,
        checksum: fields.u32(16)?,
        length,
        inflated,
        header,
    };
    Some((listed, directory.get(end..)?))
}

/// The extra field with the 64-bit sizes, if there is one.
fn wide_sizes(mut extra: &[u8]) -> &[u8] {
    while let (Some(id), Some(length)) = (Fields(extra).u16(0), Fields(extra).u16(2)) {
        let Some(field) = extra.get(4..4 + usize::from(length)) else {
            break;
        };
        if id == 1 {
            return field;
        }
        extra = &extra[4 + field.len()..];
    }
    &[]
}
