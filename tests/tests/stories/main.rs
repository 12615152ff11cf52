//! End-to-end: the real binary, driven from outside. Each file is one story.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says where")]

mod admin;
mod crash;
mod damage;
mod destinations;
mod embedded;
mod encodings;
mod held;
mod multipart;
mod order;
mod payloads;
mod refusals;
mod s3_faults;
mod steps;
mod thirty;
