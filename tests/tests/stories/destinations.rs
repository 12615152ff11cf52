//! Buckets and prefixes: every valid form arrives where it says, every other one is refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Object, Objects, Setup, Site, encoded};

/// One request with one event for each destination, so that all are of one minute.
fn send_to_each(site: &Site, destinations: &[(&str, &str)]) -> Vec<String> {
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let event = |(number, (bucket, prefix)): (usize, &(&str, &str))| json!({"bucket": bucket, "prefix": prefix, "payload": number});
    let body: Vec<Value> = destinations.iter().enumerate().map(event).collect();
    let ids = ingest.client().post_send(Value::from(body).to_string()).ids();
    assert_eq!(ingest.terminate(), Some(0));
    site.wait_until_drained();
    ids
}

#[test]
fn every_valid_form_of_a_prefix_arrives() {
    let buckets = vec!["my-bucket", "a.b-c.9", "b23"];
    let site = Site::with(&Setup { buckets, ..Setup::default() });
    let long = format!("{}/{}", "ü".repeat(125), "x".repeat(512 - 251));
    assert_eq!(long.len(), 512);
    let prefixes = [
        "",
        "a",
        "nested/b/c",
        "with space/x  y ",
        "ünïcødé/日本/☃/🦀",
        "a+b&c=d?e#f%20%2F;:@!$'()*,[]\"<>\\^`{|}~",
        "..hidden/...",
        "-",
        &long,
    ];
    let mut destinations: Vec<(&str, &str)> = prefixes.map(|prefix| ("my-bucket", prefix)).into();
    // The same ones with a slash at their end are the same destinations.
    let with_slash = prefixes.map(|prefix| format!("{prefix}/"));
    destinations.extend(with_slash[1..8].iter().map(|prefix| ("my-bucket", prefix.as_str())));
    destinations.extend([("a.b-c.9", "a"), ("b23", "a/")]);
    send_to_each(&site, &destinations);

    let objects = Objects::read(&site.s3);
    assert_eq!(objects.0.len(), prefixes.len() + 2);
    for (bucket, prefix) in &destinations {
        let sent_there = |(_, (b, p)): &(usize, &(&str, &str))| {
            b == bucket && p.trim_end_matches('/') == prefix.trim_end_matches('/')
        };
        let expected = destinations.iter().enumerate().filter(sent_there);
        let expected: Vec<String> = expected.map(|(number, _)| number.to_string()).collect();
        let found = objects.of(bucket, prefix);
        assert_eq!(found.len(), 1, "{bucket} {prefix:?}");
        assert_eq!(found[0].lines, expected, "{bucket} {prefix:?}");
    }
}

#[test]
fn an_event_for_two_destinations_is_one_row_with_two_deliveries() {
    let site = Site::with(&Setup { buckets: vec!["my-bucket", "b23"], ..Setup::default() });
    let (ingest, _flusher) = (site.ingest(), site.flusher());
    let client = ingest.client();
    let to = |bucket: &str| json!({"bucket": bucket, "payload": 1, "event": "order ☃ 17"});
    let ids = client.post_send(json!([to("my-bucket"), to("b23")]).to_string()).ids();
    site.wait_until_drained();
    for wanted in [ids[0].as_str(), "order ☃ 17"] {
        let document = site.event(&client, wanted);
        assert_eq!(document["event"], "order ☃ 17");
        assert_eq!(document["dest"], json!({"delivered": 2, "total": 2}));
        let buckets = document["deliveries"].as_array().unwrap().iter().map(|it| &it["bucket"]);
        assert_eq!(buckets.collect::<Vec<_>>(), ["my-bucket", "b23"]);
    }
}

#[test]
fn the_same_events_never_meet_in_one_key() {
    // On two machines, and twice on each of them.
    let sites = [(); 2].map(|()| Site::with(&Setup::long_minute()));
    let mut identifiers = BTreeSet::new();
    for site in &sites {
        for _ in 0..2 {
            let ingest = site.ingest();
            ingest.client().send("my-bucket", "p", "1");
            assert_eq!(ingest.terminate(), Some(0));
            site.flush_once().exits(0);
        }
        let objects = Objects::read(&site.s3);
        let identifier = |object: &Object| object.key.rsplit_once('-').unwrap().1.to_owned();
        identifiers.extend(objects.0.iter().map(identifier));
    }
    assert_eq!(identifiers.len(), 4, "{identifiers:?}");
}

#[test]
fn what_is_no_bucket_or_prefix_is_refused() {
    let site = Site::new();
    let ingest = site.ingest();
    let client = ingest.client();
    let long = "x".repeat(513);
    for prefix in ["/", "/a", "a//b", "a//", ".", "..", "a/./b", "a/..", "a\n", "\u{7f}", &long] {
        let body = json!({"bucket": "my-bucket", "prefix": prefix, "payload": 1});
        let problem = client.post_send(body.to_string()).problem(422, "invalid-prefix");
        assert_eq!(problem["field"], "prefix", "{prefix:?}");
        let to = format!("my-bucket?prefix={}", encoded(prefix));
        client.post_bulk(&to, "text/plain", "x").problem(422, "invalid-prefix");
    }
    let long = "b".repeat(64);
    for bucket in
        ["", "ab", "My-bucket", "my_bucket", "-ab", "ab-", "a..b", "192.168.0.1", "xn--abc", &long]
    {
        let body = json!([{"bucket": "my-bucket", "payload": 1}, {"bucket": bucket, "payload": 1}]);
        let problem = client.post_send(body.to_string()).problem(422, "invalid-bucket");
        assert_eq!(problem["field"], "[1].bucket", "{bucket:?}");
        if !bucket.is_empty() {
            client.post_bulk(bucket, "text/plain", "x").problem(422, "invalid-bucket");
        }
    }
    // A request is accepted whole or not at all.
    assert_eq!(ingest.terminate(), Some(0));
    assert_eq!(site.log_rows(), Vec::<Value>::new());
}
