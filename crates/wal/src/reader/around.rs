//! The events of a run that are next to one id, reading no more than these: heads of all records,
//! which are few, and the events of those that are near.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Destination, EventId, Seq, UnixMillis};

use crate::inspect::NameFilter;
use crate::packing;
use crate::reader::{Damage, EventRef, Frames, Record, RunReader};
use crate::record::{self, DestKey, Key};
use crate::records::{Records, SharedOf};
use crate::scan::Scan;
use crate::shared::{self, SHARED_PREFIX, SharedKey};

/// Which events are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    /// Those next to this id.
    pub(crate) centre: EventId,
    /// So many before it, or some more.
    pub(crate) before: usize,
    /// So many from it on, or some more.
    pub(crate) after: usize,
    /// Only those whose names fit.
    pub(crate) name: Option<&'a NameFilter>,
    /// Only those to destinations that have this text in `bucket/prefix/`.
    pub(crate) destination: Option<&'a str>,
}

/// A record of which only the head was looked at.
struct Head {
    time: UnixMillis,
    first: Seq,
    key: sled::IVec,
    /// Whose events it holds; `None` where it holds those of several.
    destination: Option<DestKey>,
    /// Whether further slices follow it.
    is_cut: bool,
}

impl RunReader {
    /// Calls `each` with the events that are wanted, in no order, and `damaged` with what cannot be
    /// read of them.
    pub(crate) fn around(
        &self,
        wanted: &Around<'_>,
        each: &mut dyn FnMut(&Destination, &EventRef<'_>),
        damaged: &mut dyn FnMut(Damage),
    ) {
        let mut heads = self.heads(wanted.name, damaged);
        heads.sort_unstable_by_key(|head| (head.time, head.first));
        let id = |head: &Head| EventId::new(head.time, self.name.run, head.first);
        let split = heads.partition_point(|head| id(head) < wanted.centre);
        let (before, after) = heads.split_at(split);
        let (name, destination) = (wanted.name, wanted.destination);
        let mut hand = HandOut { of: self, name, destination, known: HashMap::new(), each };
        let mut left = wanted.before;
        for head in before.iter().rev() {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(hand.record(head, damaged));
        }
        let mut left = wanted.after;
        for head in after {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(hand.record(head, damaged));
        }
    }

    /// The heads of all records that may hold events with such names. A name is looked for here, as
    /// reading one record after the other costs less than each of them by its key.
    fn heads(&self, name: Option<&NameFilter>, damaged: &mut dyn FnMut(Damage)) -> Vec<Head> {
        let until = self.until.unwrap_or(u32::MAX);
        let is_there = |first: Seq| first.get() < until;
        let mut heads = Vec::new();
        let mut note = |found: Result<Option<Head>, Damage>| match found {
            Ok(head) => heads.extend(head),
            Err(damage) => damaged(damage),
        };
        for entry in Scan::new(&self.database, &record::EVENTS_PREFIX) {
            note(entry.and_then(|(key, value)| match Key::parse(&key) {
                Some(Key::Events { destination, first, slice: 0, .. }) if is_there(first) => {
                    let (head, frames) = record::decode_events(&key, &value).map_err(lost)?;
                    let is_cut = head.slices > 1;
                    let may_hold = |name: &NameFilter| match head.unpacked {
                        _ if is_cut => true,
                        0 => name.may_be_in(frames),
                        // What does not unpack is told of when it is read.
                        unpacked => packing::unpack(frames, unpacked)
                            .map_or(true, |frames| name.may_be_in(&frames)),
                    };
                    let (time, destination) = (head.time(), Some(destination));
                    let head = Head { time, first, key, destination, is_cut };
                    Ok(name.is_none_or(may_hold).then_some(head))
                }
                _ => Ok(None),
            }));
        }
        for entry in Scan::new(&self.database, &SHARED_PREFIX) {
            note(entry.and_then(|(key, value)| match SharedKey::parse(&key) {
                Some(SharedKey::Record(_, first)) if is_there(first) => {
                    let (head, frames) = shared::decode_head(&key, &value).map_err(lost)?;
                    let may_hold = name.is_none_or(|name| name.may_be_in(frames));
                    let (time, destination, is_cut) = (head.time(), None, false);
                    Ok(may_hold.then_some(Head { time, first, key, destination, is_cut }))
                }
                _ => Ok(None),
            }));
        }
        heads
    }

    /// The record of one destination that begins at a key.
    fn own_record(&self, head: &Head, destination: DestKey) -> Option<Result<Record, Damage>> {
        let entries = if head.is_cut {
            // Nothing lies between a key without its last byte and the key.
            let last = head.key.split_last().map_or(&*head.key, |(_, last)| last);
            Scan::after(&self.database, &destination.events_prefix(), last)
        } else {
            Scan::new(&self.database, &head.key)
        };
        let mut records = Records {
            entries,
            shared: SharedOf::new(&Arc::default(), &self.database, destination),
            damage: None,
            of: self.name,
            until: u32::MAX,
            // What is missing before it is not asked for.
            read: u32::MAX,
            open_end: self.was_never_closed.then(|| Arc::clone(&self.database)),
        };
        records.next()
    }
}

fn lost(error: impl std::fmt::Display) -> Damage {
    Damage { missing: 0, what: error.to_string() }
}

struct HandOut<'h> {
    of: &'h RunReader,
    name: Option<&'h NameFilter>,
    destination: Option<&'h str>,
    known: HashMap<DestKey, Known>,
    each: &'h mut dyn FnMut(&Destination, &EventRef<'_>),
}

/// What is known of a destination.
enum Known {
    Wanted(Destination),
    Unwanted,
    Lost,
}

impl HandOut<'_> {
    /// Hands out the events of a record; returns how many.
    fn record(&mut self, head: &Head, damaged: &mut dyn FnMut(Damage)) -> usize {
        let handed = match head.destination {
            Some(destination) if matches!(self.know(destination), Known::Unwanted) => Ok(0),
            Some(destination) => match self.of.own_record(head, destination) {
                Some(record) => record.and_then(|record| self.events(destination, &record)),
                None => Ok(0),
            },
            None => self.shared(head),
        };
        handed.unwrap_or_else(|damage| {
            damaged(damage);
            0
        })
    }

    fn shared(&mut self, head: &Head) -> Result<usize, Damage> {
        let Some(entry) = Scan::new(&self.of.database, &head.key).next() else { return Ok(0) };
        let (key, value) = entry?;
        let (_, mut rest) = shared::decode_head(&key, &value).map_err(lost)?;
        let (run, time, mut seq, mut handed) = (self.of.name.run, head.time, head.first.get(), 0);
        while !rest.is_empty() {
            let (entry, behind) = shared::decode_entry(rest).map_err(lost)?;
            let (first, frames) = (Seq::new(seq), Frames::Loose(entry.frames.to_vec()));
            let record = Record { run, time, first, events: entry.events, frames };
            handed += self.events(entry.destination, &record)?;
            seq = seq.saturating_add(entry.events);
            rest = behind;
        }
        Ok(handed)
    }

    fn know(&mut self, destination: DestKey) -> &Known {
        let (of, text) = (self.of, self.destination);
        self.known.entry(destination).or_insert_with(|| {
            let key = destination.definition_key();
            let definition = Scan::new(&of.database, &key).next().and_then(Result::ok);
            let known =
                definition.and_then(|(key, value)| record::decode_definition(&key, &value).ok());
            match known {
                Some(known) if text.is_none_or(|text| known.to_string().contains(text)) => {
                    Known::Wanted(known)
                }
                Some(_) => Known::Unwanted,
                None => Known::Lost,
            }
        })
    }

    fn events(&mut self, destination: DestKey, record: &Record) -> Result<usize, Damage> {
        // Most records have none of the wanted names: their bytes tell it at once.
        if self.name.is_some_and(|name| !name.may_be_in(record.bytes())) {
            return Ok(0);
        }
        self.know(destination);
        let known = match self.known.get(&destination) {
            Some(Known::Wanted(known)) => known,
            Some(Known::Unwanted) => return Ok(0),
            Some(Known::Lost) | None => {
                let what = "a destination is lost".to_owned();
                return Err(Damage { missing: u64::from(record.events), what });
            }
        };
        let mut handed = 0;
        for event in record.iter() {
            let event = event?;
            if self.name.is_none_or(|name| name.fits(event.name)) {
                handed += 1;
                (self.each)(known, &event);
            }
        }
        Ok(handed)
    }
}
