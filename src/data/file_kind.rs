//! Kinds of files, told by their first bytes.

use std::path::Path;

use crate::error::{Error, malformed, unsupported};

/// The kind of a file, as far as readers and their errors distinguish it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Empty,
    Safetensors,
    Npy,
    Idx,
    Gzip,
    Zip,
    Pickle,
    /// A kind that no reader supports: its name, and the remedy.
    Other(&'static str),
    Unknown,
}

/// The number of first bytes that [`FileKind::of`] looks at.
pub(crate) const START: usize = 512;

const UTF_16: &str = "text in UTF-16: save it as UTF-8";
const DECOMPRESS: &str = "compressed (bzip2, xz, or Zstandard): decompress it first";

/// First bytes, and the kind of file that starts with them.
const MAGIC: [(&[u8], FileKind); 19] = [
    (b"\xff\xfe", FileKind::Other(UTF_16)),
    (b"\xfe\xff", FileKind::Other(UTF_16)),
    (b"\x93NUMPY", FileKind::Npy),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"PK\x03\x04", FileKind::Zip),
    (b"PK\x05\x06", FileKind::Zip), // an empty archive
    (b"\x80\x02", FileKind::Pickle),
    (b"\x80\x03", FileKind::Pickle),
    (b"\x80\x04", FileKind::Pickle),
    (b"\x80\x05", FileKind::Pickle),
    (
        b"version https://git-lfs",
        FileKind::Other("a Git LFS pointer: fetch the file that it stands for with `git lfs pull`"),
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        FileKind::Other(
            "an HDF5 file: read it in Python with h5py, and save the arrays with NumPy",
        ),
    ),
    (b"BZh", FileKind::Other(DECOMPRESS)),
    (b"\xfd7zXZ\0", FileKind::Other(DECOMPRESS)),
    (b"\x28\xb5\x2f\xfd", FileKind::Other(DECOMPRESS)),
    (
        b"PAR1",
        FileKind::Other(
            "a Parquet file: read it in Python with pandas, and save the array with NumPy",
        ),
    ),
    (
        b"ARROW1",
        FileKind::Other(
            "an Arrow file: read it in Python with pyarrow, and save the array with NumPy",
        ),
    ),
    (
        b"GGUF",
        FileKind::Other("a GGUF file: use the safetensors file that it was made from"),
    ),
    (b"%PDF", FileKind::Other("a PDF document")),
];

impl FileKind {
    /// Returns the kind of a file with these first bytes.
    pub(crate) fn of(start: &[u8]) -> Self {
        // A length below 4 GB and a JSON object. Tested first: other lengths look like other kinds.
        if start.get(4..9) == Some(b"\0\0\0\0{") {
            return Self::Safetensors;
        }
        // Fewer bytes may be the length of a safetensors header, cut off.
        if start.len() < 9 {
            return if start.is_empty() {
                Self::Empty
            } else {
                Self::Unknown
            };
        }
        if let Some(&(_, kind)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
            // torch.save writes an archive whose first member is a pickle in a folder.
            let is_pickle = kind == Self::Zip && start.windows(9).any(|name| name == b"/data.pkl");
            return if is_pickle { Self::Pickle } else { kind };
        }
        if let [0, 0, 8..=14, 1..=255, ..] = start {
            return Self::Idx;
        }
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        match text.trim_ascii_start() {
            [b'<', ..] => Self::Other(
                "an HTML or XML page, often left by a failed download: download the file itself",
            ),
            json if begins_json(json) => Self::Other(
                "JSON, such as a configuration or an index of several files: give the file with the numbers",
            ),
            _ if is_text(text) => Self::Other(
                "text: save a table of numbers as npy with NumPy, or read CSV as the documentation of view_rows shows",
            ),
            _ => Self::Unknown,
        }
    }

    /// Returns the error of a reader that expected another kind of file.
    ///
    /// `Malformed` for a kind that another reader of this crate reads, `Unsupported` for other kinds.
    pub(crate) fn instead_of(self, path: &Path, expected: &str) -> Error {
        let this = match self {
            Self::Empty => {
                let reason =
                    format!("expected {expected}, but the file is empty, without a header");
                return malformed(path, reason);
            }
            Self::Unknown => {
                return malformed(path, format!("it does not begin as {expected} does"));
            }
            Self::Safetensors => {
                "a safetensors file: read it with files::TensorFile, or with the loader of its project"
            }
            Self::Npy => "one NumPy array without a name (npy): read it with NpyFile",
            Self::Idx => "an IDX file: read it with IdxFile",
            Self::Gzip => "compressed by gzip: decompress it first, with `gunzip`",
            Self::Zip => "a ZIP archive: npz files are read with files::TensorFile",
            Self::Pickle => {
                "a pickle, which can run any program when it is read. Convert it in Python: \
                 safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in \
                 torch.load(path, weights_only=True).items()}, \"ae.safetensors\")"
            }
            Self::Other(this) => this,
        };
        let reason = format!("expected {expected}, but this is {this}");
        match self {
            Self::Safetensors | Self::Npy | Self::Idx | Self::Zip => malformed(path, reason),
            _ => unsupported(path, reason),
        }
    }
}

/// Whether these bytes begin a JSON object or list. A table of TOML begins with `[` as well.
fn begins_json(start: &[u8]) -> bool {
    match start {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start(), [] | [b'"' | b'}', ..]),
        [b'[', rest @ ..] => match rest.trim_ascii_start() {
            [] | [b'0'..=b'9' | b'-' | b'"' | b']', ..] => true,
            nested => begins_json(nested),
        },
        _ => false,
    }
}

/// Whether these bytes are the beginning of a text in UTF-8. The last character may be cut off.
fn is_text(start: &[u8]) -> bool {
    let whole = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_some() => None,
        Err(error) => std::str::from_utf8(&start[..error.valid_up_to()]).ok(),
    };
    let printed = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    whole.is_some_and(|text| text.chars().all(printed))
}

#[cfg(test)]
mod tests {
    use super::FileKind;
    use std::path::Path;

    #[test]
    fn a_file_is_named_by_its_first_bytes() {
        for (start, says) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\noid sha256:4d"[..],
                "git lfs pull",
            ),
            (b"<!DOCTYPE html><html>", "HTML"),
            (b"\xef\xbb\xbf\n <?xml version='1.0'?>", "HTML or XML"),
            (b"{\"metadata\": {\"total_size\": 1}}", "JSON"),
            (b" \n[1, 2, 3]", "JSON"),
            (b"[[0.5, 1], [2, 3]]", "JSON"),
            (b"[ {\"samples\": 3}]", "JSON"),
            (b"[scaling]\ntarget = 1", "text: save"), // TOML
            (b"[[layers]]\nsize = 1", "text: save"),
            (b"{'descr': '<f4'}", "text: save"), // Python
            ("Größe;Gewicht\n1,80;75\n".as_bytes(), "CSV"),
            (b"1.80,75,caf\xc3", "CSV"), // cut off within a character
            (b"1.80,75,caf\xe9,1", "does not begin as"), // Latin 1
            (b"\x1f\x8b\x08\0\0\0\0\0\0", "gunzip"),
            (b"PK\x03\x04\x14\0\0\0\0\0", "files::TensorFile"),
            (b"PK\x05\x06\0\0\0\0\0\0", "ZIP archive"),
            (
                b"PK\x03\x04\0\0\x08\x08\0\0\0\0archive/data.pkl",
                "weights_only",
            ),
            (
                b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
                "weights_only",
            ),
            (b"\x80\x02\0\0\0\0\0\0{\"a\":1}", "a safetensors file"), // a header of 640 bytes
            (b"\0\0\x08\x01\0\0\0\0{\"a\":1}", "a safetensors file"), // and of 17 MB
            (b"\x93NUMPY\x01\0v\0", "NpyFile"),
            (b"\0\0\x08\x03\0\0\xea\x60\0", "IdxFile"),
            (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
            (b"1.5,2.5\n3.5,4.5\n", "text"),
            (b"", "empty"),
            (b"{\x02\0\0", "does not begin as a matrix does"),
        ] {
            let error = FileKind::of(start).instead_of(Path::new("a"), "a matrix");
            assert!(error.to_string().contains(says), "{start:?}: {error}");
        }
    }
}
