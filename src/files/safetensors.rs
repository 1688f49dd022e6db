//! Hugging Face's *safetensors* format: a length, a header in JSON, the numbers.
//!
//! ```text
//! u64 N, little-endian
//! N bytes of JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …,
//!                   "__metadata__": {"key": "text", …}}
//! the numbers, row after row, little-endian; offsets count from here
//! ```
//!
//! Every byte after the header belongs to exactly one tensor, as the format requires.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::json::short;
use super::tensors::{Entry, Place, Rows, Tensors, gather, panel_rows, position_of_invalid};
use super::{io_error, malformed, number_types};
use crate::data::dtype::{Element, count};
use crate::{Error, Real};

/// The maximum length of a header, as in the crate `safetensors`.
pub(super) const MOST_HEADER: u64 = 100_000_000;

/// The maximum length of the description of a tensor.
const MOST_DESCRIPTION: usize = 1 << 14;

/// Reads the header.
pub(super) fn directory<R: Read + Seek>(
    path: &Path,
    mut source: R,
    file_length: u64,
) -> Result<Tensors<R>, Error> {
    let known = file_length.saturating_sub(8);
    if file_length < 8 {
        let reason = format!("the header must have 8 bytes at least, the file has {file_length}");
        return Err(malformed(path, reason));
    }
    let mut length = [0; 8];
    source
        .seek(SeekFrom::Start(0))
        .and_then(|_| source.read_exact(&mut length))
        .map_err(|error| io_error(path, &error))?;
    let header = u64::from_le_bytes(length);
    if header > known.min(MOST_HEADER) {
        let reason = format!(
            "the header must have at most {} bytes, claims {header}: it does not begin as a safetensors or npz \
             file does, or is cut off",
            known.min(MOST_HEADER)
        );
        return Err(malformed(path, reason));
    }
    let mut bytes = Vec::new();
    (&mut source)
        .take(header)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error(path, &error))?;
    let start = 8 + header;
    let mut metadata = BTreeMap::new();
    let mut entries = BTreeMap::new();
    let wrong = |reason: String| malformed(path, reason);
    // Parses tensor by tensor: the values of the whole header would take many times the room of the text.
    each_member(&bytes, |name, value| {
        if name == "__metadata__" {
            return match value {
                b"null" => Ok(()),
                [b'{', ..] => {
                    each_member(value, |key, value| match serde_json::from_slice(value) {
                        Ok(text) => {
                            metadata.insert(key, text);
                            Ok(())
                        }
                        Err(_) => Err(format!("the metadata {key} must be a string")),
                    })
                }
                _ => Err("the metadata must be an object".to_owned()),
            };
        }
        if value.len() > MOST_DESCRIPTION {
            return Err(format!(
                "tensor {name} has a description of {} bytes",
                value.len()
            ));
        }
        let field = serde_json::from_slice(value).map_err(|error| format!("no JSON: {error}"))?;
        let entry = entry(&field, start)
            .map_err(|reason| format!("tensor {name}: {reason}, got {}", short(&field)))?;
        match entries.insert(name, entry) {
            None => Ok(()),
            Some(_) => Err("two tensors have one name".to_owned()),
        }
    })
    .map_err(wrong)?;
    check_places(path, &entries, start, file_length)?;
    Ok(Tensors {
        path: path.to_owned(),
        source,
        entries,
        metadata,
        others: Vec::new(),
    })
}

/// Calls `each` with the key and the text of the value of each member of an object.
fn each_member(
    text: &[u8],
    mut each: impl FnMut(String, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let broken = |what: &str| format!("no JSON: {what}");
    let text = text.trim_ascii();
    let mut rest = text
        .strip_prefix(b"{")
        .ok_or_else(|| broken("the header is not an object"))?
        .trim_ascii_start();
    let mut is_first = true;
    loop {
        if is_first && rest == b"}" {
            return Ok(());
        }
        is_first = false;
        let (key, value) = split(rest, b':').ok_or_else(|| broken("a key is cut off"))?;
        let key = serde_json::from_slice(key).map_err(|error| format!("no JSON: {error}"))?;
        match split(value, b',') {
            Some((value, next)) => {
                each(key, value)?;
                rest = next;
            }
            None => {
                let value = value.strip_suffix(b"}");
                let value = value.ok_or_else(|| broken("it is cut off"))?;
                return each(key, value.trim_ascii());
            }
        }
    }
}

/// Splits at the first mark outside strings, lists, and objects.
fn split(text: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (place, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            _ if byte == mark && depth == 0 => {
                let (before, behind) = text.split_at(place);
                return Some((before.trim_ascii(), behind[1..].trim_ascii_start()));
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// Parses one tensor of the header. The numbers of the file begin at `start`.
fn entry(field: &Value, start: u64) -> Result<Entry, &'static str> {
    let dtype = field["dtype"].as_str().ok_or("dtype must be a string")?;
    let shape = field["shape"]
        .as_array()
        .and_then(|dimensions| dimensions.iter().map(dimension).collect::<Option<Vec<_>>>())
        .ok_or("shape must be a list of whole numbers")?;
    let numbers = count(&shape).ok_or("shape must be of so many entries as can be addressed")?;
    let offsets = field["data_offsets"].as_array().map(Vec::as_slice);
    let [begin, end] = offsets.unwrap_or_default() else {
        return Err("data_offsets must be two");
    };
    let (Some(begin), Some(end)) = (begin.as_u64(), end.as_u64()) else {
        return Err("data_offsets must be whole numbers");
    };
    let length = end
        .checked_sub(begin)
        .ok_or("data_offsets must not decrease")?;
    let known = number_types::named(dtype);
    if known.is_some_and(|(bits, _)| numbers as u128 * bits as u128 != 8 * u128::from(length)) {
        return Err("data_offsets must enclose as many numbers as the shape has");
    }
    Ok(Entry {
        dtype: dtype.to_owned(),
        element: known.and_then(|(_, element)| element),
        big_endian: false,
        shape,
        column_major: false,
        place: Place {
            offset: start
                .checked_add(begin)
                .ok_or("data_offsets must be in the file")?,
            length,
            ..Place::default()
        },
    })
}

fn dimension(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// Refuses gaps, overlaps, and numbers beyond the end of the file.
fn check_places(
    path: &Path,
    entries: &BTreeMap<String, Entry>,
    start: u64,
    end: u64,
) -> Result<(), Error> {
    let mut places: Vec<_> = entries
        .iter()
        .map(|(name, entry)| (entry.place.offset, entry.place.length, name))
        .collect();
    places.sort_unstable();
    let mut expected = start;
    for (offset, length, name) in places {
        if offset != expected || length > end - offset.min(end) {
            let reason = format!(
                "tensor {name} must begin at byte {expected} and end before {end}, claims \
                 {length} bytes from {offset}"
            );
            return Err(malformed(path, reason));
        }
        expected += length;
    }
    if expected != end {
        let reason = format!("the tensors must end with the file at {end}, end at {expected}");
        return Err(malformed(path, reason));
    }
    Ok(())
}

/// A tensor to write.
#[derive(Debug)]
pub(super) struct Part<'a, T: Clone> {
    pub(super) name: String,
    /// The shape in the file.
    pub(super) shape: Vec<usize>,
    pub(super) values: Cow<'a, [T]>,
    /// How the rows of the tensor lie in `values`.
    pub(super) rows: Rows,
}

impl<'a, T: Clone> Part<'a, T> {
    /// Creates a tensor whose entries have the same order in `values` and in the file.
    pub(super) fn new(name: &str, shape: &[usize], values: impl Into<Cow<'a, [T]>>) -> Self {
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: values.into(),
            rows: Rows::Contiguous,
        }
    }

    /// Creates a tensor whose entries are column-major in `values`.
    pub(super) fn transposed(name: &str, shape: &[usize], values: &'a [T]) -> Self {
        Self {
            rows: Rows::Strided,
            ..Self::new(name, shape, values)
        }
    }
}

/// Writes a file with these tensors in this order.
pub(super) fn write<T: Real>(
    out: &mut impl Write,
    metadata: &[(String, String)],
    parts: &[Part<'_, T>],
) -> io::Result<()> {
    let element = Element::of::<T>();
    let tensors = parts
        .iter()
        .map(|part| (&*part.name, element.name(), element.size(), &*part.shape));
    out.write_all(&header(metadata, tensors)?)?;
    write_parts(out, parts)
}

/// Refuses numbers that reading refuses, such as a bias that overflows in the layout of a file.
fn refuse_invalid<T: Real>(parts: &[Part<'_, T>]) -> io::Result<()> {
    for Part { name, values, .. } in parts {
        if let Some(place) = position_of_invalid(name, values) {
            let value = values[place];
            let message = format!("{name} must be finite, would have {value} at {place}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    Ok(())
}

/// Returns the length of the header, followed by the header. A tensor is a name, a type, the size of a
/// number, and a shape. Refuses a header that is too long.
pub(super) fn header<'a>(
    metadata: &[(String, String)],
    tensors: impl IntoIterator<Item = (&'a str, &'a str, usize, &'a [usize])>,
) -> io::Result<Vec<u8>> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        let texts: Map<String, Value> = metadata
            .iter()
            .map(|(key, text)| (key.clone(), json!(text)))
            .collect();
        header.insert("__metadata__".to_owned(), Value::Object(texts));
    }
    let mut begin = 0;
    for (name, dtype, size, shape) in tensors {
        let end = begin + shape.iter().product::<usize>() * size;
        let tensor = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.to_owned(), tensor);
        begin = end;
    }
    let header = Value::Object(header).to_string();
    let length = header.len().next_multiple_of(8);
    if length as u64 > MOST_HEADER {
        let message =
            format!("the header would have more than {MOST_HEADER} bytes, which no reader accepts");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(8 + length, b' ');
    Ok(bytes)
}

/// Writes the numbers of tensors, if reading accepts them.
pub(super) fn write_parts<T: Real>(out: &mut impl Write, parts: &[Part<'_, T>]) -> io::Result<()> {
    refuse_invalid(parts)?;
    let mut bytes = Vec::new();
    for part in parts {
        match (part.rows, part.shape.as_slice()) {
            (Rows::Strided, &[height, width]) => {
                let rows = panel_rows(height, width);
                let mut panel = vec![T::zero(); rows * width];
                for first in (0..height).step_by(rows) {
                    let panel = &mut panel[..rows.min(height - first) * width];
                    gather(&part.values, first, (height, width), panel);
                    write_numbers(out, panel, &mut bytes)?;
                }
            }
            _ => write_numbers(out, &part.values, &mut bytes)?,
        }
    }
    Ok(())
}

pub(super) fn write_numbers<T: Real>(
    out: &mut impl Write,
    values: &[T],
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    for values in values.chunks(1 << 13) {
        bytes.clear();
        for &value in values {
            Element::of::<T>().encode(value, bytes);
        }
        out.write_all(bytes)?;
    }
    Ok(())
}
