//! One run's log of one minute, while it is written.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::closing::Closed;
use crate::durable;
use crate::error::{Error, Result};
use crate::layout::{DataDir, OPENING_FILE, RunName};
use crate::lock::Lock;
use crate::making::make_directory;

/// A record and a whole leaf of sled's tree (17 records) must stay under a quarter of it.
pub(crate) const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// The pages that sled keeps in memory. Its default of 1 GiB is for databases that live longer.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// How often a leaf is looked at once it is full, so that sled looks at its cache.
const ACCESSES_OF_A_FULL_LEAF: u32 = 40;

/// The name of sled's one file of data within its directory.
pub(crate) const DB_FILE: &str = "db";

/// Opens the database in `dir` with the settings that every database of ours has.
pub(crate) fn open_database(dir: &Path) -> Result<sled::Db> {
    sled::Config::new()
        .path(dir)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .mode(sled::Mode::HighThroughput)
        .flush_every_ms(None)
        .open()
        .map_err(Error::sled(dir))
}

/// A run's log of one minute, held by the process that writes it until the last handle is dropped.
///
/// The fields drop in their order: the lock goes last, when sled has let go of the database.
#[derive(Debug)]
pub(crate) struct OpenRun {
    db: sled::Db,
    data_file: File,
    name: RunName,
    dir: PathBuf,
    /// What it holds, for those who look; told by the writer after each sync.
    events: AtomicU64,
    destinations: AtomicU64,
    _lock: Lock,
}

impl OpenRun {
    /// Makes a new run, empty and durable.
    ///
    /// It is a run, for whoever lists them, from the moment that `opening` is gone: what a crash
    /// leaves before that holds no event, and is no damage.
    pub(crate) fn create(data: &DataDir, name: RunName) -> Result<Self> {
        let lock = make_directory(data, name)?;
        let dir = data.run_dir(name);
        let db = open_database(&dir)?;
        let data_path = dir.join(DB_FILE);
        let data_file = File::open(&data_path).map_err(Error::io(&data_path))?;
        // W1: every file and every name on the way to the events is durable before the first ack.
        for entry in fs::read_dir(&dir).map_err(Error::io(&dir))? {
            durable::sync_file(&entry.map_err(Error::io(&dir))?.path())?;
        }
        let opening = dir.join(OPENING_FILE);
        fs::remove_file(&opening).map_err(Error::io(&opening))?;
        durable::sync_dir(&dir)?;
        let (events, destinations) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { db, data_file, name, dir, events, destinations, _lock: lock })
    }

    /// What its database takes on disk, in bytes.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        let metadata = self.data_file.metadata().map_err(Error::io(&self.dir))?;
        Ok(metadata.blocks() * 512)
    }

    /// Tells what is durable in it.
    pub(crate) fn set_counts(&self, events: u64, destinations: u64) {
        self.events.store(events, Ordering::Relaxed);
        self.destinations.store(destinations, Ordering::Relaxed);
    }

    /// How many events and destinations it holds.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.events.load(Ordering::Relaxed), self.destinations.load(Ordering::Relaxed))
    }

    pub(crate) fn name(&self) -> RunName {
        self.name
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn db(&self) -> &sled::Db {
        &self.db
    }

    /// Puts one record. It is durable after the next [`OpenRun::sync`].
    pub(crate) fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<()> {
        self.db.insert(key, value).map(drop).map_err(Error::sled(&self.dir))
    }

    /// Has sled look at the capacity of the part of its cache that holds the leaf of this key.
    ///
    /// It does so only once 64 accesses to that part have gathered (`lru.rs`). A leaf that is full
    /// has had about 25 of them, and would get no more.
    pub(crate) fn have_cache_looked_at(&self, key: &[u8]) -> Result<()> {
        for _ in 0..ACCESSES_OF_A_FULL_LEAF {
            self.db.get(key).map_err(Error::sled(&self.dir))?;
        }
        Ok(())
    }

    /// Makes all that was inserted durable.
    ///
    /// W3: sled's `flush` alone is `sync_file_range`, after which neither the file's length nor
    /// the drive's cache is safe; `fdatasync` of our own handle follows it.
    pub(crate) fn sync(&self) -> Result<()> {
        self.db.flush().map_err(Error::sled(&self.dir))?;
        self.data_file.sync_data().map_err(Error::io(&self.dir))?;
        Ok(())
    }

    /// Writes the closing record. Nothing may be inserted after it.
    pub(crate) fn close(&self, closed: &Closed) -> Result<()> {
        self.sync()?;
        closed.write(&self.dir)
    }

    /// Removes a run that never held an event. It loses its name first: half of it, without its lock,
    /// would be taken for damage.
    pub(crate) fn discard(self, data: &DataDir) -> Result<()> {
        data.remove_run(self.name)
    }
}
