//! Where an event goes: a bucket and a prefix.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_BUCKET_BYTES, MAX_PREFIX_BYTES, MIN_BUCKET_BYTES};

/// Why a bucket or a prefix is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Shorter than 3 or longer than 63 bytes.
    #[error("a bucket name has 3 to 63 characters, this one has {0}")]
    BucketLength(usize),
    /// A character outside `a-z 0-9 . -`.
    #[error("a bucket name has lower-case letters, digits, dots and hyphens only")]
    BucketCharacter,
    /// A dot or a hyphen at an end.
    #[error("a bucket name begins and ends with a letter or a digit")]
    BucketEdge,
    /// Two dots side by side.
    #[error("a bucket name has no two dots side by side")]
    BucketDots,
    /// Four numbers with dots between them.
    #[error("a bucket name is not formatted as an IP address")]
    BucketIpAddress,
    /// A beginning or an end that S3 keeps for itself.
    #[error("a bucket name does not begin or end with {0}, which S3 keeps for itself")]
    BucketReserved(&'static str),
    /// Over 512 bytes.
    #[error("a prefix has at most 512 bytes, this one has {0}")]
    PrefixLength(usize),
    /// A control character, U+0000 to U+001F or U+007F to U+009F.
    #[error("a prefix has no control characters")]
    PrefixControl,
    /// A slash at the beginning.
    #[error("a prefix has no slash at its beginning")]
    PrefixLeadingSlash,
    /// Two slashes side by side.
    #[error("a prefix has no empty segment between two slashes")]
    PrefixEmptySegment,
    /// A segment `.` or `..`.
    #[error("a prefix has no segment `.` or `..`")]
    PrefixDotSegment,
}

/// The name of an S3 bucket, by S3's "General purpose bucket naming rules".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bucket(Box<str>);

const RESERVED_BEGINNINGS: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

impl Bucket {
    /// Checks a bucket name.
    pub fn new(name: &str) -> Result<Self, DestinationError> {
        if !(MIN_BUCKET_BYTES..=MAX_BUCKET_BYTES).contains(&name.len()) {
            return Err(DestinationError::BucketLength(name.chars().count()));
        }
        let letter_or_digit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !name.bytes().all(|b| letter_or_digit(b) || b == b'.' || b == b'-') {
            return Err(DestinationError::BucketCharacter);
        }
        let mut ends = name.bytes();
        if !ends.next().is_some_and(letter_or_digit)
            || !ends.next_back().is_some_and(letter_or_digit)
        {
            return Err(DestinationError::BucketEdge);
        }
        if name.contains("..") {
            return Err(DestinationError::BucketDots);
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() || looks_like_an_address(name) {
            return Err(DestinationError::BucketIpAddress);
        }
        for reserved in RESERVED_BEGINNINGS {
            if name.starts_with(reserved) {
                return Err(DestinationError::BucketReserved(reserved));
            }
        }
        for reserved in RESERVED_ENDS {
            if name.ends_with(reserved) {
                return Err(DestinationError::BucketReserved(reserved));
            }
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn looks_like_an_address(name: &str) -> bool {
    name.split('.').count() == 4
        && name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// The beginning of the keys of a destination's objects, without a slash at its end. May be empty.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Checks a prefix. One slash at its end makes no difference and is taken off.
    pub fn new(text: &str) -> Result<Self, DestinationError> {
        if text.chars().any(char::is_control) {
            return Err(DestinationError::PrefixControl);
        }
        if text.starts_with('/') {
            return Err(DestinationError::PrefixLeadingSlash);
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.len() > MAX_PREFIX_BYTES {
            return Err(DestinationError::PrefixLength(text.len()));
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        for segment in text.split('/') {
            match segment {
                "" => return Err(DestinationError::PrefixEmptySegment),
                "." | ".." => return Err(DestinationError::PrefixDotSegment),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The prefix, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether objects lie at the top of the bucket.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = DestinationError;

            fn from_str(text: &str) -> Result<Self, DestinationError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = DestinationError;

            fn try_from(text: String) -> Result<Self, DestinationError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.into()
            }
        }
    };
}

text_form!(Bucket);
text_form!(Prefix);

/// An S3 bucket and a prefix: what an event is sent to, and what gets one object a minute.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination {
    bucket: Bucket,
    prefix: Prefix,
}

impl Destination {
    /// A destination from its checked parts.
    pub fn new(bucket: Bucket, prefix: Prefix) -> Self {
        Self { bucket, prefix }
    }

    /// A destination from texts that are still to be checked.
    pub fn parse(bucket: &str, prefix: &str) -> Result<Self, DestinationError> {
        Ok(Self::new(Bucket::new(bucket)?, Prefix::new(prefix)?))
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The prefix.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }
}

/// `bucket/prefix/`, or `bucket/` for the top of the bucket: what an allow list is matched against.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "{}/", self.prefix) }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_s3() {
        for good in ["abc", "my-bucket", "a.b.c", "123", "1.2.3", "a".repeat(63).as_str()] {
            assert!(Bucket::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("ab", DestinationError::BucketLength(2)),
            (&*"a".repeat(64), DestinationError::BucketLength(64)),
            ("My-bucket", DestinationError::BucketCharacter),
            ("my_bucket", DestinationError::BucketCharacter),
            ("my/bucket", DestinationError::BucketCharacter),
            ("-bucket", DestinationError::BucketEdge),
            ("bucket.", DestinationError::BucketEdge),
            ("a..b", DestinationError::BucketDots),
            ("192.168.5.4", DestinationError::BucketIpAddress),
            ("999.999.999.999", DestinationError::BucketIpAddress),
            ("xn--bucket", DestinationError::BucketReserved("xn--")),
            ("bucket--x-s3", DestinationError::BucketReserved("--x-s3")),
        ] {
            assert_eq!(Bucket::new(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn prefixes_lose_one_slash_and_no_more() {
        assert_eq!(Prefix::new("test/").unwrap(), Prefix::new("test").unwrap());
        assert_eq!(Prefix::new("a/b/").unwrap().as_str(), "a/b");
        assert!(Prefix::new("").unwrap().is_empty());
        for (bad, why) in [
            ("/", DestinationError::PrefixLeadingSlash),
            ("/a", DestinationError::PrefixLeadingSlash),
            ("a//", DestinationError::PrefixEmptySegment),
            ("a//b", DestinationError::PrefixEmptySegment),
            ("a/../b", DestinationError::PrefixDotSegment),
            ("./", DestinationError::PrefixDotSegment),
            ("a\nb", DestinationError::PrefixControl),
            ("a\u{85}b", DestinationError::PrefixControl),
            (&*"p".repeat(513), DestinationError::PrefixLength(513)),
        ] {
            assert_eq!(Prefix::new(bad), Err(why), "{bad:?}");
        }
        assert!(Prefix::new(&"p".repeat(512)).is_ok());
        assert!(Prefix::new(&format!("{}/", "p".repeat(512))).is_ok());
        assert!(Prefix::new("Ünïcode ☃/…").is_ok());
    }

    #[test]
    fn destinations_print_as_what_allow_lists_match() {
        assert_eq!(Destination::parse("bucket", "a/b/").unwrap().to_string(), "bucket/a/b/");
        assert_eq!(Destination::parse("bucket", "").unwrap().to_string(), "bucket/");
    }
}
