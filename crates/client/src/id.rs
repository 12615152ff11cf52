//! The ids of events.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// The id of an event that was accepted: a ULID. Ids sort by the time of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Ulid);

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id is a ULID, 26 characters of Crockford's base 32")]
pub struct EventIdError;

impl EventId {
    /// All ids from `first` to `last`; `None` where there are not exactly `count` of them.
    ///
    /// The service gives the events of one bulk request different ids, in their order. Where there are
    /// as many ids from the first to the last as events, each event has the one at its place.
    pub(crate) fn range(first: Self, last: Self, count: usize) -> Option<Vec<Self>> {
        let span = last.0.0.checked_sub(first.0.0)?.checked_add(1)?;
        if u128::try_from(count) != Ok(span) {
            return None;
        }
        Some((first.0.0..=last.0.0).map(|bits| Self(Ulid(bits))).collect())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        Ulid::from_string(text).map(Self).map_err(|_| EventIdError)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EventId {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let text = "01M81G909Q4E25C033Q4000003";
        assert_eq!(id(text).to_string(), text);
        assert_eq!(serde_json::to_string(&id(text)).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<EventId>(&format!("\"{text}\"")).unwrap(), id(text));
        for bad in ["", "01M81G909Q4E25C033Q400000", "order-1001"] {
            assert_eq!(bad.parse::<EventId>(), Err(EventIdError), "{bad}");
        }
    }

    #[test]
    fn a_range_is_told_only_where_each_id_is_certain() {
        let (first, last) = (id("01M81G909Q4E25C033Q400000Z"), id("01M81G909Q4E25C033Q4000011"));
        let middle = id("01M81G909Q4E25C033Q4000010");
        assert_eq!(EventId::range(first, last, 3), Some(vec![first, middle, last]));
        assert_eq!(EventId::range(first, first, 1), Some(vec![first]));
        assert_eq!(EventId::range(first, last, 2), None);
        assert_eq!(EventId::range(last, first, 3), None);
    }
}
