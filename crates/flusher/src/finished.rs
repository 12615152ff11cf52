//! Which minutes may be sealed: a pure decision.

use std::time::Duration;

use model::{Minute, UnixMillis};

/// How long a run that is still held after its minute is waited for. One that is held longer
/// belongs to a process that was stopped in mid-write; it is sealed as a further part when it
/// turns up.
pub(crate) const LATE_RUN_GRACE: Duration = Duration::from_secs(10);

/// In the last one of so many parts of a minute its end is near.
const LAST_OF: u32 = 6;

/// What to do with a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It may still get events.
    Wait,
    /// It is finished: seal the runs that nobody holds.
    Seal,
}

/// Decides on a minute. `held` says whether a process holds one of its runs; `early` that nobody
/// is going to write to it although it is not over.
///
/// A minute that lies in the future is finished as well: the clock went back, and ingest never
/// opens a sealed minute again.
pub(crate) fn decide(minute: Minute, now: UnixMillis, held: bool, early: bool) -> Decision {
    let over = now >= minute.end() || now < minute.start();
    let abandoned = now >= minute.end().after(LATE_RUN_GRACE);
    match held {
        false if over || early => Decision::Seal,
        true if abandoned => Decision::Seal,
        _ => Decision::Wait,
    }
}

/// Whether what is not compressed of a minute by now will be waited for at its end.
pub(crate) fn end_is_near(minute: Minute, now: UnixMillis) -> bool {
    let length = minute.end().since(minute.start());
    minute.end().since(now) <= length / LAST_OF
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Interval;

    #[test]
    fn the_end_of_a_minute_is_near_for_a_sixth_of_it() {
        let minute = Minute::containing(UnixMillis::from_seconds(1_000_000), Interval::default());
        for (millis, near) in [(0, false), (49_999, false), (50_000, true), (59_999, true)] {
            let now = minute.start().after(Duration::from_millis(millis));
            assert_eq!(end_is_near(minute, now), near, "{millis}");
        }
    }

    #[test]
    fn a_minute_is_sealed_when_nobody_can_write_to_it() {
        let minute = Minute::containing(UnixMillis::from_seconds(1_000_000), Interval::default());
        let within = minute.start().after(Duration::from_secs(30));
        let before = UnixMillis::new(minute.start().as_millis() - 1);
        let late = minute.end().after(LATE_RUN_GRACE);
        let just_before_late = UnixMillis::new(late.as_millis() - 1);
        for (now, held, early, decision) in [
            (within, false, false, Decision::Wait),
            (within, true, false, Decision::Wait),
            (within, false, true, Decision::Seal),
            (within, true, true, Decision::Wait),
            (minute.end(), false, false, Decision::Seal),
            (minute.end(), true, false, Decision::Wait),
            (just_before_late, true, false, Decision::Wait),
            (late, true, false, Decision::Seal),
            (before, false, false, Decision::Seal),
            (before, true, false, Decision::Wait),
        ] {
            assert_eq!(decide(minute, now, held, early), decision, "{now} {held} {early}");
        }
    }
}
