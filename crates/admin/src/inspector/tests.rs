//! The page over HTTP, without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use model::SystemClock;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use wal::DataDir;

use super::{Inspection, InspectionOptions, api, guard, live, reader};
use crate::Error;
use crate::fixture::{Fixture, files};
use crate::view::View;

/// The routes of a page, as its server would have them.
fn page(fixture: &Fixture, token: Option<&str>) -> Router {
    let guard = guard::Guard::new("127.0.0.1:9603".parse().unwrap(), token).unwrap();
    let data = DataDir::at(fixture.data_dir());
    let url = "http://127.0.0.1:9600".to_owned();
    let view = View::new(data, url, Arc::new(SystemClock));
    let reader = Arc::new(reader::Reader::new(view));
    let live = live::Live::start(Arc::clone(&reader), CancellationToken::new());
    api::router(guard, reader, live)
}

async fn get(router: &Router, path: &str) -> http::Response<Body> {
    let request = Request::get(path).header(header::HOST, "localhost:9603");
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn json(router: &Router, path: &str) -> Value {
    let answer = get(router, path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn events_are_told_with_their_payloads_and_nothing_is_written() {
    let fixture = Fixture::new();
    let evil = "<script>alert(1)</script>";
    let payload = format!("\"{evil}\"");
    let sent = fixture.logged(&[("a", evil, &payload), ("b", evil, &payload)]).await;
    let before = files(&fixture.data_dir());
    let page = page(&fixture, None);
    let events = json(&page, "/api/events").await;
    assert_eq!(events["events"][0]["event"], evil);
    assert_eq!(events["events"][0]["dest"]["total"], 2);
    assert_eq!(events["events"][0]["bytes"], payload.len());
    let detail = json(&page, &format!("/api/events/{}", sent[0])).await;
    assert_eq!((&detail["flusher"], &detail["next_tries"][0]), (&"stopped".into(), &Value::Null));
    let shown = json(&page, &format!("/api/events/{}/payload", sent[0])).await;
    assert_eq!(shown["text"], payload);
    let overview = json(&page, "/api/overview").await;
    assert_eq!(overview["services"]["flusher"], "stopped");
    assert_eq!(overview["minutes"][0]["stage"], "finished");
    for (query, found) in [
        (format!("q={}", sent[1]), 1),
        ("q=script".to_owned(), 1),
        ("q=nothing".to_owned(), 0),
        ("destination=bucket/b".to_owned(), 1),
        ("destination=elsewhere".to_owned(), 0),
        ("until=1".to_owned(), 0),
        (format!("before={}", sent[0]), 0),
    ] {
        let events = json(&page, &format!("/api/events?{query}")).await;
        assert_eq!(events["events"].as_array().unwrap().len(), found, "{query}");
    }
    assert_eq!(files(&fixture.data_dir()), before);
}

#[tokio::test]
async fn every_answer_forbids_what_the_page_does_not_need() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1")]).await;
    let page = page(&fixture, None);
    for (path, status) in [
        ("/", StatusCode::OK),
        ("/app.js", StatusCode::OK),
        ("/api/overview", StatusCode::OK),
        ("/api/events?limit=x", StatusCode::BAD_REQUEST),
        ("/api/events?other=1", StatusCode::BAD_REQUEST),
        ("/api/events/x", StatusCode::NOT_FOUND),
        ("/api/events/01KB00000000000000000000000", StatusCode::NOT_FOUND),
        ("/../etc/passwd", StatusCode::NOT_FOUND),
    ] {
        let answer = get(&page, path).await;
        assert_eq!(answer.status(), status, "{path}");
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert!(answer.headers().contains_key(header::CACHE_CONTROL), "{path}");
    }
    let request = Request::get("/api/overview").header(header::HOST, "evil.example");
    let answer = page.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    let post = Request::post("/api/events").header(header::HOST, "localhost");
    let answer = page.oneshot(post.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn without_the_token_the_page_is_there_and_nothing_of_the_log() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1")]).await;
    let page = page(&fixture, Some("a-token-of-good-length"));
    assert_eq!(get(&page, "/").await.status(), StatusCode::OK);
    for path in ["overview", "events", "events/x", "events/x/payload", "live"] {
        let answer = get(&page, &format!("/api/{path}")).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let present = |token: &str| {
        let body = serde_json::json!({ "token": token }).to_string();
        let request = Request::post("/api/session")
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json");
        page.clone().oneshot(request.body(Body::from(body)).unwrap())
    };
    assert_eq!(present("another").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let session = present("a-token-of-good-length").await.unwrap();
    assert_eq!(session.status(), StatusCode::NO_CONTENT);
    let cookie = session.headers()[header::SET_COOKIE].to_str().unwrap();
    let request = Request::get("/api/events")
        .header(header::HOST, "localhost")
        .header(header::COOKIE, cookie.split(';').next().unwrap());
    let answer = page.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn changes_are_told_as_they_come() {
    let fixture = Fixture::new();
    fixture.logged(&[("a", "", "1")]).await;
    let page = page(&fixture, None);
    let answer = get(&page, "/api/live").await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut body = answer.into_body();
    let mut next = async || {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8(frame.to_vec()).unwrap()
    };
    let first = next().await;
    assert!(first.starts_with("event: change\n"), "{first}");
    fixture.logged(&[("a", "", "2")]).await;
    let second = next().await;
    assert!(second.starts_with("event: change\n") && second != first, "{second}");
    // What is kept while somebody listens is no older than what was told.
    let events = json(&page, "/api/events").await;
    assert_eq!(events["events"].as_array().unwrap().len(), 2);
}

#[test]
fn an_address_that_others_reach_needs_a_token_that_cannot_be_guessed() {
    let fixture = Fixture::new();
    let options = |token: Option<&str>| InspectionOptions {
        data_dir: fixture.data_dir(),
        ingest: String::new(),
        token: token.map(str::to_owned),
    };
    let bind = |listen: &str, token| Inspection::bind(listen.parse().unwrap(), options(token));
    assert!(matches!(bind("127.0.0.1:0", None), Err(Error::NoDataDir(_))));
    std::fs::create_dir(fixture.data_dir()).unwrap();
    assert!(matches!(bind("0.0.0.0:0", None), Err(Error::Open(_))));
    assert!(matches!(bind("0.0.0.0:0", Some("short")), Err(Error::ShortToken)));
    let bound = bind("127.0.0.1:0", None).unwrap();
    let taken = bind(&bound.address().to_string(), None);
    assert!(matches!(taken, Err(Error::Bind { .. })), "{taken:?}");
}
