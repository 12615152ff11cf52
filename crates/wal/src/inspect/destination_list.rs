//! The destinations of some minutes: what went to each, how that went, and what waits.

use std::cmp::Reverse;
use std::collections::HashMap;

use model::{Bucket, Destination, Minute, Prefix, UnixMillis};
use serde::Serialize;

use crate::deliveries::Outcome;
use crate::inspect::row::DeliveryState;
use crate::inspect::table::TableObject;
use crate::reader::DestinationId;

/// How a destination does; what asks for a person is greater than what does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DestinationState {
    /// All that was sealed for it is in S3.
    Delivered,
    /// Something is on its way, and was not refused.
    Sending,
    /// The last try has failed; it is tried again soon.
    Failing,
    /// S3 refuses it for a reason that only a person can mend.
    Parked,
    /// Something of it is damaged: kept, never sent.
    Quarantined,
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DestinationRow {
    /// The bucket.
    pub bucket: Bucket,
    /// The prefix.
    pub prefix: Prefix,
    /// How it does.
    pub state: DestinationState,
    /// Its events.
    pub events: u64,
    /// The bytes of its objects.
    pub bytes: u64,
    /// Its objects.
    pub objects: u64,
    /// How many of them are in S3.
    pub delivered: u64,
    /// How many of them wait for a person.
    pub parked: u64,
    /// How many of its events are not in S3.
    pub waiting_events: u64,
    /// When S3 confirmed one last.
    pub delivered_at: Option<UnixMillis>,
    /// From the end of its minute to that confirmation.
    pub lag_ms: Option<u64>,
    /// Why the latest one that is not in S3 is not.
    pub error: Option<String>,
    /// When that error was first met.
    pub failed_at: Option<UnixMillis>,
}

/// Adds objects up by destination.
#[derive(Debug, Default)]
pub(crate) struct DestinationSums(HashMap<DestinationId, DestinationRow>);

impl DestinationSums {
    /// How many destinations there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an object.
    pub(crate) fn add(
        &mut self,
        minute: Minute,
        object: &TableObject,
        state: DeliveryState,
        outcome: Option<&Outcome>,
    ) {
        let row = self.0.entry(object.destination_id);
        let row = row.or_insert_with(|| DestinationRow::new(&object.destination));
        row.events += object.events;
        row.bytes += object.bytes;
        row.objects += 1;
        if state != DeliveryState::Delivered {
            row.waiting_events += object.events;
        }
        row.delivered += u64::from(state == DeliveryState::Delivered);
        row.parked += u64::from(state == DeliveryState::Parked);
        row.state = row.state.max(match (state, outcome) {
            (DeliveryState::Delivered, _) => DestinationState::Delivered,
            (DeliveryState::Parked, _) => DestinationState::Parked,
            (DeliveryState::Quarantined, _) => DestinationState::Quarantined,
            (_, Some(Outcome::Failed(_))) => DestinationState::Failing,
            _ => DestinationState::Sending,
        });
        match outcome {
            Some(Outcome::Delivered(receipt)) => {
                let at = UnixMillis::new(receipt.at_ms);
                if row.delivered_at.is_none_or(|last| last < at) {
                    row.delivered_at = Some(at);
                    row.lag_ms = u64::try_from(at.since(minute.end()).as_millis()).ok();
                }
            }
            Some(Outcome::Failed(why) | Outcome::Parked(why) | Outcome::Quarantined(why)) => {
                let at = UnixMillis::new(why.at_ms);
                if row.failed_at.is_none_or(|last| last < at) {
                    row.failed_at = Some(at);
                    row.error = Some(why.error.clone());
                }
            }
            None => {}
        }
    }

    /// The rows, up to `limit`.
    pub(crate) fn into_rows(self, limit: usize) -> Vec<DestinationRow> {
        let mut rows: Vec<DestinationRow> = self.0.into_values().collect();
        let is_well = |row: &DestinationRow| row.state <= DestinationState::Sending;
        rows.sort_by_cached_key(|row| {
            let trouble =
                Reverse(if is_well(row) { DestinationState::Delivered } else { row.state });
            (trouble, Reverse(row.events), row.bucket.clone(), row.prefix.clone())
        });
        rows.truncate(limit);
        rows
    }
}

impl DestinationRow {
    fn new(destination: &Destination) -> Self {
        Self {
            bucket: destination.bucket().clone(),
            prefix: destination.prefix().clone(),
            state: DestinationState::Delivered,
            events: 0,
            bytes: 0,
            objects: 0,
            delivered: 0,
            parked: 0,
            waiting_events: 0,
            delivered_at: None,
            lag_ms: None,
            error: None,
            failed_at: None,
        }
    }
}
