//! The events of one request, framed and grouped by destination, ready to be appended.
//!
//! All the work that can be done side by side happens here, in the thread of the request; the one
//! writer only joins chunks to records.

use std::collections::HashMap;

use model::{Destination, EventId, EventName, RunId, Seq, UnixMillis};

use crate::codec;
use crate::record::{DestKey, RECORD_BYTES};

/// Whole events of one destination, at most [`RECORD_BYTES`] of them unless it is one large event.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) events: u32,
    pub(crate) frames: Vec<u8>,
}

/// The events of a request for one destination, in their order.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) destination: Destination,
    pub(crate) key: DestKey,
    pub(crate) events: u32,
    pub(crate) chunks: Vec<Chunk>,
}

/// The events of one request. They are appended all together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) groups: Vec<Group>,
    by_key: HashMap<DestKey, u32>,
    /// For each event in the order of the request: its group. Empty while there is one group.
    order: Vec<u32>,
    events: u32,
    payload_bytes: u64,
}

impl Batch {
    /// A batch without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event. `payload` is one line: it holds no newline.
    pub fn push(&mut self, destination: &Destination, name: Option<&EventName>, payload: &[u8]) {
        let index = self.group_index(destination);
        let Some(group) = usize::try_from(index).ok().and_then(|index| self.groups.get_mut(index))
        else {
            return;
        };
        let name = name.map_or("", EventName::as_str);
        // 10 bytes hold both lengths.
        let size = name.len() + payload.len() + 10;
        match group.chunks.last_mut() {
            Some(chunk) if chunk.frames.len() + size <= RECORD_BYTES => {
                codec::encode_event(name, payload, &mut chunk.frames);
                chunk.events += 1;
            }
            _ => {
                let mut frames = Vec::with_capacity(size);
                codec::encode_event(name, payload, &mut frames);
                group.chunks.push(Chunk { events: 1, frames });
            }
        }
        group.events += 1;
        self.events += 1;
        self.payload_bytes += payload.len() as u64;
    }

    fn group_index(&mut self, destination: &Destination) -> u32 {
        if let [only] = &*self.groups
            && only.destination == *destination
        {
            return 0;
        }
        let key = DestKey::of(destination);
        let next = u32::try_from(self.groups.len()).expect("a request has under 2^32 events");
        let index = *self.by_key.entry(key).or_insert(next);
        if index == next {
            if next == 1 {
                // The first event of a second destination: the order is no longer implied.
                self.order.resize(usize::try_from(self.events).unwrap_or_default(), 0);
            }
            let destination = destination.clone();
            self.groups.push(Group { destination, key, events: 0, chunks: Vec::new() });
        }
        if self.groups.len() > 1 {
            self.order.push(index);
        }
        index
    }

    /// How many events there are.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// How many destinations there are.
    pub fn destinations(&self) -> usize {
        self.groups.len()
    }

    /// The bytes of all payloads.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The bytes that the batch takes in memory, and about as many in the log.
    pub fn size_bytes(&self) -> usize {
        let chunks = self.groups.iter().flat_map(|group| &group.chunks);
        chunks.map(|chunk| chunk.frames.len()).sum::<usize>() + self.order.len() * 4
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(crate) fn into_parts(self) -> (Vec<Group>, Vec<u32>) {
        (self.groups, self.order)
    }
}

/// What became of a batch: it is on stable storage, and these are the ids of its events.
#[derive(Clone, Debug)]
pub struct Appended {
    pub(crate) time: UnixMillis,
    pub(crate) run: RunId,
    /// The position of the first event of each group; the group's others follow it.
    pub(crate) firsts: Vec<u32>,
    pub(crate) order: Vec<u32>,
    pub(crate) events: u32,
}

impl Appended {
    /// The ids in the order in which the events were pushed.
    pub fn ids(&self) -> impl Iterator<Item = EventId> + '_ {
        let mut next = self.firsts.clone();
        (0..self.events).map(move |position| {
            let position = usize::try_from(position).unwrap_or_default();
            let group = self.order.get(position).copied().unwrap_or(0);
            let group = usize::try_from(group).unwrap_or_default();
            let seq = next.get_mut(group).map_or(0, |next| {
                *next += 1;
                *next - 1
            });
            EventId::new(self.time, self.run, Seq::new(seq))
        })
    }

    /// The id of the event that was pushed first.
    pub fn first(&self) -> EventId {
        self.ids().next().unwrap_or_else(|| EventId::new(self.time, self.run, Seq::default()))
    }

    /// The id of the event that was pushed last.
    pub fn last(&self) -> EventId {
        if self.order.is_empty() {
            let first = self.firsts.first().copied().unwrap_or(0);
            let last = first + self.events.saturating_sub(1);
            return EventId::new(self.time, self.run, Seq::new(last));
        }
        self.ids().last().unwrap_or_else(|| self.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(prefix: &str) -> Destination {
        Destination::parse("bucket", prefix).unwrap()
    }

    #[test]
    fn ids_come_in_the_order_of_the_request() {
        let mut batch = Batch::new();
        for prefix in ["a", "a", "b", "a", "c", "b"] {
            batch.push(&destination(prefix), None, b"{}");
        }
        assert_eq!(batch.groups.iter().map(|g| g.events).collect::<Vec<_>>(), [3, 2, 1]);
        let events = batch.events();
        let (_, order) = batch.into_parts();
        let time = UnixMillis::new(1);
        let appended =
            Appended { time, run: RunId::from_bits(1), firsts: vec![10, 13, 15], order, events };
        let seqs: Vec<u32> = appended.ids().map(|id| id.seq().get()).collect();
        assert_eq!(seqs, [10, 11, 13, 12, 15, 14]);
        assert_eq!(appended.first().seq().get(), 10);
        assert_eq!(appended.last().seq().get(), 14);
    }

    #[test]
    fn one_destination_needs_no_order() {
        let mut batch = Batch::new();
        for _ in 0..3 {
            batch.push(&destination("a"), None, b"{}");
        }
        let (groups, order) = batch.into_parts();
        assert_eq!((groups.len(), order.len()), (1, 0));
        let appended = Appended {
            time: UnixMillis::new(1),
            run: RunId::from_bits(1),
            firsts: vec![7],
            order,
            events: 3,
        };
        assert_eq!(appended.last(), appended.ids().last().unwrap());
    }

    #[test]
    fn chunks_hold_whole_events_and_little_more_than_a_record() {
        let mut batch = Batch::new();
        for size in [10, RECORD_BYTES * 3, 10, RECORD_BYTES / 2, RECORD_BYTES / 2, 10] {
            batch.push(&destination("a"), None, &vec![b'x'; size]);
        }
        let chunks = &batch.groups[0].chunks;
        assert_eq!(chunks.iter().map(|c| c.events).collect::<Vec<_>>(), [1, 1, 2, 2]);
        assert!(chunks.iter().all(|c| c.events == 1 || c.frames.len() <= RECORD_BYTES));
    }
}
