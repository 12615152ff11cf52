//! What is told of streams.

use std::collections::BTreeMap;

use serde::Serialize;

use super::call::{List, invalid, required};
use super::fault::{Fault, Name};
use super::keyring::Sender;
use crate::destinations::shown;
use crate::stream::Stream;

/// How many names are listed where nobody says how many, and at most: `ListDeliveryStreams`.
const LISTED: i64 = 10;
const LISTED_AT_MOST: i64 = 10_000;
/// There are no accounts here.
const ACCOUNT: &str = "000000000000";

/// The streams by their names.
#[derive(Debug)]
pub(crate) struct Streams(BTreeMap<String, Stream>);

/// The answer to `ListDeliveryStreams`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    delivery_stream_names: Vec<String>,
    has_more_delivery_streams: bool,
}

/// The answer to `DescribeDeliveryStream`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Described {
    delivery_stream_description: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    delivery_stream_name: String,
    #[serde(rename = "DeliveryStreamARN")]
    delivery_stream_arn: String,
    delivery_stream_status: &'static str,
    delivery_stream_type: &'static str,
    version_id: &'static str,
    destinations: [DestinationDescription; 1],
    has_more_destinations: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationDescription {
    destination_id: &'static str,
    #[serde(rename = "ExtendedS3DestinationDescription")]
    extended_s3: S3Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct S3Description {
    #[serde(rename = "BucketARN")]
    bucket_arn: String,
    prefix: String,
    compression_format: &'static str,
}

impl Streams {
    /// The streams of a configuration.
    pub(super) fn new(streams: Vec<Stream>) -> Self {
        Self(streams.into_iter().map(|it| (it.name.as_str().to_owned(), it)).collect())
    }

    /// The stream of that name, if the sender reaches it.
    pub(crate) fn find(&self, name: Option<String>, sender: &Sender) -> Result<&Stream, Fault> {
        let name = required(name, "deliveryStreamName")?;
        if !sender.reaches(&name) {
            let message = format!(
                "the access key does not reach the stream `{}`: no pattern of its allow list \
                 matches: use another key or extend the list",
                shown(&name)
            );
            return Err(Fault::new(Name::AccessDenied, message));
        }
        self.0.get(&name).ok_or_else(|| {
            let message =
                format!("the stream `{}` is not found: give it a `[[stream]]` block", shown(&name));
            Fault::new(Name::ResourceNotFound, message)
        })
    }

    /// The names of the streams that the sender reaches.
    pub(crate) fn list(&self, list: List, sender: &Sender) -> Result<Listed, Fault> {
        let limit = list.limit.unwrap_or(LISTED);
        if !(1..=LISTED_AT_MOST).contains(&limit) {
            return Err(invalid("limit", &format!("must be 1 to {LISTED_AT_MOST}")));
        }
        let after = list.exclusive_start_delivery_stream_name.unwrap_or_default();
        // All that there are take what is put into them directly.
        let fits = list.delivery_stream_type.is_none_or(|kind| kind == DIRECT_PUT);
        let names = self.0.keys().filter(|name| fits && **name > after && sender.reaches(name));
        let mut names: Vec<String> = names.cloned().collect();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more_delivery_streams = names.len() > limit;
        names.truncate(limit);
        Ok(Listed { delivery_stream_names: names, has_more_delivery_streams })
    }
}

const DIRECT_PUT: &str = "DirectPut";

/// What is told of a stream to a sender that is in this region.
pub(crate) fn describe(stream: &Stream, region: &str) -> Described {
    let (name, destination) = (stream.name.as_str(), &stream.destination);
    Described {
        delivery_stream_description: Description {
            delivery_stream_name: name.to_owned(),
            delivery_stream_arn: format!(
                "arn:aws:firehose:{region}:{ACCOUNT}:deliverystream/{name}"
            ),
            delivery_stream_status: "ACTIVE",
            delivery_stream_type: DIRECT_PUT,
            version_id: "1",
            destinations: [DestinationDescription {
                destination_id: "destinationId-000000000001",
                extended_s3: S3Description {
                    bucket_arn: format!("arn:aws:s3:::{}", destination.bucket()),
                    prefix: destination.prefix().as_str().to_owned(),
                    compression_format: "GZIP",
                },
            }],
            has_more_destinations: false,
        },
    }
}
