//! The client against a service of which the test says what it answers. Against the real one it is
//! driven by `tests/tests/stories/rust_client.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says where")]

mod batches;
mod bounds;
mod ends;
mod refusals;
mod retries;
mod service;
