//! Who may touch what: advisory locks on files, which the kernel lifts when a process dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::durable::FILE_MODE;
use crate::error::{Error, Result};
use crate::regular;

/// How long to wait between two tries of a lock.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Tries again, every `pause`, while another process has what is wanted, for as long as `patience`.
pub(crate) fn while_busy<T>(
    patience: Duration,
    pause: Duration,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(Error::Busy { .. }) if start.elapsed() < patience => thread::sleep(pause),
            other => return other,
        }
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock for this process alone, or says [`Error::Busy`]. Makes the file if need be.
    pub fn exclusive(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(FILE_MODE);
        let file = regular::open(path, &mut options)?;
        Self::held(path, file.try_lock(), file)
    }

    /// The same, but waits for so long while another process has it.
    pub fn exclusive_within(path: &Path, patience: Duration) -> Result<Self> {
        while_busy(patience, LOCK_PAUSE, || Self::exclusive(path))
    }

    /// Takes the lock of a file that exists for this process alone, or says [`Error::Busy`].
    pub fn existing(path: &Path) -> Result<Self> {
        let file = regular::open(path, OpenOptions::new().write(true))?;
        Self::held(path, file.try_lock(), file)
    }

    /// Takes the lock of a file that exists beside other readers, or says [`Error::Busy`].
    pub fn shared(path: &Path) -> Result<Self> {
        let file = regular::open_file(path)?;
        Self::held(path, file.try_lock_shared(), file)
    }

    fn held(path: &Path, answer: Result<(), TryLockError>, file: File) -> Result<Self> {
        match answer {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(Error::io(path)(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_or_many_readers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let holder = Lock::exclusive(&path).unwrap();
        assert!(matches!(Lock::exclusive(&path), Err(Error::Busy { .. })));
        assert!(matches!(Lock::shared(&path), Err(Error::Busy { .. })));
        drop(holder);
        let readers = (Lock::shared(&path).unwrap(), Lock::shared(&path).unwrap());
        assert!(matches!(Lock::existing(&path), Err(Error::Busy { .. })));
        drop(readers);
        let held = Lock::existing(&path).unwrap();
        let patience = Duration::from_secs(60);
        let waiting = thread::spawn(move || Lock::exclusive_within(&path, patience));
        drop(held);
        assert!(waiting.join().unwrap().is_ok());
    }
}
