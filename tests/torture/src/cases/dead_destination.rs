//! One destination that never works among a hundred that do: it delays none of them, its data
//! neither pins theirs nor is forgotten, and once it is mended all of it arrives.

use std::fs::read_dir;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::{
    Fault, Kind, LoadPlan, Objects, PATIENCE, Pair, Rule, Setup, Site, until_for, wait_for,
};

use crate::case::{Case, Plan};
use crate::figures::Figures;
use crate::judge::{Late, judge, lag_ms};
use crate::process::disk_bytes;

/// A round is a second of load, each of which is a minute here, for each way in which it is dead.
pub(crate) const CASE: Case = Case {
    name: "dead-destination",
    about: "one destination that never works among a hundred that do, then mended; admin retry",
    needs: &[],
    short: 4,
    long: 900,
    run,
};

const WORKING: usize = 100;
const DEAD: &str = "dead-bucket";

/// E: two minutes, by the clock on the wall.
const LARGEST_LAG_MS: u64 = 120_000;

/// What the log may take beside the bytes that wait: manifests, indexes and receipts.
const BOOKKEEPING_BYTES: u64 = 16 * 1024;

fn run(plan: &Plan<'_>) -> Figures {
    let mut figures = Figures::default();
    // What parks, what is tried again and again, and what never answers.
    let faults = [
        Fault::Refuse(403, "AccessDenied"),
        Fault::Refuse(404, "NoSuchBucket"),
        Fault::Refuse(503, "SlowDown"),
        Fault::Hang,
    ];
    for fault in faults {
        figures.join(&one_way(plan, &fault));
    }
    figures
}

fn one_way(plan: &Plan<'_>, fault: &Fault) -> Figures {
    let name = format!("{fault:?}");
    let mut random = plan.random(&name);
    let site = Site::with(&Setup { buckets: vec!["my-bucket", DEAD], ..Setup::default() });
    let dead = site.s3.add(Rule::new(fault.clone()).bucket(DEAD));
    let load = plan.load(&LoadPlan {
        destinations: destinations(),
        events_per_request: 60,
        pad_bytes: 200,
        ..LoadPlan::new(random.number())
    });
    let mut pair = Pair::new(&site, &load);
    pair.start_both();
    thread::sleep(Duration::from_secs(plan.rounds));
    let flusher = pair.take(Kind::Flusher).expect("it was started");
    pair.kill_both();
    let ledger = load.stop();

    // While it is still dead, all the others get theirs.
    let working = ledger.acknowledged_to(|sent| sent.bucket != DEAD);
    wait_for("the destinations that work to have all of theirs", || {
        let objects = Objects::read(&site.s3);
        objects.0.iter().map(|object| object.lines.len()).sum::<usize>() >= working
    });
    // What never answers is given up after the time-outs of its upload, not before.
    let what = format!("the log to hold no more than what waits for the dead one: {name}");
    until_for(PATIENCE * 5, &what, || {
        let mut runs = read_dir(site.data().join("open")).ok()?;
        runs.next().is_none().then_some(())
    });
    let objects = Objects::read(&site.s3);
    assert!(objects.0.iter().all(|object| object.bucket != DEAD), "{DEAD} is dead");
    let lag = lag_ms(&site, &objects);
    assert!(lag <= LARGEST_LAG_MS, "{name}: a working destination waited {lag} ms");
    assert_nothing_is_pinned(&site, &name);

    site.s3.mend(dead);
    site.admin(&["retry", "--bucket", DEAD]).exits(0);
    let mut figures = Figures::default();
    figures.add("ways", 1);
    figures.highest("lag_of_the_others_ms", lag);
    let waited = ledger.acknowledged() - working;
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    figures.add("waited_for_the_dead_one", waited as u64);
    figures.join(&judge(&site, &ledger, Late::Forbidden));
    figures
}

fn destinations() -> Vec<(String, String)> {
    let working = (0..WORKING).map(|number| ("my-bucket".to_owned(), format!("p{number:02}")));
    working.chain([(DEAD.to_owned(), "x".to_owned())]).collect()
}

/// What lies on disk is what the dead destination waits for, and the books.
#[track_caller]
fn assert_nothing_is_pinned(site: &Site, fault: &str) {
    let rows = site.log_rows();
    let waiting: u64 = rows.iter().filter_map(|row| row["bytes"].as_u64()).sum();
    let held: u64 =
        ["open", "sealed", "parked"].map(|name| disk_bytes(&site.data().join(name))).iter().sum();
    let books = BOOKKEEPING_BYTES * (rows.len() as u64 + 1) * 2;
    let events: u64 = rows.iter().filter_map(|row| row["events"].as_u64()).sum();
    // A payload has some 140 bytes in the mean, half of which its compression saves.
    let limit = events * 300 + books;
    assert!(held <= limit, "{fault}: {held} bytes on disk for {events} events, {waiting} told");
    let shown = rows.iter().all(|row| row["error"] != Value::Null);
    assert!(shown, "{fault}: what waits tells why: {rows:#?}");
}
