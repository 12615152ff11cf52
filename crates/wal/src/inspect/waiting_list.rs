//! The destinations whose sealed objects are not in S3 yet.

use std::collections::BTreeMap;

use model::{Bucket, Destination, Minute, Prefix};
use serde::Serialize;

use crate::deliveries::Outcome;
use crate::error::Result;
use crate::inspect::census;
use crate::inspect::part::{PartView, Shelf};
use crate::inspect::{Destinations, Found};
use crate::layout::{DataDir, PartName, Stage};

/// A destination with sealed objects that are not in S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingRow {
    /// The bucket.
    pub bucket: Bucket,
    /// The prefix.
    pub prefix: Prefix,
    /// How many objects.
    pub objects: u64,
    /// How many of them S3 refuses for a reason that only a person can mend.
    pub parked: u64,
    /// How many events are in them.
    pub events: u64,
    /// The oldest of their minutes.
    pub oldest: Minute,
    /// The last error.
    pub error: Option<String>,
}

/// Lists them in their order.
pub(crate) fn waiting(data: &DataDir, wanted: &Destinations) -> Result<Found<WaitingRow>> {
    let mut rows = BTreeMap::new();
    let mut warnings = Vec::new();
    for dirs in census::take(data)?.into_values() {
        for part in dirs.parts {
            if let Err(error) = read(data, part, wanted, &mut rows) {
                warnings.push(error.to_string());
            }
        }
    }
    let rows = rows.into_values().map(|(row, _)| row).collect();
    Ok(Found { rows, warnings })
}

/// Each row with the time of its error.
type Rows = BTreeMap<Destination, (WaitingRow, u64)>;

fn read(data: &DataDir, name: PartName, wanted: &Destinations, rows: &mut Rows) -> Result<()> {
    let Some(mut view) = PartView::open(data, name)? else { return Ok(()) };
    if !matches!(view.shelf, Shelf::Stage(Stage::Sealed | Stage::Parked)) {
        return Ok(());
    }
    while let Some((number, object)) = view.manifest.next_object()? {
        let outcome = view.outcomes.get(&number);
        if outcome.is_some_and(Outcome::is_settled) || !wanted.contain(&object.destination) {
            continue;
        }
        let destination = &object.destination;
        let (row, at_ms) = rows.entry(destination.clone()).or_insert_with(|| {
            let row = WaitingRow {
                bucket: destination.bucket().clone(),
                prefix: destination.prefix().clone(),
                objects: 0,
                parked: 0,
                events: 0,
                oldest: name.minute,
                error: None,
            };
            (row, 0)
        });
        row.objects += 1;
        row.events += object.events;
        row.parked += u64::from(matches!(outcome, Some(Outcome::Parked(_))));
        if let Some(Outcome::Failed(why) | Outcome::Parked(why)) = outcome
            && why.at_ms >= *at_ms
        {
            *at_ms = why.at_ms;
            row.error = Some(why.error.clone());
        }
    }
    Ok(())
}
