//! A run's database while it is read, in memory that does not grow with it.
//!
//! sled keeps the pages that it has read: its cache looks at its capacity only after 64 accesses
//! in each of 256 shards, and our pages are few and large. So a database of which much was read is
//! closed and opened anew, which takes milliseconds; and one that its writer has open is made to
//! look at its cache, by so many accesses.

use std::collections::VecDeque;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::reader::Damage;
use crate::run::{DB_FILE, OpenRun, open_database};

/// So many bytes may be read before the database is opened anew.
const REOPEN_BYTES: u64 = 32 * 1024 * 1024;

/// About so many bytes, and at most so many entries, are fetched at a time.
const FETCH_BYTES: usize = 256 * 1024;
const FETCH_ENTRIES: usize = 64;

/// sled gathers so many accesses in a shard before it looks at what to drop.
const ACCESSES_A_LOOK: usize = 64;

/// sled lets go of its file a moment after the last handle is dropped.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);

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
}

#[derive(Debug)]
struct State {
    db: Option<sled::Db>,
    read_bytes: u64,
}

impl Database {
    /// Opens the database in `dir`, which nobody else has open.
    pub(crate) fn open(dir: PathBuf, held: Held) -> Result<Self> {
        let db = Some(recover_patiently(&dir)?);
        Ok(Self { state: Mutex::new(State { db, read_bytes: 0 }), dir, held })
    }

    /// Reads the database of a run that this process writes.
    pub(crate) fn live(run: Arc<OpenRun>) -> Self {
        let state = State { db: Some(run.db().clone()), read_bytes: 0 };
        Self { state: Mutex::new(state), dir: PathBuf::new(), held: Held::Live { _run: run } }
    }

    /// Fetches some of the entries that begin with `prefix`, from `start` on. None are left when
    /// none come.
    fn fetch(&self, prefix: &[u8], start: Bound<sled::IVec>) -> Result<VecDeque<Entry>, Damage> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let live = matches!(self.held, Held::Live { .. });
        if state.db.is_none() || (state.read_bytes >= REOPEN_BYTES && !live) {
            state.db = None;
            let db = recover_patiently(&self.dir);
            state.db = Some(db.map_err(|error| unreadable(&error.to_string()))?);
            state.read_bytes = 0;
        }
        let Some(db) = &state.db else { return Ok(VecDeque::new()) };
        let mut bytes = 0;
        let read = AssertUnwindSafe(|| {
            let mut entries = VecDeque::new();
            for entry in db.range((start, Bound::Unbounded)) {
                let (key, value) = entry.map_err(|error| unreadable(&error.to_string()))?;
                if !key.starts_with(prefix) {
                    break;
                }
                bytes += key.len() + value.len();
                entries.push_back((key, value));
                if bytes >= FETCH_BYTES || entries.len() >= FETCH_ENTRIES {
                    break;
                }
            }
            if let (true, Some((last, _))) = (live, entries.back()) {
                for _ in 0..ACCESSES_A_LOOK {
                    db.get(last).map_err(|error| unreadable(&error.to_string()))?;
                }
            }
            Ok(entries)
        });
        let entries = catch_unwind(read).unwrap_or_else(|_| Err(unreadable("it panicked")))?;
        state.read_bytes += bytes as u64;
        Ok(entries)
    }
}

/// Opens a database whose last holder may just have let go of it.
fn recover_patiently(dir: &Path) -> Result<sled::Db> {
    let mut waited = Duration::ZERO;
    loop {
        match recover(dir) {
            Err(Error::Busy { .. }) if waited < REOPEN_PATIENCE => {
                let pause = Duration::from_millis(5);
                thread::sleep(pause);
                waited += pause;
            }
            other => return other,
        }
    }
}

/// Opens a database that nobody else has open.
fn recover(dir: &Path) -> Result<sled::Db> {
    // A process that was killed while it opened the database can leave this file, and sled then
    // refuses to open it. Nobody has the lock but us.
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
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

/// The entries of a database whose keys begin with a prefix, in order. sled's panics come out as
/// damage: a database that is not what sled wrote can make it panic.
#[derive(Debug)]
pub(crate) struct Scan {
    database: Arc<Database>,
    prefix: Vec<u8>,
    last: Option<sled::IVec>,
    fetched: VecDeque<Entry>,
    ended: bool,
}

impl Scan {
    pub(crate) fn new(database: &Arc<Database>, prefix: &[u8]) -> Self {
        Self {
            database: Arc::clone(database),
            prefix: prefix.to_vec(),
            last: None,
            fetched: VecDeque::new(),
            ended: false,
        }
    }

    /// Puts an entry back, to be read once more.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.fetched.push_front(entry);
    }
}

impl Iterator for Scan {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fetched.is_empty() && !self.ended {
            let start = match self.last.take() {
                Some(last) => Bound::Excluded(last),
                None => Bound::Included(sled::IVec::from(&*self.prefix)),
            };
            match self.database.fetch(&self.prefix, start) {
                Ok(entries) => self.fetched = entries,
                Err(damage) => {
                    self.ended = true;
                    return Some(Err(damage));
                }
            }
            self.last = self.fetched.back().map(|(key, _)| key.clone());
            self.ended = self.fetched.is_empty();
        }
        self.fetched.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
