//! Whole requests whose bodies are bombs, floods, no JSON, or address what nobody may address.

use std::io::{Read as _, Write as _, repeat};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::raw::{Attack, Expect, post_whole};

const SEND: &str = "/v1/send/s3";
const MIB: usize = 1024 * 1024;

pub(super) fn attacks() -> Vec<Attack> {
    let mut attacks = bombs();
    attacks.extend(floods());
    attacks.extend(texts());
    attacks.extend(destinations());
    attacks.extend(queries());
    attacks
}

fn send(
    name: &str,
    headers: &str,
    body: impl AsRef<[u8]>,
    status: u16,
    slug: &'static str,
) -> Attack {
    let bytes = post_whole(SEND, headers, body);
    Attack::new(name, bytes, Expect::Problem(status, slug))
}

/// 256 MiB of zeros, and what holds them.
fn bombs() -> Vec<Attack> {
    fn zeros<W: std::io::Write>(mut to: W) -> W {
        std::io::copy(&mut repeat(0).take(256 << 20), &mut to).expect("memory takes it");
        to
    }
    let written = "memory takes it";
    let best = Compression::best();
    let gzip = zeros(GzEncoder::new(Vec::new(), best)).finish().expect(written);
    let zlib = zeros(ZlibEncoder::new(Vec::new(), best)).finish().expect(written);
    let deflate = zeros(DeflateEncoder::new(Vec::new(), best)).finish().expect(written);
    let zstd = zeros(zstd::Encoder::new(Vec::new(), 3).expect(written)).finish().expect(written);
    let mut nested = GzEncoder::new(Vec::new(), best);
    nested.write_all(&gzip).expect(written);
    let nested = nested.finish().expect(written);
    let too_large = (413, "request-too-large");
    let broken = (400, "broken-body");
    let cut = &gzip[..gzip.len() / 65536];
    let members = GzEncoder::new(Vec::new(), best).finish().expect(written).repeat(100_000);
    let mut wide = Vec::new();
    let mut encoder = zstd::Encoder::new(&mut wide, 1).expect(written);
    encoder.window_log(27).expect(written);
    encoder.long_distance_matching(true).expect(written);
    std::io::copy(&mut repeat(0).take(200 << 20), &mut encoder).expect(written);
    encoder.finish().expect(written);
    [
        ("a bomb of gzip", "gzip", gzip.as_slice(), too_large),
        ("a bomb of zlib", "deflate", &zlib, too_large),
        ("a bomb of deflate", "deflate", &deflate, too_large),
        ("a bomb of zstd", "zstd", &zstd, too_large),
        ("a bomb in a bomb", "gzip", &nested, (400, "not-utf-8")),
        ("a bomb compressed twice", "gzip, gzip", &nested, (415, "unsupported-encoding")),
        ("a coding that is not known", "br", b"\x8b", (415, "unsupported-encoding")),
        ("gzip that is cut", "gzip", cut, broken),
        ("gzip of nothing a hundred thousand times", "gzip", &members, (400, "not-json")),
        ("gzip that is none", "gzip", b"{}", broken),
        ("zstd with a window of 128 MiB", "zstd", &wide, broken),
    ]
    .map(|(name, encoding, body, (status, slug))| {
        send(name, &format!("Content-Encoding: {encoding}\r\n"), body, status, slug)
    })
    .into()
}

/// As much of one thing as fits.
fn floods() -> Vec<Attack> {
    let bulk = "/v1/s3/my-bucket?prefix=p";
    let ndjson = "Content-Type: application/x-ndjson\r\n";
    let event =
        |payload: &str| format!(r#"{{"bucket":"my-bucket","prefix":"p","payload":{payload}}}"#);
    let not_json = (400, "not-json");
    let mut attacks: Vec<Attack> = [
        ("16 MiB of [", "[".repeat(16 * MIB), (400, "invalid-request")),
        ("16 MiB of {\"a\":", "{\"a\":".repeat(16 * MIB / 5), (400, "invalid-request")),
        ("a payload of 15 MiB of [", event(&"[".repeat(15 * MIB)), not_json),
        (
            "a payload of 12 MiB of [ and ]",
            event(&["[".repeat(6 * MIB), "]".repeat(6 * MIB)].concat()),
            (413, "event-too-large"),
        ),
        ("one byte over 16 MiB", " ".repeat(16 * MIB + 1), (413, "request-too-large")),
        ("16 MiB of white space", " ".repeat(16 * MIB), not_json),
        ("a text of 15 MiB", format!("\"{}\"", "a".repeat(15 * MIB)), (400, "invalid-request")),
        (
            "a text of 15 MiB in a list",
            format!("[\"{}\"]", "a".repeat(15 * MIB)),
            (400, "invalid-request"),
        ),
        (
            "a bucket of 15 MiB",
            event("1").replace("my-bucket", &"b".repeat(15 * MIB)),
            (422, "invalid-bucket"),
        ),
        (
            "a field of 15 MiB",
            event("1").replace("payload", &"f".repeat(15 * MIB)),
            (400, "invalid-request"),
        ),
        ("a number of 2 MiB", event(&"9".repeat(2 * MIB)), (413, "event-too-large")),
        (
            "escapes of 15 MiB",
            format!("[\"{}\"]", "\\u0041".repeat(15 * MIB / 6)),
            (400, "invalid-request"),
        ),
    ]
    .into_iter()
    .map(|(name, body, (status, slug))| send(name, "", body, status, slug))
    .collect();
    let blank = post_whole(bulk, ndjson, "\n".repeat(16 * MIB));
    attacks.push(Attack::new("16 MiB of blank lines", blank, Expect::Problem(400, "no-events")));
    attacks
}

/// Texts that are no JSON, or JSON of another form.
fn texts() -> Vec<Attack> {
    let event = r#"{"bucket":"my-bucket","prefix":"p","payload":"smuggled"}"#;
    let with = |from: &str, to: &str| event.replace(from, to).into_bytes();
    let not_json = (400, "not-json");
    let form = (400, "invalid-request");
    [
        ("a NUL", with("smuggled", "smug\0gled"), not_json),
        ("a NUL behind it", [event.as_bytes(), b"\0"].concat(), not_json),
        ("a line feed in a text", with("smuggled", "smug\ngled"), not_json),
        ("half an escape", with("smuggled", "\\ud8"), not_json),
        ("an unknown escape", with("smuggled", "\\x41"), not_json),
        ("two events without a comma", [event, event].concat().into_bytes(), not_json),
        ("a comma too many", format!("[{event},]").into_bytes(), not_json),
        ("NaN", with("\"smuggled\"", "NaN"), not_json),
        ("invalid UTF-8", [&b"\xff"[..], event.as_bytes()].concat(), (400, "not-utf-8")),
        (
            "overlong UTF-8",
            [&event.as_bytes()[..20], b"\xc0\xaf", &event.as_bytes()[20..]].concat(),
            (400, "not-utf-8"),
        ),
        (
            "a surrogate in UTF-8",
            [&event.as_bytes()[..50], b"\xed\xa0\x80", &event.as_bytes()[50..]].concat(),
            (400, "not-utf-8"),
        ),
        ("UTF-16", event.encode_utf16().flat_map(u16::to_le_bytes).collect(), not_json),
        ("the bucket twice", with("{", "{\"bucket\":\"other-bucket\","), form),
        ("the payload twice", with("}", ",\"payload\":2}"), form),
        ("the prefix twice, once in escapes", with("}", ",\"\\u0070refix\":\"q\"}"), form),
        ("__proto__", with("}", ",\"__proto__\":{}}"), form),
        ("a bucket that is an object", with("\"my-bucket\"", "{}"), (422, "invalid-bucket")),
        (
            "a lone surrogate in the bucket",
            with("my-bucket", "my-\\ud800bucket"),
            (422, "invalid-bucket"),
        ),
        ("a lone surrogate in the prefix", with("\"p\"", "\"\\udc00\""), (422, "invalid-prefix")),
        (
            "a lone surrogate in the name",
            with("}", ",\"event\":\"\\ud800\"}"),
            (422, "invalid-event-name"),
        ),
        ("a NUL in the name", with("}", ",\"event\":\"a\\u0000\"}"), (422, "invalid-event-name")),
        (
            "one bad event among a thousand",
            format!("[{}1]", format!("{event},").repeat(1000)).into_bytes(),
            form,
        ),
        ("no list", b"[[]]".to_vec(), form),
    ]
    .into_iter()
    .map(|(name, body, (status, slug))| send(name, "", body, status, slug))
    .collect()
}

fn destinations() -> Vec<Attack> {
    let long = "p".repeat(513);
    let wide = "☃".repeat(171);
    let prefixes = [
        "..",
        ".",
        "../",
        "a/../b",
        "a/./b",
        "a//b",
        "/a",
        "//",
        "a/..",
        "\\u002e\\u002e/a",
        "a\\u002f..",
        "a\\u0000b",
        "a\\nb",
        "a\\u007fb",
        "a\\u0085b",
        &long,
        &wide,
    ];
    let mut attacks: Vec<Attack> = prefixes
        .iter()
        .map(|prefix| {
            let body =
                format!(r#"{{"bucket":"my-bucket","prefix":"{prefix}","payload":"smuggled"}}"#);
            send(&format!("prefix {prefix}"), "", body, 422, "invalid-prefix")
        })
        .collect();
    for bucket in [
        "..",
        "",
        "my-bucket/../other",
        "My-Bucket",
        "my_bucket",
        "10.0.0.1",
        "xn--a",
        "my-bucket\\u0000",
        "b\\u00fccket",
    ] {
        let body = format!(r#"{{"bucket":"{bucket}","prefix":"p","payload":"smuggled"}}"#);
        attacks.push(send(&format!("bucket {bucket}"), "", body, 422, "invalid-bucket"));
    }
    attacks
}

fn queries() -> Vec<Attack> {
    let (prefix, query) = ((422, "invalid-prefix"), (400, "invalid-query"));
    let long = format!("prefix={}", "p".repeat(513));
    [
        ("prefix=..%2f..%2fa", prefix),
        ("prefix=a%2f%2e%2e%2fb", prefix),
        ("prefix=%2fa", prefix),
        ("prefix=a%0ab", prefix),
        ("prefix=a%00", prefix),
        (&long, prefix),
        ("prefix=%c0%af", query),
        ("prefix=%ed%a0%80", query),
        ("prefix=%", query),
        ("prefix=%2", query),
        ("prefix=%zz", query),
        ("prefix=%u002e", query),
        ("prefix=a&prefix=b", query),
        ("prefix=a&%70refix=b", query),
        ("PREFIX=a", query),
        ("prefix[]=a", query),
        ("prefix=a;event=b", (415, "unsupported-media-type")),
        ("event=", (422, "invalid-event-name")),
        ("event=%00", (422, "invalid-event-name")),
    ]
    .into_iter()
    .map(|(query, (status, slug))| {
        let headers = if slug == "unsupported-media-type" {
            "Content-Type: text/html\r\n"
        } else {
            "Content-Type: text/plain\r\n"
        };
        let bytes = post_whole(&format!("/v1/s3/my-bucket?{query}"), headers, "smuggled");
        Attack::new(format!("query {query}"), bytes, Expect::Problem(status, slug))
    })
    .collect()
}
