//! `[[token]]`: who may send, and where to.

use std::fmt;
use std::str::FromStr;

use model::{Bucket, Digest};
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RateConfig;

/// `[[token]]`: one token. The configuration knows its hash only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenConfig {
    /// What it is called in logs.
    pub(crate) name: TokenName,
    /// BLAKE3 of the token's text.
    pub(crate) hash: TokenHash,
    /// The destinations that it reaches; at least one.
    pub(crate) allow: Vec<AllowPattern>,
    /// What all that send it may do in a minute, together; each key beats `[ingest.limits]`.
    #[serde(default, skip_serializing_if = "RateConfig::is_none")]
    pub(crate) limits: RateConfig,
}

/// The name of a token: 1 to 64 letters, digits, dots, hyphens and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct TokenName(String);

impl TokenName {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TokenName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is no name for a token: give 1 to 64 letters, digits, dots, hyphens and underscores"
            ))
        }
    }
}

impl FromStr for TokenName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hash of a token, written `blake3:` and 64 hex digits. Shown shortened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenHash(Digest);

const SCHEME: &str = "blake3:";

impl TokenHash {
    /// The hash of the token with this text.
    pub(crate) fn of(token: &str) -> Self {
        Self(Digest::of(token.as_bytes()))
    }

    /// The digest.
    pub(crate) fn digest(self) -> Digest {
        self.0
    }

    /// The whole text, as it stands in a configuration.
    pub(crate) fn to_config(self) -> String {
        format!("{SCHEME}{}", self.0)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        write!(f, "{SCHEME}{}…", digits.get(..8).unwrap_or_default())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text itself stays out of the message: it may be a token put here by mistake.
        String::deserialize(deserializer)?
            .strip_prefix(SCHEME)
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(
                    "not the hash of a token: write \"blake3:\" and 64 lower-case hex digits, as `minutelog admin token` prints them",
                )
            })
    }
}

/// Destinations that a token reaches, as ingest reads them. Shown as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowPattern {
    pattern: ingest::AllowPattern,
    text: String,
}

impl AllowPattern {
    /// The pattern.
    pub(crate) fn get(&self) -> &ingest::AllowPattern {
        &self.pattern
    }

    /// The bucket of the destinations: every pattern names one.
    pub(crate) fn bucket(&self) -> Option<Bucket> {
        Bucket::new(self.text.split_once('/')?.0).ok()
    }
}

impl Serialize for AllowPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for AllowPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match ingest::AllowPattern::parse(&text) {
            Ok(pattern) => Ok(Self { pattern, text }),
            Err(error) => Err(de::Error::custom(format!("{text:?}: {error}"))),
        }
    }
}
