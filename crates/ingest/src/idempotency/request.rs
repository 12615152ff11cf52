//! The events of one request that have ids of their own.

use std::collections::HashMap;

use model::EventId;
use wal::{Appended, Origin};

use crate::idempotency::key::{Content, EventKey, KeyHash};
use crate::problem::{Kind, Problem};

/// So many events with an id may one request have.
pub(crate) const MAX_IDS: usize = 10_000;

/// Which of the events of a request are new, and where the others are.
#[derive(Debug)]
pub(crate) struct Each {
    events: u32,
    /// The events with an id, each id once, in their order.
    first: Vec<EventKey>,
    /// Events whose id came before in the same request: which one, and where in `first` it is.
    again: HashMap<u32, usize>,
    /// What was answered to those in `first`, where they were sent before.
    answers: Vec<Option<Origin>>,
}

impl Each {
    /// Sorts the ids of a request with so many events. The same id with another content is refused.
    pub(crate) fn new(events: u32, keys: Vec<EventKey>) -> Result<Self, Problem> {
        let mut seen: HashMap<KeyHash, usize> = HashMap::with_capacity(keys.len());
        let mut this =
            Self { events, first: Vec::new(), again: HashMap::new(), answers: Vec::new() };
        for key in keys {
            let next = this.first.len();
            let place = *seen.entry(key.key).or_insert(next);
            match this.first.get(place) {
                None => this.first.push(key),
                Some(first) if first.content == key.content => {
                    this.again.insert(key.index, place);
                }
                Some(_) => return Err(reused(&key, "earlier in this request")),
            }
        }
        Ok(this)
    }

    /// The keys to claim, in their order.
    pub(crate) fn keys(&self) -> Vec<(KeyHash, Content)> {
        self.first.iter().map(|key| (key.key, key.content)).collect()
    }

    /// Takes what the table knows of the keys.
    pub(crate) fn answered(&mut self, answers: Vec<Option<Origin>>) {
        self.answers = answers;
    }

    /// The problem with the key of this number in [`Each::keys`].
    pub(crate) fn reused(&self, number: usize) -> Problem {
        let key = self.first.get(number).expect("it is the number of one of its keys");
        reused(key, "before")
    }

    /// The events that are not to be appended, in their order.
    pub(crate) fn known(&self) -> Vec<u32> {
        let answered = self.first.iter().zip(&self.answers);
        let answered = answered.filter(|(_, answer)| answer.is_some()).map(|(key, _)| key.index);
        let mut known: Vec<u32> = answered.chain(self.again.keys().copied()).collect();
        known.sort_unstable();
        known
    }

    /// The id of every event of the request, given what became of the new ones; and the origins of
    /// those of them that have a key, in the order of the keys.
    pub(crate) fn ids(&self, appended: Option<&Appended>) -> (Vec<EventId>, Vec<Origin>) {
        let mut new = appended.into_iter().flat_map(Appended::ids);
        let mut keys = self.first.iter().zip(&self.answers).peekable();
        let mut ids = Vec::new();
        let mut of_keys: Vec<EventId> = Vec::with_capacity(self.first.len());
        let mut origins = Vec::new();
        for index in 0..self.events {
            let id = if let Some(place) = self.again.get(&index) {
                of_keys.get(*place).copied()
            } else if let Some((_, answer)) = keys.next_if(|(key, _)| key.index == index) {
                let id = match answer {
                    Some(origin) => Some(origin.first()),
                    None => new.next().inspect(|id| origins.push(Origin::of(*id))),
                };
                of_keys.extend(id);
                id
            } else {
                new.next()
            };
            ids.extend(id);
        }
        (ids, origins)
    }
}

fn reused(key: &EventKey, when: &str) -> Problem {
    let detail = format!(
        "the id was sent {when} with another destination, name or payload: give each event an id \
         of its own, and send it again as it was"
    );
    let problem = Problem::new(Kind::IdempotencyKeyReused, detail).field("id");
    if key.in_array { problem.within(u64::from(key.index)) } else { problem }
}
