//! Requests that AWS's own signer signs, answered by a service on a real log.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use model::{Destination, EventId, ManualClock, UnixMillis};
use serde_json::{Value, json};
use wal::{DataDir, DestinationId, RunReader};

use super::*;
use crate::config::{Config, RateLimits};
use crate::fixture::Fixture;
use crate::stream::{StreamName, StreamPattern};

const HOST: &str = "127.0.0.1:9600";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2026-11-22T10:15:00Z.
const NOW: u64 = 1_795_342_500;

fn stream(name: &str, prefix: &str) -> Stream {
    let destination = Destination::parse("my-bucket", prefix).unwrap();
    Stream { name: StreamName::new(name).unwrap(), destination }
}

fn key(id: &str, allow: &str) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        secret: SECRET.to_owned(),
        allow: vec![StreamPattern::parse(allow).unwrap()],
        limits: RateLimits::default(),
    }
}

fn with_keys(config: &mut Config) {
    config.rules.auth = Auth::Tokens(Vec::new());
    config.rules.streams =
        vec![stream("orders", "o"), stream("orders-eu", "eu"), stream("views", "v")];
    config.rules.access_keys = vec![key("ORDERS", "orders*"), key("ALL", "*")];
}

fn service() -> (Fixture, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(NOW)));
    (Fixture::at(Arc::clone(&clock) as _, with_keys), clock)
}

/// A request as its sender makes it, still to be signed.
#[derive(Clone)]
struct Unsigned {
    headers: Vec<(&'static str, String)>,
    body: String,
    key: &'static str,
    secret: &'static str,
    service: &'static str,
    at: u64,
}

impl Unsigned {
    fn new(operation: &'static str, body: &Value) -> Self {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("host", HOST.to_owned()),
            ("x-amz-target", format!("Firehose_20150804.{operation}")),
        ];
        let body = body.to_string();
        Self { headers, body, key: "ALL", secret: SECRET, service: "firehose", at: NOW }
    }

    fn of(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    fn plain(&self) -> Request {
        let mut request = Request::post("/");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(Body::from(self.body.clone())).unwrap()
    }

    fn signed(&self) -> Request {
        // All that is there is signed, as some senders do.
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        let identity = Credentials::new(self.key, self.secret, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(self.service)
            .time(UNIX_EPOCH + Duration::from_secs(self.at))
            .settings(settings)
            .build()
            .unwrap();
        let headers = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(self.body.as_bytes());
        let url = format!("http://{HOST}/");
        let signable = SignableRequest::new("POST", url, headers, body).unwrap();
        let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
        let mut request = self.plain();
        instructions.apply_to_request_http1x(&mut request);
        request
    }
}

fn put(stream: &str, data: impl AsRef<[u8]>) -> Unsigned {
    let record = json!({"Data": STANDARD.encode(data)});
    Unsigned::new("PutRecord", &json!({"DeliveryStreamName": stream, "Record": record}))
}

fn put_batch(stream: &str, records: &[Vec<u8>]) -> Unsigned {
    let records: Vec<_> = records.iter().map(|it| json!({"Data": STANDARD.encode(it)})).collect();
    Unsigned::new("PutRecordBatch", &json!({"DeliveryStreamName": stream, "Records": records}))
}

/// Asserts the name and the status of a fault, and gives its text.
#[track_caller]
fn assert_fault(
    (got, headers, document): (u16, HeaderMap, Value),
    status: u16,
    name: &str,
) -> String {
    assert_eq!((got, &document["__type"]), (status, &json!(name)), "{document}");
    assert_eq!(headers["x-amzn-errortype"], name);
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    assert_eq!(headers["x-amzn-requestid"].len(), 36);
    document["message"].as_str().unwrap().to_owned()
}

/// The lines of a destination, as the log has them.
async fn lines(fixture: Fixture, prefix: &str) -> Vec<String> {
    let Fixture { service, log, directory } = fixture;
    drop(service);
    log.close().await.unwrap();
    let data = DataDir::at(directory.path().join("data"));
    let run = RunReader::open(&data, data.runs().unwrap()[0]).unwrap();
    let destination = DestinationId::of(&Destination::parse("my-bucket", prefix).unwrap());
    let mut lines = Vec::new();
    for record in run.records(destination) {
        let record = record.unwrap();
        for event in record.iter() {
            lines.push(String::from_utf8(event.unwrap().payload.to_vec()).unwrap());
        }
    }
    lines
}

#[tokio::test]
async fn records_are_lines_and_a_newline_at_their_end_makes_no_other() {
    let (fixture, _) = service();
    let (status, headers, answer) = fixture.json(put("orders", "one\n").signed()).await;
    assert_eq!((status, &answer["Encrypted"]), (200, &json!(false)), "{answer}");
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    let first: EventId = answer["RecordId"].as_str().unwrap().parse().unwrap();
    let records = ["two", "three\nfour\r\n", "", "\n", "five\n\n", "\n\nsix"];
    let batch = put_batch("orders", &records.map(|it| it.as_bytes().to_vec()));
    let (status, _, answer) = fixture.json(batch.of("ORDERS").signed()).await;
    assert_eq!((status, &answer["FailedPutCount"]), (200, &json!(0)), "{answer}");
    let ids: Vec<EventId> = answer["RequestResponses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["RecordId"].as_str().unwrap().parse().unwrap())
        .collect();
    // Each is the id of its record's first event.
    let seqs: Vec<_> = ids.iter().map(|id| id.seq().get() - first.seq().get()).collect();
    assert_eq!(seqs, [1, 2, 4, 5, 6, 8]);
    let expected = ["one", "two", "three", "four\r", "", "", "five", "", "", "", "six"];
    assert_eq!(lines(fixture, "o").await, expected);
}

#[tokio::test]
async fn what_this_service_alone_refuses_is_refused_record_by_record() {
    let (fixture, _) = service();
    let gzip = b"\x1f\x8b\x08\x00".to_vec();
    let long = vec![b'x'; 1001];
    let batch = put_batch("orders", &[gzip.clone(), b"a".to_vec(), long, b"b\nc".to_vec()]);
    let (status, _, answer) = fixture.json(batch.signed()).await;
    assert_eq!((status, &answer["FailedPutCount"]), (200, &json!(2)), "{answer}");
    let results = answer["RequestResponses"].as_array().unwrap();
    for (at, says) in [(0, "turn compression off"), (2, "max_event_bytes")] {
        assert_eq!(results[at]["ErrorCode"], "InvalidArgumentException");
        assert!(results[at]["ErrorMessage"].as_str().unwrap().contains(says), "{answer}");
        assert_eq!(results[at]["RecordId"], Value::Null);
    }
    assert!(results[1]["RecordId"].is_string() && results[3]["RecordId"].is_string());
    let (status, _, answer) =
        fixture.json(put_batch("orders", std::slice::from_ref(&gzip)).signed()).await;
    assert_eq!((status, &answer["FailedPutCount"]), (200, &json!(1)), "{answer}");
    let alone = fixture.json(put("orders", gzip).signed()).await;
    assert_fault(alone, 400, "InvalidArgumentException");
    assert_eq!(lines(fixture, "o").await, ["a", "b", "c"]);
}

#[tokio::test]
async fn firehose_s_limits_hold() {
    let (fixture, _) = {
        let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(NOW)));
        let change = |config: &mut Config| {
            with_keys(config);
            config.rules.max_event_bytes = 1 << 20;
            config.max_request_bytes = 16 << 20;
        };
        (Fixture::at(Arc::clone(&clock) as _, change), clock)
    };
    let record = |bytes: usize| vec![b'x'; bytes];
    let full: Vec<_> = [1_024_000; 4].into_iter().chain([98_304]).map(record).collect();
    assert_eq!(full.iter().map(Vec::len).sum::<usize>(), 4 << 20);
    let (status, _, answer) = fixture.json(put_batch("orders", &full).signed()).await;
    assert_eq!((status, &answer["FailedPutCount"]), (200, &json!(0)), "{answer}");
    let most = vec![b"x".to_vec(); 500];
    assert_eq!(fixture.json(put_batch("orders", &most).signed()).await.0, 200);

    let over = [full, vec![record(1)]].concat();
    let answer = fixture.json(put_batch("orders", &over).signed()).await;
    assert!(assert_fault(answer, 400, "InvalidArgumentException").contains("4 MiB"));
    for (records, says) in [
        (vec![b"x".to_vec(), record(1_024_001)], "`records.2.member.data`"),
        (vec![b"x".to_vec(); 501], "1 to 500"),
        (Vec::new(), "1 to 500"),
    ] {
        let answer = fixture.json(put_batch("orders", &records).signed()).await;
        let message = assert_fault(answer, 400, "ValidationException");
        assert!(message.contains(says), "{message}");
    }
    let lines_over = vec![b'\n'; 1_000_000];
    let answer = fixture.json(put_batch("orders", &[lines_over, record(1)]).signed()).await;
    assert!(assert_fault(answer, 400, "InvalidArgumentException").contains("1000000 lines"));
    let large = put_batch("orders", &vec![record(3 << 20); 5]);
    assert_fault(fixture.json(large.signed()).await, 413, "RequestEntityTooLargeException");
}

#[tokio::test]
async fn a_signature_is_good_for_one_request_and_five_minutes() {
    let (fixture, clock) = service();
    for (skew, good) in [(0, true), (300, true), (301, false)] {
        for at in [NOW - skew, NOW + skew] {
            let answer = fixture.json(Unsigned { at, ..put("orders", "x") }.signed()).await;
            if good {
                assert_eq!(answer.0, 200, "{}", answer.2);
            } else {
                let message = assert_fault(answer, 400, "InvalidSignatureException");
                assert!(message.contains("20261122T101500Z here"), "{message}");
            }
        }
    }
    let good = put("orders", "x");
    clock.advance(Duration::from_secs(301));
    assert_fault(fixture.json(good.signed()).await, 400, "InvalidSignatureException");
    clock.set(UnixMillis::from_seconds(NOW));

    // Whatever of it is changed after it was signed.
    let mut other_body = good.signed();
    *other_body.body_mut() = put("orders", "y").plain().into_body();
    let mut other_hash = good.signed();
    other_hash.headers_mut().insert("x-amz-content-sha256", "UNSIGNED-PAYLOAD".parse().unwrap());
    let mut other_host = good.signed();
    other_host.headers_mut().insert("host", "elsewhere".parse().unwrap());
    let mut other_target = good.signed();
    let target = "Firehose_20150804.PutRecordBatch";
    other_target.headers_mut().insert("x-amz-target", target.parse().unwrap());
    let mut no_type = good.signed();
    no_type.headers_mut().insert("content-type", "Application/X-Amz-Json-1.1".parse().unwrap());
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ";
    let other_secret = Unsigned { secret, ..good.clone() }.signed();
    let other_service = Unsigned { service: "kinesis", ..good.clone() }.signed();
    let mut other_date = good.signed();
    let later = "20261122T101501Z".parse().unwrap();
    other_date.headers_mut().insert("x-amz-date", later);
    for request in [
        other_body,
        other_hash,
        other_host,
        other_target,
        no_type,
        other_secret,
        other_service,
        other_date,
    ] {
        assert_fault(fixture.json(request).await, 400, "InvalidSignatureException");
    }
    let authorized = good.signed().headers()["authorization"].to_str().unwrap().to_owned();
    let change = |from: &str, to: &str| {
        let mut request = good.signed();
        let changed = authorized.replace(from, to);
        assert_ne!(changed, authorized);
        request.headers_mut().insert("authorization", changed.parse().unwrap());
        request
    };
    for (from, to, name) in [
        ("AWS4-HMAC-SHA256 ", "Bearer ", "IncompleteSignatureException"),
        ("Signature=", "Signature=0", "IncompleteSignatureException"),
        ("Credential=", "Credential=/", "IncompleteSignatureException"),
        ("SignedHeaders=", "SignedHeaders=zz;", "IncompleteSignatureException"),
        ("SignedHeaders=", "SignedHeaders=a;", "InvalidSignatureException"),
        (";x-amz-target", "", "InvalidSignatureException"),
        (";x-amz-date", "", "InvalidSignatureException"),
        (";host", "", "InvalidSignatureException"),
        ("Credential=ALL", "Credential=ALL2", "UnrecognizedClientException"),
        ("/20261122/", "/20261123/", "InvalidSignatureException"),
        ("/eu-west-1/", "/eu-west-2/", "InvalidSignatureException"),
    ] {
        assert_fault(fixture.json(change(from, to)).await, 400, name);
    }
    assert_fault(fixture.json(good.plain()).await, 400, "MissingAuthenticationTokenException");
    let mut session = good.clone();
    session.headers.push(("x-amz-security-token", "token".to_owned()));
    assert_fault(fixture.json(session.signed()).await, 400, "UnrecognizedClientException");
    assert_eq!(lines(fixture, "o").await, ["x"; 4], "what was refused is not in the log");
}

#[tokio::test]
async fn a_sender_chooses_what_else_it_signs() {
    let (fixture, _) = service();
    let mut request = put("orders", "x");
    let length = request.body.len().to_string();
    let agent = "agent/1.0  (with   spaces)".to_owned();
    request.headers.extend([("content-length", length), ("user-agent", agent)]);
    let mut signed = request.signed();
    let authorization = signed.headers()["authorization"].to_str().unwrap();
    assert!(authorization.contains("content-length;content-type;host;user-agent;x-amz-date"));
    let (status, _, answer) = fixture.json(request.signed()).await;
    assert_eq!(status, 200, "{answer}");
    signed.headers_mut().insert("user-agent", "another".parse().unwrap());
    assert_fault(fixture.json(signed).await, 400, "InvalidSignatureException");
}

#[tokio::test]
async fn a_key_reaches_what_it_allows_and_learns_of_nothing_else() {
    let (fixture, _) = service();
    assert_eq!(fixture.json(put("orders-eu", "x").of("ORDERS").signed()).await.0, 200);
    for name in ["views", "no-such"] {
        let answer = fixture.json(put(name, "x").of("ORDERS").signed()).await;
        assert_fault(answer, 400, "AccessDeniedException");
    }
    for name in ["orders-none", ""] {
        let answer = fixture.json(put(name, "x").signed()).await;
        assert_fault(answer, 400, "ResourceNotFoundException");
    }
    let list = |key, body: Value| {
        fixture.json(Unsigned::new("ListDeliveryStreams", &body).of(key).signed())
    };
    let names = |answer: (u16, HeaderMap, Value)| {
        let more = answer.2["HasMoreDeliveryStreams"].as_bool().unwrap();
        (answer.2["DeliveryStreamNames"].clone(), more)
    };
    let all = json!(["orders", "orders-eu", "views"]);
    assert_eq!(names(list("ALL", json!({})).await), (all, false));
    let own = json!(["orders", "orders-eu"]);
    assert_eq!(names(list("ORDERS", json!({})).await), (own, false));
    assert_eq!(names(list("ALL", json!({"Limit": 1})).await), (json!(["orders"]), true));
    let after = json!({"ExclusiveStartDeliveryStreamName": "orders", "Limit": 2});
    assert_eq!(names(list("ALL", after).await), (json!(["orders-eu", "views"]), false));
    let other = json!({"DeliveryStreamType": "KinesisStreamAsSource"});
    assert_eq!(names(list("ALL", other).await), (json!([]), false));
    assert_fault(list("ALL", json!({"Limit": 0})).await, 400, "ValidationException");

    let describe = |name| {
        let body = json!({"DeliveryStreamName": name});
        fixture.json(Unsigned::new("DescribeDeliveryStream", &body).of("ORDERS").signed())
    };
    let (status, _, answer) = describe("orders").await;
    let told = &answer["DeliveryStreamDescription"];
    assert_eq!((status, &told["DeliveryStreamStatus"]), (200, &json!("ACTIVE")), "{answer}");
    let arn = "arn:aws:firehose:eu-west-1:000000000000:deliverystream/orders";
    assert_eq!(told["DeliveryStreamARN"], arn);
    let s3 = &told["Destinations"][0]["ExtendedS3DestinationDescription"];
    assert_eq!((&s3["BucketARN"], &s3["Prefix"]), (&json!("arn:aws:s3:::my-bucket"), &json!("o")));
    assert_fault(describe("views").await, 400, "AccessDeniedException");
}

#[tokio::test]
async fn what_can_not_be_read_is_told_in_firehose_s_words() {
    let (fixture, _) = service();
    let body = |body: &str| Unsigned { body: body.to_owned(), ..put("orders", "x") };
    for (text, name) in [
        ("", "SerializationException"),
        ("{", "SerializationException"),
        ("[]", "SerializationException"),
        (r#"{"DeliveryStreamName": 1}"#, "SerializationException"),
        (r#"{"DeliveryStreamName": "orders", "Record": {"Data": 1}}"#, "SerializationException"),
        (r#"{"DeliveryStreamName": "orders", "Record": {"Data": "eA"}}"#, "SerializationException"),
        (r#"{"DeliveryStreamName": "orders", "Record": {"Data": "?"}}"#, "SerializationException"),
        (r#"{"DeliveryStreamName": "orders", "Record": {}}"#, "ValidationException"),
        (r#"{"DeliveryStreamName": "orders"}"#, "ValidationException"),
        (r#"{"Record": {"Data": "eA=="}}"#, "ValidationException"),
    ] {
        assert_fault(fixture.json(body(text).signed()).await, 400, name);
    }
    // As some serialisers write it, and with what is not known here.
    let odd =
        r#"{"DeliveryStreamName": "orders", "Record": {"Data": "\u0065A\u003d="}, "More": {}}"#;
    assert_eq!(fixture.json(body(odd).signed()).await.0, 200);

    for (name, value, expected) in [
        ("x-amz-target", "Firehose_20150804.CreateDeliveryStream", "UnknownOperationException"),
        ("x-amz-target", "Kinesis_20131202.PutRecord", "UnknownOperationException"),
        ("x-amz-target", "PutRecord", "UnknownOperationException"),
        ("content-type", "application/json", "UnknownOperationException"),
        ("content-encoding", "gzip", "SerializationException"),
        ("content-encoding", "br", "SerializationException"),
    ] {
        let mut request = put("orders", "x");
        request.headers.retain(|(known, _)| *known != name);
        request.headers.push((name, value.to_owned()));
        assert_fault(fixture.json(request.signed()).await, 400, expected);
    }
    let mut targetless = put("orders", "x");
    targetless.headers.retain(|(name, _)| *name != "x-amz-target");
    assert_fault(fixture.json(targetless.signed()).await, 400, "UnknownOperationException");
}

#[tokio::test]
async fn without_tokens_nobody_needs_a_signature() {
    let fixture = Fixture::new(|config| {
        with_keys(config);
        config.rules.auth = Auth::None;
    });
    assert_eq!(fixture.json(put("orders", "x").plain()).await.0, 200);
    let unknown = Unsigned { secret: "another", ..put("orders", "x").of("UNKNOWN") };
    assert_eq!(fixture.json(unknown.signed()).await.0, 200);
}

#[tokio::test]
async fn shares_of_a_minute_hold_and_count_for_no_stranger() {
    let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(NOW)));
    let fixture = Fixture::at(clock, |config| {
        with_keys(config);
        config.rules.access_keys[0].limits.requests_per_minute = Some(2);
    });
    let good = put("orders", "x").of("ORDERS");
    let forged = Unsigned { secret: "another", ..good.clone() };
    for _ in 0..3 {
        assert_fault(fixture.json(forged.signed()).await, 400, "InvalidSignatureException");
    }
    for _ in 0..2 {
        assert_eq!(fixture.json(good.signed()).await.0, 200);
    }
    let answer = fixture.json(good.signed()).await;
    assert!(answer.1.contains_key("retry-after"));
    let message = assert_fault(answer, 503, "ServiceUnavailableException");
    assert!(message.contains("the access key `ORDERS`"), "{message}");
    assert_eq!(fixture.json(put("orders", "x").signed()).await.0, 200, "another key's is its own");
}

#[tokio::test]
async fn a_connection_s_share_is_refused_in_firehose_s_words_too() {
    use crate::clients::Answers;
    use http_body_util::BodyExt;

    let (fixture, _) = service();
    let clients = crate::routes::router(&fixture.service);
    let limits = RateLimits { requests_per_minute: Some(1), ..RateLimits::default() };
    let meter = crate::meter::Meter::new("this connection", limits);
    let request = put("orders", "x").signed();
    assert_eq!(clients.answer(request, meter.clone()).await.status(), 200);
    let answer = clients.answer(put("orders", "x").signed(), meter).await;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let document = serde_json::from_slice(&body).unwrap();
    let answer = (parts.status.as_u16(), parts.headers, document);
    assert_fault(answer, 503, "ServiceUnavailableException");
    let text = fixture.service.metrics.render();
    for status in [200, 503] {
        let line = format!("requests_total{{route=\"/\",status=\"{status}\"}} 1");
        assert!(text.contains(&line), "no `{line}` in\n{text}");
    }
}

#[test]
fn a_secret_is_in_nothing_that_is_logged() {
    let clock = Arc::new(ManualClock::new(UnixMillis::from_seconds(NOW)));
    let keys = vec![key("ORDERS", "orders")];
    let shown = format!("{:?}", Firehose::new(Vec::new(), &Auth::Tokens(Vec::new()), keys, clock));
    assert!(shown.contains("ORDERS") && !shown.contains(SECRET), "{shown}");
}
