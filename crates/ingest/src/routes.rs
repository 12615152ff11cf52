//! The routes for clients.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, RawQuery, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, Method, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::HttpMethod;
use utoipa::openapi::path::Operation;

use crate::accepted::Accepted;
use crate::clients::{Clients, panicked};
use crate::destinations::shown;
use crate::firehose::{self, FIREHOSE, firehose};
use crate::meter::Meter;
use crate::observe::observe;
use crate::openapi::{document, operations};
use crate::problem::{Kind, Problem};
use crate::service::Service;
use crate::source::Upload;

/// `POST /v1/send/s3`.
pub(crate) const SEND: &str = "/v1/send/s3";
/// `POST /v1/s3/{bucket}`.
pub(crate) const BULK: &str = "/v1/s3/{bucket}";
/// `GET /v1/events/{id}`.
pub(crate) const EVENTS: &str = "/v1/events/{id}";
/// `GET /openapi.json`.
pub(crate) const OPENAPI: &str = "/openapi.json";

/// A route: what serves it and what describes it, so that there is none without the other.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) method: HttpMethod,
    pub(crate) serve: fn() -> MethodRouter<Arc<Service>>,
    pub(crate) describe: fn() -> Operation,
}

/// The routes of CONTRACT, section 4, and the description of them.
pub(crate) fn routes() -> [Route; 4] {
    let (get_it, post_it) = (HttpMethod::Get, HttpMethod::Post);
    [
        Route {
            path: SEND,
            method: post_it.clone(),
            serve: || post(routed_send),
            describe: operations::send,
        },
        Route { path: BULK, method: post_it, serve: || post(bulk), describe: operations::bulk },
        Route {
            path: EVENTS,
            method: get_it.clone(),
            serve: || get(event),
            describe: operations::event,
        },
        Route {
            path: OPENAPI,
            method: get_it,
            serve: || get(openapi),
            describe: operations::openapi,
        },
    ]
}

/// Answers by the routes, and by nothing else.
pub(crate) fn router(service: &Arc<Service>) -> Clients {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, (route.serve)());
    }
    let router = router
        // AWS describes it.
        .route(FIREHOSE, post(firehose))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(counted))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(service), observe))
        .with_state(Arc::clone(service));
    Clients::new(Arc::clone(service), router)
}

/// What the request's connection may do in a minute; `None` where that is not limited.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionMeter(pub(crate) Option<Arc<Meter>>);

impl ConnectionMeter {
    pub(crate) fn of(extensions: &Extensions) -> Option<Arc<Meter>> {
        extensions.get::<Self>().and_then(|meter| meter.0.clone())
    }
}

/// Counts the request for its connection before anything else is looked at.
async fn counted(request: Request, next: Next) -> Response {
    match ConnectionMeter::of(request.extensions()).map_or(Ok(()), |meter| meter.request()) {
        Ok(()) => next.run(request).await,
        Err(problem) if is_firehose(&request) => firehose::unrouted(problem, request),
        Err(problem) => unrouted(problem, request),
    }
}

/// Whether the sender understands Firehose's errors and no others.
fn is_firehose(request: &Request) -> bool {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    request.method() == Method::POST && matched == Some(FIREHOSE)
}

async fn routed_send(State(service): State<Arc<Service>>, request: Request) -> Response {
    let connection = ConnectionMeter::of(request.extensions());
    send(&service, request, connection).await
}

/// `POST /v1/send/s3`, by the router and past it.
pub(crate) async fn send(
    service: &Service,
    request: Request,
    connection: Option<Arc<Meter>>,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut upload = Upload::new(&parts.headers, body);
    let outcome = service.send(&parts.headers, connection, &mut upload).await;
    answer(outcome, upload)
}

async fn bulk(
    State(service): State<Arc<Service>>,
    bucket: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut upload = Upload::new(&parts.headers, body);
    let connection = ConnectionMeter::of(&parts.extensions);
    let outcome = if let Ok(Path(bucket)) = bucket {
        let query = query.unwrap_or_default();
        service.bulk(&bucket, &query, &parts.headers, connection, &mut upload).await
    } else {
        // Without a token nothing of the request is judged.
        let detail = "the bucket in the path is not UTF-8 once it is decoded";
        let problem = Problem::new(Kind::InvalidBucket, detail).field("bucket");
        service.judge().gate.admit(&parts.headers, connection).and(Err(problem))
    };
    answer(outcome, upload)
}

fn answer(outcome: Result<Accepted, Problem>, upload: Upload) -> Response {
    match outcome {
        Ok(accepted) => accepted.into_response(),
        Err(problem) => {
            // A slow body would hold the connection for the time limits once more.
            if problem.kind() != Kind::SlowBody {
                upload.discard();
            }
            refuse(problem)
        }
    }
}

async fn event(
    State(service): State<Arc<Service>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    // The connection has counted it already, and there is nothing else to count.
    let grant = match service.judge().gate.admit(&headers, None) {
        Ok((grant, _)) => grant,
        Err(problem) => return refuse(problem),
    };
    let Ok(Path(id)) = id else {
        let detail = "the id in the path is not UTF-8 once it is decoded";
        return refuse(Problem::new(Kind::NotFound, detail));
    };
    match service.lookups.find(&id, &grant).await {
        Ok(row) => Json(row).into_response(),
        Err(problem) => refuse(problem),
    }
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], document()).into_response()
}

async fn not_found(uri: Uri, request: Request) -> Response {
    let detail = format!(
        "there is no route `{}`: there are `POST {SEND}`, `POST {BULK}`, `GET {EVENTS}`, `GET {OPENAPI}` and, \
         for Firehose's clients, `POST {FIREHOSE}`",
        shown(uri.path())
    );
    unrouted(Problem::new(Kind::NotFound, detail), request)
}

async fn method_not_allowed(method: Method, request: Request) -> Response {
    let detail = format!("the route takes no `{method}`: see the header `Allow`");
    unrouted(Problem::new(Kind::MethodNotAllowed, detail), request)
}

/// Refuses a request whose body nobody wants.
pub(crate) fn unrouted(problem: Problem, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    Upload::new(&parts.headers, body).discard();
    refuse(problem)
}

/// Answers with the problem, and says it once in the service's own log if the service is to blame.
fn refuse(problem: Problem) -> Response {
    if problem.status().is_server_error() {
        tracing::warn!(status = problem.status().as_u16(), detail = problem.detail(), "refused");
    }
    problem.into_response()
}

#[cfg(test)]
mod tests;
