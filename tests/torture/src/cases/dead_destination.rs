//! Destinations that never work among a hundred that do, each in a way of its own: they delay none of
//! the others, their data neither pins the others' nor is forgotten, and once they are mended all of
//! it arrives.

use std::fs::{DirEntry, read_dir};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::{
    Fault, Kind, LoadPlan, Objects, PATIENCE, Pair, Rule, Setup, Site, wait_for, while_it_goes_on,
};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge, lag_ms};
use crate::process::disk_bytes;

/// A round is a second of load.
pub(crate) const CASE: Case = Case {
    name: "dead-destination",
    about: "two times two destinations that never work among a hundred that do, then mended; admin retry",
    needs: &[],
    short: 8,
    long: 3600,
    run,
};

const WORKING: usize = 100;
const SENDERS: usize = 4;

/// Buckets with one destination each.
const DEAD: [&str; 2] = ["dead-bucket", "gone-bucket"];

/// A minute in short passes and in long ones, which would write and read too many small objects.
const SHORT_MINUTE: &str = "1s";
const LONG_MINUTE: &str = "10s";
const LONG_FROM_ROUNDS: u64 = 60;

/// E: two minutes, by the clock on the wall.
const LARGEST_LAG_MS: u64 = 120_000;

/// What the log may take beside the bytes that wait: manifests, indexes and receipts.
const BOOKKEEPING_BYTES: u64 = 16 * 1024;

fn run(plan: &Plan<'_>) -> Figures {
    // What parks, and what is tried again and again or never answers: a part of which both wait is
    // not parked. Side by side, as most of it is waiting.
    let refused = [Fault::Refuse(403, "AccessDenied"), Fault::Refuse(404, "NoSuchBucket")];
    let down = [Fault::Refuse(503, "SlowDown"), Fault::Hang];
    thread::scope(|scope| {
        let refused = scope.spawn(|| one_site(plan, 0, refused));
        let mut figures = one_site(plan, SENDERS, down);
        match refused.join() {
            Ok(of_refused) => figures.join(&of_refused),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        figures
    })
}

fn one_site(plan: &Plan<'_>, first_sender: usize, faults: [Fault; 2]) -> Figures {
    let is_long = plan.rounds >= LONG_FROM_ROUNDS;
    let site = Site::with(&Setup {
        buckets: [&["my-bucket"][..], &DEAD].concat(),
        interval: if is_long { LONG_MINUTE } else { SHORT_MINUTE },
        ..Setup::default()
    });
    let dead = DEAD.iter().zip(faults);
    let dead: Vec<_> = dead.map(|(it, fault)| site.s3.add(Rule::new(fault).bucket(it))).collect();
    let load = plan.load(&LoadPlan {
        destinations: destinations(),
        senders: SENDERS,
        first_sender,
        events_per_request: 60,
        pad_bytes: 200,
        rest: Duration::from_millis(250),
        ..LoadPlan::new(plan.random(&format!("load {first_sender}")).number())
    });
    let mut pair = Pair::new(&site, &load);
    pair.start_both();
    thread::sleep(Duration::from_secs(plan.rounds));
    let flusher = pair.take(Kind::Flusher).expect("it was started");
    pair.kill_both();
    let ledger = load.stop();

    // While they are still dead, all the others get theirs.
    let working = ledger.acknowledged_to(|sent| !DEAD.contains(&&*sent.bucket));
    wait_for("the destinations that work to have all of theirs", || {
        let objects = Objects::read(&site.s3);
        objects.0.iter().map(|object| object.lines.len()).sum::<usize>() >= working
    });
    // What never answers is given up after the time-outs of its upload, not before.
    while_it_goes_on(
        PATIENCE * 5,
        "the log to hold no more than what waits for the dead ones",
        || {
            let runs: Vec<_> = read_dir(site.data().join("open")).ok()?.flatten().collect();
            (!runs.is_empty()).then(|| runs.iter().map(DirEntry::file_name).collect::<Vec<_>>())
        },
    );
    let objects = Objects::read(&site.s3);
    let too_early = objects.0.iter().find(|object| DEAD.contains(&&*object.bucket));
    assert!(too_early.is_none(), "it is dead: {too_early:?}");
    let lag = lag_ms(&site, &objects);
    assert!(lag <= LARGEST_LAG_MS, "a working destination waited {lag} ms");
    assert_nothing_is_pinned(&site);

    for rule in dead {
        site.s3.mend(rule);
    }
    for bucket in DEAD {
        site.admin(&["retry", "--bucket", bucket]).exits(0);
    }
    let mut figures = Figures::default();
    figures.add("seconds", plan.rounds);
    figures.highest("lag_of_the_others_ms", lag);
    figures.add("waited_for_the_dead_ones", (ledger.acknowledged() - working) as u64);
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    figures.join(&judge(&site, &ledger, Late::Forbidden));
    figures
}

fn destinations() -> Vec<(String, String)> {
    let working = (0..WORKING).map(|number| ("my-bucket".to_owned(), format!("p{number:02}")));
    working.chain(DEAD.map(|bucket| (bucket.to_owned(), "x".to_owned()))).collect()
}

/// What lies on disk is what the dead destinations wait for, and the books.
#[track_caller]
fn assert_nothing_is_pinned(site: &Site) {
    let rows = site.log_rows();
    let waiting: u64 = rows.iter().filter_map(|row| row["bytes"].as_u64()).sum();
    let held: u64 =
        ["open", "sealed", "parked"].map(|name| disk_bytes(&site.data().join(name))).iter().sum();
    let books = BOOKKEEPING_BYTES * (rows.len() as u64 + 1) * 2;
    let events: u64 = rows.iter().filter_map(|row| row["events"].as_u64()).sum();
    // A payload has some 140 bytes in the mean, half of which its compression saves.
    let limit = events * 300 + books;
    assert!(held <= limit, "{held} bytes on disk for {events} events, {waiting} told");
    let shown = rows.iter().all(|row| row["error"] != Value::Null);
    assert!(shown, "what waits tells why: {rows:#?}");
}
