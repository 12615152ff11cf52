//! SIGHUP: a service takes up another configuration while it runs, or keeps the one that it has.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::Value;
use tests::{S3Server, Service, Setup, Site, wait_for};

const INGEST_RELOADS: &str = "minutelog_ingest_config_reloads_total";
const INGEST_REFUSED: &str = "minutelog_ingest_config_refused";
const FLUSHER_RELOADS: &str = "minutelog_flusher_config_reloads_total";
const FLUSHER_REFUSED: &str = "minutelog_flusher_config_refused";

/// Writes another configuration, and has the service read it.
fn reload(site: &Site, service: &Service, edit: impl FnOnce(String) -> String) {
    site.edit_config(edit);
    service.signal(Signal::HUP);
}

/// A token's text and its block of the configuration.
fn token(site: &Site, name: &str, more: &str) -> (String, String) {
    let made = site.admin(&["token", name]).exits(0).json();
    let hash = &made["hash"];
    let block =
        format!("[[token]]\nname = \"{name}\"\nhash = {hash}\nallow = [\"my-bucket/*\"]\n{more}\n");
    (made["token"].as_str().unwrap().to_owned(), block)
}

/// A connection that is kept open, and sends with a token.
struct Connection {
    stream: TcpStream,
    token: String,
}

impl Connection {
    fn new(ingest: &Service, token: &str) -> Self {
        let stream = TcpStream::connect(ingest.address()).unwrap();
        Self { stream, token: token.to_owned() }
    }

    /// Sends the head of a request.
    fn head(&mut self) {
        let head = format!(
            "POST /v1/s3/my-bucket HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\
             Authorization: Bearer {}\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
            self.token
        );
        self.stream.write_all(head.as_bytes()).unwrap();
    }

    /// Begins a request: its token is known, and its body is waited for.
    fn begin(&mut self) {
        self.head();
        assert_eq!(self.status("\r\n\r\n"), 100);
    }

    /// Sends the body of what has begun; the status of the answer.
    fn end(&mut self) -> u16 {
        self.stream.write_all(b"x").unwrap();
        self.status("}")
    }

    /// The status of the answer to the head alone.
    fn ask(&mut self) -> u16 {
        self.head();
        self.status("}")
    }

    /// The status of an answer that ends so.
    fn status(&mut self, end: &str) -> u16 {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            text.push(char::from(byte[0]));
        }
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// The log's lines that have this message.
fn said(service: &Service, message: &str) -> Vec<Value> {
    let lines = service.log();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"].as_str().is_some_and(|it| it.contains(message))).collect()
}

#[test]
fn ingest_takes_up_tokens_limits_and_the_log_level() {
    let made = Site::new();
    let (first, of_first) = token(&made, "first", "limits = { requests_per_minute = 3 }");
    let (second, of_second) = token(&made, "second", "");
    let setup = Setup { ingest: String::new(), rest: of_first.clone(), ..Setup::long_minute() };
    let site = Site::with(&setup);
    let ingest = site.ingest();
    let text_of_second = second.clone();
    let [first, second] = [first, second].map(|text| ingest.client().with_token(&text));
    let send = |client: &tests::Client| client.post_bulk("my-bucket", "text/plain", "xyz").status;
    assert_eq!((send(&first), send(&second)), (200, 401));
    assert!(!ingest.log().contains("\"level\":\"DEBUG\""));

    reload(&site, &ingest, |text| {
        let text = format!("log_level = \"debug\"\n{text}{of_second}");
        text.replacen("[ingest]\n", "[ingest]\nmax_event_bytes = \"2B\"\n", 1)
    });
    wait_for("the second token to be known", || ingest.metric(INGEST_RELOADS) >= 1.0);
    second.post_bulk("my-bucket", "text/plain", "xyz").problem(413, "event-too-large");
    assert_eq!(second.post_bulk("my-bucket", "text/plain", "xy").status, 200);
    wait_for("lines for debugging", || ingest.log().contains("\"level\":\"DEBUG\""));

    // What the first one has used of its share is used.
    assert_eq!((send(&first), send(&first)), (413, 413));
    first.post_bulk("my-bucket", "text/plain", "x").problem(429, "rate-limited");

    // A token that is withdrawn is good for what has begun and nothing more, on open connections too.
    let mut open = Connection::new(&ingest, &text_of_second);
    open.begin();
    assert_eq!(open.end(), 200);
    open.begin();
    reload(&site, &ingest, |text| text.replace(&of_second, ""));
    wait_for("the second token to be gone", || ingest.metric(INGEST_RELOADS) >= 2.0);
    assert_eq!(open.end(), 200, "it began before");
    assert_eq!((open.ask(), send(&second)), (401, 401));
    assert_eq!(ingest.terminate(), Some(0));
}

#[test]
fn what_cannot_be_used_changes_nothing_and_what_waits_is_named() {
    let made = Site::new();
    let (text, block) = token(&made, "first", "");
    let setup = Setup { ingest: String::new(), rest: block.clone(), ..Setup::long_minute() };
    let site = Site::with(&setup);
    let (ingest, flusher) = (site.ingest(), site.flusher());
    let client = ingest.client().with_token(&text);
    let both = |edit: &dyn Fn(String) -> String| {
        reload(&site, &ingest, edit);
        flusher.signal(Signal::HUP);
    };
    let refused = || (ingest.metric(INGEST_REFUSED), flusher.metric(FLUSHER_REFUSED));
    both(&|text| format!("{text}\n[[token]]\nname = \"nobody\"\n"));
    wait_for("both to refuse it", || refused() == (1.0, 1.0));
    assert_eq!(client.post_bulk("my-bucket", "text/plain", "x").status, 200);
    for service in [&ingest, &flusher] {
        let lines = said(service, "can't be used");
        let error = lines[0]["error"].as_str().unwrap();
        assert!(error.contains("minutelog.toml:") && error.contains("token"), "{error}");
    }

    both(&|text| {
        let text = text.replace("[[token]]\nname = \"nobody\"\n", "");
        let text = text.replacen("[ingest]\n", "[ingest]\nmax_connections = 7\n", 1);
        text.replacen("[flusher]\n", "[flusher]\nupload_concurrency = 3\n", 1)
    });
    wait_for("both to take it up", || refused() == (0.0, 0.0));
    for (service, key) in
        [(&ingest, "ingest.max_connections"), (&flusher, "flusher.upload_concurrency")]
    {
        let lines = said(service, "hold from the next start on");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["keys"], key);
    }
    assert_eq!((ingest.metric(INGEST_RELOADS), flusher.metric(FLUSHER_RELOADS)), (1.0, 1.0));
    assert_eq!((ingest.terminate(), flusher.terminate()), (Some(0), Some(0)));
}

#[test]
fn the_flusher_takes_up_buckets_and_tries_what_was_parked() {
    let elsewhere = S3Server::start(&[]);
    let block = format!("[[bucket]]\nname = \"my-bucket\"\nendpoint = \"{}\"\n", elsewhere.url());
    let site = Site::with(&Setup { rest: block.clone(), ..Setup::default() });
    let (ingest, flusher) = (site.ingest(), site.flusher());
    let id = ingest.client().send("my-bucket", "p", "1");
    wait_for("the bucket to be missed", || {
        flusher.metric("minutelog_flusher_parked_destinations") >= 1.0
    });
    reload(&site, &flusher, |text| text.replace(&block, ""));
    let objects = site.wait_for_objects(1);
    assert_eq!(objects.lines("my-bucket", "p"), ["1"]);
    site.wait_until_drained();
    let parked = flusher.metric("minutelog_flusher_parked_destinations");
    assert_eq!((parked, flusher.metric(FLUSHER_RELOADS)), (0.0, 1.0));
    assert_eq!(site.event(&ingest.client(), &id)["dest"]["delivered"], 1);
}
