//! From the texts of a request to destinations that it may reach.

use model::{Bucket, Destination, EventName, Prefix};

use crate::auth::Grant;
use crate::problem::{Kind, Problem};

/// Checks destinations for one request. Most requests name one destination many times over, so
/// the last one is remembered.
#[derive(Debug)]
pub(crate) struct Destinations<'g> {
    grant: &'g Grant,
    last: Option<Destination>,
}

impl<'g> Destinations<'g> {
    /// For a request with this grant.
    pub(crate) fn new(grant: &'g Grant) -> Self {
        Self { grant, last: None }
    }

    /// The destination of these texts, or the problem with its field named.
    pub(crate) fn resolve(&mut self, bucket: &str, prefix: &str) -> Result<&Destination, Problem> {
        let last = self.last.take().filter(|last| is_named(last, bucket, prefix));
        Ok(self.last.insert(match last {
            Some(last) => last,
            None => check(self.grant, bucket, prefix)?,
        }))
    }
}

/// Whether these texts are valid and name this destination.
fn is_named(destination: &Destination, bucket: &str, prefix: &str) -> bool {
    // A slash at the end makes no difference; one alone is at the beginning.
    let prefix = if prefix == "/" { prefix } else { prefix.strip_suffix('/').unwrap_or(prefix) };
    destination.bucket().as_str() == bucket && destination.prefix().as_str() == prefix
}

/// Checks a bucket and a prefix, and that the sender may reach them.
pub(crate) fn check(grant: &Grant, bucket: &str, prefix: &str) -> Result<Destination, Problem> {
    let bucket = Bucket::new(bucket).map_err(|error| {
        let detail = format!("the bucket `{}` is not valid: {error}", shown(bucket));
        Problem::new(Kind::InvalidBucket, detail).field("bucket")
    })?;
    let prefix = Prefix::new(prefix).map_err(|error| {
        let detail = format!("the prefix `{}` is not valid: {error}", shown(prefix));
        Problem::new(Kind::InvalidPrefix, detail).field("prefix")
    })?;
    let destination = Destination::new(bucket, prefix);
    grant.check(&destination).map_err(|problem| problem.field("bucket"))?;
    Ok(destination)
}

/// Checks the name that a caller gives to an event.
pub(crate) fn event_name(text: &str) -> Result<EventName, Problem> {
    EventName::new(text).map_err(|error| {
        let detail = format!("the event name `{}` is not valid: {error}", shown(text));
        Problem::new(Kind::InvalidEventName, detail).field("event")
    })
}

/// The beginning of a text that the client sent, fit to be put into an answer.
pub(crate) fn shown(text: &str) -> String {
    const CHARS: usize = 64;
    let mut shown: String = text.chars().take(CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_destination_is_not_mistaken_for_the_next() {
        let grant = Grant::All;
        let mut destinations = Destinations::new(&grant);
        for (bucket, prefix, text) in [
            ("my-bucket", "a", "my-bucket/a/"),
            ("my-bucket", "a", "my-bucket/a/"),
            ("my-bucket", "a/", "my-bucket/a/"),
            ("my-bucket", "b", "my-bucket/b/"),
            ("other-bucket", "b", "other-bucket/b/"),
        ] {
            assert_eq!(destinations.resolve(bucket, prefix).unwrap().to_string(), text);
        }
        for (good, bad) in [("", "/"), ("", "//"), ("b", "b//"), ("b", "/b")] {
            assert!(destinations.resolve("my-bucket", good).is_ok());
            let problem = destinations.resolve("my-bucket", bad).unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidPrefix, "{bad}");
        }
        assert_eq!(destinations.resolve("NO", "b").unwrap_err().kind(), Kind::InvalidBucket);
        assert_eq!(destinations.resolve("my-bucket", "/").unwrap_err().kind(), Kind::InvalidPrefix);
    }

    #[test]
    fn long_and_odd_texts_are_cut_and_escaped() {
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
        assert_eq!(shown("a\nb"), "a\\nb");
    }
}
