//! What a request asks for, and the JSON that it asks with.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::answer::MEDIA_TYPE;
use super::fault::{Fault, Name};
use crate::destinations::shown;
use crate::payload::complaint;

const TARGET: &str = "x-amz-target";
/// What comes before the name of an operation.
const VERSION: &str = "Firehose_20150804.";

/// The operations that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    PutRecord,
    PutRecordBatch,
    DescribeDeliveryStream,
    ListDeliveryStreams,
}

impl Operation {
    /// Reads the headers.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let unknown = |what: String| {
            let message = format!(
                "{what}: there are `{VERSION}` and PutRecord, PutRecordBatch, \
                 DescribeDeliveryStream or ListDeliveryStreams"
            );
            Err(Fault::new(Name::UnknownOperation, message))
        };
        let mut targets = headers.get_all(TARGET).iter();
        let (Some(target), None) = (targets.next(), targets.next()) else {
            return unknown(format!("there is not one header `{TARGET}`"));
        };
        let target = String::from_utf8_lossy(target.as_bytes());
        let operation = match target.strip_prefix(VERSION) {
            Some("PutRecord") => Self::PutRecord,
            Some("PutRecordBatch") => Self::PutRecordBatch,
            Some("DescribeDeliveryStream") => Self::DescribeDeliveryStream,
            Some("ListDeliveryStreams") => Self::ListDeliveryStreams,
            _ => return unknown(format!("the operation `{}` is not known", shown(&target))),
        };
        let media = headers.get(CONTENT_TYPE).map(|it| String::from_utf8_lossy(it.as_bytes()));
        let media = media.as_deref().unwrap_or_default();
        let name = media.split(';').next().unwrap_or_default().trim();
        if !name.eq_ignore_ascii_case(MEDIA_TYPE) {
            let message = format!("the `Content-Type` `{}` is not `{MEDIA_TYPE}`", shown(name));
            return Err(Fault::new(Name::UnknownOperation, message));
        }
        Ok(operation)
    }
}

/// The body of `PutRecord`. What it has besides is Firehose's, and means nothing here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecord<'b> {
    pub(crate) delivery_stream_name: Option<String>,
    #[serde(borrow)]
    pub(crate) record: Option<Record<'b>>,
}

/// The body of `PutRecordBatch`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecordBatch<'b> {
    pub(crate) delivery_stream_name: Option<String>,
    #[serde(borrow)]
    pub(crate) records: Option<Vec<Record<'b>>>,
}

/// One record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Record<'b> {
    #[serde(borrow)]
    pub(crate) data: Option<Base64<'b>>,
}

/// Bytes in base64: a part of the body, unless it has escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Base64<'b>(#[serde(borrow)] pub(crate) Cow<'b, str>);

/// The body of `DescribeDeliveryStream`. A stream has one destination, so that its other keys change
/// nothing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Describe {
    pub(crate) delivery_stream_name: Option<String>,
}

/// The body of `ListDeliveryStreams`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    pub(crate) limit: Option<i64>,
    pub(crate) exclusive_start_delivery_stream_name: Option<String>,
    pub(crate) delivery_stream_type: Option<String>,
}

/// Reads a body.
pub(crate) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let complaint = complaint(&error);
        let message = format!("the body can't be read: {complaint}, line {line}, column {column}");
        Fault::new(Name::Serialization, message)
    })
}

/// What must be there.
pub(crate) fn required<T>(value: Option<T>, field: &str) -> Result<T, Fault> {
    value.ok_or_else(|| invalid(field, "must not be null"))
}

/// A value outside of what Firehose takes.
pub(crate) fn invalid(field: &str, why: &str) -> Fault {
    let message = format!(
        "1 validation error detected: `{field}` failed to satisfy constraint: Member {why}"
    );
    Fault::new(Name::Validation, message)
}
