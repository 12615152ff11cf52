//! End-to-end: the real binary, driven from outside. Each file is one story.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails says where")]

mod admin;
mod ahead;
mod crash;
mod damage;
mod destinations;
mod doctor;
mod embedded;
mod encodings;
mod held;
mod inspector;
mod limits;
mod modes;
mod multipart;
mod order;
mod payloads;
mod refusals;
mod reload;
mod repeats;
mod replay;
mod rust_client;
mod s3_faults;
mod s3_wire;
mod steps;
mod thirty;
mod tls;
mod top;
mod verify_objects;
