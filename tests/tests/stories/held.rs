//! A process that is stopped in mid-write holds nobody up, and loses nothing when it goes on.

use rustix::process::Signal;
use tests::{Ledger, Objects, Sent, Service, Setup, Site, minute_of, until, wait_for};

#[test]
fn a_run_that_was_held_goes_into_a_further_object() {
    let site = Site::with(&Setup { interval: "5s", ..Setup::default() });
    let (stopped, other, flusher) = (site.ingest(), site.ingest(), site.flusher());
    let mut ledger = Ledger::default();
    let mut sent = 0;
    // Through one process, and after that one was stopped through the other, in the same minute:
    // then the first one was stopped before its minute was over.
    let minute = until("two events in one minute", || {
        let mut send = |ingest: &Service, sender| {
            sent += 1;
            let payload = format!("\"{sent:03}\"");
            let id = ingest.client().send("my-bucket", "p", &payload);
            let minute = minute_of(&id, 5);
            let (bucket, prefix) = ("my-bucket".to_owned(), "p".to_owned());
            ledger.note(Sent { bucket, prefix, payload, sender }, Some(id));
            minute
        };
        let minute = send(&stopped, 0);
        stopped.signal(Signal::STOP);
        if send(&other, 1) == minute {
            return Some(minute);
        }
        stopped.signal(Signal::CONT);
        None
    });
    let objects_of = |count: usize| {
        wait_for(&format!("{count} objects of the minute"), || {
            let objects = Objects::read(&site.s3);
            objects.0.iter().filter(|object| object.minute == minute).count() == count
        });
    };
    // What nobody holds is delivered without it.
    objects_of(1);
    assert!(flusher.metric("minutelog_flusher_late_parts_total") < 1.0);
    // A person can look while it is stopped, and is told that it does not answer.
    let log = site.admin(&["log"]);
    log.exits(0);
    assert!(log.stderr.contains("stopped or hung"), "{log:?}");
    assert!(log.json()["minutes"].as_array().is_some_and(|rows| !rows.is_empty()));
    stopped.signal(Signal::CONT);
    objects_of(2);
    wait_for("the metric to tell", || flusher.metric("minutelog_flusher_late_parts_total") > 0.0);
    site.wait_until_drained();
    ledger.judge(&Objects::read(&site.s3), 5);
    site.admin(&["verify"]).exits(0);
}
