//! Payloads as the log keeps them: the caller's own text, on one line.
//!
//! A JSON payload is never parsed into values. `serde_json` checks its grammar and hands out the
//! text itself ([`RawValue`]), so that numbers, key order, repeated keys and escapes stay as they
//! are. A line break in that text can only be white space between tokens (RFC 8259, section 2 and
//! 7: within a string it is an escape); where there is one, the white space between tokens goes.

use std::borrow::Cow;

use memchr::{memchr2, memrchr};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::problem::{Kind, Problem};

/// The limits and the text of one payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The largest payload in bytes, as it would be stored.
    pub(crate) max_event_bytes: usize,
}

impl Limit {
    /// Refuses a payload that is too large.
    pub(crate) fn check(self, payload: &[u8]) -> Result<(), Problem> {
        if payload.len() <= self.max_event_bytes {
            return Ok(());
        }
        let (has, limit) = (payload.len(), self.max_event_bytes);
        let detail = format!(
            "the event has {has} bytes, the limit of `ingest.max_event_bytes` is {limit}: \
             split it, or keep the large part elsewhere"
        );
        Err(Problem::new(Kind::EventTooLarge, detail))
    }
}

/// The body as text, without the byte order mark that some editors put before JSON: it is no part
/// of any value, and RFC 8259 (8.1) lets a reader ignore it.
pub(crate) fn json_text(body: &[u8]) -> Result<&str, Problem> {
    let text = utf8(body)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The body as text. Names the line of what is not UTF-8.
pub(crate) fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        let good = body.split_at_checked(error.valid_up_to()).map_or(body, |(good, _)| good);
        let line = memchr::memchr_iter(b'\n', good).count() + 1;
        let column = good.len() - memrchr(b'\n', good).map_or(0, |at| at + 1) + 1;
        let detail = format!("byte {column} of line {line} is not UTF-8: send the text as UTF-8");
        Problem::new(Kind::NotUtf8, detail).line(u64::try_from(line).unwrap_or(u64::MAX))
    })
}

/// Checks that `text` is exactly one JSON value and brings it to one line.
pub(crate) fn one_value(text: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(|value| one_line(value.get()))
}

/// A valid JSON value on one line: as it is, or without the white space between its tokens if
/// that has a line break.
pub(crate) fn one_line(json: &str) -> Cow<'_, str> {
    if memchr2(b'\n', b'\r', json.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    let mut line = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(quote) = memchr::memchr(b'"', rest.as_bytes()) {
        let (tokens, string) = rest.split_at(quote);
        push_tokens(&mut line, tokens);
        let (string, after) = string.split_at(string_end(string));
        line.push_str(string);
        rest = after;
    }
    push_tokens(&mut line, rest);
    Cow::Owned(line)
}

fn push_tokens(line: &mut String, tokens: &str) {
    line.extend(tokens.split([' ', '\t', '\n', '\r']));
}

/// Where the string that `text` begins with ends, its quotes included.
fn string_end(text: &str) -> usize {
    let mut at = 1;
    while let Some(rest) = text.as_bytes().get(at..) {
        let Some(found) = memchr2(b'"', b'\\', rest) else { break };
        if rest.get(found) == Some(&b'"') {
            return at + found + 1;
        }
        at += found + 2;
    }
    text.len()
}

/// What `serde_json` has to say, without its own position: `line 1` of an NDJSON line helps nobody.
/// Of a text in the wrong place it says the whole text, which can be as large as the body: so much
/// of it is kept as a person reads.
pub(crate) fn complaint(error: &serde_json::Error) -> String {
    const CHARS: usize = 200;
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if let Some((end, _)) = text.char_indices().nth(CHARS) {
        return format!("{}…", text.get(..end).unwrap_or_default());
    }
    match error.classify() {
        Category::Eof => format!("{text}: the text ends too early"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn odd_payloads_stay_as_they_are() {
        for text in [
            "12345678901234567890",
            "1e400",
            "0.10",
            "-0",
            "1E+2",
            "null",
            "\"\"",
            "\"\u{2028}\u{2029}\"",
            "\"😀\"",
            r#""a\nb\r\t\u000a\/""#,
            r#""\ud800""#,
            r#""\u0000""#,
            r#"{"a":1,"a":2,"b" : [ 1 , 2 ]}"#,
            r#"{"z":1,"a":{"y":2,"b":3}}"#,
        ] {
            assert_eq!(one_value(text).unwrap(), text);
        }
    }

    #[test]
    fn a_pretty_printed_value_comes_to_one_line() {
        let pretty =
            "{\r\n  \"a b\" : [ 1.0 ,\n\t\"x \\\" \\\\\" , 0.10 ],\n \"\\\\\": \" \\n \"\n}";
        assert_eq!(one_value(pretty).unwrap(), r#"{"a b":[1.0,"x \" \\",0.10],"\\":" \n "}"#);
        assert_eq!(one_value("\n 1e400 \r\n").unwrap(), "1e400");
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for text in ["", " ", "1 2", "{", "[1,]", "01", "nan", "'a'", "\"a\nb\"", "{}x", "+1"] {
            assert!(one_value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_passes_unfinished() {
        let depth = 1 << 20;
        assert!(one_value(&"[".repeat(16 * depth)).is_err());
        assert!(one_value(&"{\"a\":".repeat(depth)).is_err());
        let whole = format!("{}\n{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(one_value(&whole).unwrap().len(), 2 * depth);
    }

    #[test]
    fn the_line_of_bad_text_is_named() {
        let problem = utf8(b"ok\n\xff").unwrap_err();
        assert_eq!(problem, Problem::new(Kind::NotUtf8, problem.detail()).line(2));
        assert!(problem.detail().starts_with("byte 1 of line 2"), "{}", problem.detail());
    }

    /// JSON text with white space between all tokens, and numbers as text, next to its text without.
    fn json() -> impl Strategy<Value = (String, String)> {
        let gap = "[ \t\r\n]{0,3}";
        let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?";
        let text = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
        let escape = prop_oneof![Just("\\u000a"), Just("\\\""), Just("\\\\"), Just(" ")];
        let escaped = proptest::collection::vec(escape, 0..6)
            .prop_map(|escapes| format!("\"{}\"", escapes.concat()));
        let plain = prop_oneof![number, text, escaped, Just("true".to_owned())];
        let leaf = (plain, gap, gap).prop_map(|(leaf, a, b)| (format!("{a}{leaf}{b}"), leaf));
        leaf.prop_recursive(5, 40, 6, |inner| {
            let key = any::<String>().prop_map(|key| serde_json::to_string(&key).unwrap());
            let object = proptest::collection::vec((key, "[ \n]{0,2}", inner.clone()), 0..6);
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(|items| {
                    let (wide, thin): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                    (format!(" [\n{}]\r\n", wide.join(",")), format!("[{}]", thin.join(",")))
                }),
                object.prop_map(|members| {
                    let wide: Vec<_> = members
                        .iter()
                        .map(|(key, gap, (wide, _))| format!("{gap}{key}\n:{wide}"))
                        .collect();
                    let thin: Vec<_> =
                        members.iter().map(|(key, _, (_, thin))| format!("{key}:{thin}")).collect();
                    (format!("{{\n{}}}", wide.join(",")), format!("{{{}}}", thin.join(",")))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn only_white_space_between_tokens_goes((wide, thin) in json()) {
            let wide = format!("{wide}\n");
            let line = one_value(&wide).unwrap();
            prop_assert!(!line.contains(['\n', '\r']));
            let raw: &RawValue = serde_json::from_str(&wide).unwrap();
            if raw.get().contains(['\n', '\r']) {
                prop_assert_eq!(&*line, &*thin);
            } else {
                prop_assert_eq!(&*line, raw.get());
            }
            let same: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(same, serde_json::from_str::<Value>(&wide).unwrap());
        }
    }
}
