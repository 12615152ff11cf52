//! What the service notes of every request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};

use crate::firehose::FIREHOSE;
use crate::metrics::Metrics;
use crate::routes::routes;
use crate::service::Service;

/// One request, from its headers on.
pub(crate) struct Observed {
    start: Instant,
    method: Method,
    route: &'static str,
}

impl Observed {
    /// A request that has just come.
    pub(crate) fn new(method: Method, route: &'static str) -> Self {
        Self { start: Instant::now(), method, route }
    }

    /// Counts and times it, and writes one line of it at the level `debug`.
    pub(crate) fn answered(self, metrics: &Metrics, status: StatusCode) {
        let Self { start, method, route } = self;
        let took = start.elapsed();
        metrics.request(route, status, took);
        tracing::debug!(%method, route, status = status.as_u16(), ?took, "request");
    }
}

/// Observes a request as a layer of a router.
pub(crate) async fn observe(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let routes = routes().map(|route| route.path).into_iter().chain([FIREHOSE]);
    let route = routes.into_iter().find(|route| matched == Some(route));
    // Unknown paths share one label: clients could make up any number of them.
    let observed = Observed::new(request.method().clone(), route.unwrap_or("other"));
    let response = next.run(request).await;
    observed.answered(&service.metrics, response.status());
    response
}
