//! The client of minutelog, which keeps events in a durable log
//! and writes one object of them per destination and minute to S3.
//!
//! ```no_run
//! use minutelog_client::Client;
//!
//! # async fn example(order: serde_json::Value) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:9600")?;
//! let id = client.send_s3("my-bucket", "test/", &order).await?;
//! println!("{id} is on stable storage");
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! What it promises, beside what the service does (`docs/http.md`):
//!
//! - **C1.** A call that gives an id gives it after the service has answered: the event is on stable
//!   storage.
//! - **C2.** An event is sent under one key until it has an answer. It gets another key only where it is
//!   certain that nothing was accepted under the one before. So no retry makes a second event.
//! - **C3.** Events are accepted in the order in which they came into the queue: there is one request at
//!   a time. Calls made together travel together.
//! - **C4.** The queue is bounded, in events and in bytes. A call that finds no room waits for it, and
//!   holds nothing but its own payload.
//! - **C5.** Every event that came into the queue has one outcome. Whoever waits for it is told; where
//!   nobody does, a failure goes to [`Builder::on_error`], or to the log.
//! - **C6.** Dropping a future of a call loses no other event and sends none twice: before the call has
//!   its place in the queue nothing is sent of it, afterwards it is sent as if it had been kept.

mod address;
mod backoff;
mod batch;
mod builder;
mod call;
mod client;
mod encoded;
mod error;
mod id;
mod key;
mod payload;
mod pending;
mod post;
mod queue;
mod tls;
mod unsent;
mod verdict;
mod worker;

pub use builder::{Builder, ConnectError};
pub use call::{SendS3, Sending};
pub use client::{Client, Named};
pub use error::{GaveUp, Refusal, SendError};
pub use id::{EventId, EventIdError};
pub use payload::{Json, Payload, Text};
pub use unsent::Unsent;
