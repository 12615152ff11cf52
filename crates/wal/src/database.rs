//! A run's database while it is read, in memory that does not grow with it.
//!
//! sled keeps the pages that it has read: its cache looks at its capacity only after 64 accesses
//! in each of 256 shards, and our pages are few and large. So a database of which much was read is
//! closed and opened anew, which takes milliseconds; and one that its writer has open is made to
//! look at its cache, by so many accesses.
//!
//! When sled opens a database and cannot read some of it, it takes that for the end, and overwrites
//! what follows. So a run is read through before sled may open it. An error of the operating system
//! (no descriptors, no room, no answer from the disk) is never taken for damage while it may pass.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use crate::beside::{remove_unfinished_snapshots, set_aside_damage};
use crate::error::{Error, Result};
use crate::lock::{Lock, while_busy};
use crate::reader::Damage;
use crate::record::Key;
use crate::regular::is_no_file;
use crate::run::{DB_FILE, OpenRun, open_database};
use crate::shared::SharedKey;

/// So many bytes may be read before the database is opened anew, of one that is read alone.
const REOPEN_BYTES: u64 = 32 * 1024 * 1024;

/// So many of all those that are read side by side.
const REOPEN_BYTES_OF_ALL: u64 = 96 * 1024 * 1024;

/// About so many bytes, and at most so many entries, are fetched at a time.
const FETCH_BYTES: usize = 256 * 1024;
const FETCH_ENTRIES: usize = 64;

/// sled gathers so many accesses in a shard before it looks at what to drop.
const ACCESSES_A_LOOK: usize = 64;

/// sled lets go of its file a moment after the last handle is dropped.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);

/// How often, and how long apart, a file that cannot be read is tried before it is damage.
const READ_TRIES: u32 = 3;
const READ_PAUSE: Duration = Duration::from_millis(200);

/// What sled says of a database that somebody has open: `config.rs`, `try_lock`.
const SLED_IS_LOCKED: &str = "could not acquire lock";

/// A key and its value.
pub(crate) type Entry = (sled::IVec, sled::IVec);

/// What keeps a database there while it is read.
#[derive(Debug)]
pub(crate) enum Held {
    /// Its lock: nobody writes it any more.
    Run { _lock: Lock },
    /// It is a copy.
    Copy { _dir: tempfile::TempDir },
    /// This process writes it.
    Live { _run: Arc<OpenRun> },
}

/// A database that is read. The fields drop in their order: sled's handle, then what holds it.
#[derive(Debug)]
pub(crate) struct Database {
    state: Mutex<State>,
    dir: PathBuf,
    held: Held,
    reopen_bytes: AtomicU64,
    /// Whether it was read before, and is empty to whoever reads it now.
    was_read: bool,
    /// What beside the log was not what was written, and was made anew.
    damage: Option<String>,
}

#[derive(Debug)]
struct State {
    db: Option<sled::Db>,
    read_bytes: u64,
    /// What the operating system said when it last refused.
    refused: Option<Error>,
}

impl Database {
    /// Opens the database in `dir`, which nobody else has open.
    pub(crate) fn open(dir: PathBuf, held: Held) -> Result<Self> {
        let path = dir.join(DB_FILE);
        if is_no_file(&path) {
            return Err(Error::damaged(&path, "is no file"));
        }
        if matches!(held, Held::Run { .. }) {
            read_through(&path)?;
        }
        let damage = set_aside_damage(&dir)?;
        let db = Some(recover_patiently(&dir)?);
        let state = State { db, read_bytes: 0, refused: None };
        let (state, reopen_bytes) = (Mutex::new(state), REOPEN_BYTES.into());
        Ok(Self { state, dir, held, reopen_bytes, was_read: false, damage })
    }

    /// Holds a database that was read before, and does not open it.
    pub(crate) fn was_read(dir: PathBuf, held: Held) -> Self {
        let state = Mutex::new(State { db: None, read_bytes: 0, refused: None });
        Self { state, dir, held, reopen_bytes: REOPEN_BYTES.into(), was_read: true, damage: None }
    }

    /// What beside the log was damaged. It has cost nothing.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// What the operating system refused while this was read: what was read then says nothing about
    /// what there is.
    pub(crate) fn refused(&self) -> Option<Error> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refused.take()
    }

    /// Notes what the operating system refused; what was read says nothing about what there is.
    pub(crate) fn refuse(&self, error: Error) -> Damage {
        let what = format!("shared records cannot be spread: {error}");
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refused = Some(error);
        Damage { missing: 0, what }
    }

    /// Keeps to its share of memory, where so many are read side by side.
    pub(crate) fn is_one_of(&self, databases: u64) {
        let share = (REOPEN_BYTES_OF_ALL / databases.max(1)).min(REOPEN_BYTES);
        self.reopen_bytes.store(share, Ordering::Relaxed);
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the database of a run that this process writes.
    pub(crate) fn live(run: Arc<OpenRun>) -> Self {
        let state = State { db: Some(run.db().clone()), read_bytes: 0, refused: None };
        let (dir, state) = (run.dir().to_owned(), Mutex::new(state));
        let held = Held::Live { _run: run };
        Self { state, dir, held, reopen_bytes: REOPEN_BYTES.into(), was_read: false, damage: None }
    }

    /// Fetches some of the entries that begin with `prefix`, from `start` on, without fences. None
    /// are left when none come.
    pub(crate) fn fetch(
        &self,
        prefix: &[u8],
        start: Bound<sled::IVec>,
    ) -> Result<VecDeque<Entry>, Damage> {
        if self.was_read {
            return Ok(VecDeque::new());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let live = matches!(self.held, Held::Live { .. });
        if state.db.is_none()
            || (state.read_bytes >= self.reopen_bytes.load(Ordering::Relaxed) && !live)
        {
            let_go(&self.dir, state.db.take());
            match recover_patiently(&self.dir) {
                Ok(db) => state.db = Some(db),
                Err(error) => return Err(state.unreadable(error)),
            }
            state.read_bytes = 0;
        }
        let Some(db) = &state.db else { return Ok(VecDeque::new()) };
        let mut bytes = 0;
        let read = AssertUnwindSafe(|| {
            let mut entries = VecDeque::new();
            for entry in db.range((start, Bound::Unbounded)) {
                let (key, value) = entry.map_err(Error::sled(&self.dir))?;
                if !key.starts_with(prefix) {
                    break;
                }
                if value.is_empty() && is_fence(&key) {
                    continue;
                }
                bytes += key.len() + value.len();
                entries.push_back((key, value));
                if bytes >= FETCH_BYTES || entries.len() >= FETCH_ENTRIES {
                    break;
                }
            }
            if let (true, Some((last, _))) = (live, entries.back()) {
                for _ in 0..ACCESSES_A_LOOK {
                    db.get(last).map_err(Error::sled(&self.dir))?;
                }
            }
            Ok(entries)
        });
        match catch_unwind(read) {
            Ok(Ok(entries)) => {
                state.read_bytes += bytes as u64;
                Ok(entries)
            }
            Ok(Err(error)) => Err(state.unreadable(error)),
            Err(_) => Err(unreadable("it panicked")),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let_go(&self.dir, state.db.take());
    }
}

fn is_fence(key: &[u8]) -> bool {
    matches!(Key::parse(key), Some(Key::Fence { .. }))
        || matches!(SharedKey::parse(key), Some(SharedKey::Fence(_)))
}

/// Drops sled's handle. sled syncs then and panics where that fails: what was only read has lost
/// nothing.
fn let_go(dir: &Path, db: Option<sled::Db>) {
    if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
        tracing::warn!(run = %dir.display(), "sled could not sync a run that was only read");
    }
}

impl State {
    fn unreadable(&mut self, error: Error) -> Damage {
        let damage = unreadable(&error.to_string());
        if matches!(error, Error::Io { .. } | Error::Busy { .. }) {
            self.refused = Some(error);
        }
        damage
    }
}

/// Reads a file to its end. One that is not there or cannot be read, though it was tried again, is
/// damaged; it has not been touched.
fn read_through(path: &Path) -> Result<()> {
    let mut piece = vec![0; 256 * 1024];
    let mut read = || {
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    };
    let mut tries = 1;
    loop {
        match read() {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::damaged(path, "is missing"));
            }
            Err(error) if !is_of_the_disk(&error) => return Err(Error::io(path)(error)),
            Err(error) if tries == READ_TRIES => {
                return Err(Error::damaged(path, format!("cannot be read: {error}")));
            }
            Err(_) => {
                tries += 1;
                thread::sleep(READ_PAUSE);
            }
        }
    }
}

/// Whether the disk does not give the bytes back, rather than the system having no means to ask.
fn is_of_the_disk(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// Opens a database whose last holder may just have let go of it.
fn recover_patiently(dir: &Path) -> Result<sled::Db> {
    while_busy(REOPEN_PATIENCE, Duration::from_millis(5), || recover(dir))
}

/// Opens a database that nobody else has open.
fn recover(dir: &Path) -> Result<sled::Db> {
    // Nobody has the lock but us. An earlier opening of ours may have failed in the middle.
    remove_unfinished_snapshots(dir)?;
    match catch_unwind(AssertUnwindSafe(|| open_database(dir))) {
        Ok(Ok(db)) => Ok(db),
        // sled's own lock outlives the last handle by a moment. That is no damage.
        Ok(Err(Error::Database { message, .. })) if message.contains(SLED_IS_LOCKED) => {
            Err(Error::Busy { path: dir.join(DB_FILE) })
        }
        Ok(Err(Error::Database { message, .. })) => Err(Error::damaged(dir, message)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::damaged(dir, "sled panics when it opens it")),
    }
}

fn unreadable(why: &str) -> Damage {
    Damage { missing: 0, what: format!("sled cannot read on: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Scan;

    #[test]
    fn a_database_that_its_holder_has_not_let_go_of_is_busy_and_not_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_database(dir.path()).unwrap();
        assert!(matches!(recover(dir.path()), Err(Error::Busy { .. })));
        let holder = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            drop(db);
        });
        assert!(recover_patiently(dir.path()).is_ok());
        holder.join().unwrap();
    }

    #[test]
    fn a_run_without_its_database_is_damaged_and_none_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::exclusive(&dir.path().join("lock")).unwrap();
        let error = Database::open(dir.path().to_owned(), Held::Run { _lock: lock }).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(!dir.path().join(DB_FILE).exists());
    }

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        for (errno, of_the_disk) in
            [(Errno::IO, true), (Errno::MFILE, false), (Errno::NOSPC, false)]
        {
            let error = || io::Error::from(errno);
            assert_eq!(is_of_the_disk(&error()), of_the_disk);
            let error = Error::sled(Path::new("x"))(sled::Error::Io(error()));
            assert!(matches!(error, Error::Io { .. }), "{error}");
        }
    }

    #[test]
    fn a_scan_reads_all_of_its_prefix_across_reopenings() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_database(dir.path()).unwrap();
        let keys: Vec<[u8; 5]> = (0..3000_u32)
            .map(|number| {
                let mut key = [b'e'; 5];
                key[1..].copy_from_slice(&number.to_be_bytes());
                key
            })
            .collect();
        for key in &keys {
            db.insert(key, vec![key[4]; 30_000]).unwrap();
        }
        db.insert(b"d", b"before").unwrap();
        db.insert(b"f", b"after").unwrap();
        db.flush().unwrap();
        drop(db);
        let lock = Lock::exclusive(&dir.path().join("lock")).unwrap();
        let held = Held::Run { _lock: lock };
        let database = Arc::new(Database::open(dir.path().to_owned(), held).unwrap());
        let mut scan = Scan::new(&database, b"e");
        let first = scan.next().unwrap().unwrap();
        scan.put_back(first);
        let read: Vec<Entry> = scan.map(Result::unwrap).collect();
        assert_eq!(read.len(), keys.len());
        for ((key, value), expected) in read.iter().zip(&keys) {
            assert_eq!(&**key, expected);
            assert_eq!((value.len(), value[0]), (30_000, expected[4]));
        }
    }
}
