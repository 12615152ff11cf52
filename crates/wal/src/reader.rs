//! Reading a run's log of one minute back: by destination, then by position.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use model::{Destination, EventId, EventName, RunId, Seq, UnixMillis};

use crate::closing::Closed;
use crate::codec;
use crate::database::{Database, Held, Scan};
use crate::error::{Error, Result};
use crate::layout::{DataDir, LOCK_FILE, RunName};
use crate::lock::Lock;
use crate::record::{self, DestKey, Key, RecordHead};
use crate::run::{DB_FILE, OpenRun};

/// How long a reader waits for the flusher to let go of a run that it wants to copy.
const COPY_PATIENCE: Duration = Duration::from_secs(5);

/// What can't be read back of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// How many events are missing, as far as that is known.
    pub missing: u64,
    /// What is wrong.
    pub what: String,
}

/// Reads one run.
#[derive(Debug)]
pub struct RunReader {
    database: Arc<Database>,
    name: RunName,
    closed: Option<Closed>,
}

impl RunReader {
    /// Opens a run for the flusher: nobody writes it any more, and nobody else may until this is
    /// dropped. A run whose writer lives is [`Error::Busy`].
    pub fn open(data: &DataDir, name: RunName) -> Result<Self> {
        let dir = data.run_dir(name);
        let lock = Lock::existing(&dir.join(LOCK_FILE))?;
        let closed = Closed::read(&dir)?;
        let database = Arc::new(Database::open(dir, Held::Run { _lock: lock })?);
        Ok(Self { database, name, closed })
    }

    /// Opens a copy of a run for `admin`: opening a database writes to it, and this one may be
    /// needed as it is.
    pub fn open_copy(data: &DataDir, name: RunName) -> Result<Self> {
        let dir = data.run_dir(name);
        let lock = wait_for_shared_lock(&dir.join(LOCK_FILE))?;
        let closed = Closed::read(&dir)?;
        let copy = copy_database(&dir)?;
        drop(lock);
        let of = copy.path().to_owned();
        let database = Arc::new(Database::open(of, Held::Copy { _dir: copy })?);
        Ok(Self { database, name, closed })
    }

    /// Reads a run that this process writes: what is in it so far.
    pub(crate) fn live(run: Arc<OpenRun>) -> Self {
        let name = run.name();
        Self { database: Arc::new(Database::live(run)), name, closed: None }
    }

    /// Which run it is.
    pub fn name(&self) -> RunName {
        self.name
    }

    /// What the run held when it was closed; `None` where it never was.
    pub fn closed(&self) -> Option<Closed> {
        self.closed
    }

    /// The destinations, in the order of their keys, which is the same in every run.
    pub fn destinations(
        &self,
    ) -> impl Iterator<Item = Result<(DestinationId, Destination), Damage>> {
        Scan::new(&self.database, &record::DEFINITIONS_PREFIX).map(|entry| {
            let (key, value) = entry?;
            let destination = record::decode_definition(&key, &value).map_err(|error| Damage {
                missing: 0,
                what: format!("a destination is lost: {error}"),
            })?;
            Ok((DestinationId(DestKey::of(&destination)), destination))
        })
    }

    /// The events of a destination in their order, record by record.
    pub fn records(&self, destination: DestinationId) -> Records {
        let entries = Scan::new(&self.database, &destination.0.events_prefix());
        Records { entries, run: self.name.run, read: 0, failed: false }
    }

    /// Looks through all keys of events: how many records, and the position after the last event.
    pub fn end(&self) -> Result<u64, Damage> {
        let mut end = 0;
        for entry in Scan::new(&self.database, &record::EVENTS_PREFIX) {
            let (key, value) = entry?;
            let Some(Key::Events { first, .. }) = Key::parse(&key) else { continue };
            let events = record::decode_events(&key, &value).map_or(1, |(head, _)| head.events);
            end = end.max(u64::from(first.get()) + u64::from(events));
        }
        Ok(end)
    }
}

/// A destination as the log knows it; the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId(DestKey);

impl DestinationId {
    /// The id of a destination.
    pub fn of(destination: &Destination) -> Self {
        Self(DestKey::of(destination))
    }
}

/// Events that were committed together: one destination, one time, positions without a gap.
#[derive(Clone, Debug)]
pub struct Record {
    run: RunId,
    time: UnixMillis,
    first: Seq,
    events: u32,
    frames: Frames,
}

#[derive(Clone, Debug)]
enum Frames {
    /// The value of a record, and where in it the events begin.
    Stored(sled::IVec, usize),
    /// One large event, put together from its slices.
    Joined(Vec<u8>),
}

/// One event of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'r> {
    /// Its id.
    pub id: EventId,
    /// The name that the caller gave it, or `""`.
    pub name: &'r str,
    /// Its line, without the newline.
    pub payload: &'r [u8],
}

impl EventRef<'_> {
    /// The caller's name, checked.
    pub fn event_name(&self) -> Option<EventName> {
        EventName::new(self.name).ok()
    }
}

impl Record {
    /// The id of the first event: records of one destination sort by it as they were acknowledged.
    pub fn first_id(&self) -> EventId {
        EventId::new(self.time, self.run, self.first)
    }

    /// How many events it holds.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Its events in their order. An error says that the record's bytes are not what they should
    /// be although their checksum is right: a defect of the program that wrote them.
    pub fn iter(&self) -> impl Iterator<Item = Result<EventRef<'_>, Damage>> {
        let mut rest = match &self.frames {
            Frames::Stored(value, start) => value.get(*start..).unwrap_or_default(),
            Frames::Joined(bytes) => bytes,
        };
        (0..self.events).map(move |number| {
            let (name, payload, left) = codec::decode_event(rest)
                .map_err(|error| Damage { missing: 1, what: format!("an event is {error}") })?;
            rest = left;
            let seq = Seq::new(self.first.get().saturating_add(number));
            Ok(EventRef { id: EventId::new(self.time, self.run, seq), name, payload })
        })
    }
}

/// The records of one destination in one run. Damage is an item of its own; what follows it is
/// read all the same.
#[derive(Debug)]
pub struct Records {
    entries: Scan,
    run: RunId,
    /// How many events of the destination were read or reported missing.
    read: u32,
    failed: bool,
}

impl Iterator for Records {
    type Item = Result<Record, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (key, value) = match self.entries.next()? {
            Ok(entry) => entry,
            Err(damage) => {
                self.failed = true;
                return Some(Err(damage));
            }
        };
        Some(self.record(&key, value))
    }
}

impl Records {
    fn record(&mut self, key: &sled::IVec, value: sled::IVec) -> Result<Record, Damage> {
        let Some(Key::Events { first, slice, .. }) = Key::parse(key) else {
            return Err(Damage { missing: 0, what: "a key is not one of a record".to_owned() });
        };
        let (head, start) = match record::decode_events(key, &value) {
            Ok((head, frames)) => (head, value.len() - frames.len()),
            // How many events it held is told by the record that follows, or by the run's end.
            Err(error) => return Err(Damage { missing: 0, what: error.to_string() }),
        };
        if slice != 0 {
            return Err(Damage { missing: 0, what: "a slice has lost its beginning".to_owned() });
        }
        let gap = head.before.saturating_sub(self.read);
        self.read = head.before.saturating_add(head.events);
        if gap > 0 {
            // The record itself is good: it is read again after the gap was told.
            self.entries.put_back((key.clone(), value));
            self.read = head.before;
            return Err(Damage { missing: u64::from(gap), what: "events are missing".to_owned() });
        }
        let frames = if head.slices <= 1 {
            Frames::Stored(value, start)
        } else {
            let beginning = value.get(start..).unwrap_or_default().to_vec();
            Frames::Joined(self.join(first, &head, beginning)?)
        };
        Ok(Record { run: self.run, time: head.time(), first, events: head.events, frames })
    }

    /// Puts the slices of a large event together.
    fn join(
        &mut self,
        first: Seq,
        head: &RecordHead,
        mut bytes: Vec<u8>,
    ) -> Result<Vec<u8>, Damage> {
        let lost = |what: &str| Damage { missing: 1, what: what.to_owned() };
        for expected in 1..head.slices {
            let Some(entry) = self.entries.next() else {
                return Err(lost("a large event is cut"));
            };
            let (key, value) = entry.inspect_err(|_| self.failed = true)?;
            match Key::parse(&key) {
                Some(Key::Events { first: of, slice, .. }) if of == first && slice == expected => {}
                _ => {
                    self.entries.put_back((key, value));
                    return Err(lost("a large event has lost a slice"));
                }
            }
            match record::decode_events(&key, &value) {
                Ok((slice, frames)) if slice == *head => bytes.extend_from_slice(frames),
                _ => return Err(lost("a slice of a large event does not match its checksum")),
            }
        }
        Ok(bytes)
    }
}

/// Whether a living process may still write to the run in `run_dir`. One that only reads it, so as
/// to copy it, holds its lock together with others.
pub fn is_held(run_dir: &Path) -> bool {
    matches!(Lock::shared(&run_dir.join(LOCK_FILE)), Err(Error::Busy { .. }))
}

fn wait_for_shared_lock(path: &Path) -> Result<Lock> {
    let mut waited = Duration::ZERO;
    loop {
        match Lock::shared(path) {
            Err(Error::Busy { .. }) if waited < COPY_PATIENCE => {
                let pause = Duration::from_millis(20);
                thread::sleep(pause);
                waited += pause;
            }
            other => return other,
        }
    }
}

fn copy_database(dir: &Path) -> Result<tempfile::TempDir> {
    let copy = tempfile::Builder::new()
        .prefix("minutelog-")
        .tempdir()
        .map_err(Error::io(&std::env::temp_dir()))?;
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let from = entry.map_err(Error::io(dir))?.path();
        let name = from.file_name().unwrap_or_default();
        let needed = name == DB_FILE
            || name == "conf"
            || name.to_str().is_some_and(|name| name.starts_with("snap."));
        if needed {
            fs::copy(&from, copy.path().join(name)).map_err(Error::io(&from))?;
        }
    }
    if copy.path().join(DB_FILE).exists() {
        Ok(copy)
    } else {
        Err(Error::io(&dir.join(DB_FILE))(io::ErrorKind::NotFound.into()))
    }
}
