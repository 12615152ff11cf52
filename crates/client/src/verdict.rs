//! What an answer means for the batch that it answers. `docs/http.md` has the table of the problems.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::error::{GaveUp, Parts, Refusal};
use crate::id::EventId;

const URN: &str = "urn:minutelog:problem:";

/// Nothing of such a request is accepted, although its status is 5xx.
const REFUSED_FOR_NOW: [&str; 3] = ["overloaded", "log-full", "draining"];

/// Of a whole request that is too large in some way: smaller ones may get through.
const TOO_MUCH: [&str; 4] =
    ["request-too-large", "too-many-destinations-in-request", "too-many-ids", "slow-body"];

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Duration,
    pub(crate) body: Bytes,
}

/// What to do with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was accepted, with an id for each event.
    Accepted(Vec<EventId>),
    /// Send the same again, after `wait` at the earliest. `doubt`: it may have been accepted.
    Again { wait: Duration, doubt: bool, why: GaveUp },
    /// Send it in two requests.
    Halves(Refusal),
    /// Send it without the event at this place, and those like it.
    Without(usize, Refusal),
    /// Refused, all of it.
    Refused(Refusal),
    /// Accepted perhaps, by an answer that has not one id for each event.
    Unclear(GaveUp),
    /// An answer that is none of minutelog's.
    Strange(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Acceptance {
    ids: Option<Vec<EventId>>,
    first: Option<EventId>,
    last: Option<EventId>,
}

#[derive(Deserialize)]
struct Problem {
    r#type: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    field: Option<String>,
    line: Option<usize>,
}

/// Judges the answer to a batch of `size` events that was sent `tries` times.
pub(crate) fn verdict(answer: &Answer, size: usize, tries: u32) -> Verdict {
    let status = answer.status;
    if status == 200 {
        return accepted(&answer.body, size);
    }
    let problem: Option<Problem> = serde_json::from_slice(&answer.body).ok();
    let known = problem.and_then(|problem| {
        let kind = problem.r#type.strip_prefix(URN)?.to_owned();
        Some((kind, problem))
    });
    let wait = answer.retry_after;
    let Some((kind, problem)) = known else {
        let reason = format!("the answer is {status}, and none of minutelog's");
        return if matches!(status, 408 | 429) || status >= 500 {
            Verdict::Again { wait, doubt: status != 429, why: GaveUp::new(reason) }
        } else {
            Verdict::Strange(reason)
        };
    };
    let place = place(&problem).filter(|place| *place < size);
    let refusal = refusal(status, kind, problem);
    let kind = refusal.kind();
    if TOO_MUCH.contains(&kind) && size > 1 {
        return Verdict::Halves(refusal);
    }
    if matches!(status, 408 | 429) || status >= 500 || (kind == "broken-body" && tries == 1) {
        let doubt = status >= 500 && !REFUSED_FOR_NOW.contains(&kind);
        return Verdict::Again { wait, doubt, why: GaveUp::refused(refusal) };
    }
    match place {
        Some(place) => Verdict::Without(place, refusal),
        // These say something of single events, and not of which.
        None if matches!(status, 400 | 409 | 413 | 422) && size > 1 => Verdict::Halves(refusal),
        None => Verdict::Refused(refusal),
    }
}

impl Verdict {
    /// Whether the same request can't have been accepted before, however the service was configured:
    /// the refusal rests on its text alone.
    pub(crate) fn leaves_no_doubt(refusal: &Refusal) -> bool {
        match refusal.status() {
            400 => refusal.kind() != "broken-body",
            422 => true,
            _ => false,
        }
    }
}

fn accepted(body: &[u8], size: usize) -> Verdict {
    let acceptance: Acceptance = serde_json::from_slice(body).unwrap_or_default();
    let ends = acceptance.first.zip(acceptance.last);
    let ids = match acceptance.ids {
        Some(ids) => Some(ids).filter(|ids| ids.len() == size),
        None => ends.and_then(|(first, last)| EventId::range(first, last, size)),
    };
    let unclear = "the answer is 200, and has not one id for each event";
    ids.map_or_else(|| Verdict::Unclear(GaveUp::new(unclear)), Verdict::Accepted)
}

/// The place in the batch of the event that is wrong: `[3].bucket`, or the line.
fn place(problem: &Problem) -> Option<usize> {
    let of_field = || {
        let (place, _) = problem.field.as_deref()?.strip_prefix('[')?.split_once(']')?;
        place.parse().ok()
    };
    problem.line.and_then(|line| line.checked_sub(1)).or_else(of_field)
}

fn refusal(status: u16, kind: String, problem: Problem) -> Refusal {
    // Of this event: its place in the request is nothing to the caller.
    let own = |field: String| match field.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => rest.strip_prefix('.').unwrap_or(rest).to_owned(),
        None => field,
    };
    let field = problem.field.map(own).filter(|field| !field.is_empty());
    Refusal::new(Parts { status, kind, title: problem.title, detail: problem.detail, field })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let body = Bytes::from(body.to_owned());
        Answer { status, retry_after: Duration::from_secs(7), body }
    }

    fn problem(status: u16, slug: &str, more: &str) -> Answer {
        let (title, detail) = ("a title", "a detail");
        answer(
            status,
            &format!(
                r#"{{"type":"{URN}{slug}","title":"{title}","status":{status},"detail":"{detail}"{more}}}"#
            ),
        )
    }

    #[test]
    fn of_answers_that_ask_for_another_try_only_those_that_refuse_leave_no_doubt() {
        for (status, slug, expected) in [
            (408, Some("slow-body"), false),
            (408, None, true),
            (429, Some("rate-limited"), false),
            (429, Some("too-many-destinations"), false),
            (429, Some("too-many-keys"), false),
            (429, None, false),
            (500, Some("internal"), true),
            (502, None, true),
            (503, Some("overloaded"), false),
            (503, Some("log-full"), false),
            (503, Some("draining"), false),
            (503, Some("log-stopped"), true),
            (503, None, true),
        ] {
            let answer =
                slug.map_or_else(|| answer(status, "<html>"), |slug| problem(status, slug, ""));
            match verdict(&answer, 1, 9) {
                Verdict::Again { wait, doubt, .. } => {
                    assert_eq!((wait.as_secs(), doubt), (7, expected), "{status} {slug:?}");
                }
                other => panic!("{status} {slug:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_damaged_body_is_sent_once_more() {
        let broken = problem(400, "broken-body", "");
        assert!(matches!(verdict(&broken, 1, 1), Verdict::Again { doubt: false, .. }));
        assert!(matches!(verdict(&broken, 1, 2), Verdict::Refused(_)));
    }

    #[test]
    fn a_refusal_names_the_event_and_its_field() {
        match verdict(&problem(422, "invalid-bucket", r#","field":"[3].bucket""#), 5, 1) {
            Verdict::Without(3, refusal) => {
                assert_eq!((refusal.status(), refusal.kind()), (422, "invalid-bucket"));
                assert_eq!((refusal.title(), refusal.detail()), ("a title", "a detail"));
                assert_eq!(refusal.field(), Some("bucket"));
            }
            other => panic!("{other:?}"),
        }
        let line = problem(413, "event-too-large", r#","line":2"#);
        assert!(matches!(verdict(&line, 2, 1), Verdict::Without(1, _)));
        let elsewhere = problem(413, "event-too-large", r#","field":"[9]""#);
        assert!(matches!(verdict(&elsewhere, 2, 1), Verdict::Halves(_)));
        assert!(matches!(verdict(&elsewhere, 1, 1), Verdict::Refused(_)));
        assert!(matches!(verdict(&problem(401, "unauthorized", ""), 2, 1), Verdict::Refused(_)));
        assert!(matches!(verdict(&problem(413, "too-many-ids", ""), 2, 1), Verdict::Halves(_)));
        assert!(matches!(verdict(&problem(413, "too-many-ids", ""), 1, 1), Verdict::Refused(_)));
        assert!(matches!(verdict(&answer(404, "<html>"), 2, 1), Verdict::Strange(_)));
    }

    #[test]
    fn an_acceptance_has_an_id_for_each_event() {
        let (one, two) = ("01M81G907E4E25C033Q4000001", "01M81G907E4E25C033Q4000002");
        let ids = vec![one.parse().unwrap(), two.parse().unwrap()];
        let each = answer(200, &format!(r#"{{"accepted":2,"ids":["{one}","{two}"]}}"#));
        assert_eq!(verdict(&each, 2, 1), Verdict::Accepted(ids.clone()));
        let range = answer(200, &format!(r#"{{"accepted":2,"first":"{one}","last":"{two}"}}"#));
        assert_eq!(verdict(&range, 2, 1), Verdict::Accepted(ids));
        for answer in [&each, &range] {
            assert!(matches!(verdict(answer, 3, 1), Verdict::Unclear(_)));
        }
        for body in ["", "{}", r#"{"ids":["x"]}"#] {
            assert!(matches!(verdict(&answer(200, body), 1, 1), Verdict::Unclear(_)), "{body}");
        }
    }
}
