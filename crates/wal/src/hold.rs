//! Who holds a run while it is read: the flusher alone, or readers that copy it.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use crate::beside::{CONF_FILE, damaged_names, is_snapshot, told};
use crate::durable;
use crate::error::{Error, Result};
use crate::layout::LOCK_FILE;
use crate::lock::{LOCK_PAUSE, Lock, while_busy};
use crate::regular::is_no_file;
use crate::run::DB_FILE;

/// How long a reader waits for the flusher to let go of a run that it wants to copy.
const COPY_PATIENCE: Duration = Duration::from_secs(5);

/// Whether a living process may still write to the run in `run_dir`. One that only reads it, so as
/// to copy it, holds its lock together with others.
pub fn is_held(run_dir: &Path) -> bool {
    matches!(Lock::shared(&run_dir.join(LOCK_FILE)), Err(Error::Busy { .. }))
}

/// Takes the lock of a run. It is an empty file: one that is lost, or is none any more, has cost
/// nothing. sled's own lock keeps a writer apart that lives all the same.
pub(crate) fn lock_of(dir: &Path) -> Result<Lock> {
    let path = dir.join(LOCK_FILE);
    match Lock::existing(&path) {
        Err(Error::Damaged { .. }) if dir.is_dir() && !dir.is_symlink() => {
            durable::rename(&path, &dir.join("damaged.lock"))?;
            Lock::exclusive(&path)
        }
        Err(error) if error.is_not_found() && dir.join(DB_FILE).exists() && !dir.is_symlink() => {
            Lock::exclusive(&path)
        }
        other => other,
    }
}

/// Holds the run in `dir` beside other readers, or says [`Error::Busy`]; tells what is wrong with its
/// lock.
///
/// Nothing is written: where [`lock_of`] would make the lock anew, sled's own, which is on its data,
/// keeps a writer apart that lives all the same.
pub(crate) fn hold_beside_readers(dir: &Path) -> Result<(Lock, Option<String>)> {
    let what = match Lock::shared(&dir.join(LOCK_FILE)) {
        Ok(lock) => return Ok((lock, None)),
        Err(error) if dir.is_symlink() || !dir.is_dir() => return Err(error),
        Err(Error::Damaged { what, .. }) => what,
        Err(error) if error.is_not_found() => "is missing".to_owned(),
        Err(error) => return Err(error),
    };
    let lock = Lock::shared(&dir.join(DB_FILE))?;
    Ok((lock, Some(format!("{LOCK_FILE}: {what}"))))
}

/// The same, but waits while the flusher has it.
pub(crate) fn wait_beside_readers(dir: &Path) -> Result<(Lock, Option<String>)> {
    while_busy(COPY_PATIENCE, LOCK_PAUSE, || hold_beside_readers(dir))
}

/// Copies what sled needs of the run in `dir`, without what it would trip over: tells what that is.
pub(crate) fn copy_database(dir: &Path) -> Result<(tempfile::TempDir, Option<String>)> {
    let damaged = damaged_names(dir)?;
    let copy = tempfile::Builder::new()
        .prefix("minutelog-")
        .tempdir()
        .map_err(Error::io(&std::env::temp_dir()))?;
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let from = entry.map_err(Error::io(dir))?.path();
        let name = from.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == DB_FILE && is_no_file(&from) {
            return Err(Error::damaged(&from, "is no file"));
        }
        let is_needed = name == DB_FILE || name == CONF_FILE || is_snapshot(name);
        if is_needed && !damaged.iter().any(|damaged| damaged == name) {
            fs::copy(&from, copy.path().join(name)).map_err(Error::io(&from))?;
        }
    }
    if copy.path().join(DB_FILE).exists() {
        Ok((copy, told(&damaged)))
    } else {
        Err(Error::io(&dir.join(DB_FILE))(io::ErrorKind::NotFound.into()))
    }
}
