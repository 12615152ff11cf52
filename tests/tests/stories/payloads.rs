//! Payloads of every odd kind arrive byte by byte as they were sent, by every route.

use tests::{Objects, Setup, Site, encoded};

/// JSON texts without a line's end: they arrive exactly as they are.
const ODD: [&str; 24] = [
    "12345678901234567890",
    "-12345678901234567890123456789012345678901234567890",
    "1e400",
    "-1E-400",
    "0.10",
    "1.0",
    "-0",
    "-0.0e+0",
    "null",
    "true",
    r#""""#,
    "[]",
    "{}",
    r#"{"b":1,"a":{"z":2,"y":3}}"#,
    r#"{"twice":1,"twice":2}"#,
    r#"{ "spaces" :  [ 1 , 2 ] }"#,
    r#"{"line":"a\nb\r\n\u000a\u2028"}"#,
    "\"raw \u{2028} and \u{2029}, \u{85} and \u{7f}\"",
    "\"🦀 👩‍👩‍👧 é e\u{301} \u{feff}\"",
    r#""\u00e9 \/ \" \\ \b \f \t \ud83e\udd80 \u0000""#,
    r#""\ud800 alone""#,
    r#"{"":"","a.b/c[0]":"C:\\new"}"#,
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    r#""</script><!-- & -->""#,
];

/// JSON texts with line's ends between their tokens, and the one line that they become.
const PRETTY: [(&str, &str); 3] = [
    (
        "{\n  \"a\": 0.10,\r\n\t\"b\": [\n    \" x \\n y \",\n 1e400 ]\n}",
        r#"{"a":0.10,"b":[" x \n y ",1e400]}"#,
    ),
    ("\n\n 7 \r\n", "7"),
    ("[\"\\\"\\\\\",\n\"\u{2028}\"]", "[\"\\\"\\\\\",\"\u{2028}\"]"),
];

fn compressed(encoding: &str, body: &[u8]) -> Vec<u8> {
    use flate2::Compression;
    use flate2::read::{GzEncoder, ZlibEncoder};
    use std::io::Read as _;
    let mut bytes = Vec::new();
    match encoding {
        "gzip" => GzEncoder::new(body, Compression::default()).read_to_end(&mut bytes),
        "deflate" => ZlibEncoder::new(body, Compression::default()).read_to_end(&mut bytes),
        "zstd" => zstd::stream::copy_encode(body, &mut bytes, 0).map(|()| 0),
        other => panic!("{other} is no encoding"),
    }
    .unwrap();
    bytes
}

#[test]
fn payloads_arrive_byte_by_byte() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    let event = |prefix: &str, payload: &str| {
        format!("{{\"payload\":{payload},\"bucket\":\"my-bucket\",\n\"prefix\":\"{prefix}\"}}")
    };
    let array = |prefix: &str| format!("[{}]", ODD.map(|it| event(prefix, it)).join(" ,\n"));
    let ndjson = format!("\n\n{}\r\n \t \n\n", ODD.join("\r\n\n"));
    client.post_send(array("send")).ids();
    client.post_bulk("my-bucket?prefix=ndjson", "application/x-ndjson", ndjson.clone()).json();
    for encoding in ["gzip", "deflate", "zstd"] {
        let body = compressed(encoding, array(&format!("send-{encoding}")).as_bytes());
        client.post("/v1/send/s3", Some("application/json"), Some(encoding), body).ids();
        let path = format!("/v1/s3/my-bucket?prefix=ndjson-{encoding}");
        let body = compressed(encoding, ndjson.as_bytes());
        let answer = client.post(&path, Some("application/x-ndjson"), Some(encoding), body);
        assert_eq!(answer.json()["accepted"], ODD.len(), "{encoding}");
    }
    for (payload, _) in PRETTY {
        client.post_send(event("pretty-send", payload)).ids();
        let answer = client.post_bulk("my-bucket?prefix=pretty", "application/json", payload);
        assert_eq!(answer.json()["accepted"], 1);
    }
    for payload in ODD {
        client.post_bulk("my-bucket?prefix=json", "application/json", payload).json();
    }
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);

    let objects = Objects::read(&site.s3);
    objects.assert_one_per_minute();
    for prefix in ["send", "send-gzip", "send-deflate", "send-zstd", "json"] {
        assert_eq!(objects.lines("my-bucket", prefix), ODD, "{prefix}");
    }
    for prefix in ["ndjson", "ndjson-gzip", "ndjson-deflate", "ndjson-zstd"] {
        assert_eq!(objects.lines("my-bucket", prefix), ODD, "{prefix}");
    }
    for prefix in ["pretty", "pretty-send"] {
        let expected = PRETTY.map(|(_, line)| line);
        assert_eq!(objects.lines("my-bucket", prefix), expected, "{prefix}");
    }
}

#[test]
fn texts_are_lines_as_they_are() {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    let client = ingest.client();
    let text =
        "a\n\n  b \r\n{\"no json\n\u{feff}\u{2028}\u{0}\u{1b}[1m\u{85}\n\tlast, without an end";
    let to = format!("my-bucket?prefix=text&event={}", encoded("named ☃"));
    let answer = client.post_bulk(&to, "text/plain; charset=utf-8", text).json();
    assert_eq!(answer["accepted"], 6);
    let first = answer["first"].as_str().unwrap();
    assert!(first < answer["last"].as_str().unwrap());
    assert_eq!(site.event(&client, first)["event"], "named ☃");
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);
    let objects = Objects::read(&site.s3);
    assert_eq!(objects.lines("my-bucket", "text"), text.split('\n').collect::<Vec<_>>());
}
