//! The log: what ingest appends to, what the flusher takes, and what `admin` looks at.
//!
//! A minute is a directory, and directories are the queue (see [`layout`](crate::DataDir)). This is
//! the only crate that touches sled; none of sled's types leave it.
//!
//! # Promises
//! - **W1** Before the first acknowledgement of a run, its files and every name on the way to them
//!   are synced.
//! - **W2** A run's directory appears under its name only with its lock held; whoever gets the
//!   lock of a run knows that nobody writes it any more.
//! - **W3** An acknowledgement follows `fdatasync` of the database, which follows sled's `flush`.
//! - **W4** A minute that is sealed, or that this process has closed, is never opened again.
//! - **W5** After a failed write or sync nothing more is acknowledged by this process.
//! - **W6** Every record and every frame carries a checksum over its bytes and its place; what is
//!   changed, cut, swapped or missing is reported as damage, and what is not is read all the same.
//! - **W7** No record, and no leaf of sled's tree, is large enough to leave the log for a file that
//!   sled does not sync: `blobs/` stays empty.
//! - **W8** What says whose events a commit holds is written before the events, so that none of them
//!   is in the log without it.

mod admit;
mod batch;
mod beside;
mod chunk;
mod closing;
mod codec;
mod company;
mod control;
mod database;
mod deliveries;
pub mod durable;
mod error;
mod fences;
mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hold;
mod identities;
mod identity;
mod index;
pub mod inspect;
mod layout;
mod live;
mod lock;
mod log;
mod making;
mod manifest;
mod merge;
mod packing;
mod place;
mod reader;
mod record;
mod records;
mod regular;
mod row;
mod run;
mod scan;
mod shared;
mod sharing;
mod spread;
mod turn;
mod usage;
mod writer;

pub use batch::{Appended, Batch, Origin};
pub use closing::Closed;
pub use control::{ControlServer, Handler, LOOK_PATIENCE, answered, call, unread};
pub use deliveries::{
    DeliveryJournal, Failure, Outcome, Receipt, SettledObjects, each_delivery, read_deliveries,
};
pub use error::{Error, Result};
pub use hold::is_held;
pub use identities::{HeldEvents, IdentitiesReader, IdentitiesWriter, held_near, is_near};
pub use identity::{IdentifiedPlace, Identity, MAX_IDENTIFIED_PLACES};
pub use index::{IndexReader, IndexWriter, IndexedLine};
pub use inspect::{
    Delivery, DeliveryState, Dest, EventQuery, EventRow, Found, Inspector, ObjectBytes,
};
pub use layout::{
    DataDir, FLUSHER_LOCK_FILE, FORMAT_FILE, FORMAT_VERSION, PartName, RunName, SEGMENTS_FILE,
    Stage,
};
pub use live::{
    LiveEvent, LiveFilter, LiveSummary, drain_ingest, live_events, live_ingests, live_summaries,
    own_log_progresses,
};
pub use lock::Lock;
pub use log::{
    AppendError, Appender, Commit, DEFAULT_RUN_BYTES, Log, LogObserver, LogOptions, LogState,
};
pub use manifest::{
    IndexPosition, ManifestEnd, ManifestHead, ManifestReader, ManifestWriter, SealedIdentities,
    SealedObject, SealedRun,
};
pub use merge::{MinuteReader, RunDamage};
pub use reader::{Damage, DestinationId, EventRef, Record, RunReader};
pub use records::Records;
pub use regular::{is_there, open_file};
pub use usage::{Room, bytes_on_disk};
