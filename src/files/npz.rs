//! NumPy's `npz` format: a ZIP archive of `npy` arrays.
//!
//! Supports the part of ZIP that NumPy writes: stored or deflated members, 64-bit sizes, and the
//! directory at the end of the archive.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::CrcWriter;

use super::npy;
use super::safetensors::{MOST_HEADER, Part, write_parts};
use super::tensors::{Place, Tensors};
use super::{io_error, malformed, pickle, unsupported};
use crate::data::dtype::MOST_INFLATION;
use crate::{Error, Real};

/// Reads the directory of an `npz` archive and the header of each array. Other members are only listed,
/// as in NumPy.
pub(super) fn archive<R: Read + Seek>(
    path: &Path,
    mut source: R,
    length: u64,
) -> Result<Tensors<R>, Error> {
    let (arrays, others) = members(path, &mut source, length)?;
    if arrays.is_empty() {
        let reason = match &*others {
            [] => "the archive is empty: it has no arrays".to_owned(),
            _ if others.iter().any(|name| name.ends_with(".pkl")) => {
                return Err(pickle(path));
            }
            [first, ..] => format!("the archive has no arrays (*.npy), but {first}"),
        };
        return Err(malformed(path, reason));
    }
    let mut places: Vec<_> = arrays
        .iter()
        .map(|member| (member.place.offset, member.place.length))
        .collect();
    places.sort_unstable();
    if places
        .windows(2)
        .any(|pair| pair[0].0 + pair[0].1 > pair[1].0)
    {
        return Err(malformed(path, "members of the archive overlap"));
    }
    let mut entries = BTreeMap::new();
    for member in arrays {
        let name = member.name.strip_suffix(ARRAY).unwrap_or(&member.name);
        let entry = npy::entry(path, name, &mut source, member.place, member.inflated)?;
        if entries.insert(name.to_owned(), entry).is_some() {
            return Err(malformed(path, format!("there are two arrays {name}")));
        }
    }
    Ok(Tensors {
        path: path.to_owned(),
        source,
        entries,
        metadata: BTreeMap::new(),
        others,
    })
}

/// The suffix of the names of arrays.
const ARRAY: &str = ".npy";

/// Whether a member with this name is an array, and not a resource fork of macOS.
fn is_array(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.ends_with(ARRAY) && !file.starts_with("._") && !name.starts_with("__MACOSX/")
}

/// A member of an archive.
struct Member {
    name: String,
    place: Place,
    inflated: u64,
}

/// Reads little-endian numbers from a slice. Returns `None` beyond its end.
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

/// Returns the members listed in the directory of the archive.
fn members<R: Read + Seek>(
    path: &Path,
    source: &mut R,
    length: u64,
) -> Result<(Vec<Member>, Vec<String>), Error> {
    let cut_off = || malformed(path, "the archive has no directory: is it cut off?");
    let mut read = |offset: u64, count: u64| -> Result<Vec<u8>, Error> {
        if count > MOST_HEADER || offset.checked_add(count).is_none_or(|end| end > length) {
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
    let (mut arrays, mut others) = (Vec::new(), Vec::new());
    let mut rest = directory.as_slice();
    for _ in 0..count {
        let (listed, next) = listed(rest).ok_or_else(cut_off)?;
        rest = next;
        if !is_array(&listed.name) {
            others.push(listed.name);
            continue;
        }
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
        if deflated && listed.inflated.div_ceil(MOST_INFLATION) > listed.length {
            let reason = format!(
                "{name} would inflate to {} bytes, more than {MOST_INFLATION} times its size, which is the limit \
                 of deflate",
                listed.inflated
            );
            return Err(malformed(path, reason));
        }
        arrays.push(Member {
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
    Ok((arrays, others))
}

/// An entry of the directory.
struct Listed {
    name: String,
    flags: u16,
    method: u16,
    checksum: u32,
    length: u64,
    inflated: u64,
    header: u64,
}

/// Splits the first entry off a directory.
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
    // The 64-bit sizes follow each other in this order.
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

/// Returns the extra field with the 64-bit sizes, if present.
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

/// Returns the `npy` header of a part.
fn array_header<T: Real>(part: &Part<'_, T>) -> Vec<u8> {
    let mut shape = String::new();
    for size in &part.shape {
        shape.push_str(&format!("{size}, "));
    }
    npy::header_of::<T>(&shape)
}

/// Returns the size in bytes of the archive of [`write`].
pub(super) fn size<T: Real>(parts: &[Part<'_, T>]) -> u64 {
    let members = parts.iter().map(|part| {
        let name = part.name.len() + ".npy".len();
        30 + 46 + 2 * name + array_header(part).len() + size_of_val(&*part.values)
    });
    (22 + members.sum::<usize>()) as u64
}

/// Writes an archive of these arrays, without compression, with 32-bit sizes.
pub(super) fn write<T: Real>(out: &mut impl Write, parts: &[Part<'_, T>]) -> io::Result<()> {
    /// 1 January 1980, midnight.
    const TIME: [u8; 4] = [0, 0, 33, 0];
    let mut directory = Vec::new();
    let mut offset = 0_u32;
    for part in parts {
        let name = format!("{}.npy", part.name);
        let header = array_header(part);
        let length = narrow(header.len() + size_of_val(&*part.values))?;
        // The checksum precedes the numbers, so they are encoded twice.
        let mut checked = CrcWriter::new(io::sink());
        checked.write_all(&header)?;
        write_parts(&mut checked, std::slice::from_ref(part))?;

        // From the required version to the lengths of the name and of the extra field.
        let mut common = vec![20, 0, 0, 0, 0, 0];
        common.extend(TIME);
        common.extend(checked.crc().sum().to_le_bytes());
        common.extend(length.to_le_bytes());
        common.extend(length.to_le_bytes());
        common.extend(narrow(name.len())?.to_le_bytes());

        out.write_all(b"PK\x03\x04")?;
        out.write_all(&common)?;
        out.write_all(name.as_bytes())?;
        out.write_all(&header)?;
        write_parts(out, std::slice::from_ref(part))?;

        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]); // no comment, first disk, no attributes
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        offset += narrow(30 + name.len())? + length;
    }
    out.write_all(&directory)?;
    let count = narrow(parts.len())?.to_le_bytes();
    out.write_all(b"PK\x05\x06\x00\x00\x00\x00")?;
    out.write_all(&[count[0], count[1], count[0], count[1]])?;
    out.write_all(&narrow(directory.len())?.to_le_bytes())?;
    out.write_all(&offset.to_le_bytes())?;
    out.write_all(&[0, 0])
}

fn narrow(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
