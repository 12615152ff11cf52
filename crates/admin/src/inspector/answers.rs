//! Answers in JSON, and what went wrong in one line.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// An error as the page shows it.
pub(crate) fn problem(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({ "error": what }))).into_response()
}

/// A document that is JSON already.
pub(crate) fn document(json: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(json.into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
