//! What was acknowledged, kept outside of what is tested, and the judgement by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::objects::{Objects, minute_of, time_of};

/// How much of a payload is shown.
const SHOWN_CHARS: usize = 60;

/// An event that was sent.
#[derive(Clone)]
pub struct Sent {
    /// Its bucket.
    pub bucket: String,
    /// Its prefix, without a slash at its end.
    pub prefix: String,
    /// Its payload, which no other event has.
    pub payload: String,
    /// Who sent it: one after the other, each after the answer to the one before.
    pub sender: usize,
}

/// As much of a payload as tells which one it is.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, payload, sender } = self;
        let start: String = payload.chars().take(SHOWN_CHARS).collect();
        write!(f, "{start:?} of sender {sender} to {bucket}/{prefix}")
    }
}

/// Every event that was sent, and the id of those that were acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Vec<(Sent, Option<String>)>);

impl Ledger {
    /// Notes an event; without an id it was not acknowledged.
    pub fn note(&mut self, sent: Sent, id: Option<String>) {
        self.0.push((sent, id));
    }

    /// Adds what another one noted.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The ledger of somebody who was told of these acknowledgements only.
    #[must_use]
    pub fn told_only(&self, is_told: impl Fn(&str) -> bool) -> Self {
        let told = |(sent, id): &(Sent, Option<String>)| {
            (sent.clone(), id.clone().filter(|id| is_told(id)))
        };
        Self(self.0.iter().map(told).collect())
    }

    /// Each event with its id, where it was acknowledged.
    pub fn events(&self) -> impl Iterator<Item = (&Sent, Option<&str>)> {
        self.0.iter().map(|(sent, id)| (sent, id.as_deref()))
    }

    /// How many were sent.
    pub fn sent(&self) -> usize {
        self.0.len()
    }

    /// How many of those that fit were acknowledged.
    pub fn acknowledged_to(&self, fits: impl Fn(&Sent) -> bool) -> usize {
        self.0.iter().filter(|(sent, id)| id.is_some() && fits(sent)).count()
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.0.iter().filter(|(_, id)| id.is_some()).count()
    }

    /// Judges what stands in S3, where minutes have so many seconds.
    ///
    /// G2: each acknowledged event is on exactly one line of exactly one object of its destination
    /// and minute. G3: each other one is on one line or on none. G6: in an object, events stand in
    /// the order of their ids, and those of one sender in the order in which it sent them. There
    /// is nothing else.
    #[track_caller]
    pub fn judge(&self, objects: &Objects, seconds: u64) {
        let mut places: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (number, object) in objects.0.iter().enumerate() {
            for (line, text) in object.lines.iter().enumerate() {
                places.entry(text).or_default().push((number, line));
            }
        }
        let mut orders: BTreeMap<usize, Vec<(usize, &Sent, &str)>> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for (sent, id) in &self.0 {
            let found = places.remove(sent.payload.as_str()).unwrap_or_default();
            let Some(id) = id else {
                assert!(found.len() <= 1, "unacknowledged, and delivered twice: {sent:?}");
                continue;
            };
            assert!(ids.insert(id), "the id {id} was given twice");
            let [(number, line)] = found[..] else {
                let what = if found.is_empty() { "lost" } else { "delivered twice" };
                panic!("acknowledged as {id}, and {what}, on {} lines: {sent:?}", found.len());
            };
            let object = objects.0.get(number).expect("it was found there");
            let there = (&object.bucket, &object.prefix, object.minute.clone());
            assert_eq!(there, (&sent.bucket, &sent.prefix, minute_of(id, seconds)), "{sent:?}");
            orders.entry(number).or_default().push((line, sent, id));
        }
        assert!(places.is_empty(), "nobody sent {places:?}");
        for order in orders.into_values() {
            assert_order(order);
        }
    }
}

fn assert_order(mut order: Vec<(usize, &Sent, &str)>) {
    order.sort_unstable_by_key(|(line, ..)| *line);
    let mut last = ("", 0);
    let mut last_of_sender: BTreeMap<usize, &str> = BTreeMap::new();
    for (_, sent, id) in order {
        assert!(last < (id, time_of(id)), "{id} stands after {}: {sent:?}", last.0);
        last = (id, time_of(id));
        // Payloads of one sender are numbered and sort as they were sent.
        let before = last_of_sender.insert(sent.sender, &sent.payload).unwrap_or("");
        assert!(before < sent.payload.as_str(), "{before} was sent before {}", sent.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Object;
    use ulid::Ulid;

    const TIME: u64 = 1_795_342_517_000;

    fn object(minute: &str, lines: &[&str]) -> Object {
        Object {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            prefix: "p".to_owned(),
            minute: minute.to_owned(),
            lines: lines.iter().map(ToString::to_string).collect(),
            size: 0,
            checksum: String::new(),
            parts: 0,
        }
    }

    /// Two acknowledged events and one that was not.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for (number, payload) in (0..).zip(["1", "2", "3"]) {
            let id = (number < 2).then(|| Ulid::from_parts(TIME, number).to_string());
            let (bucket, prefix) = ("b".to_owned(), "p".to_owned());
            ledger.note(Sent { bucket, prefix, payload: payload.to_owned(), sender: 0 }, id);
        }
        ledger
    }

    fn verdict(objects: Vec<Object>) -> Result<(), String> {
        let judge = || ledger().judge(&Objects(objects), 60);
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(judge));
        judged.map_err(|panic| {
            panic.downcast_ref::<String>().expect("the message has values in it").clone()
        })
    }

    #[test]
    fn what_is_promised_passes() {
        const MINUTE: &str = "2026-11-22T10:15:00Z";
        assert_eq!(verdict(vec![object(MINUTE, &["1", "2"])]), Ok(()));
        assert_eq!(verdict(vec![object(MINUTE, &["1", "2", "3"])]), Ok(()));
        for (lines, complaint) in [
            (&["1"][..], "and lost, on 0 lines"),
            (&["1", "2", "2"], "and delivered twice, on 2 lines"),
            (&["1", "2", "3", "3"], "unacknowledged, and delivered twice"),
            (&["1", "2", "4"], "nobody sent"),
            (&["2", "1"], "stands after"),
        ] {
            let error = verdict(vec![object(MINUTE, lines)]).expect_err("it was to be found");
            assert!(error.contains(complaint), "{lines:?}: {error}");
        }
        assert!(verdict(vec![object("2026-11-22T10:16:00Z", &["1", "2"])]).is_err());
        assert!(verdict(vec![object(MINUTE, &["1"]), object(MINUTE, &["1", "2"])]).is_err());
    }
}
