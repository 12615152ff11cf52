//! The events of one destination in one run: from records of its own and from shared ones, in the
//! order of their positions.

use std::sync::{Arc, Mutex, PoisonError};

use model::Seq;

use crate::database::Database;
use crate::layout::RunName;
use crate::packing;
use crate::reader::{Damage, Frames, Record, end_of};
use crate::record::{self, DestKey, Key, RecordHead};
use crate::row::Placed;
use crate::scan::Scan;
use crate::spread::{Cursor, Spread};

/// The records of one destination in one run. Damage is an item of its own; what follows it is
/// read all the same.
#[derive(Debug)]
pub struct Records {
    /// Its own records.
    pub(crate) entries: Scan,
    /// Its events in shared ones, in their order.
    pub(crate) shared: SharedOf,
    /// What of the shared ones is damaged.
    pub(crate) damage: Option<Damage>,
    pub(crate) of: RunName,
    /// What lies at this position or behind it is left out.
    pub(crate) until: u32,
    /// How many events of the destination were read or reported missing.
    pub(crate) read: u32,
    /// The run, if it was not closed: its last commit may be there in part.
    pub(crate) open_end: Option<Arc<Database>>,
}

impl Iterator for Records {
    type Item = Result<Record, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(damage) = self.damage.take() {
            return Some(Err(damage));
        }
        let own = match self.entries.next().transpose() {
            Ok(own) => own,
            Err(damage) => return Some(Err(damage)),
        };
        let position = own.as_ref().and_then(|(key, _)| match Key::parse(key) {
            Some(Key::Events { first, .. }) => Some(first),
            _ => None,
        });
        let own = own.filter(|_| position.is_none_or(|first| first.get() < self.until));
        if own.is_none() {
            self.entries.end();
        }
        // What is in order already is merged by position.
        let shared = match self.shared.next() {
            Ok(shared) => shared,
            Err(damage) => {
                if let Some(own) = own {
                    self.entries.put_back(own);
                }
                return Some(Err(damage));
            }
        };
        match (own, shared) {
            (None, None) => None,
            (Some((key, value)), None) => self.record(&key, value).transpose(),
            (Some((key, value)), Some(shared)) if position.is_none_or(|it| it < shared.first) => {
                self.shared.put_back(shared);
                self.record(&key, value).transpose()
            }
            (own, Some(shared)) => {
                if let Some(own) = own {
                    self.entries.put_back(own);
                }
                Some(self.shared_record(shared))
            }
        }
    }
}

/// The events of one destination in the shared records of a run.
#[derive(Debug)]
pub(crate) struct SharedOf {
    spread: Arc<Mutex<Option<Spread>>>,
    database: Arc<Database>,
    destination: DestKey,
    cursor: Cursor,
    /// What is to be read once more.
    head: Option<Placed>,
    ended: bool,
}

impl SharedOf {
    pub(crate) fn new(
        spread: &Arc<Mutex<Option<Spread>>>,
        database: &Arc<Database>,
        destination: DestKey,
    ) -> Self {
        let (spread, database) = (Arc::clone(spread), Arc::clone(database));
        Self { spread, database, destination, cursor: Cursor::default(), head: None, ended: false }
    }

    fn put_back(&mut self, events: Placed) {
        self.head = Some(events);
    }

    fn next(&mut self) -> Result<Option<Placed>, Damage> {
        if self.head.is_some() || self.ended {
            return Ok(self.head.take());
        }
        let mut spread = self.spread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(spread) = &mut *spread else { return Ok(None) };
        let next = spread.next_of(self.destination, &mut self.cursor);
        self.ended = !matches!(next, Ok(Some(_)));
        next.map_err(|error| self.database.refuse(error))
    }
}

impl Records {
    fn shared_record(&mut self, shared: Placed) -> Result<Record, Damage> {
        if let Some(damage) = self.gap_before(shared.before) {
            self.shared.put_back(shared);
            return Err(damage);
        }
        self.read = shared.before.saturating_add(shared.events);
        let Placed { time, first, events, frames, .. } = shared;
        Ok(Record { run: self.of.run, time, first, events, frames: Frames::Loose(frames) })
    }

    /// What is missing before an event that so many stand before. It is told once.
    fn gap_before(&mut self, before: u32) -> Option<Damage> {
        let gap = before.saturating_sub(self.read);
        self.read = self.read.max(before);
        let damage = || Damage { missing: gap.into(), what: "events are missing".to_owned() };
        (gap > 0).then(damage)
    }

    /// The record that begins here; `None` where it was never written to its end.
    fn record(&mut self, key: &sled::IVec, value: sled::IVec) -> Result<Option<Record>, Damage> {
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
        // W4: no event is written under a time of another minute.
        if !self.of.minute.contains(head.time()) {
            let what = "a record is of another minute".to_owned();
            return Err(Damage { missing: u64::from(head.events), what });
        }
        if let Some(damage) = self.gap_before(head.before) {
            // The record itself is good: it is read again after the gap was told.
            self.entries.put_back((key.clone(), value));
            return Err(damage);
        }
        self.read = head.before.saturating_add(head.events);
        let frames = match (head.slices, head.unpacked) {
            (..=1, 0) => Frames::Stored(value, start),
            (..=1, _) => Frames::Loose(unpack(&head, value.get(start..).unwrap_or_default())?),
            (_, unpacked) => {
                let beginning = value.get(start..).unwrap_or_default().to_vec();
                let Some(joined) = self.join(first, &head, beginning)? else { return Ok(None) };
                Frames::Loose(if unpacked == 0 { joined } else { unpack(&head, &joined)? })
            }
        };
        let (run, time, events) = (self.of.run, head.time(), head.events);
        Ok(Some(Record { run, time, first, events, frames }))
    }

    /// Puts the slices of a large event together; `None` where the run ends in the middle of it.
    fn join(
        &mut self,
        first: Seq,
        head: &RecordHead,
        mut bytes: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Damage> {
        let lost = |what: &str| Damage { missing: 1, what: what.to_owned() };
        for expected in 1..head.slices {
            let Some(entry) = self.entries.next() else {
                return match &self.open_end {
                    Some(run) if end_of(run, true)? == u64::from(first.get()) => Ok(None),
                    _ => Err(lost("a large event is cut")),
                };
            };
            let (key, value) = entry?;
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
        Ok(Some(bytes))
    }
}

/// The events of a record that are packed. Their checksum was right: where they do not unpack, they
/// were never written as they should be.
fn unpack(head: &RecordHead, packed: &[u8]) -> Result<Vec<u8>, Damage> {
    packing::unpack(packed, head.unpacked).map_err(|error| Damage {
        missing: head.events.into(),
        what: format!("the events of a record are {error}"),
    })
}
