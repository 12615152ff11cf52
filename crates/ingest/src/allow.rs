//! Which destinations a token reaches.

use std::fmt;
use std::str::FromStr;

use model::{Bucket, Destination, DestinationError, Prefix};

/// A pattern of an allow list.
///
/// `bucket/prefix/*` stands for the prefix and all below it, `bucket/*` for the whole bucket, and
/// `bucket/prefix` (or `bucket/` for the top of the bucket) for exactly that destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowPattern {
    /// `bucket/` or `bucket/prefix/`: the form in which [`Destination`] prints itself.
    start: String,
    below: bool,
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowPatternError {
    /// No slash after the bucket.
    #[error("an allow pattern has the form `bucket/prefix/*`, `bucket/*` or `bucket/prefix`")]
    Form,
    /// A star that is not the last character, or does not follow a slash.
    #[error("the `*` of an allow pattern is its last character and follows a slash")]
    Star,
    /// A bucket or a prefix that no destination could have.
    #[error(transparent)]
    Destination(#[from] DestinationError),
}

impl AllowPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, AllowPatternError> {
        let (bucket, rest) = text.split_once('/').ok_or(AllowPatternError::Form)?;
        let (prefix, below) = match rest.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (rest, false),
        };
        let star_follows_slash = prefix.is_empty() || prefix.ends_with('/');
        if prefix.contains('*') || bucket.contains('*') || (below && !star_follows_slash) {
            return Err(AllowPatternError::Star);
        }
        let start = Destination::new(Bucket::new(bucket)?, Prefix::new(prefix)?).to_string();
        Ok(Self { start, below })
    }

    /// Whether it reaches `destination`.
    pub fn matches(&self, destination: &Destination) -> bool {
        let text = destination.to_string();
        if self.below { text.starts_with(&self.start) } else { text == self.start }
    }
}

impl fmt::Display for AllowPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        if self.below { f.write_str("*") } else { Ok(()) }
    }
}

impl FromStr for AllowPattern {
    type Err = AllowPatternError;

    fn from_str(text: &str) -> Result<Self, AllowPatternError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_reaches_what_it_says_and_no_more() {
        for (pattern, bucket, prefix, reached) in [
            ("my-bucket/test/*", "my-bucket", "test", true),
            ("my-bucket/test/*", "my-bucket", "test/a/b", true),
            ("my-bucket/test/*", "my-bucket", "test2", false),
            ("my-bucket/test/*", "my-bucket", "", false),
            ("my-bucket/test/*", "other-bucket", "test", false),
            ("my-bucket/*", "my-bucket", "", true),
            ("my-bucket/*", "my-bucket", "a/b", true),
            ("my-bucket/*", "my-bucket2", "a", false),
            ("my-bucket/test", "my-bucket", "test", true),
            ("my-bucket/test/", "my-bucket", "test/", true),
            ("my-bucket/test", "my-bucket", "test/a", false),
            ("my-bucket/", "my-bucket", "", true),
            ("my-bucket/", "my-bucket", "test", false),
        ] {
            let destination = Destination::parse(bucket, prefix).unwrap();
            let pattern = AllowPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(&destination), reached, "{pattern} on {destination}");
        }
    }

    #[test]
    fn other_texts_are_not_patterns() {
        for (text, why) in [
            ("", AllowPatternError::Form),
            ("*", AllowPatternError::Form),
            ("my-bucket", AllowPatternError::Form),
            ("my-bucket/te*", AllowPatternError::Star),
            ("my-bucket/*/a", AllowPatternError::Star),
            ("my-bucket/**", AllowPatternError::Star),
            ("my-*/a", AllowPatternError::Star),
            ("UP/*", AllowPatternError::Destination(DestinationError::BucketLength(2))),
            ("my-bucket//*", AllowPatternError::Destination(DestinationError::PrefixLeadingSlash)),
            ("my-bucket/../*", AllowPatternError::Destination(DestinationError::PrefixDotSegment)),
        ] {
            assert_eq!(AllowPattern::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_pattern_prints_as_it_reads() {
        for text in ["my-bucket/*", "my-bucket/test/*", "my-bucket/test/", "my-bucket/"] {
            assert_eq!(AllowPattern::parse(text).unwrap().to_string(), text);
        }
    }
}
