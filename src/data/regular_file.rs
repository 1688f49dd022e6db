//! Opening files for reading, without blocking.

use std::fs::{self, File, FileType};
use std::io;
use std::path::Path;

use crate::error::{Error, io_error};

/// Opens a regular file and returns it with its length.
///
/// Refuses folders, pipes, sockets, and devices without opening them, because opening could block.
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

/// Returns the error of the system, or a clearer one if a folder of the path is a file.
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

/// Returns the kind of the file, and the remedy.
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
