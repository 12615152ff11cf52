//! An event as it is sent.

use std::sync::Arc;

use http::Uri;
use serde::Serialize;

use crate::address::Address;
use crate::error::SendError;
use crate::payload::Form;

/// What a call says of an event, beside its payload.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) id: Option<String>,
}

/// An event, made into text at the call.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) head: Head,
    pub(crate) route: Route,
    /// What stands in the request's body: a JSON object, or a line without its end.
    pub(crate) text: String,
}

/// Which events travel together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To `/v1/send/s3`, the request with a key.
    Events,
    /// To `/v1/send/s3`, each with an id of its own, which does the same.
    EventsWithId,
    /// Lines for one destination and name.
    Lines(Uri),
}

/// All of a JSON event but its payload.
#[derive(Serialize)]
struct Document<'a> {
    bucket: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    prefix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl Encoded {
    /// The service judges bucket, prefix and names: what is refused here could not be sent at all.
    pub(crate) fn new(head: Head, form: Form, address: &Address) -> Result<Self, SendError> {
        let invalid = |field, reason: String| SendError::Invalid { field, reason };
        let (route, text) = match form {
            Form::Json(payload) => {
                let route = if head.id.is_some() { Route::EventsWithId } else { Route::Events };
                let document = Document {
                    bucket: &head.bucket,
                    prefix: &head.prefix,
                    event: head.name.as_deref(),
                    id: head.id.as_deref(),
                };
                let mut text = serde_json::to_string(&document).map_err(|error| {
                    invalid("event", format!("the event can't be written as JSON: {error}"))
                })?;
                // The payload follows in place of the brace, as the text that it is.
                text.pop();
                text.push_str(",\"payload\":");
                text.push_str(&payload);
                text.push('}');
                (route, text)
            }
            Form::Line(_) if head.id.is_some() => {
                let reason = "a line of text has an id, which the service takes of JSON only";
                return Err(invalid("id", reason.to_owned()));
            }
            Form::Line(_) if head.bucket.is_empty() => {
                return Err(invalid("bucket", "the bucket has no name".to_owned()));
            }
            Form::Line(line) => {
                let uri = address.lines(&head.bucket, &head.prefix, head.name.as_deref());
                let uri = uri.map_err(|error| {
                    let why = "bucket, prefix and name make no address that can be asked for";
                    invalid("prefix", format!("{why}: {error}"))
                })?;
                (Route::Lines(uri), line)
            }
        };
        Ok(Self { head, route, text })
    }

    /// What it takes in a body.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + 1
    }

    /// Whether the service would refuse `other` for the reason for which it refuses this one.
    pub(crate) fn is_alike(&self, kind: &str, other: &Self) -> bool {
        let (head, other) = (&self.head, &other.head);
        match kind {
            "invalid-bucket" => head.bucket == other.bucket,
            "invalid-prefix" => head.prefix == other.prefix,
            "destination-not-allowed" => {
                (&head.bucket, &head.prefix) == (&other.bucket, &other.prefix)
            }
            "invalid-event-name" => head.name == other.name,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: Option<&str>) -> Head {
        let (bucket, prefix) = ("my-bucket".to_owned(), "a\"b/".to_owned());
        Head { bucket, prefix, name: Some("order-1".into()), id: id.map(str::to_owned) }
    }

    fn encoded(head: Head, form: Form) -> Result<Encoded, SendError> {
        Encoded::new(head, form, &Address::parse("http://localhost").unwrap())
    }

    #[test]
    fn a_json_event_has_its_payload_as_it_is() {
        let payload = Form::Json("{\"total\": 0.10}".to_owned());
        let event = encoded(head(Some("i")), payload.clone()).unwrap();
        assert_eq!(
            event.text,
            r#"{"bucket":"my-bucket","prefix":"a\"b/","event":"order-1","id":"i","payload":{"total": 0.10}}"#
        );
        assert_eq!(event.route, Route::EventsWithId);
        let plain = Head { prefix: String::new(), name: None, ..head(None) };
        let event = encoded(plain, payload).unwrap();
        assert_eq!(event.text, r#"{"bucket":"my-bucket","payload":{"total": 0.10}}"#);
        assert_eq!(event.route, Route::Events);
    }

    #[test]
    fn lines_go_together_where_they_go_to_one_place() {
        let line = |head| encoded(head, Form::Line("GET /".to_owned()));
        let event = line(head(None)).unwrap();
        assert_eq!(event.text, "GET /");
        assert_eq!(event.route, line(head(None)).unwrap().route);
        let other = Head { name: None, ..head(None) };
        assert_ne!(event.route, line(other).unwrap().route);
        assert!(line(head(Some("i"))).is_err());
        assert!(line(Head { bucket: String::new(), ..head(None) }).is_err());
        assert!(line(Head { prefix: "p".repeat(100_000), ..head(None) }).is_err());
    }

    #[test]
    fn what_is_refused_for_one_is_refused_for_those_like_it() {
        let event = |bucket: &str, prefix: &str| {
            let head = Head { bucket: bucket.to_owned(), prefix: prefix.to_owned(), ..head(None) };
            encoded(head, Form::Json("1".to_owned())).unwrap()
        };
        let one = event("b", "p");
        for (kind, same_bucket, same_prefix) in [
            ("invalid-bucket", true, false),
            ("invalid-prefix", false, true),
            ("destination-not-allowed", false, false),
            ("invalid-event-name", true, true),
            ("event-too-large", false, false),
        ] {
            assert_eq!(one.is_alike(kind, &event("b", "q")), same_bucket, "{kind}");
            assert_eq!(one.is_alike(kind, &event("c", "p")), same_prefix, "{kind}");
        }
        assert!(one.is_alike("destination-not-allowed", &event("b", "p")));
    }
}
