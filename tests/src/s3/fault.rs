//! What can be broken, and the script that says when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::lock;

/// What happens to a request in place of, or besides, what it asks for.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error of S3: status and code.
    Refuse(u16, &'static str),
    /// No answer until the rule is ended, and then a dropped connection.
    Hang,
    /// A dropped connection, with nothing done.
    Drop,
    /// A dropped connection, after it was done.
    LoseAnswer,
    /// An answer that takes this long.
    Delay(Duration),
}

/// Which requests a fault is for: all, unless narrowed down.
#[derive(Clone, Debug)]
pub struct Rule {
    fault: Fault,
    call: Option<&'static str>,
    bucket: Option<String>,
    prefix: Option<String>,
    left: Option<u32>,
}

/// A rule that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(u32);

impl Rule {
    /// A fault for every request.
    pub fn new(fault: Fault) -> Self {
        Self { fault, call: None, bucket: None, prefix: None, left: None }
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

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    fn takes(&self, call: &str, bucket: &str, key: &str) -> bool {
        self.left != Some(0)
            && self.call.is_none_or(|wanted| wanted == call)
            && self.bucket.as_deref().is_none_or(|wanted| wanted == bucket)
            && self.prefix.as_deref().is_none_or(|wanted| key.starts_with(wanted))
    }
}

#[derive(Debug)]
struct Entry {
    rule: Rule,
    hits: u32,
    in_force: watch::Sender<bool>,
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
        entries.insert(id, Entry { rule, hits: 0, in_force: watch::Sender::new(true) });
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
    pub(super) fn meet(&self, call: &str, bucket: &str, key: &str) -> Option<Arc<Meeting>> {
        let mut entries = lock(&self.0);
        let entry = entries.values_mut().find(|entry| entry.rule.takes(call, bucket, key))?;
        entry.hits += 1;
        entry.rule.left = entry.rule.left.map(|left| left - 1);
        let (fault, ended) = (entry.rule.fault.clone(), entry.in_force.subscribe());
        Some(Arc::new(Meeting { fault, ended }))
    }
}
