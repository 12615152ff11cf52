//! Payloads: what a call may be given to send.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::SendError;

/// What can be sent: any [`Serialize`], as the JSON that `serde_json` writes of it; a JSON text as it
/// is ([`Json`]); a line of text as it is ([`Text`]).
///
/// A string is a [`Serialize`] like others: it arrives as a JSON string, in quotes.
pub trait Payload: sealed::Sealed + Sized {
    /// The payload as it is sent.
    #[doc(hidden)]
    fn form(self) -> Result<Form, SendError>;
}

/// A JSON text that is sent as it is: its key order, number text and escapes arrive, only white space
/// between tokens may go. A text that is no JSON is refused by the call.
///
/// ```
/// use minutelog_client::Json;
///
/// let payload = Json(r#"{"total": 0.10, "id": 12345678901234567890}"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A line that arrives byte by byte, without quotes: any UTF-8 without a line break (`\n`). Anything
/// else is refused by the call.
///
/// Lines travel together where they have the same destination and name. They take no
/// [`id`](crate::SendS3::id).
///
/// ```
/// use minutelog_client::Text;
///
/// let payload = Text("GET /cart 200");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

/// A payload as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Form {
    /// A JSON text.
    Json(String),
    /// A line.
    Line(String),
}

mod sealed {
    use serde::Serialize;

    use super::{Json, Text};

    /// The kinds of payloads are the ones of `docs/http.md`, and no others.
    pub trait Sealed {}
    impl<T: Serialize> Sealed for T {}
    impl<T: AsRef<[u8]>> Sealed for Json<T> {}
    impl<T: AsRef<[u8]>> Sealed for Text<T> {}
}

impl<T: Serialize> Payload for T {
    fn form(self) -> Result<Form, SendError> {
        let json = serde_json::to_string(&self);
        json.map(Form::Json)
            .map_err(|error| invalid(format!("the payload can't be written as JSON: {error}")))
    }
}

impl<T: AsRef<[u8]>> Payload for Json<T> {
    fn form(self) -> Result<Form, SendError> {
        let json = serde_json::from_slice::<&RawValue>(self.0.as_ref());
        json.map(|json| Form::Json(json.get().to_owned()))
            .map_err(|error| invalid(format!("the payload is not JSON: {error}")))
    }
}

impl<T: AsRef<[u8]>> Payload for Text<T> {
    fn form(self) -> Result<Form, SendError> {
        let line = str::from_utf8(self.0.as_ref())
            .map_err(|error| invalid(format!("the payload is not UTF-8: {error}")))?;
        if line.contains('\n') {
            return Err(invalid("the payload has a line break, and an event is one line"));
        }
        Ok(Form::Line(line.to_owned()))
    }
}

fn invalid(reason: impl Into<String>) -> SendError {
    SendError::Invalid { field: "payload", reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn json(payload: impl Payload) -> String {
        match payload.form() {
            Ok(Form::Json(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    fn refusal(payload: impl Payload) -> String {
        payload.form().unwrap_err().to_string()
    }

    #[test]
    fn what_can_be_serialized_is_json() {
        assert_eq!(json("text"), r#""text""#);
        assert_eq!(json(serde_json::json!({"a": [1, null]})), r#"{"a":[1,null]}"#);
        assert_eq!(json(()), "null");
        assert_eq!(json(&vec![1, 2][..]), "[1,2]");
        let bad: HashMap<(u8, u8), u8> = HashMap::from([((1, 2), 3)]);
        assert!(refusal(&bad).contains("can't be written as JSON"), "{}", refusal(&bad));
    }

    #[test]
    fn a_json_text_is_sent_as_it_is() {
        assert_eq!(json(Json(" {\"b\": 0.10, \"a\": 1e400}\n")), "{\"b\": 0.10, \"a\": 1e400}");
        assert_eq!(json(Json(b"12345678901234567890")), "12345678901234567890");
        for bad in ["", "{", "1 2", "'a'"] {
            assert!(refusal(Json(bad)).contains("not JSON"), "{bad}");
        }
        assert!(refusal(Json(b"\"\xff\"")).contains("not JSON"));
    }

    #[test]
    fn a_line_is_sent_as_it_is() {
        let line = |text: &str| Text(text).form();
        for text in ["", " GET / \"200\" \r", "ä€😀"] {
            assert_eq!(line(text), Ok(Form::Line(text.to_owned())));
        }
        assert!(refusal(Text("a\nb")).contains("line break"));
        assert!(refusal(Text([0xff])).contains("not UTF-8"));
    }
}
