//! What the store held at a moment of somebody else's clock, and a store that is set back to it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{S3Server, Stored, lock};

/// Objects that a server held at some moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Vec<Stored>);

impl Snapshot {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl S3Server {
    /// Stamps each object, from now on, with what this counter says at the moment at which it is
    /// stored, before anybody is told that it is.
    pub fn stamp_by(&self, counter: Arc<AtomicU64>) {
        lock(&self.contents).counter = counter;
    }

    /// The stamps of all objects.
    pub fn stamps(&self) -> Vec<u64> {
        lock(&self.contents).stamps.values().copied().collect()
    }

    /// The objects with this stamp or an earlier one.
    pub fn snapshot(&self, stamp: u64) -> Snapshot {
        let contents = lock(&self.contents);
        let places = contents.stamps.iter().filter(|(_, of)| **of <= stamp);
        let object =
            |(bucket, key): &(String, String)| contents.buckets.get(bucket)?.get(key).cloned();
        Snapshot(places.filter_map(|(place, _)| object(place)).collect())
    }

    /// Makes these objects, with the stamp 0, all that is stored. Unfinished uploads are forgotten.
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut contents = lock(&self.contents);
        contents.uploads.clear();
        contents.overwritten.clear();
        contents.stamps.clear();
        for objects in contents.buckets.values_mut() {
            objects.clear();
        }
        for object in &snapshot.0 {
            contents.stamps.insert((object.bucket.clone(), object.key.clone()), 0);
            let objects = contents.buckets.entry(object.bucket.clone()).or_default();
            objects.insert(object.key.clone(), object.clone());
        }
    }
}
