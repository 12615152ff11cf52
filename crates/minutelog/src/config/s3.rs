//! `[s3]` and `[[bucket]]`: where objects go and how they are put there.

use std::collections::BTreeMap;
use std::fmt;

use model::Bucket;
use serde::{Deserialize, Serialize, Serializer};

/// `[s3]`: what holds for every bucket that says nothing else. Credentials: AWS's default chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct S3Config {
    /// The region. Default: what AWS's default chain finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<Region>,
    /// The server, as in `http://127.0.0.1:9000`. Default: AWS's own of the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<Endpoint>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`. Default false.
    pub(crate) path_style: bool,
    /// Send checksums, so that the server verifies what it got. Default true; false for servers
    /// that don't know them.
    pub(crate) checksums: bool,
    /// Send `If-None-Match: *`, so that no object is written twice. Default true; false for
    /// servers that don't know it.
    pub(crate) conditional_writes: bool,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            path_style: false,
            checksums: true,
            conditional_writes: true,
        }
    }
}

/// `[[bucket]]`: what differs for one bucket. All keys but `name` default to what `[s3]` says, or
/// to not being sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketConfig {
    /// The bucket.
    pub(crate) name: Bucket,
    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<Region>,
    /// The server that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<Endpoint>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path_style: Option<bool>,
    /// The account that must own it, 12 digits; sent with every call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expected_owner: Option<AccountId>,
    /// The storage class of objects, as in `STANDARD_IA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<StorageClass>,
    /// Server-side encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sse: Option<Sse>,
    /// The KMS key; only with `sse = "aws:kms"` or `"aws:kms:dsse"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kms_key_id: Option<String>,
    /// A canned ACL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acl: Option<Acl>,
    /// The tags of objects, at most 10.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// The role to assume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role_arn: Option<RoleArn>,
    /// What that role's trust policy asks for; only with `role_arn`. Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<Secret>,
}

/// A text of the configuration with a rule.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $rule:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub(crate) struct $name(String);

        impl $name {
            /// The text.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let rule: fn(&str) -> bool = $rule;
                if rule(&text) { Ok(Self(text)) } else { Err(format!("{text:?} is not {}", $expected)) }
            }
        }
    };
}

checked_text!(
    /// The name of a region.
    Region,
    |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
    "the name of a region: write it as in \"eu-west-1\""
);
checked_text!(
    /// The address of an S3 server: scheme and host, no credentials, no query.
    Endpoint,
    is_endpoint,
    "the address of a server: write it as in \"http://127.0.0.1:9000\", without credentials"
);
checked_text!(
    /// The id of an AWS account.
    AccountId,
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()),
    "the id of an account: give its 12 digits"
);
checked_text!(
    /// A storage class. Its names are not listed here: other servers than AWS have their own.
    StorageClass,
    |text| !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'),
    "a storage class: write it as in \"STANDARD_IA\""
);
checked_text!(
    /// The ARN of a role.
    RoleArn,
    |text| text.starts_with("arn:") && text.contains(":role/"),
    "the ARN of a role: write it as in \"arn:aws:iam::123456789012:role/name\""
);

fn is_endpoint(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    matches!(uri.scheme_str(), Some("http" | "https")) && plain && uri.query().is_none()
}

/// Server-side encryption: S3's documentation, `x-amz-server-side-encryption`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sse {
    /// Keys of S3.
    #[serde(rename = "AES256")]
    Aes256,
    /// A key of KMS.
    #[serde(rename = "aws:kms")]
    Kms,
    /// A key of KMS, two layers.
    #[serde(rename = "aws:kms:dsse")]
    KmsDsse,
}

impl Sse {
    /// The header's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "aws:kms",
            Self::KmsDsse => "aws:kms:dsse",
        }
    }
}

/// A canned ACL: S3's documentation, "Canned ACL".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Acl {
    Private,
    PublicRead,
    PublicReadWrite,
    AuthenticatedRead,
    AwsExecRead,
    BucketOwnerRead,
    BucketOwnerFullControl,
}

impl Acl {
    /// The header's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::PublicRead => "public-read",
            Self::PublicReadWrite => "public-read-write",
            Self::AuthenticatedRead => "authenticated-read",
            Self::AwsExecRead => "aws-exec-read",
            Self::BucketOwnerRead => "bucket-owner-read",
            Self::BucketOwnerFullControl => "bucket-owner-full-control",
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

const REDACTED: &str = "(redacted)";

impl Secret {
    /// The text itself, for its one use.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}
