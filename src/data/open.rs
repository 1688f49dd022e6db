//! Files that are read: opened without blocking, and named by what they begin with.

use std::fs::{self, File, FileType};
use std::io;
use std::path::Path;

use crate::error::{Error, io_error, malformed, unsupported};

/// Opens a regular file, and returns its length with it. Folders, pipes, sockets, and devices are refused
/// before they are opened, which could block.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Error> {
    let kind = fs::metadata(path)
        .map_err(|error| not_found(path, &error))?
        .file_type();
    if !kind.is_file() {
        return Err(Error::Io {
            path: path.to_owned(),
            kind: if kind.is_dir() {
                io::ErrorKind::IsADirectory
            } else {
                io::ErrorKind::Unsupported
            },
            message: format!("expected a file, but this is {}", not_a_file(kind)),
        });
    }
    let opened = File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        Ok((file, length))
    });
    opened.map_err(|error| io_error(path, &error))
}

/// The error of the system, unless a folder of the path is a file.
fn not_found(path: &Path, error: &io::Error) -> Error {
    match path.ancestors().skip(1).find(|above| above.is_file()) {
        None => io_error(path, error),
        Some(file) => Error::Io {
            path: file.to_owned(),
            kind: io::ErrorKind::NotADirectory,
            message: format!(
                "expected a folder, but this is a file: give the folder that holds {}",
                path.strip_prefix(file).unwrap_or(path).display()
            ),
        },
    }
}

fn not_a_file(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a folder: give a file in it";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe (FIFO): write its contents to a file first";
        }
        if kind.is_socket() {
            return "a socket: write its contents to a file first";
        }
        if kind.is_block_device() || kind.is_char_device() {
            return "a device: copy its contents to a file first";
        }
    }
    "something else"
}

/// What a file is, as far as a reader does something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Empty,
    Safetensors,
    Npy,
    Idx,
    Gzip,
    Zip,
    Pickle,
    /// Of no use here: what it is, and what to do.
    Other(&'static str),
    Unknown,
}

/// First bytes of which [`Kind::of`] needs no more.
pub(crate) const START: usize = 512;

const UTF_16: &str = "text in UTF-16: save it as UTF-8";
const DECOMPRESS: &str = "compressed (bzip2, xz, or Zstandard): decompress it first";

/// Files that begin with these bytes.
const MAGIC: [(&[u8], Kind); 19] = [
    (b"\xff\xfe", Kind::Other(UTF_16)),
    (b"\xfe\xff", Kind::Other(UTF_16)),
    (b"\x93NUMPY", Kind::Npy),
    (b"\x1f\x8b", Kind::Gzip),
    (b"PK\x03\x04", Kind::Zip),
    (b"PK\x05\x06", Kind::Zip), // without members
    (b"\x80\x02", Kind::Pickle),
    (b"\x80\x03", Kind::Pickle),
    (b"\x80\x04", Kind::Pickle),
    (b"\x80\x05", Kind::Pickle),
    (
        b"version https://git-lfs",
        Kind::Other("a Git LFS pointer: fetch the file that it stands for with `git lfs pull`"),
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        Kind::Other("an HDF5 file: read it in Python with h5py, and save the arrays with NumPy"),
    ),
    (b"BZh", Kind::Other(DECOMPRESS)),
    (b"\xfd7zXZ\0", Kind::Other(DECOMPRESS)),
    (b"\x28\xb5\x2f\xfd", Kind::Other(DECOMPRESS)),
    (
        b"PAR1",
        Kind::Other("a Parquet file: read it in Python with pandas, and save the array with NumPy"),
    ),
    (
        b"ARROW1",
        Kind::Other("an Arrow file: read it in Python with pyarrow, and save the array with NumPy"),
    ),
    (
        b"GGUF",
        Kind::Other("a GGUF file: use the safetensors file that it was made from"),
    ),
    (b"%PDF", Kind::Other("a PDF document")),
];

impl Kind {
    /// The kind of a file that begins so.
    pub(crate) fn of(start: &[u8]) -> Self {
        // A length of at most 100 MB, and an object: before the lengths that look like something else.
        if start.get(4..9) == Some(b"\0\0\0\0{") {
            return Self::Safetensors;
        }
        // Less may be the length that a safetensors file begins with, and is cut off within.
        if start.len() < 9 {
            return if start.is_empty() {
                Self::Empty
            } else {
                Self::Unknown
            };
        }
        if let Some(&(_, kind)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
            // torch.save writes an archive, the first member of which is a pickle.
            let is_pickle = kind == Self::Zip && start.windows(8).any(|name| name == b"data.pkl");
            return if is_pickle { Self::Pickle } else { kind };
        }
        if let [0, 0, 8..=14, 1..=255, ..] = start {
            return Self::Idx;
        }
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        match text.trim_ascii_start() {
            [b'<', ..] => Self::Other(
                "an HTML or XML page, as a failed download leaves it: download the file itself",
            ),
            [b'{' | b'[', ..] => Self::Other(
                "JSON, as a configuration or an index of several files is: give the file with the numbers",
            ),
            _ if text
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) =>
            {
                Self::Other("text: tables of numbers can be saved with NumPy, as npy")
            }
            _ => Self::Unknown,
        }
    }

    /// The error of a reader of another kind of files: `Malformed` for a file that another reader of this crate
    /// reads, `Unsupported` for what none reads.
    pub(crate) fn instead_of(self, path: &Path, expected: &str) -> Error {
        let this = match self {
            Self::Empty => {
                let reason = format!("the file is empty, without a header: expected {expected}");
                return malformed(path, reason);
            }
            Self::Unknown => {
                return malformed(path, format!("it does not begin as {expected} does"));
            }
            Self::Safetensors => {
                "a safetensors file: read it with format::TensorFile, or with the loader of its project"
            }
            Self::Npy => "one NumPy array without a name (npy): read it with NpyFile",
            Self::Idx => "an IDX file: read it with IdxFile",
            Self::Gzip => "compressed by gzip: decompress it first, with `gunzip`",
            Self::Zip => "a ZIP archive: npz files are read with format::TensorFile",
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

#[cfg(test)]
mod tests {
    use super::Kind;
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
            (b"\x1f\x8b\x08\0\0\0\0\0\0", "gunzip"),
            (b"PK\x03\x04\x14\0\0\0\0\0", "format::TensorFile"),
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
            let error = Kind::of(start).instead_of(Path::new("a"), "a matrix");
            assert!(error.to_string().contains(says), "{start:?}: {error}");
        }
    }
}
