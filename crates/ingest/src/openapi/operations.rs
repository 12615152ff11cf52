//! What each route takes and answers.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, Required, Response, ResponseBuilder, Schema};

use super::problems::{OF_ALL, OF_EVENTS, OF_TOKENS, responses};
use super::schemas::{SendEvent, SentEvent};
use super::{TOKEN, reference};
use crate::accepted::{Each, Range};
use crate::problem::Kind;

/// `POST /v1/send/s3`.
pub(crate) fn send() -> Operation {
    let own = [
        Kind::InvalidRequest,
        Kind::InvalidId,
        Kind::TooManyIds,
        Kind::TooManyDestinationsInRequest,
    ];
    let event = reference::<SendEvent>();
    let events = ArrayBuilder::new().items(event.clone()).min_items(Some(1)).build();
    let schema = OneOfBuilder::new().item(event).item(events).build();
    let one = json!({"bucket": "my-bucket", "prefix": "test/", "payload": {"hello": "world"}});
    let several = json!([
        {"bucket": "my-bucket", "prefix": "orders/", "event": "order-1001", "payload": {"id": 1001}},
        {"bucket": "audit-bucket", "event": "order-1001", "payload": "order 1001 placed"},
    ]);
    let content = ContentBuilder::new()
        .schema(Some(Schema::OneOf(schema)))
        .examples_from_iter([example("one", one), example("several", several)]);
    let body = body(LIMITS).content("application/json", content.build()).build();
    operation(
        "send",
        "Send events",
        "One event, or an array of events with any mix of destinations.",
    )
    .request_body(Some(body))
    .parameter(idempotency_key())
    .parameter(content_encoding())
    .response(
        "200",
        accepted::<Each>(json!({"accepted": 1, "ids": ["01M81G903N4E25C033Q4000000"]})),
    )
    .with(&[OF_EVENTS, &own, OF_TOKENS, OF_ALL])
}

/// `POST /v1/s3/{bucket}`.
pub(crate) fn bulk() -> Operation {
    let ends = json!({
        "accepted": 2, "first": "01M81G909Q4E25C033Q4000003", "last": "01M81G909Q4E25C033Q4000004",
    });
    let what = "All events of the body go to one destination. NDJSON: one JSON value a line, blank lines are \
                skipped. JSON: the body is one event. Text: each line is an event, exactly as it is.";
    operation("bulk", "Send many events to one destination", what)
        .request_body(Some(bulk_body()))
        .parameter(of_event("bucket", ParameterIn::Path))
        .parameter(of_event("prefix", ParameterIn::Query))
        .parameter(of_event("event", ParameterIn::Query))
        .parameter(idempotency_key())
        .parameter(content_encoding())
        .response("200", accepted::<Range>(ends))
        .with(&[OF_EVENTS, &[Kind::InvalidQuery], OF_TOKENS, OF_ALL])
}

/// `GET /v1/events/{id}`.
pub(crate) fn event() -> Operation {
    let what = "By its id, or by the name that the caller gave it; as far as the token reaches.";
    let id = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The id of an event, or its name."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))))
        .example(Some(json!("order-1001")));
    let known = json!({
        "id": "01M81G907E4E25C033Q4000001", "event": "order-1001",
        "accepted_at": "2026-11-22T11:29:16.526Z", "dest": {"delivered": 0, "total": 1},
        "deliveries": [{
            "id": "01M81G907E4E25C033Q4000001", "bucket": "my-bucket", "prefix": "orders",
            "state": "logged", "key": null, "line": null, "error": null,
        }],
    });
    let content = ContentBuilder::new().schema(Some(reference::<SentEvent>())).example(Some(known));
    let found = ResponseBuilder::new()
        .description("what became of it")
        .content("application/json", content.build());
    operation("event", "What became of an event", what)
        .parameter(id)
        .response("200", found)
        .with(&[&[Kind::NotFound, Kind::Overloaded, Kind::LookupFailed], OF_TOKENS, OF_ALL])
}

/// `GET /openapi.json`.
pub(crate) fn openapi() -> Operation {
    let schema = ObjectBuilder::new().schema_type(Type::Object);
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let found =
        ResponseBuilder::new().description("this document").content("application/json", content);
    operation("openapi", "This document", "OpenAPI 3.1. It is asked for without a token.")
        .securities(Some(Vec::<SecurityRequirement>::new()))
        .response("200", found)
        .with(&[OF_ALL])
}

const LIMITS: &str = "At most `ingest.max_request_bytes`, 16 MiB by default, after decompression.";

/// An operation for which a token is needed, where the service has tokens.
fn operation(id: &str, summary: &str, description: &str) -> OperationBuilder {
    let token = SecurityRequirement::new(TOKEN, Vec::<String>::new());
    OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary))
        .description(Some(description))
        .securities(Some([token, SecurityRequirement::default()]))
}

trait WithProblems {
    /// The operation with these errors.
    fn with(self, kinds: &[&[Kind]]) -> Operation;
}

impl WithProblems for OperationBuilder {
    fn with(mut self, kinds: &[&[Kind]]) -> Operation {
        for (status, response) in responses(kinds) {
            self = self.response(status, response);
        }
        self.build()
    }
}

fn bulk_body() -> RequestBody {
    let text = |summary: &str, value: &str| -> Content {
        let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        let example = ExampleBuilder::new().summary(summary).value(Some(json!(value)));
        ContentBuilder::new()
            .schema(Some(schema))
            .examples_from_iter([("lines", example.build())])
            .build()
    };
    let value = ContentBuilder::new()
        .schema(Some(
            ObjectBuilder::new().schema_type(utoipa::openapi::schema::SchemaType::AnyValue),
        ))
        .examples_from_iter([example("one", json!({"page": "/", "ms": 12}))])
        .build();
    body(LIMITS)
        .content(
            "application/x-ndjson",
            text("one JSON value a line", "{\"page\": \"/\"}\n{\"page\": \"/cart\"}\n"),
        )
        .content("application/json", value)
        .content("text/plain", text("one event a line", "GET / 200\nGET /cart 200\n"))
        .build()
}

fn body(description: &str) -> RequestBodyBuilder {
    RequestBodyBuilder::new().description(Some(description)).required(Some(Required::True))
}

fn accepted<T: ToSchema>(example: Value) -> Response {
    let content = ContentBuilder::new().schema(Some(reference::<T>())).example(Some(example));
    ResponseBuilder::new()
        .description("all events are on stable storage")
        .content("application/json", content.build())
        .build()
}

fn example(name: &str, value: Value) -> (&str, utoipa::openapi::example::Example) {
    (name, ExampleBuilder::new().value(Some(value)).build())
}

/// A parameter that is what it is as a field of an event.
fn of_event(name: &str, place: ParameterIn) -> Parameter {
    let required =
        if matches!(place, ParameterIn::Path) { Required::True } else { Required::False };
    let schema = super::schemas::field(name);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(schema))
        .build()
}

fn idempotency_key() -> ParameterBuilder {
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[!-~]+$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "By which a repeat of the whole request is known: it gets the first answer, for as long as \
             `ingest.idempotency_window`, 15 minutes by default. With another content it gets 409.",
        ))
        .schema(Some(key))
        .example(Some(json!("8e03978e-40d5-43dd-bc93-6894a57f9324")))
}

fn content_encoding() -> ParameterBuilder {
    let encoding = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["gzip", "deflate", "zstd", "identity", ""]));
    ParameterBuilder::new()
        .name("Content-Encoding")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("How the body is compressed. Windows of zstd have up to 8 MiB."))
        .schema(Some(encoding))
}
