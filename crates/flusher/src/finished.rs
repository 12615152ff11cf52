//! Which minutes may be sealed: a pure decision.

use std::time::Duration;

use model::{Minute, UnixMillis};

/// How long a run that is still held after its minute is waited for. One that is held longer
/// belongs to a process that was stopped in mid-write; it is sealed as a further part when it
/// turns up.
pub(crate) const LATE_RUN_GRACE: Duration = Duration::from_secs(10);

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

#[cfg(test)]
mod tests {
    use super::*;
    use model::Interval;

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
