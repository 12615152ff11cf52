//! The store against an S3-protocol server on loopback.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says where")]

mod conformance;
mod faults;
mod probe;
mod requests;
mod sealed;
mod server;
