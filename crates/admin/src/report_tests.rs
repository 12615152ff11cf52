//! Reports, as tables and as JSON, with and without something to report.

use model::{Clock, SystemClock};
use wal::inspect::{Destinations, ReceiptQuery, ShowQuery};
use wal::{DataDir, EventQuery, Stage};

use crate::fixture::{Fixture, Printed, destination, files, print};
use crate::{Error, events, minutes, receipts, show, verify};

struct All {
    minutes: Printed,
    events: Printed,
    receipts: Printed,
    show: Printed,
    verify: Printed,
}

fn all(fixture: &Fixture, json: bool) -> All {
    let inspector = fixture.inspector();
    let query = EventQuery { limit: 100, ..EventQuery::default() };
    let time = SystemClock.now();
    let shown = ShowQuery { time, destinations: Destinations::default(), limit: None };
    All {
        minutes: print(json, |screen| minutes(&inspector, time, screen)),
        events: print(json, |screen| events(&inspector, &query, screen)),
        receipts: print(json, |screen| receipts(&inspector, &ReceiptQuery::default(), screen)),
        show: print(json, |screen| show(&inspector, &shown, screen)),
        verify: print(json, |screen| verify(&inspector, None, screen)),
    }
}

#[test]
fn a_directory_that_is_not_there_is_no_empty_log() {
    let fixture = Fixture::new();
    let text = all(&fixture, false);
    for printed in [text.minutes, text.events, text.receipts, text.show, text.verify] {
        let Err(error @ Error::NoDataDir(_)) = printed.result else { panic!("{printed:?}") };
        let message = error.to_string();
        assert!(message.contains(&fixture.data_dir().display().to_string()), "{message}");
        assert!(message.ends_with("does not exist: check data_dir, --config and --data-dir"));
        assert_eq!(printed.out, "");
    }
    std::fs::write(fixture.data_dir(), "a file").unwrap();
    let Err(Error::Log(wal::Error::Io { .. })) = all(&fixture, false).minutes.result else {
        panic!("a file is no data directory");
    };
}

#[test]
fn without_a_log_reports_are_empty_and_make_nothing() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.data_dir()).unwrap();
    let text = all(&fixture, false);
    for printed in [&text.minutes, &text.events, &text.receipts, &text.verify] {
        assert!(printed.result.is_ok());
        assert_eq!(printed.out.lines().count(), 1, "{printed:?}");
    }
    assert_eq!(text.show.out, "");
    assert!(text.show.err.contains("No minute"));
    let json = all(&fixture, true);
    assert_eq!(json.minutes.json(), serde_json::json!({"minutes": []}));
    assert_eq!(json.events.json(), serde_json::json!({"events": []}));
    assert_eq!(json.receipts.json(), serde_json::json!({"receipts": []}));
    assert_eq!(json.show.json(), serde_json::json!({"minute": null, "events": []}));
    assert_eq!(json.verify.json()["damaged"], serde_json::json!([]));
    assert_eq!(files(&fixture.data_dir()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_is_reported_and_nothing_is_written() {
    let fixture = Fixture::new();
    let ids = fixture.logged(&[("a", "order", "{\"n\": 1}"), ("b", "order", "2")]).await;
    let before = files(&fixture.data_dir());
    let text = all(&fixture, false);
    assert!(text.minutes.out.contains("finished"), "{}", text.minutes.out);
    assert!(text.events.out.contains("order"));
    assert!(text.events.out.contains("0/2"));
    assert!(text.events.out.contains(&ids[0].to_string()));
    let mut lines: Vec<&str> = text.show.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["2", "{\"n\": 1}"]);
    assert!(text.verify.out.starts_with("All is whole: 1 run"), "{}", text.verify.out);
    let json = all(&fixture, true);
    let minute = &json.minutes.json()["minutes"][0];
    assert_eq!((&minute["state"], &minute["events"]), (&"finished".into(), &2.into()));
    let event = &json.events.json()["events"][0];
    assert_eq!(event["dest"], serde_json::json!({"delivered": 0, "total": 2}));
    assert_eq!(event["deliveries"][0]["state"], "logged");
    let shown = json.show.json();
    assert_eq!(shown["minute"], minute["minute"]);
    let payloads: Vec<_> =
        shown["events"].as_array().unwrap().iter().map(|e| &e["payload"]).collect();
    assert!(payloads.contains(&&"{\"n\": 1}".into()));
    assert_eq!(json.verify.json()["checked"]["events"], 2);
    assert_eq!(files(&fixture.data_dir()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_has_a_receipt() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1"), ("b", "", "2")]).await;
    fixture.deliver(flusher::DestinationFilter::default()).await.unwrap();
    let json = all(&fixture, true);
    assert_eq!(json.minutes.json()["minutes"], serde_json::json!([]));
    let receipts = json.receipts.json();
    let keys: Vec<_> = receipts["receipts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| receipt["key"].as_str().unwrap().to_owned())
        .collect();
    let mut stored: Vec<_> =
        fixture.store.inner().objects().into_iter().map(|object| object.key.to_string()).collect();
    stored.sort();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(sorted, stored);
    for event in json.events.json()["events"].as_array().unwrap() {
        assert_eq!(event["dest"], serde_json::json!({"delivered": 1, "total": 1}));
        assert!(keys.iter().any(|key| *key == event["deliveries"][0]["key"]));
    }
    let text = all(&fixture, false);
    assert!(keys.iter().all(|key| text.receipts.out.contains(key)));
    assert!(text.show.err.contains("admin receipts"), "{}", text.show.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_printed_and_then_an_error() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1"), ("a", "", "2")]).await;
    fixture.refuse("a", 99);
    fixture.deliver(flusher::DestinationFilter::default()).await.unwrap();
    let data = DataDir::at(fixture.data_dir());
    let part = data.parts(Stage::Parked).unwrap()[0];
    let segments = data.part_dir(Stage::Parked, part).join("segments");
    let mut bytes = std::fs::read(&segments).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&segments, bytes).unwrap();
    let text = all(&fixture, false);
    assert!(matches!(
        text.verify.result,
        Err(Error::Damaged { count: 1, missing: 2, and_more: false })
    ));
    assert!(text.verify.out.contains(&segments.display().to_string()));
    // Nothing of the damaged object is printed; what is damaged is told beside the report.
    assert!(matches!(text.show.result, Err(Error::Damaged { count: 1, missing: 2, .. })));
    assert_eq!(text.show.out, "");
    assert!(text.show.err.contains("object a/") && text.show.err.contains("2 events missing"));
    let json = all(&fixture, true).verify.json();
    assert_eq!(
        (json["damaged"].as_array().unwrap().len(), &json["damaged"][0]["missing"]),
        (1, &2.into())
    );
    assert!(text.minutes.out.contains("parked") && text.minutes.out.contains("access denied"));
    assert!(
        text.events.out.contains(&format!(
            "s3://{} parked",
            destination("a").to_string().trim_end_matches('/')
        ))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn how_much_a_torn_manifest_loses_is_said_to_be_unknown() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1")]).await;
    fixture.refuse("a", 99);
    fixture.deliver(flusher::DestinationFilter::default()).await.unwrap();
    let data = DataDir::at(fixture.data_dir());
    let part = data.parts(Stage::Parked).unwrap()[0];
    let manifest = data.part_dir(Stage::Parked, part).join("manifest");
    let bytes = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, &bytes[..bytes.len() / 2]).unwrap();
    let verify = all(&fixture, false).verify;
    assert!(verify.out.contains("unknown"), "{}", verify.out);
    let message = verify.result.unwrap_err().to_string();
    assert!(message.contains("an unknown number of events missing"), "{message}");
    let json = all(&fixture, true).verify.json();
    assert_eq!(json["damaged"][0]["missing"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_cuts_is_told_to_people() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1"), ("a", "", "2"), ("a", "", "3")]).await;
    let inspector = fixture.inspector();
    let limited = |limit: usize, json: bool| {
        let query = EventQuery { limit, ..EventQuery::default() };
        print(json, |screen| events(&inspector, &query, screen))
    };
    let cut = limited(2, false);
    assert_eq!(cut.out.lines().count(), 3, "{}", cut.out);
    assert!(cut.err.contains("2 events") && cut.err.contains("more: --limit N"), "{}", cut.err);
    assert!(limited(0, false).err.contains("more: --limit N"));
    assert_eq!(limited(3, false).err, "");
    let json = limited(2, true);
    assert_eq!((json.json()["events"].as_array().unwrap().len(), &*json.err), (2, ""));
}

#[test]
fn another_format_is_refused() {
    let fixture = Fixture::new();
    DataDir::create(fixture.data_dir()).unwrap();
    std::fs::write(fixture.data_dir().join("format"), "minutelog 99\n").unwrap();
    let text = all(&fixture, false);
    for printed in [text.minutes, text.events, text.receipts, text.show, text.verify] {
        assert!(matches!(printed.result, Err(Error::Log(wal::Error::Format { .. }))));
    }
}

#[test]
fn blocks_are_those_of_the_store() {
    assert_eq!(wal::inspect::BLOCK_BYTES, store::BLOCK_BYTES);
}
