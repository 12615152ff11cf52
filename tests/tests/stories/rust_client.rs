//! The Rust client, and what stands in S3 of what it has sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use minutelog_client::{Builder, Client, EventId, Json, SendError, Text};
use serde_json::json;
use tests::{Authority, Kind, Proxy, Setup, Site, wait_for};
use tokio::runtime::Runtime;

const BUCKET: &str = "my-bucket";

fn builder(address: impl std::fmt::Display) -> Builder {
    Client::builder(format!("http://{address}"))
}

/// The lines and how often each one stands there.
fn counted<'a>(lines: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counted = BTreeMap::new();
    for line in lines {
        *counted.entry(line).or_default() += 1;
    }
    counted
}

#[test]
fn events_sent_together_are_lines_of_one_object_in_order() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let payloads: Vec<String> = (1..=30).map(|n| format!("{{\"n\": {n}, \"x\": 0.10}}")).collect();
    let ids: Vec<EventId> = Runtime::new().unwrap().block_on(async {
        let linger = Duration::from_millis(100);
        let client = builder(ingest.address()).linger(linger).build().unwrap();
        let calls = payloads.iter().map(|payload| client.send_s3(BUCKET, "test/", Json(payload)));
        try_join_all(calls).await.unwrap()
    });
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 30);
    assert!((ingest.metric("minutelog_ingest_requests_total") - 1.0).abs() < 0.5, "not together");
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);
    let objects = site.wait_for_objects(1);
    assert_eq!(objects.lines(BUCKET, "test"), payloads);
}

#[test]
fn answers_that_are_lost_make_no_second_event() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let proxy = Proxy::to(ingest.address());
    let ids: Vec<EventId> = Runtime::new().unwrap().block_on(async {
        let client = builder(proxy.address()).build().unwrap();
        let mut ids = Vec::new();
        for number in 0..5_u32 {
            proxy.lose_answers(1);
            let calls = [
                client.send_s3(BUCKET, "json", number),
                client.send_s3(BUCKET, "text", Text(format!("line {number}"))),
                client.send_s3(BUCKET, "id", number).id(format!("id-{number}")),
            ];
            ids.extend(try_join_all(calls).await.unwrap());
        }
        client.close().await;
        ids
    });
    assert_eq!(proxy.lost(), 5);
    assert!((ingest.metric("minutelog_ingest_repeats_total") - 5.0).abs() < 0.5);
    let http = ingest.client();
    for id in &ids {
        assert_eq!(site.event(&http, &id.to_string())["id"], json!(id));
    }
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);
    let objects = site.wait_for_objects(3);
    assert_eq!(objects.lines(BUCKET, "json"), ["0", "1", "2", "3", "4"]);
    assert_eq!(objects.lines(BUCKET, "id"), ["0", "1", "2", "3", "4"]);
    let lines: Vec<String> = (0..5).map(|number| format!("line {number}")).collect();
    assert_eq!(objects.lines(BUCKET, "text"), lines);
}

#[test]
fn a_service_that_is_killed_again_and_again_gets_each_event_once() {
    const EVENTS: u32 = 3000;
    let site = Site::new();
    let flusher = site.flusher();
    let mut ingest = site.ingest();
    let proxy = Proxy::to(ingest.address());
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(async {
        builder(proxy.address()).max_request_events(20).max_queued_events(100).build().unwrap()
    });
    let sender = client.clone();
    let sending = runtime.spawn(async move {
        for number in 0..EVENTS {
            let payload = format!("event {number}");
            drop(sender.send_s3(BUCKET, "kept", payload).queue().await.unwrap());
        }
        sender.close().await;
    });
    for _ in 0..4 {
        wait_for("some events to be accepted", || {
            ingest.metric("minutelog_ingest_events_total") >= 100.0 || sending.is_finished()
        });
        assert!(!sending.is_finished(), "all was sent before the last kill");
        proxy.lose_answers(1);
        ingest.kill();
        ingest = site.start(Kind::Ingest, &[]);
        proxy.aim(ingest.address());
    }
    runtime.block_on(sending).unwrap();
    assert!(proxy.lost() > 0, "no answer was lost");
    assert_eq!(ingest.terminate(), Some(0));
    site.wait_until_drained();
    assert_eq!(flusher.terminate(), Some(0));
    let objects = site.wait_for_objects(1);
    let counted = counted(objects.lines(BUCKET, "kept"));
    let twice: Vec<_> = counted.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(counted.len(), EVENTS as usize);
    objects.assert_one_per_minute();
}

#[test]
fn a_refusal_names_the_field_and_takes_no_other_event_with_it() {
    let site = Site::with(&Setup {
        ingest: "auth = \"none\"\nmax_event_bytes = \"1KiB\"\n".to_owned(),
        ..Setup::long_minute()
    });
    let ingest = site.ingest();
    Runtime::new().unwrap().block_on(async {
        let client = builder(ingest.address()).build().unwrap();
        let large = "x".repeat(2000);
        let calls = [
            client.send_s3(BUCKET, "good", 1),
            client.send_s3("Bad Bucket", "", 2),
            client.send_s3(BUCKET, "/bad", 3),
            client.send_s3(BUCKET, "", &large),
            client.event("").send_s3(BUCKET, "", 4),
            client.send_s3(BUCKET, "good", 5),
            client.send_s3(BUCKET, "text", Text("short")),
            client.send_s3(BUCKET, "text", Text(&large)),
            client.send_s3(BUCKET, "text", Text("short, too")),
            client.send_s3("Bad Bucket", "", Text("lost")),
        ];
        let told = join_all(calls).await.into_iter().map(|outcome| match outcome {
            Ok(_) => "accepted".to_owned(),
            Err(SendError::Refused(refusal)) => {
                let field = refusal.field().unwrap_or_default();
                format!("{} {} {field}", refusal.status(), refusal.kind())
            }
            Err(error) => panic!("{error}"),
        });
        let expected = [
            "accepted",
            "422 invalid-bucket bucket",
            "422 invalid-prefix prefix",
            "413 event-too-large payload",
            "422 invalid-event-name event",
            "accepted",
            "accepted",
            "413 event-too-large ",
            "accepted",
            "422 invalid-bucket bucket",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        client.close().await;
    });
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);
    let objects = site.wait_for_objects(2);
    assert_eq!(objects.lines(BUCKET, "good"), ["1", "5"]);
    assert_eq!(objects.lines(BUCKET, "text"), ["short", "short, too"]);
    assert_eq!(objects.0.len(), 2);
}

#[test]
fn an_event_of_several_destinations_is_found_as_one() {
    let site =
        Site::with(&Setup { buckets: vec!["my-bucket", "audit-bucket"], ..Setup::long_minute() });
    let ingest = site.ingest();
    let ids = Runtime::new().unwrap().block_on(async {
        let client = builder(ingest.address()).build().unwrap();
        let order = client.event("order-1001");
        let mut ids = vec![order.send_s3("my-bucket", "orders/", json!({"n": 1})).await.unwrap()];
        for prefix in ["a", "b"] {
            ids.push(order.send_s3("audit-bucket", prefix, Text("placed")).await.unwrap());
        }
        ids
    });
    let document = site.event(&ingest.client(), "order-1001");
    assert_eq!(document["dest"], json!({"delivered": 0, "total": 3}));
    let rows = document["deliveries"].as_array().unwrap();
    let found: Vec<_> = rows.iter().map(|row| row["id"].clone()).collect();
    assert_eq!(json!(found), json!(ids));
    assert_eq!(rows[1]["bucket"], "audit-bucket");
}

#[test]
fn a_token_reaches_what_it_allows() {
    let made = Site::new().admin(&["token", "rust"]).exits(0).json();
    let token = made["token"].as_str().unwrap();
    let rest = format!(
        "[[token]]\nname = \"rust\"\nhash = {}\nallow = [\"my-bucket/test/*\"]\n",
        made["hash"]
    );
    let site = Site::with(&Setup { ingest: String::new(), rest, ..Setup::long_minute() });
    let ingest = site.ingest();
    Runtime::new().unwrap().block_on(async {
        for stranger in [
            builder(ingest.address()),
            builder(ingest.address()).token("mlt_0000000000000000000000000000"),
        ] {
            let error = stranger.build().unwrap().send_s3(BUCKET, "test", 1).await.unwrap_err();
            let SendError::Refused(refusal) = &error else { panic!("{error}") };
            assert_eq!((refusal.status(), refusal.kind()), (401, "unauthorized"));
        }
        let client = builder(ingest.address()).token(token).build().unwrap();
        let calls = ["test", "other", "test/below"];
        let outcomes = join_all(calls.map(|prefix| client.send_s3(BUCKET, prefix, 1))).await;
        assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
        let Err(SendError::Refused(refusal)) = &outcomes[1] else { panic!("{outcomes:?}") };
        assert_eq!((refusal.status(), refusal.kind()), (403, "destination-not-allowed"));
    });
}

#[test]
fn the_service_is_trusted_by_its_authority_alone() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (pair, own) = (authority.pair(), clients.pair());
    let files = tempfile::TempDir::with_prefix("minutelog-tls-").unwrap();
    let path = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let rest = format!(
        "[ingest.tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\nclient_ca = \"{}\"\n",
        path("cert.pem", &pair.certificate),
        path("key.pem", &pair.key),
        path("clients.pem", &clients.pem()),
    );
    let site = Site::with(&Setup { rest, ..Setup::long_minute() });
    let ingest = site.ingest();
    // Certificates are for the name.
    let proxy = Proxy::to(ingest.address());
    let url = format!("https://localhost:{}", proxy.address().port());
    Runtime::new().unwrap().block_on(async {
        let trusting = Client::builder(&url).ca_pem(authority.pem());
        let client = trusting.identity_pem(own.certificate, own.key).build().unwrap();
        client.send_s3(BUCKET, "", 1).await.unwrap();
        client.close().await;
        let client = Client::builder(&url).ca_pem(clients.pem()).build().unwrap();
        let error = client.send_s3(BUCKET, "", 2).await.unwrap_err();
        assert!(matches!(error, SendError::NotTheService { .. }), "{error}");
    });
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows()[0]["events"], 1);
}
