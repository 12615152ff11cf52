//! The making of a run, and what a crash leaves of it.
//!
//! A run that is being made has the file `opening` in it, and counts for nothing. The file goes when
//! the database is there and durable, before the first event: so what a crash leaves of a run in its
//! making is never taken for damage, whatever sled would say of it.

use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::durable;
use crate::error::{Error, Result};
use crate::layout::{DataDir, LOCK_FILE, NEW, OPENING_FILE, RunName, list};
use crate::lock::Lock;

/// How often, and how long apart, a run's directory is tried to be made.
const MAKING_TRIES: u32 = 20;
const MAKING_PAUSE: Duration = Duration::from_millis(5);

/// Whether a run is still being made, or never was.
pub(crate) fn is_opening(run: &Path) -> bool {
    run.join(OPENING_FILE).exists()
}

/// Makes the directory of a run, marked as still being made, and takes its lock.
///
/// A flusher that meets it before the lock is held takes it for what a crash has left, and removes
/// it: then it is made once more.
pub(crate) fn make_directory(data: &DataDir, name: RunName) -> Result<Lock> {
    let mut tries = 1;
    loop {
        match try_to_make_directory(data, name) {
            Err(error) if tries < MAKING_TRIES && (error.is_not_found() || error.is_busy()) => {
                tries += 1;
                thread::sleep(MAKING_PAUSE);
            }
            other => return other,
        }
    }
}

/// W2: the directory gets its name only after its lock is held, so that nobody who finds it can take
/// it for abandoned.
fn try_to_make_directory(data: &DataDir, name: RunName) -> Result<Lock> {
    let (unborn, dir) = (data.new_run_dir(name), data.run_dir(name));
    match durable::create_dir(&unborn) {
        Err(error) if error.is_already_there() => {}
        other => other?,
    }
    let lock = Lock::exclusive(&unborn.join(LOCK_FILE))?;
    let opening = unborn.join(OPENING_FILE);
    match durable::create_file(&opening) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::io(&opening)(error));
        }
        _ => {}
    }
    // The file as well as its name: without a journal a directory's sync is not its files'.
    durable::sync_file(&opening)?;
    durable::sync_dir(&unborn)?;
    durable::rename(&unborn, &dir)?;
    Ok(lock)
}

impl DataDir {
    /// Runs that are being made, or whose making a crash has ended. They hold no event.
    fn unborn_runs(&self) -> Result<Vec<String>> {
        let dir = self.open_dir();
        list(&dir, |name| {
            let unborn = name.starts_with(NEW)
                || RunName::parse(name).is_some() && is_opening(&dir.join(name));
            unborn.then(|| name.to_owned())
        })
    }

    /// Removes the runs whose making a crash has ended, so that what is left of them is never taken
    /// for damage. Those that are being made are let be.
    pub fn remove_unborn_runs(&self) -> Result<()> {
        for name in self.unborn_runs()? {
            let dir = self.open_dir().join(&name);
            let _lock = match Lock::existing(&dir.join(LOCK_FILE)) {
                Ok(lock) => Some(lock),
                Err(Error::Busy { .. }) => continue,
                Err(error) if error.is_not_found() => None,
                // What never held an event can be as damaged as it likes.
                Err(Error::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            // With the lock in hand: it may have been born, and even closed, since it was listed.
            if !name.starts_with(NEW) && !is_opening(&dir) {
                continue;
            }
            let aside = self.sealing_dir().join(&name);
            match durable::rename(&dir, &aside) {
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
                Ok(()) => durable::remove_dir(&aside)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Interval, Minute, RunId, UnixMillis};
    use std::fs;

    fn name(run: u64) -> RunName {
        let time = UnixMillis::new(1_795_342_517_999);
        RunName {
            minute: Minute::containing(time, Interval::default()),
            run: RunId::from_bits(run),
        }
    }

    #[test]
    fn what_a_crash_leaves_of_a_run_in_its_making_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        // Killed before the lock, before the name, and before the database was whole.
        fs::create_dir(data.new_run_dir(name(1))).unwrap();
        fs::create_dir(data.new_run_dir(name(2))).unwrap();
        fs::write(data.new_run_dir(name(2)).join(LOCK_FILE), "").unwrap();
        drop(make_directory(&data, name(3)).unwrap());
        fs::write(data.run_dir(name(3)).join("db"), "half a database").unwrap();
        // Still being made, and a run.
        let held = make_directory(&data, name(4)).unwrap();
        drop(make_directory(&data, name(5)).unwrap());
        fs::remove_file(data.run_dir(name(5)).join(OPENING_FILE)).unwrap();
        assert_eq!(data.runs().unwrap(), [name(5)]);
        data.remove_unborn_runs().unwrap();
        assert!(data.run_dir(name(4)).exists());
        drop(held);
        data.remove_unborn_runs().unwrap();
        let left = fs::read_dir(data.open_dir()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), [name(5).to_string().as_str()]);
        assert_eq!(fs::read_dir(data.sealing_dir()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_was_taken_for_left_behind_is_made_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        fs::create_dir(data.new_run_dir(name(1))).unwrap();
        let remover = Lock::exclusive(&data.new_run_dir(name(1)).join(LOCK_FILE)).unwrap();
        let removed = data.clone();
        let removing = thread::spawn(move || {
            thread::sleep(MAKING_PAUSE * 3);
            // Out of the way first, as `remove_unborn_runs` does: whoever makes it may put a lock into it.
            let aside = removed.sealing_dir().join(name(1).to_string());
            durable::rename(&removed.new_run_dir(name(1)), &aside).unwrap();
            durable::remove_dir(&aside).unwrap();
            drop(remover);
        });
        let lock = make_directory(&data, name(1)).unwrap();
        removing.join().unwrap();
        assert!(data.run_dir(name(1)).join(LOCK_FILE).exists());
        drop(lock);
    }
}
