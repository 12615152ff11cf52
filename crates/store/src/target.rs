//! One bucket as it is configured: the client that reaches it, and what is sent with its objects.

use std::collections::HashMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::types::{ObjectCannedAcl, ServerSideEncryption, StorageClass};

use crate::config::{BucketConfig, Limits};
use crate::error::ConnectError;
use crate::object::Object;

/// S3, "Categorizing your storage using tags": at most 10 tags an object, 128 characters a key,
/// 256 a value.
const MAX_TAGS: usize = 10;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

/// How to reach a bucket and what to send with its objects.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) attributes: Attributes,
    pub(crate) checksums: bool,
    pub(crate) conditional_writes: bool,
    pub(crate) limits: Limits,
}

impl Target {
    /// `If-None-Match: *`, or nothing for a store that lacks it.
    pub(crate) fn if_none_match(&self) -> Option<String> {
        self.conditional_writes.then(|| "*".to_owned())
    }

    /// A checksum to send, or nothing for a store that refuses it.
    pub(crate) fn checksum(&self, crc32: u32) -> Option<String> {
        self.checksums.then(|| crate::object::crc32_base64(crc32))
    }

    /// The limits of one call that moves `bytes`, which the SDK may try `tries` times.
    pub(crate) fn moving(&self, bytes: u64, tries: u32) -> Builder {
        self.call(self.limits.transfer(bytes), tries)
    }

    /// The limits of one call that moves next to nothing.
    pub(crate) fn short(&self) -> Builder {
        self.call(self.limits.read, 1)
    }

    fn call(&self, attempt: std::time::Duration, tries: u32) -> Builder {
        // S6: the SDK's own limit for reading starts with the request and would cut long bodies
        // off; so it is the whole attempt that is limited, by the bytes it has to move.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.limits.connect)
            .operation_attempt_timeout(attempt)
            .operation_timeout(attempt.saturating_mul(tries))
            .build();
        Builder::default()
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(tries))
    }
}

/// What a bucket's configuration adds to each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) owner: Option<String>,
    pub(crate) storage_class: Option<StorageClass>,
    pub(crate) sse: Option<ServerSideEncryption>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) acl: Option<ObjectCannedAcl>,
    pub(crate) tagging: Option<String>,
}

impl Attributes {
    /// Checks a bucket's configuration as far as it is known without asking S3.
    pub(crate) fn new(bucket: &BucketConfig) -> Result<Self, ConnectError> {
        let refuse = |key, why: &str| {
            Err(ConnectError::Value { bucket: bucket.name.clone(), key, why: why.to_owned() })
        };
        if bucket.acl.as_deref().is_some_and(|acl| !ObjectCannedAcl::values().contains(&acl)) {
            return refuse("acl", &format!("one of {}", ObjectCannedAcl::values().join(", ")));
        }
        if bucket.sse.as_deref().is_some_and(|sse| !ServerSideEncryption::values().contains(&sse)) {
            return refuse("sse", &format!("one of {}", ServerSideEncryption::values().join(", ")));
        }
        if bucket.kms_key_id.is_some()
            && !bucket.sse.as_deref().is_some_and(|sse| sse.starts_with("aws:kms"))
        {
            return refuse("kms_key_id", "goes with sse = \"aws:kms\" only");
        }
        if bucket.external_id.is_some() && bucket.role_arn.is_none() {
            return refuse("external_id", "goes with role_arn only");
        }
        if bucket.tags.len() > MAX_TAGS {
            return refuse("tags", "S3 allows at most 10 tags");
        }
        let too_long = |(key, value): (&String, &String)| {
            key.is_empty()
                || key.chars().count() > MAX_TAG_KEY
                || value.chars().count() > MAX_TAG_VALUE
        };
        if bucket.tags.iter().any(too_long) {
            return refuse("tags", "a key has 1 to 128 characters, a value up to 256");
        }
        let tags: Vec<String> = bucket
            .tags
            .iter()
            .map(|(key, value)| format!("{}={}", url_encoded(key), url_encoded(value)))
            .collect();
        Ok(Self {
            owner: bucket.expected_owner.clone(),
            storage_class: bucket.storage_class.as_deref().map(StorageClass::from),
            sse: bucket.sse.as_deref().map(ServerSideEncryption::from),
            kms_key_id: bucket.kms_key_id.clone(),
            acl: bucket.acl.as_deref().map(ObjectCannedAcl::from),
            tagging: (!tags.is_empty()).then(|| tags.join("&")),
        })
    }
}

/// The media type of every object.
pub(crate) const CONTENT_TYPE: &str = "application/gzip";

/// The metadata that holds [`Object::lines_digest`].
pub(crate) const META_DIGEST: &str = "minutelog-blake3";

/// The metadata of an object, as names without S3's `x-amz-meta-`.
pub(crate) fn metadata(object: &Object) -> HashMap<String, String> {
    HashMap::from([
        ("minutelog-minute".to_owned(), object.minute.to_string()),
        ("minutelog-events".to_owned(), object.events.to_string()),
        (META_DIGEST.to_owned(), object.lines_digest.to_string()),
    ])
}

/// `x-amz-tagging` is encoded as a URL's query: all but RFC 3986's unreserved characters.
fn url_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Bucket;

    fn bucket() -> BucketConfig {
        BucketConfig::new(Bucket::new("my-bucket").unwrap())
    }

    #[test]
    fn values_that_s3_does_not_know_are_refused() {
        let some = |text: &str| Some(text.to_owned());
        let many = (0..11).map(|i| (i.to_string(), String::new())).collect();
        for (key, bad) in [
            ("acl", BucketConfig { acl: some("everyone"), ..bucket() }),
            ("sse", BucketConfig { sse: some("rot13"), ..bucket() }),
            ("kms_key_id", BucketConfig { kms_key_id: some("k"), sse: some("AES256"), ..bucket() }),
            ("external_id", BucketConfig { external_id: some("e"), ..bucket() }),
            ("tags", BucketConfig { tags: many, ..bucket() }),
            ("tags", BucketConfig { tags: [("k".repeat(129), String::new())].into(), ..bucket() }),
        ] {
            let Err(ConnectError::Value { key: named, .. }) = Attributes::new(&bad) else {
                panic!("{key} was taken");
            };
            assert_eq!(named, key);
        }
    }

    #[test]
    fn tags_are_encoded_as_a_query() {
        let tags = [("team".into(), "data & co".into()), ("ä".into(), "1=2".into())].into();
        let attributes = Attributes::new(&BucketConfig { tags, ..bucket() }).unwrap();
        assert_eq!(attributes.tagging.as_deref(), Some("team=data%20%26%20co&%C3%A4=1%3D2"));
        assert_eq!(Attributes::new(&bucket()), Ok(Attributes::default()));
    }
}
