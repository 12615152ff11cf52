//! The flusher: takes finished minutes from the data directory, seals them, uploads the objects,
//! keeps a receipt for each, and removes what S3 has confirmed.
//!
//! # Promises
//! - **F1** Nothing is uploaded before its seal is durable; a seal that a crash has interrupted is
//!   thrown away and made anew from the log.
//! - **F2** A receipt is written only where S3 has confirmed the object.
//! - **F3** A receipt counts only once it is synced.
//! - **F4** Log entries are removed only when every object of their part is settled, or has long
//!   waited, for S3 or for a person, in sealed bytes that were just read back whole. The permission
//!   is a pure function of what is on disk and its age.
//! - **F5** A destination that fails or is slow delays no other: it is remembered, tried where it
//!   takes no place from what works, and a long upload gives its place back.
//! - **F6** One flusher works on a data directory.
//! - **F7** A repeat of an event is in no object, and what it repeats is: an event is left out of a
//!   seal only where a copy of it within the window is sealed, or was just written.

mod ahead;
mod blocks;
mod config;
mod control;
mod deflate;
mod deliver;
mod error;
mod faults;
mod finished;
mod flusher;
mod going_ahead;
mod health;
mod lanes;
mod metrics;
mod once;
mod ops;
mod part;
mod repeats;
mod retention;
mod round;
mod seal;
mod seal_writer;
mod sealer;
mod segment;
mod settle;
mod turns;
mod writing;

pub use config::{Change, Config, GzipLevel, GzipLevelError};
pub use control::{ask_drain, ask_failing, ask_retry, is_running, progresses};
pub use error::Error;
pub use flusher::run;
pub use health::Failing;
pub use once::{Drained, run_once, run_once_for};
pub use part::DestinationFilter;
