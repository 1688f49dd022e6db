//! The bytes of a file, on disk or in memory, readable by several threads.

use std::fs::File;
use std::path::Path;
use std::{fmt, io};

use super::regular_file::open;
use crate::error::Error;

/// The bytes of a file.
pub(crate) enum ByteSource {
    /// An open file and its length.
    File(File, u64),
    Bytes(Box<dyn AsRef<[u8]> + Send + Sync>),
}

impl ByteSource {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let (file, length) = open(path)?;
        Ok(Self::File(file, length))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Bytes(bytes) => (**bytes).as_ref().len() as u64,
        }
    }

    /// Returns the first `most` bytes, or all if there are fewer.
    pub(super) fn start(&self, most: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length()).map_or(most, |length| length.min(most));
        let mut start = vec![0; length];
        self.read(&mut start, 0)?;
        Ok(start)
    }

    /// Returns a reader of all bytes. Use one at a time: they share the position of the file.
    #[cfg(feature = "files")]
    pub(super) fn reader(&self) -> io::Result<Box<dyn io::Read + '_>> {
        Ok(match self {
            Self::File(file, _) => {
                io::Seek::rewind(&mut &*file)?;
                Box::new(file)
            }
            Self::Bytes(bytes) => Box::new((**bytes).as_ref()),
        })
    }

    /// Fills `bytes` from `offset`.
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file, _) => read_exact_at(file, bytes, offset),
            Self::Bytes(all) => {
                let stored = usize::try_from(offset)
                    .ok()
                    .and_then(|offset| (**all).as_ref().get(offset..)?.get(..bytes.len()))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                bytes.copy_from_slice(stored);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for ByteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, _) => file.fmt(f),
            Self::Bytes(_) => write!(f, "{} bytes", self.length()),
        }
    }
}

/// Fills `bytes` from `offset`, independently of the position of the file.
#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` from `offset`, independently of the position of the file.
#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns an error: the platform cannot read at an offset.
#[cfg(not(any(unix, windows)))]
fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
