//! Sizes, ages and times as people read them.

use std::time::Duration;

use bytesize::ByteSize;
use model::UnixMillis;

/// A size, as in `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// An age by its two largest units, as in `2h 5m`.
pub(crate) fn age(seconds: u64) -> String {
    let whole = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A time in UTC to the second, as in `2026-11-22 10:15:00`.
pub(crate) fn second(time: UnixMillis) -> String {
    millisecond(time).split('.').next().unwrap_or_default().to_owned()
}

/// A time in UTC to the millisecond, as in `2026-11-22 10:15:00.123`.
pub(crate) fn millisecond(time: UnixMillis) -> String {
    time.to_string().trim_end_matches('Z').replace('T', " ")
}

/// A number and its noun, as in `1 event` and `2 events`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1_572_864), "1.5 MiB");
        assert_eq!(age(0), "0s");
        assert_eq!(age(7_509), "2h 5m");
        assert_eq!(count(1, "event"), "1 event");
        assert_eq!(count(0, "event"), "0 events");
    }

    #[test]
    fn times_are_utc() {
        let time = UnixMillis::new(1_795_342_500_123);
        assert_eq!(millisecond(time), "2026-11-22 10:15:00.123");
        assert_eq!(second(time), "2026-11-22 10:15:00");
    }
}
