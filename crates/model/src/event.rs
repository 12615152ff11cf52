//! Events: their ids, and the names that callers give them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::clock::UnixMillis;
use crate::limits::MAX_EVENT_NAME_BYTES;

/// One life of an ingest process: 48 random bits, written as 12 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

/// The position of an event in the log of one run and one minute, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u32);

/// The id of an event: a ULID whose 48 bits of time are the millisecond of its acceptance and
/// whose 80 other bits are the run (48) and the position in the minute's log (32). It sorts by
/// time of acceptance, and alone tells where in the log the event is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Ulid);

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventIdError {
    /// Not a ULID.
    #[error("an event id is a ULID, 26 characters of Crockford's base 32")]
    Event,
    /// Not a run.
    #[error("a run id has 12 lower-case hex digits")]
    Run,
}

impl RunId {
    /// How many bits a run has.
    pub const BITS: u32 = 48;

    /// A run from 48 bits; what lies above them is dropped.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    /// The 48 bits.
    pub fn as_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 12 || !text.bytes().all(digits) {
            return Err(EventIdError::Run);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| EventIdError::Run)
    }
}

impl Seq {
    /// A position.
    pub fn new(position: u32) -> Self {
        Self(position)
    }

    /// The position as a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The position `count` events on, or `None` past the last one that there is.
    pub fn checked_add(self, count: u32) -> Option<Self> {
        self.0.checked_add(count).map(Self)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl EventId {
    /// The id of the event accepted at `time` as number `seq` of `run`.
    pub fn new(time: UnixMillis, run: RunId, seq: Seq) -> Self {
        let random = (u128::from(run.as_bits()) << 32) | u128::from(seq.get());
        Self(Ulid::from_parts(time.as_millis(), random))
    }

    /// When the event was accepted.
    pub fn time(self) -> UnixMillis {
        UnixMillis::new(self.0.timestamp_ms())
    }

    /// The run that accepted it.
    pub fn run(self) -> RunId {
        RunId::from_bits(u64::try_from(self.0.random() >> 32).unwrap_or(0))
    }

    /// Its position in the log of its run and minute.
    pub fn seq(self) -> Seq {
        Seq(u32::try_from(self.0.random() & u128::from(u32::MAX)).unwrap_or(0))
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
        Ulid::from_string(text).map(Self).map_err(|_| EventIdError::Event)
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The name that a caller gave to an event, so as to find it again. What is sent to several
/// destinations under one name is shown as one event with that many destinations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventName(Box<str>);

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventNameError {
    /// No bytes, or over 256.
    #[error("an event name has 1 to 256 bytes, this one has {0}")]
    Length(usize),
    /// A control character.
    #[error("an event name has no control characters")]
    Control,
}

impl EventName {
    /// Checks a name.
    pub fn new(text: &str) -> Result<Self, EventNameError> {
        if text.is_empty() || text.len() > MAX_EVENT_NAME_BYTES {
            return Err(EventNameError::Length(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(EventNameError::Control);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventName {
    type Error = EventNameError;

    fn try_from(text: String) -> Result<Self, EventNameError> {
        Self::new(&text)
    }
}

impl From<EventName> for String {
    fn from(name: EventName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_limits() {
        assert!(EventName::new("order 17 ☃").is_ok());
        assert_eq!(EventName::new(""), Err(EventNameError::Length(0)));
        assert_eq!(EventName::new(&"n".repeat(257)), Err(EventNameError::Length(257)));
        assert_eq!(EventName::new("a\u{7f}"), Err(EventNameError::Control));
    }

    #[test]
    fn runs_are_twelve_digits() {
        assert_eq!(RunId::from_bits(0xab).to_string(), "0000000000ab");
        for bad in ["", "ab", "0000000000AB", "+000000000ab", "0000000000ab0"] {
            assert_eq!(bad.parse::<RunId>(), Err(EventIdError::Run), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_id_tells_its_parts(millis in 0..=UnixMillis::MAX.as_millis(), run: u64, seq: u32) {
            let (time, run, seq) = (UnixMillis::new(millis), RunId::from_bits(run), Seq::new(seq));
            let id: EventId = EventId::new(time, run, seq).to_string().parse().unwrap();
            prop_assert_eq!((id.time(), id.run(), id.seq()), (time, run, seq));
            prop_assert_eq!(run.to_string().parse(), Ok(run));
        }

        #[test]
        fn ids_sort_as_time_then_position(a in 0_u64..1 << 40, b in 0_u64..1 << 40, x: u32, y: u32) {
            let run = RunId::from_bits(7);
            let left = EventId::new(UnixMillis::new(a), run, Seq::new(x));
            let right = EventId::new(UnixMillis::new(b), run, Seq::new(y));
            prop_assert_eq!(left.to_string().cmp(&right.to_string()), (a, x).cmp(&(b, y)));
        }
    }
}
