//! What is odd, and legal all the same: it is accepted, and arrives byte by byte.

use std::io::Write as _;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tests::{Ledger, Sent, Service};

use super::raw::{connect, post, post_whole, read_answer};

/// The number of the first sender: each event has one of its own, as they come in no order.
const FIRST_SENDER: usize = 2000;

/// Sends all of it; returns what was acknowledged, and how many.
pub(super) fn send(ingest: &Service) -> (Ledger, u64) {
    let mut odd = Odd { ledger: Ledger::default(), sent: 0 };
    let client = ingest.client();
    for payload in payloads() {
        let answer = client.post_send(event("odd", &payload));
        odd.note("odd", payload, answer.ids().swap_remove(0));
    }
    for (number, prefix) in prefixes().into_iter().enumerate() {
        let payload = format!("[\"prefix\",{number}]");
        let answer = client.post_send(event(&prefix, &payload));
        odd.note(&prefix, payload, answer.ids().swap_remove(0));
        let payload = format!("[\"query\",{number}]");
        let to = format!("my-bucket?prefix={}", tests::encoded(&prefix));
        let answer = client.post_bulk(&to, "application/json", payload.as_bytes());
        let id = answer.json()["first"].as_str().expect("it is accepted").to_owned();
        odd.note(&prefix, payload, id);
    }
    for line in ["a\r", "\0", "\u{feff}b", " c ", "\u{1b}[1m", "\u{2028}d", "{\"e", "\u{85}f\u{7f}"]
    {
        let answer = client.post_bulk("my-bucket?prefix=text", "text/plain", line);
        let id = answer.json()["first"].as_str().expect("it is accepted").to_owned();
        odd.note("text", line.to_owned(), id);
    }
    framings(ingest.address(), &mut odd);
    (odd.ledger, odd.sent)
}

struct Odd {
    ledger: Ledger,
    sent: u64,
}

impl Odd {
    fn note(&mut self, prefix: &str, payload: String, id: String) {
        let sender = FIRST_SENDER + self.ledger.sent();
        let (bucket, prefix) = ("my-bucket".to_owned(), prefix.to_owned());
        self.ledger.note(Sent { bucket, prefix, payload, sender }, Some(id));
        self.sent += 1;
    }
}

fn event(prefix: &str, payload: &str) -> String {
    let prefix = Value::from(prefix);
    format!(r#"{{"bucket":"my-bucket","prefix":{prefix},"payload":{payload}}}"#)
}

fn payloads() -> Vec<String> {
    let deep = 100_000;
    let mut payloads: Vec<String> = [
        r#"{"twice":1,"twice":2,"twice":1}"#,
        r#"{"":"","":null,"a":{"a":{"a":1}}}"#,
        r#""\u0000 \ud800 \udc00\ud800 \/ \u00e9 \u2028 \" \\ \b\f\n\r\t""#,
        "\"\u{2028} \u{2029} \u{85} \u{7f} \u{feff} \u{fffd} \u{10ffff} e\u{301} é 🦀\"",
        "[1e400,-1E-400,0.10,1.0,-0,-0.0e+0,12345678901234567890,0.1e1]",
        "{ \"spaces\" :  [ 1 ,\t2 ] }",
        r#""</script><!-- & --> ${jndi:ldap://x} ' OR 1=1 -- %00 ../..""#,
        r#"{"__proto__":{"a":1},"constructor":null}"#,
        "null",
        r#""""#,
        "-0",
    ]
    .map(str::to_owned)
    .into();
    payloads.push(["[".repeat(deep), "]".repeat(deep)].concat());
    payloads.push(["{\"a\":".repeat(deep), "1".to_owned(), "}".repeat(deep)].concat());
    payloads.push("1".repeat(500_000));
    payloads.push(format!("\"{}\"", "\\u0000".repeat(100_000)));
    payloads
}

fn prefixes() -> Vec<String> {
    let mut prefixes: Vec<String> = [
        "%2e%2e",
        "%2f",
        "a b+c",
        "...",
        "a/.../b",
        "a.",
        ".a",
        "~",
        "*",
        "?#&=;:@!$'(),",
        "\\..\\",
        "\"",
        "<>",
        "☃/é/e\u{301}",
        "\u{202e}gnp",
        " a ",
        "2026/11/22/10",
        "-",
        "{}",
    ]
    .map(str::to_owned)
    .into();
    prefixes.push("p".repeat(512));
    prefixes.push("☃".repeat(170));
    prefixes.push(["a"; 256].join("/"));
    prefixes
}

/// Requests that are put oddly.
fn framings(address: SocketAddr, odd: &mut Odd) {
    const SEND: &str = "/v1/send/s3";
    let body = |name: &str| event("framing", &Value::from(name).to_string());
    let chunked = |text: &str, extension: &str| {
        let chunk = |c: char| format!("1{extension}\r\n{c}\r\n");
        let chunks = text.chars().map(chunk).collect::<Vec<_>>().concat();
        let headers = "tRANSFER-eNCODING:   Chunked\r\n";
        post(SEND, headers, format!("{chunks}0000\r\nX-Trailer: 1\r\n\r\n"))
    };
    let mut members = Vec::new();
    for part in body("members").as_bytes().chunks(7) {
        let mut encoder = GzEncoder::new(&mut members, Compression::default());
        encoder.write_all(part).expect("memory takes it");
        encoder.finish().expect("memory takes it");
    }
    let old = String::from_utf8(post_whole(SEND, "", body("1.0"))).expect("it is text");
    let requests = [
        ("chunks", chunked(&body("chunks"), "")),
        ("extensions", chunked(&body("extensions"), ";a=b")),
        ("members", post_whole(SEND, "Content-Encoding: X-GZIP, identity\r\n", members)),
        ("1.0", old.replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()),
        ("whole", post_whole("http://minutelog/v1/send/s3", "", body("whole"))),
        ("mark", post_whole(SEND, "", ["\u{feff}", &body("mark"), " \r\n\t"].concat())),
        ("go", post_whole(SEND, "Expect: 100-continue\r\n", body("go"))),
    ];
    for (name, request) in requests {
        let mut stream = connect(address);
        stream.write_all(&request).expect("the service reads it");
        let answer = read_answer(&mut stream).unwrap_or_else(|| panic!("{name}: no answer"));
        let id = answer.first_id().unwrap_or_else(|| panic!("{name}: {}", answer.body));
        odd.note("framing", Value::from(name).to_string(), id);
    }
    let mut stream = connect(address);
    let names = ["first", "second", "third"];
    let requests = names.map(|name| post_whole(SEND, "", body(name))).concat();
    stream.write_all(&requests).expect("the service reads it");
    for name in names {
        let answer = read_answer(&mut stream).unwrap_or_else(|| panic!("{name}: no answer"));
        let id = answer.first_id().unwrap_or_else(|| panic!("{name}: {}", answer.body));
        odd.note("framing", Value::from(name).to_string(), id);
    }
}
