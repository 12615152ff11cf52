//! How long to wait before the next try.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// More than any event has time for.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Twice as long after each try, up to 10 s, of which the second half is left to chance, so that clients
/// that failed together don't come back together. Never shorter than the service asked for.
///
/// `tries` have failed, from 1; `random` is from 0 to 1.
pub(crate) fn backoff(tries: u32, asked_for: Duration, random: f64) -> Duration {
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
    let half = FIRST.saturating_mul(doubled).min(LONGEST) / 2;
    half.max(asked_for) + half.mul_f64(random.clamp(0.0, 1.0))
}

/// What `Retry-After` (RFC 9110, 10.2.3) asks for: seconds, or a date, which is held against the
/// answer's own `Date`. Zero where there is none that can be read.
pub(crate) fn retry_after(headers: &HeaderMap) -> Duration {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let Some(value) = text(RETRY_AFTER) else { return Duration::ZERO };
    let wait = match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => date(value)
            .zip(text(DATE).and_then(date))
            .and_then(|(until, now)| until.duration_since(now).ok()),
    };
    wait.unwrap_or_default().min(LONGEST_ASKED_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn waits_double_up_to_ten_seconds_half_of_it_left_to_chance() {
        for (tries, shortest, longest) in
            [(1, 50, 100), (2, 100, 200), (3, 200, 400), (8, 5000, 10_000), (5000, 5000, 10_000)]
        {
            assert_eq!(backoff(tries, Duration::ZERO, 0.0), ms(shortest));
            assert_eq!(backoff(tries, Duration::ZERO, 1.0), ms(longest));
        }
    }

    #[test]
    fn no_wait_is_shorter_than_the_service_asked_for() {
        assert_eq!(backoff(1, ms(7000), 0.0), ms(7000));
        assert_eq!(backoff(1, ms(7000), 1.0), ms(7050));
        assert_eq!(backoff(8, ms(2000), 0.0), ms(5000));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |value: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers)
        };
        let date = Some("Sun, 22 Nov 2026 10:15:00 GMT");
        assert_eq!(wait("7", None), ms(7000));
        assert_eq!(wait("Sun, 22 Nov 2026 10:15:09 GMT", date), ms(9000));
        assert_eq!(wait("Sun, 22 Nov 2026 10:14:00 GMT", date), Duration::ZERO);
        assert_eq!(wait("Sun, 22 Nov 2026 10:15:09 GMT", None), Duration::ZERO);
        assert_eq!(wait("99999999999999", None), LONGEST_ASKED_FOR);
        for bad in ["", "soon", "-7", "0"] {
            assert_eq!(wait(bad, date), Duration::ZERO, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), Duration::ZERO);
    }
}
