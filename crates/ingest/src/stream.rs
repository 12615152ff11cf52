//! Streams: names under which programs that send to Amazon Data Firehose know a destination.

use std::fmt;
use std::str::FromStr;

use model::Destination;

/// The longest name: Firehose's `DeliveryStreamName`.
const MAX_NAME_BYTES: usize = 64;

/// The name of a stream: 1 to 64 letters, digits, dots, hyphens and underscores, as Firehose has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Box<str>);

/// Which streams an access key reaches: one by its name, or with a `*` at the end all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPattern {
    start: Box<str>,
    open: bool,
}

/// Why a text is not the name of a stream, or not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    /// Not a name.
    #[error(
        "the name of a stream has 1 to {MAX_NAME_BYTES} letters, digits, dots, hyphens and underscores"
    )]
    Name,
    /// Not a pattern.
    #[error("a pattern is the name of a stream, or the beginning of one and a `*`")]
    Pattern,
}

/// A stream, and where its records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What senders call it.
    pub name: StreamName,
    /// Where its records go.
    pub destination: Destination,
}

fn is_made_of_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    text.len() <= MAX_NAME_BYTES && text.bytes().all(fits)
}

impl StreamName {
    /// Checks a name.
    pub fn new(text: &str) -> Result<Self, StreamNameError> {
        if text.is_empty() || !is_made_of_name(text) {
            return Err(StreamNameError::Name);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, StreamNameError> {
        Self::new(text)
    }
}

impl StreamPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, StreamNameError> {
        let (start, open) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        if !is_made_of_name(start) || (start.is_empty() && !open) {
            return Err(StreamNameError::Pattern);
        }
        Ok(Self { start: start.into(), open })
    }

    /// Whether it reaches a stream of this name.
    pub fn matches(&self, name: &str) -> bool {
        if self.open { name.starts_with(&*self.start) } else { *name == *self.start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_firehose_has() {
        for name in ["a", "Orders_2.eu-west", &"n".repeat(64)] {
            assert_eq!(StreamName::new(name).unwrap().to_string(), name);
        }
        for name in ["", "a b", "a/b", "a*", "ü", &"n".repeat(65)] {
            assert_eq!(StreamName::new(name), Err(StreamNameError::Name), "{name}");
        }
    }

    #[test]
    fn a_pattern_reaches_what_it_says_and_no_more() {
        for (pattern, name, reached) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders", "order", false),
            ("orders*", "orders", true),
            ("orders*", "orders-eu", true),
            ("orders*", "order", false),
            ("*", "anything", true),
        ] {
            let pattern = StreamPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(name), reached, "{pattern:?} on {name}");
        }
        for text in ["", "a*b", "**", "a b", "*a"] {
            assert_eq!(StreamPattern::parse(text), Err(StreamNameError::Pattern), "{text}");
        }
    }
}
