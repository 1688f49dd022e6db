//! A file that is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::io_error;
use crate::Error;

/// A file that is being written beside the one that it will replace.
///
/// What is dropped before [`commit`](Self::commit) leaves no trace, and the old file as it was.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    temporary: PathBuf,
    committed: bool,
}

/// Tells the drafts of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Draft {
    /// Writes the content, to the disk and not only to the system's memory.
    pub(super) fn write(
        path: &Path,
        content: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<Self, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let draft = format!("{}{}-{number}{END}", beginning(&name), std::process::id());
        let temporary = path.with_file_name(draft);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|error| io_error(path, &error))?;
        let draft = Self {
            path: path.to_owned(),
            temporary,
            committed: false,
        };
        let mut writer = BufWriter::with_capacity(1 << 16, file);
        content(&mut writer)
            .and_then(|()| writer.flush())
            .and_then(|()| writer.get_ref().sync_all())
            .map_err(|error| io_error(path, &error))?;
        Ok(draft)
    }

    /// Puts the file into its place.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        fs::rename(&self.temporary, &self.path).map_err(|error| io_error(&self.path, &error))?;
        self.committed = true;
        // The name is in the folder: where folders can be synced, it outlasts a crash too.
        let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
        if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// Drafts of the file `name` begin and end so; between is the process, and a number.
fn beginning(name: &str) -> String {
    format!(".{name}.")
}
const END: &str = ".tmp";

/// Removes what other processes that were killed have left of a file which only one process writes.
#[cfg(feature = "serde")]
pub(crate) fn remove_abandoned(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beginning = beginning(&name);
    let own = std::process::id().to_string();
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return; // the first draft will say why
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    for entry in entries.flatten() {
        let file = entry.file_name();
        let between = file.to_str().and_then(|file| {
            let between = file.strip_prefix(&beginning)?.strip_suffix(END)?;
            between.split_once('-')
        });
        if between
            .is_some_and(|(process, number)| digits(process) && digits(number) && process != own)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
