//! What the service notes of every request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::routes::{BULK, EVENTS, SEND};
use crate::service::Service;

/// Counts and times a request, and writes one line of it at the level `debug`.
pub(crate) async fn observe(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = [SEND, BULK, EVENTS].into_iter().find(|route| matched == Some(route));
    // Unknown paths share one label: clients could make up any number of them.
    let route = route.unwrap_or("other");
    let method = request.method().clone();
    let response = next.run(request).await;
    let (status, took) = (response.status(), start.elapsed());
    service.metrics.request(route, status, took);
    tracing::debug!(%method, route, status = status.as_u16(), ?took, "request");
    response
}
