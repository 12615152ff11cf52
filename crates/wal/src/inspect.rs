//! How people look into the log: what became of an event, which minutes are there, what is in
//! them, what was delivered, and whether it can all be read back.
//!
//! Nothing here writes to the data directory, and no service has to run, or to stop: the open
//! minute is asked of ingest, finished runs are read from copies, and everything else from files
//! that never change. Directories that move on while they are read are followed, so that nothing
//! is told twice or not at all because of a move. What cannot be read is told and passed over.

mod buckets;
mod census;
mod destination_list;
mod event_detail;
mod event_list;
mod event_scan;
#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod fixture;
mod group;
mod keep;
#[cfg(test)]
mod list_tests;
mod minute_list;
mod name;
mod overview;
mod parked;
mod part;
mod parts;
mod receipt_list;
mod row;
mod run;
mod segment;
mod show;
mod stream;
mod stream_scan;
#[cfg(test)]
mod stream_tests;
mod table;
mod verify;
mod verify_part;
mod verify_run;
#[cfg(test)]
mod verify_tests;
mod window;

use std::path::{Path, PathBuf};

use model::{Bucket, EventId, EventName, UnixMillis};

use crate::error::{Error, Result};
use crate::layout::DataDir;

pub(crate) use part::{Shelf, follow};

pub use destination_list::{DestinationRow, DestinationState};
pub use event_detail::{DeliveryObject, EventDetail, EventPayload};
pub use minute_list::{MinuteRow, MinuteState};
pub use name::NameFilter;
pub use overview::{MinuteLook, MinuteStage, Overview};
pub use parked::{ParkedObjects, ParkedRow};
pub use receipt_list::{ReceiptQuery, ReceiptRow};
pub use row::{Delivery, DeliveryState, Dest, EventRow};
pub use segment::{BLOCK_BYTES, ObjectBytes};
pub use show::{Destinations, ShowQuery, Shown, ShownEvent};
pub use stream::{Stream, StreamPage, StreamQuery, StreamRow};
pub use verify::{Checked, Damaged, Progress, VerifyReport};

/// Looks into a data directory.
#[derive(Clone, Debug)]
pub struct Inspector {
    data: DataDir,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Those accepted at this time or later.
    pub since: Option<UnixMillis>,
    /// At most so many, the latest ones.
    pub limit: usize,
    /// The one with this id.
    pub id: Option<EventId>,
    /// Those that their callers gave this name.
    pub event: Option<EventName>,
}

/// What was found, and what could not be read on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The answer.
    pub rows: Vec<T>,
    /// What is missing from it, and why.
    pub warnings: Vec<String>,
}

impl Inspector {
    /// Looks into this data directory. It need not be there yet: then nothing is found.
    pub fn new(data_dir: PathBuf) -> Self {
        Self { data: DataDir::at(data_dir) }
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.data.root()
    }

    /// What became of the event with this id; `None` where the log and the receipts know none.
    /// Where it is not found and something of its minute can't be read, the error is that.
    ///
    /// The row has the id that was asked for, and where the event has a name, the deliveries of
    /// the same event to other destinations as well.
    pub fn event_by_id(&self, id: EventId) -> Result<Option<EventRow>> {
        let (mut found, failure) = event_list::by_id(&self.data, id)?;
        match (found.rows.pop(), failure) {
            (None, Some(failure)) => Err(failure),
            (row, _) => Ok(row),
        }
    }

    /// What became of the latest event that its caller gave this name. Damage elsewhere in the log
    /// does not make it an error that there is none.
    pub fn event_by_name(&self, name: &EventName) -> Result<Option<EventRow>> {
        let query = EventQuery { limit: 1, event: Some(name.clone()), ..EventQuery::default() };
        let (mut found, failure) = event_list::latest(&self.data, &query)?;
        match (found.rows.pop(), failure) {
            (None, Some(failure)) if !matches!(failure, Error::Damaged { .. }) => Err(failure),
            (row, _) => Ok(row),
        }
    }

    /// The events that `query` wants, the latest first.
    pub fn events(&self, query: &EventQuery) -> Result<Found<EventRow>> {
        let (found, _) = match query.id {
            Some(id) => event_list::by_id(&self.data, id)?,
            None => event_list::latest(&self.data, query)?,
        };
        Ok(found)
    }

    /// Every minute that is still on disk, oldest first, with a row for each state that some of it
    /// is in. `now` is what ages are counted from.
    pub fn minutes(&self, now: UnixMillis) -> Result<Found<MinuteRow>> {
        minute_list::minutes(&self.data, now)
    }

    /// Calls `each` with the events of a minute that are still in the log, destination by
    /// destination in the order of their lines, until it answers `false`.
    pub fn show(
        &self,
        query: &ShowQuery,
        mut each: impl FnMut(ShownEvent<'_>) -> bool,
    ) -> Result<Shown> {
        show::show(&self.data, query, &mut each)
    }

    /// Calls `each` with the receipts that `query` wants, those of the newest minute first, until
    /// it answers `false`. Returns what could not be read.
    pub fn receipts(
        &self,
        query: &ReceiptQuery,
        mut each: impl FnMut(ReceiptRow) -> bool,
    ) -> Result<Vec<String>> {
        receipt_list::receipts(&self.data, query, &mut each)
    }

    /// The buckets that stand in the log, and in the receipts of minutes that began at `since` or
    /// later, by name.
    pub fn buckets(&self, since: UnixMillis) -> Result<Found<Bucket>> {
        buckets::buckets(&self.data, since)
    }

    /// Reads back everything on disk of the minutes that hold `time`, or of all, and tells
    /// `progress` how far it is.
    pub fn verify(
        &self,
        time: Option<UnixMillis>,
        mut progress: impl FnMut(Progress),
    ) -> Result<VerifyReport> {
        verify::verify(&self.data, time, &mut progress)
    }

    /// The objects of the destinations among `wanted` that S3 refuses for a reason that only a
    /// person can mend.
    pub fn parked(&self, wanted: &Destinations) -> Result<ParkedObjects> {
        ParkedObjects::take(&self.data, wanted)
    }

    /// What has become of objects that were parked, by destination.
    pub fn became(&self, parked: &ParkedObjects) -> Found<ParkedRow> {
        parked.look(&self.data)
    }
}
