//! The lines around one id, as many as fit: the inspector's memory does not grow with the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Destination, EventId, EventName, ObjectKey, RunId, Seq, UnixMillis};

use crate::inspect::row::{Delivery, DeliveryState};
use crate::reader::DestinationId;

/// Where lines are, and how far they have come: an object, or a destination in a run.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) destination: Destination,
    pub(crate) destination_id: DestinationId,
    pub(crate) state: DeliveryState,
    pub(crate) key: Option<ObjectKey>,
    pub(crate) error: Option<String>,
    /// The bytes of a payload there, in the mean, where that is known.
    pub(crate) mean_bytes: Option<u64>,
}

impl Place {
    /// The log, of which nothing is sealed.
    pub(crate) fn logged(destination: &Destination) -> Self {
        Self {
            destination_id: DestinationId::of(destination),
            destination: destination.clone(),
            state: DeliveryState::Logged,
            key: None,
            error: None,
            mean_bytes: None,
        }
    }
}

/// One event to one destination.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: EventId,
    pub(crate) name: Option<EventName>,
    /// Its number in the object, from 1.
    pub(crate) number: Option<u64>,
    /// The bytes of its payload, where they were seen.
    pub(crate) bytes: Option<u64>,
    pub(crate) place: Arc<Place>,
}

impl Line {
    /// What the row of the event says of this line.
    pub(crate) fn delivery(&self) -> Delivery {
        Delivery {
            id: self.id,
            bucket: self.place.destination.bucket().clone(),
            prefix: self.place.destination.prefix().clone(),
            state: self.place.state,
            key: self.place.key.clone(),
            line: self.number,
            error: self.place.error.clone(),
        }
    }
}

/// The lines up to one id and those after it, the nearest ones, each id once.
#[derive(Debug)]
pub(crate) struct Window {
    centre: EventId,
    /// How many lines each side may have.
    capacity: usize,
    before: BTreeMap<EventId, Line>,
    after: BTreeMap<EventId, Line>,
    cut: bool,
}

impl Window {
    /// The latest lines of all.
    pub(crate) fn latest(capacity: usize) -> Self {
        let last = EventId::new(UnixMillis::MAX, RunId::from_bits(u64::MAX), Seq::new(u32::MAX));
        Self::around(last, capacity)
    }

    /// The lines nearest to `centre`, up to `capacity` before it and as many after it.
    pub(crate) fn around(centre: EventId, capacity: usize) -> Self {
        let (before, after) = (BTreeMap::new(), BTreeMap::new());
        Self { centre, capacity, before, after, cut: false }
    }

    /// Whether no line of `first..=last` has a place any more. Notes that the window is cut.
    pub(crate) fn is_beyond(&mut self, first: EventId, last: EventId) -> bool {
        if self.before.len() >= self.capacity
            && self.before.keys().next().is_some_and(|lowest| last < *lowest)
        {
            self.cut = true;
            return true;
        }
        self.after.len() >= self.capacity
            && self.after.keys().next_back().is_some_and(|highest| first > *highest)
    }

    /// Takes a line in, if there is a place for it. Of two with one id the later state stays.
    pub(crate) fn offer(
        &mut self,
        id: EventId,
        name: Option<&str>,
        number: Option<u64>,
        place: &Arc<Place>,
    ) {
        self.offer_sized(id, name, number, None, place);
    }

    /// The same with the bytes of its payload.
    pub(crate) fn offer_sized(
        &mut self,
        id: EventId,
        name: Option<&str>,
        number: Option<u64>,
        bytes: Option<u64>,
        place: &Arc<Place>,
    ) {
        if self.is_beyond(id, id) {
            return;
        }
        let is_before = id <= self.centre;
        let side = if is_before { &mut self.before } else { &mut self.after };
        if side.get(&id).is_some_and(|known| known.place.state > place.state) {
            return;
        }
        let name = name.and_then(|name| EventName::new(name).ok());
        side.insert(id, Line { id, name, number, bytes, place: Arc::clone(place) });
        if side.len() > self.capacity {
            if is_before {
                self.cut = true;
                side.pop_first();
            } else {
                side.pop_last();
            }
        }
    }

    /// Whether no line up to `bound` has a place any more. Notes that the window is cut.
    pub(crate) fn is_full_above(&mut self, bound: EventId) -> bool {
        let is_full = self.before.len() >= self.capacity
            && self.before.keys().next().is_some_and(|lowest| bound < *lowest);
        self.cut |= is_full;
        is_full
    }

    /// The id that the window is around.
    pub(crate) fn centre(&self) -> EventId {
        self.centre
    }

    /// How many lines each side may have.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Whether lines before the first one were left out.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.before.values().chain(self.after.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u32) -> EventId {
        EventId::new(UnixMillis::new(5), RunId::from_bits(1), Seq::new(seq))
    }

    fn place(state: DeliveryState) -> Arc<Place> {
        let destination = Destination::parse("bucket", "p").unwrap();
        let destination_id = DestinationId::of(&destination);
        let (key, error, mean_bytes) = (None, None, None);
        Arc::new(Place { destination, destination_id, state, key, error, mean_bytes })
    }

    fn seqs(window: &Window) -> Vec<u32> {
        window.lines().map(|line| line.id.seq().get()).collect()
    }

    #[test]
    fn the_nearest_lines_stay() {
        let place = place(DeliveryState::Logged);
        let mut window = Window::around(id(10), 2);
        for seq in [3, 17, 10, 11, 9, 12, 8] {
            window.offer(id(seq), None, None, &place);
        }
        assert_eq!(seqs(&window), [9, 10, 11, 12]);
        assert!(window.is_cut());
        let mut window = Window::latest(3);
        for seq in [5, 1, 7] {
            window.offer(id(seq), None, None, &place);
        }
        assert!(!window.is_cut());
        assert!(!window.is_beyond(id(0), id(1)));
        assert!(window.is_beyond(id(0), id(0)));
        window.offer(id(6), None, None, &place);
        assert_eq!(seqs(&window), [5, 6, 7]);
    }

    #[test]
    fn an_id_is_there_once_with_its_later_state() {
        let mut window = Window::latest(3);
        for state in [DeliveryState::Logged, DeliveryState::Delivered, DeliveryState::Sealed] {
            window.offer(id(1), None, None, &place(state));
        }
        let states: Vec<_> = window.lines().map(|line| line.place.state).collect();
        assert_eq!(states, [DeliveryState::Delivered]);
    }
}
