//! The time buckets in which events are accepted, sealed and delivered.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;

const ALLOWED_SECONDS: [u32; 11] = [1, 2, 5, 10, 15, 20, 30, 60, 300, 600, 900];

/// How long a minute is: 60 s unless `log.interval` says otherwise. Each allowed length divides
/// the hour, so that no minute crosses the hour's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u32);

/// Why a length is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the interval is one of 1s 2s 5s 10s 15s 20s 30s 60s 5m 10m 15m")]
pub struct IntervalError;

impl Interval {
    /// Checks a length in seconds.
    pub fn from_seconds(seconds: u64) -> Result<Self, IntervalError> {
        let seconds = u32::try_from(seconds).map_err(|_| IntervalError)?;
        if ALLOWED_SECONDS.contains(&seconds) { Ok(Self(seconds)) } else { Err(IntervalError) }
    }

    /// The length in seconds.
    pub fn as_seconds(self) -> u32 {
        self.0
    }

    /// The length.
    pub fn as_duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self(60)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 60 { write!(f, "{}m", self.0 / 60) } else { write!(f, "{}s", self.0) }
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let (number, unit) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
            (Some(number), _) => (number, 1),
            (_, Some(number)) => (number, 60),
            _ => return Err(IntervalError),
        };
        let number: u64 = number.parse().map_err(|_| IntervalError)?;
        Self::from_seconds(number.saturating_mul(unit))
    }
}

impl Serialize for Interval {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One time bucket: its start, a whole multiple of its length, and its length.
///
/// Sorts by time. As text it is its start, `2026-11-22T10:15:00Z`; as the name of a directory it is
/// `20261122T101500Z-60s` ([`Minute::to_name`]), which sorts as text as the minutes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute {
    start_seconds: u64,
    interval: Interval,
}

/// Why a text names no minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a minute")]
pub struct MinuteError;

const NAME_TIME: &str = "%Y%m%dT%H%M%SZ";

impl Minute {
    /// The minute that holds `time`.
    pub fn containing(time: UnixMillis, interval: Interval) -> Self {
        let seconds = time.as_seconds();
        let start_seconds = seconds - seconds % u64::from(interval.as_seconds());
        Self { start_seconds, interval }
    }

    /// The first millisecond of the minute.
    pub fn start(self) -> UnixMillis {
        UnixMillis::from_seconds(self.start_seconds)
    }

    /// The first millisecond after the minute.
    pub fn end(self) -> UnixMillis {
        self.start().after(self.interval.as_duration())
    }

    /// How long it is.
    pub fn interval(self) -> Interval {
        self.interval
    }

    /// The minute that begins where this one ends.
    #[must_use]
    pub fn next(self) -> Self {
        Self::containing(self.end(), self.interval)
    }

    /// Whether `time` is within it.
    pub fn contains(self, time: UnixMillis) -> bool {
        self.start() <= time && time < self.end()
    }

    /// The name of its directory, `20261122T101500Z-60s`.
    pub fn to_name(self) -> String {
        let start = self.start().to_datetime().format(NAME_TIME);
        format!("{start}-{}s", self.interval.as_seconds())
    }

    /// Reads the name of a directory.
    pub fn from_name(name: &str) -> Result<Self, MinuteError> {
        let (start, seconds) = name.split_once('-').ok_or(MinuteError)?;
        let seconds = seconds.strip_suffix('s').ok_or(MinuteError)?;
        let interval = seconds
            .parse()
            .ok()
            .and_then(|seconds| Interval::from_seconds(seconds).ok())
            .ok_or(MinuteError)?;
        let start = NaiveDateTime::parse_from_str(start, NAME_TIME).map_err(|_| MinuteError)?;
        let minute = Self::containing(UnixMillis::from_datetime(start.and_utc()), interval);
        if minute.to_name() == name { Ok(minute) } else { Err(MinuteError) }
    }
}

/// The start as RFC 3339, `2026-11-22T10:15:00Z`.
impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: DateTime<Utc> = self.start().to_datetime();
        f.write_str(&start.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl Serialize for Minute {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_read_as_they_are_written() {
        for text in ["1s", "2s", "5s", "10s", "15s", "20s", "30s", "60s", "5m", "10m", "15m"] {
            assert_eq!(text.parse::<Interval>().unwrap().to_string(), text);
        }
        assert_eq!("1m".parse::<Interval>(), Ok(Interval::default()));
        for bad in ["", "s", "0s", "3s", "7m", "60", "1h", "-1s", "99999999999999999999s"] {
            assert_eq!(bad.parse::<Interval>(), Err(IntervalError), "{bad}");
        }
    }

    #[test]
    fn a_minute_has_two_texts() {
        let minute = Minute::containing(UnixMillis::new(1_795_342_517_999), Interval::default());
        assert_eq!(minute.to_string(), "2026-11-22T10:15:00Z");
        assert_eq!(minute.to_name(), "20261122T101500Z-60s");
        assert_eq!(Minute::from_name("20261122T101501Z-60s"), Err(MinuteError));
        assert_eq!(Minute::from_name("20261122T101500Z-61s"), Err(MinuteError));
    }

    proptest! {
        #[test]
        fn every_time_is_in_exactly_one_minute(millis in 0_u64..253_402_300_800_000, length in 0_usize..11) {
            let interval = Interval::from_seconds(u64::from(ALLOWED_SECONDS[length])).unwrap();
            let time = UnixMillis::new(millis);
            let minute = Minute::containing(time, interval);
            prop_assert!(minute.contains(time));
            prop_assert!(!minute.next().contains(time));
            prop_assert!(minute < minute.next());
            prop_assert_eq!(Minute::from_name(&minute.to_name()), Ok(minute));
        }
    }
}
