//! What one client may do in a minute, and that thousands of idle connections keep nobody out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tests::{Answer, PATIENCE, Setup, Site, wait_for};

/// A site with two tokens, and the tokens. The first one has these limits.
fn two_tokens(limits: &str, setup: Setup) -> (Site, [String; 2]) {
    let made = Site::new();
    let [first, second] = ["first", "second"].map(|name| made.admin(&["token", name]).json());
    let rest = format!(
        "[[token]]\nname = \"first\"\nhash = {}\nallow = [\"my-bucket/*\"]\nlimits = {{ {limits} }}\n\
         [[token]]\nname = \"second\"\nhash = {}\nallow = [\"my-bucket/*\"]\n",
        first["hash"], second["hash"]
    );
    let site = Site::with(&Setup { ingest: String::new(), rest, ..setup });
    (site, [first, second].map(|made| made["token"].as_str().unwrap().to_owned()))
}

#[track_caller]
fn limited(answer: &Answer, what: &str) {
    let problem = answer.problem(429, "rate-limited");
    assert!(problem["detail"].as_str().unwrap().contains(what), "{problem}");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

#[test]
fn a_token_has_its_share_of_a_minute_and_no_other_pays_for_it() {
    let limits = "requests_per_minute = 3";
    let (site, [first, second]) = two_tokens(limits, Setup::long_minute());
    let ingest = site.ingest();
    let first = ingest.client().with_token(&first);
    let second = ingest.client().with_token(&second);
    first.send("my-bucket", "p", "1");
    first.get("/v1/events/nobody").problem(404, "not-found");
    first.send("my-bucket", "p", "2");
    for _ in 0..3 {
        limited(&first.post_bulk("my-bucket", "text/plain", "x"), "token `first`");
        limited(&first.get("/v1/events/nobody"), "requests_per_minute");
        second.send("my-bucket", "p", "3");
    }
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows()[0]["events"], 5);
}

#[test]
fn a_request_over_the_share_is_refused_whole() {
    let limits = "bytes_per_minute = \"64KiB\", destinations_per_minute = 3";
    let (site, [token, _]) = two_tokens(limits, Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client().with_token(&token);
    let gzip = |bytes: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'x'; bytes]).unwrap();
        let body = encoder.finish().unwrap();
        client.post("/v1/s3/my-bucket?prefix=a", Some("text/plain"), Some("gzip"), body)
    };
    // What counts are the bytes after decompression.
    gzip(64 * 1024 + 1).problem(413, "request-too-large");
    assert_eq!(gzip(40 * 1024).status, 200);
    limited(&gzip(30 * 1024), "bytes_per_minute");
    let events = |prefixes: &[&str]| {
        let event =
            |prefix: &&str| format!(r#"{{"bucket":"my-bucket","prefix":"{prefix}","payload":1}}"#);
        let events: Vec<String> = prefixes.iter().map(event).collect();
        client.post_send(format!("[{}]", events.join(",")))
    };
    events(&["a", "b", "c", "d"]).problem(413, "too-many-destinations-in-request");
    limited(&events(&["b", "c", "d"]), "destinations_per_minute");
    assert_eq!(events(&["a", "b", "c", "a"]).status, 200);
    limited(&events(&["a", "d"]), "destinations_per_minute");
    assert_eq!(events(&["a", "c"]).status, 200);
    assert_eq!(ingest.terminate(), Some(0));
    let row = &site.log_rows()[0];
    assert_eq!((&row["events"], &row["destinations"]), (&Value::from(7), &Value::from(3)), "{row}");
}

/// Sockets that take up room and send no request that anybody waits for.
fn idle_sockets(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let beginnings = [
        "",
        "POST /v1/send/s3 HTTP/1.1\r\nHost: x\r\n",
        "GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let connect = |number: usize| {
        let mut socket = TcpStream::connect(address).unwrap();
        // The service may have closed it already.
        let _sent = socket.write_all(beginnings[number % beginnings.len()].as_bytes());
        socket
    };
    (0..count).map(connect).collect()
}

#[test]
fn thousands_of_idle_connections_keep_nobody_out() {
    const IDLE: usize = 2000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let ingest = "auth = \"none\"\nmax_connections = 1000\n";
    let site = Site::with(&Setup { ingest: ingest.to_owned(), ..Setup::long_minute() });
    let ingest = site.ingest();
    // One that was there first, and is at work all the time.
    let mut working = TcpStream::connect(ingest.address()).unwrap();
    working.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/s3/my-bucket HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nx";
    working.write_all(head.as_bytes()).unwrap();
    wait_for("it to be taken", || ingest.metric("minutelog_ingest_open_connections") > 0.0);

    let idle = idle_sockets(ingest.address(), IDLE);
    // One byte now and one later: it is slow, but not too slow.
    working.write_all(b"y").unwrap();
    for number in 0..50 {
        ingest.client().send("my-bucket", "good", &number.to_string());
    }
    working.write_all(b"z").unwrap();
    let mut answer = String::new();
    working.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    wait_for("the others to be closed", || {
        ingest.metric("minutelog_ingest_evicted_connections_total") >= 900.0
    });
    assert!(ingest.metric("minutelog_ingest_open_connections") <= 1000.0);
    drop(idle);
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows()[0]["events"], 51);
}

#[test]
fn what_is_no_http_is_answered_by_a_status_alone() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let answer = |request: &str| {
        let mut socket = TcpStream::connect(ingest.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ended = socket.read_to_string(&mut answer);
        answer
    };
    let header = |name: &str, value: &str| {
        format!("POST /v1/send/s3 HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n")
    };
    for (request, status) in [
        ("HELO\r\n\r\n".to_owned(), "400 "),
        (header("Content-Length", "x"), "400 "),
        (header("Bad Name", "x"), "400 "),
        (header("Long", &"x".repeat(80 * 1024)), "431 "),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(80 * 1024)), "431 "),
    ] {
        let answer = answer(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
        assert!(answer.contains("content-length: 0\r\n"), "{answer}");
    }
    assert_eq!(site.log_rows(), Vec::<Value>::new());
    ingest.client().send("my-bucket", "", "1");
}
