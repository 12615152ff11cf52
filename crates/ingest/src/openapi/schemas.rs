//! Schemas of what has no type in this crate that could derive one: bodies that are read in a stream, and
//! rows that the log makes. The tests hold each against the parser, and against the row.

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// One event to one destination.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is there for its schema")]
pub(super) struct SendEvent {
    /// The S3 bucket, by S3's naming rules: neither of the form of an IP address, nor with a beginning or
    /// an end that S3 keeps for itself (`xn--`, `sthree-`, `amzn-s3-demo-`; `-s3alias`, `--ol-s3`,
    /// `.mrap`, `--x-s3`, `--table-s3`).
    #[schema(
        min_length = 3,
        max_length = 63,
        pattern = r"^[a-z0-9](?:\.?[a-z0-9-])*\.?[a-z0-9]$",
        example = "my-bucket"
    )]
    pub(super) bucket: String,
    /// The prefix of the objects' keys: at most 512 bytes of UTF-8, no control characters, no leading
    /// `/`, no empty, `.` or `..` segment. A trailing `/` makes no difference.
    #[serde(default)]
    #[schema(
        max_length = 513,
        pattern = r"^(?:(?:[^/.\u0000-\u001f\u007f-\u009f][^/\u0000-\u001f\u007f-\u009f]*|\.[^/.\u0000-\u001f\u007f-\u009f][^/\u0000-\u001f\u007f-\u009f]*|\.\.[^/\u0000-\u001f\u007f-\u009f]+)(?:/(?:[^/.\u0000-\u001f\u007f-\u009f][^/\u0000-\u001f\u007f-\u009f]*|\.[^/.\u0000-\u001f\u007f-\u009f][^/\u0000-\u001f\u007f-\u009f]*|\.\.[^/\u0000-\u001f\u007f-\u009f]+))*/?)?$",
        example = "test/"
    )]
    pub(super) prefix: Option<String>,
    /// Any JSON value, `null` included; at most `ingest.max_event_bytes`, 1 MiB by default. Its text
    /// arrives as it is: key order, numbers and escapes.
    pub(super) payload: Value,
    /// A name to find the event by: 1 to 256 bytes of UTF-8, no control characters. What is sent to
    /// several destinations under one name is shown as one event.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$",
        example = "order-1001"
    )]
    pub(super) event: Option<String>,
    /// What a repeat of the event is known by: 1 to 255 bytes of UTF-8, no control characters. Not in a
    /// request with an `Idempotency-Key`; at most 10,000 in one.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$",
        example = "order-1001/placed"
    )]
    pub(super) id: Option<String>,
}

/// What became of an event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Event)]
#[expect(dead_code, reason = "it is there for its schema")]
pub(super) struct SentEvent {
    /// The id that was asked for, or that of the first delivery.
    #[schema(min_length = 26, max_length = 26, pattern = r"^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub(super) id: String,
    /// The name that its caller gave it.
    #[schema(required)]
    pub(super) event: Option<String>,
    /// When it was accepted, in UTC.
    #[schema(format = "date-time")]
    pub(super) accepted_at: String,
    #[schema(inline)]
    pub(super) dest: Dest,
    /// Each destination that the token reaches, in the order of the ids.
    #[schema(inline, min_items = 1)]
    pub(super) deliveries: Vec<Delivery>,
}

/// How many destinations have an event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is there for its schema")]
pub(super) struct Dest {
    /// Those whose object S3 has confirmed.
    pub(super) delivered: u32,
    /// All of them.
    pub(super) total: u32,
}

/// An event on its way to one destination.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is there for its schema")]
pub(super) struct Delivery {
    /// Its id: each destination has one of its own.
    #[schema(min_length = 26, max_length = 26, pattern = r"^[0-9A-HJKMNP-TV-Z]{26}$")]
    pub(super) id: String,
    /// The bucket.
    pub(super) bucket: String,
    /// The prefix, without a slash at its end.
    pub(super) prefix: String,
    // Without a text of its own: with one, it would be that of its type and an object as well.
    #[schema(inline)]
    pub(super) state: State,
    /// The key of its object, from the seal on.
    #[schema(required)]
    pub(super) key: Option<String>,
    /// Its line in the object, from 1, from the seal on.
    #[schema(required, minimum = 1)]
    pub(super) line: Option<u64>,
    /// Why the object is not in S3 yet, as far as it was tried.
    #[schema(required)]
    pub(super) error: Option<String>,
}

/// `logged`: in the log of its minute. `sealed`: in an object that is on its way. `delivered`: S3 has
/// confirmed the object. `parked`: S3 refuses it for a reason that a person must mend. `quarantined`: its
/// sealed bytes are damaged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Logged,
    Sealed,
    Parked,
    Quarantined,
    Delivered,
}

/// The schema of a field of [`SendEvent`] that stands for itself: a text, and never null.
pub(super) fn field(name: &str) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut event)) = SendEvent::schema() else {
        return Schema::default().into();
    };
    let mut field = event.properties.remove(name).unwrap_or_default();
    if let RefOr::T(Schema::Object(text)) = &mut field {
        text.schema_type = Type::String.into();
    }
    field
}
