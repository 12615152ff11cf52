//! `admin verify --objects`: what stands in S3 is what the receipts say, or it is told what is not.

use serde_json::Value;
use tests::{Fault, Objects, Output, Rule, Setup, Site};

const BAD_DATA: i32 = 65;
const UNAVAILABLE: i32 = 69;
const TRY_AGAIN: i32 = 75;

/// Two destinations with an object each; their keys.
fn delivered() -> (Site, String, String) {
    let site = Site::with(&Setup::long_minute());
    let ingest = site.ingest();
    for number in 0..50 {
        for prefix in ["a", "b"] {
            ingest.client().send("my-bucket", prefix, &format!("{{\"n\":{number}}}"));
        }
    }
    ingest.client().send("my-bucket", "b", "\"one more\"");
    assert_eq!(ingest.terminate(), Some(0));
    site.flush_once().exits(0);
    let objects = Objects::read(&site.s3);
    let key = |prefix| objects.of("my-bucket", prefix)[0].key.clone();
    let (a, b) = (key("a"), key("b"));
    (site, a, b)
}

fn verify(site: &Site, more: &[&str]) -> Output {
    site.admin(&[&["verify", "--objects"], more].concat())
}

/// The state of one object, and what is said of it.
#[track_caller]
fn became(document: &Value, key: &str) -> (String, String) {
    let rows = document["objects"].as_array().unwrap();
    let row = rows.iter().find(|row| row["key"] == key).unwrap();
    (row["state"].as_str().unwrap().to_owned(), row["detail"].as_str().unwrap_or("").to_owned())
}

#[test]
fn what_stands_there_is_what_was_delivered() {
    let (site, a, b) = delivered();
    let document = verify(&site, &[]).exits(0).json();
    for key in [&a, &b] {
        assert_eq!(became(&document, key), ("same".to_owned(), String::new()));
    }
    assert_eq!(document["checked"]["same"], 2, "{document}");
    assert_eq!(document["checked"]["events"], 101, "{document}");
    let people = site.run(&["admin", "verify", "--objects"]);
    assert!(people.exits(0).stdout.contains("All is as it was delivered: 2 objects"));
    for (narrowed, objects) in [
        (&["--prefix", "a"][..], 1),
        (&["--bucket", "other-bucket"], 0),
        (&["--since", "1h"], 2),
        (&["--since", "2099-01-01T00:00:00Z"], 0),
        (&["2020-01-01T00:00Z"], 0),
    ] {
        let document = verify(&site, narrowed).exits(0).json();
        assert_eq!(document["checked"]["objects"], objects, "{narrowed:?}: {document}");
    }
    // The same bytes written again are the same bytes.
    site.s3.set_etag("my-bucket", &a, "another");
    let (state, detail) = became(&verify(&site, &[]).exits(0).json(), &a);
    assert!(state == "same" && detail.contains("ETag"), "{state}: {detail}");
}

#[test]
fn an_object_that_was_tampered_with_is_named() {
    type Tamper = fn(&Site, &str, &str);
    let cases: [(&str, &str, Tamper); 8] = [
        ("differs", "CRC-32", |site, a, _| {
            site.s3.change_bytes("my-bucket", a, |bytes| *bytes.last_mut().unwrap() ^= 1);
        }),
        ("differs", "not whole gzip", |site, a, _| {
            site.s3.change_bytes("my-bucket", a, |bytes| bytes[20] ^= 0x55);
        }),
        ("differs", "bytes, not", |site, a, _| {
            site.s3.change_bytes("my-bucket", a, |bytes| bytes.truncate(30));
        }),
        ("differs", "bytes, not", |site, a, _| {
            site.s3.change_bytes("my-bucket", a, |bytes| bytes.push(0));
        }),
        ("differs", "bytes, not", |site, a, _| {
            site.s3.change_bytes("my-bucket", a, Vec::clear);
        }),
        ("differs", "minutelog-blake3", |site, a, b| site.s3.swap("my-bucket", a, b)),
        ("differs", "minutelog-events is \"7\"", |site, a, _| {
            site.s3.set_metadata("my-bucket", a, "minutelog-events", "7");
        }),
        ("missing", "nothing stands", |site, a, _| site.s3.remove("my-bucket", a)),
    ];
    for (state, what, tamper) in cases {
        let (site, a, b) = delivered();
        tamper(&site, &a, &b);
        let output = verify(&site, &[]);
        let (found, detail) = became(&output.exits(BAD_DATA).json(), &a);
        assert!(found == state && detail.contains(what), "{what}: {found}: {detail}");
        if what != "minutelog-blake3" {
            assert_eq!(became(&output.json(), &b).0, "same");
        }
        let people = site.run(&["admin", "verify", "--objects"]);
        assert!(people.exits(BAD_DATA).stdout.contains(&a), "{}", people.stdout);
    }
}

#[test]
fn what_cannot_be_read_is_not_known() {
    let (site, a, _) = delivered();
    site.s3.refuse("GetObject", "AccessDenied");
    let denied = verify(&site, &[]);
    let (state, detail) = became(&denied.exits(UNAVAILABLE).json(), &a);
    assert!(state == "unknown" && detail.contains("s3:GetObject"), "{state}: {detail}");
    assert!(denied.stderr.contains("s3:GetObject"), "{}", denied.stderr);

    // What a person must mend is not answered with: run it again.
    for (name, value) in [("AWS_ACCESS_KEY_ID", "AKIDOFNOBODY"), ("AWS_SECRET_ACCESS_KEY", "")] {
        let mut command = site.command(&["admin", "verify", "--objects", "--json"]);
        let unknown = tests::run(command.env(name, value));
        let (state, detail) = became(&unknown.exits(UNAVAILABLE).json(), &a);
        assert!(state == "unknown" && detail.contains("credentials"), "{name}: {state}: {detail}");
    }

    site.s3.refuse("GetObject", "SlowDown");
    let busy = verify(&site, &[]).exits(TRY_AGAIN).json();
    assert_eq!(busy["checked"]["unknown"], 2, "{busy}");
    site.s3.allow("GetObject");

    // Trouble that passes is nobody's business.
    site.s3.add(Rule::new(Fault::Drop).times(2));
    verify(&site, &[]).exits(0);
    let nobody = Rule::new(Fault::Drop);
    let nobody = site.s3.add(nobody);
    verify(&site, &[]).exits(TRY_AGAIN);
    site.s3.mend(nobody);
    // One that differs is worse than one that is not known.
    site.s3.refuse("GetObject", "NoSuchKey");
    verify(&site, &[]).exits(BAD_DATA);
}

#[test]
fn a_bucket_that_does_not_exist_is_told_as_one() {
    let (site, a, b) = delivered();
    site.s3.refuse("GetObject", "NoSuchBucket");
    let output = verify(&site, &[]);
    let document = output.exits(BAD_DATA).json();
    for key in [&a, &b] {
        let (state, detail) = became(&document, key);
        assert!(state == "unknown" && detail.contains("no such bucket"), "{state}: {detail}");
    }
    let checked = &document["checked"];
    let counts = ["missing", "unknown", "no_bucket"].map(|count| checked[count].as_u64());
    assert_eq!(counts, [Some(0), Some(2), Some(2)], "{checked}");
    let what = "2 receipts could not be checked: bucket my-bucket does not exist";
    assert!(output.stderr.contains(what), "{}", output.stderr);

    // People are told of it once, not once an object.
    let people = site.run(&["admin", "verify", "--objects"]);
    let stdout = &people.exits(BAD_DATA).stdout;
    assert!(stdout.contains("does not exist: 2 receipts could not be checked"), "{stdout}");
    assert!(!stdout.contains(&a) && !stdout.contains(&b), "{stdout}");
    assert!(stdout.contains("s3://my-bucket\n"), "what is said stands under it: {stdout}");
}
