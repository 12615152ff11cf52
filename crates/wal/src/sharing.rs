//! Writing what a commit holds of many destinations and little of each: into shared records.

use model::{Seq, UnixMillis};

use crate::admit::Pending;
use crate::error::Result;
use crate::shared::{self, Entries};
use crate::writer::Active;

/// A destination of which a commit holds fewer bytes shares a record with others.
const LITTLE_BYTES: usize = 4 * 1024;

/// Says of each destination in a commit whether it shares records with others.
pub(crate) fn share(pending: &mut [Pending]) {
    let little = |pending: &Pending| {
        pending.chunks.iter().all(|chunk| chunk.unpacked == 0)
            && pending.size_bytes() < LITTLE_BYTES
    };
    // One alone is as well off with a record of its own, and is read without a detour.
    let several = pending.iter().filter(|pending| little(pending)).count() > 1;
    for pending in pending {
        pending.shares = several && little(pending);
    }
}

impl Active {
    /// Writes the events of destinations that share records; returns their bytes.
    pub(crate) fn write_shared<'p>(
        &mut self,
        pending: impl Iterator<Item = &'p Pending> + Clone,
        time: UnixMillis,
    ) -> Result<u64> {
        let mut bytes = 0;
        for pending in pending.clone() {
            bytes += self.define(pending)?;
        }
        let mut entries = Entries::default();
        for pending in pending {
            if !entries.have_room_for(pending.size_bytes()) {
                bytes += self.write_entries(&mut entries, time)?;
            }
            let standing = self.destinations.entry(pending.key).or_default();
            let frames = pending.chunks.iter().map(|chunk| &*chunk.frames);
            entries.push(pending.key, pending.events, standing.events, frames);
            standing.events += pending.events;
        }
        if entries.events() > 0 {
            bytes += self.write_entries(&mut entries, time)?;
        }
        Ok(bytes)
    }

    /// Writes the entries of one record, and empties them.
    fn write_entries(&mut self, entries: &mut Entries, time: UnixMillis) -> Result<u64> {
        let events = entries.events();
        let run = &self.run;
        let lay = |fence| run.insert(&shared::fence_key(fence), Vec::new());
        let place = self.shared.place(entries.size_bytes(), lay)?;
        let key = shared::shared_key(place, Seq::new(self.events));
        let value = entries.encode(&key, time);
        let bytes = (key.len() + value.len()) as u64;
        run.insert(&key, value)?;
        if self.shared.a_leaf_is_full() {
            run.have_cache_looked_at(&key)?;
        }
        self.events += events;
        Ok(bytes)
    }
}
