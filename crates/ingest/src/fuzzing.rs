//! What must hold of everything that clients send, whatever its bytes: fuzz targets, run for long
//! by `tests/fuzz` and briefly by this crate's tests. Each panics where a property does not hold.

mod encoding;
mod json;

pub use encoding::encoding;

use model::{Destination, EventName, Identifier, ObjectKey, UnixMillis};

use crate::allow::AllowPattern;
use crate::auth::Grant;
use crate::content::Form;
use crate::destinations::{check, event_name};
use crate::payload::Limit;
use crate::problem::Problem;
use crate::query::BulkQuery;
use crate::{bulk, send};
use json::{is_one_value, without_space};

const LIMIT: Limit = Limit { max_event_bytes: 1000 };

/// An answer to a refused request is short, however large the request was.
const MAX_DETAIL_BYTES: usize = 2000;

/// S3's limit on a key, in bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;

/// The input is the body of `POST /v1/send/s3`. What is accepted is JSON, and each payload is one
/// line of JSON within the limit; sent once more, the events are the same.
pub fn send(data: &[u8]) {
    let parse = |body: &[u8]| {
        let mut events: Vec<(Destination, Option<EventName>, Option<String>, String)> = Vec::new();
        let take = |event: send::Event<'_>| {
            let id = event.id.map(str::to_owned);
            events.push((event.to.clone(), event.name.cloned(), id, line(event.payload)));
            Ok(())
        };
        send::parse(body, LIMIT, &Grant::All, take).map(|()| events)
    };
    let events = match parse(data) {
        Ok(events) => events,
        Err(problem) => return assert_refusal(&problem),
    };
    assert!(!events.is_empty());
    let text = std::str::from_utf8(data).expect("nothing else is accepted");
    assert!(is_one_value(text.trim_start_matches('\u{feff}')), "accepted, and no JSON");
    let again: Vec<String> = events
        .iter()
        .map(|(to, name, id, payload)| {
            assert!(is_one_value(payload), "{payload}");
            let (bucket, prefix) = (quoted(to.bucket().as_str()), quoted(to.prefix().as_str()));
            let name = name.as_ref().map_or("null".to_owned(), |name| quoted(name.as_str()));
            let id = id.as_ref().map_or("null".to_owned(), |id| quoted(id));
            format!(
                r#"{{"bucket":{bucket},"prefix":{prefix},"event":{name},"id":{id},"payload":{payload}}}"#
            )
        })
        .collect();
    let again = format!("[{}]", again.join(","));
    assert_eq!(parse(again.as_bytes()), Ok(events), "{again}");
}

/// The first byte of the input is the form, the rest the body of `POST /v1/s3/{bucket}`. Texts
/// arrive as they are; a JSON value loses white space between its tokens and nothing else.
pub fn bulk(data: &[u8]) {
    let Some((form, body)) = data.split_first() else { return };
    let form = match form % 3 {
        0 => Form::Ndjson,
        1 => Form::Json,
        _ => Form::Text,
    };
    let mut lines = Vec::new();
    if let Err(problem) = bulk::parse(form, body, LIMIT, |payload| lines.push(line(payload))) {
        return assert_refusal(&problem);
    }
    let text = std::str::from_utf8(body).expect("nothing else is accepted");
    if form == Form::Text {
        return assert_eq!(lines.join("\n"), text.strip_suffix('\n').unwrap_or(text));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let values: Vec<&str> = match form {
        Form::Ndjson => text.split('\n').collect(),
        _ => vec![text],
    };
    let values = values.into_iter().map(without_space).filter(|value| !value.is_empty());
    let kept: Vec<String> = lines.iter().map(|line| without_space(line)).collect();
    assert_eq!(kept, values.collect::<Vec<_>>());
    assert!(lines.iter().all(|line| is_one_value(line)), "{lines:?}");
}

/// The first line of the input is a bucket, with an allow pattern behind a slash; the second is
/// the query of a bulk request. What is accepted makes keys that S3 takes, and comes out the same
/// when it is encoded again; a pattern that is accepted reaches what lies below it and no more.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (target, query) = text.split_once('\n').unwrap_or(("bucket/*", text));
    let parsed = match BulkQuery::parse(query) {
        Ok(parsed) => parsed,
        Err(problem) => return assert_refusal(&problem),
    };
    let (prefix, event) = (parsed.prefix.as_deref(), parsed.event.as_deref());
    let again = [("prefix", prefix), ("event", event)]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))))
        .collect::<Vec<_>>();
    assert_eq!(BulkQuery::parse(&again.join("&")), Ok(parsed.clone()));
    if let Some(Err(problem)) = event.map(event_name) {
        assert_refusal(&problem);
    }
    let bucket = target.split('/').next().unwrap_or_default();
    match check(&Grant::All, bucket, prefix.unwrap_or_default()) {
        Ok(destination) => {
            assert_key(&destination);
            assert_pattern(target, &destination);
        }
        Err(problem) => assert_refusal(&problem),
    }
}

fn assert_key(destination: &Destination) {
    let identifier = Identifier::derive(destination, &model::Digest::of(b""), &[0; 32]);
    let key = ObjectKey::new(destination.prefix(), UnixMillis::MAX, &identifier);
    let segments = || key.as_str().split('/');
    assert!(key.as_str().len() <= MAX_KEY_BYTES, "{key}");
    assert!(segments().all(|segment| !matches!(segment, "" | "." | "..")), "{key}");
    assert!(!key.as_str().chars().any(char::is_control), "{key}");
}

fn assert_pattern(text: &str, destination: &Destination) {
    let Ok(pattern) = AllowPattern::parse(text) else { return };
    assert_eq!(AllowPattern::parse(&pattern.to_string()), Ok(pattern.clone()));
    let (bucket, rest) = text.split_once('/').expect("a pattern has a slash");
    let prefix = destination.prefix().as_str();
    let reached = match rest.strip_suffix('*').map(|rest| rest.trim_end_matches('/')) {
        Some("") => true,
        Some(top) => {
            prefix == top || prefix.strip_prefix(top).is_some_and(|it| it.starts_with('/'))
        }
        None => prefix == rest.strip_suffix('/').unwrap_or(rest),
    };
    let same_bucket = destination.bucket().as_str() == bucket;
    assert_eq!(pattern.matches(destination), reached && same_bucket, "{pattern} {destination}");
}

fn assert_refusal(problem: &Problem) {
    assert!(problem.status().is_client_error(), "{problem:?}");
    let length = problem.detail().len();
    assert!((1..=MAX_DETAIL_BYTES).contains(&length), "an answer of {length} bytes");
}

/// A payload as it goes to the log.
fn line(payload: &[u8]) -> String {
    assert!(payload.len() <= LIMIT.max_event_bytes);
    assert!(!payload.contains(&b'\n'), "an event is one line");
    String::from_utf8(payload.to_vec()).expect("payloads are texts")
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use mutation::pass;

    #[test]
    fn request_parsers_hold_on_mutated_inputs() {
        pass("send", 20_000, super::send);
        pass("bulk", 20_000, super::bulk);
        pass("query", 20_000, super::query);
    }

    #[test]
    fn decoders_hold_on_mutated_inputs() {
        pass("encoding", 5_000, super::encoding);
    }
}
