use model::Digest;

use super::*;
use crate::allow::AllowPattern;
use crate::auth::Gate;
use crate::config::{Auth, Token};

type Read = (String, Option<String>, String);

fn read(body: impl AsRef<[u8]>, grant: &Grant) -> Result<Vec<Read>, Problem> {
    let mut events = Vec::new();
    parse(body.as_ref(), Limit { max_event_bytes: 30 }, grant, |event| {
        let (to, name) = (event.to.to_string(), event.name.map(ToString::to_string));
        events.push((to, name, String::from_utf8(event.payload.to_vec()).unwrap()));
        Ok(())
    })?;
    Ok(events)
}

fn accepted(body: &str) -> Vec<Read> {
    read(body, &Grant::All).unwrap()
}

/// Asserts the kind and the field of the problem that a body meets.
#[track_caller]
fn refused(body: impl AsRef<[u8]>, kind: Kind, field: Option<&str>) {
    let problem = read(&body, &Grant::All).unwrap_err();
    let text = String::from_utf8_lossy(body.as_ref()).into_owned();
    assert_eq!(problem.kind(), kind, "{problem:?} for {text}");
    assert_eq!(problem.field_name(), field, "{problem:?} for {text}");
}

#[test]
fn one_event_and_many_are_taken_in_order() {
    let one = r#"{"bucket":"my-bucket","prefix":"a/","payload":{"b": 1},"event":"n"}"#;
    let expected = ("my-bucket/a/".to_owned(), Some("n".to_owned()), r#"{"b": 1}"#.to_owned());
    assert_eq!(accepted(one), [expected]);
    let body = "\u{feff}[ {\"payload\":1,\"bucket\":\"my-bucket\"},\n\
        {\"bucket\":\"my-bucket\",\"payload\":[\n2 ],\"prefix\":null,\"event\":null},\
        {\"bucket\":\"my-bucket\",\"payload\":null,\"prefix\":\"\\u0070\"} ]\n";
    let payloads: Vec<_> =
        accepted(body).into_iter().map(|(to, _, payload)| (to, payload)).collect();
    let expected = [("my-bucket/", "1"), ("my-bucket/", "[2]"), ("my-bucket/p/", "null")];
    assert_eq!(payloads, expected.map(|(to, payload)| (to.to_owned(), payload.to_owned())));
}

#[test]
fn payloads_keep_their_text() {
    for payload in [
        "12345678901234567890",
        "1e400",
        "0.10",
        "\"\u{2028}😀\"",
        r#""a\nb""#,
        r#""\ud800\u0000""#,
        r#"{"b":1,"a":2,"b": 3}"#,
        "[ 1 ,2]",
    ] {
        let body = format!(r#"{{"bucket":"my-bucket","payload":  {payload}  }}"#);
        assert_eq!(accepted(&body)[0].2, payload);
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let unfinished = r#"{"bucket":"my-bucket","payload":"#.to_owned();
    for body in ["", " ", "{", "nope", "[{", "{\"bucket\" \"b\"}", &unfinished] {
        refused(body, Kind::NotJson, if body.starts_with('[') { Some("[0]") } else { None });
    }
    refused(unfinished.clone() + "1}x", Kind::NotJson, None);
    refused(unfinished.clone() + "01}", Kind::NotJson, None);
    refused(unfinished.clone() + "\"a\nb\"}", Kind::NotJson, None);
    refused(unfinished + &"[".repeat(1 << 24), Kind::NotJson, None);
    refused(b"{\"bucket\":\"\xff\"}", Kind::NotUtf8, None);
}

#[test]
fn deep_nesting_outside_a_payload_does_not_overflow() {
    refused("[".repeat(1 << 24), Kind::InvalidRequest, Some("[0]"));
    refused("{\"bucket\":".to_owned() + &"[".repeat(1 << 24), Kind::NotJson, None);
    refused("{\"x\":".to_owned() + &"[".repeat(1 << 24), Kind::InvalidRequest, Some("x"));
}

#[test]
fn another_form_is_refused_with_its_field() {
    let event = r#"{"bucket":"my-bucket","payload":1}"#;
    refused("3", Kind::InvalidRequest, None);
    refused("null", Kind::InvalidRequest, None);
    refused(format!("[{event},3]"), Kind::InvalidRequest, Some("[1]"));
    refused(format!("[{event},{event},[{event}]]"), Kind::InvalidRequest, Some("[2]"));
    refused(r#"{"bucket":"my-bucket"}"#, Kind::InvalidRequest, Some("payload"));
    refused(format!(r#"[{event},{{"bucket":"abc"}}]"#), Kind::InvalidRequest, Some("[1].payload"));
    let twice = r#"{"bucket":"my-bucket","payload":1,"payload":1}"#;
    refused(twice, Kind::InvalidRequest, Some("payload"));
    refused(r#"{"bucket":"my-bucket","Payload":1}"#, Kind::InvalidRequest, Some("Payload"));
    refused(format!(r#"[{{"x\ny":1}},{event}]"#), Kind::InvalidRequest, Some("[0].x\\ny"));
    refused("[]", Kind::NoEvents, None);
    refused("[ \n]", Kind::NoEvents, None);
}

#[test]
fn bad_destinations_and_names_are_refused_with_their_field() {
    for (members, kind, field) in [
        (r#""payload":1"#, Kind::InvalidBucket, "bucket"),
        (r#""payload":1,"bucket":null"#, Kind::InvalidBucket, "bucket"),
        (r#""payload":1,"bucket":3"#, Kind::InvalidBucket, "bucket"),
        (r#""payload":1,"bucket":"Not_Valid""#, Kind::InvalidBucket, "bucket"),
        (r#""payload":1,"bucket":"\ud800""#, Kind::InvalidBucket, "bucket"),
        (r#""payload":1,"bucket":"abc","prefix":{}"#, Kind::InvalidPrefix, "prefix"),
        (r#""payload":1,"bucket":"abc","prefix":"/a""#, Kind::InvalidPrefix, "prefix"),
        (r#""payload":1,"bucket":"abc","event":1"#, Kind::InvalidEventName, "event"),
        (r#""payload":1,"bucket":"abc","event":"""#, Kind::InvalidEventName, "event"),
    ] {
        refused(format!("{{{members}}}"), kind, Some(field));
        let second = format!(r#"[{{"bucket":"abc","payload":1}},{{{members}}}]"#);
        refused(second, kind, Some(&format!("[1].{field}")));
    }
}

#[test]
fn an_event_above_the_limit_is_named() {
    let body = |digits: usize| {
        let digits = "1".repeat(digits);
        format!(r#"[{{"bucket":"abc","payload":1}},{{"bucket":"abc","payload":{digits}}}]"#)
    };
    assert_eq!(accepted(&body(30)).len(), 2);
    refused(body(31), Kind::EventTooLarge, Some("[1].payload"));
    // What counts is what is stored.
    assert_eq!(
        accepted(&format!(r#"{{"bucket":"abc","payload":[1,{}2]}}"#, "\n".repeat(40))).len(),
        1
    );
}

#[test]
fn a_token_is_held_to_its_destinations() {
    let token = Token {
        name: "one".to_owned(),
        hash: Digest::of(b"secret"),
        allow: vec![AllowPattern::parse("my-bucket/a/*").unwrap()],
        limits: crate::config::RateLimits::default(),
    };
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer secret"));
    let grant = Gate::new(Auth::Tokens(vec![token])).identify(&headers).unwrap();
    let inside = r#"{"bucket":"my-bucket","prefix":"a/b","payload":1}"#;
    let outside = r#"{"bucket":"my-bucket","prefix":"ab","payload":1}"#;
    assert_eq!(read(format!("[{inside},{inside}]"), &grant).unwrap().len(), 2);
    let problem = read(format!("[{inside},{outside}]"), &grant).unwrap_err();
    assert_eq!(problem.kind(), Kind::DestinationNotAllowed);
    assert_eq!(problem.field_name(), Some("[1].bucket"));
}

#[test]
fn an_answer_does_not_grow_with_the_body() {
    for body in [format!("\"{}\"", "ab".repeat(100_000)), format!("[\"{}\"]", "☃".repeat(100_000))]
    {
        let problem = read(&body, &Grant::All).unwrap_err();
        assert_eq!(problem.kind(), Kind::InvalidRequest);
        assert!(problem.detail().len() < 1000, "{} bytes", problem.detail().len());
    }
}
