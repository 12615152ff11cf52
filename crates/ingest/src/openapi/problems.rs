//! The errors of a route, by status.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, HeaderBuilder, Response, ResponseBuilder};

use super::reference;
use crate::problem::{Document, Kind, Problem};

/// What a request without a token, or with a wrong one, gets.
pub(super) const OF_TOKENS: &[Kind] = &[Kind::Unauthorized];

/// What every route answers that is over a share of the minute, or that meets a defect.
pub(super) const OF_ALL: &[Kind] = &[Kind::RateLimited, Kind::Internal];

/// What both routes answer that take events.
pub(super) const OF_EVENTS: &[Kind] = &[
    Kind::NotJson,
    Kind::NotUtf8,
    Kind::BrokenBody,
    Kind::NoEvents,
    Kind::InvalidIdempotencyKey,
    Kind::DestinationNotAllowed,
    Kind::SlowBody,
    Kind::IdempotencyKeyReused,
    Kind::EventTooLarge,
    Kind::RequestTooLarge,
    Kind::UnsupportedMediaType,
    Kind::UnsupportedEncoding,
    Kind::InvalidBucket,
    Kind::InvalidPrefix,
    Kind::InvalidEventName,
    Kind::TooManyDestinations,
    Kind::TooManyKeys,
    Kind::Overloaded,
    Kind::LogFull,
    Kind::Draining,
    Kind::LogStopped,
];

/// One response for each status, with an example of each problem.
pub(super) fn responses(kinds: &[&[Kind]]) -> impl Iterator<Item = (String, Response)> + use<> {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in kinds.iter().copied().flatten() {
        by_status.entry(kind.parts().1.as_u16()).or_default().push(*kind);
    }
    by_status.into_iter().map(|(status, kinds)| (status.to_string(), response(status, &kinds)))
}

fn response(status: u16, kinds: &[Kind]) -> Response {
    let mut description = String::new();
    for kind in kinds {
        let (slug, _, title) = kind.parts();
        let separator = if description.is_empty() { "" } else { "; " };
        write!(description, "{separator}`{slug}`: {title}").expect("a string takes everything");
    }
    let examples = kinds.iter().map(|kind| {
        let (slug, _, title) = kind.parts();
        let problem = Problem::new(*kind, format!("{title}: here stands why, and what to do"));
        let value = serde_json::to_value(problem.document());
        let value = value.expect("texts and numbers are always JSON");
        (slug, ExampleBuilder::new().value(Some(value)).build())
    });
    let content = ContentBuilder::new()
        .schema(Some(reference::<Document<'_>>()))
        .examples_from_iter(examples)
        .build();
    let mut response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    for (name, header) in headers(status) {
        response = response.header(name, header);
    }
    response.build()
}

/// What comes with such a status.
fn headers(status: u16) -> Vec<(&'static str, Header)> {
    let text = |description: &str| header(Type::String, description);
    match status {
        401 => vec![("WWW-Authenticate", text("how a token is sent"))],
        415 => vec![
            ("Accept", text("the content types that are taken, where the type is what is wrong")),
            ("Accept-Encoding", text("the encodings that are taken, where that is what is wrong")),
        ],
        429 | 503 => vec![("Retry-After", header(Type::Integer, "when to come back, in seconds"))],
        _ => Vec::new(),
    }
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build()
}
