//! The flusher dies at each step between the log and the receipt, and the next one goes on there.

use tests::{Kind, Ledger, Objects, Sent, Site};

/// Every fault point of the flusher, in the order in which a minute passes them.
const STEPS: [&str; 7] = [
    "flusher::sealing",
    "flusher::sealed",
    "flusher::uploaded",
    "flusher::receipt",
    "flusher::runs_removed",
    "flusher::segments_removed",
    "flusher::finished",
];

/// Two minutes in three destinations, with nobody who writes any more.
fn finished_minutes(site: &Site) -> Ledger {
    let mut ledger = Ledger::default();
    for minute in 0..2 {
        let ingest = site.ingest();
        for number in 0..6 {
            let prefix = ["p", "q", "r/s"][number % 3].to_owned();
            let payload = format!(r#""{minute}-{number:02}""#);
            let id = ingest.client().send("my-bucket", &prefix, &payload);
            let bucket = "my-bucket".to_owned();
            ledger.note(Sent { bucket, prefix, payload, sender: 0 }, Some(id));
        }
        // A run that was closed and one that was not.
        if minute == 0 {
            assert_eq!(ingest.terminate(), Some(0));
        } else {
            ingest.kill();
        }
    }
    ledger
}

fn die_at(site: &Site, step: &str) {
    let points = format!("{step}=return");
    let mut flusher = site.spawn(Kind::Flusher, &[("FAILPOINTS", points.as_str())]);
    flusher.wait_for_abort();
}

fn finish_and_judge(site: &Site, ledger: &Ledger) {
    let flusher = site.flusher();
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    let objects = Objects::read(&site.s3);
    ledger.judge(&objects, 1);
    objects.assert_one_per_minute();
    site.admin(&["verify"]).exits(0);
    let receipts = site.admin(&["receipts"]).exits(0).json();
    assert_eq!(receipts["receipts"].as_array().unwrap().len(), objects.0.len());
}

fn dies_once_at(step: &str) {
    let site = Site::new();
    let ledger = finished_minutes(&site);
    die_at(&site, step);
    finish_and_judge(&site, &ledger);
}

#[test]
fn it_dies_at_one_step_and_the_next_one_goes_on() {
    std::thread::scope(|scope| {
        for step in STEPS {
            std::thread::Builder::new()
                .name(step.to_owned())
                .spawn_scoped(scope, || dies_once_at(step))
                .unwrap();
        }
    });
}

#[test]
fn it_dies_at_every_step_one_after_the_other() {
    let site = Site::new();
    let ledger = finished_minutes(&site);
    for step in STEPS {
        die_at(&site, step);
    }
    finish_and_judge(&site, &ledger);
}
