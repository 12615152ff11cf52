//! The nouns of minutelog: what an event, a minute, a destination and an object key *are*.
//!
//! Every type here has private fields, one constructor that checks, and one text form, so that a
//! value that exists is a value that is valid. Nothing in this crate does I/O, and the only thing
//! it knows of time is the [`Clock`] that is handed in.

mod clock;
mod destination;
mod digest;
mod event;
mod extent;
mod key;
mod limits;
mod minute;

pub use clock::{Clock, ManualClock, SystemClock, UnixMillis};
pub use destination::{Bucket, Destination, DestinationError, Prefix};
pub use digest::{Digest, DigestError};
pub use event::{EventId, EventIdError, EventName, EventNameError, RunId, Seq};
pub use extent::{Extent, Extents};
pub use key::{Identifier, ObjectKey, ObjectKeyError};
pub use limits::{
    MAX_BUCKET_BYTES, MAX_EVENT_BYTES, MAX_EVENT_NAME_BYTES, MAX_PREFIX_BYTES, MIN_BUCKET_BYTES,
};
pub use minute::{Interval, IntervalError, Minute, MinuteError};
