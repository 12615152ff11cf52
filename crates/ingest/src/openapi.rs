//! The description of the routes for clients: OpenAPI 3.1, served as `GET /openapi.json`.
//!
//! It is made of what serves: [`routes`](crate::routes::routes) has for each route the function that
//! answers and the one that describes, so that there is none without the other; the errors are those of
//! [`Kind`](crate::kind::Kind); what is answered derives its schema where it is defined. What can't be
//! had that way is held together by the tests: every answer that a test of this crate gets is looked up
//! in the description, and what the description says of a request is tried on the parser.
//!
//! It tells nothing of how this service is configured, and so needs no token.

use std::sync::OnceLock;

use bytes::Bytes;
use utoipa::ToSchema;
use utoipa::openapi::path::Paths;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder};

use crate::accepted::{Each, Range};
use crate::problem::Document;
use crate::routes::routes;
use schemas::{SendEvent, SentEvent};

pub(crate) mod operations;
mod problems;
mod schemas;

const DESCRIPTION: &str = "\
Minutelog keeps events in a durable log and writes one gzip object of them per destination and minute to \
S3. An answer of 200 to a `POST` means that every event of the request is on stable storage; a request is \
accepted whole or not at all.

Limits are given as their defaults; a service may be configured otherwise. Lengths of texts are limited in \
bytes of UTF-8, where a schema can only count characters. Every other method gets 405 \
`method-not-allowed`, every other path 404 `not-found`. `POST /` is Amazon Data Firehose's interface, which AWS \
describes.";

/// The name of the security scheme.
const TOKEN: &str = "token";

/// The document, as it is served.
pub(crate) fn document() -> Bytes {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let make =
        || serde_json::to_vec(&describe()).expect("texts and numbers are always JSON").into();
    DOCUMENT.get_or_init(make).clone()
}

fn describe() -> OpenApi {
    let mut paths = Paths::new();
    for route in routes() {
        paths.add_path_operation(route.path, vec![route.method], (route.describe)());
    }
    let info = InfoBuilder::new()
        .title("minutelog ingest")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "A token as `minutelog admin token` prints it, where the service has `auth = \"tokens\"`. It \
         reaches the destinations of its `allow` list."
            .to_owned(),
    );
    let components = ComponentsBuilder::new()
        .schema_from::<SendEvent>()
        .schema_from::<Each>()
        .schema_from::<Range>()
        .schema_from::<SentEvent>()
        .schema_from::<Document<'_>>()
        .security_scheme(TOKEN, SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

/// A reference to a schema of the components.
fn reference<T: ToSchema>() -> utoipa::openapi::Ref {
    utoipa::openapi::Ref::from_schema_name(T::name())
}

#[cfg(test)]
pub(crate) mod tests;
