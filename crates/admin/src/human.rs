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

/// A span of time by its two largest units, as in `240 ms`, `3.4 s`, `12 min 03 s` and `5 h 02 min`.
pub(crate) fn span(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{minutes} min {:02} s", seconds % 60),
        3_600_000..172_800_000 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{} d", hours / 24),
    }
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
    fn spans_have_two_units() {
        for (ms, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (3_460, "3.4 s"),
            (59_999, "59.9 s"),
            (723_000, "12 min 03 s"),
            (18_120_000, "5 h 02 min"),
            (259_200_000, "3 d"),
        ] {
            assert_eq!(span(ms), shown);
        }
    }

    #[test]
    fn times_are_utc() {
        let time = UnixMillis::new(1_795_342_500_123);
        assert_eq!(millisecond(time), "2026-11-22 10:15:00.123");
        assert_eq!(second(time), "2026-11-22 10:15:00");
    }
}
