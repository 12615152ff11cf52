//! A bucket that is down for long, in all its prefixes or in many, and how the others fare.

use std::thread;
use std::time::{Duration, Instant};

use tests::{Fault, Objects, Pair, Rule, Setup, Site, wait_for};

use super::{BROKEN, STEADY, load_plan};
use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, lag_ms, settle};

/// A round is a second of the outage. There are four of them: refusals, silence, one byte a second of
/// a bucket, and refusals of many prefixes of a bucket that has one more.
pub(crate) const CASE: Case = Case {
    name: "s3-outage",
    about: "SlowDown, silence, one byte a second for all prefixes of a bucket, or for all but one",
    needs: &[],
    short: 12,
    long: 600,
    run,
};

/// Prefixes of the bucket that is down: more than uploads may be under way.
const PREFIXES: usize = 100;

/// The prefix of that bucket that nothing is wrong with, where there is one.
const STEADY_PREFIX: &str = "steady";

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = Figures::default();
    for fault in [Fault::Refuse(503, "SlowDown"), Fault::Hang, Fault::Trickle(1)] {
        figures.join(&outage(plan, &fault));
    }
    figures.join(&outage_of_prefixes(plan));
    figures
}

/// E: a destination is a prefix. Those that fail delay none beside them.
fn outage_of_prefixes(plan: &Plan<'_>) -> Figures {
    let mut random = plan.random("s3-outage of prefixes");
    let site = Site::with(&Setup { buckets: vec![BROKEN, STEADY], ..Setup::default() });
    let mut load_plan = load_plan(random.number(), PREFIXES);
    load_plan.destinations.push((BROKEN.to_owned(), STEADY_PREFIX.to_owned()));
    let load = plan.load(&load_plan);
    let mut pair = Pair::new(&site, &load);
    let rule = site.s3.add(Rule::new(Fault::Refuse(503, "SlowDown")).bucket(BROKEN).prefix("p"));
    pair.start_both();
    let ended = Instant::now() + Duration::from_secs(plan.rounds);
    // Of that bucket, only the steady prefix has objects while this lasts.
    while Instant::now() < ended {
        let before = site.s3.objects_of(BROKEN);
        wait_for("the steady prefix", || site.s3.objects_of(BROKEN) >= before + 2);
    }
    let mut figures = Figures::default();
    figures.add("outages", 1);
    figures.add("seconds", plan.rounds);
    figures.add("requests_hit", u64::from(site.s3.hits(rule)));
    site.s3.mend(rule);
    pair.kill_both();
    let settled = settle(&site, &load.stop(), Late::Forbidden);
    let mut steady = Objects::read(&site.s3);
    steady.0.retain(|object| object.key.starts_with(STEADY_PREFIX));
    let lag_ms = lag_ms(&site, &steady);
    assert!(lag_ms < 120_000, "the steady prefix lagged {lag_ms} ms");
    figures.highest("largest_steady_prefix_lag_ms", lag_ms);
    figures.join(&settled);
    figures
}

fn outage(plan: &Plan<'_>, fault: &Fault) -> Figures {
    let mut random = plan.random(&format!("s3-outage {fault:?}"));
    let site = Site::with(&Setup { buckets: vec![BROKEN, STEADY], ..Setup::default() });
    let load = plan.load(&load_plan(random.number(), PREFIXES));
    let mut pair = Pair::new(&site, &load);
    let rule = site.s3.add(Rule::new(fault.clone()).bucket(BROKEN));
    pair.start_both();
    wait_for("the first objects", || site.s3.objects_of(STEADY) > 0);
    thread::sleep(Duration::from_secs(plan.rounds));
    // A slow wire does take requests in: it is their answers that never come.
    if !matches!(fault, Fault::Trickle(_)) {
        assert_eq!(site.s3.objects_of(BROKEN), 0, "through {fault:?}");
    }
    let mut figures = Figures::default();
    figures.add("outages", 1);
    figures.add("seconds", plan.rounds);
    figures.add("requests_hit", u64::from(site.s3.hits(rule)));
    site.s3.mend(rule);
    let mended = Instant::now();
    let before = site.s3.objects_of(BROKEN);
    wait_for("delivery to go on", || site.s3.objects_of(BROKEN) > before);
    let waited = mended.elapsed().as_millis();
    figures.highest("slowest_recovery_ms", waited.try_into().expect("it is short"));
    pair.kill_both();
    let settled = settle(&site, &load.stop(), Late::Forbidden);
    let mut steady = Objects::read(&site.s3);
    steady.0.retain(|object| object.bucket == STEADY);
    let lag_ms = lag_ms(&site, &steady);
    // E.
    assert!(lag_ms < 120_000, "the steady bucket lagged {lag_ms} ms through {fault:?}");
    figures.highest("largest_steady_lag_ms", lag_ms);
    figures.join(&settled);
    figures
}
