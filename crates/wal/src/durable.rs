//! Making files and their names survive a power cut.
//!
//! A new file's name is durable only after its directory is synced; so is a rename.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};

/// Syncs a directory: the names in it are durable from here on.
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io(dir))
}

/// Syncs a file's data and length.
pub fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}

/// Writes a small file so that it is there whole or not at all: aside, sync, rename, sync. Two
/// processes that write the same file do not meet.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(Error::io(path))?;
    sync_parent(path)
}

/// Moves a directory, so that after a power cut it is at one place or the other.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(from))?;
    sync_parent(to)?;
    if from.parent() == to.parent() { Ok(()) } else { sync_parent(from) }
}

/// Removes a directory with all that is in it. What is gone already is no error.
pub fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(dir)(error)),
        _ => sync_parent(dir),
    }
}

/// Syncs the directory that holds `path`.
pub fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}
