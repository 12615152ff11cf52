//! The body of `POST /v1/s3/{bucket}`: many events for one destination.

use model::{Destination, EventName};

use crate::content::Form;
use crate::idempotency::Content;
use crate::payload::{Limit, complaint, json_text, one_value, utf8};
use crate::problem::{Kind, Problem};

/// So many events may one body have: the shortest take a byte of it, and many times that of the log.
pub(crate) const MAX_EVENTS: usize = 1_000_000;

/// Reads a body and hands each payload to `take`, in order. If this fails, what `take` got is void.
///
/// NDJSON: one value a line; lines of nothing but white space are skipped, and so is a byte order
/// mark before the first. JSON: the body is one event. Text: each line is an event exactly as it
/// is, an empty one, a `\r` at its end and a byte order mark included; the last line may lack its
/// `\n`.
pub(crate) fn parse(
    form: Form,
    body: &[u8],
    limit: Limit,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Problem> {
    let mut events = 0;
    match form {
        Form::Json => {
            let text = json_text(body)?;
            if !text.trim_matches(JSON_SPACE).is_empty() {
                let payload = one_value(text).map_err(|error| not_json(&error, error.line()))?;
                limit.check(payload.as_bytes())?;
                take(payload.as_bytes());
                events = 1;
            }
        }
        Form::Ndjson => {
            for (line, text) in (1..).zip(json_text(body)?.split('\n')) {
                let text = text.trim_matches(JSON_SPACE);
                if !text.is_empty() {
                    let payload = one_value(text).map_err(|error| not_json(&error, line))?;
                    limit.check(payload.as_bytes()).map_err(|problem| at(problem, line))?;
                    one_more(&mut events).map_err(|problem| at(problem, line))?;
                    take(payload.as_bytes());
                }
            }
        }
        Form::Text => {
            let text = utf8(body)?;
            for (line, text) in (1..).zip(text.split_terminator('\n')) {
                limit.check(text.as_bytes()).map_err(|problem| at(problem, line))?;
                one_more(&mut events).map_err(|problem| at(problem, line))?;
                take(text.as_bytes());
            }
        }
    }
    if events > 0 {
        return Ok(());
    }
    let why = if body.is_empty() { "the body is empty" } else { "the body is white space only" };
    Err(Problem::new(Kind::NoEvents, format!("no events: {why}: send at least one event")))
}

fn one_more(events: &mut usize) -> Result<(), Problem> {
    *events += 1;
    if *events <= MAX_EVENTS {
        return Ok(());
    }
    let detail = format!(
        "the body has more than {MAX_EVENTS} events, the limit of a request: send them in several"
    );
    Err(Problem::new(Kind::RequestTooLarge, detail))
}

/// All that decides what is stored of a body, for the key that it came with.
pub(crate) fn content(
    form: Form,
    destination: &Destination,
    name: Option<&EventName>,
    body: &[u8],
) -> Content {
    let form: &[u8] = match form {
        Form::Json => b"json",
        Form::Ndjson => b"ndjson",
        Form::Text => b"text",
    };
    let (bucket, prefix) = (destination.bucket().as_str(), destination.prefix().as_str());
    let name = name.map_or("", EventName::as_str);
    let route = [b"bulk", form, bucket.as_bytes(), prefix.as_bytes(), name.as_bytes()];
    Content::of_request(&route, body)
}

/// RFC 8259, section 2: the white space of JSON, and no other.
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn not_json(error: &serde_json::Error, line: usize) -> Problem {
    let (complaint, column) = (complaint(error), error.column());
    let detail = format!("line {line} is not one JSON value: {complaint}, in column {column}");
    at(Problem::new(Kind::NotJson, detail), line)
}

fn at(problem: Problem, line: usize) -> Problem {
    problem.line(u64::try_from(line).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(form: Form, body: impl AsRef<[u8]>) -> Result<Vec<String>, Problem> {
        let mut events = Vec::new();
        let take = |payload: &[u8]| events.push(String::from_utf8(payload.to_vec()).unwrap());
        parse(form, body.as_ref(), Limit { max_event_bytes: 20 }, take)?;
        Ok(events)
    }

    fn refused(form: Form, body: impl AsRef<[u8]>) -> (Kind, Problem) {
        let problem = events(form, body).unwrap_err();
        (problem.kind(), problem)
    }

    #[test]
    fn ndjson_is_one_value_a_line() {
        let body = "\u{feff}{\"a\":1}\r\n\n \t\r\n  1e400  \n\"\u{2028}\"\n{\"a\":\r1}";
        let expected = ["{\"a\":1}", "1e400", "\"\u{2028}\"", "{\"a\":1}"];
        assert_eq!(events(Form::Ndjson, body).unwrap(), expected);
        for (body, line) in [("1\n{\n}", 2), ("1 2", 1), ("\n\nx", 3), ("1\n\u{a0}\n", 2)] {
            let (kind, problem) = refused(Form::Ndjson, body);
            assert_eq!(kind, Kind::NotJson, "{body}");
            assert_eq!(problem.clone(), problem.line(line), "{body}");
        }
    }

    #[test]
    fn json_is_one_event() {
        assert_eq!(events(Form::Json, "[\n1,\n2 ]").unwrap(), ["[1,2]"]);
        assert_eq!(events(Form::Json, " [1, 2] ").unwrap(), ["[1, 2]"]);
        assert_eq!(refused(Form::Json, "1\n2").0, Kind::NotJson);
        assert_eq!(refused(Form::Json, "[".repeat(1 << 20)).0, Kind::NotJson);
    }

    #[test]
    fn text_lines_are_kept_as_they_are() {
        let body = "\u{feff}a\n\n b \r\n{\"x\n";
        assert_eq!(events(Form::Text, body).unwrap(), ["\u{feff}a", "", " b \r", "{\"x"]);
        assert_eq!(events(Form::Text, "\n").unwrap(), [""]);
        assert_eq!(events(Form::Text, "a\nb").unwrap(), ["a", "b"]);
        let (kind, problem) = refused(Form::Text, b"a\nb\xffc\n");
        assert_eq!(kind, Kind::NotUtf8);
        assert_eq!(problem.clone(), problem.line(2));
    }

    #[test]
    fn a_body_has_so_many_events() {
        let limit = Limit { max_event_bytes: 20 };
        for (form, line) in [(Form::Text, "\n"), (Form::Ndjson, "1\n")] {
            let body = line.repeat(MAX_EVENTS);
            let mut events = 0;
            parse(form, body.as_bytes(), limit, |_| events += 1).unwrap();
            assert_eq!(events, MAX_EVENTS);
            let problem = parse(form, (body + line).as_bytes(), limit, |_| {}).unwrap_err();
            assert_eq!(problem.kind(), Kind::RequestTooLarge, "{problem:?}");
            assert!(problem.detail().contains("1000000 events"), "{problem:?}");
        }
    }

    #[test]
    fn no_events_are_an_error() {
        for (form, body) in [
            (Form::Ndjson, ""),
            (Form::Ndjson, "\u{feff}\n \r\n\n"),
            (Form::Json, " \n"),
            (Form::Text, ""),
        ] {
            let (kind, problem) = refused(form, body);
            assert_eq!(kind, Kind::NoEvents, "{form:?} {body:?}");
            assert!(problem.detail().starts_with("no events: "), "{problem:?}");
            let empty = problem.detail().contains("the body is empty");
            assert_eq!(empty, body.is_empty(), "{form:?} {body:?}: {problem:?}");
        }
    }

    #[test]
    fn an_event_above_the_limit_is_named_by_its_line() {
        let long = "1".repeat(21);
        for form in [Form::Ndjson, Form::Text] {
            let (kind, problem) = refused(form, format!("1\n{long}\n"));
            assert_eq!(kind, Kind::EventTooLarge);
            assert_eq!(problem.clone(), problem.line(2));
        }
        assert_eq!(refused(Form::Json, &long).0, Kind::EventTooLarge);
        let exactly = "1".repeat(20);
        assert_eq!(events(Form::Ndjson, format!("  {exactly}  ")).unwrap(), [exactly]);
    }
}
