//! Amazon Data Firehose's interface: `POST /`, AWS JSON 1.1, signed by AWS Signature Version 4.
//!
//! What sends to Firehose sends here with another endpoint. A stream is a name for a destination; a
//! record becomes one event for each of its lines (see `records`). It promises what the other routes
//! promise: an answer that names a `RecordId` is written when the record's events are on stable
//! storage (G1). Only that a batch may be taken in part, as Firehose's may, and that errors are
//! Firehose's.

mod answer;
mod call;
mod claim;
mod describe;
mod fault;
mod keyring;
mod records;
mod sigv4;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use model::Clock;
use serde::Serialize;

pub(crate) use self::call::invalid;
pub(crate) use self::call::{Describe, List, Operation, PutRecord, PutRecordBatch, read, required};
pub(crate) use self::describe::{Described, Listed, Streams, describe};
pub(crate) use self::fault::{Fault, Name};
pub(crate) use self::keyring::Sender;
pub(crate) use self::records::{MAX_RECORDS, Outcome, Records, Way};
use crate::config::{AccessKey, Auth};
use crate::problem::Problem;
use crate::routes::ConnectionMeter;
use crate::service::Service;
use crate::source::Upload;
use crate::stream::Stream;

/// `POST /`.
pub(crate) const FIREHOSE: &str = "/";

/// What the interface knows.
#[derive(Debug)]
pub(crate) struct Firehose {
    pub(crate) streams: Streams,
    keyring: keyring::Keyring,
    clock: Arc<dyn Clock>,
}

/// The answer to a request that was carried out.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Done {
    #[serde(rename_all = "PascalCase")]
    Put {
        record_id: String,
        encrypted: bool,
    },
    #[serde(rename_all = "PascalCase")]
    PutBatch {
        failed_put_count: usize,
        encrypted: bool,
        request_responses: Vec<Put>,
    },
    Described(Described),
    Listed(Listed),
}

/// What became of one record of a batch.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Put {
    #[serde(rename_all = "PascalCase")]
    Done { record_id: String },
    #[serde(rename_all = "PascalCase")]
    Failed { error_code: &'static str, error_message: String },
}

impl Firehose {
    /// The interface to these streams, for the holders of these keys.
    pub(crate) fn new(
        streams: Vec<Stream>,
        auth: &Auth,
        keys: Vec<AccessKey>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let keyring = keyring::Keyring::new(auth, keys);
        Self { streams: Streams::new(streams), keyring, clock }
    }

    /// The interface to other streams, for the holders of other keys.
    pub(crate) fn renewed(&self, streams: Vec<Stream>, auth: &Auth, keys: Vec<AccessKey>) -> Self {
        let keyring = self.keyring.renewed(auth, keys);
        Self { streams: Streams::new(streams), keyring, clock: Arc::clone(&self.clock) }
    }

    /// Who says that they send a request.
    pub(crate) fn sender(&self, parts: &Parts) -> Result<Sender, Fault> {
        self.keyring.sender(parts, self.clock.now())
    }
}

/// Answers a request.
pub(crate) async fn firehose(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let connection = ConnectionMeter::of(&parts.extensions);
    let mut upload = Upload::new(&parts.headers, body);
    match service.firehose(&parts, connection, &mut upload).await {
        Ok(done) => answer::json(StatusCode::OK, &done),
        Err(fault) => {
            // A slow body would hold the connection for the time limits once more.
            if fault.name() != Name::RequestTimeout {
                upload.discard();
            }
            refuse(fault)
        }
    }
}

/// Refuses a request whose body nobody wants.
pub(crate) fn unrouted(problem: Problem, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    Upload::new(&parts.headers, body).discard();
    refuse(problem.into())
}

/// Answers with the fault, and says it once in the service's own log if the service is to blame.
fn refuse(fault: Fault) -> Response {
    let (name, status) = fault.name().parts();
    if status.is_server_error() {
        tracing::warn!(status = status.as_u16(), name, detail = fault.message(), "refused");
    }
    fault.into_response()
}

#[cfg(test)]
mod tests;
