//! Reading a database on, some entries at a time.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use crate::database::{Database, Entry};
use crate::reader::Damage;

/// The entries of a database whose keys begin with a prefix, in order. sled's panics come out as
/// damage: a database that is not what sled wrote can make it panic.
#[derive(Debug)]
pub(crate) struct Scan {
    database: Arc<Database>,
    prefix: Vec<u8>,
    last: Option<sled::IVec>,
    fetched: VecDeque<Entry>,
    ended: bool,
}

impl Scan {
    pub(crate) fn new(database: &Arc<Database>, prefix: &[u8]) -> Self {
        Self {
            database: Arc::clone(database),
            prefix: prefix.to_vec(),
            last: None,
            fetched: VecDeque::new(),
            ended: false,
        }
    }

    /// The same, of those that follow the key `last`.
    pub(crate) fn after(database: &Arc<Database>, prefix: &[u8], last: &[u8]) -> Self {
        Self { last: Some(sled::IVec::from(last)), ..Self::new(database, prefix) }
    }

    /// Reads no more.
    pub(crate) fn end(&mut self) {
        self.fetched.clear();
        self.ended = true;
    }

    /// Puts an entry back, to be read once more.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.fetched.push_front(entry);
    }
}

impl Iterator for Scan {
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fetched.is_empty() && !self.ended {
            let start = match self.last.take() {
                Some(last) => Bound::Excluded(last),
                None => Bound::Included(sled::IVec::from(&*self.prefix)),
            };
            match self.database.fetch(&self.prefix, start) {
                Ok(entries) => self.fetched = entries,
                Err(damage) => {
                    self.ended = true;
                    return Some(Err(damage));
                }
            }
            self.last = self.fetched.back().map(|(key, _)| key.clone());
            self.ended = self.fetched.is_empty();
        }
        self.fetched.pop_front().map(Ok)
    }
}
