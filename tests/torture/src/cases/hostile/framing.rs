//! Requests that are none, that are two, and that never end.

use super::raw::{Attack, Expect, post, post_whole};

const SEND: &str = "/v1/send/s3";

/// An event that must never be delivered.
const SMUGGLED: &str = r#"{"bucket":"my-bucket","prefix":"p","payload":"smuggled"}"#;

/// A whole request of it.
fn smuggled() -> Vec<u8> {
    post_whole(SEND, "", SMUGGLED)
}

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = lengths();
    attacks.extend(chunks());
    attacks.extend(heads());
    attacks.extend(http2());
    attacks.extend(aborted());
    attacks
}

/// Two lengths, no length, wrong lengths.
fn lengths() -> Vec<Attack> {
    use Expect::{NoRequest, Problem};
    let both = |headers: &str| {
        // Whoever goes by the chunks sees an empty body, and the rest is not looked at.
        post(SEND, headers, [&b"0\r\n\r\n"[..], &smuggled()].concat())
    };
    let with = |headers: &str| post(SEND, headers, SMUGGLED);
    let length = SMUGGLED.len();
    let then = |more: &[u8]| [&post_whole(SEND, "", "{")[..], more].concat();
    vec![
        Attack::new(
            "length, then chunks",
            both("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            Problem(400, "not-json"),
        ),
        Attack::new(
            "chunks, then length",
            both("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            Problem(400, "not-json"),
        ),
        Attack::new(
            "two lengths",
            with(&format!("Content-Length: {length}\r\nContent-Length: 3\r\n")),
            NoRequest,
        ),
        Attack::new(
            "a list of lengths",
            with(&format!("Content-Length: {length}, 3\r\n")),
            NoRequest,
        ),
        Attack::new("a length below zero", with("Content-Length: -1\r\n"), NoRequest),
        Attack::new(
            "a length with a sign",
            with(&format!("Content-Length: +{length}\r\n")),
            NoRequest,
        ),
        Attack::new("a length in hex", with("Content-Length: 0x38\r\n"), NoRequest),
        Attack::new(
            "a length over 64 bits",
            with("Content-Length: 99999999999999999999999\r\n"),
            NoRequest,
        ),
        Attack::new(
            "a length of nearly 64 bits",
            with("Content-Length: 18446744073709551613\r\n"),
            Problem(413, "request-too-large"),
        ),
        Attack::new(
            "an announced terabyte",
            with("Content-Length: 1099511627776\r\n"),
            Problem(413, "request-too-large"),
        ),
        Attack::new(
            "a space before the colon",
            with(&format!("Content-Length : {length}\r\n")),
            NoRequest,
        ),
        Attack::new(
            "an unknown transfer coding",
            with("Transfer-Encoding: xchunked\r\n"),
            NoRequest,
        ),
        Attack::new(
            "chunked is not the last coding",
            with("Transfer-Encoding: chunked, identity\r\n"),
            NoRequest,
        ),
        Attack::new(
            "chunks in HTTP/1.0",
            String::from_utf8(with("Transfer-Encoding: chunked\r\n"))
                .expect("it is text")
                .replacen("HTTP/1.1", "HTTP/1.0", 1),
            NoRequest,
        ),
        Attack::new(
            "a body cut short by its length",
            post(SEND, "Content-Length: 10\r\n", SMUGGLED),
            Problem(400, "not-json"),
        ),
        Attack::new("no length at all", post(SEND, "", SMUGGLED), Problem(400, "not-json")),
        Attack::new("garbage behind a request", then(b"\0\0\0\r\n\r\n"), Problem(400, "not-json")),
        Attack::new(
            "a body that never comes",
            post(SEND, "Content-Length: 5\r\n", ""),
            Problem(408, "slow-body"),
        ),
    ]
}

fn chunks() -> Vec<Attack> {
    let broken = [
        ("a chunk size that is no number", "zz\r\n".to_owned()),
        ("a chunk size below zero", format!("-1\r\n{SMUGGLED}\r\n0\r\n\r\n")),
        ("an empty chunk size", format!("\r\n{SMUGGLED}\r\n0\r\n\r\n")),
        ("a chunk size over 64 bits", format!("fffffffffffffffff\r\n{SMUGGLED}\r\n0\r\n\r\n")),
        ("a chunk size with a line feed alone", format!("38\n{SMUGGLED}\n0\n\n")),
        ("a chunk that is longer than its size", format!("5\r\n{SMUGGLED}\r\n0\r\n\r\n")),
        (
            "an endless chunk extension",
            format!("38;{}\r\n{SMUGGLED}\r\n0\r\n\r\n", "x".repeat(100_000)),
        ),
        (
            "a flood of trailers",
            format!("38\r\n{SMUGGLED}\r\n0\r\n{}\r\n", "X-A: 1\r\n".repeat(20_000)),
        ),
    ];
    let attack = |(name, body): (&str, String)| {
        let bytes = post(SEND, "Transfer-Encoding: chunked\r\n", body);
        Attack::new(name, bytes, Expect::Problem(400, "broken-body"))
    };
    let mut attacks: Vec<_> = broken.into_iter().map(attack).collect();
    let short = format!("100\r\n{SMUGGLED}\r\n0\r\n\r\n");
    let short = post(SEND, "Transfer-Encoding: chunked\r\n", short);
    attacks.push(Attack::new("a chunk that is shorter", short, Expect::Problem(408, "slow-body")));
    attacks
}

/// Heads that are none, and heads of requests that no route takes.
fn heads() -> Vec<Attack> {
    use Expect::{NoRequest, Problem};
    let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: minutelog\r\n\r\n");
    let with = |headers: &str| post_whole(SEND, headers, SMUGGLED);
    let mut attacks = vec![
        Attack::new("a folded header", with("X-A: 1\r\n 2\r\n"), NoRequest),
        Attack::new("a NUL in a header", with("X-A: 1\0\r\n"), NoRequest),
        Attack::new("a bare CR in a header", with("X-A: 1\r2\r\n"), NoRequest),
        Attack::new("a header without a colon", with("X-A\r\n"), NoRequest),
        Attack::new("a header without a name", with(": 1\r\n"), NoRequest),
        Attack::new("a flood of headers", with(&"X-A: 1\r\n".repeat(5000)), NoRequest),
        Attack::new(
            "a header of 1 MiB",
            with(&format!("X-A: {}\r\n", "a".repeat(1 << 20))),
            NoRequest,
        ),
        Attack::new(
            "a path of 100 KB",
            request(&format!("POST /{}", "a".repeat(100_000))),
            NoRequest,
        ),
        Attack::new(
            "noise",
            (0..=255).cycle().skip(128).take(4096).collect::<Vec<u8>>(),
            NoRequest,
        ),
        Attack::new(
            "a hello of TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(40),
            NoRequest,
        ),
        Attack::new("no version", "GET /\r\n\r\n", NoRequest),
        Attack::new("version 9.9", "GET / HTTP/9.9\r\n\r\n", NoRequest),
        Attack::new("a space in the path", request("GET /a b"), NoRequest),
        Attack::new("no path", request("POST"), NoRequest),
        Attack::new(
            "another method",
            request("GET /v1/send/s3"),
            Problem(405, "method-not-allowed"),
        ),
        Attack::new(
            "a method of its own",
            request("EVIL /v1/send/s3"),
            Problem(405, "method-not-allowed"),
        ),
        Attack::new("TRACE", request("TRACE /nothing"), Problem(404, "not-found")),
        // The route of Firehose's clients.
        Attack::new("TRACE of a route", request("TRACE /"), Problem(405, "method-not-allowed")),
        Attack::new("a star", request("OPTIONS *"), Problem(404, "not-found")),
        Attack::new(
            "a path out of the root",
            request("POST /v1/s3/../../etc/passwd"),
            Problem(404, "not-found"),
        ),
        Attack::new("slashes", request("POST //v1//send//s3"), Problem(404, "not-found")),
        Attack::new(
            "an id out of the root",
            request("GET /v1/events/..%2f..%2fetc%2fpasswd"),
            Problem(404, "not-found"),
        ),
        Attack::new(
            "an id that is no text",
            request("GET /v1/events/%c0%ae%c0%ae"),
            Problem(404, "not-found"),
        ),
    ];
    let paths = [
        "..%2f..%2fetc",
        "%2e%2e",
        "my-bucket%2f..",
        "my-bucket%2fp",
        "%252e%252e%252f",
        "%c0%ae%c0%ae%c0%af",
        "my-bucket%00",
        "my-bucket%0d%0a",
        "MY-BUCKET",
        "127.0.0.1",
        "%20my-bucket",
        "my-bucket;a=b",
        "%ff%fe",
    ];
    for path in paths {
        let bytes =
            post_whole(&format!("/v1/s3/{path}"), "Content-Type: text/plain\r\n", "smuggled");
        attacks.push(Attack::new(format!("bucket {path}"), bytes, Problem(422, "invalid-bucket")));
    }
    attacks
}

/// HTTP/2 (RFC 9113) that goes wrong after its beginning.
fn http2() -> Vec<Attack> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    let frame = |kind: u8, flags: u8, stream: u32, body: &[u8]| {
        let length = u32::try_from(body.len()).expect("a frame is short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
    };
    // `POST http:/v1/send/s3` in HPACK (RFC 7541), nothing indexed.
    let mut head = vec![0x83, 0x86, 0x04, u8::try_from(SEND.len()).expect("it is short")];
    head.extend(SEND.as_bytes());
    let start = [PREFACE, SETTINGS].concat();
    let mut resets = start.clone();
    for stream in (1..20_000).step_by(2) {
        resets.extend(frame(1, 4, stream, &head));
        resets.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut endless = [&start[..], &frame(1, 0, 1, &head)].concat();
    for _ in 0..20_000 {
        endless.extend(frame(9, 0, 1, b"\x00\x01a\x01b"));
    }
    let settings = [&start[..], &SETTINGS.repeat(50_000)].concat();
    let pings = [&start[..], &frame(6, 0, 0, &[0; 8]).repeat(50_000)].concat();
    let huge = [&start[..], &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], &[0; 1000]].concat();
    [
        ("HTTP/2, then noise", [PREFACE, &[0xee; 500]].concat()),
        ("half a preface, then HTTP/1", [&PREFACE[..16], &smuggled()].concat()),
        ("HTTP/2, then HTTP/1", [&start[..], &smuggled()].concat()),
        ("HTTP/2: streams reset at once", resets),
        ("HTTP/2: headers without an end", endless),
        ("HTTP/2: a flood of settings", settings),
        ("HTTP/2: a flood of pings", pings),
        ("HTTP/2: a frame of 16 MiB", huge),
        ("HTTP/2: headers that don't decode", [&start[..], &frame(1, 5, 1, &[0xff; 40])].concat()),
    ]
    .into_iter()
    .map(|(name, bytes)| Attack::new(name, bytes, Expect::Cut))
    .collect()
}

/// Connections that end in the middle. An answer that nobody has read makes the end a reset.
fn aborted() -> Vec<Attack> {
    let unread = b"GET /nowhere HTTP/1.1\r\nHost: minutelog\r\n\r\n";
    let request = smuggled();
    let parts = (1..request.len()).step_by(11).map(|end| {
        let bytes = [&unread[..], &request[..end]].concat();
        Attack::new(format!("gone after {end} bytes"), bytes, Expect::Gone)
    });
    parts.collect()
}
