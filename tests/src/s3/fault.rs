//! What can be broken, and the script that says when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::{Seen, lock};

/// What happens to a request in place of, or besides, what it asks for.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An answer with an error of S3 in it: status and code. With status 200 it is the error inside
    /// of a success.
    Refuse(u16, &'static str),
    /// 301 that names this region.
    Redirect(&'static str),
    /// 200 with nothing in it: neither headers of S3's nor a body.
    Empty,
    /// No answer until the rule is ended, and then a dropped connection.
    Hang,
    /// A dropped connection, with nothing done.
    Drop,
    /// A dropped connection, after it was done.
    LoseAnswer,
    /// An answer that takes this long.
    Delay(Duration),
    /// The same, after it was done: what the client is told is not what happened.
    Done(Box<Fault>),
    /// A connection that is dropped once so many bytes of the body have come, or all but one.
    CutBody(usize),
    /// It is done, and the connection dropped after so many bytes of the answer.
    CutAnswer(usize),
    /// So many bytes a second, both ways, until the rule is ended.
    Trickle(u32),
    /// One bit of the body is another when it comes; this chooses which.
    Flip(u64),
    /// It is done, and answered with another `ETag`.
    WrongETag,
    /// Somebody else's bytes, as many, stand under the key before it is done.
    Foreign,
}

impl Fault {
    /// This, but only after the request was done.
    #[must_use]
    pub fn done(self) -> Self {
        Self::Done(Box::new(self))
    }
}

/// Which requests a fault is for: all, unless narrowed down.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    call: Option<&'static str>,
    bucket: Option<String>,
    prefix: Option<String>,
    header: Option<(&'static str, String)>,
    left: Option<u32>,
    every: u32,
}

/// A rule that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u32);

impl Rule {
    /// A fault for every request.
    pub fn new(fault: Fault) -> Self {
        let (call, bucket, prefix, header, left) = (None, None, None, None, None);
        Self { fault, call, bucket, prefix, header, left, every: 1 }
    }

    /// Only for this operation, by S3's name.
    #[must_use]
    pub fn on(mut self, call: &'static str) -> Self {
        self.call = Some(call);
        self
    }

    /// Only for this bucket.
    #[must_use]
    pub fn bucket(mut self, bucket: &str) -> Self {
        self.bucket = Some(bucket.to_owned());
        self
    }

    /// Only for keys that begin so.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = Some(prefix.to_owned());
        self
    }

    /// Only for requests with this text in this header; the empty text stands in each.
    #[must_use]
    pub fn header(mut self, name: &'static str, text: &str) -> Self {
        self.header = Some((name, text.to_owned()));
        self
    }

    /// Only for every so many-th request.
    #[must_use]
    pub fn every(mut self, every: u32) -> Self {
        self.every = every;
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    fn is_for(&self, seen: &Seen) -> bool {
        self.left != Some(0)
            && self.call.is_none_or(|wanted| wanted == seen.call)
            && self.bucket.as_deref().is_none_or(|wanted| wanted == seen.bucket)
            && self.prefix.as_deref().is_none_or(|wanted| seen.key.starts_with(wanted))
            && self.header.as_ref().is_none_or(|(name, text)| {
                seen.header(name).is_some_and(|value| value.contains(text.as_str()))
            })
    }
}

#[derive(Debug)]
struct Entry {
    rule: Rule,
    /// How many requests it was for, and how many of them it took.
    met: u32,
    hits: u32,
    in_force: watch::Sender<bool>,
}

impl Entry {
    /// Whether this request is the rule's.
    fn takes(&mut self, seen: &Seen) -> bool {
        let is_for = self.rule.is_for(seen);
        self.met += u32::from(is_for);
        is_for && self.met.is_multiple_of(self.rule.every)
    }
}

/// All rules, also those that have ended.
#[derive(Debug, Default)]
pub(super) struct Script(Mutex<BTreeMap<RuleId, Entry>>);

/// What is to happen to one request; `ended` tells when its rule ends.
#[derive(Debug)]
pub(super) struct Meeting {
    pub(super) fault: Fault,
    pub(super) ended: watch::Receiver<bool>,
}

impl Script {
    pub(super) fn add(&self, rule: Rule) -> RuleId {
        let mut entries = lock(&self.0);
        let id = RuleId(u32::try_from(entries.len()).expect("no test has that many rules"));
        entries.insert(id, Entry { rule, met: 0, hits: 0, in_force: watch::Sender::new(true) });
        id
    }

    pub(super) fn remove(&self, id: RuleId) {
        if let Some(entry) = lock(&self.0).get_mut(&id) {
            entry.rule.left = Some(0);
            entry.in_force.send_replace(false);
        }
    }

    pub(super) fn hits(&self, id: RuleId) -> u32 {
        lock(&self.0).get(&id).map_or(0, |entry| entry.hits)
    }

    /// The oldest rule that takes the request.
    pub(super) fn meet(&self, seen: &Seen) -> Option<Arc<Meeting>> {
        let mut entries = lock(&self.0);
        let entry = entries.values_mut().find_map(|entry| entry.takes(seen).then_some(entry))?;
        entry.hits += 1;
        entry.rule.left = entry.rule.left.map(|left| left - 1);
        let (fault, ended) = (entry.rule.fault.clone(), entry.in_force.subscribe());
        Some(Arc::new(Meeting { fault, ended }))
    }
}
