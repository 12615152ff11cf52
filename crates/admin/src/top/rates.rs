//! How many events a second come in, and how many are delivered: from one look to the next.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use model::Minute;
use wal::inspect::MinuteLook;

/// What is accepted is averaged over so long.
const ACCEPTED_OVER: Duration = Duration::from_secs(10);

/// No two samples are closer.
const APART: Duration = Duration::from_millis(500);

/// Adds up what has happened between looks.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// Events and delivered events of each minute at the last look.
    last: HashMap<Minute, (Option<u64>, u64)>,
    newest: Option<Minute>,
    accepted: u64,
    delivered: u64,
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    accepted: u64,
    delivered: u64,
}

/// Events a second; `None` before there were looks to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// Averaged over the last 10 s.
    pub(crate) accepted: Option<f64>,
    /// Averaged over the length of a minute, as once a minute is when deliveries come.
    pub(crate) delivered: Option<f64>,
}

impl Rates {
    /// Takes a look that was taken at `at`, and tells the rates up to it.
    pub(crate) fn take(&mut self, at: Instant, minutes: &[MinuteLook]) -> Rate {
        let is_first = self.samples.is_empty();
        for look in minutes {
            match self.last.get(&look.minute) {
                Some((events, delivered)) => {
                    let new = look.events.zip(*events).map(|(now, then)| now.saturating_sub(then));
                    self.accepted += new.unwrap_or(0);
                    self.delivered += look.delivered_events.saturating_sub(*delivered);
                }
                // An older one has come into sight as another has gone.
                None if is_first || self.newest.is_some_and(|newest| look.minute < newest) => {}
                None => {
                    self.accepted += look.events.unwrap_or(0);
                    self.delivered += look.delivered_events;
                }
            }
        }
        self.last = minutes
            .iter()
            .map(|look| (look.minute, (look.events, look.delivered_events)))
            .collect();
        self.newest = self.newest.max(minutes.iter().map(|look| look.minute).max());
        let longest = minutes.first().map_or(0, |look| u64::from(look.seconds));
        let delivered_over = ACCEPTED_OVER.max(Duration::from_secs(longest));
        while self.samples.front().is_some_and(|it| at.duration_since(it.at) > delivered_over) {
            self.samples.pop_front();
        }
        let now = Sample { at, accepted: self.accepted, delivered: self.delivered };
        let since = |over: Duration| {
            self.samples.iter().find(|it| at.duration_since(it.at) <= over).copied()
        };
        let rate = |from: Option<Sample>, count: fn(&Sample) -> u64| {
            let from = from?;
            let seconds = at.duration_since(from.at).as_secs_f64();
            let events = u32::try_from(count(&now).saturating_sub(count(&from)));
            (seconds > 0.0).then(|| f64::from(events.unwrap_or(u32::MAX)) / seconds)
        };
        let rate = Rate {
            accepted: rate(since(ACCEPTED_OVER), |it| it.accepted),
            delivered: rate(since(delivered_over), |it| it.delivered),
        };
        if self.samples.back().is_none_or(|it| at.duration_since(it.at) >= APART) {
            self.samples.push_back(now);
        }
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Interval, UnixMillis};
    use wal::inspect::MinuteStage;

    fn look(second: u64, events: Option<u64>, delivered_events: u64) -> MinuteLook {
        let minute = Minute::containing(UnixMillis::new(second * 1000), Interval::default());
        MinuteLook {
            minute,
            seconds: 60,
            stage: MinuteStage::Open,
            events,
            bytes: 0,
            destinations: 1,
            delivered: 0,
            delivered_events,
            parked: 0,
            delivered_at: None,
            lag_ms: None,
            error: None,
        }
    }

    #[test]
    fn only_what_has_come_since_the_first_look_counts() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rates.take(at(0), &[look(60, Some(500), 0)]), Rate::default());
        let rate = rates.take(at(5), &[look(60, Some(600), 0)]);
        assert_eq!((rate.accepted, rate.delivered), (Some(20.0), Some(0.0)));
        // A new minute counts whole, one from before does not, and what is not counted yet neither.
        let rate = rates.take(
            at(10),
            &[look(120, Some(50), 0), look(60, Some(600), 300), look(0, Some(9000), 9000)],
        );
        assert_eq!((rate.accepted, rate.delivered), (Some(15.0), Some(30.0)));
        let rate = rates.take(at(20), &[look(120, None, 0), look(60, Some(600), 600)]);
        assert_eq!((rate.accepted, rate.delivered), (Some(0.0), Some(30.0)));
        let rate = rates.take(at(21), &[look(120, Some(70), 0), look(60, Some(600), 600)]);
        assert_eq!(rate.accepted, Some(0.0));
        // What lies further back than the average is over is forgotten.
        let rate = rates.take(at(200), &[look(120, Some(70), 70)]);
        assert_eq!(rate, Rate::default());
    }

    #[test]
    fn looks_in_quick_succession_are_not_kept() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        for number in 0..10_000 {
            rates.take(start + Duration::from_millis(number), &[look(60, Some(number), 0)]);
        }
        assert!(rates.samples.len() <= 20, "{}", rates.samples.len());
    }
}
