//! The container *safetensors* of Hugging Face: a length, a header in JSON, the numbers.
//!
//! ```text
//! u64 N, little-endian
//! N bytes of JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …,
//!                   "__metadata__": {"key": "text", …}}
//! the numbers, row after row, little-endian; offsets count from here
//! ```
//!
//! As the format asks, every byte after the header belongs to exactly one tensor. The crate of the
//! same name wants the whole file in memory, or mapped, which needs `unsafe`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::json::{MOST_BYTES, Object, short};
use super::tensors::{Entry, Place, Rows, Tensors, gather, panel_rows};
use super::{io_error, malformed, pickle};
use crate::element::{Element, count};
use crate::{Error, Real};

/// Reads the header, after the `length` of it has been read.
pub(super) fn directory<R: Read + Seek>(
    path: &Path,
    mut source: R,
    file_length: u64,
    length: [u8; 8],
) -> Result<Tensors<R>, Error> {
    let header = u64::from_le_bytes(length);
    let known = file_length.saturating_sub(8);
    if file_length < 8 || header > known || header > MOST_BYTES {
        // A pickle begins with this opcode and its protocol, 2 to 5.
        if length[0] == 0x80 && (2..=5).contains(&length[1]) {
            return Err(pickle(path));
        }
        let reason = format!(
            "the header must have at most {} bytes, claims {header}",
            known.min(MOST_BYTES)
        );
        return Err(malformed(path, reason));
    }
    let mut bytes = Vec::new();
    (&mut source)
        .take(header)
        .read_to_end(&mut bytes)
        .map_err(|error| io_error(path, &error))?;
    let mut fields = Object::parse(path, &bytes)?.into_fields();
    let mut metadata = BTreeMap::new();
    match fields.remove("__metadata__") {
        None | Some(Value::Null) => {}
        Some(Value::Object(texts)) => {
            for (key, value) in texts {
                let Value::String(text) = value else {
                    return Err(malformed(
                        path,
                        format!("the metadata {key} must be a string"),
                    ));
                };
                metadata.insert(key, text);
            }
        }
        Some(_) => return Err(malformed(path, "the metadata must be an object")),
    }
    let start = 8 + header;
    let mut entries = BTreeMap::new();
    for (name, field) in fields {
        let entry = entry(&field, start).map_err(|reason| {
            malformed(
                path,
                format!("tensor {name}: {reason}, got {}", short(&field)),
            )
        })?;
        entries.insert(name, entry);
    }
    check_places(path, &entries, start, file_length)?;
    Ok(Tensors {
        path: path.to_owned(),
        source,
        entries,
        metadata,
    })
}

/// One tensor of the header, of which numbers begin at `start`; or what it must have.
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
    let element = Element::named(dtype);
    if element
        .is_some_and(|element| numbers.checked_mul(element.size()) != usize::try_from(length).ok())
    {
        return Err("data_offsets must enclose as many numbers as the shape has");
    }
    Ok(Entry {
        dtype: dtype.to_owned(),
        element,
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

/// A tensor to be written.
#[derive(Debug)]
pub(super) struct Part<'a, T: Clone> {
    pub(super) name: String,
    /// In the file.
    pub(super) shape: Vec<usize>,
    pub(super) values: Cow<'a, [T]>,
    /// How the rows of the tensor lie in `values`.
    pub(super) rows: Rows,
}

impl<'a, T: Clone> Part<'a, T> {
    /// A tensor whose entries lie in `values` as they shall lie in the file.
    pub(super) fn new(name: &str, shape: &[usize], values: impl Into<Cow<'a, [T]>>) -> Self {
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: values.into(),
            rows: Rows::Contiguous,
        }
    }

    /// A tensor whose *columns* lie in `values`, one after the other.
    pub(super) fn transposed(name: &str, shape: &[usize], values: &'a [T]) -> Self {
        Self {
            rows: Rows::Strided,
            ..Self::new(name, shape, values)
        }
    }
}

/// Writes a file of these tensors, in this order.
pub(super) fn write<T: Real>(
    out: &mut impl Write,
    metadata: &[(&str, String)],
    parts: &[Part<'_, T>],
) -> io::Result<()> {
    let element = Element::of::<T>();
    let tensors = parts
        .iter()
        .map(|part| (&*part.name, element.name(), element.size(), &*part.shape));
    out.write_all(&header(metadata, tensors))?;
    write_parts(out, parts)
}

/// The length of a header and the header, which are followed by these tensors: name, type and
/// size of a number, shape.
pub(super) fn header<'a>(
    metadata: &[(&str, String)],
    tensors: impl IntoIterator<Item = (&'a str, &'a str, usize, &'a [usize])>,
) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        let texts: Map<String, Value> = metadata
            .iter()
            .map(|(key, text)| ((*key).to_owned(), json!(text)))
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
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(8 + length, b' ');
    bytes
}

/// Writes the numbers of tensors.
pub(super) fn write_parts<T: Real>(out: &mut impl Write, parts: &[Part<'_, T>]) -> io::Result<()> {
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
