//! The events of one request, framed and grouped by destination, ready to be appended.
//!
//! All the work that can be done side by side happens here, in the thread of the request, packing
//! included; the one writer only joins chunks to records.

use std::collections::HashMap;

use model::{Destination, EventId, EventName, RunId, Seq, UnixMillis};

use crate::chunk::Chunks;
use crate::identity::Identity;
use crate::packing::Packer;
use crate::record::DestKey;

/// The events of a request for one destination, in their order.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) destination: Destination,
    pub(crate) key: DestKey,
    pub(crate) events: u32,
    pub(crate) chunks: Chunks,
}

/// Events of one group that belong to one identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) identity: Identity,
    pub(crate) group: u32,
    /// How many events of the group stand before them.
    pub(crate) offset: u32,
    /// How many events of the identity stand before them.
    pub(crate) number: u32,
    pub(crate) events: u32,
}

/// What of a batch the writer needs.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) groups: Vec<Group>,
    pub(crate) order: Vec<u32>,
    pub(crate) identified: Vec<Identified>,
}

/// The events of one request. They are appended all together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) groups: Vec<Group>,
    by_key: HashMap<DestKey, u32>,
    /// For each event in the order of the request: its group. Empty while there is one group.
    order: Vec<u32>,
    identified: Vec<Identified>,
    events: u32,
    payload_bytes: u64,
    packer: Option<Box<Packer>>,
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
        group.chunks.push(name, payload, &mut self.packer);
        group.events += 1;
        self.events += 1;
        self.payload_bytes += payload.len() as u64;
    }

    /// Packs the last events of each destination, as those before them were. Without it they are
    /// written as they are.
    pub fn pack(&mut self) {
        let mut packer = self.packer.take();
        for group in &mut self.groups {
            group.chunks.pack(&mut packer);
        }
    }

    /// Says whose event the one is that was pushed last: it is one of its own, in this batch as in
    /// any other.
    pub fn identify_last(&mut self, identity: Identity) {
        let index = match &*self.order {
            [] => 0,
            [.., last] => *last,
        };
        let group = usize::try_from(index).ok().and_then(|group| self.groups.get(group));
        let Some(offset) = group.and_then(|group| group.events.checked_sub(1)) else { return };
        self.identified.push(Identified { identity, group: index, offset, number: 0, events: 1 });
    }

    /// Says whose events all that were pushed are. The same events in the same order make the same
    /// numbers.
    pub fn identify(&mut self, identity: Identity) {
        let mut number = 0;
        for (index, group) in (0..).zip(&self.groups) {
            let events = group.events;
            self.identified.push(Identified { identity, group: index, offset: 0, number, events });
            number += events;
        }
    }

    /// How many places in the log the identities of this batch take.
    pub fn identified_places(&self) -> usize {
        self.identified.len()
    }

    fn group_index(&mut self, destination: &Destination) -> u32 {
        if let [only] = &*self.groups
            && only.destination == *destination
        {
            return 0;
        }
        let key = DestKey::of(destination);
        let next = u32::try_from(self.groups.len()).expect("a request has under 2^32 events");
        let index = match &*self.groups {
            // Nearly every request has one destination, and needs no table.
            [] => 0,
            [only] => {
                self.by_key.extend([(only.key, 0), (key, next)]);
                next
            }
            _ => *self.by_key.entry(key).or_insert(next),
        };
        if index == next {
            if next == 1 {
                // The first event of a second destination: the order is no longer implied.
                self.order.resize(usize::try_from(self.events).unwrap_or_default(), 0);
            }
            let destination = destination.clone();
            self.groups.push(Group { destination, key, events: 0, chunks: Chunks::default() });
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

    /// Each destination once.
    pub fn each_destination(&self) -> impl Iterator<Item = &Destination> {
        self.groups.iter().map(|group| &group.destination)
    }

    /// The bytes of all payloads.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The bytes that the batch takes in memory, and about as many in the log.
    pub fn size_bytes(&self) -> usize {
        self.groups.iter().map(|group| group.chunks.size_bytes()).sum::<usize>()
            + self.order.len() * size_of::<u32>()
            + self.identified.len() * size_of::<Identified>()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(crate) fn into_parts(self) -> Parts {
        Parts { groups: self.groups, order: self.order, identified: self.identified }
    }

    /// What became of these events when they were appended before, at `origin`.
    pub fn appended_at(self, origin: &Origin) -> Appended {
        Appended { origin: origin.clone(), order: self.order, events: self.events }
    }
}

/// Where the events of a batch are: with the batch itself it tells their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    time: UnixMillis,
    run: RunId,
    firsts: Firsts,
}

/// The position of the first event of each group; the group's others follow it. Nearly every
/// request has one group.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Firsts {
    One(u32),
    Many(Box<[u32]>),
}

impl Origin {
    pub(crate) fn new(time: UnixMillis, run: RunId, firsts: Vec<u32>) -> Self {
        let firsts = match *firsts {
            [one] => Firsts::One(one),
            _ => Firsts::Many(firsts.into()),
        };
        Self { time, run, firsts }
    }

    /// The origin of one event.
    pub fn of(id: EventId) -> Self {
        Self { time: id.time(), run: id.run(), firsts: Firsts::One(id.seq().get()) }
    }

    /// The id of the first event.
    pub fn first(&self) -> EventId {
        let first = self.firsts().first().copied().unwrap_or(0);
        EventId::new(self.time, self.run, Seq::new(first))
    }

    /// How many positions it keeps outside of itself, 4 bytes each.
    pub fn boxed_positions(&self) -> usize {
        match &self.firsts {
            Firsts::One(_) => 0,
            Firsts::Many(firsts) => firsts.len(),
        }
    }

    fn firsts(&self) -> &[u32] {
        match &self.firsts {
            Firsts::One(first) => std::slice::from_ref(first),
            Firsts::Many(firsts) => firsts,
        }
    }
}

/// What became of a batch: it is on stable storage, and these are the ids of its events.
#[derive(Clone, Debug)]
pub struct Appended {
    pub(crate) origin: Origin,
    pub(crate) order: Vec<u32>,
    pub(crate) events: u32,
}

impl Appended {
    /// Where the events are.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The ids in the order in which the events were pushed.
    pub fn ids(&self) -> impl Iterator<Item = EventId> + '_ {
        let mut next = self.origin.firsts().to_vec();
        (0..self.events).map(move |position| {
            let position = usize::try_from(position).unwrap_or_default();
            let group = self.order.get(position).copied().unwrap_or(0);
            let group = usize::try_from(group).unwrap_or_default();
            let seq = next.get_mut(group).map_or(0, |next| {
                *next += 1;
                *next - 1
            });
            EventId::new(self.origin.time, self.origin.run, Seq::new(seq))
        })
    }

    /// The id of the event that was pushed first.
    pub fn first(&self) -> EventId {
        self.origin.first()
    }

    /// The id of the event that was pushed last.
    pub fn last(&self) -> EventId {
        if self.order.is_empty() {
            let first = self.first();
            let last = first.seq().get() + self.events.saturating_sub(1);
            return EventId::new(first.time(), first.run(), Seq::new(last));
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
        let order = batch.into_parts().order;
        let origin = Origin::new(UnixMillis::new(1), RunId::from_bits(1), vec![10, 13, 15]);
        let appended = Appended { origin, order, events };
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
        let Parts { groups, order, .. } = batch.into_parts();
        assert_eq!((groups.len(), order.len()), (1, 0));
        let origin = Origin::new(UnixMillis::new(1), RunId::from_bits(1), vec![7]);
        let appended = Appended { origin, order, events: 3 };
        assert_eq!(appended.last(), appended.ids().last().unwrap());
    }

    #[test]
    fn identities_count_the_events_of_their_own() {
        let identity = Identity::new([7; 16]);
        let (mut whole, mut each) = (Batch::new(), Batch::new());
        for prefix in ["a", "b", "a"] {
            whole.push(&destination(prefix), None, b"1");
            each.push(&destination(prefix), None, b"1");
            each.identify_last(identity);
        }
        whole.identify(identity);
        let places = |batch: Batch| {
            let each = batch.into_parts().identified.into_iter();
            each.map(|it| (it.group, it.offset, it.number, it.events)).collect::<Vec<_>>()
        };
        assert_eq!(places(whole), [(0, 0, 0, 2), (1, 0, 2, 1)]);
        assert_eq!(places(each), [(0, 0, 0, 1), (1, 0, 0, 1), (0, 1, 0, 1)]);
    }
}
