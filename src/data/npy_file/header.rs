//! The header of an `npy` array: a few bytes and a dictionary in Python syntax.

use std::io::{self, Read};
use std::path::Path;

use crate::data::dtype::{Element, count};
use crate::error::{Error, io_error, malformed, unsupported};

/// The first bytes of an array.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// The maximum length of the dictionary in bytes. NumPy reads 10,000 bytes.
pub(super) const MOST: u32 = 1 << 16;

/// The header of an array.
#[derive(Debug)]
pub(crate) struct Header {
    /// The name of the type in NumPy.
    pub(crate) dtype: String,
    /// The type, if it is supported.
    pub(crate) element: Option<Element>,
    /// Whether the first byte of a number is the most significant.
    pub(crate) big_endian: bool,
    pub(crate) shape: Vec<usize>,
    /// Whether the first index is the fastest, as in Fortran.
    pub(crate) column_major: bool,
    /// The length of the header.
    pub(crate) bytes: usize,
}

impl Header {
    /// Reads the header of an array, named `what`, that has `bytes` bytes including its header.
    pub(crate) fn read(
        path: &Path,
        what: &str,
        reader: &mut impl Read,
        bytes: u64,
    ) -> Result<Self, Error> {
        let header = Self::parse(path, what, reader)?;
        let claimed = header.claimed();
        if claimed.is_none() || (header.element.is_some() && claimed != Some(bytes)) {
            let shape = &header.shape;
            let reason = format!("{what} claims the shape {shape:?} in {bytes} bytes");
            return Err(malformed(path, reason));
        }
        Ok(header)
    }

    /// Reads the header of an array of any length.
    pub(super) fn parse(path: &Path, what: &str, reader: &mut impl Read) -> Result<Self, Error> {
        let (text, skip) = text(path, what, reader)?;
        let Some((descr, column_major, shape)) = parse(&text) else {
            let start: String = text.chars().take(200).collect();
            let reason = format!(
                "the header of {what} must have 'descr', 'fortran_order', and 'shape', is {start:?}"
            );
            return Err(malformed(path, reason));
        };
        let known = descr.and_then(element);
        Ok(Self {
            dtype: descr.unwrap_or("of a structure").to_owned(),
            element: known.map(|(element, _)| element),
            big_endian: known.is_some_and(|(_, big_endian)| big_endian),
            shape,
            column_major,
            bytes: skip,
        })
    }

    /// Returns the length of header and numbers: of the header alone, if the type is not supported. `None` if
    /// it could not be addressed.
    pub(super) fn claimed(&self) -> Option<u64> {
        let size = self.element.map_or(0, Element::size);
        let numbers = count(&self.shape)?.checked_mul(size)?;
        u64::try_from(self.bytes.checked_add(numbers)?).ok()
    }
}

/// Reads the dictionary and returns it with the number of bytes up to its end.
fn text(path: &Path, what: &str, reader: &mut impl Read) -> Result<(String, usize), Error> {
    let mut read = |bytes: &mut [u8]| {
        reader
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData => malformed(
                    path,
                    format!("{what} is cut off within its header: {error}"),
                ),
                _ => io_error(path, &error),
            })
    };
    let mut start = [0; 12];
    read(&mut start[..10])?;
    let (length, before) = match start[6] {
        _ if !start.starts_with(MAGIC) => {
            return Err(malformed(
                path,
                format!("{what} does not begin as an npy array does"),
            ));
        }
        1 => (u32::from(u16::from_le_bytes([start[8], start[9]])), 10),
        2 | 3 => {
            read(&mut start[10..])?;
            let length = [start[8], start[9], start[10], start[11]];
            (u32::from_le_bytes(length), 12)
        }
        version => {
            let reason =
                format!("{what} has the version {version} of npy; supported are versions 1 to 3");
            return Err(unsupported(path, reason));
        }
    };
    if length > MOST {
        let reason =
            format!("the header of {what} must have at most {MOST} bytes, claims {length}");
        return Err(malformed(path, reason));
    }
    let mut text = vec![0; length as usize];
    read(&mut text)?;
    Ok((
        String::from_utf8_lossy(&text).into_owned(),
        before + text.len(),
    ))
}

/// Returns the type, whether the order is Fortran's, and the shape of a dictionary such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
///
/// The type is `None` for structured arrays.
fn parse(text: &str) -> Option<(Option<&str>, bool, Vec<usize>)> {
    let mut rest = Literals(text);
    let (mut descr, mut order, mut shape) = (None, None, None);
    rest.eat('{')?;
    while rest.eat('}').is_none() {
        let key = rest.quoted()?;
        rest.eat(':')?;
        match key {
            "descr" => {
                descr = Some(
                    rest.quoted()
                        .map(Some)
                        .or_else(|| rest.skip().map(|()| None))?,
                )
            }
            "fortran_order" => order = Some(rest.flag()?),
            "shape" => shape = Some(rest.sizes()?),
            _ => return None,
        }
        if rest.eat(',').is_none() {
            rest.eat('}')?;
            break;
        }
    }
    Some((descr?, order?, shape?))
}

/// A parser of consecutive Python literals.
struct Literals<'a>(&'a str);

impl<'a> Literals<'a> {
    fn eat(&mut self, expected: char) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(expected)?;
        Some(())
    }

    /// Reads text in quotes of either kind.
    fn quoted(&mut self) -> Option<&'a str> {
        let quote = self.0.trim_start().chars().next();
        let quote = quote.filter(|quote| matches!(quote, '\'' | '"'))?;
        self.eat(quote)?;
        let (text, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        Some(text)
    }

    fn flag(&mut self) -> Option<bool> {
        let text = self.0.trim_start();
        for (name, value) in [("False", false), ("True", true)] {
            if let Some(rest) = text.strip_prefix(name) {
                self.0 = rest;
                return Some(value);
            }
        }
        None
    }

    /// Reads a tuple of integers, which Python 2 wrote with an `L`.
    fn sizes(&mut self) -> Option<Vec<usize>> {
        let mut sizes = Vec::new();
        self.eat('(')?;
        while self.eat(')').is_none() {
            let text = self.0.trim_start();
            let digits = text.find(|c: char| !c.is_ascii_digit())?;
            sizes.push(text[..digits].parse().ok()?);
            self.0 = text[digits..].strip_prefix('L').unwrap_or(&text[digits..]);
            if self.eat(',').is_none() {
                self.eat(')')?;
                break;
            }
        }
        Some(sizes)
    }

    /// Skips a list or a tuple.
    fn skip(&mut self) -> Option<()> {
        let (mut depth, mut quote) = (0_usize, None);
        for (place, c) in self.0.trim_start().char_indices() {
            match (quote, c) {
                (Some(open), _) if open == c => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '[' | '(') => depth += 1,
                (None, ']' | ')') => depth = depth.checked_sub(1)?,
                (None, _) => {}
            }
            if depth == 0 {
                let end = place + c.len_utf8();
                self.0 = &self.0.trim_start()[end..];
                return (end > 1).then_some(());
            }
        }
        None
    }
}

/// Returns the element of a NumPy type and whether it is big-endian: `<f4`, `>f4`, `f4`, `float32`, …
fn element(descr: &str) -> Option<(Element, bool)> {
    let name = descr.trim_start_matches(['<', '>', '=', '|']);
    let element = match name {
        "b1" | "bool" | "?" => Element::Bool,
        "u1" | "uint8" | "B" => Element::U8,
        "i1" | "int8" | "b" => Element::I8,
        "u2" | "uint16" | "H" => Element::U16,
        "i2" | "int16" | "h" => Element::I16,
        "f2" | "float16" | "e" => Element::F16,
        "u4" | "uint32" | "I" => Element::U32,
        "i4" | "int32" | "i" => Element::I32,
        "f4" | "float32" | "f" => Element::F32,
        "u8" | "uint64" | "Q" => Element::U64,
        "i8" | "int64" | "q" => Element::I64,
        "f8" | "float64" | "d" => Element::F64,
        _ => return None,
    };
    let big_endian = match &descr[..descr.len() - name.len()] {
        "<" => false,
        ">" => true,
        "" | "=" | "|" => cfg!(target_endian = "big"),
        _ => return None,
    };
    Some((element, big_endian))
}

#[cfg(test)]
mod tests {
    use super::{element, parse};
    use crate::data::dtype::Element;

    #[test]
    fn a_header_is_read_as_numpy_reads_it() {
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n",
            r#"{"descr": "<f4", "fortran_order": False, "shape": (3, 4)}"#,
            "{'shape':(3L,4L,),\n 'fortran_order':False,'descr':'<f4'}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': ( 3 , 4L ) , }",
        ] {
            assert_eq!(
                parse(text),
                Some((Some("<f4"), false, vec![3, 4])),
                "{text}"
            );
        }
        for (text, shape) in [("(7,)", vec![7]), ("()", vec![])] {
            let text = format!("{{'descr': '>u2', 'fortran_order': True, 'shape': {text}}}");
            assert_eq!(parse(&text), Some((Some(">u2"), true, shape)));
        }
        for descr in ["[('a)', '<f4'), ('b', '<i2', (2,))]", "('<f4', (2,))", "[]"] {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (2,)}}");
            assert_eq!(parse(&text), Some((None, false, vec![2])), "{text}");
        }
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': [3, 4]}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3 4)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
            "{'descr': '<f4, 'fortran_order': False, 'shape': (3,)}",
            "{'descr': [('a', '<f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': x, 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (3,)}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_type_has_several_names() {
        let native = cfg!(target_endian = "big");
        for (name, known) in [
            ("<f4", Some((Element::F32, false))),
            (">f4", Some((Element::F32, true))),
            ("=f4", Some((Element::F32, native))),
            ("f4", Some((Element::F32, native))),
            ("float32", Some((Element::F32, native))),
            ("<u1", Some((Element::U8, false))),
            ("|b1", Some((Element::Bool, native))),
            ("?", Some((Element::Bool, native))),
            ("<>f4", None),
            ("<c8", None),
            ("<U4", None),
            ("|O", None),
            ("", None),
        ] {
            assert_eq!(element(name), known, "{name}");
        }
    }
}
