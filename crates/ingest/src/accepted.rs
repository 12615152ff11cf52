//! The answers to accepted requests.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use model::EventId;
use serde::Serialize;
use utoipa::ToSchema;
use wal::Appended;

/// What a client is told once its events are on stable storage.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Accepted {
    /// To `/v1/send/s3`.
    Each(Each),
    /// To a bulk request.
    Range(Range),
}

/// Every id, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Accepted)]
pub(crate) struct Each {
    /// How many events.
    #[schema(minimum = 1)]
    accepted: u32,
    /// Their ids: ULIDs, which sort by the time of acceptance.
    #[schema(value_type = Vec<String>, min_items = 1)]
    ids: Vec<EventId>,
}

/// The ids at the ends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedRange)]
pub(crate) struct Range {
    /// How many events.
    #[schema(minimum = 1)]
    accepted: u32,
    /// The id of the first event.
    #[schema(value_type = String, min_length = 26, max_length = 26)]
    first: EventId,
    /// The id of the last event.
    #[schema(value_type = String, min_length = 26, max_length = 26)]
    last: EventId,
}

impl Accepted {
    /// With every id.
    pub(crate) fn each(events: u32, appended: &Appended) -> Self {
        Self::ids(events, appended.ids().collect())
    }

    /// With these ids, one for every event.
    pub(crate) fn ids(events: u32, ids: Vec<EventId>) -> Self {
        Self::Each(Each { accepted: events, ids })
    }

    /// With the ids at the ends.
    pub(crate) fn range(events: u32, appended: &Appended) -> Self {
        Self::Range(Range { accepted: events, first: appended.first(), last: appended.last() })
    }
}

/// What an id takes in an answer, with its quotes and a comma; and what is around the ids.
const ID_BYTES: usize = 29;
const FRAME_BYTES: usize = 64;

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let ids = match &self {
            Self::Each(Each { ids, .. }) => ids.len(),
            Self::Range(_) => 2,
        };
        let mut body = Vec::with_capacity(FRAME_BYTES + ID_BYTES * ids);
        serde_json::to_writer(&mut body, &self).expect("numbers and ids are always JSON");
        let mut response = Response::new(Body::from(body));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}
