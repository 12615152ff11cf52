//! Time as a parameter.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The last millisecond that a ULID (48 bits) can hold, in the year 10889.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// A time from milliseconds since the epoch; what lies beyond [`UnixMillis::MAX`] becomes it.
    pub fn new(millis: u64) -> Self {
        Self(millis.min(Self::MAX.0))
    }

    /// A time from whole seconds since the epoch.
    pub fn from_seconds(seconds: u64) -> Self {
        Self::new(seconds.saturating_mul(1000))
    }

    /// A time from chrono's; what lies before the epoch becomes the epoch.
    pub fn from_datetime(time: DateTime<Utc>) -> Self {
        Self::new(u64::try_from(time.timestamp_millis()).unwrap_or(0))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This time, later by `duration`.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::new(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was at this time; zero where it was not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same time as chrono's.
    pub fn to_datetime(self) -> DateTime<Utc> {
        i64::try_from(self.0).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
    }
}

/// RFC 3339 with milliseconds, as in `2026-11-22T10:15:00.123Z`.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_datetime().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixMillis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DateTime::<Utc>::deserialize(deserializer).map(Self::from_datetime)
    }
}

/// Where the time comes from. It may jump in both directions; whoever needs more says so.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> UnixMillis;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> UnixMillis {
        UnixMillis::from_datetime(Utc::now())
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: UnixMillis) -> Self {
        Self(AtomicU64::new(now.as_millis()))
    }

    /// Sets the clock, forth or back.
    pub fn set(&self, now: UnixMillis) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Moves the clock forth.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_with_milliseconds() {
        assert_eq!(UnixMillis::new(1_795_342_500_123).to_string(), "2026-11-22T10:15:00.123Z");
    }

    #[test]
    fn differences_do_not_go_below_zero() {
        let early = UnixMillis::new(5);
        let late = early.after(Duration::from_millis(7));
        assert_eq!(late.since(early), Duration::from_millis(7));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn round_trips_through_json() {
        let time = UnixMillis::new(1_795_342_500_123);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<UnixMillis>(&json).unwrap(), time);
    }
}
