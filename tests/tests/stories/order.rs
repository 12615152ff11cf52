//! The services start and stop in any order, and each without the other.

use serde_json::Value;
use tests::{Kind, Objects, Setup, Site, minute_of, wait_for};

#[test]
fn ingest_alone_keeps_what_the_flusher_delivers_later() {
    let site = Site::new();
    let ingest = site.ingest();
    let client = ingest.client();
    let mut minutes = Vec::new();
    let mut sent = Vec::new();
    wait_for("events in three minutes", || {
        sent.push(sent.len().to_string());
        let id = client.send("my-bucket", "p", sent.last().unwrap());
        minutes.push(minute_of(&id, 1));
        minutes.dedup();
        minutes.len() >= 3
    });
    assert_eq!(ingest.terminate(), Some(0));
    let states: Vec<Value> = site.log_rows().iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states, vec!["finished"; minutes.len()]);
    assert!(site.s3.seen().is_empty());

    let flusher = site.flusher();
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    let objects = Objects::read(&site.s3);
    let found: Vec<&str> =
        objects.of("my-bucket", "p").iter().map(|object| object.minute.as_str()).collect();
    assert_eq!(found, minutes);
    assert_eq!(objects.lines("my-bucket", "p"), sent);
}

#[test]
fn the_flusher_alone_has_nothing_to_do_and_waits() {
    let site = Site::new();
    let flusher = site.flusher();
    assert_eq!(flusher.ops("/readyz").unwrap().status, 200);
    let ingest = site.ingest();
    assert_eq!(ingest.ops("/readyz").unwrap().status, 200);
    ingest.client().send("my-bucket", "p", "1");
    site.wait_until_drained();
    assert_eq!(Objects::read(&site.s3).lines("my-bucket", "p"), ["1"]);
    assert_eq!(flusher.terminate(), Some(0));
    assert_eq!(ingest.terminate(), Some(0));
}

#[test]
fn a_second_flusher_is_refused() {
    const UNAVAILABLE: i32 = 69;
    let site = Site::new();
    let _first = site.flusher();
    let mut second = site.spawn(Kind::Flusher, &[]);
    assert_eq!(second.wait().code(), Some(UNAVAILABLE), "{}", second.log());
    let once = site.flush_once();
    for message in [second.log(), once.exits(UNAVAILABLE).stderr.clone()] {
        assert!(message.contains("another flusher works on this data directory"), "{message}");
    }
    // The first one goes on as if nothing had been.
    let ingest = site.ingest();
    ingest.client().send("my-bucket", "p", "1");
    site.wait_until_drained();
    assert_eq!(Objects::read(&site.s3).lines("my-bucket", "p"), ["1"]);
}

#[test]
fn sigterm_closes_the_minute_and_once_delivers_it() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let id = ingest.client().send("my-bucket", "p", "1");
    assert_eq!(site.log_rows()[0]["state"], "open");
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows()[0]["state"], "finished");
    site.flush_once().exits(0);
    assert_eq!(site.log_rows(), Vec::<Value>::new());
    let objects = Objects::read(&site.s3);
    assert_eq!(objects.of("my-bucket", "p")[0].minute, minute_of(&id, site.seconds()));
    // Nothing is left, and that is told as well.
    site.flush_once().exits(0);
}

#[test]
fn once_tells_that_something_is_left() {
    const TRY_AGAIN: i32 = 75;
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    client.send("my-bucket", "p", "1");
    // What a living process writes to is not finished.
    let output = site.flush_once();
    assert!(output.exits(TRY_AGAIN).stderr.contains("undelivered"), "{}", output.stderr);
    client.send("my-bucket", "p", "2");
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once_without_s3().exits(TRY_AGAIN);
    let rows = site.log_rows();
    assert_eq!((&rows[0]["state"], &rows[0]["events"]), (&"sealed".into(), &2.into()), "{rows:?}");
    assert!(rows[0]["error"].is_string(), "{rows:?}");
    site.flush_once().exits(0);
    let objects = Objects::read(&site.s3);
    objects.assert_one_per_minute();
    assert_eq!(objects.lines("my-bucket", "p"), ["1", "2"]);
}

#[test]
fn ingest_after_ingest_goes_on_in_the_same_minute() {
    let site = Site::with(&Setup::long_minute());
    for number in 1..=3 {
        let ingest = site.ingest();
        ingest.client().send("my-bucket", "p", &number.to_string());
        if number == 2 {
            ingest.kill();
        } else {
            assert_eq!(ingest.terminate(), Some(0));
        }
    }
    assert_eq!(site.log_rows()[0]["runs"], 3);
    site.flush_once().exits(0);
    let objects = Objects::read(&site.s3);
    objects.assert_one_per_minute();
    assert_eq!(objects.lines("my-bucket", "p"), ["1", "2", "3"]);
}
