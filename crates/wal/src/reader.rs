//! Reading a run's log of one minute back: by destination, then by position.

mod around;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Destination, EventId, EventName, RunId, Seq, UnixMillis};

use crate::closing::Closed;
use crate::codec;
use crate::database::{Database, Held};
use crate::error::{Error, Result};
use crate::hold::{copy_database, lock_of, wait_beside_readers};
use crate::identity::{self, IDENTITIES_PREFIX, IdentifiedPlace};
use crate::layout::{CLOSED_FILE, DataDir, RunName};
use crate::record::{self, DestKey, Key};
use crate::records::{Records, SharedOf};
use crate::run::OpenRun;
use crate::scan::Scan;
use crate::shared::{self, SHARED_PREFIX, SharedKey};
use crate::spread::Spread;

pub(crate) use around::Around;

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
    /// Whether a crash has ended it, or it is still written.
    was_never_closed: bool,
    /// What is damaged beside its records.
    damage: Option<String>,
    /// What destinations share, once it is asked for.
    shared: Arc<Mutex<Option<Spread>>>,
    /// Where a run that is written ended when it was asked: what was not synced then is left out,
    /// or events would be met whose predecessors were not there when those were read.
    until: Option<u32>,
}

impl RunReader {
    /// Opens a run for the flusher: nobody writes it any more, and nobody else may until this is
    /// dropped. A run whose writer lives is [`Error::Busy`].
    pub fn open(data: &DataDir, name: RunName) -> Result<Self> {
        let dir = data.run_dir(name);
        let lock = lock_of(&dir)?;
        Self::of(name, &dir.clone(), dir, Held::Run { _lock: lock }, vec![])
    }

    /// Takes hold of a run that was closed, and of which all that it held was read before: it is empty to
    /// whoever reads it now. One that was not closed is damaged.
    pub fn hold_read(data: &DataDir, name: RunName) -> Result<Self> {
        let dir = data.run_dir(name);
        let lock = lock_of(&dir)?;
        let closed = Closed::read(&dir)?;
        if closed.is_none() {
            return Err(Error::damaged(&dir.join(CLOSED_FILE), "is gone"));
        }
        let database = Arc::new(Database::was_read(dir, Held::Run { _lock: lock }));
        let (was_never_closed, damage, shared) = (false, None, Arc::default());
        Ok(Self { database, name, closed, was_never_closed, damage, shared, until: None })
    }

    /// Opens a copy of a run for `admin`: opening a database writes to it, and this one may be
    /// needed as it is.
    pub fn open_copy(data: &DataDir, name: RunName) -> Result<Self> {
        let dir = data.run_dir(name);
        let (lock, of_lock) = wait_beside_readers(&dir)?;
        let (copy, of_copy) = copy_database(&dir)?;
        drop(lock);
        let damage = of_lock.into_iter().chain(of_copy).collect();
        Self::of(name, &dir, copy.path().to_owned(), Held::Copy { _dir: copy }, damage)
    }

    /// A closing record that cannot be read is as good as none: what there is is read all the same.
    fn of(
        name: RunName,
        run_dir: &Path,
        database_dir: PathBuf,
        held: Held,
        mut damage: Vec<String>,
    ) -> Result<Self> {
        let record = match Closed::read(run_dir) {
            Err(Error::Damaged { what, .. }) => {
                damage.push(format!("{CLOSED_FILE}: {what}"));
                None
            }
            record => Some(record?),
        };
        // One whose closing record is damaged was closed.
        let (closed, was_never_closed) = (record.flatten(), record == Some(None));
        let database = Arc::new(Database::open(database_dir, held)?);
        damage.extend(database.damage().map(str::to_owned));
        let damage = (!damage.is_empty()).then(|| damage.join("; "));
        let shared = Arc::default();
        Ok(Self { database, name, closed, was_never_closed, damage, shared, until: None })
    }

    /// Reads a run that this process writes: what is in it so far.
    pub(crate) fn live(run: Arc<OpenRun>) -> Self {
        let (name, (events, _)) = (run.name(), run.counts());
        let (database, shared) = (Arc::new(Database::live(run)), Arc::default());
        let until = Some(u32::try_from(events).unwrap_or(u32::MAX));
        Self { database, name, closed: None, was_never_closed: true, damage: None, shared, until }
    }

    /// Keeps to its share of memory, where so many runs are read side by side.
    pub(crate) fn is_one_of(&self, runs: u64) {
        self.database.is_one_of(runs);
    }

    /// What the operating system refused while the run was read, if it did: damage that was met then
    /// may be none, and what was read is to be read again.
    pub fn refused(&self) -> Option<Error> {
        self.database.refused()
    }

    /// What is damaged beside its records, which has cost none of them.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
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

    /// The events of a destination in their order, record by record. Cheapest in the order of the
    /// destinations.
    pub fn records(&self, destination: DestinationId) -> Records {
        let entries = Scan::new(&self.database, &destination.0.events_prefix());
        let open_end = self.was_never_closed.then(|| Arc::clone(&self.database));
        let damage = self.shared();
        let shared = SharedOf::new(&self.shared, &self.database, destination.0);
        let until = self.until.unwrap_or(u32::MAX);
        Records { entries, shared, damage, of: self.name, until, read: 0, open_end }
    }

    /// What destinations share, and what of it is damaged, which is told once.
    fn shared(&self) -> Option<Damage> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_none() {
            match Spread::read(&self.database, self.name, self.until, self.database.dir()) {
                Ok(spread) => *shared = Some(spread),
                Err(error) => {
                    // Told once: nothing that is read without it counts.
                    *shared = Some(Spread::nothing());
                    return Some(self.database.refuse(error));
                }
            }
        }
        shared.as_mut().and_then(Spread::take_damage)
    }

    /// Whose events they are, as far as they came with an identity; in no order.
    pub fn identified(&self) -> impl Iterator<Item = Result<Vec<IdentifiedPlace>, Damage>> + use<> {
        Scan::new(&self.database, &IDENTITIES_PREFIX).map(|entry| {
            let (key, value) = entry?;
            let places = identity::decode(&key, &value).map_err(|error| Damage {
                missing: 0,
                what: format!("which events are repeats is lost: {error}"),
            })?;
            Ok(places.collect())
        })
    }

    /// Looks through all keys of events: the position after the last event. A large event that a
    /// run without a closing record ends with, and that is not whole, is none.
    pub fn end(&self) -> Result<u64, Damage> {
        end_of(&self.database, self.was_never_closed)
    }
}

/// The position after the last event of a run.
///
/// Records are written one after the other, and a crash keeps a first part of them. So where a run
/// was not closed, the last of its events may lack its last slices: its commit was never synced, and
/// nobody was told that it was there.
pub(crate) fn end_of(database: &Arc<Database>, is_open: bool) -> Result<u64, Damage> {
    let (mut end, mut last, mut slices, mut seen) = (0, None, 1, 0);
    for entry in Scan::new(database, &record::EVENTS_PREFIX) {
        let (key, value) = entry?;
        let Some(Key::Events { first, slice, .. }) = Key::parse(&key) else { continue };
        let head = record::decode_events(&key, &value).ok().map(|(head, _)| head);
        let events = head.as_ref().map_or(1, |head| head.events);
        if last.is_none_or(|last| first > last) {
            (last, seen) = (Some(first), 0);
            slices = head.map_or(1, |head| head.slices);
        }
        // They come in their order; what lacks another one than the last is damaged.
        seen += u16::from(last == Some(first) && slice == seen);
        end = end.max(u64::from(first.get()) + u64::from(events));
    }
    for entry in Scan::new(database, &SHARED_PREFIX) {
        let (key, value) = entry?;
        let Some(SharedKey::Record(_, first)) = SharedKey::parse(&key) else { continue };
        let events = shared::decode_head(&key, &value).map_or(1, |(head, _)| head.events);
        end = end.max(u64::from(first.get()) + u64::from(events));
    }
    match last {
        Some(first)
            if is_open && seen > 0 && seen < slices && end == u64::from(first.get()) + 1 =>
        {
            Ok(first.get().into())
        }
        _ => Ok(end),
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
    pub(crate) run: RunId,
    pub(crate) time: UnixMillis,
    pub(crate) first: Seq,
    pub(crate) events: u32,
    pub(crate) frames: Frames,
}

#[derive(Clone, Debug)]
pub(crate) enum Frames {
    /// The value of a record, and where in it the events begin.
    Stored(sled::IVec, usize),
    /// Put together from slices, or unpacked.
    Loose(Vec<u8>),
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

    /// How many bytes its events take.
    pub fn size_bytes(&self) -> usize {
        self.bytes().len()
    }

    /// The bytes of its events.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.frames {
            Frames::Stored(value, start) => value.get(*start..).unwrap_or_default(),
            Frames::Loose(bytes) => bytes,
        }
    }

    /// Its events in their order. An error says that the record's bytes are not what they should
    /// be although their checksum is right: a defect of the program that wrote them.
    pub fn iter(&self) -> impl Iterator<Item = Result<EventRef<'_>, Damage>> {
        let mut rest = self.bytes();
        (0..self.events).map(move |number| {
            let (name, payload, left) = codec::decode_event(rest)
                .map_err(|error| Damage { missing: 1, what: format!("an event is {error}") })?;
            rest = left;
            let seq = Seq::new(self.first.get().saturating_add(number));
            Ok(EventRef { id: EventId::new(self.time, self.run, seq), name, payload })
        })
    }
}
