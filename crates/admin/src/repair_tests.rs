//! `retry` and `drain`, with a flusher that runs and without one.

use std::time::Duration;

use model::{Prefix, SystemClock};
use wal::inspect::Destinations;

use crate::fixture::{Fixture, Printed, destination, files, print_async};
use crate::{Error, drain, retry};

const TIMEOUT: Duration = Duration::from_secs(20);

async fn retried(fixture: &Fixture, wanted: &Destinations, json: bool) -> Printed {
    let dir = fixture.data_dir();
    let deliver = async |filter| fixture.deliver(filter).await.map(Some);
    print_async(json, async |screen| retry(&dir, wanted, deliver, screen).await).await
}

async fn drained(fixture: &Fixture, timeout: Duration, json: bool) -> Printed {
    let dir = fixture.data_dir();
    let deliver = async |filter| fixture.deliver(filter).await.map(Some);
    let clock = SystemClock;
    print_async(json, async |screen| drain(&dir, timeout, &clock, deliver, screen).await).await
}

async fn parked(fixture: &Fixture) {
    fixture.logged(&[("a", "", "1"), ("b", "", "2"), ("c", "", "3")]).await;
    fixture.refuse("a", 1);
    fixture.refuse("b", 1);
    fixture.deliver(flusher::DestinationFilter::default()).await.unwrap();
}

fn only(prefix: &str) -> Destinations {
    Destinations { prefix: Prefix::new(prefix).ok(), ..Destinations::default() }
}

fn objects(fixture: &Fixture) -> usize {
    fixture.store.inner().objects().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_there_is_refused() {
    let fixture = Fixture::new();
    let printed = retried(&fixture, &Destinations::default(), false).await;
    assert!(matches!(printed.result, Err(Error::NoDataDir(_))), "{printed:?}");
    let printed = drained(&fixture, TIMEOUT, false).await;
    assert!(matches!(printed.result, Err(Error::NoDataDir(_))), "{printed:?}");
    assert!(!fixture.data_dir().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flusher_that_is_starting_is_waited_for() {
    let fixture = Fixture::new();
    parked(&fixture).await;
    let (dir, asked) = (fixture.data_dir(), std::sync::atomic::AtomicU32::new(0));
    let deliver = async |filter| {
        // Twice the directory is another's, who does not answer yet.
        if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
            return Ok(None);
        }
        fixture.deliver(filter).await.map(Some)
    };
    let all = Destinations::default();
    let printed = print_async(false, async |screen| retry(&dir, &all, deliver, screen).await).await;
    assert!(printed.result.is_ok(), "{printed:?}");
    assert_eq!(objects(&fixture), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_quarantined_and_never_called_delivered() {
    for with_flusher in [false, true] {
        let fixture = Fixture::new();
        fixture.logged(&[("a", "", "1"), ("a", "", "2"), ("b", "", "3")]).await;
        fixture.refuse("a", 1);
        fixture.deliver(flusher::DestinationFilter::default()).await.unwrap();
        // The flusher tries what is parked when it starts.
        fixture.refuse("a", usize::from(with_flusher));
        let running = if with_flusher { Some(fixture.flusher().await) } else { None };
        while with_flusher && fixture.store.tries().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let data = wal::DataDir::at(fixture.data_dir());
        let part = data.parts(wal::Stage::Parked).unwrap()[0];
        let dir = data.part_dir(wal::Stage::Parked, part);
        let object = {
            let mut manifest = wal::ManifestReader::open(&dir).unwrap();
            let mut objects = std::iter::from_fn(|| manifest.next_object().unwrap());
            objects.find(|(_, object)| object.destination == destination("a")).unwrap().1
        };
        let mut bytes = std::fs::read(dir.join("segments")).unwrap();
        bytes[usize::try_from(object.extents.iter().next().unwrap().offset).unwrap() + 12] ^= 1;
        std::fs::write(dir.join("segments"), bytes).unwrap();
        let printed = retried(&fixture, &Destinations::default(), true).await;
        let row = printed.json()["retried"][0].clone();
        assert_eq!(
            (&row["objects"], &row["delivered"], &row["quarantined"]),
            (&1.into(), &0.into(), &1.into()),
            "{row}"
        );
        let Err(Error::Damaged { count: 1, missing: 2, .. }) = printed.result else {
            panic!("{printed:?}")
        };
        assert_eq!(objects(&fixture), 1);
        if let Some((stop, flusher)) = running {
            stop.cancel();
            flusher.await.unwrap();
        }
    }
}

/// A socket that takes requests and never answers is what a stopped process leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_an_ingest_that_is_stopped() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.data_dir()).unwrap();
    let socket = fixture.data_dir().join("ingest-1.sock");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let drained = drained(&fixture, TIMEOUT, false);
    let printed = tokio::time::timeout(TIMEOUT, drained).await.expect("an answer in good time");
    let Err(Error::Log(error @ wal::Error::Control { .. })) = printed.result else {
        panic!("{printed:?}")
    };
    let message = error.to_string();
    assert!(message.contains("ingest does not answer: it is stopped or hung"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_parked_is_nothing_to_retry() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.data_dir()).unwrap();
    let printed = retried(&fixture, &Destinations::default(), false).await;
    assert_eq!((printed.out.as_str(), printed.result.is_ok()), ("Nothing is parked.\n", true));
    let printed = retried(&fixture, &Destinations::default(), true).await;
    assert_eq!(printed.json(), serde_json::json!({"retried": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_elsewhere_is_told_to_who_asks_for_something_else() {
    let fixture = Fixture::new();
    parked(&fixture).await;
    let nope =
        Destinations { bucket: model::Bucket::new("nope").ok(), prefix: Prefix::new("a").ok() };
    for (wanted, told) in [
        (
            nope,
            "Nothing is parked for bucket `nope`, prefix `a`; elsewhere 2 destinations are parked.\n",
        ),
        (only("c"), "Nothing is parked for prefix `c`; elsewhere 2 destinations are parked.\n"),
    ] {
        let printed = retried(&fixture, &wanted, false).await;
        assert_eq!((printed.out.as_str(), printed.result.is_ok()), (told, true));
        let printed = retried(&fixture, &wanted, true).await;
        assert_eq!(printed.json(), serde_json::json!({"retried": []}));
    }
    assert_eq!(objects(&fixture), 1, "nothing else was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_without_a_flusher_delivers_what_was_asked_for() {
    let fixture = Fixture::new();
    parked(&fixture).await;
    assert_eq!(objects(&fixture), 1);
    let printed = retried(&fixture, &only("a"), true).await;
    assert!(printed.result.is_ok(), "{printed:?}");
    let row = &printed.json()["retried"][0];
    assert_eq!(
        (&row["prefix"], &row["delivered"], &row["error"]),
        (&"a".into(), &1.into(), &None::<()>.into())
    );
    assert_eq!(objects(&fixture), 2);
    fixture.refuse("b", 1);
    let printed = retried(&fixture, &Destinations::default(), false).await;
    assert!(matches!(printed.result, Err(Error::Undelivered(_))));
    assert!(
        printed.out.contains("0/1") && printed.out.contains("access denied"),
        "{}",
        printed.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_flusher_retries_at_once() {
    let fixture = Fixture::new();
    parked(&fixture).await;
    // The flusher tries what is parked when it starts, and then slowly.
    fixture.refuse("a", 1);
    fixture.refuse("b", 1);
    let (stop, flusher) = fixture.flusher().await;
    while fixture.store.tries().len() < 5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let printed = retried(&fixture, &Destinations::default(), false).await;
    assert!(printed.result.is_ok(), "{printed:?}");
    assert_eq!(printed.out.matches("1/1").count(), 2, "{}", printed.out);
    assert_eq!(objects(&fixture), 3);
    stop.cancel();
    flusher.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_is_drained() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.data_dir()).unwrap();
    let printed = drained(&fixture, TIMEOUT, false).await;
    assert!(printed.result.is_ok());
    let printed = drained(&fixture, TIMEOUT, true).await;
    assert_eq!(printed.json(), serde_json::json!({"drained": true, "minutes": []}));
    assert_eq!(files(&fixture.data_dir()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_minute_is_drained_with_a_flusher_and_without() {
    for with_flusher in [true, false] {
        let fixture = Fixture::new();
        let ingest = fixture.ingest();
        ingest.append(&[("a", "", "1")]).await;
        let running = if with_flusher { Some(fixture.flusher().await) } else { None };
        let printed = drained(&fixture, TIMEOUT, false).await;
        assert!(printed.result.is_ok(), "{printed:?}");
        assert!(printed.out.contains("everything is delivered"));
        assert!(printed.err.contains("took its last event"), "{}", printed.err);
        assert_eq!(objects(&fixture), 1);
        ingest.log.drained().await;
        if let Some((stop, flusher)) = running {
            stop.cancel();
            flusher.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_is_left_and_told() {
    let fixture = Fixture::new();
    fixture.refuse("a", 99);
    fixture.logged(&[("a", "", "1"), ("b", "", "2")]).await;
    let printed = drained(&fixture, TIMEOUT, true).await;
    let Err(Error::Undelivered(what)) = &printed.result else { panic!("{printed:?}") };
    assert!(what.contains("1 parked: access denied"), "{what}");
    let json = printed.json();
    assert_eq!((&json["drained"], &json["minutes"][0]["state"]), (&false.into(), &"parked".into()));
    assert_eq!(objects(&fixture), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_gives_up_in_time() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1")]).await;
    let error =
        store::PutError::NotStored { class: store::Class::Retry, message: "slow down".to_owned() };
    for _ in 0..99 {
        fixture.store.script(store::Fault::Refuse(error.clone()));
    }
    let printed = drained(&fixture, Duration::from_millis(100), false).await;
    let Err(Error::Undelivered(what)) = &printed.result else { panic!("{printed:?}") };
    assert!(what.contains("1 sealed: slow down"), "{what}");
}
