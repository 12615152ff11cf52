//! Times on the command line.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use model::UnixMillis;

/// A point in time as [`MinuteStart`] has it, or a duration back from now such as `15m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// The time itself.
    At(UnixMillis),
    /// That long ago.
    Ago(Duration),
}

impl Since {
    /// The time that is meant at `now`; a duration that reaches beyond 1970 means 1970.
    pub(crate) fn resolve(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::At(time) => time,
            Self::Ago(duration) => {
                let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                UnixMillis::new(now.as_millis().saturating_sub(millis))
            }
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(duration) = humantime::parse_duration(text) {
            return Ok(Self::Ago(duration));
        }
        parse_time(text).map(Self::At).ok_or_else(|| {
            "give a time such as 2026-11-22T10:15:00Z, or a duration back from now such as 15m"
                .into()
        })
    }
}

/// A time in a minute, with or without seconds; without an offset it is UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinuteStart(UnixMillis);

impl MinuteStart {
    /// A time within the minute.
    pub(crate) fn time(self) -> UnixMillis {
        self.0
    }
}

impl FromStr for MinuteStart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_time(text)
            .map(Self)
            .ok_or_else(|| "give a minute such as 2026-11-22T10:15Z or 2026-11-22T10:15:00Z".into())
    }
}

/// Reads RFC 3339, and the forms that tables print: a space for the `T`, no seconds, no offset,
/// which then is UTC.
fn parse_time(text: &str) -> Option<UnixMillis> {
    let text = text.replacen(' ', "T", 1);
    let without_offset = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let time = DateTime::parse_from_rfc3339(&text)
        .or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%#z"))
        .map(|time| time.to_utc())
        .ok()
        .or_else(|| {
            let mut times =
                without_offset.iter().map(|form| NaiveDateTime::parse_from_str(&text, form));
            times.find_map(Result::ok).map(|time| time.and_utc())
        })?;
    Some(UnixMillis::from_datetime(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: UnixMillis = UnixMillis::MAX;

    #[test]
    fn minutes_are_read_with_and_without_seconds() {
        let minute = UnixMillis::from_seconds(1_795_342_500);
        for text in [
            "2026-11-22T10:15Z",
            "2026-11-22T10:15:00Z",
            "2026-11-22T11:15:00+01:00",
            "2026-11-22T11:15+01:00",
            "2026-11-22 10:15:00",
            "2026-11-22 10:15",
            "2026-11-22T10:15:00",
            "2026-11-22T10:15",
            "2026-11-22 10:15:00.000",
            "2026-11-22 10:15:00Z",
        ] {
            assert_eq!(text.parse(), Ok(MinuteStart(minute)), "{text}");
        }
        for text in ["", "10:15", "2026-11-22", "2026-11-22 10", "2026-11-22T10:61", "15m"] {
            assert!(text.parse::<MinuteStart>().is_err(), "{text}");
        }
    }

    #[test]
    fn since_is_a_time_or_a_duration_back() {
        let now = UnixMillis::from_seconds(10_000);
        assert_eq!("15m".parse::<Since>().unwrap().resolve(now), UnixMillis::from_seconds(9_100));
        assert_eq!("1day".parse::<Since>().unwrap().resolve(now), UnixMillis::new(0));
        let at = "2026-11-22T10:15:00.5Z".parse::<Since>().unwrap();
        assert_eq!(at.resolve(TIME), UnixMillis::new(1_795_342_500_500));
        assert!("yesterday".parse::<Since>().is_err());
    }
}
