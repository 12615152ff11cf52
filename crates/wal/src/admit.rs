//! Which requests go into a commit, and the joining of their events by destination.

use std::collections::HashMap;

use model::{Destination, UnixMillis};
use tokio::sync::oneshot;

use crate::batch::{Appended, Batch, Identified, Parts};
use crate::chunk::Chunk;
use crate::error::Result;
use crate::identity::MAX_IDENTIFIED_PLACES;
use crate::log::{AppendError, LogOptions, Shared};
use crate::record::DestKey;
use crate::writer::{Active, Request};

/// The events of one commit for one destination.
pub(crate) struct Pending {
    pub(crate) destination: Destination,
    pub(crate) key: DestKey,
    pub(crate) events: u32,
    pub(crate) first: u32,
    pub(crate) chunks: Vec<Chunk>,
    /// Whether they are written to records that they share with other destinations.
    pub(crate) shares: bool,
}

impl Pending {
    /// The bytes of all its chunks.
    pub(crate) fn size_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.frames.len()).sum()
    }
}

/// A request within a commit, and where its groups are: which pending, and how far into it.
pub(crate) struct Admitted {
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
    pub(crate) groups: Vec<(usize, u32)>,
    pub(crate) order: Vec<u32>,
    pub(crate) identified: Vec<Identified>,
    pub(crate) events: u32,
}

impl Admitted {
    /// The position of the first event of each group.
    pub(crate) fn firsts(&self, pending: &[Pending]) -> Vec<u32> {
        let first = |index: usize| pending.get(index).map_or(0, |pending| pending.first);
        self.groups.iter().map(|(index, offset)| first(*index) + offset).collect()
    }
}

/// Decides which requests go into the commit, answers the others, and joins the events of those
/// that do by destination.
pub(crate) fn admit(
    active: &mut Active,
    requests: Vec<Request>,
    shared: &Shared,
    options: &LogOptions,
    now: UnixMillis,
) -> (Vec<Admitted>, Vec<Pending>) {
    let mut admitted = Vec::with_capacity(requests.len());
    let mut pending: Vec<Pending> = Vec::new();
    let mut by_key = HashMap::new();
    let mut bytes = 0;
    for Request { batch, answer } in requests {
        let size = batch.size_bytes() as u64;
        if let Some(message) = shared.usage.refusal_of_request(bytes, size) {
            answer.send(Err(AppendError::Full { message })).ok();
            continue;
        }
        if let Some(error) = refusal(active, &batch, options, now) {
            answer.send(Err(error)).ok();
            continue;
        }
        active.identified += batch.identified_places();
        bytes += size;
        active.payload_bytes += batch.payload_bytes();
        let events = batch.events();
        let Parts { groups, order, identified } = batch.into_parts();
        let mut places = Vec::with_capacity(groups.len());
        for group in groups {
            active.destinations.entry(group.key).or_default();
            let index = *by_key.entry(group.key).or_insert_with(|| {
                pending.push(Pending {
                    destination: group.destination,
                    key: group.key,
                    events: 0,
                    first: 0,
                    chunks: Vec::new(),
                    shares: false,
                });
                pending.len() - 1
            });
            if let Some(pending) = pending.get_mut(index) {
                places.push((index, pending.events));
                pending.events += group.events;
                group.chunks.append_to(&mut pending.chunks);
            }
        }
        admitted.push(Admitted { answer, groups: places, order, identified, events });
    }
    (admitted, pending)
}

/// Why a minute that is this far takes no such batch.
fn refusal(
    active: &Active,
    batch: &Batch,
    options: &LogOptions,
    now: UnixMillis,
) -> Option<AppendError> {
    let retry_after = active.run.name().minute.end().since(now);
    let known = |key| active.destinations.contains_key(key);
    let new = batch.groups.iter().filter(|group| !known(&group.key)).count();
    let limit = options.max_destinations;
    if active.destinations.len() + new > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Some(AppendError::TooManyDestinations { limit, retry_after });
    }
    let limit = MAX_IDENTIFIED_PLACES;
    exceeds(active.identified, batch.identified_places(), limit)
        .then_some(AppendError::TooManyIdentities { limit, retry_after })
}

/// Whether `new` identities are too many for a minute that has `there`. Events without one are
/// taken also beyond the limit.
fn exceeds(there: usize, new: usize, limit: u32) -> bool {
    new > 0 && there + new > usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_minute_takes_events_without_an_identity() {
        for (there, new, too_many) in
            [(0, 5, false), (0, 6, true), (4, 1, false), (4, 2, true), (5, 0, false), (5, 1, true)]
        {
            assert_eq!(exceeds(there, new, 5), too_many, "{there} + {new}");
        }
    }
}
