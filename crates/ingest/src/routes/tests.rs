use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use model::EventId;
use serde_json::{Value, json};

use super::*;
use crate::config::{Auth, Config};
use crate::fixture::{Fixture, get, post, token};

const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

fn event(bucket: &str, prefix: &str) -> String {
    json!({"bucket": bucket, "prefix": prefix, "payload": {"a": 1}, "event": "named"}).to_string()
}

fn with_tokens(config: &mut Config) {
    config.rules.auth =
        Auth::Tokens(vec![token("one", "my-bucket/a/*"), token("two", "other-bucket/*")]);
}

fn id(value: &Value) -> EventId {
    value.as_str().unwrap().parse().unwrap()
}

/// Asserts the status and the type of a problem, and gives the rest of it.
#[track_caller]
fn assert_problem(answer: (u16, HeaderMap, Value), status: u16, kind: &str) -> (HeaderMap, Value) {
    let (got, headers, document) = answer;
    assert_eq!(got, status, "{document}");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(document["type"], format!("urn:minutelog:problem:{kind}"), "{document}");
    assert_eq!(document["status"], status);
    (headers, document)
}

#[tokio::test]
async fn events_are_accepted_with_their_ids_in_order() {
    let fixture = Fixture::new(|_| {});
    let body = format!(
        "[{},{},{}]",
        event("my-bucket", "a"),
        event("my-bucket", "b"),
        event("my-bucket", "a")
    );
    let (status, headers, answer) = fixture.json(post(SEND, &[], body)).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(3)), "{answer}");
    assert_eq!(headers["content-type"], "application/json");
    let ids: Vec<_> = answer["ids"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0] < ids[2] && ids[0] != ids[1], "{ids:?}");
    let (status, _, answer) = fixture.json(post(SEND, &[JSON], event("my-bucket", ""))).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)));
    assert!(id(&answer["ids"][0]) > ids[2]);
}

#[tokio::test]
async fn bulk_bodies_are_accepted_with_the_ids_at_their_ends() {
    let fixture = Fixture::new(|_| {});
    for (header, body, events) in
        [(NDJSON, "1\n\n2\r\n3", 3), (JSON, "[1,\n2]", 1), (TEXT, "a\n\nb\n", 3)]
    {
        let request = post("/v1/s3/my-bucket?prefix=a%2Fb/&event=x+y", &[header], body);
        let (status, _, answer) = fixture.json(request).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(events)), "{answer}");
        assert_eq!(id(&answer["first"]) == id(&answer["last"]), events == 1);
        assert!(id(&answer["first"]) <= id(&answer["last"]));
    }
    // Beyond what is parsed on the spot.
    let large = "{\"text\": \"0123456789\"}\n".repeat(40_000);
    let (status, _, answer) = fixture.json(post("/v1/s3/my-bucket", &[NDJSON], large)).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(40_000)), "{answer}");
}

#[tokio::test]
async fn what_can_not_be_read_is_400_413_415_or_422() {
    let fixture = Fixture::new(|_| {});
    let bulk = "/v1/s3/my-bucket";
    let long = "1".repeat(1001);
    let large = " ".repeat(1024 * 1024 + 1);
    let gzip = ("content-encoding", "gzip");
    for (path, header, body, status, kind, at) in [
        (SEND, JSON, "{", 400, "not-json", json!(1)),
        (SEND, JSON, "[]", 400, "no-events", Value::Null),
        (SEND, JSON, "[3]", 400, "invalid-request", json!("[0]")),
        (bulk, NDJSON, "1\n2 3\n", 400, "not-json", json!(2)),
        (bulk, TEXT, "", 400, "no-events", Value::Null),
        ("/v1/s3/my-bucket?prefx=a", TEXT, "x", 400, "invalid-query", json!("prefx")),
        (SEND, gzip, "plain", 400, "broken-body", Value::Null),
        (bulk, NDJSON, &format!("1\n{long}"), 413, "event-too-large", json!(2)),
        (SEND, JSON, &large, 413, "request-too-large", Value::Null),
        ("/v1/s3/NO", TEXT, "x", 422, "invalid-bucket", json!("bucket")),
        ("/v1/s3/%ff", TEXT, "x", 422, "invalid-bucket", json!("bucket")),
        ("/v1/s3/my-bucket?prefix=/a", TEXT, "x", 422, "invalid-prefix", json!("prefix")),
        ("/v1/s3/my-bucket?event=", TEXT, "x", 422, "invalid-event-name", json!("event")),
    ] {
        let answer = fixture.json(post(path, &[header], body.to_owned())).await;
        let (_, document) = assert_problem(answer, status, kind);
        let place = if at.is_number() { "line" } else { "field" };
        assert_eq!(document[place], at, "{document}");
    }
    let answer = fixture.json(post(bulk, &[("content-type", "text/html")], "x")).await;
    let (headers, _) = assert_problem(answer, 415, "unsupported-media-type");
    assert!(headers["accept"].to_str().unwrap().contains("application/x-ndjson"));
    for (path, kind) in [(SEND, "application/json"), (bulk, "text/plain")] {
        let latin1 = format!("{kind}; charset=latin1");
        let answer = fixture.json(post(path, &[("content-type", &*latin1)], "1")).await;
        let (headers, _) = assert_problem(answer, 415, "unsupported-media-type");
        assert!(headers["accept"].to_str().unwrap().contains(kind), "{path}");
    }
    let answer = fixture.json(post(bulk, &[TEXT, ("content-encoding", "br")], "x")).await;
    let (headers, _) = assert_problem(answer, 415, "unsupported-encoding");
    assert!(headers["accept-encoding"].to_str().unwrap().contains("zstd"));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let fixture = Fixture::new(|_| {});
    assert_problem(fixture.json(get("/v1/nothing", &[])).await, 404, "not-found");
    assert_problem(fixture.json(get("/v1/events/nobody", &[])).await, 404, "not-found");
    for (request, allow) in [(get(SEND, &[]), "POST"), (post("/v1/events/x", &[], ""), "GET,HEAD")]
    {
        let (headers, _) = assert_problem(fixture.json(request).await, 405, "method-not-allowed");
        assert_eq!(headers["allow"], allow);
    }
}

#[tokio::test]
async fn a_token_is_asked_for_before_the_body_is_read() {
    let fixture = Fixture::new(with_tokens);
    let read = Arc::new(AtomicBool::new(false));
    let watched = || {
        let read = Arc::clone(&read);
        Body::from_stream(stream::poll_fn(move |_| {
            read.store(true, Ordering::SeqCst);
            std::task::Poll::Ready(None::<io::Result<Bytes>>)
        }))
    };
    // Whoever waits for the go-ahead does not get it, so that nothing is read even afterwards.
    let expect = ("expect", "100-continue");
    let one = ("authorization", "Bearer secret-one");
    for (path, headers, status, kind) in [
        (SEND, &[expect][..], 401, "unauthorized"),
        (SEND, &[expect, ("authorization", "Bearer nobody's")], 401, "unauthorized"),
        ("/v1/s3/NO", &[expect, TEXT], 401, "unauthorized"),
        ("/v1/s3/%ff", &[expect, TEXT], 401, "unauthorized"),
        ("/v1/s3/my-bucket?prefix=b", &[expect, TEXT, one], 403, "destination-not-allowed"),
    ] {
        let (headers, document) =
            assert_problem(fixture.json(post(path, headers, watched())).await, status, kind);
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        assert!(status == 401 || document["detail"].as_str().unwrap().contains("my-bucket/b/"));
    }
    tokio::task::yield_now().await;
    assert!(!read.load(Ordering::SeqCst), "the body was read");
    let answer = fixture.json(post(SEND, &[one], event("other-bucket", "a"))).await;
    assert_problem(answer, 403, "destination-not-allowed");
    let (status, _, _) = fixture.json(post(SEND, &[one], event("my-bucket", "a/b"))).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_event_is_found_by_id_and_by_name_as_far_as_the_token_reaches() {
    let fixture = Fixture::new(with_tokens);
    let one = ("authorization", "Bearer secret-one");
    let two = ("authorization", "Bearer secret-two");
    let (_, _, answer) = fixture.json(post(SEND, &[one], event("my-bucket", "a"))).await;
    let (status, ..) = fixture.json(post(SEND, &[two], event("other-bucket", ""))).await;
    assert_eq!(status, 200);
    let path = format!("/v1/events/{}", answer["ids"][0].as_str().unwrap());
    let (status, _, row) = fixture.json(get(&path, &[one])).await;
    assert_eq!(status, 200, "{row}");
    assert_eq!((&row["id"], &row["event"]), (&answer["ids"][0], &json!("named")));
    assert_eq!(row["deliveries"][0]["bucket"], "my-bucket");
    assert_eq!(row["deliveries"][0]["state"], "logged");
    assert_problem(fixture.json(get(&path, &[two])).await, 404, "not-found");
    assert_problem(fixture.json(get(&path, &[])).await, 401, "unauthorized");
    for (header, bucket) in [(one, "my-bucket"), (two, "other-bucket")] {
        let (status, _, row) = fixture.json(get("/v1/events/named", &[header])).await;
        assert_eq!(status, 200, "{row}");
        assert_eq!(row["dest"], json!({"delivered": 0, "total": 1}));
        assert_eq!(row["deliveries"][0]["bucket"], bucket);
    }
}

#[tokio::test]
async fn a_request_that_fits_into_no_minute_is_not_told_to_come_back() {
    let fixture = Fixture::new(|_| {});
    let body = |count: u32| {
        let events: Vec<_> = (0..count).map(|it| event("my-bucket", &format!("p{it}"))).collect();
        format!("[{}]", events.join(","))
    };
    let answer = fixture.json(post(SEND, &[], body(4))).await;
    let (headers, document) = assert_problem(answer, 413, "too-many-destinations-in-request");
    assert!(!headers.contains_key("retry-after"));
    assert!(document["detail"].as_str().unwrap().contains("split the request"), "{document}");
    // Nothing of it took up room in the minute.
    assert_eq!(fixture.json(post(SEND, &[], body(3))).await.0, 200);
}

#[tokio::test]
async fn a_log_that_takes_no_more_is_429_or_503() {
    let fixture = Fixture::new(|_| {});
    let many = |numbers: std::ops::Range<u32>| {
        let events: Vec<_> = numbers.map(|it| event("my-bucket", &format!("p{it}"))).collect();
        post(SEND, &[], format!("[{}]", events.join(",")))
    };
    assert_eq!(fixture.json(many(0..2)).await.0, 200);
    let (headers, document) =
        assert_problem(fixture.json(many(2..4)).await, 429, "too-many-destinations");
    let detail = document["detail"].as_str().unwrap();
    assert!(detail.contains("would have more than 3 destinations"), "{detail}");
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");

    let full = Fixture::new(|config| config.max_log_bytes = 1);
    let answer = full.json(post(SEND, &[], event("my-bucket", ""))).await;
    let (headers, _) = assert_problem(answer, 503, "log-full");
    assert!(headers.contains_key("retry-after"));
    assert!(full.service.ready().unwrap_err().starts_with("the log is full"));

    assert_eq!(fixture.service.ready(), Ok(()));
    fixture.log.close().await.unwrap();
    let request = post(SEND, &[], event("my-bucket", ""));
    let answer = router(&fixture.service);
    let answer = tower::ServiceExt::oneshot(answer, request).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    drop(fixture.directory);
}
