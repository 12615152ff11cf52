//! Which destinations may be tried now.
//!
//! Only what fails is remembered: a destination by itself, and a bucket where several destinations
//! in a row began to fail or S3 says that the whole bucket is at fault. Tries are spaced by
//! exponential back-off with full jitter; what only a person can mend is tried slowly. A bucket that
//! fails is probed with one object at a time, so that ten thousand prefixes of a dead bucket cost no
//! more than one.
//!
//! Whether it is the bucket or only some of its prefixes shows in a destination that has not failed
//! itself. Such a one does not wait for the probes of those that have: it is tried at once, and if it
//! works, the bucket is fine. Only where requests to the bucket hang are these tried one at a time as
//! well. What fails again where it has failed before says nothing new of the bucket.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Bucket, Destination, Prefix, UnixMillis};
use serde::{Deserialize, Serialize};
use store::Class;

/// The first pause after a failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause between tries of what can mend itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The pause between tries of what a person must mend.
const PARKED_PAUSE: Duration = Duration::from_secs(300);

/// So many destinations that begin to fail in a row, without a success between them, make a bucket
/// suspect.
const SUSPECT_AFTER: u32 = 3;

/// Whether an object may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Yes.
    Open,
    /// Yes, but where it delays nobody: its destination or bucket has failed before.
    Probe,
    /// Not before this time, for this reason.
    Closed(UnixMillis, Arc<str>),
    /// Not before this time, unless a person asks for it: they have to mend this first.
    Parked(UnixMillis, Arc<str>),
}

/// Whether what was put off until `at` may be tried at `now`. Nothing is put off for longer than the
/// longest pause: what lies beyond that was put off before the clock went back.
pub(crate) fn is_due(at: UnixMillis, now: UnixMillis) -> bool {
    at <= now || at.since(now) > PARKED_PAUSE
}

/// A destination or a bucket that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The bucket.
    pub bucket: Bucket,
    /// The prefix; `None` where it is the whole bucket.
    pub prefix: Option<Prefix>,
    /// How many tries in a row have failed.
    pub failures: u32,
    /// Whether a person must mend it.
    pub parked: bool,
    /// What S3 said last.
    pub error: String,
    /// When it is tried again.
    pub next_try: UnixMillis,
}

#[derive(Clone, Debug)]
struct Trouble {
    failures: u32,
    /// Whether a person must mend it.
    parked: bool,
    /// What S3 said last.
    why: Arc<str>,
    next_try: UnixMillis,
}

#[derive(Clone, Debug)]
struct BucketTrouble {
    all: Trouble,
    /// When those of its destinations that have not failed themselves may be tried.
    next_try_of_others: UnixMillis,
}

/// What is known of the destinations and buckets that fail.
#[derive(Debug, Default)]
pub(crate) struct Health {
    destinations: HashMap<Destination, Trouble>,
    buckets: HashMap<Bucket, BucketTrouble>,
    recoveries: u64,
    /// How many tries have failed since the last one that did not, and what the last one said.
    failures_in_a_row: u32,
    last_error: String,
}

impl Health {
    /// Whether an object of this destination may be sent at `now`.
    pub(crate) fn gate(&self, destination: &Destination, now: UnixMillis) -> Gate {
        let own = self.destinations.get(destination);
        let bucket = self.buckets.get(destination.bucket()).filter(|it| it.all.is_suspect());
        let bucket = bucket.map(|it| (&it.all, it.next_try(own.is_none())));
        let own = own.map(|trouble| (trouble, trouble.next_try));
        let troubles = [bucket, own].into_iter().flatten();
        let Some((trouble, next_try)) = troubles.max_by_key(|(_, next_try)| *next_try) else {
            return Gate::Open;
        };
        let why = Arc::clone(&trouble.why);
        match next_try {
            next_try if is_due(next_try, now) => Gate::Probe,
            next_try if trouble.parked => Gate::Parked(next_try, why),
            next_try => Gate::Closed(next_try, why),
        }
    }

    /// Notes that a probe is on its way, so that a failing bucket gets one at a time of what has
    /// failed, and, if requests to it hang, of what has not.
    pub(crate) fn probing(&mut self, destination: &Destination, hangs: bool, now: UnixMillis) {
        let failed = self.destinations.contains_key(destination);
        if let Some(trouble) = self.buckets.get_mut(destination.bucket())
            && trouble.all.is_suspect()
        {
            let until = now.after(LONGEST_PAUSE);
            if failed || trouble.all.parked {
                trouble.all.next_try = until;
            } else if hangs {
                trouble.next_try_of_others = until;
            }
        }
    }

    /// Notes that S3 has confirmed an object.
    pub(crate) fn succeeded(&mut self, destination: &Destination) {
        self.failures_in_a_row = 0;
        let mended = self.destinations.remove(destination).is_some();
        let bucket = self.buckets.remove(destination.bucket());
        if mended || bucket.is_some_and(|bucket| bucket.all.is_suspect()) {
            self.recoveries += 1;
        }
    }

    /// Notes a failure; returns whether the destination is parked by it. `jitter` is a random
    /// number from 0 to 1.
    pub(crate) fn failed(
        &mut self,
        destination: &Destination,
        class: Class,
        why: &str,
        now: UnixMillis,
        jitter: f64,
    ) -> bool {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        why.clone_into(&mut self.last_error);
        let why = Arc::<str>::from(why);
        // What S3 refuses for one prefix says nothing of the bucket's others.
        if class != Class::Park {
            let is_new = !self.destinations.contains_key(destination);
            let bucket = self.buckets.entry(destination.bucket().clone());
            let bucket = bucket.or_insert_with(BucketTrouble::none);
            // The probes of a bucket that is suspect are spaced like those of a destination.
            let whole = class == Class::ParkBucket;
            if is_new || whole || bucket.all.is_suspect() {
                bucket.all.fail(whole, Arc::clone(&why), now, jitter);
            }
            if is_new {
                bucket.next_try_of_others = now;
            }
        }
        if class != Class::ParkBucket {
            let trouble = self.destinations.entry(destination.clone());
            let parked = class == Class::Park;
            trouble.or_insert_with(Trouble::none).fail(parked, why, now, jitter);
        }
        matches!(class, Class::Park | Class::ParkBucket)
    }

    /// Lets everything that matches be tried at once; returns how many entries that were.
    pub(crate) fn clear(&mut self, matches: impl Fn(&Bucket, Option<&Destination>) -> bool) -> u64 {
        let before = self.destinations.len() + self.buckets.len();
        self.destinations
            .retain(|destination, _| !matches(destination.bucket(), Some(destination)));
        self.buckets.retain(|bucket, _| !matches(bucket, None));
        self.recoveries += 1;
        (before - self.destinations.len() - self.buckets.len()) as u64
    }

    /// Forgets all that failed, so that everything may be tried at once.
    pub(crate) fn forget(&mut self) {
        *self = Self { recoveries: self.recoveries + 1, ..Self::default() };
    }

    /// A number that changes when something that failed works again.
    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries
    }

    /// Why nothing would be delivered now: several tries in a row have failed, and none has not.
    pub(crate) fn trouble(&self) -> Option<String> {
        let failures = self.failures_in_a_row;
        (failures >= SUSPECT_AFTER)
            .then(|| format!("the last {failures} tries to deliver failed: {}", self.last_error))
    }

    /// What fails and when it is tried again, up to `limit` destinations and buckets.
    pub(crate) fn troubles(&self, limit: usize) -> Vec<Failing> {
        let of = |bucket: &Bucket, prefix: Option<&Prefix>, trouble: &Trouble| Failing {
            bucket: bucket.clone(),
            prefix: prefix.cloned(),
            failures: trouble.failures,
            parked: trouble.parked,
            error: trouble.why.to_string(),
            next_try: trouble.next_try,
        };
        let buckets = self.buckets.iter().filter(|(_, trouble)| trouble.all.is_suspect());
        let buckets = buckets.map(|(bucket, trouble)| of(bucket, None, &trouble.all));
        let destinations = self.destinations.iter();
        let destinations = destinations
            .map(|(destination, it)| of(destination.bucket(), Some(destination.prefix()), it));
        buckets.chain(destinations).take(limit).collect()
    }

    /// How many destinations and buckets wait for a person.
    pub(crate) fn parked(&self) -> usize {
        let destinations = self.destinations.values().filter(|trouble| trouble.parked);
        let buckets = self.buckets.values().filter(|trouble| trouble.all.parked);
        destinations.count() + buckets.count()
    }
}

impl BucketTrouble {
    fn none() -> Self {
        Self { all: Trouble::none(), next_try_of_others: UnixMillis::new(0) }
    }

    /// When a destination is tried that has failed itself, or one that has not. Where the whole
    /// bucket waits for a person, all do.
    fn next_try(&self, has_not_failed: bool) -> UnixMillis {
        if has_not_failed && !self.all.parked { self.next_try_of_others } else { self.all.next_try }
    }
}

impl Trouble {
    fn none() -> Self {
        Self { failures: 0, parked: false, why: Arc::from(""), next_try: UnixMillis::MAX }
    }

    fn is_suspect(&self) -> bool {
        self.parked || self.failures >= SUSPECT_AFTER
    }

    fn fail(&mut self, parked: bool, why: Arc<str>, now: UnixMillis, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        let longest = FIRST_PAUSE
            .saturating_mul(1 << self.failures.saturating_sub(1).min(16))
            .min(LONGEST_PAUSE);
        let jittered = longest.mul_f64(jitter.clamp(0.0, 1.0));
        self.next_try = now.after(if parked { PARKED_PAUSE } else { jittered });
        self.parked = parked;
        self.why = why;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(prefix: &str) -> Destination {
        Destination::parse("bucket", prefix).unwrap()
    }

    const NOW: u64 = 1_000_000;

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(NOW + millis)
    }

    #[test]
    fn a_failing_destination_waits_longer_each_time_and_delays_no_other() {
        let mut health = Health::default();
        let (bad, good) = (destination("bad"), destination("good"));
        assert!(!health.failed(&bad, Class::Retry, "why", at(0), 1.0));
        assert_eq!(health.gate(&bad, at(0)), Gate::Closed(at(250), Arc::from("why")));
        assert_eq!(health.gate(&bad, at(250)), Gate::Probe);
        assert_eq!(health.gate(&good, at(0)), Gate::Open);
        health.succeeded(&good);
        health.failed(&bad, Class::Retry, "why", at(0), 1.0);
        assert_eq!(health.gate(&bad, at(0)), Gate::Closed(at(500), Arc::from("why")));
        for _ in 0..20 {
            health.failed(&bad, Class::Retry, "why", at(0), 1.0);
            health.succeeded(&good);
        }
        assert_eq!(health.gate(&bad, at(0)), Gate::Closed(at(20_000), Arc::from("why")));
        health.succeeded(&bad);
        assert_eq!(health.gate(&bad, at(0)), Gate::Open);
    }

    #[test]
    fn a_failing_bucket_is_probed_with_one_object_at_a_time() {
        let mut health = Health::default();
        for prefix in ["a", "b", "c"] {
            assert_eq!(health.gate(&destination("x"), at(0)), Gate::Open);
            health.failed(&destination(prefix), Class::Retry, "why", at(0), 1.0);
        }
        assert_eq!(health.gate(&destination("a"), at(0)), Gate::Closed(at(1000), Arc::from("why")));
        assert_eq!(health.gate(&destination("a"), at(1000)), Gate::Probe);
        health.probing(&destination("a"), false, at(1000));
        assert!(matches!(health.gate(&destination("b"), at(1000)), Gate::Closed(..)));
        let before = health.recoveries();
        health.succeeded(&destination("a"));
        assert_eq!(health.gate(&destination("a"), at(1000)), Gate::Open);
        assert!(health.recoveries() > before);
    }

    #[test]
    fn what_has_not_failed_waits_for_no_probe_of_what_has() {
        let mut health = Health::default();
        let bad: Vec<_> = (0..100).map(|number| destination(&format!("bad{number}"))).collect();
        for (round, bad) in bad.iter().enumerate() {
            let round = u64::try_from(round).unwrap();
            health.failed(bad, Class::Retry, "why", at(round), 1.0);
            if round < 2 {
                continue;
            }
            assert!(matches!(health.gate(bad, at(round)), Gate::Closed(..)));
            assert_eq!(health.gate(&destination("x"), at(round)), Gate::Probe);
            health.probing(&destination("x"), false, at(round));
            assert_eq!(health.gate(&destination("y"), at(round)), Gate::Probe);
            health.probing(&destination("x"), true, at(round));
            assert!(matches!(health.gate(&destination("y"), at(round)), Gate::Closed(..)));
        }
        health.succeeded(&destination("x"));
        // What is known to fail does not make the bucket suspect once more.
        for bad in &bad {
            health.failed(bad, Class::Retry, "why", at(200), 1.0);
            assert_eq!(health.gate(&destination("x"), at(200)), Gate::Open);
        }
    }

    #[test]
    fn a_bucket_that_is_refused_is_parked_also_where_its_destination_has_failed_before() {
        let mut health = Health::default();
        health.failed(&destination("a"), Class::Retry, "why", at(0), 1.0);
        assert!(health.failed(&destination("a"), Class::ParkBucket, "gone", at(300), 0.0));
        assert_eq!(health.parked(), 1);
        for prefix in ["a", "b"] {
            let parked = Gate::Parked(at(300_300), Arc::from("gone"));
            assert_eq!(health.gate(&destination(prefix), at(300)), parked);
        }
    }

    #[test]
    fn what_fails_is_told_with_its_next_try() {
        let mut health = Health::default();
        assert_eq!(health.troubles(9), []);
        health.failed(&destination("a"), Class::Park, "denied", at(0), 0.0);
        health.failed(&destination("b"), Class::ParkBucket, "gone", at(0), 0.0);
        let mut told = health.troubles(9);
        told.sort_by_key(|it| it.prefix.is_none());
        let told: Vec<_> = told.iter().map(|it| (it.prefix.is_some(), &*it.error)).collect();
        assert_eq!(told, [(true, "denied"), (false, "gone")]);
        let next = health.troubles(9).iter().all(|it| it.next_try == at(300_000) && it.parked);
        assert!(next && health.troubles(1).len() == 1);
    }

    #[test]
    fn a_clock_that_goes_back_holds_nothing_up() {
        let mut health = Health::default();
        health.failed(&destination("a"), Class::Retry, "why", at(3_600_000), 1.0);
        assert_eq!(health.gate(&destination("a"), at(0)), Gate::Probe);
        assert!(!is_due(at(300_000), at(0)) && is_due(at(300_001), at(0)) && is_due(at(0), at(0)));
    }

    #[test]
    fn trouble_is_that_nothing_is_delivered() {
        let mut health = Health::default();
        for _ in 0..3 {
            assert_eq!(health.trouble(), None);
            health.failed(&destination("a"), Class::Retry, "why", at(0), 1.0);
        }
        assert!(health.trouble().is_some_and(|trouble| trouble.contains("why")));
        health.succeeded(&destination("b"));
        assert_eq!(health.trouble(), None);
    }

    #[test]
    fn what_a_person_must_mend_is_tried_slowly_or_on_demand() {
        let mut health = Health::default();
        assert!(health.failed(&destination("a"), Class::Park, "why", at(0), 0.0));
        assert_eq!(
            health.gate(&destination("a"), at(0)),
            Gate::Parked(at(300_000), Arc::from("why"))
        );
        assert_eq!(health.gate(&destination("b"), at(0)), Gate::Open);
        assert_eq!(health.parked(), 1);
        assert!(health.failed(&destination("b"), Class::ParkBucket, "why", at(0), 0.0));
        assert_eq!(
            health.gate(&destination("c"), at(0)),
            Gate::Parked(at(300_000), Arc::from("why"))
        );
        assert_eq!(health.clear(|bucket, _| bucket.as_str() == "other"), 0);
        assert_eq!(health.clear(|_, _| true), 2);
        assert_eq!(health.gate(&destination("a"), at(0)), Gate::Open);
    }
}
