//! Every error of CONTRACT §4 as a client sees it, and that nothing of a refused request is kept.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, PATIENCE, Random, Setup, Site, wait_for};

const GOOD: &str = r#"{"bucket":"my-bucket","prefix":"p","payload":1}"#;

#[test]
fn requests_that_are_wrong_are_told_what_is() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    let send = |body: &str| client.post_send(body);
    let bulk = |to: &str, kind: &str, body: &str| client.post_bulk(to, kind, body);

    send("{").problem(400, "not-json");
    send(&format!("{GOOD} {GOOD}")).problem(400, "not-json");
    send(&format!("[{GOOD},")).problem(400, "not-json");
    assert_eq!(
        bulk("my-bucket", "application/x-ndjson", "1\n2\n\n{\n").problem(400, "not-json")["line"],
        4
    );
    assert_eq!(
        client.post_bulk("my-bucket", "text/plain", b"a\n\xff\n").problem(400, "not-utf-8")["line"],
        2
    );
    send("7").problem(400, "invalid-request");
    send(r#"{"bucket":"my-bucket","payload":1,"colour":2}"#).problem(400, "invalid-request");
    let problem = send(&format!("[{GOOD},{{\"bucket\":\"my-bucket\"}}]"));
    assert_eq!(problem.problem(400, "invalid-request")["field"], "[1].payload");
    send("[]").problem(400, "no-events");
    bulk("my-bucket", "application/x-ndjson", "\n \n").problem(400, "no-events");
    bulk("my-bucket?prefx=a", "text/plain", "x").problem(400, "invalid-query");
    bulk("my-bucket?prefix=%zz", "text/plain", "x").problem(400, "invalid-query");
    let named = r#"{"bucket":"my-bucket","payload":1,"event":"a\nb"}"#;
    assert_eq!(send(named).problem(422, "invalid-event-name")["field"], "event");

    client.get("/nowhere").problem(404, "not-found");
    client.get("/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV").problem(404, "not-found");
    client.get("/v1/events/no-such-name").problem(404, "not-found");
    let answer = client.request(Method::DELETE, "/v1/send/s3");
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), Some("POST"));

    client
        .post("/v1/send/s3", Some("text/plain"), None, GOOD)
        .problem(415, "unsupported-media-type");
    bulk("my-bucket", "image/png", "x").problem(415, "unsupported-media-type");
    bulk("my-bucket", "text/plain; charset=latin1", "x").problem(415, "unsupported-media-type");
    client.post("/v1/s3/my-bucket", None, None, "x").problem(415, "unsupported-media-type");
    let answer = client.post("/v1/send/s3", None, Some("br"), GOOD);
    answer.problem(415, "unsupported-encoding");
    assert!(answer.header("accept-encoding").is_some_and(|list| list.contains("zstd")));

    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows(), Vec::<Value>::new());
}

#[test]
fn what_is_too_large_is_refused_at_the_byte() {
    let ingest = "auth = \"none\"\nmax_event_bytes = \"1KiB\"\nmax_request_bytes = \"8KiB\"\n";
    let site = Site::with(&Setup { ingest: ingest.into(), ..Setup::long_minute() });
    let ingest = site.ingest();
    let client = ingest.client();
    let text = |bytes: usize| "x".repeat(bytes);
    let event =
        |bytes: usize| format!(r#"{{"bucket":"my-bucket","payload":"{}"}}"#, text(bytes - 2));
    client.post_send(event(1024)).ids();
    assert_eq!(client.post_send(event(1025)).problem(413, "event-too-large")["field"], "payload");
    let answer = client.post_bulk("my-bucket", "text/plain", format!("1\n{}\n", text(1025)));
    assert_eq!(answer.problem(413, "event-too-large")["line"], 2);
    let lines = format!("{}\n", text(1023)).repeat(8);
    assert_eq!(client.post_bulk("my-bucket", "text/plain", lines.clone()).json()["accepted"], 8);
    let answer = client.post_bulk("my-bucket", "text/plain", format!("{lines}x"));
    answer.problem(413, "request-too-large");
    // Far above it: the answer comes through all the same.
    client.post_bulk("my-bucket", "text/plain", text(4 << 20)).problem(413, "request-too-large");
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows()[0]["events"], 9);
}

#[test]
fn a_token_reaches_what_it_allows_and_nothing_else() {
    let made = Site::new().admin(&["token", "checkout"]).exits(0).json();
    let token = made["token"].as_str().unwrap();
    let rest = format!(
        "[[token]]\nname = \"checkout\"\nhash = {}\nallow = [\"my-bucket/a/*\", \"my-bucket/b\"]\n",
        made["hash"]
    );
    let site = Site::with(&Setup { ingest: String::new(), rest, ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let nobody = ingest.client();
    let problem = |answer: Answer| {
        answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").is_some_and(|it| it.starts_with("Bearer")));
    };
    problem(nobody.post_send(GOOD));
    problem(nobody.clone().with_token("ml_wrong").post_send(GOOD));
    problem(nobody.post_bulk("my-bucket", "text/plain", "x"));
    problem(nobody.get("/v1/events/x"));

    let client = nobody.clone().with_token(token);
    for (bucket, prefix, allowed) in [
        ("my-bucket", "a", true),
        ("my-bucket", "a/b/c/", true),
        ("my-bucket", "b/", true),
        ("my-bucket", "b/c", false),
        ("my-bucket", "ab", false),
        ("my-bucket", "", false),
        ("other-bucket", "a", false),
    ] {
        let body = json!({"bucket": bucket, "prefix": prefix, "payload": [bucket, prefix]});
        let answer = client.post_send(body.to_string());
        if allowed {
            let id = answer.ids().swap_remove(0);
            assert_eq!(site.event(&client, &id)["id"], id.as_str());
        } else {
            answer.problem(403, "destination-not-allowed");
            let to = format!("{bucket}?prefix={prefix}");
            client.post_bulk(&to, "text/plain", "x").problem(403, "destination-not-allowed");
        }
    }
    site.wait_until_drained();
    let objects = site.wait_for_objects(3);
    let mut prefixes: Vec<&str> = objects.0.iter().map(|object| object.prefix.as_str()).collect();
    prefixes.sort_unstable();
    assert_eq!(prefixes, ["a", "a/b/c", "b"]);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let mut socket = TcpStream::connect(ingest.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/send/s3 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&GOOD.as_bytes()[..20]).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let lower = answer.to_lowercase();
    assert!(lower.contains("content-type: application/problem+json"), "{answer}");
    assert!(answer.contains("problem:slow-body"), "{answer}");
    assert_eq!(site.log_rows(), Vec::<Value>::new());
}

#[test]
fn a_minute_has_so_many_destinations_and_the_next_one_has_room() {
    let ingest = "auth = \"none\"\nmax_destinations_per_minute = 2\n";
    let site = Site::with(&Setup { interval: "2s", ingest: ingest.into(), ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let client = ingest.client();
    let mut number = 0;
    let mut refused = None;
    wait_for("a minute to be full", || {
        number += 1;
        let answer = client.try_send("my-bucket", &format!("p{number}"), "1").unwrap();
        refused = (answer.status != 200).then_some(answer);
        refused.is_some()
    });
    let refused = refused.unwrap();
    refused.problem(429, "too-many-destinations");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    let prefix = format!("p{number}");
    wait_for("the next minute to have room", || {
        client.try_send("my-bucket", &prefix, "2").unwrap().status == 200
    });
    site.wait_until_drained();
    assert_eq!(site.wait_for_objects(3).lines("my-bucket", &prefix), ["2"]);
}

#[test]
fn a_full_log_takes_nothing_more_until_it_is_delivered() {
    let log = "max_bytes = \"64MiB\"\n".to_owned();
    let site = Site::with(&Setup { log, ..Setup::default() });
    let ingest = site.ingest();
    let client = ingest.client();
    // Text that the log cannot pack.
    let mut random = Random::new(1);
    let mut line = |bytes: usize| format!("{}\n", random.hex(bytes));
    let lines: String = (0..15).map(|_| line(1 << 20)).collect();
    let mut accepted = 0;
    let mut refused = None;
    for _ in 0..6 {
        let answer = client.post_bulk("my-bucket", "text/plain", lines.clone());
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
        accepted += 15;
    }
    let refused = refused.expect("90 MiB do not fit into 64");
    refused.problem(503, "log-full");
    assert!(refused.header("retry-after").is_some());
    // There may be room for less.
    let line = line(1 << 19);
    wait_for("ingest to say so", || {
        let answer = client.post_bulk("my-bucket", "text/plain", line.clone());
        accepted += usize::from(answer.status == 200);
        ingest.ops("/readyz").unwrap().status == 503
    });
    assert_eq!(ingest.ops("/healthz").unwrap().status, 200);

    let _flusher = site.flusher();
    wait_for("room in the log", || {
        client.post_bulk("my-bucket?prefix=later", "text/plain", "x").status == 200
    });
    site.wait_until_drained();
    let objects = site.wait_for_objects(2);
    assert_eq!(objects.lines("my-bucket", "").len(), accepted);
    assert_eq!(objects.lines("my-bucket", "later"), ["x"]);
}
