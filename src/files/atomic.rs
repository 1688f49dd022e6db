//! Replaces files in one atomic step.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::io_error;
use crate::Error;

/// A file written next to the file that it will replace.
///
/// Dropping it before [`commit`](Self::commit) removes it and keeps the old file unchanged.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    temporary: PathBuf,
    /// Locked until the commit, so that no other process removes it as abandoned.
    file: Option<File>,
}

/// The most links of a path, as on Linux.
const LINKS: usize = 40;
/// The number of random names to try.
const NAMES: usize = 16;

impl Draft {
    /// Writes the content and synchronizes it with the disk.
    ///
    /// Follows links and keeps the permissions of the file to replace, as an ordinary write does. Refuses
    /// read-only files, and paths to anything but a file.
    pub(super) fn write(
        path: &Path,
        content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<Self, Error> {
        let failed = |error: io::Error| io_error(path, &error);
        let path = destination(path).map_err(failed)?;
        let replaced = replaceable(&path).map_err(failed)?;
        remove_abandoned(&path);
        let (temporary, file) = create_beside(&path).map_err(failed)?;
        let mut draft = Self {
            path,
            temporary,
            file: None,
        };
        let write = || {
            if let Some(permissions) = replaced {
                file.set_permissions(permissions)?;
            }
            let mut writer = BufWriter::with_capacity(1 << 16, file);
            content(&mut writer)?;
            let file = writer
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            Ok(file)
        };
        draft.file = Some(write().map_err(failed)?);
        Ok(draft)
    }

    /// Replaces the old file.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        fs::rename(&self.temporary, &self.path).map_err(|error| io_error(&self.path, &error))?;
        self.temporary = PathBuf::new();
        // The folder holds the name. Where folders can be synchronized, the name also survives a crash.
        if let Ok(folder) = File::open(folder(&self.path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.temporary != Path::new("") {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

pub(super) fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

/// Follows the links of a path, whether or not the file exists.
fn destination(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if !path.is_symlink() {
            return Ok(path);
        }
        path = folder(&path).join(fs::read_link(&path)?);
    }
    // Returns the system's error for too many links.
    fs::metadata(&path).map(|_| path)
}

/// Returns the permissions of the file at this path, if it exists.
fn replaceable(path: &Path) -> io::Result<Option<fs::Permissions>> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        let reason = "a pipe or a device cannot be replaced by a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    OpenOptions::new().write(true).open(path)?; // whether it may be written
    Ok(Some(metadata.permissions()))
}

/// Creates and locks a draft of the file at this path.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let beginning = beginning(path);
    for _ in 0..NAMES {
        // Process numbers are not unique: another container or a later process may have the same one.
        let random = RandomState::new().hash_one(std::process::id());
        let temporary = path.with_file_name(format!("{beginning}{random:016x}{END}"));
        let file = match options.open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            file => file?,
        };
        // Some file systems have no locks. Drafts are then never removed.
        let taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if !taken && temporary.exists() {
            return Ok((temporary, file));
        } // else somebody has met it before it was locked
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The prefix and suffix of the drafts of a file. They contain a hash (FNV-1a) of its name, which may
/// already have the maximum length.
fn beginning(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    let hash = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, hash);
    format!(".sae-{hash:016x}-")
}
const END: &str = ".tmp";

/// Removes the drafts that killed processes have left of a file. A draft being written is locked, even
/// from another container.
fn remove_abandoned(path: &Path) {
    let beginning = beginning(path);
    let Ok(entries) = fs::read_dir(folder(path)) else {
        return; // the draft will say why
    };
    let hexadecimal = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    for entry in entries.flatten() {
        let file = entry.file_name();
        let random = file
            .to_str()
            .and_then(|file| file.strip_prefix(&beginning)?.strip_suffix(END));
        if !random.is_some_and(hexadecimal) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let draft = OpenOptions::new().write(true).open(entry.path());
        if let Ok(draft) = draft
            && draft.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}
