//! What becomes of objects that are parked: an object counts as delivered by its receipt, and by
//! nothing else.

use std::collections::BTreeMap;

use model::{Bucket, Destination, Prefix};
use serde::Serialize;

use crate::deliveries::{Outcome, read_deliveries};
use crate::error::Result;
use crate::inspect::part::{PartView, Shelf, follow};
use crate::inspect::{Destinations, Found, census};
use crate::layout::{DataDir, PartName, Stage};

/// The objects that were parked when they were looked at.
#[derive(Clone, Debug, Default)]
pub struct ParkedObjects {
    destinations: Vec<Destination>,
    parts: BTreeMap<PartName, Vec<Object>>,
    /// What could not be looked at, and why: objects may be missing here.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Object {
    number: u32,
    /// Its place among the destinations.
    destination: usize,
    events: u64,
}

/// What has become of the parked objects of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParkedRow {
    /// The bucket.
    pub bucket: Bucket,
    /// The prefix.
    pub prefix: Prefix,
    /// How many objects were parked.
    pub objects: u64,
    /// How many of them have a receipt.
    pub delivered: u64,
    /// How many of them are damaged: kept, never sent.
    pub quarantined: u64,
    /// How many events are in those.
    pub quarantined_events: u64,
    /// Why one of the others is not in S3: damage before a refusal.
    pub error: Option<String>,
}

impl ParkedRow {
    /// Whether some of it is still to be delivered.
    pub fn waits(&self) -> bool {
        self.delivered + self.quarantined < self.objects
    }
}

/// What has become of one object.
enum Fate {
    Delivered,
    Quarantined(String),
    Waits(Option<String>),
}

impl ParkedObjects {
    /// Looks which objects of these destinations are parked.
    pub(crate) fn take(data: &DataDir, wanted: &Destinations) -> Result<Self> {
        let (mut this, mut places) = (Self::default(), BTreeMap::new());
        for name in census::take(data)?.into_values().flat_map(|dirs| dirs.parts) {
            // Of all others nothing is parked.
            let may_be_parked = matches!(data.find_part(name), Some(Stage::Sealed | Stage::Parked));
            if may_be_parked && let Err(error) = this.add(data, name, wanted, &mut places) {
                this.warnings.push(error.to_string());
            }
        }
        Ok(this)
    }

    fn add(
        &mut self,
        data: &DataDir,
        name: PartName,
        wanted: &Destinations,
        places: &mut BTreeMap<Destination, usize>,
    ) -> Result<()> {
        let Some(mut view) = PartView::open(data, name)? else { return Ok(()) };
        while let Some((number, object)) = view.manifest.next_object()? {
            let is_parked = matches!(view.outcomes.get(&number), Some(Outcome::Parked(_)));
            if !is_parked || !wanted.contain(&object.destination) {
                continue;
            }
            let destination = *places.entry(object.destination).or_insert_with_key(|key| {
                self.destinations.push(key.clone());
                self.destinations.len() - 1
            });
            let object = Object { number, destination, events: object.events };
            self.parts.entry(name).or_default().push(object);
        }
        Ok(())
    }

    /// How many destinations they are for.
    pub fn destinations(&self) -> usize {
        self.destinations.len()
    }

    /// Whether nothing is parked.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Looks what has become of them by now, in the order of the destinations.
    pub(crate) fn look(&self, data: &DataDir) -> Found<ParkedRow> {
        let row = |destination: &Destination| ParkedRow {
            bucket: destination.bucket().clone(),
            prefix: destination.prefix().clone(),
            objects: 0,
            delivered: 0,
            quarantined: 0,
            quarantined_events: 0,
            error: None,
        };
        let mut rows: Vec<ParkedRow> = self.destinations.iter().map(row).collect();
        let mut warnings = Vec::new();
        for (name, objects) in &self.parts {
            let found = follow(data, *name, |shelf, dir| Ok((shelf, read_deliveries(&dir)?)));
            let found = found.unwrap_or_else(|error| {
                warnings.push(error.to_string());
                None
            });
            for object in objects {
                let Some(row) = rows.get_mut(object.destination) else { continue };
                row.objects += 1;
                let fate = found
                    .as_ref()
                    .map(|(shelf, outcomes)| fate(*shelf, outcomes.get(&object.number)));
                let unknown = || Fate::Waits(Some("no receipt of it can be read".to_owned()));
                match fate.unwrap_or_else(unknown) {
                    Fate::Delivered => row.delivered += 1,
                    Fate::Quarantined(why) => {
                        row.quarantined += 1;
                        row.quarantined_events += object.events;
                        row.error = Some(why);
                    }
                    Fate::Waits(why) if row.quarantined == 0 => {
                        row.error = why.or(row.error.take());
                    }
                    Fate::Waits(_) => {}
                }
            }
        }
        rows.sort_by(|a, b| (&a.bucket, &a.prefix).cmp(&(&b.bucket, &b.prefix)));
        Found { rows, warnings }
    }
}

fn fate(shelf: Shelf, outcome: Option<&Outcome>) -> Fate {
    match outcome {
        Some(Outcome::Delivered(_)) => Fate::Delivered,
        Some(Outcome::Quarantined(why)) => Fate::Quarantined(why.error.clone()),
        _ if shelf == Shelf::Quarantine => {
            Fate::Quarantined("the part that it is in cannot be read".to_owned())
        }
        Some(Outcome::Parked(why) | Outcome::Failed(why)) => Fate::Waits(Some(why.error.clone())),
        None => Fate::Waits(None),
    }
}
