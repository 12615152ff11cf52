//! The ingest service: takes events over HTTP, has them written to the log, and answers when they
//! are on stable storage.
//!
//! What it promises its clients:
//!
//! - **Whole or not at all.** A request is parsed to its end before its first event goes to the
//!   log, and then goes there in one batch.
//! - **The answer comes last.** A 2xx is written after [`wal::Appender::append`] has resolved, and
//!   never otherwise (G1).
//! - **A payload is the caller's text.** No number, key or escape is ever parsed and printed again;
//!   at most white space between JSON tokens goes (see `payload`).
//! - **A repeat is no second event.** What comes again under its key gets the first answer (see
//!   `idempotency`), or is told to the log as what it is.
//! - **Bounded memory.** Bodies share one budget, decompression stops at the limit, connections and
//!   lookups are counted.
//! - **A refusal says what to do.** Every error is `application/problem+json` (RFC 9457) and names
//!   the field or the line.
//!
//! [`run()`] is the whole service; [`Config`] is all that it wants to know.

mod accepted;
mod allow;
mod auth;
mod body;
mod bulk;
mod clients;
mod config;
mod connections;
mod content;
mod destinations;
mod error;
mod events;
mod firehose;
#[cfg(test)]
mod fixture;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod idempotency;
mod judge;
mod kind;
mod memory;
mod meter;
mod metrics;
mod observe;
mod openapi;
mod ops;
mod payload;
mod problem;
mod query;
mod routes;
mod run;
mod send;
mod sent;
mod server;
mod service;
mod source;
mod stream;
mod tls;

pub use allow::{AllowPattern, AllowPatternError};
pub use config::{AccessKey, Auth, Change, Config, RateLimits, Rules, Token};
pub use error::Error;
pub use run::run;
pub use stream::{Stream, StreamName, StreamNameError, StreamPattern};
pub use tls::{TlsError, TlsFiles, Validity};
