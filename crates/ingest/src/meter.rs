//! What one connection, or all senders with one token, have used of what they may do in a minute.
//!
//! The minute is a window of 60 s that begins with the first request after the one before has
//! ended. Within a window no more than the limit comes through; within any 60 s at most twice that,
//! at the edge of two windows.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wal::Batch;

use crate::config::RateLimits;
use crate::problem::{Kind, Problem};

const WINDOW: Duration = Duration::from_secs(60);

/// Counts for one connection or one token.
#[derive(Debug)]
pub(crate) struct Meter {
    /// As in ``the token `checkout` ``.
    whose: String,
    limits: RateLimits,
    /// Keyed anew in each meter, so that nobody can choose destinations that look the same.
    hasher: RandomState,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    requests: u32,
    bytes: u64,
    /// By their hashes: never more than the limit.
    destinations: HashSet<u64>,
}

/// All meters that a request counts for: its connection's, then its token's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meters(Vec<Arc<Meter>>);

impl Meter {
    /// A meter, or `None` where nothing is limited.
    pub(crate) fn new(whose: impl Into<String>, limits: RateLimits) -> Option<Arc<Self>> {
        let window =
            Window { began: None, requests: 0, bytes: 0, destinations: HashSet::default() };
        (limits != RateLimits::default()).then(|| {
            Arc::new(Self {
                whose: whose.into(),
                limits,
                hasher: RandomState::new(),
                window: Mutex::new(window),
            })
        })
    }

    /// The same meter where its limits have not changed, else a new one.
    pub(crate) fn renewed(
        before: Option<&Arc<Self>>,
        whose: impl Into<String>,
        limits: RateLimits,
    ) -> Option<Arc<Self>> {
        let same = before.filter(|meter| meter.limits == limits);
        same.cloned().or_else(|| Self::new(whose, limits))
    }

    /// Counts a request, whatever becomes of it; refuses one over the limit, and one that could
    /// only be refused later.
    pub(crate) fn request(&self) -> Result<(), Problem> {
        let mut window = self.window();
        if let Some(limit) = self.limits.requests_per_minute
            && window.requests >= limit
        {
            return Err(self.used_up(&window, &format!("{limit} requests (requests_per_minute)")));
        }
        if let Some(limit) = self.limits.bytes_per_minute
            && window.bytes >= limit
        {
            return Err(self.used_up(&window, &format!("{limit} bytes (bytes_per_minute)")));
        }
        window.requests += 1;
        Ok(())
    }

    /// The window that is now.
    fn window(&self) -> MutexGuard<'_, Window> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if window.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            *window = Window {
                began: Some(now),
                requests: 0,
                bytes: 0,
                destinations: HashSet::default(),
            };
        }
        window
    }

    /// Refuses what is over the limits; counts nothing.
    fn check(&self, window: &Window, bytes: u64, destinations: &[u64]) -> Result<(), Problem> {
        if let Some(limit) = self.limits.bytes_per_minute {
            if bytes > limit {
                let detail = format!(
                    "the request has {bytes} bytes after decompression, and {} may send {limit} a \
                     minute (bytes_per_minute): send its events in several requests",
                    self.whose
                );
                return Err(Problem::new(Kind::RequestTooLarge, detail));
            }
            if window.bytes.saturating_add(bytes) > limit {
                return Err(self.used_up(window, &format!("{limit} bytes (bytes_per_minute)")));
            }
        }
        if let Some(limit) = self.limits.destinations_per_minute {
            let fits = |count: usize| u32::try_from(count).is_ok_and(|count| count <= limit);
            if !fits(destinations.len()) {
                let detail = format!(
                    "the request has {} destinations, and {} may have {limit} a minute \
                     (destinations_per_minute): split the request, and send the parts in different \
                     minutes",
                    destinations.len(),
                    self.whose
                );
                return Err(Problem::new(Kind::TooManyDestinationsInRequest, detail));
            }
            let new = destinations.iter().filter(|it| !window.destinations.contains(it)).count();
            if !fits(window.destinations.len() + new) {
                let what = format!("{limit} destinations (destinations_per_minute)");
                return Err(self.used_up(window, &what));
            }
        }
        Ok(())
    }

    fn used_up(&self, window: &Window, what: &str) -> Problem {
        let ended = window.began.map_or(WINDOW, |began| began.elapsed());
        let detail = format!(
            "{} may have no more than {what}: send it again in the next minute, or have the limit \
             raised",
            self.whose
        );
        Problem::new(Kind::RateLimited, detail).retry_after(WINDOW.saturating_sub(ended))
    }
}

impl Meters {
    /// The meters that there are among these two.
    pub(crate) fn of(connection: Option<Arc<Meter>>, token: Option<Arc<Meter>>) -> Self {
        Self(connection.into_iter().chain(token).collect())
    }

    /// Counts a batch and the bytes of its body against every limit, or against none and refuses
    /// it.
    pub(crate) fn charge(&self, bytes: u64, batch: &Batch) -> Result<(), Problem> {
        // Always in the order of connection and token, so that no two requests wait for each other.
        let mut charges = Vec::with_capacity(self.0.len());
        for meter in &self.0 {
            let destinations: Vec<u64> = match meter.limits.destinations_per_minute {
                Some(_) => batch.each_destination().map(|it| meter.hasher.hash_one(it)).collect(),
                None => Vec::new(),
            };
            let window = meter.window();
            meter.check(&window, bytes, &destinations)?;
            charges.push((window, destinations));
        }
        for (window, destinations) in &mut charges {
            window.bytes = window.bytes.saturating_add(bytes);
            window.destinations.extend(destinations.drain(..));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::Destination;

    use super::*;

    fn limits(requests: u32, bytes: u64, destinations: u32) -> RateLimits {
        RateLimits {
            requests_per_minute: Some(requests),
            bytes_per_minute: Some(bytes),
            destinations_per_minute: Some(destinations),
        }
    }

    fn batch(prefixes: std::ops::Range<u32>) -> Batch {
        let mut batch = Batch::new();
        for number in prefixes {
            let to = Destination::parse("my-bucket", &format!("p{number}")).unwrap();
            batch.push(&to, None, b"1");
        }
        batch
    }

    #[track_caller]
    fn kind(outcome: Result<(), Problem>) -> Kind {
        outcome.unwrap_err().kind()
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        assert!(Meter::new("x", RateLimits::default()).is_none());
        assert_eq!(Meters::of(None, None).charge(u64::MAX, &batch(0..3)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_has_so_many_requests_and_the_next_one_has_as_many() {
        let only = RateLimits { requests_per_minute: Some(2), ..RateLimits::default() };
        let meter = Meter::new("the token `a`", only).unwrap();
        assert_eq!(meter.request(), Ok(()));
        tokio::time::advance(Duration::from_millis(59_100)).await;
        assert_eq!(meter.request(), Ok(()));
        let problem = meter.request().unwrap_err();
        assert_eq!(problem.kind(), Kind::RateLimited);
        let expected = Problem::new(Kind::RateLimited, problem.detail());
        assert_eq!(problem, expected.retry_after(Duration::from_millis(900)));
        assert!(problem.detail().starts_with("the token `a` may have no more than 2 requests"));
        tokio::time::advance(Duration::from_millis(900)).await;
        assert_eq!([meter.request(), meter.request()], [Ok(()), Ok(())]);
        assert_eq!(kind(meter.request()), Kind::RateLimited);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_counted_nowhere() {
        let connection = Meter::new("this connection", limits(9, 100, 9)).unwrap();
        let token = Meter::new("the token `a`", limits(9, 30, 2)).unwrap();
        let both = Meters::of(Some(Arc::clone(&connection)), Some(Arc::clone(&token)));
        assert_eq!(both.charge(20, &batch(0..1)), Ok(()));
        assert_eq!(kind(both.charge(11, &batch(0..1))), Kind::RateLimited);
        assert_eq!(kind(both.charge(1, &batch(1..3))), Kind::RateLimited);
        assert_eq!(connection.window().bytes, 20);
        assert_eq!(connection.window().destinations.len(), 1);
        // Known destinations cost nothing, and the last byte may be used.
        assert_eq!(both.charge(10, &batch(0..2)), Ok(()));
        assert_eq!(kind(token.request()), Kind::RateLimited, "no body would fit any more");
        assert_eq!(connection.request(), Ok(()));
        tokio::time::advance(WINDOW).await;
        assert_eq!(both.charge(30, &batch(5..7)), Ok(()));
        assert_eq!(token.window().destinations.len(), 2, "never more than the limit");
    }

    #[test]
    fn what_fits_into_no_minute_is_not_told_to_come_back() {
        let meters = Meters::of(None, Meter::new("x", limits(1, 10, 2)));
        assert_eq!(kind(meters.charge(11, &batch(0..1))), Kind::RequestTooLarge);
        assert_eq!(kind(meters.charge(1, &batch(0..3))), Kind::TooManyDestinationsInRequest);
        assert_eq!(meters.charge(10, &batch(0..2)), Ok(()));
    }
}
