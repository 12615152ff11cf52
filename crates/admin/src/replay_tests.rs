//! `replay`, from what a flusher has kept.

use std::sync::Arc;

use model::{Bucket, Prefix, UnixMillis};
use store::Store;
use wal::inspect::Destinations;
use wal::{DataDir, SEGMENTS_FILE, Stage};

use crate::fixture::{Fixture, Printed, files, print_async};
use crate::{Error, ReplayQuery, replay};

fn all() -> ReplayQuery {
    ReplayQuery {
        since: UnixMillis::new(0),
        until: UnixMillis::MAX,
        destinations: Destinations::default(),
        to_bucket: None,
        known_since: UnixMillis::new(0),
    }
}

async fn replayed(fixture: &Fixture, query: &ReplayQuery, sends: bool, json: bool) -> Printed {
    let dir = fixture.data_dir();
    let store = sends.then(|| Arc::clone(&fixture.store) as Arc<dyn Store>);
    print_async(json, async |screen| replay(&dir, query, store, screen).await).await
}

/// Every object as bucket, prefix, key and bytes.
fn objects(fixture: &Fixture) -> Vec<(String, String, String, Vec<u8>)> {
    let mut objects: Vec<_> = fixture
        .store
        .inner()
        .objects()
        .into_iter()
        .map(|object| {
            let (bucket, prefix) = (object.destination.bucket(), object.destination.prefix());
            let key = object.key.as_str().to_owned();
            (bucket.to_string(), prefix.to_string(), key, object.bytes.to_vec())
        })
        .collect();
    objects.sort();
    objects
}

async fn delivered(fixture: &Fixture) {
    fixture.logged(&[("a", "", "1"), ("b", "", "2"), ("a", "", "3")]).await;
    fixture.deliver(flusher::DestinationFilter::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_delivered_again_under_new_keys_and_once() {
    let fixture = Fixture::new();
    delivered(&fixture).await;
    let before = objects(&fixture);
    let printed = replayed(&fixture, &all(), true, true).await;
    assert!(printed.result.is_ok(), "{printed:?}");
    let json = printed.json();
    assert_eq!(json["replayed"]["delivered"], 2, "{json}");
    assert_eq!(json["replayed"]["events"], 3, "{json}");
    let after = objects(&fixture);
    assert_eq!(after.len(), 4);
    for row in json["objects"].as_array().unwrap() {
        let (from, to) = (row["key"].as_str().unwrap(), row["to_key"].as_str().unwrap());
        let identifier = from.rfind('-').unwrap();
        assert_eq!(from[..identifier], to[..identifier], "the time stays");
        assert_ne!(from, to);
        let (bucket, prefix, _, bytes) = before.iter().find(|(.., key, _)| key == from).unwrap();
        let again = (bucket.clone(), prefix.clone(), to.to_owned(), bytes.clone());
        assert!(after.contains(&again), "{row}");
    }
    let printed = replayed(&fixture, &all(), true, true).await;
    assert_eq!(printed.json()["replayed"]["there"], 2, "{printed:?}");
    assert_eq!(objects(&fixture).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sends_and_writes_nothing() {
    let fixture = Fixture::new();
    delivered(&fixture).await;
    let (before, log) = (objects(&fixture), files(&fixture.data_dir()));
    let printed = replayed(&fixture, &all(), false, false).await;
    assert!(printed.result.is_ok(), "{printed:?}");
    assert!(printed.out.contains("2 can be delivered again (3 events"), "{printed:?}");
    assert_eq!(objects(&fixture), before);
    assert!(files(&fixture.data_dir()) == log);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_goes_where_it_is_to_go() {
    let fixture = Fixture::new();
    delivered(&fixture).await;
    let query = ReplayQuery {
        destinations: Destinations { prefix: Prefix::new("b").ok(), bucket: None },
        to_bucket: Bucket::new("copy").ok(),
        ..all()
    };
    let printed = replayed(&fixture, &query, true, true).await;
    assert_eq!(printed.json()["objects"].as_array().unwrap().len(), 1, "{printed:?}");
    let objects = objects(&fixture);
    let copies: Vec<_> = objects.iter().filter(|(bucket, ..)| bucket == "copy").collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].1, "b");
    let query = ReplayQuery { since: UnixMillis::new(0), until: UnixMillis::new(1), ..all() };
    let printed = replayed(&fixture, &query, true, false).await;
    assert!(printed.out.contains("Nothing was delivered then"), "{printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_is_told() {
    let fixture = Fixture::new();
    delivered(&fixture).await;
    let data = DataDir::at(fixture.data_dir());
    let part = data.parts(Stage::Receipts).unwrap()[0];
    let segments = data.part_dir(Stage::Receipts, part).join(SEGMENTS_FILE);
    // One object's bytes are gone, as if their room had been given back.
    let bytes = std::fs::read(&segments).unwrap();
    std::fs::write(&segments, [&[0; 20], &bytes[20..]].concat()).unwrap();
    let printed = replayed(&fixture, &all(), true, true).await;
    assert!(matches!(printed.result, Err(Error::Gone(1))), "{printed:?}");
    assert_eq!(printed.json()["replayed"]["delivered"], 1);
    std::fs::remove_file(&segments).unwrap();
    let query = ReplayQuery { known_since: UnixMillis::from_seconds(1), ..all() };
    let printed = replayed(&fixture, &query, false, false).await;
    assert!(matches!(printed.result, Err(Error::Gone(2))), "{printed:?}");
    assert!(printed.err.contains("receipts are kept since 1970-01-01"), "{printed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_first_delivery_is_not_sent() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1"), ("b", "", "2")]).await;
    fixture.refuse("a", 1);
    fixture.deliver(flusher::DestinationFilter::default()).await.unwrap();
    let printed = replayed(&fixture, &all(), true, true).await;
    assert!(printed.result.is_ok(), "{printed:?}");
    let json = printed.json();
    assert_eq!(
        (&json["replayed"]["waits"], &json["replayed"]["delivered"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_and_can_be_tried_again() {
    let fixture = Fixture::new();
    delivered(&fixture).await;
    fixture.refuse("a", 1);
    let printed = replayed(&fixture, &all(), true, false).await;
    assert!(matches!(printed.result, Err(Error::NotReplayed(1))), "{printed:?}");
    assert!(printed.out.contains("access denied"), "{printed:?}");
    let printed = replayed(&fixture, &all(), true, true).await;
    let json = printed.json();
    assert_eq!(
        (&json["replayed"]["there"], &json["replayed"]["delivered"]),
        (&1.into(), &1.into())
    );
}
