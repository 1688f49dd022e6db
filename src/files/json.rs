//! Typed access to the JSON of a model. A value of the wrong type is an error, never a default.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{io_error, malformed, unsupported};
use crate::Error;
use crate::data::{file_kind::FileKind, regular_file};

/// The maximum size of a JSON object, which takes many times as much memory. Published configurations have a few
/// kilobytes.
pub(super) const MOST_BYTES: u64 = 1 << 20;

fn check_size(path: &Path, json: &[u8]) -> Result<(), Error> {
    if json.len() as u64 <= MOST_BYTES {
        return Ok(());
    }
    let reason = format!("more than {MOST_BYTES} bytes of JSON");
    Err(malformed(path, reason))
}

/// A JSON object, with its file for error messages.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl Object {
    /// Reads a file with one object, as Python may write it: with a byte-order mark, NaN, infinities, and
    /// duplicate keys. The last of duplicate keys counts. Asking for a number that is not finite is an error.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let (file, _) = regular_file::open(path)?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| io_error(path, &error))?;
        check_size(path, &bytes)?;
        let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        if !matches!(text.trim_ascii_start(), [b'{' | b'[', ..]) {
            return Err(FileKind::of(text.trim_ascii()).instead_of(path, "a configuration in JSON"));
        }
        let object = Self::parse_checked(path, &quote_numbers_not_finite(text))?;
        if object.fields.contains_key("weight_map") {
            let reason = "not a configuration but an index of weights in several files";
            return Err(malformed(path, reason));
        }
        Ok(object)
    }

    /// Returns an object without keys.
    pub(super) fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            fields: Map::new(),
        }
    }

    /// Parses a text within another file.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        check_size(path, bytes)?;
        Self::parse_checked(path, bytes)
    }

    fn parse_checked(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self {
                path: path.to_owned(),
                fields,
            }),
            Ok(_) => Err(malformed(path, "the JSON is not an object")),
            Err(error) => Err(malformed(path, format!("no JSON: {error}"))),
        }
    }

    /// Serializes `value`, for comparison.
    pub(super) fn of(path: &Path, value: &impl Serialize) -> Self {
        let fields = match json!(value) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self {
            path: path.to_owned(),
            fields,
        }
    }

    /// Deserializes settings that all have a default. An error names the key.
    pub(crate) fn read_settings<S: DeserializeOwned>(&self) -> Result<S, Error> {
        let read = |fields: Map<String, Value>| S::deserialize(Value::Object(fields));
        read(self.fields.clone()).map_err(|error| {
            let alone = |key: &String, value: &Value| {
                read(Map::from_iter([(key.clone(), value.clone())])).err()
            };
            let mut fields = self.fields.iter();
            let (reason, error) = fields
                .find_map(|(key, value)| {
                    alone(key, value).map(|error| (format!("{key}: {error}"), error))
                })
                .unwrap_or_else(|| (error.to_string(), error));
            // A later version may know this name.
            let is_new = error.to_string().starts_with("unknown ");
            let refuse = if is_new { unsupported } else { malformed };
            refuse(&self.path, reason)
        })
    }

    pub(super) fn insert(&mut self, key: &str, value: Value) {
        self.fields.insert(key.to_owned(), value);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Returns the value at `key`. `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(crate) fn list(&self, key: &str) -> Result<Option<&[Value]>, Error> {
        self.typed(key, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    pub(crate) fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", as_count)
    }

    pub(crate) fn object(&self, key: &str) -> Result<Option<Self>, Error> {
        let fields = self.typed(key, "an object", Value::as_object)?;
        Ok(fields.map(|fields| Self {
            path: self.path.clone(),
            fields: fields.clone(),
        }))
    }

    /// Refuses an absent value.
    pub(crate) fn required<V>(&self, key: &str, value: Option<V>) -> Result<V, Error> {
        value.ok_or_else(|| malformed(&self.path, format!("{key} is missing")))
    }

    fn typed<'a, V>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl Fn(&'a Value) -> Option<V>,
    ) -> Result<Option<V>, Error> {
        self.get(key)
            .map(|value| {
                read(value).ok_or_else(|| {
                    malformed(
                        &self.path,
                        format!("{key} must be {wanted}, got {}", short(value)),
                    )
                })
            })
            .transpose()
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Puts quotation marks around `NaN`, `Infinity`, `-Infinity`, and numbers beyond `f64`, which Python
/// writes and JSON does not allow. A getter of numbers then refuses them by name.
fn quote_numbers_not_finite(text: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let length = if first == b'"' {
            string_length(rest)
        } else {
            let others = rest.iter().position(|&byte| !is_bare(byte));
            others.unwrap_or(rest.len()).max(1)
        };
        let (token, after) = rest.split_at(length);
        let number = std::str::from_utf8(token).ok().map(str::parse::<f64>);
        let is_not_finite = match token {
            b"NaN" | b"Infinity" | b"-Infinity" => true,
            [b'-' | b'0'..=b'9', ..] if token.iter().any(u8::is_ascii_digit) => {
                matches!(number, Some(Ok(number)) if number.is_infinite())
            }
            _ => false,
        };
        if is_not_finite {
            quoted.push(b'"');
            quoted.extend_from_slice(token);
            quoted.push(b'"');
        } else {
            quoted.extend_from_slice(token);
        }
        rest = after;
    }
    quoted
}

/// Whether a byte can be in a number or a word.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Returns the length of the string at the start of `text`, with its quotation marks.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (index, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Converts a whole number, which Python may write as `4.0`.
pub(super) fn as_count(value: &Value) -> Option<usize> {
    if let Some(count) = value.as_u64() {
        return usize::try_from(count).ok();
    }
    let number = value.as_f64()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0..2³²
    (number >= 0.0 && number < f64::from(u32::MAX) && number.fract() <= 0.0)
        .then_some(number as usize)
}

/// Returns the start of a value, for a message.
pub(crate) fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}
