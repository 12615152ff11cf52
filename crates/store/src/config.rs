//! The values that a store is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::Bucket;

/// What holds for every bucket that says nothing else.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The region. `None`: what AWS's default chain says (environment, profile, instance), else
    /// `us-east-1`.
    pub region: Option<String>,
    /// The address of a store other than AWS's, as in `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// Whether the bucket's name stands in the path rather than in the host's name.
    pub path_style: bool,
    /// Whether checksums are sent, for the store to verify. Off only for stores that refuse them.
    pub checksums: bool,
    /// Whether `If-None-Match: *` is sent. Off only for stores that refuse it; a repeated put then
    /// overwrites an object with the same bytes.
    pub conditional_writes: bool,
    /// How long calls may take.
    pub limits: Limits,
    /// Credentials to use in place of AWS's default chain.
    pub credentials: Option<StaticCredentials>,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            path_style: false,
            checksums: true,
            conditional_writes: true,
            limits: Limits::default(),
            credentials: None,
        }
    }
}

/// How long calls may take. The SDK has none of these limits by itself, apart from connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a TCP connection and the TLS handshake.
    pub connect: Duration,
    /// For a whole call that sends no more than a few bytes, such as `HeadObject`.
    pub read: Duration,
    /// For a call that sends or assembles bytes, on top of the time that the bytes take.
    pub base: Duration,
    /// The slowest transfer that is waited for, in bytes per second.
    pub slowest_bytes_per_second: u64,
}

impl Limits {
    /// How long one try at sending or assembling `bytes` may take.
    pub(crate) fn transfer(&self, bytes: u64) -> Duration {
        let seconds = bytes / self.slowest_bytes_per_second.max(1);
        self.base.saturating_add(Duration::from_secs(seconds))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(30),
            base: Duration::from_mins(1),
            slowest_bytes_per_second: 256 * 1024,
        }
    }
}

/// A fixed pair of keys. Its `Debug` form shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticCredentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret that belongs to it.
    pub secret_access_key: String,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticCredentials { .. }")
    }
}

/// What holds for one bucket. `None` and an empty map: as in [`S3Config`], or not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketConfig {
    /// The bucket.
    pub name: Bucket,
    /// Its region.
    pub region: Option<String>,
    /// The address of the store that has it.
    pub endpoint: Option<String>,
    /// Whether its name stands in the path.
    pub path_style: Option<bool>,
    /// The id of the account that it must belong to: sent with every call.
    pub expected_owner: Option<String>,
    /// The storage class of its objects, as in `STANDARD_IA`.
    pub storage_class: Option<String>,
    /// The server-side encryption of its objects: `AES256`, `aws:kms`, `aws:kms:dsse`.
    pub sse: Option<String>,
    /// The KMS key, with `sse` of a KMS kind.
    pub kms_key_id: Option<String>,
    /// A canned ACL, as in `bucket-owner-full-control`.
    pub acl: Option<String>,
    /// Tags of its objects: at most 10. S3 asks for `s3:PutObjectTagging` where there are any.
    pub tags: BTreeMap<String, String>,
    /// A role to assume for this bucket.
    pub role_arn: Option<String>,
    /// The external id that the role asks for.
    pub external_id: Option<String>,
}

impl BucketConfig {
    /// A bucket for which nothing is configured.
    pub fn new(name: Bucket) -> Self {
        Self {
            name,
            region: None,
            endpoint: None,
            path_style: None,
            expected_owner: None,
            storage_class: None,
            sse: None,
            kms_key_id: None,
            acl: None,
            tags: BTreeMap::new(),
            role_arn: None,
            external_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_bytes() {
        let limits = Limits::default();
        assert_eq!(limits.transfer(0), Duration::from_mins(1));
        assert_eq!(limits.transfer(16 * 1024 * 1024), Duration::from_secs(60 + 64));
        let none = Limits { slowest_bytes_per_second: 0, ..limits };
        assert_eq!(none.transfer(10), Duration::from_secs(70));
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials = Some(StaticCredentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI".into(),
        });
        let shown = format!("{:?}", S3Config { credentials, ..S3Config::default() });
        assert!(!shown.contains("AKID") && !shown.contains("wJalr"), "{shown}");
    }
}
